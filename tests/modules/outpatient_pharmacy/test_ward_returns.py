"""M7.8: at night the emergency pharmacy takes the wards' return slips in, wherever the patient lies by then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from his_server.actor import SYSTEM
from his_server.clock import HOSPITAL_ZONE, ManualClock
from his_server.security.audit import AuditRow
from his_server.security.signatures import DocumentSignature
from interfaces.ward_standin import simulator
from modules.kernel.stock.models import StockBalance
from modules.outpatient_pharmacy.models import WardReturnActing
from tests.counting import QueryCount
from tests.factories.hospital import World
from tests.factories.wards import make_slip, make_wards, move
from tests.modules.outpatient_pharmacy.helping import PHARMACY, stock_drug
from tests.threads import at_once

NIGHT = datetime(2026, 3, 2, 22, 30, tzinfo=HOSPITAL_ZONE)


@pytest.fixture
def night(world: World, clock: ManualClock) -> Iterator[World]:
    """The hospital at half past ten in the evening: both ward pharmacies are closed."""
    make_wards(world)
    clock.set(NIGHT)
    world.sign_in_again()
    yield world
    assert world.findings() == []


def held(world: World, store: str, drug: str = "drug") -> Decimal:
    """What a store has of a drug."""
    with world.db.begin(write=False) as session:
        return session.scalar(select(func.sum(StockBalance.on_hand)).where(
            StockBalance.store_id == world.ids[store], StockBalance.drug_id == world.ids[drug])) or Decimal(0)


def waiting(world: World, state: str = "waiting", who: str = "pharmacist") -> list[dict[str, Any]]:
    """The page's list."""
    path = f"{PHARMACY}/ward-returns?store_id={world.ids['emergency_store']}&state={state}"
    items: list[dict[str, Any]] = world.ok(world.get(who, path))["items"]
    return items


def take(world: World, slip: int, store: str = "ward_store_one", who: str = "pharmacist", acting: str = "emergency_store",
         **more: Any) -> Any:
    """Take a slip in for a ward pharmacy."""
    return world.post(who, f"{PHARMACY}/ward-returns/{slip}/take", {
        "acting_store_id": world.ids[acting], "store_id": world.ids[store], **more})


@pytest.mark.requirement("M7.8")
def test_a_slip_is_taken_in_for_the_ward_pharmacy(night: World) -> None:
    slip, _ = make_slip(night)
    [row] = waiting(night)
    assert (row["name"], row["asked_ward"], row["present_ward"], row["store"], row["moved"], row["open"]) == (
        "王住院", "内一病区", "内一病区", "内一病区药房", False, False)
    assert (held(night, "ward_store_one"), held(night, "emergency_store")) == (864, 2400)
    done = night.ok(take(night, slip))
    assert (done["state"], done["acted_by_name"], done["lines"][0]["quantity_text"]) == ("taken", "周药师", "2盒")
    assert (held(night, "ward_store_one"), held(night, "emergency_store")) == (912, 2400)
    assert waiting(night) == []
    assert [(r["number"], r["store"]) for r in waiting(night, "done")] == [(row["number"], "内一病区药房")]
    with night.db.begin(write=False) as session:
        [event] = session.scalars(select(AuditRow).where(AuditRow.event == "ward_return.act_for"))
        assert (event.user_id, "内一病区药房" in event.detail) == (night.ids["user_pharmacist"], True)
        acted = session.scalars(select(WardReturnActing)).one()
        [signed] = session.scalars(select(DocumentSignature).where(
            DocumentSignature.kind == "ward_return_acting", DocumentSignature.document_id == acted.id))
        assert signed.user_id == night.ids["user_pharmacist"]


@pytest.mark.requirement("M7.8")
def test_the_slip_follows_the_patient_through_a_transfer(night: World) -> None:
    slip, stay = make_slip(night)
    move(night, stay)
    [row] = waiting(night)
    assert (row["asked_ward"], row["present_ward"], row["store"], row["moved"]) == (
        "内一病区", "外二病区", "外二病区药房", True)
    shown = night.ok(night.get("pharmacist", f"{PHARMACY}/ward-returns/{slip}?store_id={night.ids['emergency_store']}"))
    assert [(t["ward_from"], t["ward_to"]) for t in shown["transfers"]] == [("内一病区", "外二病区")]
    # a screen of before the transfer still says the first pharmacy: nothing is put there
    stale = take(night, slip, "ward_store_one")
    assert (stale.status_code, stale.json["code"]) == (409, "ward.moved") and "外二病区药房" in stale.json["message"]
    night.ok(take(night, slip, "ward_store_two"))
    assert (held(night, "ward_store_one"), held(night, "ward_store_two")) == (864, 1008)


@pytest.mark.requirement("M7.8")
def test_of_two_pharmacists_one_takes_it_in_and_the_other_is_told_who(night: World) -> None:
    slip, _ = make_slip(night)
    answers = at_once(*(lambda who=who: take(night, slip, who=who) for who in ("pharmacist", "pharmacist2")))
    assert sorted(a.status_code for a in answers) == [200, 409]
    lost = next(a.json for a in answers if a.status_code == 409)
    assert lost["code"] == "ward.return_state" and "药师 于 03-02 22:30" in lost["message"]
    assert held(night, "ward_store_one") == 912


@pytest.mark.requirement("M7.8")
def test_a_repeated_click_puts_nothing_in_twice(night: World) -> None:
    slip, _ = make_slip(night)
    body = {"acting_store_id": night.ids["emergency_store"], "store_id": night.ids["ward_store_one"]}
    answers = [night.ok(night.post("pharmacist", f"{PHARMACY}/ward-returns/{slip}/take", body, key="ward-take-1"))
               for _ in range(2)]
    assert answers[0] == answers[1] and held(night, "ward_store_one") == 912


@pytest.mark.requirement("M7.8")
def test_what_the_emergency_pharmacy_may_not_take(night: World, clock: ManualClock) -> None:
    slip, stay = make_slip(night)
    assert take(night, slip, acting="store").json["code"] == "pharmacy.not_emergency"
    for who in ("cashier", "doctor"):
        assert take(night, slip, who=who).status_code == 403
    assert take(night, 10**9).status_code == 404
    clock.set(NIGHT.replace(day=3, hour=9))
    night.sign_in_again()
    refused = take(night, slip)
    assert refused.json["code"] == "ward.open" and "07:30–17:30" in refused.json["message"]
    clock.set(NIGHT.replace(day=3))
    night.sign_in_again()
    with night.db.begin() as session:
        session.info["actor"] = SYSTEM
        simulator.discharge(session, stay)
    assert take(night, slip).json["code"] == "ward.left"
    assert held(night, "ward_store_one") == 864


@pytest.mark.requirement("M7.8", "RX-09")
def test_a_controlled_drug_waits_for_the_ward_pharmacy(world: World, clock: ManualClock) -> None:
    stock_drug(world, "吗啡注射液", "morphine", control="麻醉", pack_size=24)
    make_wards(world, "morphine")
    clock.set(NIGHT)
    world.sign_in_again()
    slip, _ = make_slip(world, drug="morphine")
    refused = take(world, slip)
    assert (refused.status_code, refused.json["code"]) == (409, "ward.controlled")
    assert held(world, "ward_store_one", "morphine") == 864


def test_two_slips_never_give_back_more_than_was_handed_out(night: World) -> None:
    slip, stay = make_slip(night, quantity=72)
    with night.db.begin() as session:
        session.info["actor"] = SYSTEM
        [line] = session.scalars(select(simulator.WardReturnLine).where(simulator.WardReturnLine.return_id == slip))
        second = simulator.ask_back(session, stay_id=stay, asked_by="护士乙", reason="重复开单", lines=[
            {"drug_id": line.drug_id, "quantity": Decimal(48), "issue_id": line.issue_id,
             "issue_line_id": line.issue_line_id}])
    night.ok(take(night, slip))
    refused = take(night, second)
    assert (refused.status_code, refused.json["code"]) == (409, "pharmacy.return_excess")
    assert [row["id"] for row in waiting(night)] == [second] and held(night, "ward_store_one") == 936


def test_without_a_ward_side_the_page_says_so(night: World) -> None:
    night.db.ports.pop("ward.returns")
    refused = night.get("pharmacist", f"{PHARMACY}/ward-returns?store_id={night.ids['emergency_store']}")
    assert refused.status_code == 503 and "尚未接入" in refused.json["message"]


def test_the_list_needs_as_many_statements_for_many_as_for_few(
        night: World, query_counter: Callable[[], AbstractContextManager[QueryCount]]) -> None:
    counts = []
    for names in (("王一",), ("王二", "王三", "王四")):
        for name in names:
            _, stay = make_slip(night, name)
            move(night, stay)
        waiting(night)
        with query_counter() as count:
            waiting(night)
        counts.append(count.total)
    assert counts[0] == counts[1] <= 14, count.statements
