"""Refunds of insured settlements: the insurer's part with the insurer, the patient's own where it came from (M1.14)."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from his_server.actor import Actor
from his_server.clock import ManualClock
from modules.kernel.charging.models import Intent, Payment, Settlement
from modules.kernel.charging.service import insured, insured_refunds, payments
from tests.factories import insured as make
from tests.factories.hospital import World

REFUNDS = f"{make.API}/refunds"


def _settled(world: World, number: str, ending: str = "0000", quantity: str = "10", scan: bool = False) -> dict[str, Any]:
    """An exam settled by insurance; the patient's part in cash or by scan."""
    person = make.insured_person(world, number)
    world.request(world.encounter(world.register(person)), quantity)
    card = make.show(number, ending)
    claim = world.ok(make.preview(world, person, card))
    own = None
    if scan:
        paid = world.scan(person, claim["cash"])
        own = [{"method": "scan", "covers": claim["cash"], "intent_id": paid["id"]}]
    done = world.ok(make.settle(world, claim, card, own))
    whole = world.settlement(done["settlement_id"]) if done["settlement_id"] else None
    return {**done, "person": person, "card": card, "whole": whole}


def _approve(world: World, settlement: int, amount: str) -> None:
    asked = world.ok(world.post("cashier2", "/api/outpatient-billing/approvals", {
        "settlement_id": settlement, "amount": amount, "reason": "检查取消"}))
    world.ok(world.post("finance", f"/api/outpatient-billing/approvals/{asked['id']}/decide", {"approve": True}))


def _refund(world: World, done: dict[str, Any], quantity: str, who: str = "cashier", **more: Any) -> Any:
    line = done["whole"]["lines"][0]["id"]
    return world.post(who, REFUNDS, {"settlement_id": done["settlement_id"], "reason": "检查取消",
                                     "lines": [{"line_id": line, "quantity": quantity}], **more})


def _net(world: World) -> dict[str, Decimal]:
    """What the ledger holds, by method."""
    with world.db.begin(write=False) as session:
        return {method: amount for method, amount in session.execute(
            select(Payment.method, func.sum(Payment.amount)).group_by(Payment.method)) if amount}


def _agree(world: World) -> None:
    net = _net(world)
    assert world.db.ports["insurance"].net() == sum((v for k, v in net.items() if k.startswith("insurance")), Decimal(0))
    assert world.db.ports["payment:scan"].net() == net.get("scan", Decimal(0))
    assert world.findings() == []


def _recover(world: World, clock: ManualClock) -> None:
    clock.move(minutes=1)
    for _ in range(4):
        insured.recover(world.db)
        insured_refunds.recover(world.db)
        payments.recover(world.db)


@pytest.mark.requirement("M1.14", "YB-06", "FN-11")
def test_a_whole_refund_mirrors_the_original_split(world: World) -> None:
    done = _settled(world, make.id_no(3), scan=True)
    _approve(world, done["settlement_id"], "605.50")
    case = world.ok(_refund(world, done, "10"))
    assert case["state"] == "done" and case["total"] == "605.50"
    paid: dict[str, Decimal] = defaultdict(Decimal)
    for one in done["whole"]["payments"]:
        paid[one["method"]] += Decimal(one["amount"])
    back: dict[str, Decimal] = defaultdict(Decimal)
    for one in world.settlement(case["refund_id"])["payments"]:
        back[one["method"]] -= Decimal(one["amount"])
    assert paid == back and set(back) == {"insurance_fund", "scan"}
    assert world.db.ports["insurance"].net() == 0
    for intent in case["intent_ids"]:
        world.ok(world.post("cashier", f"/api/outpatient-billing/payment-intents/{intent}/send"))
    _agree(world)


@pytest.mark.requirement("M1.14", "FN-09")
def test_a_partial_refund_settles_the_rest_anew(world: World) -> None:
    """Red and new blue receipt; the insurer's books hold the rest by its own rules; then the rest goes back too."""
    done = _settled(world, make.id_no(2))
    case = world.ok(_refund(world, done, "4"))
    assert case["state"] == "done" and case["total"] == "242.20"
    refund = world.settlement(case["refund_id"])
    assert sorted(r["colour"] for r in refund["receipts"]) == ["blue", "red"]
    _agree(world)
    again = world.ok(_refund(world, done, "6"))
    assert again["state"] == "done" and again["total"] == "363.30"
    assert world.db.ports["insurance"].net() == 0
    assert _net(world) == {"cash": Decimal("20.00")}  # the registration fee
    _agree(world)
    assert _refund(world, done, "1").status_code in (409, 422)


@pytest.mark.requirement("FN-09")
def test_a_refund_of_last_month_stands_in_this_month(world: World, clock: ManualClock) -> None:
    done = _settled(world, make.id_no(2))
    world.ok(world.post("cashier", "/api/outpatient-billing/shifts/close"))
    clock.move(days=40)
    actor = Actor(user_id=world.ids["user_cashier"], login="c", name="李收费")
    with world.db.begin() as session:
        session.info["actor"] = actor
        key = insured_refunds.open_case(session, actor, done["settlement_id"],
                                        {done["whole"]["lines"][0]["id"]: Decimal(1)}, reason="检查取消").id
    case = insured_refunds.advance(world.db, actor, key)
    assert case.state == "done"
    with world.db.begin(write=False) as session:
        days = [session.get_one(Settlement, key).business_date for key in (done["settlement_id"], case.refund_id)]
    assert (days[1] - days[0]).days == 40
    _agree(world)  # last month's closed shift included: it says what it said


@pytest.mark.requirement("M1.14", "YB-02")
@pytest.mark.parametrize(("ending", "first", "end"), [
    ("0006", "reversing", "done"), ("0007", "undone", "undone"), ("0008", "reversing", "done"),
    ("0011", "resettling", "done")])
def test_every_outcome_of_a_refund_ends(world: World, clock: ManualClock, ending: str, first: str, end: str) -> None:
    done = _settled(world, make.id_no(2), ending)
    case = world.ok(_refund(world, done, "4"))
    assert case["state"] == first
    assert world.findings() == []  # even half way
    assert _refund(world, done, "1", who="cashier2").status_code == (409 if first != "undone" else 201)
    _recover(world, clock)
    [found] = [c for c in world.ok(world.get("cashier", f"{REFUNDS}?settlement_id={done['settlement_id']}"))["items"]
               if c["id"] == case["id"]]
    assert found["state"] == end
    left = world.settlement(done["settlement_id"])["lines"][0]["refundable"]
    assert Decimal(left) == (6 if end == "done" else 10)
    _agree(world)


@pytest.mark.requirement("M1.14")
def test_where_the_rest_is_not_insured_any_more_the_patient_pays_it(world: World) -> None:
    done = _settled(world, make.id_no(2), "0010")
    case = world.ok(_refund(world, done, "1"))
    assert case["state"] == "due" and Decimal(case["due"]) > 0
    assert world.findings() == []
    short = world.post("cashier", f"{REFUNDS}/{case['id']}/collect", {"tendered": "0.10"})
    assert short.status_code == 422
    after = world.ok(world.post("cashier", f"{REFUNDS}/{case['id']}/collect", {"tendered": "999.00"}))
    assert after["state"] == "done" and after["total"] == "60.55"
    assert world.db.ports["insurance"].net() == 0
    _agree(world)


@pytest.mark.requirement("M3.10", "FN-11")
def test_the_own_part_as_cash_needs_a_permission(world: World) -> None:
    done = _settled(world, make.id_no(3), scan=True, quantity="1")
    scan = next(p for p in done["whole"]["payments"] if p["method"] == "scan")
    wish = [{"payment_id": scan["id"], "amount": scan["amount"], "as_cash": True}]
    assert _refund(world, done, "1", returns=wish).status_code == 403
    assert world.ok(_refund(world, done, "1"))["state"] == "done"


@pytest.mark.requirement("FN-10")
def test_a_large_insured_refund_needs_a_second_person(world: World) -> None:
    done = _settled(world, make.id_no(2))
    assert _refund(world, done, "10").json["code"] == "charging.approval_needed"
    _approve(world, done["settlement_id"], "605.50")
    assert world.ok(_refund(world, done, "10"))["state"] == "done"
    _agree(world)


@pytest.mark.requirement("M1.14")
def test_the_ordinary_refund_leaves_insured_settlements_alone(world: World) -> None:
    done = _settled(world, make.id_no(2))
    line = done["whole"]["lines"][0]["id"]
    refused = world.post("cashier", f"/api/outpatient-billing/settlements/{done['settlement_id']}/refunds", {
        "lines": [{"line_id": line, "quantity": "1"}], "reason": "检查取消"})
    assert refused.json["code"] == "charging.insured_refund"


@pytest.mark.requirement("M1.8", "M1.14")
def test_what_is_being_refunded_is_not_performed_meanwhile(world: World, clock: ManualClock) -> None:
    """The insurer's answer is lost half way: the department can't perform what is on its way back."""
    done = _settled(world, make.id_no(2), "0008", quantity="5")
    case = world.ok(_refund(world, done, "5"))
    assert case["state"] == "reversing"
    request = done["whole"]["lines"][0]["source_id"]
    assert world.post("technician", f"/api/orders/requests/{request}/perform").status_code == 409
    _recover(world, clock)
    _agree(world)


@pytest.mark.requirement("M1.10", "YB-02")
def test_every_unknown_has_an_owner_and_a_way_on(world: World, clock: ManualClock) -> None:
    """A reversal after which nothing was heard, and a person who finds out: the worklist from question to decision."""
    done = _settled(world, make.id_no(2), "0002")
    assert done["state"] == "unknown"
    [row] = world.ok(world.get("finance", "/api/charging/intents"))["items"]
    assert (row["purpose"], row["owner_name"], row["state"]) == ("insure", "李收费", "unknown") and row["way_on"]
    assert world.ok(world.get("cashier", "/api/charging/intents?mine=true"))["items"]
    assert not world.ok(world.get("cashier2", "/api/charging/intents?mine=true"))["items"]
    path = f"/api/charging/intents/{row['id']}"
    assert world.ok(world.post("cashier2", f"{path}/take-over"))["owner_name"] == "赵收费"
    assert world.post("cashier", f"{path}/decide", {"outcome": "confirmed", "reason": "电话核实"}).status_code == 403
    decided = world.ok(world.post("finance", f"{path}/decide", {"outcome": "confirmed", "reason": "医保中心电话核实已结算"}))
    assert decided["decided_by_name"] == "冯财务"
    assert [t["act"] for t in decided["attempts"]] == ["preview", "settle", "decide"]
    assert decided["state"] == "used"  # the settlement was booked at once, in the cashier's name
    assert world.ok(world.get("finance", "/api/charging/intents"))["items"] == []
    again = world.post("finance", f"{path}/decide", {"outcome": "refused", "reason": "再次核实"})
    assert again.status_code == 409 and "冯财务" in again.json["message"]
    _agree(world)


def test_a_hundred_finished_returns_do_not_keep_the_recovery_from_others(world: World, clock: ManualClock) -> None:
    """What is done is not looked at again, so that an unknown is found behind any number of finished returns."""
    person = world.person()
    with world.db.begin() as session:
        from his_server.db import now

        at = now(session)
        session.add_all([Intent(number=f"OLD{n}", purpose="refund", channel="scan", person_id=person, amount=Decimal(1),
                                state="confirmed", tries=1, created_at=at, created_by=1, changed_at=at)
                         for n in range(250)])
    assert world.scan(person, "20.00", "134567890123450002")["state"] == "unknown"
    clock.move(minutes=1)
    assert payments.recover(world.db) == 1


def _registered(world: World, number: str, ending: str = "0000") -> tuple[int, dict[str, Any]]:
    """A registration whose fee the insurer pays for the most part; its id and the settled claim."""
    from his_server.actor import SYSTEM
    from modules.kernel.scheduling import service as scheduling

    person = make.insured_person(world, number)
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        made, lines = scheduling.register(session, SYSTEM, person_id=person, session_id=world.ids["session"])
        key = made.id
    card = make.show(number, ending)
    claim = world.ok(make.preview(world, person, card, lines))
    return key, world.ok(make.settle(world, claim, card))


@pytest.mark.requirement("M1.14", "YB-06")
def test_cancelling_an_insured_registration_gives_the_fee_back_to_the_insurer(world: World) -> None:
    """The fee came from the insurer: it goes there, and the refund says so; nothing of it becomes a scan or cash refund."""
    key, done = _registered(world, make.id_no(2))
    path = f"/api/outpatient-billing/registrations/{key}"
    plain = world.post("cashier", f"{path}/cancel", {"reason": "病人不来了"})
    assert plain.status_code == 409 and plain.json["code"] == "charging.insured_refund"
    case = world.ok(world.post("cashier", f"{path}/cancel-insured", {"reason": "病人不来了"}))
    assert case["state"] == "done" and case["total"] == "20.00"
    methods = {p["method"] for p in world.settlement(case["refund_id"])["payments"]}
    assert methods == {p["method"] for p in world.settlement(done["settlement_id"])["payments"]}
    assert world.db.ports["insurance"].net() == 0
    again = world.post("cashier", f"{path}/cancel-insured", {"reason": "病人不来了"})
    assert again.status_code == 409
    _agree(world)


@pytest.mark.requirement("M1.14")
def test_where_the_insurer_refuses_the_registration_is_there_again(world: World) -> None:
    from modules.kernel.scheduling.models import Registration

    key, _ = _registered(world, make.id_no(2), "0007")
    case = world.ok(world.post("cashier", f"/api/outpatient-billing/registrations/{key}/cancel-insured", {"reason": "不来了"}))
    assert case["state"] == "undone" and "医保" in case["message"]
    with world.db.begin(write=False) as session:
        assert session.get_one(Registration, key).state == "registered"
    _agree(world)
