"""PaymentPort v1 over HTTP: what counts is the acquirer's signature, our number and our amount; nothing else is an answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.requests import PeerKey
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.messaging.outbox import LostAnswer, NotSent, Refused
from interfaces.hub import transport
from interfaces.hub.simulating import Faults, Rule
from interfaces.scan_payment import contract, mapping, simulator
from interfaces.scan_payment.client import Acquirer, Keys
from interfaces.scan_payment.settings import Settings
from modules.kernel.charging.ports import CONFIRMED, REFUSED, UNKNOWN
from tests.factories.hospital import World

CODE = "134567890123456789"
TEN = Decimal("10.00")


@pytest.fixture
def clock() -> ManualClock:
    """A Monday."""
    from tests.conftest import MONDAY

    return ManualClock(MONDAY)


@pytest.fixture
def acquirer(tmp_path: Path, clock: ManualClock) -> Callable[..., Acquirer]:
    """``acquirer("ecny")`` → the adapter over the simulator."""
    line = transport.in_process("scan_payment", tmp_path, clock)

    def make(channel: str = "scan", keys: Keys | None = None) -> Acquirer:
        from crypto import get_provider

        return Acquirer(line, channel, keys or simulator.test_keys(), get_provider(), clock.now)

    return make


@pytest.mark.requirement("N5")
def test_ecny_is_paid_queried_refunded_in_parts_and_stands_on_the_statement(acquirer: Callable[..., Acquirer],
                                                                           clock: ManualClock) -> None:
    ecny, scan = acquirer("ecny"), acquirer()
    paid = ecny.pay("P1", TEN, CODE)
    assert (paid.state, paid.peer_number) == (CONFIRMED, "SIMP1")
    assert ecny.query("P1").state == CONFIRMED and ecny.query("P2").state == REFUSED
    assert scan.pay("P3", Decimal("0.01"), CODE).state == CONFIRMED
    assert [ecny.refund(number, "P1", amount).state for number, amount in (
        ("R1", Decimal("4.00")), ("R1", Decimal("4.00")), ("R2", Decimal("6.01")), ("R3", Decimal("6.00")))] == [
        CONFIRMED, CONFIRMED, REFUSED, CONFIRMED]
    assert ecny.query_refund("R1").state == CONFIRMED and ecny.query_refund("R2").state == REFUSED
    day = date(2026, 3, 2)
    assert ecny.download_bill(day).state == REFUSED, "today's statement isn't there yet"
    clock.move(hours=24)
    rows = ecny.download_bill(day).rows
    assert sorted((row.kind, row.number, row.amount, row.original) for row in rows) == [
        ("pay", "P1", TEN, ""), ("refund", "R1", Decimal("4.00"), "P1"), ("refund", "R3", Decimal("6.00"), "P1")]
    assert [row.number for row in scan.download_bill(day).rows] == ["P3"]


@pytest.mark.requirement("N5")
def test_codes_that_pay_badly(acquirer: Callable[..., Acquirer]) -> None:
    scan = acquirer()
    assert scan.pay("P1", TEN, CODE[:-4] + "0001").state == REFUSED
    for number, ending, later in (("P2", "0002", [CONFIRMED]), ("P3", "0003", [REFUSED]), ("P4", "0004", [UNKNOWN, CONFIRMED]),
                                  ("P5", "0005", [UNKNOWN, UNKNOWN])):
        if ending == "0005":
            assert scan.pay(number, TEN, CODE[:-4] + ending).state == UNKNOWN
        else:
            with pytest.raises(LostAnswer):
                scan.pay(number, TEN, CODE[:-4] + ending)
        assert [scan.query(number).state for _ in later] == later
    assert scan.close("P5").state == CONFIRMED and scan.query("P5").state == REFUSED
    assert scan.close("P2").state == REFUSED, "paid orders aren't closed"
    assert scan.close("P9").state == CONFIRMED and scan.pay("P9", TEN, CODE).state == REFUSED, "closed before it arrived"


@pytest.mark.requirement("N5")
@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "short", "garbage", "refuse"])
def test_without_a_whole_signed_answer_nobody_knows(acquirer: Callable[..., Acquirer], tmp_path: Path, fault: str) -> None:
    Faults(tmp_path / "scan_payment").write([Rule(fault, count=1)])
    scan = acquirer()
    with pytest.raises(LostAnswer):
        scan.pay("P1", TEN, CODE)
    assert scan.query("P1").state == (REFUSED if fault in ("drop_before", "refuse") else CONFIRMED)
    assert scan.pay("P1", TEN, CODE).state == CONFIRMED  # the same number is one payment
    assert simulator.ScanChannel(simulator.books_path(tmp_path / "scan_payment")).net() == TEN


@pytest.mark.requirement("N5", "X1")
def test_signatures_of_both_sides_count(acquirer: Callable[..., Acquirer], clock: ManualClock) -> None:
    from crypto import get_provider

    stranger, public = get_provider().sm2_generate()
    right = simulator.test_keys()
    with pytest.raises(Refused):
        acquirer(keys=Keys(lambda: (simulator.TEST_KEY, stranger), right.peer, right.merchant)).pay("P1", TEN, CODE)
    forged = Keys(right.private, PeerKey(simulator.TEST_KEY, public), right.merchant)
    with pytest.raises(LostAnswer, match="签名"):
        acquirer(keys=forged).pay("P2", TEN, CODE)
    other = acquirer(keys=Keys(right.private, right.peer, "SOMEBODY"))
    assert other.pay("P3", TEN, CODE).state == REFUSED
    again = acquirer()
    clock_before = again.now
    again.now = lambda: clock_before() - timedelta(minutes=6)
    with pytest.raises(Refused):
        again.pay("P4", TEN, CODE)


@pytest.mark.requirement("N5")
@pytest.mark.parametrize("spoilt", [
    {"merchant": "OTHER"}, {"number": "P9"}, {"amount_fen": 1001}, {"state": "PERHAPS"}])
def test_an_answer_about_something_else_is_none(spoilt: dict[str, Any]) -> None:
    answer = {"code": "SUCCESS", "message": "", "merchant": "M", "number": "P1", "transaction_no": "T", "amount_fen": 1000,
              "state": contract.PAID}
    assert mapping.outcome(answer, "M", "P1", TEN, "").state == CONFIRMED
    with pytest.raises(mapping.Garbled):
        mapping.outcome({**answer, **spoilt}, "M", "P1", TEN, "")


BILL = ("交易时间,商户号,渠道,类型,商户单号,渠道单号,原商户单号,金额（分）,手续费（分）,状态\n"
        "`2026-03-02 23:59:59,`M,wechat,支付,`P1,`T1,`,1000,6,SUCCESS\n"
        "`2026-03-02 09:00:00,`M,wechat,退款,`R1,`T2,`P1,250,0,SUCCESS\n合计,2,1000,250\n")


@pytest.mark.requirement("N5")
def test_a_statement_with_back_quotes_fees_refunds_and_totals() -> None:
    rows = mapping.statement("\ufeff" + BILL, "M")
    assert [(r.kind, r.number, r.amount, r.fee, r.original) for r in rows] == [
        ("pay", "P1", TEN, Decimal("0.06"), ""), ("refund", "R1", Decimal("2.50"), Decimal("0.00"), "P1")]
    for wrong in (BILL.replace("合计,2,1000", "合计,2,1001"), BILL.replace("`M", "`X", 1), BILL.rpartition("合计")[0],
                  BILL.replace(",1000,6", ",10.00,6"), BILL.replace("商户号", "店号"), BILL.replace("合计,2", "合计,3"), ""):
        with pytest.raises(mapping.Garbled):
            mapping.statement(wrong, "M")


@given(st.decimals(min_value=0, max_value=10**9, places=2))
def test_fen_and_yuan(amount: Decimal) -> None:
    assert mapping.to_yuan(mapping.to_fen(amount)) == amount
    with pytest.raises(ValueError, match="整分"):
        mapping.to_fen(amount + Decimal("0.001"))


def test_an_address_without_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="peer_key"):
        Settings(url="https://pay.example")
    with pytest.raises(ValueError, match="渠道"):
        Settings(channels=("cheque",))


def test_nobody_listens_is_surely_not_sent(tmp_path: Path, clock: ManualClock) -> None:
    def nobody(*_given: Any) -> Any:
        raise NotSent("connection refused")

    from crypto import get_provider

    line = transport.Line("scan_payment", nobody, timeout=1)
    with pytest.raises(NotSent):
        Acquirer(line, "scan", simulator.test_keys(), get_provider(), clock.now).query("P1")


@pytest.mark.requirement("N5")
def test_a_bill_is_paid_by_ecny_at_the_window_and_goes_back_the_same_way(world: World, db: Database, tmp_path: Path) -> None:
    channels = world.ok(world.get("cashier", "/api/charging/channels"))["items"]
    assert {"code": "ecny", "name": "数字人民币"} in channels
    person = world.person()
    intent = world.ok(world.post("cashier", "/api/outpatient-billing/payment-intents", {
        "person_id": person, "channel": "ecny", "amount": "20.00", "auth_code": CODE}))
    assert intent["state"] == "confirmed"
    made = world.ok(world.post("cashier", "/api/outpatient-billing/registrations", {
        "person_id": person, "session_id": world.ids["session"], "expected_total": "20.00",
        "payments": [{"method": "ecny", "covers": "20.00", "intent_id": intent["id"]}]}))
    back = world.ok(world.post("cashier", f"/api/outpatient-billing/registrations/{made['registration_id']}/cancel",
                               {"reason": "病人要求"}))
    assert back["total"] == "20.00" and back["cash"] == "0.00"
    sent = world.ok(world.post("cashier", f"/api/outpatient-billing/payment-intents/{back['intent_ids'][0]}/send"))
    assert sent["state"] == "confirmed"
    books = simulator.ScanChannel(simulator.books_path(tmp_path / "simulators" / "scan_payment"))
    assert books.net() == 0 and books.query_refund(sent["number"]).state == CONFIRMED
    assert world.findings() == []
