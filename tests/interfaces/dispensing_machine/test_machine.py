"""The dispensing machine: one push per settled prescription, its own lines, its own pharmacy's window, whatever happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from his_server.clock import ManualClock
from his_server.db import Database
from his_server.messaging import outbox
from his_server.messaging.outbox import Event, NotSent, OutboxEvent
from interfaces.dispensing_machine import contract, mapping, subscriptions
from interfaces.hub.simulating import Rule
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata.models import Drug
from tests.factories.hospital import World
from tests.interfaces.dispensing_machine.helping import Room
from tests.interfaces.hub.opening import make_partner

PUSH = "GetPresNoByXML"


@pytest.fixture
def room(world: World, clock: ManualClock, tmp_path: Path) -> Room:
    """The small hospital with a machine and two windows per pharmacy."""
    made = Room(world, clock, tmp_path / "simulators")
    for store, numbers in (("store", (3, 4)), ("emergency_store", (8,))):
        for number in numbers:
            made.windows[number] = made.open_window(number, store)
    return made


@pytest.mark.requirement("H9", "M7.1", "M7.2", "M7.3")
def test_a_paid_prescription_is_pushed_once_with_its_own_lines_and_window(room: Room) -> None:
    person, first, _ = room.paid()
    room.work()
    second = room.world.prescribe(room.visit, "3", drug="pill")
    room.world.ok(room.world.pay_all(person))
    room.work(rounds=3, seconds=60)
    journal = room.books.journal()
    assert [entry[0] for entry in journal] == [first["number"], second["number"]]
    line_ids = [entry[1] for entry in journal]
    assert set(line_ids[0].split()).isdisjoint(line_ids[1].split()), "the second payment pushed the first one's lines"
    assert {entry[2] for entry in journal} == {"3"}, "the patient keeps the window"
    assert {entry[3] for entry in journal} == {"OU"}
    assert room.order(first["id"]).state == "sent" and room.deliveries() == [("done", "")] * 2


@pytest.mark.requirement("M7.1")
def test_the_window_is_one_of_the_own_pharmacy(room: Room) -> None:
    world = room.world
    person = world.person()
    world.ok(world.post("cashier", "/api/outpatient-billing/registrations", {
        "person_id": person, "session_id": world.ids["emergency_session"], "payments": [{"method": "cash", "covers": "20.00"}],
        "expected_total": "20.00"}))
    with world.db.begin(write=False) as session:
        visit = session.scalars(select(Encounter.id).where(Encounter.person_id == person)).one()
    world.prescribe(visit, days=3)
    world.ok(world.pay_all(person))
    room.work()
    assert [(window, store) for _, _, window, store in room.books.journal()] == [("8", "EM")]


@pytest.mark.requirement("M7.2")
@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "short", "garbage", "refuse"])
def test_a_lost_answer_is_asked_about_and_pushed_once_at_the_end(room: Room, fault: str) -> None:
    room.spoil(Rule(fault, PUSH, count=1))
    _, made, _ = room.paid()
    room.work()
    assert room.deliveries()[0][0] == "asked"
    room.work(seconds=20)
    assert room.pushes().count(made["number"]) <= 1, "sent again although it may still be under way"
    room.work(seconds=60, rounds=3)
    assert room.pushes() == [made["number"]]
    assert room.deliveries() == [("done", "")] and room.order(made["id"]).state == "sent"


@pytest.mark.requirement("M7.2")
def test_a_call_that_arrives_late_is_not_sent_a_second_time(room: Room) -> None:
    """The machine doesn't know it yet when it is asked first: the request was still on its way."""
    room.spoil(Rule("drop_before", PUSH, count=1))
    _, made, _ = room.paid()
    room.work()
    room.work(seconds=15, rounds=2)
    rows = mapping.read_rows("XMLPresInfo", room.payload(made["id"]))
    room.books.take([contract.PrescriptionRow().load(row) for row in rows])  # now the slow request is there
    room.work(seconds=60, rounds=3)
    assert room.pushes() == [made["number"]] and room.order(made["id"]).state == "sent"


@pytest.mark.requirement("M7.2")
def test_a_machine_that_cannot_be_asked_leaves_it_to_a_person(room: Room, sign_in: Any) -> None:
    room.bind(room.world.db, can_query=False)
    room.spoil(Rule("drop_after", PUSH, count=1))
    _, made, _ = room.paid()
    room.work(seconds=600, rounds=5)
    state, error = room.deliveries()[0]
    assert state == "asked" and "确认已收到" in error
    admin = sign_in("sysadmin")
    found = admin.get("/api/messaging/deliveries?state=asked").json["items"]
    answer = admin.post(f"/api/messaging/deliveries/{found[0]['id']}/confirm", json={"reason": "到发药机核对，已收到"})
    assert answer.status_code == 200, answer.json
    room.work(seconds=600, rounds=2)
    assert room.pushes() == [made["number"]]


@pytest.mark.requirement("M7.2")
def test_what_a_person_sends_again_is_asked_about_first(room: Room, sign_in: Any) -> None:
    room.spoil(Rule("drop_after", PUSH, count=1), Rule("refuse", "GetPresState", count=1))
    _, made, _ = room.paid()
    room.work()
    admin = sign_in("sysadmin")
    found = admin.get("/api/messaging/deliveries?state=asked").json["items"]
    admin.post(f"/api/messaging/deliveries/{found[0]['id']}/resend", json={"reason": "药房说没有出药"})
    room.work(seconds=120, rounds=4)
    assert room.pushes() == [made["number"]], "the machine had it"


@pytest.mark.requirement("M7.2")
def test_two_workers_and_a_double_event_push_once(room: Room) -> None:
    _, made, _ = room.paid()
    with room.world.db.begin() as session:  # a channel's callback that comes twice, as the old system had it
        event = session.scalars(select(OutboxEvent).where(OutboxEvent.type == "PrescriptionReady")).one()
        told = json.loads(event.payload)
        outbox.record(session, "PrescriptionReady", event.business_key, told)
    room.work(rounds=3, seconds=60)
    for _ in range(2):
        subscriptions.push(room.world.db, Event(1, "PrescriptionReady", made["number"], told, room.clock.now(), ""))
    assert room.pushes() == [made["number"]]


@pytest.mark.requirement("H9")
def test_a_refund_before_it_is_handed_out_takes_it_back(room: Room) -> None:
    _, made, settled = room.paid()
    room.work()
    lines = room.world.settlement(settled["id"])["lines"]
    half = [{"line_id": lines[0]["id"], "quantity": "1"}]
    room.world.ok(room.world.post("cashier", f"/api/outpatient-billing/settlements/{settled['id']}/refunds",
                                  {"lines": half, "reason": "病人要求"}))
    room.work()
    assert room.books.step(made["number"])[0] == contract.CANCELLED
    found = room.order(made["id"])
    assert found.state == "withdrawn" and not found.alarm
    room.work(seconds=60, rounds=2)
    assert room.pushes() == [made["number"]]


@pytest.mark.requirement("H9")
def test_a_refund_after_the_machine_put_it_out_is_an_alarm(room: Room) -> None:
    _, made, settled = room.paid()
    room.work()
    assert room.books.go(made["number"], contract.HANDED)
    lines = room.world.settlement(settled["id"])["lines"]
    room.world.ok(room.world.post("cashier", f"/api/outpatient-billing/settlements/{settled['id']}/refunds", {
        "lines": [{"line_id": line["id"], "quantity": line["refundable"]} for line in lines], "reason": "病人要求"}))
    room.work()
    found = room.order(made["id"])
    assert found.alarm and "收回" in found.note
    world, base = room.world, "/api/dispensing-machine/orders"
    [row] = world.ok(world.get("pharmacist", base))["items"]
    assert (row["number"], row["state"]) == (made["number"], "handed") and "*" in row["name"]
    assert world.get("cashier", base).status_code == 403
    world.ok(world.post("pharmacist", f"{base}/{row['id']}/seen", {"reason": "药品已收回"}))
    again = world.post("pharmacist2", f"{base}/{row['id']}/seen", {"reason": "药品已收回"})
    assert again.status_code == 409 and "周药师" in again.json["message"]
    assert world.ok(world.get("pharmacist", base))["items"] == []
    assert [one["note"] for one in world.ok(world.get("pharmacist", f"{base}?view=all"))["items"]] == ["药品已收回（周药师）"]


@pytest.mark.requirement("H9")
def test_what_was_refunded_or_handed_out_by_hand_before_it_was_sent_never_goes(room: Room) -> None:
    room.world.db.ports[subscriptions.PORT]._adapter.line._carry = _nobody_there
    _, first, settled = room.paid()
    room.work()
    assert room.deliveries()[0][0] == "waiting"
    lines = room.world.settlement(settled["id"])["lines"]
    room.world.ok(room.world.post("cashier", f"/api/outpatient-billing/settlements/{settled['id']}/refunds", {
        "lines": [{"line_id": line["id"], "quantity": line["refundable"]} for line in lines], "reason": "病人要求"}))
    _, second, _ = room.paid()
    room.world.ok(room.world.post("pharmacist", f"/api/outpatient-pharmacy/prescriptions/{second['id']}/dispense"))
    room.bind(room.world.db)
    room.work(seconds=60, rounds=3)
    assert room.pushes() == []
    assert {room.order(first["id"]).state, room.order(second["id"]).state} == {"unsent"}


def _nobody_there(*_given: Any) -> Any:
    raise NotSent("connection refused")


@pytest.mark.requirement("M7.1")
def test_a_closed_window_moves_what_waits_there_at_the_machine_too(room: Room) -> None:
    _, made, _ = room.paid()
    room.work()
    answer = room.world.post("pharmacist", f"/api/outpatient-pharmacy/windows/{room.windows[3]}/state", {"state": "closed"})
    assert answer.status_code < 300, answer.get_data(as_text=True)
    room.work()
    assert room.books.step(made["number"]) == (contract.ACCEPTED, "4") and room.order(made["id"]).window == 4


@pytest.mark.requirement("H9")
def test_handed_out_over_the_counter_is_confirmed_there(room: Room) -> None:
    _, made, _ = room.paid()
    room.work()
    assert room.books.go(made["number"], contract.READY)
    room.world.ok(room.world.post("pharmacist", f"/api/outpatient-pharmacy/prescriptions/{made['id']}/dispense"))
    room.work()
    assert room.books.step(made["number"])[0] == contract.HANDED and room.order(made["id"]).state == "handed"


@pytest.mark.requirement("H9")
def test_the_dictionary_goes_over_once_and_again_when_it_changes(room: Room, query_counter: Any) -> None:
    db = room.world.db
    assert subscriptions.send_drugs(db) == 3 and subscriptions.send_drugs(db) == 0
    with db.begin() as session:
        session.get_one(Drug, room.world.ids["pill"]).name = "盐酸氨溴索片"
    room.spoil(Rule("drop_after", "GetMedInfo", count=1))
    with pytest.raises(Exception, match="应答"):
        subscriptions.send_drugs(db)
    assert subscriptions.send_drugs(db) == 1
    with room.books.open() as books:
        assert ("盐酸氨溴索片",) in books.execute("SELECT name FROM drug").fetchall()


def test_a_machine_that_answers_another_window_is_an_alarm(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interfaces.dispensing_machine.simulator.Books.take", lambda _self, _rows, _at: "8")
    _, made, _ = room.paid()
    room.work()
    found = room.order(made["id"])
    assert found.alarm and found.machine_window == "8" and "不一致" in found.note


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_without_a_machine_nothing_waits(world: World, clock: ManualClock, tmp_path: Path, app: Flask, db: Database) -> None:
    room = Room(world, clock, tmp_path / "simulators")
    db.ports.pop(subscriptions.PORT)
    room.paid()
    room.work()
    assert room.deliveries() == [("done", "")] and room.pushes() == []


def test_xml_is_read_back_as_it_was_written() -> None:
    row = {name: "" for name in contract.DRUG_FIELDS} | {"MedName": "<阿莫西林> & \u0001𬬭", "MedOnlyCode": "Y1"}
    again = mapping.read_rows("XMLMedInfo", mapping.rows("XMLMedInfo", contract.DRUG_FIELDS, [row]))
    assert again == [row | {"MedName": "<阿莫西林> & 𬬭"}]
    with pytest.raises(mapping.Garbled):
        mapping.tree("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>")


@pytest.mark.requirement("H9")
def test_the_machines_feedback_ends_a_lost_answer_and_warns_of_what_was_refunded(room: Room) -> None:
    world, partner = room.world, make_partner(room.world.db, room.world.app.test_client(), cases=("machine.feedback",))
    room.spoil(Rule("drop_after", PUSH, count=1))
    _, made, settled = room.paid()
    room.work()
    assert room.order(made["id"]).state == "sending"
    path = f"/prescriptions/{made['number']}/feedback"
    assert partner.send("POST", path, {"step": "ready", "window": "3"}, key="feedback-1").json == {
        "pres_no": made["number"], "step": "ready"}
    assert room.order(made["id"]).state == "ready"
    room.work(seconds=90, rounds=2)
    assert room.pushes() == [made["number"]] and room.deliveries() == [("done", "")]
    lines = world.settlement(settled["id"])["lines"]
    world.sign_in_again()
    world.ok(world.post("cashier", f"/api/outpatient-billing/settlements/{settled['id']}/refunds", {
        "lines": [{"line_id": line["id"], "quantity": line["refundable"]} for line in lines], "reason": "病人要求"}))
    room.work()
    assert partner.send("POST", path, {"step": "handed", "window": "3"}, key="feedback-2").json["step"] == "withdrawn"
    assert room.order(made["id"]).alarm
    assert partner.send("POST", "/prescriptions/NOBODY/feedback", {"step": "ready"}, key="feedback-3").status_code == 404
