"""A kiosk makes a self-paid bill insured through the gateway (N2): signed, once, its own only, no cash handed out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from his_server.db import Database
from interfaces.hub import gateway
from interfaces.hub.calls import place
from interfaces.hub.models import InterfaceCall
from interfaces.kiosk.simulator import Kiosk
from modules.kernel.charging.models import Conversion, Intent, Payment, Settlement
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.interfaces.hub.opening import Partner, make_partner

CASES = ("conversions.quote", "conversions.convert", "conversions.state")


@pytest.fixture
def partner(world: World, app: Flask, db: Database, monkeypatch: pytest.MonkeyPatch) -> Partner:
    """A kiosk's maker, granted all of it; its kiosks book under the second cashier's account."""
    gateway._pace.__init__()  # type: ignore[misc]
    with db.begin(write=False) as session:
        from his_server.security.models import User
        login = session.get_one(User, world.ids["user_cashier2"]).login
    known = app.extensions["his_module_settings"]
    monkeypatch.setitem(known, "kiosk", replace(known["kiosk"], account=login))
    return make_partner(db, app.test_client(), "kiosk", cases=CASES)


def _paid(world: World, day: int, scan: str = "302.75") -> dict[str, Any]:
    """A bill paid by scan, as at a kiosk; the rest in cash."""
    number = make.id_no(day)
    person = make.insured_person(world, number, f"病人{day}")
    world.request(world.encounter(world.register(person)), "5")
    pays = [{"method": "scan", "covers": scan, "intent_id": world.scan(person, scan)["id"]}]
    if rest := Decimal("302.75") - Decimal(scan):
        pays.append({"method": "cash", "covers": str(rest)})
    made = world.ok(world.pay_all(person, pays))
    return {"id": made["id"], "number": made["number"], "card": {"cert_type": "ecode", "cert_no": number + "0000"}}


def _send(partner: Partner, lose: int = 0) -> Any:
    """As the simulated kiosk sends; the first ``lose`` answers get lost after they were made."""
    left = [lose]

    def send(method: str, path: str, body: Any, key: str) -> tuple[int, Any]:
        answer = partner.send(method, path, body, key=key)
        if left[0]:
            left[0] -= 1
            raise ConnectionError("lost")
        return answer.status_code, answer.get_json()

    return send


def _bodies(world: World, log: InterfaceCall) -> list[str]:
    """Everything that is kept of a call, the sealed bodies opened."""
    sealed = [world.db.sealer.open("column", bytes(blob), place(log.id, part)).decode()
              for blob, part in ((log.request_sealed, "request"), (log.answer_sealed, "answer"))]
    assert "settlement_no" in "".join(sealed)
    return [log.request_masked, log.answer_masked, *sealed]


@pytest.mark.requirement("N2")
@pytest.mark.parametrize("lose", [0, 1, 2])
def test_a_kiosk_converts_once_however_often_it_asks(world: World, partner: Partner, lose: int) -> None:
    done = _paid(world, 3)
    shown: list[dict[str, Any]] = []
    status, answer = Kiosk(_send(partner, lose)).convert(done["number"], done["card"], lambda one: not shown.append(one))
    assert (status, answer["state"]) == (200, "done"), answer
    (quote,) = shown
    assert Decimal(quote["medfee_sumamt"]) == Decimal("302.75") == sum(
        Decimal(quote[name]) for name in ("fund_pay_sumamt", "acct_pay", "psn_cash_pay", "hosp_part_amt"))
    assert answer["return_amount"] == quote["return_amount"]
    assert [(one["method"], one["state"]) for one in answer["returns"]] == [("scan", "confirmed")]
    with world.db.begin(write=False) as session:
        booked = session.scalars(select(Settlement).where(Settlement.kind == "convert")).one()
        assert (booked.channel, booked.cashier_id) == ("kiosk", world.ids["user_cashier2"])
        assert session.scalar(select(func.count()).select_from(Conversion)) == 1
        assert session.scalar(select(func.count()).select_from(Intent).where(Intent.purpose == "insure")) == 1
        net = session.scalar(select(func.sum(Payment.amount)).where(Payment.method == "scan"))
        logs = list(session.scalars(select(InterfaceCall).where(InterfaceCall.operation.in_(CASES))))
    assert net == Decimal(quote["psn_cash_pay"]) == world.db.ports["payment:scan"].net()
    assert {log.operation for log in logs} >= {"conversions.quote", "conversions.convert"}
    kept = [text for log in logs for text in _bodies(world, log)]
    assert all(done["card"]["cert_no"] not in text for text in kept), "the credential is never kept"
    assert world.findings() == []


@pytest.mark.requirement("N2")
def test_what_a_kiosk_may_not(world: World, partner: Partner, app: Flask, db: Database) -> None:
    done = _paid(world, 3)
    body = {"settlement_no": done["number"], "credential": done["card"]}
    keyless = partner.send("POST", "/conversions/quote", body)
    assert (keyless.status_code, keyless.json["code"]) == (422, "idempotency.missing")
    quoted = partner.send("POST", "/conversions/quote", body, key="kiosk-key-1").json
    assert partner.send("POST", "/conversions/quote", body, key="kiosk-key-1").json == quoted, "the same key is the same quote"
    other_bill = _paid(world, 5)
    reused = partner.send("POST", "/conversions/quote", {
        "settlement_no": other_bill["number"], "credential": other_bill["card"]}, key="kiosk-key-1")
    assert (reused.status_code, reused.json["code"]) == (409, "idempotency.reused")
    stranger = make_partner(db, app.test_client(), "other", cases=CASES)
    assert stranger.send("GET", f"/conversions/{quoted['conversion_id']}").status_code == 404
    wrong = partner.send("POST", "/conversions", {"conversion_id": quoted["conversion_id"], "return_amount": "1.00",
                                                  "credential": done["card"]}, key="kiosk-key-2")
    assert (wrong.status_code, wrong.json["code"]) == (409, "kiosk.amount")
    assert partner.send("GET", f"/conversions/{quoted['conversion_id']}").json["state"] == "quoted"
    cash = _paid(world, 7, "10.00")
    refused = partner.send("POST", "/conversions/quote", {"settlement_no": cash["number"], "credential": cash["card"]},
                           key="kiosk-key-3")
    assert (refused.status_code, refused.json["code"]) == (409, "kiosk.cash") and "人工窗口" in refused.json["message"]
    with world.db.begin(write=False) as session:
        assert session.scalar(select(func.count()).select_from(Settlement).where(Settlement.kind == "convert")) == 0
    known = app.extensions["his_module_settings"]
    known["kiosk"] = replace(known["kiosk"], account="")
    nobody = partner.send("POST", "/conversions/quote", body, key="kiosk-key-4")
    assert (nobody.status_code, nobody.json["code"], nobody.json["retryable"]) == (503, "kiosk.no_account", True)
    assert world.findings() == []


@pytest.mark.requirement("N2")
def test_a_lost_answer_of_the_insurer_is_followed(world: World, partner: Partner) -> None:
    done = _paid(world, 3)
    card = {**done["card"], "cert_no": done["card"]["cert_no"][:18] + "0002"}
    status, answer = Kiosk(_send(partner)).convert(done["number"], card, lambda _: True)
    assert (status, answer["state"]) == (200, "settling") and answer["message"]
    again = partner.send("POST", "/conversions", {"conversion_id": answer["conversion_id"], "credential": card,
                                                  "return_amount": answer["return_amount"]}, key="kiosk-key-9")
    assert again.json["state"] == "done"
    assert world.findings() == []
