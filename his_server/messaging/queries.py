"""Reads for the message page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.errors import invalid
from his_server.messaging.outbox import Delivery, OutboxEvent
from his_server.messaging.schedules import ScheduleRun
from his_server.wire import MAX_ID


def deliveries(session: Session, *, limit: int, after: str | None = None, state: str | None = None,
               destination: str | None = None, business_key: str | None = None) -> dict[str, Any]:
    """One page of deliveries, newest first: ``items`` and ``next``. :raises Invalid: a foreign cursor."""
    query = select(Delivery, OutboxEvent.type, OutboxEvent.trace_id).join(
        OutboxEvent, OutboxEvent.id == Delivery.event_id)
    if state:
        query = query.where(Delivery.state == state)
    if destination:
        query = query.where(Delivery.destination == destination)
    if business_key:
        query = query.where(Delivery.business_key == business_key)
    try:
        start = portable.decode_cursor(after) if after else None
        page = portable.keyset(query, [(Delivery.occurred_at, "desc"), (Delivery.id, "desc")], start, limit + 1)
        fits = start is None or (isinstance(start[0], datetime) and isinstance(start[1], int) and start[1] <= MAX_ID)
    except ValueError:
        fits = False
    if not fits:
        raise invalid("after", "翻页标记有误，请从第一页重新查询")
    rows = session.execute(page).all()
    last = rows[limit - 1][0] if len(rows) > limit else None
    items = [{**{name: getattr(row, name) for name in (
                 "id", "event_id", "destination", "business_key", "occurred_at", "state", "attempts", "next_at",
                 "last_error", "finished_at", "decision")}, "event": event, "trace_id": trace_id}
             for row, event, trace_id in rows[:limit]]
    return {"items": items, "next": portable.encode_cursor((last.occurred_at, last.id)) if last else None}


def counts(session: Session) -> dict[str, Any]:
    """Open deliveries by destination and state, and the scheduled jobs with their last outcome."""
    stuck = session.execute(
        select(Delivery.destination, Delivery.state, func.count())
        .where(Delivery.state.in_(("waiting", "sending", "asked", "dead")))
        .group_by(Delivery.destination, Delivery.state).order_by(Delivery.destination, Delivery.state))
    jobs = session.scalars(select(ScheduleRun).order_by(ScheduleRun.job))
    return {"deliveries": [{"destination": name, "state": state, "count": count} for name, state, count in stuck],
            "jobs": list(jobs)}
