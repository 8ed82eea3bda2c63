"""A patient's app at the gateway: its patient's bills, one put on the phone, how far it is, taken back; nobody else's (H5)."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from his_server.db import Database
from his_server.security.audit import AuditRow
from interfaces.hub import gateway
from interfaces.hub.models import InterfaceCall
from interfaces.med_mobile_pay import simulator
from modules.kernel.charging.models import InsuranceClaim, Intent, Payment, Settlement
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.factories.mobile import Mobile
from tests.interfaces.hub.opening import Partner, make_partner

CASES = ("mobile.bills", "mobile.order", "mobile.state", "mobile.cancel")
KEPT = (Settlement, Intent, InsuranceClaim, Payment)


@pytest.fixture
def phone(world: World, tmp_path: Path) -> Mobile:
    make.no_codes_needed(world)
    return Mobile(world, tmp_path)


@pytest.fixture
def app_partner(world: World, phone: Mobile, app: Flask, db: Database) -> Partner:
    """The maker of the patients' app, granted all of it."""
    gateway._pace.__init__()  # type: ignore[misc]
    return make_partner(db, app.test_client(), "app", cases=CASES)


def _card(number: str, **more: Any) -> dict[str, Any]:
    return {"cert_type": "ecode", "cert_no": number + "0000", **more}


def _bill(partner: Partner, number: str) -> dict[str, Any]:
    answer = partner.send("POST", "/mobile/bills", {"credential": _card(number)}, key="bills-of-somebody")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    [bill] = answer.json["items"]
    return {"visit_no": bill["visit_no"], "medfee_sumamt": bill["medfee_sumamt"], "credential": _card(number)}


@pytest.mark.requirement("H5")
@pytest.mark.parametrize("end", ["paid", "cancelled"])
def test_a_patient_pays_or_takes_back_from_the_app(world: World, phone: Mobile, app_partner: Partner, end: str) -> None:
    person, number = phone.bill()
    body = _bill(app_partner, number)
    assert body["medfee_sumamt"] == "605.50"
    made = app_partner.send("POST", "/mobile/orders", body, key="order-of-a-bill").json
    assert made["state"] == "waiting" and "/cashier/ORD" in made["cashier_url"]
    again = app_partner.send("POST", "/mobile/orders", body, key="order-once-more").json
    assert again["order_no"] == made["order_no"], "the same bill is the same order"
    path = f"/mobile/orders/{made['order_no']}"
    if end == "paid":
        assert phone.notify(phone.phone({"number": made["order_no"]})).status_code == 200
    else:
        for key in ("cancel-it-once", "cancel-it-twice"):
            assert app_partner.send("POST", f"{path}/cancel", key=key).json["state"] == "closed"
    told = app_partner.send("GET", path).json
    assert told["state"] == {"paid": "paid", "cancelled": "closed"}[end]
    with world.db.begin(write=False) as session:
        settled = session.scalars(select(Settlement).where(Settlement.channel == "mobile")).all()
        assert [(told["settlement_no"], Decimal("605.50"))] * (end == "paid") == [(s.number, s.total) for s in settled]
        logs = list(session.scalars(select(InterfaceCall).where(InterfaceCall.operation.in_(CASES))))
    assert all(number not in f"{log.request_masked}{log.answer_masked}" for log in logs) and len(logs) >= 4
    if end == "paid":
        assert (told["fund_pay_sumamt"], told["acct_pay"], told["psn_cash_pay"]) == ("363.30", "100.00", "142.20")
        assert len(told["receipt_numbers"]) >= 1 and world.unpaid(person)["lines"] == []
        paid = app_partner.send("POST", f"{path}/cancel", key="too-late-to-cancel").json
        assert paid["state"] == "paid", "what is paid stays paid"
    else:
        assert simulator.net(phone.books) == (0, 0) and len(world.unpaid(person)["lines"]) == 1
    assert world.findings() == []


@pytest.mark.requirement("H5", "PR-13")
def test_nobody_elses_bills_and_orders(world: World, phone: Mobile, app_partner: Partner, app: Flask, db: Database) -> None:
    _, number = phone.bill(3)
    _, other = phone.bill(5)
    body = _bill(app_partner, number)
    theirs = app_partner.send("POST", "/mobile/orders", {**body, "credential": _card(other)}, key="another-credential")
    assert (theirs.status_code, theirs.json["code"]) == (404, "mobile.visit")
    less = app_partner.send("POST", "/mobile/orders", {**body, "medfee_sumamt": "1.00"}, key="another-amount")
    assert (less.status_code, less.json["code"]) == (409, "mobile.amount")
    made = app_partner.send("POST", "/mobile/orders", body, key="order-of-a-bill").json
    stranger = make_partner(db, app.test_client(), "other", cases=CASES)
    for method, path in (("GET", ""), ("POST", "/cancel")):
        refused = stranger.send(method, f"/mobile/orders/{made['order_no']}{path}", key="a-stranger-asks")
        assert (refused.status_code, refused.json["code"]) == (404, "mobile.order")
    shy = make_partner(db, app.test_client(), "shy", cases=("mobile.bills",), fields=("dept_name",))
    [bill] = shy.send("POST", "/mobile/bills", {"credential": _card(other)}, key="bills-of-somebody").json["items"]
    assert set(bill) == {"visit_no", "medfee_sumamt", "dept_name"}, "lines leave only where they were granted"
    assert shy.send("POST", "/mobile/orders", body, key="not-granted-this").status_code == 403


@pytest.mark.requirement("H5", "DB-21")
def test_wrong_signed_requests_change_nothing(world: World, phone: Mobile, app_partner: Partner) -> None:
    """Whatever a partner signs: refused in the one envelope, and nothing of value is written."""
    _, number = phone.bill()
    body, chance = _bill(app_partner, number), random.Random(5)
    odd: tuple[Any, ...] = (None, 0, -1, 1e300, "", "x" * 5000, "\\x00", "𠮷", [], {}, [[]], True, "605.5", "NaN", body)

    def spoilt() -> Any:
        made: Any = {**body, "credential": dict(body["credential"])}
        where = made if chance.random() < 0.6 else made["credential"]
        name = chance.choice([*where, "strange"])
        where[name] = chance.choice(odd)
        if chance.random() < 0.2 and name != "strange":
            del where[name]
        return chance.choice(odd) if chance.random() < 0.15 else made

    def counted() -> list[int]:
        with world.db.begin(write=False) as session:
            return [session.scalar(select(func.count()).select_from(model)) or 0 for model in KEPT]

    before, seen = counted(), set()
    for n in range(40):
        path = chance.choice(("/mobile/orders", "/mobile/bills", "/mobile/orders/P20260302000000001/cancel"))
        answer = app_partner.send("POST", path, spoilt(), key=f"wrong-request-{n}")
        seen.add(answer.status_code)
        assert answer.status_code < 500, (path, answer.get_data(as_text=True))
        if answer.status_code >= 400:
            assert set(answer.json) == {"code", "message", "detail", "trace_id", "retryable"}
            assert counted() == before, (path, answer.json)
        before = counted()
    assert {404, 422} <= seen
    with world.db.begin(write=False) as session:
        assert session.scalar(select(func.count()).select_from(AuditRow).where(AuditRow.event == "mobile.offer")) <= 1
