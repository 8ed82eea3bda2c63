"""Read views: a partner's copy equals ours after any changes, page by page, and nothing is missed (C6)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.db import Database
from interfaces.hub import gateway
from interfaces.read_views.simulator import Mirror
from modules.kernel.masterdata.models import Department, Staff
from modules.kernel.scheduling.models import ClinicSession
from modules.kernel.stock.service import notices
from tests.factories.hospital import World
from tests.interfaces.hub.opening import Partner, make_partner

ALL = ("departments.list", "staff.list", "schedules.list", "slots.list", "drug-notices.list")


@pytest.fixture
def partner(world: World, app: Flask, db: Database) -> Partner:
    gateway._pace.__init__()  # type: ignore[misc]
    return make_partner(db, app.test_client(), cases=ALL)


@pytest.mark.requirement("A3")
def test_a_copy_follows_every_change(world: World, partner: Partner, db: Database, clock: ManualClock) -> None:
    mirror = Mirror("departments", limit=2)
    assert mirror.pull(partner.fetch) == len(mirror.rows) >= 3
    assert mirror.rows == ours(db)
    clock.move(seconds=10)
    assert mirror.pull(partner.fetch) == 0, "nothing changed, nothing comes"
    with db.begin() as session:
        first, second = session.scalars(select(Department).order_by(Department.code).limit(2)).all()
        first.name, second.active = "更名科", False
        session.add(Department(code="zz-new", name="新科", kind="临床"))
    clock.move(seconds=10)
    assert mirror.pull(partner.fetch) == 3
    assert mirror.rows == ours(db) and "更名科" in {row["name"] for row in mirror.rows.values()}
    with db.begin() as session:
        session.execute(update(Department).where(Department.code == second.code).values(active=True))
    clock.move(seconds=10)
    mirror.pull(partner.fetch)
    assert mirror.rows == ours(db), "what came back is there again"


def ours(db: Database) -> dict[str, Any]:
    with db.begin(write=False) as session:
        codes = {row.id: row.code for row in session.scalars(select(Department))}
        return {row.code: {"code": row.code, "name": row.name, "kind": row.kind, "parent_code": codes.get(row.parent_id),
                           "outpatient": row.outpatient, "emergency": row.emergency, "building": row.building,
                           "deleted": False}
                for row in session.scalars(select(Department).where(Department.active.is_(True)))}


def test_a_change_between_two_pages_is_not_missed(world: World, partner: Partner, db: Database, clock: ManualClock) -> None:
    mirror, seen, versions = Mirror("departments", limit=1), 0, set()

    def fetch(resource: str, query: dict[str, Any]) -> dict[str, Any]:
        nonlocal seen
        seen += 1
        if seen == 2:
            with db.begin() as session:
                for row in session.scalars(select(Department)):
                    row.building = "新大楼"
            clock.move(seconds=10)
            partner.fetch(resource, {})  # somebody else brings the resource up to date meanwhile
        page = partner.fetch(resource, query)
        versions.add(page["version"])
        return page

    mirror.pull(fetch)
    assert len(versions) == 1, "all pages of one reading belong to the version of the first"
    clock.move(seconds=10)
    mirror.pull(partner.fetch)
    assert mirror.rows == ours(db)


def test_slots_count_down_with_registrations_and_a_stopped_session_has_none(world: World, partner: Partner, db: Database,
                                                                           clock: ManualClock) -> None:
    mirror = Mirror("slots")
    mirror.pull(partner.fetch)
    code = str(world.ids["session"])
    before = mirror.rows[code]["remaining"]
    world.register(world.person())
    clock.move(seconds=10)
    mirror.pull(partner.fetch)
    assert mirror.rows[code]["remaining"] == before - 1
    with db.begin() as session:
        session.execute(update(ClinicSession).where(ClinicSession.id == world.ids["session"]).values(state="stopped"))
    clock.move(seconds=10)
    mirror.pull(partner.fetch)
    assert mirror.rows[code]["remaining"] == 0
    schedules = Mirror("schedules")
    schedules.pull(partner.fetch)
    assert schedules.rows[code]["state"] == "stopped"


@pytest.mark.requirement("M6.2")
def test_a_doctors_workstation_elsewhere_hears_of_a_notice_and_of_its_end(world: World, partner: Partner, db: Database,
                                                                         clock: ManualClock) -> None:
    def publish(kind: str, drug: str = "drug", **more: Any) -> int:
        with db.begin() as session:
            session.info["actor"] = SYSTEM
            return notices.publish(session, SYSTEM, kind=kind, drug_id=world.ids[drug], reason="厂家停产", **more).id

    mirror = Mirror("drug-notices")
    assert mirror.pull(partner.fetch) == 0
    day = clock.today()
    shortage = publish("shortage", substitute="头孢拉定胶囊")
    publish("prohibition", valid_to=day)
    publish("shortage", "pill", valid_from=day + timedelta(days=2))  # not yet
    clock.move(seconds=10)
    assert mirror.pull(partner.fetch) == 2
    found = {row["kind"]: row for row in mirror.rows.values()}
    assert {(row["drug_name"], row["reason"], row["valid_from"]) for row in found.values()} == {
        ("阿莫西林胶囊", "厂家停产", str(day))}
    assert (found["shortage"]["substitute"], found["shortage"]["valid_to"]) == ("头孢拉定胶囊", None)
    assert found["prohibition"]["valid_to"] == str(day)
    with db.begin() as session:
        session.info["actor"] = SYSTEM
        notices.withdraw_notice(session, SYSTEM, shortage, "已到货")
    clock.move(seconds=10)
    assert mirror.pull(partner.fetch) == 1 and [row["kind"] for row in mirror.rows.values()] == ["prohibition"]
    clock.set(clock.now() + timedelta(days=1))  # over at the end of its day
    assert mirror.pull(partner.fetch) == 1 and mirror.rows == {}


def test_days_that_are_over_are_forgotten_and_not_called_deleted(world: World, partner: Partner, clock: ManualClock) -> None:
    mirror = Mirror("schedules")
    assert mirror.pull(partner.fetch) >= 1
    clock.set(clock.now() + timedelta(days=1))
    assert [row for row in partner.fetch("schedules", {"changed_since": mirror.version})["items"] if row["deleted"]] == []


@pytest.mark.parametrize("query", [{"limit": 501}, {"limit": 0}, {"cursor": "x"}, {"changed_since": -1}, {"more": 1}])
def test_wrong_questions_are_told_the_field(partner: Partner, query: dict[str, Any]) -> None:
    answer = partner.send("GET", "/staff", query=query)
    assert answer.status_code == 422 and answer.get_json()["detail"][0]["field"] == next(iter(query))


def test_a_cursor_of_another_resource_is_refused(world: World, partner: Partner) -> None:
    cursor = partner.fetch("departments", {"limit": 1})["next"]
    assert partner.send("GET", "/staff", query={"cursor": cursor}).status_code == 422


@pytest.mark.requirement("PR-13")
def test_names_of_staff_leave_only_where_granted(world: World, app: Flask, db: Database) -> None:
    without = make_partner(db, app.test_client(), "queue", cases=("staff.list",), fields=("title",))
    assert {frozenset(row) for row in without.fetch("staff", {})["items"]} == {frozenset({"code", "title", "deleted"})}


def test_a_page_costs_the_same_however_many_rows(world: World, partner: Partner, db: Database, clock: ManualClock,
                                                 query_counter: Callable[[], Any]) -> None:
    def cost() -> int:
        clock.move(seconds=10)
        with query_counter() as count:
            partner.fetch("staff", {})
        return int(count.total)

    cost()
    before = cost()
    with db.begin() as session:
        department = session.scalars(select(Department.id)).first()
        session.add_all(Staff(code=f"s{n}", name="某", sex="1", department_id=department) for n in range(50))
    cost()
    assert cost() <= before
