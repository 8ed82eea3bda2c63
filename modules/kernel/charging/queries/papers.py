"""Reads of papers and of the comparison with the platform; keyset-paged (H8)."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from modules.kernel.charging.models import Intent, InvoiceCheck, InvoiceDifference, InvoicePaper


def papers(session: Session, invoice_id: int) -> dict[str, Any]:
    """Every paper of an invoice, newest first; one query."""
    rows = session.execute(
        select(InvoicePaper, Intent.message).join(Intent, Intent.id == func.coalesce(
            InvoicePaper.void_intent_id, InvoicePaper.intent_id))
        .where(InvoicePaper.invoice_id == invoice_id)
        .order_by(InvoicePaper.made_at.desc(), InvoicePaper.id.desc()).limit(50)).all()
    names = ("id", "invoice_id", "state", "code", "paper_number", "reason", "made_by_name", "made_at", "voided_by_name",
             "voided_at")
    return {"items": [{**{name: getattr(row.InvoicePaper, name) for name in names}, "message": row.message} for row in rows]}


def invoice_checks(session: Session, *, limit: int, after: str | None) -> dict[str, Any]:
    """Compared days, newest first, each with its open differences; two queries."""
    cursor = portable.decode_cursor(after) if after else None
    rows = list(session.scalars(portable.keyset(select(InvoiceCheck), [(InvoiceCheck.day, "desc")], cursor, limit + 1)))
    shown = rows[:limit]
    open_ = dict(session.execute(
        select(InvoiceDifference.day, func.count()).where(
            InvoiceDifference.state == "open", InvoiceDifference.day.in_([row.day for row in shown]))
        .group_by(InvoiceDifference.day)).all()) if shown else {}
    columns = InvoiceCheck.__table__.columns.keys()
    return {"items": [{**{c: getattr(row, c) for c in columns}, "open": open_.get(row.day, 0)} for row in shown],
            "next": portable.encode_cursor((shown[-1].day,)) if len(rows) > limit else None}


def invoice_differences(session: Session, *, day: date | None, state: str | None, limit: int, after: str | None
                        ) -> dict[str, Any]:
    """Differences, newest day first; one query."""
    row = InvoiceDifference
    statement: Any = select(row)
    if day is not None:
        statement = statement.where(row.day == day)
    if state is not None:
        statement = statement.where(row.state == state)
    cursor = portable.decode_cursor(after) if after else None
    rows = list(session.scalars(portable.keyset(statement, [(row.day, "desc"), (row.id, "desc")], cursor, limit + 1)))
    last = rows[limit - 1] if len(rows) > limit else None
    return {"items": rows[:limit], "next": portable.encode_cursor((last.day, last.id)) if last else None}
