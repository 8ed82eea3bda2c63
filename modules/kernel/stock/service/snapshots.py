"""Month beginnings of stock, from the moves alone, so that a report over ten years reads a month (M6.1, FN-17)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.clock import local
from his_server.db import Database
from modules.kernel.stock import rules
from modules.kernel.stock.models import StockMove, StockSnapshot

SETTLED_HOUR = 2
"""A month's first day is summed from this hour on: who began before midnight has committed by then."""


def net_moves(session: Session, before: date, since: date | None = None) -> dict[tuple[int, int], Decimal]:
    """Σ in − Σ out by store and batch of the business days in [since, before). Two queries."""
    net: dict[tuple[int, int], Decimal] = {}
    for column, sign in ((StockMove.store_to, 1), (StockMove.store_from, -1)):
        statement: Any = select(column, StockMove.batch_id, func.sum(StockMove.quantity)).where(
            StockMove.business_date < before, column.is_not(None)).group_by(column, StockMove.batch_id)
        if since is not None:
            statement = statement.where(StockMove.business_date >= since)
        for store, batch, quantity in session.execute(statement):
            net[store, batch] = net.get((store, batch), rules.ZERO) + sign * quantity
    return net


def month_after(day: date) -> date:
    """The first day of the next month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def take(session: Session, day: date) -> int:
    """Write the snapshot of a month's first day from the one before it; returns how many rows. Three reads."""
    last = session.scalar(select(func.max(StockSnapshot.day)).where(StockSnapshot.day < day))
    drugs: dict[int, int] = {}
    held: dict[tuple[int, int], Decimal] = {}
    if last is not None:
        for kept in session.execute(select(StockSnapshot.store_id, StockSnapshot.batch_id, StockSnapshot.quantity)
                                   .where(StockSnapshot.day == last)):
            held[kept.store_id, kept.batch_id] = kept.quantity
    for key, quantity in net_moves(session, day, last).items():
        held[key] = held.get(key, rules.ZERO) + quantity
    for row in session.execute(select(StockMove.batch_id, StockMove.drug_id).where(StockMove.business_date < day)
                               .distinct() if last is None else
                               select(StockMove.batch_id, StockMove.drug_id).where(
                                   StockMove.business_date < day, StockMove.business_date >= last).distinct()):
        drugs[row.batch_id] = row.drug_id
    if last is not None:
        drugs |= {row.batch_id: row.drug_id for row in session.execute(
            select(StockSnapshot.batch_id, StockSnapshot.drug_id).where(StockSnapshot.day == last))}
    rows = [{"day": day, "store_id": store, "batch_id": batch, "drug_id": drugs[batch], "quantity": quantity}
            for (store, batch), quantity in sorted(held.items()) if quantity]
    portable.insert_many(session, StockSnapshot, rows)
    return len(rows)


def take_due(database: Database) -> int:
    """The job: every month's beginning that has come and has no snapshot yet; returns how many were taken."""
    moment = local(database.clock.now())
    newest = moment.date().replace(day=1)
    if moment.date() == newest and moment.hour < SETTLED_HOUR:
        newest = (newest - timedelta(days=1)).replace(day=1)
    with database.begin(write=False) as session:
        last = session.scalar(select(func.max(StockSnapshot.day)))
        first = session.scalar(select(func.min(StockMove.business_date)))
    if first is None:
        return 0
    day, taken = month_after(last or first), 0
    while day <= newest:
        with database.begin() as session:
            take(session, day)
        day, taken = month_after(day), taken + 1
    return taken
