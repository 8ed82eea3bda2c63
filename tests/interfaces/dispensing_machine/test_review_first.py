"""Nothing is made ready by the machine that a pharmacist has to review first (处方管理办法 33)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from his_server.clock import ManualClock
from his_server.messaging.outbox import NotSent
from interfaces.dispensing_machine import subscriptions
from interfaces.dispensing_machine.models import MachineOrder
from modules.kernel.orders.ports import CHECK, CheckCase, Warned
from tests.factories.hospital import World
from tests.interfaces.dispensing_machine.helping import Room
from tests.modules.outpatient_pharmacy.helping import set_rule

PHARMACY = "/api/outpatient-pharmacy"


@pytest.fixture
def room(world: World, clock: ManualClock, tmp_path: Path) -> Room:
    """The small hospital with a machine and two windows; its pharmacy reviews everything first."""
    made = Room(world, clock, tmp_path / "simulators")
    made.windows = {number: made.open_window(number) for number in (3, 4)}
    set_rule(world, review_first=True)
    return made


def _act(room: Room, made: dict[str, Any], what: str, body: dict[str, Any] | None = None, who: str = "pharmacist") -> None:
    room.clock.move(seconds=1)
    room.world.ok(room.world.post(who, f"{PHARMACY}/prescriptions/{made['id']}/{what}", body or {}))


def _known(room: Room) -> list[str]:
    with room.world.db.begin(write=False) as session:
        return list(session.scalars(select(MachineOrder.number)))


@pytest.mark.requirement("M7.1", "M7.2", "M7.3", "H9", "RX-09")
def test_the_machine_is_told_when_the_review_has_passed_and_not_before(room: Room) -> None:
    person, first, _ = room.paid()
    room.work(seconds=60, rounds=3)
    assert (room.pushes(), _known(room)) == ([], []) and {state for state, _ in room.deliveries()} == {"done"}
    second = room.world.prescribe(room.visit, "3", drug="pill")
    room.world.ok(room.world.pay_all(person))
    room.world.ok(room.world.post("pharmacist", f"{PHARMACY}/windows/{room.windows[3]}/state", {"state": "closed"}))
    _act(room, first, "review")
    room.work(seconds=60, rounds=3)
    _act(room, second, "review")
    room.work(seconds=60, rounds=3)
    journal = room.books.journal()
    assert [entry[0] for entry in journal] == [first["number"], second["number"]], "each once"
    assert [entry[1].split() for entry in journal] == [
        sorted(str(line["id"]) for line in made["lines"]) for made in (first, second)], "the lines of its own settlement"
    assert {entry[2] for entry in journal} == {"4"}, "the window where the patient waits by then"
    assert room.order(first["id"]).state == "sent"


@pytest.mark.requirement("M7.2", "RX-09")
def test_what_was_given_back_is_sent_when_it_has_passed_at_last(room: Room) -> None:
    _, made, _ = room.paid()
    _act(room, made, "bounce", {"reason": "剂量存疑"})
    room.work(seconds=10, rounds=2)
    _act(room, made, "answer", {"reason": "剂量无误"}, who="doctor")
    room.work(seconds=10, rounds=2)
    assert room.pushes() == []
    _act(room, made, "review")
    room.work(seconds=10, rounds=2)
    assert room.pushes() == [made["number"]]


@pytest.mark.requirement("M7.2", "RX-09")
def test_what_was_given_back_before_the_machine_could_be_reached_is_picked_by_hand(room: Room) -> None:
    """Its review had passed, the machine was away, the pharmacist thought again: no old call goes out."""
    room.world.db.ports[subscriptions.PORT]._adapter.line._carry = _away
    _, made, _ = room.paid()
    _act(room, made, "review")
    room.work()
    assert room.order(made["id"]).state == "new"
    _act(room, made, "bounce", {"reason": "剂量存疑"})
    _act(room, made, "answer", {"reason": "剂量无误"}, who="doctor")
    room.bind(room.world.db)
    room.work(seconds=60, rounds=3)
    found = room.order(made["id"])
    assert (room.pushes(), found.state) == ([], "unsent") and "审方" in found.note
    _act(room, made, "review")
    room.work(seconds=60, rounds=3)
    assert room.pushes() == [] and {state for state, _ in room.deliveries()} == {"done"}


def _away(*_given: Any) -> Any:
    raise NotSent("connection refused")


class _Checker:
    def __init__(self, *found: Warned) -> None:
        self.found, self.down = found, False

    def check(self, case: CheckCase) -> Sequence[Warned]:
        if self.down:
            raise TimeoutError("no answer")
        return self.found


@pytest.mark.requirement("RX-10", "H9")
@pytest.mark.parametrize("found", ["nothing", "alerts", "no answer"])
def test_where_not_everything_is_reviewed_what_was_found_is(room: Room, found: str) -> None:
    """The machine waits for the word of the drug check."""
    set_rule(room.world, review_first=False)
    checker = _Checker(*[Warned("warn", "interaction", "lines", "与华法林合用增加出血风险")] if found == "alerts" else [])
    checker.down = found == "no answer"
    room.world.db.ports[CHECK] = checker
    _, made, _ = room.paid()
    room.work()
    assert room.pushes() == [] and "尚未审查" in room.deliveries()[0][1]
    _act(room, made, "check")
    room.work(seconds=60, rounds=2)
    assert room.pushes() == ([made["number"]] if found == "nothing" else [])
    assert {state for state, _ in room.deliveries()} == {"done"}
    if found != "nothing":
        _act(room, made, "review", {"note": "已与医师核实"})
        room.work()
        assert room.pushes() == [made["number"]]


@pytest.mark.requirement("H9")
def test_a_hospital_may_let_its_machine_begin_at_the_payment(room: Room) -> None:
    room.bind(room.world.db, await_review=False)
    _, made, _ = room.paid()
    room.work()
    assert room.pushes() == [made["number"]]
    _act(room, made, "review")
    room.work(seconds=60, rounds=2)
    assert room.pushes() == [made["number"]] and {state for state, _ in room.deliveries()} == {"done"}
