"""The calling system knows who waits where: dictionaries first, registrations as they happen, late ones change nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from his_server.clock import ManualClock
from his_server.messaging.outbox import OutboxEvent
from interfaces.hub.calls import observed
from interfaces.hub.simulating import Rule
from interfaces.queue_calling import module, subscriptions
from interfaces.queue_calling.client import Calling
from interfaces.queue_calling.models import QueueCall
from interfaces.queue_calling.settings import Settings
from modules.kernel.masterdata.models import Department
from modules.kernel.patients.rules import mask_name
from modules.kernel.scheduling.models import ClinicSession
from tests.factories.hospital import World
from tests.interfaces.hub.opening import make_partner
from tests.interfaces.registrations import Peer, other_session


@pytest.fixture
def peer(world: World, clock: ManualClock, tmp_path: Path) -> Peer:
    """The calling system."""
    made = Peer(world, clock, tmp_path, module)
    world.db.ports[subscriptions.PORT] = observed(world.db, module.name, Calling(made.line, Settings()))
    return made


@pytest.mark.requirement("H18")
def test_doctors_and_slots_go_over_and_only_changes_follow(peer: Peer) -> None:
    world = peer.world
    assert subscriptions.send_dictionaries(world.db) > 0
    assert {row["deptName"] for row in peer.look("/entries/syncDept")} >= {"呼吸内科", "急诊科"}
    assert [row["doctorName"] for row in peer.look("/entries/syncDoctor")] == ["单文渊"]
    slots = {row["visitId"]: row for row in peer.look("/entries/syncDoctorDeptVisit")}
    assert slots[str(world.ids["session"])]["capacity"] == 1000
    assert subscriptions.send_dictionaries(world.db) == 0
    with world.db.begin() as session:
        session.get_one(ClinicSession, world.ids["session"]).state = "stopped"
        session.get_one(Department, world.ids["clinic"]).name = "呼吸与危重症医学科"
    assert subscriptions.send_dictionaries(world.db) == 2
    assert {row["visitId"]: row["open"] for row in peer.look("/entries/syncDoctorDeptVisit")}[str(world.ids["session"])] is False


@pytest.mark.requirement("H18")
def test_patients_and_registrations_arrive_move_and_resign(peer: Peer) -> None:
    world, other = peer.world, other_session(peer.world.db, peer.world.ids)
    stay, go = (world.register(world.person(name)) for name in ("张小明", "欧阳文"))
    peer.work()
    queue = {row["number"]: row for row in peer.look("/queue")}
    assert {row["row"]["patientName"] for row in queue.values()} == {mask_name("张小明"), mask_name("欧阳文")}
    assert [queue[one["registration_number"]]["row"]["queueNum"] for one in (stay, go)] == [1, 2]
    peer.move(stay, other)
    peer.cancel(go)
    peer.spoil(Rule("drop_after", count=2), Rule("duplicate", count=2))
    peer.work(seconds=30, rounds=5)
    queue = {row["number"]: row for row in peer.look("/queue")}
    assert queue[stay["registration_number"]]["row"]["visitId"] == str(other)
    assert queue[go["registration_number"]]["flag"] == "4" and queue[stay["registration_number"]]["flag"] == "0"


@pytest.mark.requirement("H18")
def test_a_message_that_comes_late_changes_nothing(peer: Peer) -> None:
    world, other = peer.world, other_session(peer.world.db, peer.world.ids)
    made = world.register(world.person())
    peer.work()
    first = peer.look("/queue")[0]["row"]
    peer.move(made, other)
    peer.work()
    world.db.ports[subscriptions.PORT].registered(first["registrationNo"], first)
    assert peer.look("/queue")[0]["row"]["visitId"] == str(other)


@pytest.mark.requirement("H18")
def test_yesterdays_queue_is_not_told_any_more(peer: Peer, clock: ManualClock) -> None:
    peer.world.register(peer.world.person())
    clock.set(clock.now() + timedelta(days=1))
    peer.work()
    assert peer.look("/queue") == []


@pytest.mark.requirement("H18")
def test_calls_come_back_and_the_newest_counts(peer: Peer, clock: ManualClock) -> None:
    world = peer.world
    partner = make_partner(world.db, world.app.test_client(), cases=("queue.call",))
    made, gone = (world.register(world.person(name)) for name in ("张小明", "王五"))
    path = f"/registrations/{made['registration_number']}/calls"
    at = clock.now()
    told = [("1", at, "call-00001"), ("2", at + timedelta(minutes=2), "call-00002"), ("1", at, "call-00003")]
    answers = [partner.send("POST", path, {"callingFlag": flag, "callingTime": when.isoformat(), "roomCode": "3诊室"}, key=key)
               for flag, when, key in told]
    assert [answer.json["callingFlag"] for answer in answers] == ["1", "2", "2"]
    with world.db.begin(write=False) as session:
        assert session.scalars(select(QueueCall.flag)).all() == ["2"]
        assert len(session.scalars(select(OutboxEvent.id).where(OutboxEvent.type == "QueueCalled")).all()) == 2
    peer.cancel(gone)
    refused = partner.send("POST", f"/registrations/{gone['registration_number']}/calls", {
        "callingFlag": "1", "callingTime": at.isoformat()}, key="call-00004")
    assert refused.status_code == 409 and "退号" in refused.json["message"]
