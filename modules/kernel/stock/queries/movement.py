"""The purchase–sales–stock report (进销存): opening + in − out ± adjustments = closing, per drug and batch (M6.1, FN-17).

Read from the move ledger alone, from the last month's beginning on; balances are not asked.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, func, not_, select
from sqlalchemy.orm import Session

from modules.kernel.masterdata.models import Drug
from modules.kernel.stock import rules
from modules.kernel.stock.models import Batch, StockBalance, StockMove, StockSnapshot

ZERO = Decimal("0.00")


def movement(session: Session, start: date, end: date, *, store_ids: Collection[int] | None = None,
             drug_ids: Collection[int] | None = None) -> list[dict[str, Any]]:
    """Rows per drug and batch of a period (both days in it): quantities in smallest units and amounts at cost.

    ``store_ids`` None: the whole hospital, where transfers are inside. Seven queries however long the ledger is.
    """
    opening, changes = _opening(session, start, store_ids, drug_ids), _changes(session, start, end, store_ids, drug_ids)
    batches = sorted({b for b, q in opening.items() if q} | set(changes))
    rows = []
    for chunk in (batches[i:i + 1000] for i in range(0, len(batches), 1000)):
        for found in session.execute(
                select(Batch.id, Batch.drug_id, Batch.lot_no, Batch.expiry, Batch.pack_cost, Batch.pack_size,
                       Drug.code, Drug.name, Drug.spec, Drug.manufacturer, Drug.pack_unit, Drug.base_unit,
                       Drug.fiscal_category)
                .join(Drug, Drug.id == Batch.drug_id).where(Batch.id.in_(chunk))):
            rows.append(_row(found, opening.get(found.id, rules.ZERO), changes.get(found.id, {})))
    return sorted(rows, key=lambda row: (row["code"], row["expiry"], row["batch_id"]))


def _row(batch: Any, opening: Decimal, changes: dict[str, Decimal]) -> dict[str, Any]:
    quantities = [changes.get(name, rules.ZERO) for name in rules.MOVEMENT]
    first, shares, last = rules.amounts(opening, quantities, batch.pack_cost, batch.pack_size)
    row = {**batch._mapping, "batch_id": batch.id, "opening": opening, "opening_amount": first,
           "closing": opening + sum(quantities, rules.ZERO), "closing_amount": last}
    for name, quantity, amount in zip(rules.MOVEMENT, quantities, shares, strict=True):
        row[name], row[f"{name}_amount"] = quantity, amount
    return row


def _crossing(column: Any, store_ids: Collection[int] | None) -> Any:
    """Moves that enter (``store_to``) or leave (``store_from``) what is looked at."""
    if store_ids is not None:
        return column.in_(store_ids)
    return and_(column.is_not(None), not_(and_(StockMove.store_from.is_not(None), StockMove.store_to.is_not(None))))


def _sums(session: Session, start: date | None, before: date, store_ids: Collection[int] | None,
          drug_ids: Collection[int] | None) -> list[tuple[int, str, Decimal]]:
    """Signed sums by batch and kind of the days in [start, before). Two queries."""
    found = []
    for column, sign in ((StockMove.store_to, 1), (StockMove.store_from, -1)):
        statement = select(StockMove.batch_id, StockMove.kind, func.sum(StockMove.quantity)).where(
            StockMove.business_date < before, _crossing(column, store_ids)).group_by(StockMove.batch_id, StockMove.kind)
        if start is not None:
            statement = statement.where(StockMove.business_date >= start)
        if drug_ids is not None:
            statement = statement.where(StockMove.drug_id.in_(drug_ids))
        found += [(batch, kind, sign * quantity) for batch, kind, quantity in session.execute(statement)]
    return found


def _opening(session: Session, start: date, store_ids: Collection[int] | None,
             drug_ids: Collection[int] | None) -> dict[int, Decimal]:
    base = session.scalar(select(func.max(StockSnapshot.day)).where(StockSnapshot.day <= start))
    held: dict[int, Decimal] = {}
    if base is not None:
        statement = select(StockSnapshot.batch_id, func.sum(StockSnapshot.quantity)).where(
            StockSnapshot.day == base).group_by(StockSnapshot.batch_id)
        if store_ids is not None:
            statement = statement.where(StockSnapshot.store_id.in_(store_ids))
        if drug_ids is not None:
            statement = statement.where(StockSnapshot.drug_id.in_(drug_ids))
        held = {batch: quantity for batch, quantity in session.execute(statement)}
    if base != start:
        for batch, _, quantity in _sums(session, base, start, store_ids, drug_ids):
            held[batch] = held.get(batch, rules.ZERO) + quantity
    return held


def _changes(session: Session, start: date, end: date, store_ids: Collection[int] | None,
             drug_ids: Collection[int] | None) -> dict[int, dict[str, Decimal]]:
    found: dict[int, dict[str, Decimal]] = {}
    for batch, kind, quantity in _sums(session, start, end + timedelta(days=1), store_ids, drug_ids):
        columns = found.setdefault(batch, {})
        name = rules.MOVE_COLUMNS.get(kind, "adjusted")
        columns[name] = columns.get(name, rules.ZERO) + quantity
    return found


def value_by_class(session: Session, store_ids: Collection[int]) -> list[dict[str, Any]]:
    """What stands in stores at cost by fiscal category, for the head's chart. One query."""
    worth: dict[str, Decimal] = {}
    for row in session.execute(
            select(Drug.fiscal_category, Batch.pack_cost, Batch.pack_size, func.sum(StockBalance.on_hand).label("held"))
            .join(Batch, Batch.id == StockBalance.batch_id).join(Drug, Drug.id == StockBalance.drug_id)
            .where(StockBalance.store_id.in_(store_ids), StockBalance.on_hand > 0)
            .group_by(Drug.fiscal_category, Batch.id, Batch.pack_cost, Batch.pack_size)):
        worth[row.fiscal_category] = worth.get(row.fiscal_category, ZERO) + rules.value(
            row.held, row.pack_cost, row.pack_size)
    return [{"fiscal_category": key, "amount": amount} for key, amount in sorted(worth.items())]
