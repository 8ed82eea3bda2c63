"""The hospital's hours: one fact for the list of sessions and for the job that frees what nobody took."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta

import pytest

from his_server.actor import SYSTEM
from his_server.app import bind_ports
from his_server.clock import HOSPITAL_ZONE, ManualClock
from his_server.registry import Hospital, module_settings
from his_server.settings import Settings, SettingsError
from modules.kernel.scheduling import module
from modules.kernel.scheduling import service as scheduling
from modules.kernel.scheduling.models import ClinicSession
from tests.factories.hospital import World


@pytest.fixture
def hours(world: World, hospital: Hospital) -> Iterator[World]:
    """The small hospital with sessions of every period today; its hours are the usual ones again afterwards."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        for days, period in ((0, "下午"), (0, "夜间"), (0, "全天"), (1, "上午")):
            session.add(ClinicSession(day=world.db.clock.today() + timedelta(days=days), department_id=world.ids["clinic"],
                                      doctor_id=world.ids["doctor"], level="普通", period=period, capacity=9, extra=0,
                                      taken=0, issued=0, state="open"))
    yield world
    bind_ports(world.db, hospital, Settings())


def _set(world: World, hospital: Hospital, **hours: object) -> None:
    bind_ports(world.db, hospital, Settings(extra={"kernel.scheduling": hours}))


def _at(world: World, clock: ManualClock, text: str) -> set[str]:
    """The periods that are over at a time of today."""
    clock.set(datetime.combine(clock.today(), time.fromisoformat(text), HOSPITAL_ZONE))
    world.sign_in_again()
    found = world.ok(world.get("cashier", f"/api/scheduling/sessions?department_id={world.ids['clinic']}"))["items"]
    assert {one["period"] for one in found} == {"上午", "下午", "夜间", "全天"}
    return {one["period"] for one in found if one["over"]}


def test_a_session_is_over_when_the_hospital_says_so(hours: World, hospital: Hospital, clock: ManualClock) -> None:
    assert _at(hours, clock, "11:59") == set()
    assert _at(hours, clock, "12:00") == {"上午"}
    assert _at(hours, clock, "17:29") == {"上午"}
    assert _at(hours, clock, "17:30") == {"上午", "下午"}
    assert _at(hours, clock, "23:59") == {"上午", "下午"}
    tomorrow = clock.today() + timedelta(days=1)
    [later] = hours.ok(hours.get("cashier", f"/api/scheduling/sessions?day={tomorrow}"))["items"]
    assert later["over"] is False
    _set(hours, hospital, morning_ends="11:30", afternoon_ends="18:00", night_ends="23:00")
    assert _at(hours, clock, "11:30") == {"上午"}
    assert _at(hours, clock, "17:59") == {"上午"}
    assert _at(hours, clock, "23:00") == {"上午", "下午", "夜间"}


@pytest.mark.requirement("M1.5")
def test_a_booked_number_is_kept_until_the_same_hours_say(hours: World, hospital: Hospital, clock: ManualClock) -> None:
    tomorrow = clock.today() + timedelta(days=1)
    [later] = hours.ok(hours.get("cashier", f"/api/scheduling/sessions?day={tomorrow}"))["items"]
    hours.ok(hours.post("cashier", "/api/outpatient-billing/bookings",
                        {"person_id": hours.person("慢来"), "session_id": later["id"]}))
    _set(hours, hospital, morning_ends="12:30", take_minutes=20)
    for at, released in (("11:30", 0), ("12:09", 0), ("12:10", 1)):
        clock.set(datetime.combine(tomorrow, time.fromisoformat(at), HOSPITAL_ZONE))
        assert scheduling.release_no_shows(hours.db) == released, at


@pytest.mark.parametrize("wrong", [
    {"morning_ends": "25:00"}, {"morning_ends": "noon"}, {"afternoon_ends": "11:00"}, {"night_ends": "17:00"},
    {"take_minutes": -1}, {"take_minutes": 241}, {"take_minutes": "60"}, {"evening_ends": "20:00"}])
def test_wrong_hours_are_refused_at_the_start(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"kernel\.scheduling"):
        module_settings(module, Settings(extra={"kernel.scheduling": wrong}))
