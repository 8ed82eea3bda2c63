"""The security administrator sees the state of the cryptography, and no key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from his_server import keys, startup
from his_server.db import Database
from his_server.security import health
from his_server.settings import Settings

pytestmark = [pytest.mark.requirement("MP-17"), pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)]


def test_state_without_any_key(sign_in: Callable[..., Any], db: Database, settings: Settings,
                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "alarms", [])
    startup.open_checked(settings)
    client = sign_in("secadmin")
    answer = client.get("/api/security/crypto")
    found = answer.get_json()
    assert answer.status_code == 200 and found["ok"] is True
    assert found["provider"]["version"] == db.sealer.provider.version and found["provider"]["library"]
    assert found["selftest"]["passed"] and {key["purpose"] for key in found["keys"]} >= {*keys.PURPOSES}
    text = answer.get_data(as_text=True)
    for key in db.sealer.ring.living():
        assert isinstance(key.material, bytes) and key.material.hex() not in text
    keys.device_alarm("SDF_Encrypt", 0x01000003)
    after = client.get("/api/security/crypto").get_json()
    assert after["ok"] is False and after["alarms"] == [{"function": "SDF_Encrypt", "code": "0x01000003"}]
    for role in ("sysadmin", "auditadmin", "cashier"):
        assert sign_in(role).get("/api/security/crypto").status_code == 403


def test_an_old_key_is_due(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = db.sealer.ring
    before = ring._clock
    monkeypatch.setattr(ring, "_clock", lambda: before() + timedelta(days=400))
    state = health.state(db)
    due = {key["purpose"] for key in state["keys"] if key["due"]}
    assert "column" in due and "sign-sm2" not in due and state["ok"] is False
