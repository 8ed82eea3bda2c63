"""Lists of a store: batches, drugs with levels and stock days, papers. All keyset-paged over an index."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from dialects import portable
from his_server.db import today
from his_server.search import match
from modules.kernel.masterdata.models import Drug, drug_search
from modules.kernel.stock import rules
from modules.kernel.stock.models import (
    Batch,
    StockBalance,
    StockDocument,
    StockDocumentCode,
    StockLevel,
    StockMove,
    Store,
)
from modules.kernel.stock.service import documents

NO_MORE = 100


def stores(session: Session) -> list[Store]:
    """The stores in use, without transit. One query."""
    return list(session.scalars(select(Store).where(Store.active, Store.kind != "transit").order_by(Store.code)))


def _page(rows: Sequence[Any], limit: int, key: tuple[str, ...]) -> tuple[Sequence[Any], str | None]:
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], portable.encode_cursor(tuple(getattr(last, name) for name in key))


def _cursor(after: str | None) -> tuple[Any, ...] | None:
    return portable.decode_cursor(after) if after else None


def batches(session: Session, *, store_id: int, q: str = "", within_days: int | None = None,
            classes: Collection[str] = (), after: str | None = None, limit: int = 100) -> dict[str, Any]:
    """Batches of a store by expiry; ``within_days`` from today (0: expired). Two queries."""
    statement: Any = (
        select(StockBalance.id, StockBalance.batch_id, StockBalance.drug_id, Drug.code, Drug.name, Drug.spec,
               Drug.pack_unit, Drug.pack_size, Drug.base_unit, Drug.manufacturer, Drug.control, Drug.active, Batch.lot_no,
               StockBalance.expiry, Batch.pack_cost, Batch.pack_size.label("cost_size"), Batch.supplier,
               StockBalance.on_hand, StockBalance.reserved)
        .join(Drug, Drug.id == StockBalance.drug_id).join(Batch, Batch.id == StockBalance.batch_id)
        .where(StockBalance.store_id == store_id, StockBalance.on_hand > 0))
    if q:
        statement = statement.where(StockBalance.drug_id.in_(list(session.scalars(
            match(session, drug_search, q, limit=NO_MORE)))))
    if within_days is not None:
        statement = statement.where(StockBalance.expiry <= today(session) + timedelta(days=within_days))
    if classes:
        statement = statement.where(Drug.fiscal_category.in_(classes))
    rows, following = _page(session.execute(portable.keyset(
        statement, [(StockBalance.expiry, "asc"), (StockBalance.id, "asc")], _cursor(after), limit + 1)).all(),
        limit, ("expiry", "id"))
    return {"items": [_batch(row, today(session)) for row in rows], "next": following}


def _batch(row: Any, day: date) -> dict[str, Any]:
    packs = (row.pack_size, row.pack_unit, row.base_unit)
    free = row.on_hand - row.reserved
    return {**row._mapping, "free": free, "days_left": (row.expiry - day).days,
            "on_hand_text": rules.show_quantity(row.on_hand, *packs),
            "reserved_text": rules.show_quantity(row.reserved, *packs) if row.reserved else "",
            "free_text": rules.show_quantity(free, *packs),
            "amount": rules.value(row.on_hand, row.pack_cost, row.cost_size)}


def drugs(session: Session, *, store_id: int, view: str = "all", q: str = "", days: int = 30,
          classes: Collection[str] = (), after: str | None = None, limit: int = 100) -> dict[str, Any]:
    """Drugs of a store by code with levels and stock days at the pace of the last ``days``. At most four queries.

    ``view``: all; low (less than the least); over (more than the most); dead (nothing went out in ``days``).
    """
    held = (select(StockBalance.drug_id, func.sum(StockBalance.on_hand).label("on_hand"),
                   func.sum(StockBalance.reserved).label("reserved"))
            .where(StockBalance.store_id == store_id).group_by(StockBalance.drug_id).subquery())
    statement: Any = (
        select(Drug.id, Drug.code, Drug.name, Drug.spec, Drug.manufacturer, Drug.pack_unit, Drug.pack_size,
               Drug.base_unit, Drug.control, Drug.active, held.c.on_hand, held.c.reserved, StockLevel.least,
               StockLevel.most)
        .outerjoin(held, held.c.drug_id == Drug.id)
        .outerjoin(StockLevel, (StockLevel.drug_id == Drug.id) & (StockLevel.store_id == store_id)))
    if view == "low":
        statement = statement.where(StockLevel.least > func.coalesce(held.c.on_hand - held.c.reserved, 0))
    elif view == "over":
        statement = statement.where(held.c.on_hand > StockLevel.most)
    else:
        statement = statement.where(held.c.on_hand > 0 if view == "dead" else
                                    (held.c.on_hand > 0) | StockLevel.id.is_not(None))
    if view == "dead":
        statement = statement.where(~exists().where(
            StockMove.drug_id == Drug.id, StockMove.business_date >= today(session) - timedelta(days=days),
            StockMove.store_from == store_id))
    if q:
        statement = statement.where(Drug.id.in_(list(session.scalars(match(session, drug_search, q, limit=NO_MORE)))))
    if classes:
        statement = statement.where(Drug.fiscal_category.in_(classes))
    rows, following = _page(session.execute(
        portable.keyset(statement, [(Drug.code, "asc")], _cursor(after), limit + 1)).all(), limit, ("code",))
    ids = [row.id for row in rows]
    used, worth = usage(session, store_id, ids, days), _worth(session, store_id, ids)
    items = []
    for row in rows:
        packs = (row.pack_size, row.pack_unit, row.base_unit)
        on_hand = row.on_hand or rules.ZERO
        gone = used.get(row.id, rules.ZERO)
        free = on_hand - (row.reserved or rules.ZERO)
        items.append({
            **row._mapping, "on_hand": on_hand, "free": free, "used": gone, "amount": worth.get(row.id, Decimal("0.00")),
            "stock_days": rules.stock_days(free, gone, days), "free_text": rules.show_quantity(free, *packs),
            "used_text": rules.show_quantity(gone, *packs) if gone else "",
            "least_text": "" if row.least is None else rules.show_quantity(row.least, *packs),
            "most_text": "" if row.most is None else rules.show_quantity(row.most, *packs),
            "least_packs": None if row.least is None else (row.least / row.pack_size).quantize(rules.ZERO),
            "most_packs": None if row.most is None else (row.most / row.pack_size).quantize(rules.ZERO),
            "wanted_packs": -(-max((row.most or rules.ZERO) - free, rules.ZERO) // row.pack_size),
            "wanted": max((row.most or rules.ZERO) - free, rules.ZERO)})
    return {"items": items, "next": following}


def usage(session: Session, store_id: int, drug_ids: Collection[int], days: int) -> dict[int, Decimal]:
    """What left a store of each drug in the last ``days`` (dispensed less returned, sent on). Two queries."""
    if not drug_ids:
        return {}
    since = today(session) - timedelta(days=days)
    used: dict[int, Decimal] = {}
    for column, kinds, sign in ((StockMove.store_from, ("dispense", "stock_out", "transfer_out"), 1),
                                (StockMove.store_to, ("return", "transfer_back"), -1)):
        for drug, quantity in session.execute(
                select(StockMove.drug_id, func.sum(StockMove.quantity)).where(
                    StockMove.drug_id.in_(drug_ids), StockMove.business_date >= since, column == store_id,
                    StockMove.kind.in_(kinds)).group_by(StockMove.drug_id)):
            used[drug] = used.get(drug, rules.ZERO) + sign * quantity
    return used


def _worth(session: Session, store_id: int, drug_ids: Collection[int]) -> dict[int, Decimal]:
    worth: dict[int, Decimal] = {}
    if drug_ids:
        for row in session.execute(
                select(StockBalance.drug_id, StockBalance.on_hand, Batch.pack_cost, Batch.pack_size)
                .join(Batch, Batch.id == StockBalance.batch_id)
                .where(StockBalance.store_id == store_id, StockBalance.drug_id.in_(drug_ids), StockBalance.on_hand > 0)):
            worth[row.drug_id] = worth.get(row.drug_id, Decimal("0.00")) + rules.value(
                row.on_hand, row.pack_cost, row.pack_size)
    return worth


def papers(session: Session, *, store_id: int, kind: str = "", state: str = "", incoming: bool = False,
           after: str | None = None, limit: int = 50) -> dict[str, Any]:
    """Papers of a store, newest first; ``incoming``: transfers on their way to it and requisitions asked of it."""
    here, there = aliased(Store), aliased(Store)
    statement: Any = (
        select(StockDocument.id, StockDocument.number, StockDocument.kind, StockDocument.purpose, StockDocument.state,
               StockDocument.store_id, StockDocument.other_store_id, StockDocument.reason, StockDocument.strict,
               StockDocument.line_count, StockDocument.made_at, StockDocument.made_by_name, StockDocument.changed_at,
               StockDocument.changed_by_name, here.name.label("store_name"), there.name.label("other_store_name"))
        .join(here, here.id == StockDocument.store_id).outerjoin(there, there.id == StockDocument.other_store_id)
        .where((StockDocument.other_store_id if incoming else StockDocument.store_id) == store_id))
    if kind:
        statement = statement.where(StockDocument.kind == kind)
    elif incoming:
        statement = statement.where(StockDocument.kind.in_(("transfer", "requisition")), StockDocument.state != "draft")
    if state:
        statement = statement.where(StockDocument.state == state)
    rows, following = _page(session.execute(portable.keyset(
        statement, [(StockDocument.made_at, "desc"), (StockDocument.id, "desc")], _cursor(after), limit + 1)).all(),
        limit, ("made_at", "id"))
    return {"items": [{**row._mapping, "kind_name": rules.DOCUMENTS[row.kind].title,
                       "state_name": rules.DOCUMENT_STATES[row.state]} for row in rows], "next": following}


def paper(session: Session, document_id: int) -> dict[str, Any]:
    """A paper with its lines, what must be said of them (M7.7) and their codes. Seven queries."""
    found = documents.get(session, document_id)
    lines = documents.lines_of(session, document_id)
    told = documents.warnings(session, lines) if found.state in ("draft", "submitted", "shipped") else {}
    names = {s.id: s.name for s in session.scalars(select(Store).where(
        Store.id.in_({found.store_id, found.other_store_id or 0})))}
    known = {d.id: d for d in session.scalars(select(Drug).where(Drug.id.in_({line.drug_id for line in lines})))}
    codes: dict[int, list[str]] = {}
    for row in session.execute(select(StockDocumentCode.line_id, StockDocumentCode.code).where(
            StockDocumentCode.document_id == document_id).order_by(StockDocumentCode.id)):
        codes.setdefault(row.line_id, []).append(row.code)
    items = []
    for line in lines:
        drug = known[line.drug_id]
        packs = (drug.pack_size, drug.pack_unit, drug.base_unit)
        sign = -1 if line.quantity < 0 else 1
        items.append({
            **{c: getattr(line, c) for c in ("id", "position", "drug_id", "batch_id", "lot_no", "expiry", "pack_cost",
                                             "quantity", "done", "supplier", "note")},
            "code": drug.code, "name": drug.name, "spec": drug.spec, "manufacturer": drug.manufacturer,
            "pack_unit": drug.pack_unit, "base_unit": drug.base_unit, "pack_size": drug.pack_size,
            "quantity_text": ("-" if sign < 0 else "") + rules.show_quantity(abs(line.quantity), *packs),
            "done_text": rules.show_quantity(abs(line.done), *packs),
            "amount": None if line.pack_cost is None else sign * rules.value(abs(line.quantity), line.pack_cost,
                                                                             line.pack_size),
            "codes": codes.get(line.id, []), "warnings": told.get(line.id, [])})
    columns = ("id", "number", "kind", "purpose", "state", "store_id", "other_store_id", "origin_id", "reason", "strict",
               "end_reason", "revision", "made_at", "made_by", "made_by_name", "changed_at", "changed_by_name")
    return {**{c: getattr(found, c) for c in columns}, "kind_name": rules.DOCUMENTS[found.kind].title,
            "state_name": rules.DOCUMENT_STATES[found.state], "store_name": names.get(found.store_id, ""),
            "other_store_name": names.get(found.other_store_id or 0, ""), "lines": items,
            "amount": sum((i["amount"] for i in items if i["amount"] is not None), Decimal("0.00"))}


def drug_choices(session: Session, *, q: str, classes: Collection[str], limit: int = 20) -> list[dict[str, Any]]:
    """Drugs of chosen classes for a code box, stopped ones with their mark (M7.6, M7.7). Two queries."""
    extra = [exists().where(Drug.id == drug_search.c.owner_id, Drug.fiscal_category.in_(classes))] if classes else []
    ids = list(session.scalars(match(session, drug_search, q, limit=limit, extra=extra)))
    by_id = {row.id: row for row in session.execute(
        select(Drug.id, Drug.code, Drug.name, Drug.spec, Drug.pack_unit, Drug.pack_size, Drug.base_unit,
               Drug.manufacturer, Drug.control, Drug.active, Drug.fiscal_category).where(Drug.id.in_(ids)))}
    return [dict(by_id[key]._mapping) for key in ids if key in by_id]


def batch_choices(session: Session, *, store_id: int, q: str, classes: Collection[str], limit: int = 30
                  ) -> list[dict[str, Any]]:
    """Batches of a store for a code box; the id is the batch's. Two queries."""
    found = batches(session, store_id=store_id, q=q, classes=classes, limit=limit)["items"] if q else []
    return [{**row, "id": row["batch_id"]} for row in found]
