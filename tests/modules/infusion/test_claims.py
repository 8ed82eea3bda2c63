"""Drugs are infused or given back to the pharmacy, never both; whichever comes second is told of the first."""

from __future__ import annotations

from typing import Any

import pytest

from his_server.clock import ManualClock
from tests.factories.hospital import World
from tests.modules.infusion.room import Room

PHARMACY = "/api/outpatient-pharmacy"


@pytest.fixture
def room(world: World) -> Room:
    """The room."""
    return Room(world)


def give_back(room: Room, paid: dict[str, Any], quantity: int = 1, line: int = 0) -> Any:
    """Ask the pharmacy to take back of a line; the lenient store takes it back at once."""
    return room.world.post("pharmacist", f"{PHARMACY}/prescriptions/{paid['id']}/returns", {
        "lines": [{"line_id": paid["lines"][line]["id"], "quantity": str(quantity)}], "reason": "停止输液"})


def returnable(room: Room, paid: dict[str, Any], line: int = 0) -> str:
    """What the returns page offers of a line."""
    found = room.world.ok(room.world.get("pharmacist", f"{PHARMACY}/prescriptions/{paid['id']}"))["lines"]
    return str(next(one for one in found if one["id"] == paid["lines"][line]["id"])["returnable_units"])


@pytest.mark.requirement("M10.1", "RX-12")
def test_what_the_room_has_received_or_prepared_is_not_taken_back(room: Room) -> None:
    paid = room.paid(bottles=2)
    infusion = room.receive(paid)
    first, second = infusion["bottles"]
    refused = give_back(room, paid)
    assert (refused.status_code, refused.json["code"]) == (409, "pharmacy.return_given")
    assert "氯化钠注射液 已由 罗护士" in refused.json["message"] and infusion["number"] in refused.json["message"]
    room.ok("nurse2", "post", f"/bottles/{first['id']}/prepare")
    assert "朱护士" in give_back(room, paid).json["message"] and "配药使用" in give_back(room, paid).json["message"]
    # a bottle that nobody prepared is stopped: its drugs may go back; those of a prepared one never
    room.ok("nurse", "post", f"/bottles/{second['id']}/stop", {"reason": "病人拒绝"})
    room.ok("nurse", "post", f"/bottles/{first['id']}/stop", {"reason": "输液反应"})
    assert [returnable(room, paid, n) for n in (0, 1)] == ["0.0000", "1.0000"]
    assert give_back(room, paid, line=0).json["code"] == "pharmacy.return_given"
    assert give_back(room, paid, line=1).status_code == 201
    assert room.world.findings() == []


@pytest.mark.requirement("M10.1", "RX-12")
def test_what_is_given_back_is_not_received(room: Room) -> None:
    paid = room.paid()
    room.world.ok(give_back(room, paid))
    body = {"prescription_id": paid["id"], "person_id": paid["person"]}
    refused = room.ask("nurse", "post", "/receptions", body)
    assert (refused.status_code, refused.json["code"]) == (409, "orders.given_back")
    assert room.ok("nurse", "get", "/worklist")["items"] == []


@pytest.mark.requirement("M10.1", "RX-12")
def test_a_reception_taken_back_lets_go_of_its_drugs_and_the_next_one_takes_them_again(room: Room, clock: ManualClock) -> None:
    paid = room.paid(days=2)
    infusion = room.receive(paid)
    # of two days' drugs the first day's are claimed
    assert returnable(room, paid) == "1.0000"
    room.ok("nurse", "post", f"/infusions/{infusion['id']}/cancel", {"reason": "病人走错"})
    assert returnable(room, paid) == "2.0000"
    room.receive(paid)
    assert returnable(room, paid) == "1.0000"
    room.world.ok(give_back(room, paid))
    clock.move(days=1)
    room.sign_in("nurse")
    refused = room.ask("nurse", "post", "/receptions", {"prescription_id": paid["id"], "person_id": paid["person"]})
    assert refused.json["code"] == "orders.given_back"
