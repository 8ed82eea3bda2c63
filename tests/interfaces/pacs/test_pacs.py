"""One settlement event for every channel: what was paid is confirmed at the PACS once, what was refunded is taken back (H1)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from his_server.clock import ManualClock
from his_server.messaging.outbox import Delivery, OutboxEvent
from his_server.messaging.worker import Worker
from his_server.registry import Hospital
from interfaces.hub.calls import observed
from interfaces.hub.simulating import Rule
from interfaces.pacs import module, subscriptions
from interfaces.pacs.client import Pacs
from interfaces.pacs.settings import Settings
from modules.kernel.charging.rules import Pay
from modules.outpatient_billing import service as billing
from tests.conftest import ACTOR
from tests.factories.hospital import World
from tests.interfaces.dispensing_machine.helping import Room
from tests.interfaces.registrations import BILLING, Peer


@pytest.fixture
def peer(world: World, clock: ManualClock, tmp_path: Path) -> Peer:
    """The PACS."""
    made = Peer(world, clock, tmp_path, module)
    world.db.ports[subscriptions.PORT] = observed(world.db, module.name, Pacs(made.line, Settings()))
    return made


@pytest.mark.requirement("H1", "H10")
@pytest.mark.parametrize("fault", ["", "drop_before", "drop_after", "garbage", "duplicate"])
def test_paid_exams_are_confirmed_once_and_refunded_ones_taken_back(peer: Peer, fault: str) -> None:
    world, person = peer.world, peer.world.person()
    visit = world.encounter(world.register(person))
    request = world.request(visit, "3")
    world.prescribe(visit)
    if fault:
        peer.spoil(Rule(fault, count=2))
    settled = world.ok(world.pay_all(person))
    peer.work(seconds=30, rounds=3)
    assert [(row["request"], row["name"], row["paid"]) for row in peer.look("/exams")] == [
        (request["number"], "胸部正位片", "3")]
    film = next(line for line in world.settlement(settled["id"])["lines"] if line["source"] == "request")
    world.ok(world.post("cashier", f"{BILLING}/settlements/{settled['id']}/refunds", {
        "lines": [{"line_id": film["id"], "quantity": "2"}], "reason": "少做两张"}))
    if fault:
        peer.spoil(Rule(fault, count=2))
    peer.work(seconds=30, rounds=3)
    assert [row["paid"] for row in peer.look("/exams")] == ["1"]
    assert [row["action"] for row in peer.look("/messages")] == ["confirm", "cancel"]
    with world.db.begin(write=False) as session:
        assert set(session.scalars(select(Delivery.state))) == {"done"}


@pytest.mark.requirement("H1")
@pytest.mark.parametrize("channel", ["window", "kiosk", "app", "medins_app", "mobile"])
def test_every_channels_settlement_is_one_event_that_all_consumers_hear_once(peer: Peer, clock: ManualClock, tmp_path: Path,
                                                                            hospital: Hospital, channel: str) -> None:
    """Machine, PACS and invoice hear of a payment in one way, whoever took it, also when it is submitted twice."""
    world, person = peer.world, peer.world.person()
    room = Room(world, clock, tmp_path / "simulators")
    room.open_window(1)
    visit = world.encounter(world.register(person))
    request, prescription = world.request(visit), world.prescribe(visit)
    owed = world.unpaid(person)
    actor = replace(ACTOR, user_id=world.ids["user_cashier"], channel=channel)
    for attempt in range(2):  # the callback comes twice
        try:
            with world.db.begin() as session:
                session.info["actor"] = actor
                billing.settle(session, actor, person_id=person, line_ids=[line["id"] for line in owed["lines"]],
                               payments=[Pay("cash", Decimal(owed["total"]))], to_jiao=True)
        except Exception as refusal:
            assert attempt == 1 and getattr(refusal, "code", "") == "charging.line_settled"
    worker = Worker(world.db, hospital)
    for _ in range(2):
        clock.move(seconds=30)
        while worker.recover() + worker.fan_out() + worker.deliver_due() + worker.ask_due():
            pass
    with world.db.begin(write=False) as session:
        events = select(func.count()).select_from(OutboxEvent).where(OutboxEvent.type == "ChargeSettled")
        assert session.scalar(events) == 2  # the registration's and this one
    assert room.pushes() == [prescription["number"]]
    assert [row["request"] for row in peer.look("/exams")] == [request["number"]]
    assert [row["action"] for row in peer.look("/messages")] == ["confirm"]
