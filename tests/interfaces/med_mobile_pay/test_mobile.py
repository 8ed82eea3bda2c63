"""Settling on the phone, through the public API: however the outcome is heard, the ledger settles once (H5, FN-15)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from crypto import get_provider
from his_server.clock import ManualClock
from his_server.db import numbering
from his_server.messaging.outbox import LostAnswer
from his_server.messaging.worker import Worker
from interfaces.med_mobile_pay import envelope, mapping, simulator
from interfaces.med_mobile_pay.settings import SIMULATED
from modules.kernel.charging import rules
from modules.kernel.charging.models import IntentTry, Payment, Settlement
from modules.kernel.charging.ports import Outcome
from modules.kernel.charging.service import insured, insured_refunds, intents, mobile, payments, shifts
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.factories.mobile import Mobile
from tests.factories.security import make_user


@pytest.fixture
def phone(world: World, tmp_path: Path) -> Mobile:
    make.no_codes_needed(world)
    return Mobile(world, tmp_path)


def _recover(world: World, clock: ManualClock, seconds: int = 61) -> None:
    clock.move(seconds=seconds)
    for _ in range(3):
        for step in (mobile.recover, insured.recover, insured_refunds.recover, payments.recover):
            step(world.db)


def _paid(world: World, settlement: int | None = None) -> dict[str, Decimal]:
    with world.db.begin(write=False) as session:
        sums: dict[str, Decimal] = {}
        ours = Payment.method.like("insurance%") | (Payment.method == "med_mobile")
        for payment in session.scalars(select(Payment).where(ours)):
            sums[payment.method] = sums.get(payment.method, Decimal(0)) + payment.amount
        return sums


def _agree(world: World, phone: Mobile) -> None:
    """Both books say the same, and nothing is left that somebody would have to look after."""
    ours = _paid(world)
    own = ours.pop("med_mobile", Decimal(0))
    insurer, cash = simulator.net(phone.books)
    window = world.db.ports["insurance"].net()
    assert (sum(ours.values(), Decimal(0)) - window, own) == (insurer, cash)
    with world.db.begin(write=False) as session:
        assert not session.scalars(select(intents.Intent.id).where(intents.needs_somebody(world.db.clock.now()))).all()
    assert world.findings() == []


def _settlements(world: World) -> int:
    with world.db.begin(write=False) as session:
        return len(session.scalars(select(Settlement.id).where(Settlement.channel == "mobile", Settlement.kind == "charge")
                                   ).all())


@pytest.mark.requirement("H5")
def test_the_published_test_value_and_what_is_signed() -> None:
    crypto = get_provider()
    assert envelope.cipher_key(crypto, SIMULATED["app_id"], SIMULATED["app_secret"]) == b"863B5F40C70B71EA"
    given = {"b": {"z": 1, "a": Decimal("2.50"), "n": None, "e": ""}, "a": "中", "list": [{"y": True, "x": []}, None]}
    assert envelope.canonical(given) == '{"a":"中","b":{"a":"2.50","z":"1"},"list":[{"y":"true"}]}'
    message = {"appId": "A", "timestamp": "1", "version": "1.0.0", "encType": "SM4", "signType": "SM2", "data": "{}",
               "encData": "x", "signData": "y", "extra": "no"}
    assert envelope.signed_text(message, "S") == (
        "appId=A&data={}&encType=SM4&signType=SM2&timestamp=1&version=1.0.0&key=S")


@pytest.mark.requirement("H5")
@pytest.mark.parametrize("spoil", ["signData", "encData", "timestamp", "appId", "other key", "other uid"])
def test_a_message_that_was_touched_is_not_opened(spoil: str, clock: ManualClock) -> None:
    crypto, ours, theirs = get_provider(), simulator.keys(ours=True), simulator.keys()
    message = envelope.pack(crypto, ours, {"payOrdId": "P", "n": Decimal("1.10")}, clock.now())
    assert envelope.unpack(crypto, theirs, message) == {"payOrdId": "P", "n": "1.10"}
    if spoil == "other key":
        theirs = replace(theirs, peer=crypto.sm2_generate()[1])
    elif spoil == "other uid":
        theirs = replace(theirs, uid=b"somebody")
    else:
        last = message[spoil][-1]
        message[spoil] = ("0" if last != "0" else "1") + message[spoil][1:] if spoil == "signData" else (
            message[spoil][:-1] + ("0" if last != "0" else "1"))
    with pytest.raises(envelope.EnvelopeError):
        envelope.unpack(crypto, theirs, message)


@pytest.mark.requirement("H5", "FN-15")
@pytest.mark.parametrize("heard", ["notice", "question", "authorisation", "own part later"])
def test_paid_on_the_phone_is_settled_once_however_it_is_heard(world: World, phone: Mobile, clock: ManualClock, heard: str
                                                               ) -> None:
    person, number = phone.bill()
    order = world.ok(phone.offer(person, number))
    assert "/cashier/ORD" in order["url"] and order["state"] == "created"
    assert world.ok(phone.offer(person, number))["number"] == order["number"]  # asked again: the same order
    if heard == "notice":
        message = phone.phone(order)
        for _ in range(3):
            answer = phone.notify(message)
            assert answer.status_code == 200
            told = envelope.unpack(get_provider(), simulator.keys(), answer.json)
            assert told["success"] == "true"
    elif heard == "question":
        phone.phone(order)
        _recover(world, clock)
    elif heard == "authorisation":
        assert phone.act(order, "pay", authorisation="AUTH9999")["state"] == "used"
        assert phone.act(order, "pay", authorisation="AUTH9999")["state"] == "used"
    else:
        assert phone.act(order, "pay", authorisation="AUTH0004")["state"] == "created"
        phone.notify(phone.phone(order))
    claim = phone.act(order, "query")
    assert (claim["state"], claim["fund"], claim["account"], claim["cash"]) == ("used", "363.30", "100.00", "142.20")
    assert _settlements(world) == 1 and world.unpaid(person)["lines"] == []
    assert _paid(world) == {"insurance_fund": Decimal("363.30"), "insurance_account": Decimal("100.00"),
                            "med_mobile": Decimal("142.20")}
    _recover(world, clock, 1000)
    _agree(world, phone)


@pytest.mark.requirement("H5", "FN-15")
def test_a_notice_before_our_own_answer(world: World, phone: Mobile, clock: ManualClock) -> None:
    """6202's answer is lost, the notice comes first: one settlement."""
    person, number = phone.bill()
    order = world.ok(phone.offer(person, number))
    phone.misbehave("drop_after", where="6202")
    assert phone.act(order, "pay", authorisation="AUTH9999")["state"] == "unknown"
    assert phone.notify(phone.phone(order)).status_code == 200
    assert phone.act(order, "query")["state"] == "used" and _settlements(world) == 1
    _recover(world, clock)
    _agree(world, phone)


@pytest.mark.requirement("H5", "FN-15")
def test_paid_after_the_order_was_closed_goes_back_whole(world: World, phone: Mobile, clock: ManualClock) -> None:
    person, number = phone.bill()
    order = world.ok(phone.offer(person, number))
    assert phone.act(order, "withdraw")["state"] == "refused"
    message = phone.phone(order, even_if_closed=True)
    for _ in range(2):
        assert phone.notify(message).status_code == 200
    claim = phone.act(order, "query")
    assert claim["state"] == "reversed" and "已自动退回" in claim["message"]
    assert _settlements(world) == 0 and simulator.net(phone.books) == (Decimal(0), Decimal(0))
    assert world.ok(world.pay_all(person))["total"] == "605.50"
    _recover(world, clock)
    _agree(world, phone)


@pytest.mark.requirement("H5")
def test_lines_that_the_window_took_meanwhile(world: World, phone: Mobile, clock: ManualClock) -> None:
    """Unpaid: the order is taken back by itself. Paid at the same moment: both parts go back to the payer."""
    person, number = phone.bill()
    order = world.ok(phone.offer(person, number))
    world.ok(world.pay_all(person))
    assert phone.notify(phone.phone(order)).status_code == 200
    claim = phone.act(order, "query")
    assert claim["state"] == "reversed" and "收取" in claim["message"]
    other, number = phone.bill(5)
    second = world.ok(phone.offer(other, number))
    world.ok(world.pay_all(other))
    _recover(world, clock, 1)
    assert phone.act(second, "query")["state"] == "refused"
    _recover(world, clock)
    _agree(world, phone)


@pytest.mark.requirement("H5")
def test_an_order_that_nobody_pays_is_taken_back(world: World, phone: Mobile, clock: ManualClock) -> None:
    person, number = phone.bill()
    order = world.ok(phone.offer(person, number))
    _recover(world, clock)
    assert phone.act(order, "query")["state"] == "created"
    clock.move(minutes=31)
    _recover(world, clock)
    world.sign_in_again()
    assert phone.act(order, "query")["state"] == "refused"
    assert world.ok(phone.offer(person, number))["number"] != order["number"]


@pytest.mark.requirement("H5", "FN-15")
@pytest.mark.parametrize("db_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True)
@pytest.mark.parametrize("why", ["nobody pays the rest", "the window took the lines", "a person withdraws", "paid meanwhile"])
def test_an_order_paid_by_half_is_given_back(world: World, phone: Mobile, clock: ManualClock, why: str) -> None:
    """The insurer paid, the payer never did: what the insurer took from fund and account goes back, by itself, once."""
    person, number = phone.bill()
    order = world.ok(phone.offer(person, number))
    assert phone.act(order, "pay", authorisation="AUTH0004")["state"] == "created"
    if why == "a person withdraws":
        assert phone.act(order, "withdraw")["state"] == "reversed"
    elif why == "the window took the lines":
        world.ok(world.pay_all(person))
        _recover(world, clock, 1)
    elif why == "paid meanwhile":  # between our question and the refund of the insurer's part
        adapter = world.db.ports[rules.MOBILE]
        query, notices = adapter.query, []

        def asked(number: str) -> Any:
            answer = query(number)
            notices.append(phone.phone(order))
            return answer

        adapter.query = asked
        clock.move(minutes=31)
        mobile.recover(world.db)
        del adapter.query
        for _ in range(2):
            assert phone.notify(notices[0]).status_code == 200
    else:
        clock.move(minutes=31)
        _recover(world, clock)
        world.sign_in_again()
    _recover(world, clock)
    world.sign_in_again()
    claim = phone.act(order, "query")
    assert claim["state"] == "reversed" and "已退回所付部分" in claim["message"]
    assert simulator.net(phone.books) == (Decimal(0), Decimal(0)) and _settlements(world) == 0
    _agree(world, phone)


@pytest.mark.requirement("H5")
def test_what_the_platform_does_not_take_back_is_not_asked_without_a_pause(world: World, phone: Mobile, clock: ManualClock
                                                                           ) -> None:
    person, number = phone.bill()
    order = world.ok(phone.offer(person, number))
    world.db.ports[rules.MOBILE].withdraw = lambda _number: Outcome("refused", message="结算处理中，不能撤销")
    clock.move(minutes=31)
    for _ in range(5):
        mobile.recover(world.db)
    clock.move(seconds=61)
    mobile.recover(world.db)
    with world.db.begin(write=False) as session:
        assert len(session.scalars(select(IntentTry.id).where(IntentTry.act == "withdraw")).all()) == 2
    world.sign_in_again()
    assert phone.act(order, "query")["state"] == "created"


def test_an_own_part_without_the_insurers_is_told_as_half() -> None:
    found = mapping.outcome({"payOrdId": "1", "ordStas": "3", "feeSumamt": Decimal(100), "ownPayAmt": Decimal(40),
                             "psnAcctPay": Decimal(10), "fundPay": Decimal(50)})
    assert found.state == "waiting" and found.split is not None
    assert (found.split.total, found.split.cash, found.split.fund, found.split.account) == (40, 40, 0, 0)


@pytest.mark.requirement("H5", "M1.14")
@pytest.mark.parametrize("quantity", ["8", "4"])
def test_a_refund_mirrors_what_was_paid(world: World, phone: Mobile, clock: ManualClock, quantity: str) -> None:
    """Whole: insurer's part and own part go back by the way they came. In part: the rest is settled with the insurer anew."""
    person, number = phone.bill(quantity="8")
    order = world.ok(phone.offer(person, number))
    phone.notify(phone.phone(order))
    done = phone.act(order, "query")
    line = world.settlement(done["settlement_id"])["lines"][0]["id"]
    case = world.ok(world.post("cashier", f"{make.API}/refunds", {
        "settlement_id": done["settlement_id"], "reason": "检查取消", "lines": [{"line_id": line, "quantity": quantity}]}))
    if case["state"] == "due":
        case = world.ok(world.post("cashier", f"{make.API}/refunds/{case['id']}/collect", {"tendered": None}))
    assert case["state"] == "done"
    _recover(world, clock)
    if quantity == "8":
        assert set(_paid(world).values()) == {Decimal(0)} and simulator.net(phone.books) == (Decimal(0), Decimal(0))
    _agree(world, phone)


@pytest.mark.requirement("H5", "FN-15")
@pytest.mark.parametrize("db_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True)
@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "garbage", "short", "duplicate", "refuse"])
@pytest.mark.parametrize("where", ["6201", "6202", "6301", "6401", "6203"])
def test_each_transaction_over_a_bad_line(world: World, phone: Mobile, clock: ManualClock, where: str, fault: str) -> None:
    person, number = phone.bill(quantity="8")
    if where == "6201":
        phone.misbehave(fault, where=where)
    order = phone.offer(person, number)
    if order.status_code == 503:
        order = phone.offer(person, number)
    order = world.ok(order)
    phone.misbehave(fault, where=where)
    if where == "6202":
        phone.act(order, "pay", authorisation="AUTH9999")
    elif where == "6301":
        phone.phone(order)
    elif where == "6401":
        answer = world.post("cashier", f"/api/charging/mobile/orders/{order['claim_id']}/withdraw")
        assert answer.status_code in (200, 503)
    else:
        phone.notify(phone.phone(order))
    for _ in range(2):
        _recover(world, clock)
    if where == "6401":
        clock.move(minutes=31)
        _recover(world, clock)
        world.sign_in_again()
        assert phone.act(order, "query")["state"] == "refused"
        return
    done = phone.act(order, "query")
    if done["state"] == "created":  # nothing had arrived, and that was found out: the order waits for its payer as before
        phone.notify(phone.phone(order))
        done = phone.act(order, "query")
    assert done["state"] == "used" and _settlements(world) == 1
    if where == "6203":
        line = world.settlement(done["settlement_id"])["lines"][0]["id"]
        phone.misbehave(fault, fault, where="6203")
        world.post("cashier", f"{make.API}/refunds", {
            "settlement_id": done["settlement_id"], "reason": "检查取消", "lines": [{"line_id": line, "quantity": "8"}]})
        for _ in range(5):
            _recover(world, clock)
        assert simulator.net(phone.books) == (Decimal(0), Decimal(0))
    _agree(world, phone)


@pytest.mark.requirement("H5")
@pytest.mark.parametrize("change", [
    {"signData": "AAAA"}, {"encData": "00"}, {"appId": "X"}, {"timestamp": None}, None])
def test_a_notice_that_can_not_be_believed_has_no_effect(world: World, phone: Mobile, change: dict[str, Any] | None) -> None:
    person, number = phone.bill()
    order = world.ok(phone.offer(person, number))
    message = phone.phone(order)
    answer = phone.notify({**message, **change} if change is not None else {"x": 1})
    assert answer.status_code == 422 or answer.status_code == 400
    assert _settlements(world) == 0
    row = simulator.notice("ORD", "P0", "1.00", "1.00", "0.00", "0.00", world.db.clock.now())
    told = envelope.unpack(get_provider(), simulator.keys(), phone.notify(row).json)
    assert told["success"] == "false"  # well signed, and of an order that isn't ours


@pytest.mark.requirement("H5", "YB-01")
def test_figures_that_do_not_add_up_are_not_booked(world: World, phone: Mobile, clock: ManualClock) -> None:
    person, number = phone.bill()
    order = world.ok(phone.offer(person, number))
    phone.phone(order)
    bad = simulator.notice(_peer(world, order), order["number"], "605.50", "142.21", "100.00", "363.30", clock.now())
    assert phone.notify(bad).status_code == 200
    claim = phone.act(order, "query")
    assert claim["state"] == "reversed" and "金额不平" in claim["message"] and _settlements(world) == 0


def _peer(world: World, order: dict[str, Any]) -> str:
    found = world.db.ports["med_mobile"]._caller.order(order["number"])
    return str(found[0].pay_ord_id)


@pytest.mark.requirement("H5")
def test_a_bill_is_announced_once_and_only_while_it_is_open(world: World, phone: Mobile, clock: ManualClock) -> None:
    person, _ = phone.bill()
    worker = Worker(world.db, world.app.extensions["his_hospital"])

    def work() -> None:
        for _ in range(3):
            worker.fan_out()
            worker.deliver_due()

    phone.misbehave("drop_after", where="push")
    work()
    clock.move(minutes=5)
    work()
    assert [fee for _, fee in simulator.pushed(phone.books)] == [Decimal("605.50")]
    work()
    assert len(simulator.pushed(phone.books)) == 1
    other = world.person("无证病人")
    world.request(world.encounter(world.register(other)), "1")
    world.ok(world.pay_all(person))
    work()
    assert len(simulator.pushed(phone.books)) == 1


@pytest.mark.requirement("H5")
def test_the_list_of_orders_and_who_may(world: World, phone: Mobile, sign_in: Callable[..., Any]) -> None:
    person, number = phone.bill()
    order = world.ok(phone.offer(person, number))
    [row] = world.ok(world.get("cashier", f"/api/charging/mobile/orders?person_id={person}&open=true"))["items"]
    assert (row["id"], row["number"], row["state"], row["total"], row["name"]) == (
        order["claim_id"], order["number"], "created", "605.50", "张**")
    assert world.get("doctor", "/api/charging/mobile/orders").status_code == 403
    with pytest.raises(LostAnswer):
        phone.misbehave("drop_before", where="6301")
        world.db.ports["med_mobile"].query(order["number"])


@pytest.mark.requirement("H5", "N4")
@pytest.mark.parametrize("counted", [False, True])
def test_statements_for_the_centre_hold_mobile_orders_where_it_counts_them(
        world: World, phone: Mobile, clock: ManualClock, sign_in: Callable[..., Any], counted: bool) -> None:
    world.db.ports["med_mobile"].in_statements = counted
    person, number = phone.bill()
    order = world.ok(phone.offer(person, number))
    phone.notify(phone.phone(order))
    assert phone.act(order, "query")["state"] == "used"
    day = clock.today()
    clock.move(days=1)
    made = sign_in("insurance").post("/api/insurance-office/statements", json={"day": day.isoformat()},
                                     headers={"Idempotency-Key": "statement-of-a-day"})
    assert (made.status_code, len(made.json["ids"])) == (201, int(counted)), made.json


@pytest.mark.requirement("H5", "FN-12", "FN-13")
@pytest.mark.parametrize("by", ["the next order", "the job"])
def test_the_channels_shift_ends_with_its_day_and_agrees_with_the_platform(
        world: World, phone: Mobile, clock: ManualClock, by: str) -> None:
    """Nobody sits at the channel: its shift is the day's, whoever notices first; finance receives it."""
    def paid(person: int, number: str) -> None:
        phone.notify(phone.phone(world.ok(phone.offer(person, number))))

    with world.db.begin() as session:
        user = make_user(session, "cashier", login="mobile", name="移动支付")
        numbering.grant_range(session, RECEIPT_SERIES, user.id, 7_000_001, 7_000_999)
        channel_id = user.id
    world.db.ports["med_mobile"].cashier = "mobile"
    paid(*phone.bill(3))
    paid(*phone.bill(5))
    later = phone.bill(7)
    insurer, own = simulator.net(phone.books)
    day = clock.today()
    clock.move(hours=17)  # after midnight
    world.sign_in_again()
    assert shifts.end_days(world.db) == 1 if by == "the job" else paid(*later) is None
    assert shifts.end_days(world.db) == 0
    closed, told = world.ended_shift(channel_id, of=1 if by == "the job" else 2)
    assert closed.business_date == day and closed.settlements == 2
    sums = {row["method"]: Decimal(row["net"]) for row in told["payments"]}
    assert (sums["insurance_fund"] + sums["insurance_account"], sums["med_mobile"]) == (insurer, own)
    assert told["unbalanced"] == [] and Decimal(told["cash"]) == 0
    assert Decimal(told["net"]) == insurer + own
    received = world.ok(world.post("finance", f"/api/outpatient-billing/shifts/{closed.id}/hand-over"))
    assert received["state"] == "handed_over"
    assert world.findings() == []
