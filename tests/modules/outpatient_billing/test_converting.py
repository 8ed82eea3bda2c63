"""From self-paid to insured at the window (N1): the insurer first, then the difference back; lines untouched."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from his_server.clock import ManualClock
from his_server.messaging.outbox import OutboxEvent
from his_server.messaging.worker import Worker
from modules.kernel.charging.models import (
    ChargeLine,
    Conversion,
    Intent,
    Payment,
    Receipt,
    Settlement,
)
from modules.kernel.charging.service import converting, insured, invoices, payments
from modules.kernel.dispensing.models import DispensingTask
from modules.kernel.encounters.models import Encounter
from tests.factories import insured as make
from tests.factories.hospital import World

API = "/api/outpatient-billing/conversions"
PHARMACY = "/api/outpatient-pharmacy"


def _paid(world: World, number: str, quantity: str = "10", scan: str | None = None, **more: Any) -> dict[str, Any]:
    """An exam that the patient paid: in cash, or ``scan`` of it by scan and the rest in cash."""
    person = make.insured_person(world, number)
    visit = world.encounter(world.register(person))
    world.request(visit, quantity)
    total = Decimal(world.unpaid(person)["total"])
    pays = None
    if scan is not None:
        pays = [{"method": "scan", "covers": scan, "intent_id": world.scan(person, scan)["id"]}]
        if rest := total - Decimal(scan):
            pays.append({"method": "cash", "covers": str(rest)})
    made = world.ok(world.pay_all(person, pays, **more))
    return {"person": person, "visit": visit, "id": made["id"], "card": make.show(number), "total": total}


def _quote(world: World, done: dict[str, Any], who: str = "cashier", ending: str = "0000") -> Any:
    card = {**done["card"], "number": done["card"]["number"][:18] + ending}
    return world.post(who, f"{API}/quote", {"settlement_id": done["id"], "credential": card})


def _convert(world: World, quoted: dict[str, Any], done: dict[str, Any], who: str = "cashier") -> Any:
    return world.post(who, f"{API}/{quoted['id']}/convert", {"credential": done["card"]})


def _net(world: World) -> dict[str, Decimal]:
    with world.db.begin(write=False) as session:
        return {method: amount for method, amount in session.execute(
            select(Payment.method, func.sum(Payment.amount)).group_by(Payment.method)) if amount}


def _agree(world: World) -> None:
    """Our books, the insurer's and the channel's say the same; nothing is left for anybody to do."""
    net = _net(world)
    assert world.db.ports["insurance"].net() == sum((v for k, v in net.items() if k.startswith("insurance")), Decimal(0))
    assert world.db.ports["payment:scan"].net() == net.get("scan", Decimal(0))
    assert world.findings() == []


def _events(world: World) -> list[str]:
    with world.db.begin(write=False) as session:
        return list(session.scalars(select(OutboxEvent.type).order_by(OutboxEvent.id)))


@pytest.mark.requirement("N1", "FN-13")
def test_what_the_patient_paid_becomes_insured_and_the_difference_goes_back(world: World) -> None:
    done = _paid(world, make.id_no(3), scan="100.00")
    before = world.settlement(done["id"])
    quoted = world.ok(_quote(world, done))
    assert (quoted["state"], quoted["total"]) == ("quoted", "605.50")
    assert Decimal(quoted["back"]) == Decimal("605.50") - Decimal(quoted["cash"]) > 0
    assert sum(Decimal(one["amount"]) for one in quoted["returns"]) == Decimal(quoted["back"]).quantize(Decimal("0.1"))
    assert world.settlement(done["id"])["refunds"] == [], "a quote changes nothing"
    converted = world.ok(_convert(world, quoted, done))
    assert converted["state"] == "done" and converted["number"] and converted["of_number"] == before["number"]
    assert [one["method"] for one in converted["returns"]] == ["scan", "cash"], "electronic payments first, cash last"
    assert [(one["method"], one["amount"]) for one in converted["returns"]] == [
        (one["method"], one["amount"]) for one in quoted["returns"]], "what was consented to"
    booked = world.settlement(converted["booked_id"])
    assert (booked["kind"], booked["total"], booked["reverses_id"]) == ("convert", "0.00", done["id"])
    assert sum(Decimal(p["amount"]) for p in booked["payments"]) == 0
    assert sorted(r["colour"] for r in booked["receipts"]) == ["blue", "red"]
    after = world.settlement(done["id"])
    assert after["lines"] == before["lines"], "what was charged and performed is untouched"
    assert after["insured"] and [r["kind"] for r in after["refunds"]] == ["convert"]
    with world.db.begin(write=False) as session:
        assert session.get_one(Encounter, done["visit"]).insurance == "390"
        held = session.scalar(select(func.sum(Payment.amount)).where(
            Payment.method.in_(("cash", "scan", "rounding")), Payment.settlement_id.in_((done["id"], booked["id"]))))
    assert held == Decimal(quoted["cash"]), "what we hold of the patient is what they owe"
    _agree(world)
    shift = world.ok(world.get("cashier", "/api/outpatient-billing/shifts/current"))["statement"]
    assert shift["conversions"] == 1 and shift["unbalanced"] == []
    closed = world.ok(world.post("cashier", "/api/outpatient-billing/shifts/close", {}))
    assert closed["statement"]["net"] == shift["net"]
    _agree(world)


@pytest.mark.requirement("N1")
def test_a_registration_fee_converts_too(world: World) -> None:
    number = make.id_no(2)
    person = make.insured_person(world, number)
    fee = world.register(person)
    found = world.ok(world.get("cashier", f"/api/outpatient-billing/settlements?person_id={person}"))["items"][0]
    done = {"id": found["id"], "card": make.show(number)}
    converted = world.ok(_convert(world, world.ok(_quote(world, done)), done))
    assert converted["state"] == "done"
    with world.db.begin(write=False) as session:
        claim = session.scalars(select(insured.InsuranceClaim)).one()
        assert (claim.clearing, claim.settlement_id) == ("12", found["id"]) and claim.peer_settled_at is not None
    cancelled = world.post("cashier", f"/api/outpatient-billing/registrations/{fee['registration_id']}/cancel-insured",
                           {"reason": "病人取消"})
    assert world.ok(cancelled)["state"] == "done"
    _agree(world)
    assert not _net(world), "everything went back"


@pytest.mark.requirement("N1", "H1")
def test_dispensed_drugs_convert_and_nothing_is_sent_again(world: World, clock: ManualClock) -> None:
    number = make.id_no(2)
    person = make.insured_person(world, number)
    visit = world.encounter(world.register(person))
    made = world.prescribe(visit)
    make.no_codes_needed(world)
    paid = world.ok(world.pay_all(person))
    world.ok(world.post("pharmacist", f"{PHARMACY}/prescriptions/{made['id']}/dispense", {}))
    before, performed = _events(world), world.settlement(paid["id"])["lines"][0]["performed"]
    done = {"id": paid["id"], "card": make.show(number)}
    assert world.ok(_convert(world, world.ok(_quote(world, done)), done))["state"] == "done"
    assert _events(world)[len(before):] == ["SettlementConverted"], "no second dispensing, LIS or PACS"
    with world.db.begin(write=False) as session:
        assert session.scalar(select(func.count()).select_from(DispensingTask)) == 1
        assert session.scalar(select(func.count()).select_from(ChargeLine).where(ChargeLine.state == "open")) == 0
    assert world.settlement(paid["id"])["lines"][0]["performed"] == performed
    _agree(world)


@pytest.mark.requirement("N1", "FN-09")
def test_the_electronic_invoice_is_reversed_and_issued_anew(world: World, clock: ManualClock) -> None:
    done = _paid(world, make.id_no(3))
    _deliver(world)
    converted = world.ok(_convert(world, world.ok(_quote(world, done)), done))
    _deliver(world)
    for _ in range(3):
        clock.move(seconds=40)
        invoices.send_due(world.db)
    with world.db.begin(write=False) as session:
        chain = list(session.scalars(select(invoices.ElectronicInvoice).where(
            invoices.ElectronicInvoice.root_id == done["id"]).order_by(invoices.ElectronicInvoice.id)))
    assert [(one.colour, one.state, one.amount) for one in chain] == [
        ("blue", "red", Decimal("605.50")), ("red", "issued", Decimal("-605.50")), ("blue", "issued", Decimal("605.50"))]
    assert {one.settlement_id for one in chain[1:]} == {converted["booked_id"]}
    _agree(world)


def _deliver(world: World) -> None:
    worker = Worker(world.db, world.app.extensions["his_hospital"])
    for _ in range(4):
        worker.fan_out()
        worker.deliver_due()
        invoices.send_due(world.db)


@pytest.mark.requirement("N1", "M1.14")
def test_a_converted_bill_is_refunded_as_an_insured_one(world: World) -> None:
    done = _paid(world, make.id_no(3), scan="605.50")
    world.ok(_convert(world, world.ok(_quote(world, done)), done))
    line = world.settlement(done["id"])["lines"][0]["id"]
    body = {"lines": [{"line_id": line, "quantity": "4"}], "reason": "检查取消"}
    preview = world.ok(world.post("cashier", f"/api/outpatient-billing/settlements/{done['id']}/refund-preview",
                                  {"lines": body["lines"]}))
    assert preview["insured"]
    plain = world.post("cashier", f"/api/outpatient-billing/settlements/{done['id']}/refunds", body)
    assert (plain.status_code, plain.json["code"]) == (409, "charging.insured_refund")
    case = world.ok(world.post("cashier", f"{make.API}/refunds", {"settlement_id": done["id"], **body}))
    assert (case["state"], case["total"]) == ("done", "242.20")
    payments.recover(world.db)
    _agree(world)


@pytest.mark.requirement("N1")
@pytest.mark.parametrize(("ending", "state"), [("0001", "ended"), ("0009", "ended"), ("0003", "settling"),
                                               ("0002", "settling"), ("0004", "settling")])
def test_whatever_the_insurer_answers_the_patient_is_whole(world: World, clock: ManualClock, ending: str, state: str
                                                           ) -> None:
    """Refused, other figures, lost with and without a settlement: fully converted or as it was before."""
    done = _paid(world, make.id_no(3), scan="605.50")
    quoted = world.ok(_quote(world, done, ending=ending))
    assert world.ok(_convert(world, quoted, done))["state"] == state
    held = _net(world)["scan"]
    assert held == Decimal("605.50"), "nothing goes back before the insurer is known to have settled"
    if state == "settling":
        refund = world.post("cashier", f"/api/outpatient-billing/settlements/{done['id']}/refunds", {
            "reason": "病人要求", "lines": [{"line_id": world.settlement(done["id"])["lines"][0]["id"], "quantity": "1"}]})
        assert (refund.status_code, refund.json["code"]) == (409, "charging.converting")
    clock.move(minutes=1)
    for _ in range(4):
        insured.recover(world.db)
        converting.recover(world.db)
        payments.recover(world.db)
    found = world.ok(world.get("cashier", f"{API}/{quoted['id']}"))
    ends_well = ending in ("0002", "0004")
    assert found["state"] == ("done" if ends_well else "ended")
    assert _net(world)["scan"] == (Decimal(quoted["cash"]) if ends_well else Decimal("605.50"))
    _agree(world)
    if not ends_well:  # and can be tried again
        again = {**done, "card": {**done["card"]}}
        assert world.ok(_convert(world, world.ok(_quote(world, again)), again))["state"] == "done"
        _agree(world)


@pytest.mark.requirement("N1")
def test_what_cannot_be_converted(world: World, clock: ManualClock) -> None:
    done = _paid(world, make.id_no(3))
    other = make.id_no(4)
    make.insured_person(world, other, "李小红")
    wrong = world.post("cashier", f"{API}/quote", {"settlement_id": done["id"], "credential": make.show(other)})
    assert (wrong.status_code, wrong.json["code"]) == (409, "insurance.other_person")
    first, second = world.ok(_quote(world, done)), world.ok(_quote(world, done, "cashier2"))
    assert world.ok(_convert(world, first, done))["state"] == "done"
    late = _convert(world, second, done, "cashier2")
    assert (late.status_code, late.json["code"]) == (409, "conversion.changed")
    twice = _quote(world, done)
    assert (twice.status_code, twice.json["code"]) == (409, "conversion.changed") and "转为医保" in twice.json["message"]
    assert world.ok(_convert(world, first, done))["number"] == world.ok(world.get("cashier", f"{API}/{first['id']}"))["number"]
    with world.db.begin(write=False) as session:
        assert session.scalar(select(func.count()).select_from(Settlement).where(Settlement.kind == "convert")) == 1
    withdrawn = world.ok(world.post("cashier2", f"{API}/{second['id']}/withdraw"))
    assert withdrawn["state"] == "ended"
    refunded = _paid(world, make.id_no(6))
    line = world.settlement(refunded["id"])["lines"][0]["id"]
    world.ok(world.post("cashier", f"/api/outpatient-billing/settlements/{refunded['id']}/refunds", {
        "reason": "病人要求", "lines": [{"line_id": line, "quantity": "1"}]}))
    assert _quote(world, refunded).json["code"] == "conversion.changed"
    old = _paid(world, make.id_no(8))
    clock.move(days=29)
    world.sign_in_again()
    assert world.ok(_quote(world, old))["state"] == "quoted"
    clock.move(days=1)
    world.sign_in_again()
    assert _quote(world, old).json["code"] == "conversion.too_old"
    for _ in range(2):
        insured.recover(world.db)
        converting.recover(world.db)
    with world.db.begin(write=False) as session:
        assert {state for (state,) in session.execute(select(Conversion.state))} == {"done", "ended"}, "quotes are withdrawn"
    _agree(world)


@pytest.mark.requirement("N1", "FN-10")
def test_much_cash_back_needs_a_second_person(world: World) -> None:
    done = _paid(world, make.id_no(2), "20")
    quoted = world.ok(_quote(world, done))
    assert Decimal(quoted["back"]) >= 500
    alone = _convert(world, quoted, done)
    assert (alone.status_code, alone.json["code"]) == (409, "charging.approval_needed")
    asked = world.ok(world.post("cashier2", "/api/outpatient-billing/approvals", {
        "settlement_id": done["id"], "amount": quoted["total"], "reason": "自费转医保"}))
    world.ok(world.post("finance", f"/api/outpatient-billing/approvals/{asked['id']}/decide", {"approve": True}))
    assert world.ok(_convert(world, quoted, done))["state"] == "done"
    with world.db.begin(write=False) as session:
        booked = session.scalars(select(Settlement).where(Settlement.kind == "convert")).one()
        assert booked.approver_id == world.ids["user_finance"]
        assert session.scalar(select(func.count()).select_from(Intent).where(Intent.purpose == "refund")) == 0
        assert session.scalar(select(func.count()).select_from(Receipt).where(Receipt.settlement_id == booked.id)) == 2
    _agree(world)
