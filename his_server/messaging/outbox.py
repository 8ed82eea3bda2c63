"""The transactional outbox (DESIGN section 6).

A service records an event inside its own unit of work. The worker fans it out to one delivery row per
destination and hands each over: in order per business key, with lease, back-off, dead letter and resend.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Boolean, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, Session, mapped_column

from his_server.actor import SYSTEM
from his_server.db import database as db
from his_server.db.base import Keyed
from his_server.db.later import insert_later
from his_server.db.types import Instant


class OutboxEvent(Keyed):
    """A domain event. ``payload`` is JSON; ids and amounts only, no personal data in clear."""

    __tablename__ = "outbox_event"
    __table_args__ = (
        Index("ix_outbox_event_pending", "fanned_out", "occurred_at"),
        Index("ix_outbox_event_key", "business_key"),
    )
    type: Mapped[str] = mapped_column(String(60))
    business_key: Mapped[str] = mapped_column(String(60))
    payload: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(Instant)
    actor_id: Mapped[int] = mapped_column(BigInteger)
    trace_id: Mapped[str] = mapped_column(String(40))
    fanned_out: Mapped[bool] = mapped_column(Boolean, default=False)


class Delivery(Keyed):
    """An event on its way to one destination.

    States: ``waiting`` → ``sending`` (leased) → ``done``; ``dead`` after too many attempts; ``asked`` when a
    lost answer must be decided by a query or a person; ``dropped`` by a person, with a reason.
    """

    __tablename__ = "outbox_delivery"
    __table_args__ = (
        UniqueConstraint("event_id", "destination"),
        Index("ix_outbox_delivery_due", "state", "next_at"),
        Index("ix_outbox_delivery_order", "destination", "business_key", "occurred_at"),
    )
    event_id: Mapped[int] = mapped_column(BigInteger)
    destination: Mapped[str] = mapped_column(String(60))
    business_key: Mapped[str] = mapped_column(String(60))
    occurred_at: Mapped[datetime] = mapped_column(Instant)
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[datetime] = mapped_column(Instant)
    lease_until: Mapped[datetime | None] = mapped_column(Instant)
    lease_by: Mapped[str | None] = mapped_column(String(60))
    last_error: Mapped[str | None] = mapped_column(String(500))
    finished_at: Mapped[datetime | None] = mapped_column(Instant)
    decided_by: Mapped[int | None] = mapped_column(BigInteger)
    decision: Mapped[str | None] = mapped_column(String(200))


class NotSent(Exception):
    """The peer surely did nothing (connection refused, asked to come later): try again, whatever the policy."""


class Away(NotSent):
    """Nobody is let through to the peer for ``seconds``: what else waits for it needn't try before."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class LostAnswer(Exception):
    """The peer may or may not have done it (timeout after sending): the handler's ``lost_answer`` decides."""


class Refused(Exception):
    """The peer said no and will say no again: to the dead letters at once."""


@dataclass(frozen=True)
class Event:
    """What a handler receives."""

    id: int
    type: str
    business_key: str
    payload: dict[str, Any]
    occurred_at: datetime
    trace_id: str


def record(session: Session, event_type: str, business_key: str, payload: dict[str, Any]) -> int:
    """Record an event in the running unit of work: sent if and only if that commits; returns its id.

    Events of one business key go out in the order in which they were recorded. Record after the guarded
    update that made the change: its row lock makes a second writer wait, so that time tells the order.
    """
    actor = session.info.get("actor", SYSTEM)
    at = db.now(session)
    if last := session.info.get("last_event_at"):
        at = max(at, last + timedelta(microseconds=1))
    session.info["last_event_at"] = at
    key = db.of(session).keys.next()
    insert_later(session, OutboxEvent.__table__, {  # type: ignore[arg-type]
        "id": key, "type": event_type, "business_key": business_key, "occurred_at": at, "actor_id": actor.user_id,
        "trace_id": actor.trace_id, "fanned_out": False,
        "payload": json.dumps(payload, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str)})
    return key
