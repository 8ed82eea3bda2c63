"""Machine and hand: what a person makes ready isn't picked a second time, whoever was first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dialects import portable
from his_server.clock import ManualClock
from his_server.messaging.outbox import NotSent
from interfaces.dispensing_machine import contract, subscriptions
from interfaces.hub.simulating import Rule
from modules.kernel.dispensing.models import DispensingTask
from tests.factories.hospital import World
from tests.interfaces.dispensing_machine.helping import Room

PUSH, STATE = "GetPresNoByXML", "GetPresState"
PHARMACY = "/api/outpatient-pharmacy"


@pytest.fixture
def room(world: World, clock: ManualClock, tmp_path: Path) -> Room:
    """The small hospital with a machine and two windows."""
    made = Room(world, clock, tmp_path / "simulators")
    made.windows = {number: made.open_window(number) for number in (3, 4)}
    return made


def _away(*_given: Any) -> Any:
    raise NotSent("connection refused")


def _act(room: Room, made: dict[str, Any], what: str, body: dict[str, Any] | None = None) -> None:
    room.clock.move(seconds=1)
    room.world.ok(room.world.post("pharmacist", f"{PHARMACY}/prescriptions/{made['id']}/{what}", body))


def _refund(room: Room, settled: dict[str, Any], quantity: str) -> None:
    room.clock.move(seconds=1)
    lines = room.world.settlement(settled["id"])["lines"][:1]
    room.world.ok(room.world.post("cashier", f"/api/outpatient-billing/settlements/{settled['id']}/refunds", {
        "lines": [{"line_id": line["id"], "quantity": quantity} for line in lines], "reason": "病人要求"}))


BY_HAND: dict[str, tuple[Callable[[Room, dict[str, Any], dict[str, Any]], None], str]] = {
    "picked": (lambda room, made, _: _act(room, made, "pick"), "人工调配"),
    "handed out": (lambda room, made, _: _act(room, made, "dispense"), "人工发药"),
    "a line handed out": (lambda room, made, _: _act(room, made, "dispense", {"line_ids": [made["lines"][0]["id"]]}), "人工调配"),
    "bounced": (lambda room, made, _: _act(room, made, "bounce", {"reason": "剂量存疑"}), "退回医师"),
    "a pack refunded": (lambda room, _, settled: _refund(room, settled, "1"), "部分退费"),
}


@pytest.mark.requirement("M7.2", "H9")
@pytest.mark.parametrize("what", BY_HAND)
def test_what_a_person_touched_before_it_was_sent_is_never_sent(room: Room, what: str) -> None:
    """The machine was away; when it is back the prescription as it was paid isn't what is to be made ready any more."""
    room.world.db.ports[subscriptions.PORT]._adapter.line._carry = _away
    made, settled = room.world.two_drugs()
    room.work()
    assert room.order(made["id"]).state == "new"
    act, why = BY_HAND[what]
    act(room, made, settled)
    room.bind(room.world.db)
    room.work(seconds=60, rounds=3)
    found = room.order(made["id"])
    assert (room.pushes(), found.state, found.alarm) == ([], "unsent", False) and why in found.note
    assert {state for state, _ in room.deliveries()} == {"done"}


@pytest.mark.requirement("M7.2")
def test_what_was_handed_out_while_nobody_knew_whether_it_was_sent_is_not_sent_again(room: Room) -> None:
    room.spoil(Rule("drop_before", PUSH, count=1))
    _, made, _ = room.paid()
    room.work()
    assert room.order(made["id"]).state == "sending"
    _act(room, made, "dispense")
    room.work(seconds=70, rounds=3)
    assert room.pushes() == [] and room.order(made["id"]).state == "unsent"
    assert {state for state, _ in room.deliveries()} == {"done"}


@pytest.mark.requirement("M7.2")
def test_a_person_who_says_send_it_again_doesnt_send_what_was_handed_out(room: Room, sign_in: Any) -> None:
    room.bind(room.world.db, can_query=False)
    room.spoil(Rule("drop_before", PUSH, count=1))
    _, made, _ = room.paid()
    room.work()
    _act(room, made, "dispense")
    admin = sign_in("sysadmin")
    [found] = admin.get("/api/messaging/deliveries?state=asked").json["items"]
    assert admin.post(f"/api/messaging/deliveries/{found['id']}/resend", json={"reason": "发药机上没有"}).status_code == 200
    room.work(seconds=60, rounds=3)
    assert room.pushes() == [] and room.order(made["id"]).state == "unsent"


@pytest.mark.requirement("M7.2", "H9")
@pytest.mark.parametrize(("waited", "part", "step", "state"), [
    (0, False, contract.CANCELLED, "withdrawn"), (0, True, contract.CANCELLED, "withdrawn"),
    (60, False, contract.HANDED, "handed"), (60, True, contract.READY, "sent")])
def test_what_is_handed_out_before_the_machine_put_it_out_is_taken_back(room: Room, waited: int, part: bool, step: str,
                                                                        state: str) -> None:
    """It came from the shelf then; from the machine's box it is confirmed there."""
    made, _ = room.world.two_drugs()
    room.work()
    room.work(seconds=waited)
    _act(room, made, "dispense", {"line_ids": [made["lines"][0]["id"]]} if part else None)
    room.work()
    found = room.order(made["id"])
    assert (room.books.step(made["number"])[0], found.state, found.alarm) == (step, state, False)
    assert room.pushes() == [made["number"]]
    if part:  # the rest
        _act(room, made, "dispense")
        room.work()
        assert room.order(made["id"]).state == ("handed" if waited else "withdrawn")


@pytest.mark.requirement("M7.2")
def test_what_the_machine_handed_out_as_well_is_an_alarm(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """It put it out and handed it out between the question and the taking back."""
    _, made, _ = room.paid()
    room.work()
    _act(room, made, "dispense")
    told = room.world.db.ports[subscriptions.PORT]._adapter
    asked = told.state

    def meanwhile(number: str) -> contract.There:
        found: contract.There = asked(number)
        assert room.books.go(number, contract.HANDED)
        return found

    monkeypatch.setattr(told, "state", meanwhile)
    room.work()
    found = room.order(made["id"])
    assert found.state == "handed" and found.alarm and "核对病人手中药品" in found.note


@pytest.mark.requirement("M7.2")
@pytest.mark.parametrize("db_url", ["postgresql"], indirect=True)
def test_a_push_waits_for_whoever_is_just_picking(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at the same instant: the row of the task decides, not who looked first. (SQLite has one writer anyway.)"""
    _, made, _ = room.paid()
    sent, looks, by_hand = threading.Event(), threading.Event(), subscriptions._by_hand

    def looking(*given: Any) -> str:
        looks.set()
        return by_hand(*given)

    monkeypatch.setattr(subscriptions, "_by_hand", looking)

    def push() -> None:
        room.work()
        sent.set()

    worker = threading.Thread(target=push)
    with room.world.db.begin() as session:
        assert portable.guarded_update(session, DispensingTask, (DispensingTask.prescription_id == made["id"])
                                       & (DispensingTask.state == "waiting"), {"state": "picked"})
        worker.start()
        assert looks.wait(30)
        assert not sent.wait(0.5), "the machine was called while somebody picks"
    worker.join(30)
    assert sent.is_set() and room.pushes() == [] and room.order(made["id"]).state == "unsent"


@pytest.mark.requirement("M7.1")
def test_a_window_closed_before_the_push_is_not_the_windows_of_the_push(room: Room) -> None:
    _, made, _ = room.paid()
    answer = room.world.post("pharmacist", f"{PHARMACY}/windows/{room.windows[3]}/state", {"state": "closed"})
    assert answer.status_code < 300, answer.get_data(as_text=True)
    room.work(rounds=2, seconds=5)
    assert [entry[2] for entry in room.books.journal()] == ["4"]
    found = room.order(made["id"])
    assert (found.window, found.alarm) == (4, False)
