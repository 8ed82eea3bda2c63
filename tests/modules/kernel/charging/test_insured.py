"""Settling with the insurer through the API: who pays what, every outcome, nothing twice, no second file."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from his_server.clock import ManualClock
from modules.kernel.charging.models import Payment
from modules.kernel.charging.service import insured, payments
from modules.kernel.patients.models import Person
from tests.factories import insured as make
from tests.factories.hospital import World


def _booked(world: World) -> Decimal:
    with world.db.begin(write=False) as session:
        return session.scalar(select(func.sum(Payment.amount)).where(Payment.method.like("insurance%"))) or Decimal(0)


def _recover(world: World, clock: ManualClock, minutes: int = 1) -> None:
    clock.move(minutes=minutes)
    for _ in range(4):
        insured.recover(world.db)
        payments.recover(world.db)


def _agree(world: World) -> None:
    """Both books say the same, and ours hold together."""
    assert world.db.ports["insurance"].net() == _booked(world)
    assert world.findings() == []


def _ill(world: World, number: str) -> int:
    """A person with a visit paid in cash, and an exam to pay."""
    person = make.insured_person(world, number)
    world.request(world.encounter(world.register(person)), "10")
    return person


@pytest.mark.requirement("M1.12", "YB-01")
def test_a_bill_is_split_between_fund_account_and_cash(world: World) -> None:
    number = make.id_no(2)
    person = _ill(world, number)
    claim = world.ok(make.preview(world, person, make.show(number)))
    assert claim["state"] == "created"
    # 605.50 of level 甲 or 乙: the stand-in's policy, 300 deductible, 70 %
    parts = {k: Decimal(claim[k]) for k in ("total", "fund", "account", "cash", "hospital")}
    assert parts["total"] == Decimal("605.50") == parts["fund"] + parts["account"] + parts["cash"] + parts["hospital"]
    assert parts["fund"] > 0 and parts["account"] > 0
    done = world.ok(make.settle(world, claim, make.show(number)))
    assert done["state"] == "used" and done["receipt_numbers"]
    whole = world.settlement(done["settlement_id"])
    assert {p["method"]: Decimal(p["amount"]) for p in whole["payments"] if p["method"].startswith("insurance")} == {
        f"insurance_{k}": parts[k] for k in ("fund", "account")}
    assert world.unpaid(person)["lines"] == []
    _agree(world)


@pytest.mark.requirement("M1.12")
def test_reading_a_credential_finds_the_file_and_links_it(world: World) -> None:
    """The self-pay file that has only an ID number is the insured's: found, linked, settled by; there is no second file."""
    number = make.id_no(4)
    person = _ill(world, number)
    found = world.ok(world.post("cashier", f"{make.API}/identify", make.show(number)))
    assert [one["id"] for one in found["items"]] == [person] and not found["linked"]
    assert number not in str(found)
    world.ok(world.post("cashier", f"{make.API}/link", {"person_id": person, "credential": make.show(number)}))
    again = world.ok(world.post("cashier", f"{make.API}/identify", make.show(number)))
    assert again["linked"] and [one["id"] for one in again["items"]] == [person]
    claim = world.ok(make.preview(world, person, make.show(number)))
    assert world.ok(make.settle(world, claim, make.show(number)))["state"] == "used"
    with world.db.begin(write=False) as session:
        assert session.scalar(select(func.count()).select_from(Person)) == 1
    other = make.insured_person(world, make.id_no(6), "李四")
    refused = world.post("cashier", f"{make.API}/link", {"person_id": other, "credential": make.show(number)})
    assert refused.status_code == 409 and refused.json["code"] == "insurance.other_person"


@pytest.mark.requirement("M1.12")
def test_nobody_pays_by_another_ones_insurance(world: World) -> None:
    person = _ill(world, make.id_no(2))
    refused = make.preview(world, person, make.show(make.id_no(8)))
    assert refused.status_code == 409 and refused.json["code"] == "insurance.other_person"


@pytest.mark.requirement("M1.12")
def test_registration_fee_by_insurance(world: World) -> None:
    number = make.id_no(2)
    person = make.insured_person(world, number)
    from his_server.actor import SYSTEM
    from modules.kernel.scheduling import service as scheduling
    from modules.kernel.scheduling.models import Registration

    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        made, lines = scheduling.register(session, SYSTEM, person_id=person, session_id=world.ids["session"])
        key = made.id
    claim = world.ok(make.preview(world, person, make.show(number), lines))
    assert world.ok(make.settle(world, claim, make.show(number)))["state"] == "used"
    with world.db.begin(write=False) as session:
        found = session.get_one(Registration, key)
        assert found.state == "registered" and found.settlement_id
    _agree(world)


@pytest.mark.requirement("YB-02")
@pytest.mark.parametrize(("ending", "first", "end"), [
    ("0001", "refused", "refused"), ("0002", "unknown", "used"), ("0003", "unknown", "refused"),
    ("0004", "unknown", "used"), ("0009", "reversed", "reversed")])
def test_every_outcome_ends_settled_or_undone(world: World, clock: ManualClock, ending: str, first: str, end: str) -> None:
    number = make.id_no(2)
    person = _ill(world, number)
    card = make.show(number, ending)
    claim = world.ok(make.preview(world, person, card))
    seen = world.ok(make.settle(world, claim, card))
    assert seen["state"] == first
    _recover(world, clock)
    after = world.ok(world.get("cashier", f"{make.API}/claims/{claim['id']}"))
    assert after["state"] == end
    assert bool(world.unpaid(person)["lines"]) == (end != "used")
    if end != "used":  # the patient can still pay otherwise
        assert world.ok(world.pay_all(person))["total"] == "605.50"
    _agree(world)


@pytest.mark.requirement("YB-02")
def test_a_repeat_settles_nothing_twice(world: World) -> None:
    number = make.id_no(2)
    person = _ill(world, number)
    claim = world.ok(make.preview(world, person, make.show(number)))
    one = world.ok(make.settle(world, claim, make.show(number)))
    two = world.ok(make.settle(world, claim, make.show(number)))
    assert (one["settlement_id"], one["receipt_numbers"]) == (two["settlement_id"], two["receipt_numbers"])
    _agree(world)


@pytest.mark.requirement("YB-02")
def test_lines_that_somebody_takes_meanwhile_undo_the_insurers_part(world: World, clock: ManualClock) -> None:
    number = make.id_no(2)
    person = _ill(world, number)
    insurer = world.db.ports["insurance"]
    genuine = insurer.settle

    def meanwhile(bill: Any, credential: Any) -> Any:
        assert world.pay_all(person).status_code == 201
        return genuine(bill, credential)

    insurer.settle = meanwhile
    claim = world.ok(make.preview(world, person, make.show(number)))
    done = world.ok(make.settle(world, claim, make.show(number)))
    assert done["state"] == "reversed" and "已撤销医保结算" in done["message"]
    assert insurer.net() == 0
    _agree(world)


@pytest.mark.requirement("YB-02", "FN-15")
def test_a_scan_payment_waits_for_the_insurer_and_goes_back_when_that_fails(world: World, clock: ManualClock) -> None:
    number = make.id_no(3)  # a resident: no account, so that there is something to pay
    person = _ill(world, number)
    for ending, end in (("0003", "refused"), ("0002", "used")):
        card = make.show(number, ending)
        claim = world.ok(make.preview(world, person, card))
        scan = world.scan(person, claim["cash"])
        own = [{"method": "scan", "covers": claim["cash"], "intent_id": scan["id"]}]
        assert world.ok(make.settle(world, claim, card, own))["state"] == "unknown"
        back = world.post("cashier", f"/api/outpatient-billing/payment-intents/{scan['id']}/return")
        assert back.status_code == 409  # held until the insurer has answered
        _recover(world, clock)
        assert world.ok(world.get("cashier", f"{make.API}/claims/{claim['id']}"))["state"] == end
        _recover(world, clock, 16)
    channel = world.db.ports["payment:scan"]
    with world.db.begin(write=False) as session:
        ours = session.scalar(select(func.sum(Payment.amount)).where(Payment.method == "scan"))
    assert channel.net() == ours == Decimal(claim["cash"])
    _agree(world)


@pytest.mark.requirement("YB-02")
def test_the_ledger_refuses_before_the_insurer_is_asked(world: World) -> None:
    number = make.id_no(3)
    person = _ill(world, number)
    claim = world.ok(make.preview(world, person, make.show(number)))
    wrong = make.settle(world, claim, make.show(number), [{"method": "cash", "covers": "1.00"}])
    assert wrong.status_code == 422
    assert world.db.ports["insurance"].net() == 0
    assert world.ok(make.settle(world, claim, make.show(number)))["state"] == "used"
    _agree(world)


@pytest.mark.requirement("R1", "TC-03")
def test_drugs_without_trace_codes_are_not_settled_with_the_insurer(world: World) -> None:
    number = make.id_no(2)
    person = make.insured_person(world, number)
    world.prescribe(world.encounter(world.register(person)))
    refused = make.preview(world, person, make.show(number))
    assert refused.status_code == 409 and "阿莫西林胶囊 没有追溯码" in refused.json["message"]
    make.no_codes_needed(world)
    claim = world.ok(make.preview(world, person, make.show(number)))
    assert world.ok(make.settle(world, claim, make.show(number)))["state"] == "used"
    _agree(world)


@pytest.mark.requirement("YB-02")
def test_an_abandoned_preview_is_withdrawn(world: World, clock: ManualClock) -> None:
    number = make.id_no(2)
    person = _ill(world, number)
    claim = world.ok(make.preview(world, person, make.show(number)))
    _recover(world, clock, 16)
    assert world.ok(world.get("cashier", f"{make.API}/claims/{claim['id']}"))["state"] == "refused"
    assert make.settle(world, claim, make.show(number)).json["state"] == "refused"
    _agree(world)
