"""Reads of trace codes: one code's life, what is unsent, how much is covered (TC-06)."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.errors import NotFound
from modules.kernel.masterdata.models import Drug
from modules.kernel.stock import rules
from modules.kernel.stock.models import (
    Batch,
    NoCodeEntry,
    StockMove,
    Store,
    TraceCode,
    TraceMove,
    TraceUpload,
)
from modules.kernel.stock.service import tracing


def life(session: Session, code: str) -> dict[str, Any]:
    """A code with all that was done with it. Two queries. :raises NotFound: nobody ever scanned it."""
    found = session.execute(
        select(TraceCode.id, TraceCode.code, TraceCode.state, TraceCode.quantity, TraceCode.remaining, TraceCode.drug_id,
               Drug.name, Drug.spec, Drug.base_unit, Batch.lot_no, Batch.expiry, Store.name.label("store_name"))
        .join(Drug, Drug.id == TraceCode.drug_id).outerjoin(Batch, Batch.id == TraceCode.batch_id)
        .outerjoin(Store, Store.id == TraceCode.store_id).where(TraceCode.code == code)).first()
    if found is None:
        raise NotFound("trace.unknown", tracing.UNCOLLECTED)
    moves = session.execute(
        select(TraceMove.act, TraceMove.quantity, TraceMove.document_kind, TraceMove.document_id, TraceMove.moved_at,
               TraceMove.actor_name, TraceUpload.serial, TraceUpload.state.label("upload_state"))
        .outerjoin(TraceUpload, TraceUpload.id == TraceMove.upload_id)
        .where(TraceMove.code_id == found.id).order_by(TraceMove.moved_at.desc(), TraceMove.id.desc()).limit(200))
    return {**found._mapping, "state_name": rules.TRACE_STATES[found.state],
            "moves": [{**m._mapping, "act_name": rules.TRACE_ACTS[m.act]} for m in moves]}


def department_of(session: Session, code: str) -> int | None:
    """The department of the store that a code is in; None: in none. One query."""
    return session.scalar(select(Store.department_id).join(TraceCode, TraceCode.store_id == Store.id)
                          .where(TraceCode.code == code))


def uploads(session: Session, *, state: str | None, upto: date, after: str | None, limit: int) -> dict[str, Any]:
    """Uploads that the platform has not accepted (or those of a state), oldest day first; one query."""
    statement: Any = (select(TraceUpload.id, TraceUpload.serial, TraceUpload.act, TraceUpload.drug_id, TraceUpload.quantity,
                        TraceUpload.codes, TraceUpload.state, TraceUpload.attempts, TraceUpload.message,
                        TraceUpload.business_date, TraceUpload.created_at, Drug.name, Drug.spec, Drug.base_unit)
                 .join(Drug, Drug.id == TraceUpload.drug_id).where(TraceUpload.business_date <= upto))
    statement = statement.where(TraceUpload.state == state if state else TraceUpload.state != "sent")
    rows = session.execute(portable.keyset(
        statement, [(TraceUpload.business_date, "asc"), (TraceUpload.id, "asc")],
        portable.decode_cursor(after) if after else None, limit + 1)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return {"items": [{**r._mapping, "transaction": rules.UPLOADS[r.act][1], "act_name": rules.TRACE_ACTS[r.act]}
                      for r in rows[:limit]],
            "next": portable.encode_cursor((last.business_date, last.id)) if last else None}


def unsent(session: Session, upto: date) -> int:
    """How many uploads of days up to ``upto`` the platform has not accepted: 0 at a day's end (TC-06)."""
    return session.scalar(select(func.count()).select_from(TraceUpload).where(
        TraceUpload.state != "sent", TraceUpload.business_date <= upto)) or 0


def coverage(session: Session, start: date, end: date, *, store_id: int | None = None) -> list[dict[str, Any]]:
    """What was dispensed and how much of it by trace code, per drug; worst first. Four queries.

    ``no_code``: the drug is on the no-code list, so that it can't be covered.
    """
    days = StockMove.business_date.between(start, end)
    moved = (select(StockMove.drug_id, func.sum(StockMove.quantity).label("quantity"),
                    func.count(StockMove.line_id.distinct()).label("lines"))
             .where(days, StockMove.kind == "dispense").group_by(StockMove.drug_id))
    coded = (select(TraceUpload.drug_id, func.sum(TraceUpload.quantity).label("quantity"), func.count().label("lines"))
             .where(TraceUpload.business_date.between(start, end), TraceUpload.act == "use").group_by(TraceUpload.drug_id))
    if store_id is not None:
        moved = moved.where(StockMove.store_from == store_id)
        coded = coded.where(TraceUpload.store_id == store_id)
    scanned = {row.drug_id: row for row in session.execute(coded)}
    exempt = set(session.scalars(select(NoCodeEntry.drug_id).where(NoCodeEntry.ended_at.is_(None))))
    rows = session.execute(moved).all()
    drugs = {d.id: d for d in session.execute(select(Drug.id, Drug.code, Drug.name, Drug.spec).where(
        Drug.id.in_([r.drug_id for r in rows])))} if rows else {}
    found = []
    for row in rows:
        mine, drug = scanned.get(row.drug_id), drugs[row.drug_id]
        quantity = mine.quantity if mine else rules.ZERO
        found.append({"drug_id": row.drug_id, "code": drug.code, "name": drug.name, "spec": drug.spec,
                      "lines": row.lines, "coded_lines": mine.lines if mine else 0, "quantity": row.quantity,
                      "coded": quantity, "rate": (quantity / row.quantity).quantize(rules.ZERO),
                      "no_code": row.drug_id in exempt})
    return sorted(found, key=lambda one: (one["rate"], -one["lines"], one["code"]))


def no_codes(session: Session, limit: int = 500) -> list[dict[str, Any]]:
    """The no-code list in force. One query."""
    return [dict(row._mapping) for row in session.execute(
        select(NoCodeEntry.id, NoCodeEntry.drug_id, Drug.code, Drug.name, Drug.spec, Batch.lot_no, NoCodeEntry.reason,
               NoCodeEntry.made_at, NoCodeEntry.made_by_name)
        .join(Drug, Drug.id == NoCodeEntry.drug_id).outerjoin(Batch, Batch.id == NoCodeEntry.batch_id)
        .where(NoCodeEntry.ended_at.is_(None)).order_by(Drug.code, NoCodeEntry.id).limit(limit))]
