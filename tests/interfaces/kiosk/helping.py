"""A bill that was paid at a kiosk, the account that kiosks book under, and how a kiosk sends."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask

from his_server.security.models import User
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.interfaces.hub.opening import Partner


def book_under(world: World, app: Flask, monkeypatch: pytest.MonkeyPatch, login: str = "") -> None:
    """Kiosks book under this account; the second cashier's unless named."""
    with world.db.begin(write=False) as session:
        login = login or session.get_one(User, world.ids["user_cashier2"]).login
    known = app.extensions["his_module_settings"]
    monkeypatch.setitem(known, "kiosk", replace(known["kiosk"], account=login))


def paid_by_scan(world: World, day: int, scan: str = "302.75") -> dict[str, Any]:
    """A bill paid by scan, as at a kiosk; the rest in cash."""
    number = make.id_no(day)
    person = make.insured_person(world, number, f"病人{day}")
    world.request(world.encounter(world.register(person)), "5")
    pays = [{"method": "scan", "covers": scan, "intent_id": world.scan(person, scan)["id"]}]
    if rest := Decimal("302.75") - Decimal(scan):
        pays.append({"method": "cash", "covers": str(rest)})
    made = world.ok(world.pay_all(person, pays))
    return {"id": made["id"], "number": made["number"], "card": {"cert_type": "ecode", "cert_no": number + "0000"}}


def sending(partner: Partner, lose: int = 0) -> Any:
    """As the simulated kiosk sends; the first ``lose`` answers get lost after they were made."""
    left = [lose]

    def send(method: str, path: str, body: Any, key: str) -> tuple[int, Any]:
        answer = partner.send(method, path, body, key=key)
        if left[0]:
            left[0] -= 1
            raise ConnectionError("lost")
        return answer.status_code, answer.get_json()

    return send
