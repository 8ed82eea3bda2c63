"""A store's stock as the pharmacies see it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.db import today
from his_server.search import match
from modules.kernel.masterdata.models import Drug, drug_search
from modules.kernel.stock.models import Batch, StockBalance
from modules.kernel.stock.rules import show_quantity


def stock_list(session: Session, store_id: int, q: str, expiring_days: int | None = None,
               categories: str = "", limit: int = 500) -> dict[str, Any]:
    """Batches of a store, by drug and expiry; searched as every screen searches (M7.4). Two queries.

    ``categories``: fiscal categories joined by commas (09 西药, 10 饮片, 11 中成药), empty: all. ``expiring_days``: only
    what expires within so many days (0: what has expired). ``more``: there are further batches than ``limit``.
    """
    statement = (
        select(StockBalance.id, StockBalance.drug_id, Drug.code, Drug.name, Drug.spec, Drug.pack_unit, Drug.pack_size,
               Drug.base_unit, Batch.lot_no, StockBalance.expiry, Batch.pack_cost, StockBalance.on_hand,
               StockBalance.reserved)
        .join(Drug, Drug.id == StockBalance.drug_id).join(Batch, Batch.id == StockBalance.batch_id)
        .where(StockBalance.store_id == store_id, StockBalance.on_hand > 0)
        .order_by(Drug.name, Drug.id, StockBalance.expiry, StockBalance.id).limit(limit + 1))
    if q:
        ids = list(session.scalars(match(session, drug_search, q, limit=100)))
        statement = statement.where(StockBalance.drug_id.in_(ids))
    if categories:
        statement = statement.where(Drug.fiscal_category.in_(categories.split(",")))
    if expiring_days is not None:
        statement = statement.where(StockBalance.expiry <= today(session) + timedelta(days=expiring_days))
    rows = session.execute(statement).all()
    items = []
    for row in rows[:limit]:
        packs = (row.pack_size, row.pack_unit, row.base_unit)
        items.append({**row._mapping, "free": row.on_hand - row.reserved,
                      "on_hand_text": show_quantity(row.on_hand, *packs),
                      "reserved_text": show_quantity(row.reserved, *packs) if row.reserved else "",
                      "free_text": show_quantity(row.on_hand - row.reserved, *packs),
                      "days_left": (row.expiry - today(session)).days})
    return {"items": items, "more": len(rows) > limit}
