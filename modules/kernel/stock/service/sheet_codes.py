"""Trace codes on a count sheet: each pack is counted once; posting finds what had been lost and loses what wasn't there.

Implements: TC-07, M7.5. Only what is certain moves: a line that was counted by nothing but codes, or whose count is zero, says
which packs aren't there. What was dispensed, returned or received after the count is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, bindparam, delete, func, or_, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from modules.kernel.stock import rules
from modules.kernel.stock.models import (
    Batch,
    StockBalance,
    Stocktake,
    StocktakeCode,
    StocktakeLine,
    TraceCode,
)
from modules.kernel.stock.service import tracing
from modules.kernel.stock.service.ledger import Document

HERE = ("in_stock", "opened")
_CODE = StocktakeCode.__table__.c
_SCANNED = select(_CODE.code_id).where(
    _CODE.stocktake_id == bindparam("b_sheet"), _CODE.position.between(bindparam("b_first"), bindparam("b_last"))).limit(1)


@dataclass
class Taken:
    """What scanned texts mean on a sheet: ``counts`` are (position, quantity); the others count for nothing."""

    counts: list[tuple[int, Decimal]] = field(default_factory=list)
    not_found: list[str] = field(default_factory=list)
    """Neither a code nor a lot number of the sheet."""
    again: list[str] = field(default_factory=list)
    """Codes that were scanned on this sheet already."""
    elsewhere: list[dict[str, str]] = field(default_factory=list)
    """Codes that by the books aren't in this store, each with where they are."""


def take(session: Session, sheet: Stocktake, texts: Sequence[str]) -> Taken:
    """Write down scanned codes of a sheet that is held. A trace code means its batch's line and what is left in the pack; a
    lot number that only one line has means that line and a pack. At most four queries."""
    on_sheet = (StocktakeLine.stocktake_id == sheet.id) & StocktakeLine.merged_into.is_(None)
    codes = {row.code: row for row in session.execute(
        select(TraceCode.code, TraceCode.id, TraceCode.state, TraceCode.store_id, TraceCode.remaining, StocktakeLine.position)
        .join(StocktakeLine, StocktakeLine.batch_id == TraceCode.batch_id)
        .where(TraceCode.code.in_(set(texts)), on_sheet))}
    seen = set(session.scalars(select(StocktakeCode.code_id).where(
        StocktakeCode.stocktake_id == sheet.id, StocktakeCode.code_id.in_([row.id for row in codes.values()]))))
    lots = _lots(session, on_sheet, set(texts) - set(codes))
    taken = Taken()
    fresh: list[dict[str, Any]] = []
    for text in texts:
        row = codes.get(text)
        if row is None and text not in lots:
            taken.not_found.append(text)
        elif row is None:
            taken.counts.append(lots[text])
        elif row.id in seen:
            taken.again.append(text)
        elif row.state != "lost" and not (row.state in HERE and row.store_id == sheet.store_id):
            where = "在其他药房" if row.state in HERE else rules.TRACE_STATES[row.state]
            taken.elsewhere.append({"code": text, "text": where})
        else:
            seen.add(row.id)
            taken.counts.append((row.position, row.remaining))
            fresh.append({"stocktake_id": sheet.id, "code_id": row.id, "position": row.position, "quantity": row.remaining})
    portable.insert_many(session, StocktakeCode, fresh)
    return taken


def _lots(session: Session, on_sheet: Any, texts: set[str]) -> dict[str, tuple[int, Decimal]]:
    found: dict[str, list[tuple[int, Decimal]]] = {}
    for row in session.execute(
            select(Batch.lot_no, StocktakeLine.position, Batch.pack_size).join(Batch, Batch.id == StocktakeLine.batch_id)
            .where(Batch.lot_no.in_(texts), on_sheet)) if texts else ():
        found.setdefault(row.lot_no, []).append((row.position, Decimal(row.pack_size)))
    return {lot: lines[0] for lot, lines in found.items() if len(lines) == 1}


def forget(session: Session, sheet_id: int, positions: Iterable[int]) -> None:
    """Lines that are counted anew by hand: what was scanned of them counts no more. A query where nothing was scanned."""
    wanted = sorted(set(positions))
    if wanted and portable.fetch(session.connection(), _SCANNED, {
            "b_sheet": sheet_id, "b_first": wanted[0], "b_last": wanted[-1]}):
        session.execute(delete(StocktakeCode).where(StocktakeCode.stocktake_id == sheet_id, StocktakeCode.position.in_(wanted)))


def found(session: Session, sheet: Stocktake) -> dict[str, int]:
    """Lost codes that were scanned on a sheet: code → line. One query."""
    return {row.code: row.position for row in session.execute(
        select(TraceCode.code, StocktakeCode.position).join(TraceCode, TraceCode.id == StocktakeCode.code_id)
        .where(StocktakeCode.stocktake_id == sheet.id, TraceCode.state == "lost").order_by(TraceCode.id))}


def missing(session: Session, sheet: Stocktake, *, missing_is_zero: bool) -> dict[str, int]:
    """Codes that the count says aren't there: code → line. One query."""
    scanned = (select(StocktakeCode.position, func.sum(StocktakeCode.quantity).label("quantity"))
               .where(StocktakeCode.stocktake_id == sheet.id).group_by(StocktakeCode.position).subquery())
    counted = and_(StocktakeLine.counted == func.coalesce(scanned.c.quantity, rules.ZERO),
                   TraceCode.changed_at <= StocktakeLine.counted_at)
    return {row.code: row.position for row in session.execute(
        select(TraceCode.code, StocktakeLine.position)
        .join(StocktakeLine, and_(StocktakeLine.batch_id == TraceCode.batch_id, StocktakeLine.stocktake_id == sheet.id))
        .outerjoin(scanned, scanned.c.position == StocktakeLine.position)
        .outerjoin(StocktakeCode, and_(StocktakeCode.stocktake_id == sheet.id, StocktakeCode.code_id == TraceCode.id))
        .where(TraceCode.store_id == sheet.store_id, TraceCode.state.in_(HERE), StocktakeCode.code_id.is_(None),
               StocktakeLine.merged_into.is_(None), or_(counted, StocktakeLine.counted.is_(None)) if missing_is_zero else counted)
        .order_by(TraceCode.id))}


def settle(session: Session, actor: Actor, sheet: Stocktake, batches: Sequence[int], *, missing_is_zero: bool) -> dict[str, int]:
    """Move the codes of a sheet that is being posted; returns how many were found and lost, and of how many of ``batches``
    (those that are short) more is coded than is left, so that a person has to say which packs are gone.

    :raises Conflict: a pack was dispensed or moved at this very moment.
    """
    document, back = Document("stocktake", sheet.id), found(session, sheet)
    if back:
        tracing.move(session, actor, "find", document, list(back), store_from=None, store_to=sheet.store_id, line_ids=back)
    gone = missing(session, sheet, missing_is_zero=missing_is_zero)
    if gone:
        tracing.move(session, actor, "lose", document, list(gone), store_from=sheet.store_id, store_to=None, line_ids=gone)
    return {"codes_found": len(back), "codes_lost": len(gone), "codes_unclear": _unclear(session, sheet.store_id, batches)}


def _unclear(session: Session, store_id: int, batches: Sequence[int]) -> int:
    coded: dict[int | None, Decimal] = {}
    held: dict[int, Decimal] = {}
    for start in range(0, len(batches), tracing.CHUNK):
        some = batches[start:start + tracing.CHUNK]
        coded.update({row.batch_id: row.quantity for row in session.execute(
            select(TraceCode.batch_id, func.sum(TraceCode.remaining).label("quantity")).where(
                TraceCode.store_id == store_id, TraceCode.batch_id.in_(some), TraceCode.state.in_(HERE))
            .group_by(TraceCode.batch_id))})
        held.update({row.batch_id: row.on_hand for row in session.execute(
            select(StockBalance.batch_id, StockBalance.on_hand).where(
                StockBalance.store_id == store_id, StockBalance.batch_id.in_(some)))})
    return sum(quantity > held.get(batch or 0, rules.ZERO) for batch, quantity in coded.items())
