"""What an idle worker asks several times a second: is anything due?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CompoundSelect, and_, bindparam, literal, select, union_all

from his_server.db.types import Instant
from his_server.messaging.outbox import Delivery, OutboxEvent


def statement(delivers: bool, asking: Sequence[str]) -> CompoundSelect[Any]:
    """One cheap statement, of the parameter ``instant``, that gives the kinds of work that there may be: ``new`` events,
    ``expired`` leases; where this worker ``delivers``, deliveries that are ``waiting`` and due; those that are ``asked`` about
    at the destinations ``asking``. Each kind is one look at an index."""
    instant = bindparam("instant", type_=Instant)
    event, delivery = OutboxEvent.__table__.c, Delivery.__table__.c
    kinds = {"new": event.fanned_out.is_(False),
             "expired": and_(delivery.state == "sending", delivery.lease_until < instant)}
    if delivers:
        kinds["waiting"] = and_(delivery.state == "waiting", delivery.next_at <= instant)
    if asking:
        kinds["asked"] = and_(delivery.state == "asked", delivery.next_at <= instant, delivery.destination.in_(asking))
    return union_all(*(select(select(literal(kind).label("kind")).where(condition).limit(1).subquery(f"{kind}_work").c.kind)
                       for kind, condition in kinds.items()))
