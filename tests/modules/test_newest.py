"""What is newest is so by its time: ids come in blocks, one per process, and say nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.messaging import outbox
from his_server.messaging.worker import Worker
from interfaces.med_mobile_pay import simulator
from modules.kernel.orders.models import SkinTest
from modules.kernel.orders.service import skin_tests
from modules.kernel.patients import service as patients
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.factories.mobile import Mobile
from tests.factories.people import make_window
from tests.keyblocks import two_processes
from tests.modules.drug_warehouse.conftest import house as house
from tests.modules.drug_warehouse.conftest import supplier as supplier
from tests.modules.drug_warehouse.test_buying import WAREHOUSE
from tests.modules.infusion.room import Room
from tests.modules.kernel.stock.conftest import House


@pytest.mark.requirement("M10.1")
def test_the_newest_skin_test_counts(world: World, clock: ManualClock) -> None:
    """The first one is over, the second is negative and in force: the drug may be given."""
    room = Room(world)
    first, second = two_processes(world.db)
    second()
    paid = room.paid(dispensed=False, penicillin=True)
    room.test(paid, clock)
    clock.move(hours=25)
    room.sign_in("nurse", "er")
    first()
    room.test(paid, clock)
    with world.db.begin(write=False) as session:
        older, newer = session.scalars(select(SkinTest).order_by(SkinTest.started_at))
        assert older.id > newer.id, "as two processes make them"
        assert skin_tests.untested(session, paid["person"], [world.ids["penicillin"]]) == {}


@pytest.mark.requirement("M3.2")
def test_an_undoing_leaves_what_was_merged_since(app: Flask, db: Database, clock: ManualClock) -> None:
    window = make_window(app, db)
    a, b, c = (window.create(name=name)["id"] for name in ("甲一", "乙二", "丙三"))
    first, second = two_processes(window.db)

    def act(what: Callable[..., Any], *given: Any) -> Any:
        clock.move(seconds=60)
        with window.db.begin() as session:
            session.info["actor"] = SYSTEM
            return what(session, SYSTEM, *given).id

    second()
    first_merge = act(patients.merge, b, c, "同一人")
    second_merge = act(patients.merge, a, b, "同一人")
    act(patients.unmerge, first_merge, "弄错了")
    first()
    third_merge = act(patients.merge, a, c, "又认出来")
    assert third_merge < second_merge
    act(patients.unmerge, second_merge, "弄错了")
    with window.db.begin(write=False) as session:
        assert patients.family(session, a) == [a, c], "what was recognised since stays"
        assert patients.family(session, b) == [b]


def _bought(house: House, supplier: int, lot: str, cost: str) -> None:
    here = house.ok(house.post("keeper", f"{WAREHOUSE}/receipts", {
        "supplier_id": supplier, "store_id": house.ids["warehouse"], "lines": [{
            "drug_id": house.ids["drug"], "quantity": "1", "pack_cost": cost, "lot_no": lot, "expiry": "2027-12-31",
            "codes": []}]}))
    house.ok(house.post("keeper", f"{WAREHOUSE}/receipts/{here['id']}/accept"))


@pytest.mark.requirement("M6.3")
def test_a_plan_offers_the_last_cost(house: House, supplier: int, clock: ManualClock) -> None:
    levels = [{"drug_id": house.ids["drug"], "least": "5000", "most": "9000"}]
    house.ok(house.clients["keeper"].put("/api/stock/levels", json={"store_id": house.ids["warehouse"], "levels": levels}))
    first, second = two_processes(house.db)
    second()
    clock.move(seconds=60)
    _bought(house, supplier, "L1", "9.10")
    first()
    clock.move(seconds=60)
    _bought(house, supplier, "L2", "9.20")
    [line] = house.ok(house.get("keeper", f"{WAREHOUSE}/plan", store_id=house.ids["warehouse"]))["items"]
    assert Decimal(line["pack_cost"]) == Decimal("9.20")


@pytest.mark.requirement("H5")
def test_a_bill_that_grew_is_announced_again_and_then_no_more(world: World, tmp_path: Path, clock: ManualClock) -> None:
    make.no_codes_needed(world)
    phone = Mobile(world, tmp_path)
    first, second = two_processes(world.db)
    worker = Worker(world.db, world.app.extensions["his_hospital"])

    def work() -> list[Decimal]:
        clock.move(seconds=60)
        while worker.fan_out() + worker.deliver_due():
            pass
        return [fee for _, fee in simulator.pushed(phone.books)]

    second()
    person, _ = phone.bill()
    visit = world.unpaid(person)["lines"][0]["encounter_id"]
    assert len(work()) == 1
    first()
    world.request(visit, "1")
    pushed = work()
    assert len(pushed) == 2 and pushed[1] > pushed[0]
    with world.db.begin() as session:
        outbox.record(session, "BillPayable", f"bill:{visit}", {"encounter_id": visit})
    assert work() == pushed, "the same bill as last time"


@pytest.mark.requirement("M1.9")
def test_a_persons_registrations_are_listed_newest_first(world: World, clock: ManualClock) -> None:
    first, second = two_processes(world.db)
    person = world.person()
    for process, session in ((second, "session"), (first, "emergency_session")):
        process()
        clock.move(seconds=60)
        world.ok(world.post("cashier", "/api/outpatient-billing/registrations", {
            "person_id": person, "session_id": world.ids[session], "payments": [{"method": "cash", "covers": "20.00"}],
            "expected_total": "20.00"}))
    listed = [one["registered_at"] for one in world.ok(
        world.get("cashier", f"/api/scheduling/registrations?person_id={person}"))["items"]]
    assert len(listed) == 2 and listed[0] > listed[1]
