"""A kiosk makes a self-paid bill insured through the gateway (N2): signed, once, its own only, no cash handed out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from his_server.clock import ManualClock
from his_server.db import Database, numbering
from interfaces.hub import gateway
from interfaces.hub.calls import place
from interfaces.hub.models import InterfaceCall
from interfaces.kiosk.simulator import Kiosk
from modules.kernel.charging.models import Conversion, Intent, Payment, Settlement, Shift
from modules.kernel.charging.service import shifts
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from tests.factories.hospital import World
from tests.factories.security import make_user
from tests.interfaces.hub.opening import Partner, make_partner
from tests.interfaces.kiosk.helping import book_under, paid_by_scan, sending

CASES = ("conversions.quote", "conversions.convert", "conversions.state")


@pytest.fixture
def partner(world: World, app: Flask, db: Database, monkeypatch: pytest.MonkeyPatch) -> Partner:
    """A kiosk's maker, granted all of it; its kiosks book under the second cashier's account."""
    gateway._pace.__init__()  # type: ignore[misc]
    book_under(world, app, monkeypatch)
    return make_partner(db, app.test_client(), "kiosk", cases=CASES)


def _bodies(world: World, log: InterfaceCall) -> list[str]:
    """Everything that is kept of a call, the sealed bodies opened."""
    sealed = [world.db.sealer.open("column", bytes(blob), place(log.id, part)).decode()
              for blob, part in ((log.request_sealed, "request"), (log.answer_sealed, "answer"))]
    assert "settlement_no" in "".join(sealed)
    return [log.request_masked, log.answer_masked, *sealed]


@pytest.mark.requirement("N2")
@pytest.mark.parametrize("lose", [0, 1, 2])
def test_a_kiosk_converts_once_however_often_it_asks(world: World, partner: Partner, lose: int) -> None:
    done = paid_by_scan(world, 3)
    shown: list[dict[str, Any]] = []
    status, answer = Kiosk(sending(partner, lose)).convert(done["number"], done["card"], lambda one: not shown.append(one))
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
    done = paid_by_scan(world, 3)
    body = {"settlement_no": done["number"], "credential": done["card"]}
    keyless = partner.send("POST", "/conversions/quote", body)
    assert (keyless.status_code, keyless.json["code"]) == (422, "idempotency.missing")
    quoted = partner.send("POST", "/conversions/quote", body, key="kiosk-key-1").json
    assert partner.send("POST", "/conversions/quote", body, key="kiosk-key-1").json == quoted, "the same key is the same quote"
    other_bill = paid_by_scan(world, 5)
    reused = partner.send("POST", "/conversions/quote", {
        "settlement_no": other_bill["number"], "credential": other_bill["card"]}, key="kiosk-key-1")
    assert (reused.status_code, reused.json["code"]) == (409, "idempotency.reused")
    stranger = make_partner(db, app.test_client(), "other", cases=CASES)
    assert stranger.send("GET", f"/conversions/{quoted['conversion_id']}").status_code == 404
    wrong = partner.send("POST", "/conversions", {"conversion_id": quoted["conversion_id"], "return_amount": "1.00",
                                                  "credential": done["card"]}, key="kiosk-key-2")
    assert (wrong.status_code, wrong.json["code"]) == (409, "kiosk.amount")
    assert partner.send("GET", f"/conversions/{quoted['conversion_id']}").json["state"] == "quoted"
    cash = paid_by_scan(world, 7, "10.00")
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
    done = paid_by_scan(world, 3)
    card = {**done["card"], "cert_no": done["card"]["cert_no"][:18] + "0002"}
    status, answer = Kiosk(sending(partner)).convert(done["number"], card, lambda _: True)
    assert (status, answer["state"]) == (200, "settling") and answer["message"]
    again = partner.send("POST", "/conversions", {"conversion_id": answer["conversion_id"], "credential": card,
                                                  "return_amount": answer["return_amount"]}, key="kiosk-key-9")
    assert again.json["state"] == "done"
    assert world.findings() == []


@pytest.mark.requirement("N2", "FN-12", "FN-13")
@pytest.mark.parametrize("by", ["the next conversion", "the job"])
def test_the_kiosks_shift_ends_with_its_day_and_holds_what_went_back(
        world: World, partner: Partner, app: Flask, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """Nobody sits at a kiosk: its account's shift is the day's, whoever notices first; finance receives it."""
    with world.db.begin() as session:
        user = make_user(session, "cashier", login="kiosk", name="自助机")
        numbering.grant_range(session, RECEIPT_SERIES, user.id, 7_000_001, 7_000_999)
        channel_id = user.id
    book_under(world, app, monkeypatch, "kiosk")

    def convert(done: dict[str, Any]) -> Decimal:
        answer = Kiosk(sending(partner)).convert(done["number"], done["card"], lambda _: True)[1]
        assert answer["state"] == "done", answer
        return Decimal(answer["return_amount"])

    first, second, later = (paid_by_scan(world, day) for day in (3, 5, 7))
    back = convert(first) + convert(second)
    assert shifts.end_days(world.db) == 0, "the day isn't over"
    day = clock.today()
    clock.move(hours=17)  # after midnight
    world.sign_in_again()
    if by == "the job":
        assert shifts.end_days(world.db) == 1
    else:
        convert(later)
    assert shifts.end_days(world.db) == 0
    closed, told = world.ended_shift(channel_id, of=1 if by == "the job" else 2)
    assert closed.business_date == day and closed.settlements == 2
    sums = {row["method"]: Decimal(row["net"]) for row in told["payments"]}
    assert sums["scan"] == -back and sum(sums.values()) == Decimal(told["net"]) == 0, "who pays changes, not what is paid"
    assert told["unbalanced"] == [] and Decimal(told["cash"]) == 0
    received = world.ok(world.post("finance", f"/api/outpatient-billing/shifts/{closed.id}/hand-over"))
    assert received["state"] == "handed_over"
    with world.db.begin(write=False) as session:
        windows = session.scalars(select(Shift.state).where(Shift.cashier_id == world.ids["user_cashier"])).all()
    assert windows and set(windows) == {"open"}, "a window's shift is closed by whoever sits there"
    assert world.findings() == []
