"""Keeping the schedule: templates make sessions, sessions are stopped and widened, people keep the places they hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from his_server.clock import ManualClock
from tests.factories import masterdata as make
from tests.factories.hospital import World
from tests.factories.security import make_user, signed_in_client

PATH = "/api/scheduling"


@pytest.fixture
def office(world: World) -> World:
    """The small hospital with somebody in the outpatient office."""
    with world.db.begin() as session:
        user = make_user(session, "catalogue", name="门诊办")
    world.clients["office"] = signed_in_client(world.app, world.db, user=user)
    return world


def put(world: World, path: str, body: dict[str, Any]) -> Any:
    return world.clients["office"].put(f"{PATH}/{path}", json=body)


def fields_of(answer: Any) -> set[str]:
    assert answer.status_code == 422, answer.get_data(as_text=True)
    return {error["field"] for error in answer.json["errors"]}


def template(world: World, **more: Any) -> dict[str, Any]:
    return {"department_id": world.ids["clinic"], "doctor_id": world.ids["doctor"], "weekday": 3, "period": "下午",
            "level": "普通", "capacity": 12, **more}


def sessions(world: World, day: Any) -> list[dict[str, Any]]:
    return world.ok(world.get("office", f"{PATH}/sessions?day={day}"))["items"]


def test_a_template_makes_sessions_and_its_change_leaves_those_alone(office: World, clock: ManualClock) -> None:
    made = office.ok(office.post("office", f"{PATH}/templates", template(office)))
    wednesday = clock.today() + timedelta(days=2)
    span = {"first": str(clock.today()), "last": str(clock.today() + timedelta(days=9))}
    # today has its sessions already; this Wednesday, next Monday and next Wednesday get theirs
    assert office.ok(office.post("office", f"{PATH}/sessions/generate", span))["made"] == 4
    assert office.ok(office.post("office", f"{PATH}/sessions/generate", span))["made"] == 0
    [session] = sessions(office, wednesday)
    assert (session["doctor"], session["period"], session["capacity"], session["price"]) == ("单文渊", "下午", 12, "20.0000")
    office.ok(put(office, f"templates/{made['id']}", {"capacity": 30, "active": True, "revision": 1}))
    late = put(office, f"templates/{made['id']}", {"capacity": 40, "active": True, "revision": 1})
    assert late.status_code == 409 and "门诊办 已于" in late.json["message"]
    assert sessions(office, wednesday)[0]["capacity"] == 12
    further = {"first": span["last"], "last": str(wednesday + timedelta(days=14))}
    office.ok(office.post("office", f"{PATH}/sessions/generate", further))
    assert sessions(office, wednesday + timedelta(days=14))[0]["capacity"] == 30
    [change] = office.ok(office.get("office", f"{PATH}/templates/{made['id']}/changes"))["items"]
    assert (change["title"], change["before"], change["after"]) == ("号数", "12", "30")


def test_a_schedule_that_cannot_be_is_refused_by_field(office: World, clock: ManualClock) -> None:
    path = f"{PATH}/templates"
    wrong = template(office, department_id=office.ids["radiology"], doctor_id=999_999, level="特需")
    assert fields_of(office.post("office", path, wrong)) == {"department_id", "doctor_id", "level"}
    wrong = template(office, weekday=8, period="半夜", capacity=0)
    assert fields_of(office.post("office", path, wrong)) == {"weekday", "period", "capacity"}
    office.ok(office.post("office", path, template(office)))
    assert office.post("office", path, template(office)).json["code"] == "scheduling.template_there"
    with office.db.begin() as session:
        other = make.make_department(session, name="发热门诊").id
    assert fields_of(office.post("office", path, template(office, department_id=other))) == {"doctor_id"}
    day = clock.today()
    for first, last, field in ((day - timedelta(1), day, "first"), (day, day - timedelta(1), "last"),
                               (day, day + timedelta(99), "last")):
        assert fields_of(office.post("office", f"{PATH}/sessions/generate", {"first": str(first), "last": str(last)})) == {field}
    for who in ("cashier", "doctor", "finance"):
        assert office.post(who, path, template(office)).status_code == 403


def test_a_stopped_session_takes_nobody_and_who_has_a_place_keeps_it(office: World) -> None:
    key = office.ids["session"]
    first = office.register(office.person())
    stopped = office.ok(office.post("office", f"{PATH}/sessions/{key}/stop", {"reason": "医生外出会诊"}))
    assert (stopped["state"], stopped["reason"], stopped["changed_by_name"]) == ("stopped", "医生外出会诊", "门诊办")
    twice = office.post("office", f"{PATH}/sessions/{key}/stop", {"reason": "再停一次"})
    assert twice.status_code == 409 and "门诊办 已于" in twice.json["message"]
    body = {"person_id": office.person(), "session_id": key, "payments": [{"method": "cash", "covers": "20.00"}],
            "expected_total": "20.00"}
    refused = office.post("cashier", "/api/outpatient-billing/registrations", body)
    assert refused.json["code"] == "registration.full"
    assert office.post("office", f"{PATH}/sessions/{key}/capacity", {"capacity": 5}).status_code == 409
    office.prescribe(office.encounter(first))
    office.ok(office.post("office", f"{PATH}/sessions/{key}/resume", {"reason": "会诊取消"}))
    office.ok(office.post("cashier", "/api/outpatient-billing/registrations", body))
    assert office.findings() == []


def test_more_places_let_the_next_one_in_and_fewer_only_if_they_are_free(office: World, clock: ManualClock) -> None:
    path = f"{PATH}/sessions"
    body = {"day": str(clock.today()), "department_id": office.ids["clinic"], "doctor_id": office.ids["doctor"],
            "period": "夜间", "level": "普通", "capacity": 1}
    made = office.ok(office.post("office", path, body))
    assert office.post("office", path, body).json["code"] == "scheduling.session_there"
    assert fields_of(office.post("office", path, {**body, "day": "2026-03-01"})) == {"day"}
    office.ids["session"] = made["id"]
    office.register(office.person())
    full = {"person_id": office.person(), "session_id": made["id"], "expected_total": "20.00",
            "payments": [{"method": "cash", "covers": "20.00"}]}
    assert office.post("cashier", "/api/outpatient-billing/registrations", full).status_code == 409
    widened = office.ok(office.post("office", f"{path}/{made['id']}/capacity", {"capacity": 3}))
    assert (widened["capacity"], widened["taken"], widened["changed_by_name"]) == (3, 1, "门诊办")
    for who in ("cashier", "doctor"):
        assert office.post(who, f"{path}/{made['id']}/capacity", {"capacity": 9}).status_code == 403
    office.ok(office.post("cashier", "/api/outpatient-billing/registrations", full))
    refused = office.post("office", f"{path}/{made['id']}/capacity", {"capacity": 1})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (409, "capacity")
    assert office.ok(office.post("office", f"{path}/{made['id']}/capacity", {"capacity": 2}))["capacity"] == 2
    assert fields_of(office.post("office", f"{path}/{made['id']}/capacity", {"capacity": 0})) == {"capacity"}
    assert office.findings() == []


def test_levels_have_a_fee_that_can_be_charged(office: World) -> None:
    with office.db.begin() as session:
        dear = make.make_item(session, "300.00", name="特需诊察费", fiscal_category="02").id
        unpriced = make.make_item(session, None, name="未定价诊察费").id
    path = f"{PATH}/levels"
    assert fields_of(office.post("office", path, {"code": "特需", "item_id": unpriced})) == {"item_id"}
    assert fields_of(office.post("office", path, {"code": "普通", "item_id": dear})) == {"code"}
    made = office.ok(office.post("office", path, {"code": "特需", "item_id": dear, "position": 9}))
    shown = {one["code"]: one for one in office.ok(office.get("office", path))["items"]}
    assert (shown["特需"]["item"], shown["特需"]["price"]) == ("特需诊察费", "300.0000")
    used = put(office, f"levels/{_level(office, '普通')}", {"item_id": dear, "active": False, "revision": 1})
    assert used.json["code"] == "scheduling.level_used"
    office.ok(put(office, f"levels/{made['id']}", {"item_id": dear, "active": False, "revision": 1}))
    assert fields_of(office.post("office", f"{PATH}/templates", template(office, level="特需"))) == {"level"}


def _level(world: World, code: str) -> int:
    return next(one["id"] for one in world.ok(world.get("office", f"{PATH}/levels"))["items"] if one["code"] == code)


def test_who_has_left_gets_no_sessions(office: World, clock: ManualClock) -> None:
    with office.db.begin() as session:
        from modules.kernel.masterdata.models import Staff

        session.get_one(Staff, office.ids["doctor"]).active = False
    office.post("office", f"{PATH}/templates", template(office))
    span = {"first": str(clock.today() + timedelta(7)), "last": str(clock.today() + timedelta(7))}
    assert office.ok(office.post("office", f"{PATH}/sessions/generate", span))["made"] == 0


def test_lists_ask_once(office: World, query_counter: Any) -> None:
    for path in ("templates", "levels", "sessions"):
        with query_counter() as count:
            office.ok(office.get("office", f"{PATH}/{path}"))
        assert count.total <= 4, (path, count.statements)
