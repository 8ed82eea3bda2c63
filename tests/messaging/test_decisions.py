"""A person's decisions about stuck deliveries, and the clearing of old rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from his_server.actor import Actor
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.errors import Conflict, NotFound
from his_server.messaging import queries, service
from his_server.messaging.outbox import Delivery, LostAnswer, OutboxEvent, Refused
from his_server.security.audit import AuditRow
from tests.messaging.test_worker import Peer, make, put, states


def stuck(db: Database, error: Exception, peer: Peer) -> int:
    peer.failures = [error]
    put(db, 1, 2)
    worker = make(db, peer, network=True, lost_answer="ask")
    worker.step()
    with db.begin(write=False) as session:
        return session.scalars(select(Delivery.id).order_by(Delivery.occurred_at)).first() or 0


@pytest.mark.requirement("M1.10")
def test_a_dead_letter_is_resent_by_hand(db: Database, actor: Actor) -> None:
    peer = Peer()
    found = stuck(db, Refused("unknown department"), peer)
    with db.begin() as session:
        assert service.resend(session, actor, found, "科室已对照").state == "waiting"
    worker = make(db, peer, network=True)
    while worker.step():
        pass
    assert peer.got == [("K1", 1), ("K1", 2)]
    with db.begin(write=False) as session:
        row = session.scalars(select(AuditRow).where(AuditRow.event == "messaging.resend")).one()
    assert row.object_id == str(found) and "科室已对照" in row.detail


@pytest.mark.parametrize(("decide", "state"), [(service.confirm, "done"), (service.drop, "dropped")])
def test_an_asked_delivery_is_decided_and_the_next_goes_on(db: Database, actor: Actor, decide: Callable[..., Delivery],
                                                           state: str) -> None:
    peer = Peer()
    found = stuck(db, LostAnswer("timeout"), peer)
    assert states(db) == ["asked", "waiting"]
    with db.begin() as session:
        decide(session, actor, found, "已电话核实")
    make(db, peer, network=True).step()
    assert states(db) == [state, "done"]
    assert peer.got == [("K1", 2)]
    with db.begin() as session, pytest.raises(Conflict):
        service.resend(session, actor, found, "再发一次")
    with db.begin() as session, pytest.raises(NotFound):
        service.drop(session, actor, 5, "没有")


def test_pages_have_every_delivery_once(db: Database) -> None:
    peer = Peer()
    put(db, *range(23))
    worker = make(db, peer)
    while worker.step():
        pass
    seen, after = [], None
    with db.begin(write=False) as session:
        while True:
            page = queries.deliveries(session, limit=5, after=after, state="done", destination="peer")
            seen += [item["id"] for item in page["items"]]
            after = page["next"]
            if after is None:
                break
    assert len(seen) == len(set(seen)) == 23


def test_purge_keeps_the_young_and_the_stuck(db: Database, clock: ManualClock) -> None:
    peer = Peer()
    stuck(db, Refused("no"), peer)
    put(db, 3, key="K2")
    worker = make(db, peer)
    while worker.step():
        pass
    clock.move(days=91)
    put(db, 4, key="K3")
    while worker.step():
        pass
    assert service.purge(db) == 2  # K2's delivery and event
    with db.begin(write=False) as session:
        keys = session.scalars(select(Delivery.business_key).order_by(Delivery.business_key, Delivery.event_id)).all()
        assert keys == ["K1", "K1", "K3"]
        assert session.scalar(select(func.count()).select_from(OutboxEvent)) == 3
