"""职工病历调阅 (PR-03): who of the staff looked at a file of their own or a colleague's."""

from __future__ import annotations

from typing import Any

import pytest

from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.security.audit import AuditRow
from modules.kernel.masterdata.models import Department
from modules.kernel.patients import service as patients
from tests.counting import count_queries
from tests.factories.hospital import World
from tests.factories.masterdata import make_staff
from tests.factories.security import make_user, signed_in_client

REPORT = "/api/reports/staff-file-views"


def _person(world: World, name: str, sex: str) -> int:
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        return int(patients.create_person(session, SYSTEM, name=name, sex=sex, confirmed=True).id)


def _enter(world: World, who: str, role: str, name: str, sex: str = "2") -> None:
    """Somebody of the staff with an account."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        staff = make_staff(session, session.get_one(Department, world.ids["clinic"]), name=name, sex=sex)
        user = make_user(session, role, name=name, staff_id=staff.id)
        world.ids[f"user_{who}"] = user.id
    world.clients[who] = signed_in_client(world.app, world.db, user=user)


def _rows(world: World, clock: ManualClock, who: str = "affairs", **more: str) -> list[dict[str, Any]]:
    query = "".join(f"&{k}={v}" for k, v in more.items())
    found: list[dict[str, Any]] = world.ok(world.get(who, f"{REPORT}?from={clock.today()}&to={clock.today()}{query}"))["rows"]
    return found


@pytest.fixture
def house(world: World) -> World:
    for who, role, name in (("affairs", "medical_affairs", "医务员"), ("officer", "discipline", "纪检员"),
                            ("wang", "nurse", "王小兰")):
        _enter(world, who, role, name)
    return world


@pytest.mark.requirement("PR-03")
def test_looks_at_ones_own_file_and_at_a_colleagues_are_told_from_all_others(house: World, clock: ManualClock) -> None:
    own, namesake, other = _person(house, "王小兰", "2"), _person(house, "王小兰", "1"), _person(house, "赵无关", "2")
    for person in (own, namesake, other):
        house.ok(house.get("wang", f"/api/patients/{person}"))
    house.ok(house.get("cashier", f"/api/patients/{own}/timeline"))
    colleague, mine = _rows(house, clock)
    assert (mine["whose"], mine["viewer"], mine["part"], mine["why"]) == ("本人", "王小兰", "档案", "姓名性别相同")
    assert (colleague["whose"], colleague["part"], colleague["patient"], colleague["treats"]) == ("同事", "变更记录", "王**", "")
    labelled = {"level": 3, "kinds": ["staff"], "reason": "职工家属要求", "locked": False}
    house.ok(house.post("affairs", f"/api/patients/{other}/protection", labelled))
    assert [row["why"] for row in _rows(house, clock) if row["patient"] == "赵**"] == ["标记为本院职工"]
    assert len(_rows(house, clock, search="赵无关")) == 1
    assert _rows(house, clock, who="officer") == _rows(house, clock)
    with house.db.begin(write=False) as session:
        assert session.query(AuditRow).filter_by(event="staff_files.run").count() >= 4


@pytest.mark.requirement("PR-03")
def test_who_treats_the_colleague_is_told(house: World, clock: ManualClock) -> None:
    own = _person(house, "王小兰", "2")
    house.encounter(house.register(own))
    with house.db.begin() as session:
        from his_server.security.models import User
        from modules.kernel.encounters.models import Encounter

        visit = session.query(Encounter).filter_by(person_id=own).one()
        staff = session.get_one(User, house.ids["user_doctor"]).staff_id
        visit.doctor_id = staff
    house.ok(house.get("doctor", f"/api/patients/{own}"))
    assert {row["treats"] for row in _rows(house, clock) if row["viewer"] != "王小兰" and row["part"] == "档案"} == {"接诊"}


def test_only_the_two_offices_see_it_and_not_for_longer_than_three_months(house: World, clock: ManualClock) -> None:
    for who in ("doctor", "cashier", "wang"):
        assert house.get(who, f"{REPORT}?from=2026-03-01&to=2026-03-02").status_code == 403
    assert house.get("affairs", f"{REPORT}?from=2026-01-01&to=2026-12-31").status_code == 422
    assert house.get("affairs", f"{REPORT}?from=2026-03-02&to=2026-03-01").status_code == 422


def test_it_costs_the_same_for_many_looks(house: World, clock: ManualClock) -> None:
    own = _person(house, "王小兰", "2")
    house.ok(house.get("wang", f"/api/patients/{own}"))
    _rows(house, clock)
    with count_queries(house.db) as once:
        _rows(house, clock)
    for _ in range(5):
        house.ok(house.get("wang", f"/api/patients/{own}"))
    with count_queries(house.db) as more:
        assert len(_rows(house, clock)) == 6
    assert more.total == once.total
