"""What a person decides about deliveries: send again, confirm, drop. Always with a reason, always audited."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import and_, delete, exists, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import Database, idempotency, now
from his_server.errors import Conflict, NotFound
from his_server.messaging.outbox import Delivery, OutboxEvent
from his_server.security import audit

KEEP = timedelta(days=90)
PURGE_BATCH = 2000
STUCK = ("dead", "asked", "waiting")

STATE_NAMES = {"waiting": "待发送", "sending": "发送中", "done": "已送达", "dead": "发送失败", "asked": "待确认",
               "dropped": "已放弃"}


def resend(session: Session, actor: Actor, delivery_id: int, reason: str) -> Delivery:
    """Send again now: a dead letter, a lost answer that surely wasn't received, or one that waits for its time.

    :raises NotFound: no such delivery. :raises Conflict: it isn't stuck (any more).
    """
    return _decide(session, actor, delivery_id, reason, "resend",
                   {"state": "waiting", "attempts": 0, "next_at": now(session), "finished_at": None})


def confirm(session: Session, actor: Actor, delivery_id: int, reason: str) -> Delivery:
    """Mark as arrived: the peer was asked and has it. :raises NotFound, Conflict: as :func:`resend`."""
    return _decide(session, actor, delivery_id, reason, "confirm", {"state": "done", "finished_at": now(session)})


def drop(session: Session, actor: Actor, delivery_id: int, reason: str) -> Delivery:
    """Never send it; what waits behind it goes on. :raises NotFound, Conflict: as :func:`resend`."""
    return _decide(session, actor, delivery_id, reason, "drop", {"state": "dropped", "finished_at": now(session)})


def _decide(session: Session, actor: Actor, delivery_id: int, reason: str, decision: str,
            values: dict[str, object]) -> Delivery:
    found = session.get(Delivery, delivery_id)
    if found is None:
        raise NotFound("messaging.unknown", "没有找到这条消息，请刷新后重试")
    before = found.state
    guard = and_(Delivery.id == delivery_id, Delivery.state.in_(STUCK))
    if not portable.guarded_update(session, Delivery, guard, {
            **values, "decision": reason, "decided_by": actor.user_id}):
        state = session.scalar(select(Delivery.state).where(Delivery.id == delivery_id))
        raise Conflict("messaging.not_stuck", f"这条消息当前为“{STATE_NAMES[str(state)]}”，不能再处理，请刷新后查看")
    audit.record(session, actor, f"messaging.{decision}", "outbox_delivery", delivery_id,
                 {"before": before, "after": str(values["state"]), "reason": reason})
    return found


def purge(database: Database) -> int:
    """Delete finished deliveries and their events after 90 days and stored answers after 30; returns how many rows.

    Works in small units of work, so that nobody waits for it.
    """
    count = 0
    with database.begin() as session:
        count += idempotency.purge(session)
    while True:
        with database.begin() as session:
            before = now(session) - KEEP
            ids = list(session.scalars(select(Delivery.id).where(
                Delivery.state.in_(("done", "dropped")), Delivery.finished_at < before).limit(PURGE_BATCH)))
            events = [] if ids else list(session.scalars(select(OutboxEvent.id).where(
                OutboxEvent.fanned_out.is_(True), OutboxEvent.occurred_at < before,
                ~exists().where(Delivery.event_id == OutboxEvent.id)).limit(PURGE_BATCH)))
            if ids:
                session.execute(delete(Delivery).where(Delivery.id.in_(ids)))
            if events:
                session.execute(delete(OutboxEvent).where(OutboxEvent.id.in_(events)))
        count += len(ids) + len(events)
        if not ids and not events:
            return count
