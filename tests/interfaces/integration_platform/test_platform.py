"""Registrations reach the integration platform in real time, in order, once, whatever the line does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from his_server.clock import ManualClock
from his_server.messaging.outbox import Delivery
from interfaces.hub.calls import observed
from interfaces.hub.manifests import all_manifests
from interfaces.hub.models import InterfaceCall
from interfaces.hub.simulating import Rule
from interfaces.integration_platform import mapping, module, subscriptions
from interfaces.integration_platform.client import Platform
from interfaces.integration_platform.settings import Settings
from modules.kernel.scheduling import service as scheduling
from tests.factories.hospital import World
from tests.interfaces.registrations import Peer, other_session


@pytest.fixture
def peer(world: World, clock: ManualClock, tmp_path: Path) -> Peer:
    """The platform."""
    made = Peer(world, clock, tmp_path, module)
    world.db.ports[subscriptions.PORT] = observed(world.db, module.name, Platform(made.line, Settings(), "H320"))
    return made


def _messages(peer: Peer) -> list[tuple[str, str]]:
    return [(row["action"], row["status"]) for row in peer.look("/messages")]


@pytest.mark.requirement("H12", "M1.10")
def test_a_registration_its_move_and_its_cancellation_arrive_in_order(peer: Peer) -> None:
    other = other_session(peer.world.db, peer.world.ids)
    made = peer.world.register(peer.world.person())
    peer.work()
    assert [row["status"] for row in peer.look("/registrations")] == ["active"], "not in real time"
    first_slot = peer.look("/registrations")[0]["slot"]
    peer.move(made, other)
    peer.cancel(made)
    peer.work()
    assert _messages(peer) == [("OutPatientInfoAdd", "active"), ("OutPatientInfoUpdate", "active"),
                               ("OutPatientInfoUpdate", "cancelled")]
    held = peer.look("/registrations")
    assert [(row["number"], row["status"]) for row in held] == [(made["registration_number"], "cancelled")]
    assert held[0]["slot"].startswith(f"{other}/") and held[0]["slot"] != first_slot
    with peer.world.db.begin(write=False) as session:  # the log goes by the platform's own names (A3)
        logged = list(session.scalars(select(InterfaceCall.operation).order_by(InterfaceCall.started_at, InterfaceCall.id)))
    assert logged == ["OutPatientInfoAdd", "OutPatientInfoUpdate", "OutPatientInfoUpdate"]
    assert set(logged) == set(dict(all_manifests()["integration_platform"].operations))


@pytest.mark.requirement("H12", "M1.10")
@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "short", "garbage", "refuse", "duplicate"])
def test_every_message_counts_once_under_faults_and_none_overtakes(peer: Peer, fault: str) -> None:
    other = other_session(peer.world.db, peer.world.ids)
    made = [peer.world.register(peer.world.person(f"病人{n}")) for n in range(3)]
    peer.spoil(Rule(fault, count=4))
    for one in made:
        peer.move(one, other)
    peer.cancel(made[0])
    peer.work(seconds=30, rounds=8)
    assert sorted(_messages(peer)) == sorted([("OutPatientInfoAdd", "active")] * 3 + [("OutPatientInfoUpdate", "active")] * 3
                                             + [("OutPatientInfoUpdate", "cancelled")])
    assert sorted(row["status"] for row in peer.look("/registrations")) == ["active", "active", "cancelled"]
    with peer.world.db.begin(write=False) as session:
        assert set(session.scalars(select(Delivery.state))) == {"done"}


@pytest.mark.requirement("M1.10")
def test_a_registration_that_was_rolled_back_or_never_paid_is_not_told(peer: Peer) -> None:
    world, person = peer.world, peer.world.person()
    short = world.post("cashier", "/api/outpatient-billing/registrations", {
        "person_id": person, "session_id": world.ids["session"], "payments": [{"method": "cash", "covers": "5.00"}],
        "expected_total": "20.00"})
    assert short.status_code == 422
    with world.db.begin() as session:  # booked by a channel, moved and cancelled before anybody paid
        from his_server.actor import SYSTEM

        booked, _ = scheduling.register(session, SYSTEM, person_id=person, session_id=world.ids["session"])
        key = booked.id
    with world.db.begin() as session:
        scheduling.cancel(session, SYSTEM, key, "不来了")
    peer.work(rounds=2, seconds=30)
    assert peer.look("/messages") == []


@pytest.mark.requirement("M1.10")
def test_what_the_platform_refuses_waits_for_a_person_and_goes_again(peer: Peer, sign_in: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("interfaces.integration_platform.simulator._take", lambda _b, _a, said: ("AE", said.id, "主索引未建立"))
    made = peer.world.register(peer.world.person())
    peer.work()
    admin = sign_in("sysadmin")
    dead = admin.get("/api/messaging/deliveries?state=dead&destination=integration_platform").json["items"]
    assert len(dead) == 1 and "主索引未建立" in dead[0]["last_error"]
    monkeypatch.undo()
    assert admin.post(f"/api/messaging/deliveries/{dead[0]['id']}/resend", json={"reason": "平台已建索引"}).status_code == 200
    peer.work()
    assert [row["number"] for row in peer.look("/registrations")] == [made["registration_number"]]


def test_the_platforms_words_are_read_strictly() -> None:
    text = mapping.acknowledgement("AA", "HIS1", "成功")
    body = mapping.answer_envelope(text)
    assert mapping.read_acknowledgement(mapping.inner(body, "HIPMessageServerResult")) == ("AA", "HIS1", "成功")
    for wrong in (b"", b"<a/>", b"<!DOCTYPE x><a/>", body[:-5]):
        with pytest.raises(mapping.Garbled):
            mapping.read_acknowledgement(mapping.inner(wrong, "HIPMessageServerResult"))
