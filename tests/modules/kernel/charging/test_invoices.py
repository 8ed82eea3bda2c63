"""Electronic invoices: none for nothing, one for each settlement, red and new blue on a refund, exactly once (FN-08)."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from his_server.clock import ManualClock
from his_server.db import now, today
from his_server.messaging.worker import Worker
from modules.kernel.charging.models import ElectronicInvoice
from modules.kernel.charging.service import invoices
from tests.counting import QueryCount
from tests.factories import insured as make
from tests.factories.einvoice import RED
from tests.factories.hospital import World

PATH = "/api/charging/invoices"


def _work(world: World, clock: ManualClock | None = None) -> None:
    """What the worker does: events become invoices, invoices go to the platform."""
    hospital = world.app.extensions["his_hospital"]
    worker = Worker(world.db, hospital)
    for _ in range(4):
        worker.fan_out()
        worker.deliver_due()
    for _ in range(4):
        if clock is not None:
            clock.move(seconds=31)
        invoices.send_due(world.db)


def _list(world: World, **query: Any) -> list[dict[str, Any]]:
    text = "&".join(f"{k}={v}" for k, v in query.items())
    return world.ok(world.get("cashier", f"{PATH}?{text}"))["items"]


def _exam(world: World, quantity: str = "2") -> tuple[int, dict[str, Any]]:
    person = world.person()
    encounter = world.encounter(world.register(person))
    _work(world)
    world.request(encounter, quantity)
    return person, world.ok(world.pay_all(person))


def _refund(world: World, settlement: int, quantity: str) -> Any:
    line = world.settlement(settlement)["lines"][0]["id"]
    return world.ok(world.post("cashier", f"/api/outpatient-billing/settlements/{settlement}/refunds", {
        "lines": [{"line_id": line, "quantity": quantity}], "reason": "检查取消"}))


@pytest.mark.requirement("FN-08", "M1.2")
def test_each_settlement_has_its_invoice(world: World) -> None:
    person, settled = _exam(world)
    _work(world)
    rows = _list(world, person_id=person)
    assert [(r["kind"], r["state"], r["amount"]) for r in rows] == [("outpatient", "issued", "121.10"),
                                                                    ("registration", "issued", "20.00")]
    assert all(re.fullmatch(r"\d{8}", r["code"]) and re.fullmatch(r"\d{10}", r["invoice_number"])
               and re.fullmatch(r"\w{6}", r["check_code"]) for r in rows)
    assert rows[0]["settlement_number"] == settled["number"]
    assert [r["id"] for r in _list(world, number=rows[0]["invoice_number"])] == [rows[0]["id"]]
    assert _list(world, person_id=person, state="failed") == []
    assert world.findings() == []


@pytest.mark.requirement("M1.1")
def test_nothing_is_invoiced_for_a_free_prescription(world: World) -> None:
    person = world.person()
    encounter = world.encounter(world.register(person))
    world.prescribe(encounter, "100", drug="free_drug", dose="0.1")
    assert world.ok(world.pay_all(person))["total"] == "0.00"
    _work(world)
    assert [r["kind"] for r in _list(world, person_id=person)] == ["registration"]
    assert world.findings() == []


@pytest.mark.requirement("FN-09")
def test_a_partial_refund_is_a_red_invoice_and_a_new_blue_one(world: World) -> None:
    person, settled = _exam(world)
    _work(world)
    _refund(world, settled["id"], "1")
    _work(world)
    chain = list(reversed(_list(world, person_id=person)))[1:]
    assert [(r["colour"], r["state"], r["amount"]) for r in chain] == [
        ("blue", "red", "121.10"), ("red", "issued", "-121.10"), ("blue", "issued", "60.55")]
    assert chain[1]["original_id"] == chain[0]["id"]
    _refund(world, settled["id"], "1")
    _work(world)
    chain = list(reversed(_list(world, person_id=person)))[1:]
    assert [r["amount"] for r in chain] == ["121.10", "-121.10", "60.55", "-60.55"]
    assert sum(amount for _, _, amount in world.db.ports["invoice"].all()) == Decimal("20.00")
    assert world.findings() == []


@pytest.mark.requirement("FN-09")
def test_refunds_that_come_before_the_first_invoice_went_out(world: World) -> None:
    """Two refunds while the platform was silent: all four go out in order, each with its own lines."""
    person, settled = _exam(world, "3")
    for _ in range(2):
        _refund(world, settled["id"], "1")
    _work(world)
    amounts = [amount for _, _, amount in world.db.ports["invoice"].all()]
    assert amounts == [Decimal(x) for x in ("20.00", "181.65", "-181.65", "121.10", "-121.10", "60.55")]
    assert {r["state"] for r in _list(world, person_id=person)} == {"issued", "red"}
    assert world.findings() == []


@pytest.mark.requirement("FN-08")
@pytest.mark.parametrize("faults", [("lost after",), ("lost before",), ("lost before", "lost after"), ("malformed",), ("down",),
                                    ("unreadable",), ("short",), ("twice",)])
def test_a_lost_answer_is_asked_for_before_anything_is_sent_again(world: World, clock: ManualClock,
                                                                  faults: tuple[str, ...]) -> None:
    person, settled = _exam(world)
    world.db.ports["invoice"].misbehave(*faults)
    _work(world)
    _work(world, clock)
    _refund(world, settled["id"], "2")
    world.db.ports["invoice"].misbehave(*faults, where=RED)
    _work(world)
    _work(world, clock)
    made = world.db.ports["invoice"].all()
    assert [(colour, amount) for _, colour, amount in made] == [
        ("blue", Decimal("20.00")), ("blue", Decimal("121.10")), ("red", Decimal("-121.10"))]
    assert [r["state"] for r in _list(world, person_id=person)] == ["issued", "red", "issued"]
    assert world.findings() == []


@pytest.mark.requirement("FN-08")
def test_a_refused_invoice_is_on_the_worklist_and_can_be_issued_again(world: World) -> None:
    person, _ = _exam(world)
    world.db.ports["invoice"].misbehave("refuse")
    _work(world)
    [failed] = _list(world, person_id=person, state="failed")
    [row] = world.ok(world.get("finance", "/api/charging/intents?purpose=issue"))["items"]
    assert row["id"] == failed["intent_id"] and row["owner_name"] == "李收费"
    assert world.post("cashier", f"{PATH}/{failed['id']}/again").status_code == 204
    assert world.post("cashier", f"{PATH}/{failed['id']}/again").status_code == 409
    assert [r["state"] for r in _list(world, person_id=person)] == ["issued", "issued"]


@pytest.mark.requirement("FN-08")
def test_an_insured_settlement_says_who_paid(world: World) -> None:
    number = make.id_no(2)
    person = make.insured_person(world, number)
    world.request(world.encounter(world.register(person)), "10")
    claim = world.ok(make.preview(world, person, make.show(number)))
    done = world.ok(make.settle(world, claim, make.show(number)))
    line = world.settlement(done["settlement_id"])["lines"][0]["id"]
    world.ok(world.post("cashier", f"{make.API}/refunds", {"settlement_id": done["settlement_id"], "reason": "检查取消",
                                                           "lines": [{"line_id": line, "quantity": "3"}]}))
    _work(world)  # the stand-in refuses what doesn't add up
    assert [r["state"] for r in _list(world, person_id=person)] == ["issued", "issued", "red", "issued"]
    assert world.findings() == []


@pytest.mark.requirement("M1.2")
def test_the_picture_is_fetched_once_and_only_when_wanted(world: World) -> None:
    person, _ = _exam(world)
    platform = world.db.ports["invoice"]
    _work(world)
    [first, _] = _list(world, person_id=person)
    assert platform.pictures == 0
    for _ in range(2):
        picture = world.get("cashier", f"{PATH}/{first['id']}/image")
        assert picture.status_code == 200 and picture.data.startswith(b"\x89PNG")
    assert platform.pictures == 1


@pytest.mark.requirement("M1.2")
def test_the_list_pages_in_one_query_whatever_is_asked(
        world: World, query_counter: Callable[[], AbstractContextManager[QueryCount]]) -> None:
    person, settled = _exam(world)
    with world.db.begin() as session:
        at, day = now(session), today(session)
        session.add_all([ElectronicInvoice(
            intent_id=10_000 + n, settlement_id=settled["id"], root_id=settled["id"], person_id=person, colour=f"x{n}",
            kind="outpatient", state="issued", amount=Decimal(n), code="32060126", invoice_number=f"{n:010d}",
            check_code="ABCDEF", cashier_id=1, cashier_name="李收费", business_date=day, made_at=at) for n in range(60)])
        from modules.kernel.charging.models import Intent

        session.add_all([Intent(id=10_000 + n, number=f"X{n}", purpose="issue", channel="einvoice", person_id=person,
                                amount=Decimal(n), state="confirmed", tries=1, created_at=at, created_by=1, changed_at=at)
                         for n in range(60)])
    seen: list[int] = []
    after = ""
    while True:
        with query_counter() as count:
            page = world.ok(world.get("cashier", f"{PATH}?person_id={person}&start={day}&end={day}&limit=25{after}"))
        assert len([s for s in count.statements if "electronic_invoice" in s]) == 1
        seen += [r["id"] for r in page["items"]]
        if not page["next"]:
            break
        after = f"&after={page['next']}"
    assert len(seen) == len(set(seen)) >= 60
    with world.db.begin(write=False) as session:
        assert set(seen) == set(session.scalars(select(ElectronicInvoice.id)))


@pytest.mark.requirement("M1.2")
def test_the_list_is_asked_by_cashier(world: World) -> None:
    _exam(world)
    found = world.ok(world.get("finance", f"{PATH}/cashiers"))["items"]
    assert [one["name"] for one in found] == ["李收费"]
    listed = lambda key: world.ok(world.get("finance", f"{PATH}?cashier_id={key}"))["items"]  # noqa: E731
    assert listed(found[0]["id"]) and {one["cashier_name"] for one in listed(found[0]["id"])} == {"李收费"}
    assert listed(found[0]["id"] + 1) == []
    assert world.get("doctor", f"{PATH}/cashiers").status_code == 403
