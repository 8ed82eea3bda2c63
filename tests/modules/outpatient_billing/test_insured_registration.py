"""The insurer pays a registration: the place is held, its fee settled; a change goes by the old fee back and the new one."""

from __future__ import annotations

from typing import Any

import pytest

from his_server.clock import ManualClock
from modules.kernel.scheduling.models import ClinicSession, Registration
from modules.kernel.scheduling.service import release_no_shows
from tests.factories import insured as make
from tests.factories.hospital import World

API = "/api/outpatient-billing/registrations"


def hold(world: World, person: int, session: str = "session", **more: Any) -> Any:
    """Hold a place."""
    return world.post("cashier", f"{API}/hold", {"person_id": person, "session_id": world.ids[session]}, **more)


def state(world: World, key: int) -> str:
    """Where a registration stands."""
    with world.db.begin(write=False) as session:
        return session.get_one(Registration, key).state


def taken(world: World, session: str = "session") -> int:
    """Places taken of a session."""
    with world.db.begin(write=False) as reading:
        return reading.get_one(ClinicSession, world.ids[session]).taken


def pay(world: World, person: int, held: dict[str, Any], number: str, ending: str = "0000") -> Any:
    """Settle the fee of a held place with the insurer."""
    card = make.show(number, ending)
    claim = world.ok(make.preview(world, person, card, held["line_ids"]))
    return make.settle(world, claim, card)


@pytest.mark.requirement("M1.12", "M1.14")
def test_a_registration_is_paid_by_the_insurer_at_the_window(world: World) -> None:
    number = make.id_no(2)
    person = make.insured_person(world, number)
    made = [world.ok(hold(world, person, key="hold-a-place-1")) for _ in range(2)]
    assert made[0] == made[1] and (made[0]["state"], made[0]["fee"]) == ("booked", "20.00")
    done = world.ok(pay(world, person, made[0], number))
    assert (done["state"], done["total"]) == ("used", "20.00")
    assert (state(world, made[0]["registration_id"]), taken(world)) == ("registered", 1)
    methods = {p["method"] for p in world.settlement(done["settlement_id"])["payments"]}
    assert any(method.startswith("insurance_") for method in methods)
    assert world.findings() == []


@pytest.mark.requirement("M1.12")
def test_a_place_nobody_pays_is_free_again_after_half_an_hour(world: World, clock: ManualClock) -> None:
    kept, lost = (make.insured_person(world, make.id_no(2, n), f"参保{n}") for n in (1, 2))
    mine, other = world.ok(hold(world, kept)), world.ok(hold(world, lost))
    clock.move(minutes=29)
    assert release_no_shows(world.db) == 0
    world.ok(pay(world, kept, mine, make.id_no(2, 1)))
    clock.move(minutes=2)
    assert release_no_shows(world.db) == 1
    assert [state(world, one["registration_id"]) for one in (mine, other)] == ["registered", "cancelled"]
    assert taken(world) == 1 and world.unpaid(lost)["total"] == "0.00"
    assert world.findings() == []


@pytest.mark.requirement("M1.14", "YB-06")
def test_changing_what_the_insurer_paid_gives_it_back_and_settles_the_new_place(world: World) -> None:
    number = make.id_no(2)
    person = make.insured_person(world, number)
    old = world.ok(hold(world, person))
    world.ok(pay(world, person, old, number))
    path = f"{API}/{old['registration_id']}"
    other = {"session_id": world.ids["emergency_session"]}
    said = world.ok(world.post("cashier", f"{path}/change-preview", other))
    assert (said["insured"], said["same"]) == (True, False)
    # in place it can't be done: the insurer reverses whole settlements
    refused = world.post("cashier", f"{path}/change", {**other, "reason": "换号", "expected_total": "20.00",
                                                       "payments": [{"method": "cash", "covers": "20.00"}]})
    assert refused.status_code == 409 and state(world, old["registration_id"]) == "registered"
    new = world.ok(hold(world, person, "emergency_session"))
    case = world.ok(world.post("cashier", f"{path}/cancel-insured", {"reason": "换号：挂错科室"}))
    assert case["state"] == "done"
    world.ok(pay(world, person, new, number))
    assert [state(world, one["registration_id"]) for one in (old, new)] == ["cancelled", "registered"]
    assert (taken(world), taken(world, "emergency_session")) == (0, 1)
    assert world.unpaid(person)["total"] == "0.00"
    assert world.findings() == []


@pytest.mark.requirement("M1.14")
def test_where_the_insurer_refuses_the_old_number_stays_and_the_new_place_is_given_back(world: World) -> None:
    number = make.id_no(2)
    person = make.insured_person(world, number)
    old = world.ok(hold(world, person))
    world.ok(pay(world, person, old, number, "0007"))
    new = world.ok(hold(world, person, "emergency_session"))
    case = world.ok(world.post("cashier", f"{API}/{old['registration_id']}/cancel-insured", {"reason": "换号：改时间"}))
    assert case["state"] == "undone"
    world.ok(world.post("cashier", f"{API}/{new['registration_id']}/cancel", {"reason": "换号未成"}))
    assert [state(world, one["registration_id"]) for one in (old, new)] == ["registered", "cancelled"]
    assert (taken(world), taken(world, "emergency_session")) == (1, 0)
    assert world.findings() == []
