"""A partner written from docs/interfaces alone: the documents' own client, as a command, against the running gateway."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from demo import partners as demo
from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.settings import Settings
from interfaces.read_views.simulator import Mirror
from modules.kernel.masterdata.models import Department
from tests.crypto.conftest import unavailable as missing
from tests.factories.hospital import World
from tests.interfaces.hub.test_calls import rows
from tests.simulators import serving

CLIENT = Path(__file__).parents[3] / "docs" / "interfaces" / "clients" / "client.py"
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(world: World, app: Flask, db: Database, clock: ManualClock, settings: Settings, tmp_path: Path) -> Iterator[Ask]:
    """``ask(method, target, body)`` by the worked client with the demo's partner: status and JSON."""
    if shutil.which("openssl") is None:
        missing("the openssl command")
    clock.set(datetime.now(UTC))  # the client uses the machine's clock
    with serving(app) as base:
        demo.fill(db, Settings(data_dir=tmp_path), SYSTEM, base)

        def run(method: str, target: str, body: str | None = None) -> tuple[int, Any]:
            (tmp_path / "body.json").write_text(body or "", encoding="utf-8")
            done = subprocess.run([sys.executable, str(CLIENT), str(tmp_path / demo.CONFIG), method,
                                   f"/api/open/v1/queue{target}", str(tmp_path / "body.json") if body else "-"],
                                  capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            answer = json.loads(done.stdout)
            return answer["status"], json.loads(answer["body"]) if answer["body"] else None

        yield run


@pytest.mark.requirement("X1")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_the_documents_own_client_keeps_a_copy_and_understands_refusals(ask: Ask, db: Database, clock: ManualClock) -> None:
    def fetch(resource: str, query: dict[str, Any]) -> dict[str, Any]:
        status, body = ask("GET", f"/{resource}?" + "&".join(f"{name}={value}" for name, value in query.items()))
        assert status == 200, body
        return dict(body)

    mirror = Mirror("departments", limit=2)
    assert mirror.pull(fetch) == len(mirror.rows) > 2
    with db.begin() as session:
        session.add(Department(code="zz-new", name="新科", kind="临床"))
    clock.move(seconds=5)
    assert mirror.pull(fetch) == 1 and mirror.rows["zz-new"]["name"] == "新科"
    status, refused = ask("GET", "/staff?limit=501")
    assert status == 422 and refused["detail"] == [{"field": "limit", "message": "每页 1 至 500 行"}]
    assert refused["retryable"] is False and refused["trace_id"] in {row.trace_id for row in rows(db)}
