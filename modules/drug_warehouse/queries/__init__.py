"""Reads of the warehouse's screens."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.db import today
from his_server.search import match, matching
from modules.drug_warehouse import rules
from modules.drug_warehouse.models import (
    DrugMatch,
    GoodsReceipt,
    GoodsReceiptLine,
    PlatformCall,
    PlatformDelivery,
    PlatformProduct,
    PriceChange,
    PurchaseLine,
    PurchaseOrder,
    Revaluation,
    Supplier,
    SupplierCredit,
    SupplierInvoice,
    supplier_search,
)
from modules.drug_warehouse.service import suppliers as supplier_service
from modules.kernel.masterdata.models import Drug, drug_search
from modules.kernel.stock.models import Store


def _paged(session: Session, statement: Any, columns: list[Any], names: tuple[str, ...], after: str | None, limit: int
           ) -> tuple[list[dict[str, Any]], str | None]:
    rows = session.execute(portable.keyset(statement, columns, portable.decode_cursor(after) if after else None,
                                           limit + 1)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return ([dict(row._mapping) for row in rows[:limit]],
            portable.encode_cursor(tuple(getattr(last, name) for name in names)) if last else None)


def suppliers(session: Session, *, q: str, limit: int) -> list[dict[str, Any]]:
    """Suppliers by name, pinyin or code, with their papers and whether one may buy from them. Three queries."""
    statement = select(Supplier).order_by(Supplier.code).limit(limit)
    if q:
        statement = statement.where(Supplier.id.in_(list(session.scalars(match(session, supplier_search, q, limit=limit)))))
    rows = list(session.scalars(statement))
    papers = supplier_service.papers(session, [row.id for row in rows])
    items = []
    for row in rows:
        mine = papers.get(row.id, [])
        valid = {p["kind"] for p in mine if p["days_left"] >= 0}
        missing = [kind for kind in supplier_service.NEEDED if kind not in valid]
        newest = {p["kind"]: p["days_left"] for p in mine}  # sorted by end: the last one of a kind counts
        items.append({"id": row.id, "code": row.code, "name": row.name, "contact": row.contact, "phone": row.phone,
                      "active": row.active, "papers": mine, "missing": "、".join(missing),
                      "ending": min(newest.values(), default=None)})
    return items


def orders(session: Session, *, store_id: int, q: str, state: str, after: str | None, limit: int) -> dict[str, Any]:
    """Orders of a store, newest first. One query, two more for a search."""
    statement: Any = (
        select(PurchaseOrder.id, PurchaseOrder.number, PurchaseOrder.channel, PurchaseOrder.state, PurchaseOrder.amount,
               PurchaseOrder.platform_number, PurchaseOrder.made_at, PurchaseOrder.made_by_name, PurchaseOrder.changed_at,
               PurchaseOrder.changed_by_name, Supplier.name.label("supplier_name"), PurchaseOrder.supplier_id)
        .join(Supplier, Supplier.id == PurchaseOrder.supplier_id).where(PurchaseOrder.store_id == store_id))
    if state:
        statement = statement.where(PurchaseOrder.state == state)
    if q:
        line = PurchaseLine
        statement = statement.where(or_(
            portable.starts_with(PurchaseOrder.number, q.upper()), PurchaseOrder.platform_number == q,
            PurchaseOrder.supplier_id.in_(matching(session, supplier_search, q, limit=100)),
            select(line.id).where(line.order_id == PurchaseOrder.id,
                                  line.drug_id.in_(matching(session, drug_search, q, limit=100))).exists()))
    items, following = _paged(session, statement, [(PurchaseOrder.made_at, "desc"), (PurchaseOrder.id, "desc")],
                              ("made_at", "id"), after, limit)
    return {"items": [{**i, "state_name": rules.ORDER_STATES[i["state"]]} for i in items], "next": following}


def receipts(session: Session, *, store_id: int, q: str, state: str, after: str | None, limit: int) -> dict[str, Any]:
    """Goods receipts of a store, newest first. One query, two more for a search."""
    statement: Any = (
        select(GoodsReceipt.id, GoodsReceipt.number, GoodsReceipt.state, GoodsReceipt.strict, GoodsReceipt.amount,
               GoodsReceipt.order_id, GoodsReceipt.supplier_id, GoodsReceipt.invoice_id, GoodsReceipt.delivery_number,
               GoodsReceipt.made_at, GoodsReceipt.made_by_name, GoodsReceipt.changed_at, GoodsReceipt.changed_by_name,
               Supplier.name.label("supplier_name"), PurchaseOrder.number.label("order_number"))
        .join(Supplier, Supplier.id == GoodsReceipt.supplier_id)
        .outerjoin(PurchaseOrder, PurchaseOrder.id == GoodsReceipt.order_id).where(GoodsReceipt.store_id == store_id))
    if state:
        statement = statement.where(GoodsReceipt.state == state)
    if q:
        line = GoodsReceiptLine
        statement = statement.where(or_(
            portable.starts_with(GoodsReceipt.number, q.upper()), PurchaseOrder.number == q.upper(),
            GoodsReceipt.delivery_number == q,
            GoodsReceipt.supplier_id.in_(matching(session, supplier_search, q, limit=100)),
            select(line.id).where(line.receipt_id == GoodsReceipt.id, or_(
                line.lot_no == q, line.drug_id.in_(matching(session, drug_search, q, limit=100)))).exists()))
    items, following = _paged(session, statement, [(GoodsReceipt.made_at, "desc"), (GoodsReceipt.id, "desc")],
                              ("made_at", "id"), after, limit)
    return {"items": [{**i, "state_name": rules.RECEIPT_STATES[i["state"]]} for i in items], "next": following}


def uninvoiced(session: Session, supplier_id: int) -> list[dict[str, Any]]:
    """Accepted receipts of a supplier that are on no invoice, and what went back to him, negative. Two queries."""
    receipts = session.execute(
        select(GoodsReceipt.id, GoodsReceipt.number, GoodsReceipt.amount, GoodsReceipt.changed_at)
        .where(GoodsReceipt.supplier_id == supplier_id, GoodsReceipt.state == "accepted", GoodsReceipt.invoice_id.is_(None))
        .order_by(GoodsReceipt.id).limit(500))
    credits = session.execute(
        select(SupplierCredit.id, SupplierCredit.number, SupplierCredit.amount, SupplierCredit.made_at)
        .where(SupplierCredit.supplier_id == supplier_id, SupplierCredit.invoice_id.is_(None))
        .order_by(SupplierCredit.id).limit(500))
    return [*({**row._mapping, "kind": "receipt"} for row in receipts),
            *({"id": row.id, "number": row.number, "amount": -row.amount, "changed_at": row.made_at, "kind": "credit"}
              for row in credits)]


def invoices(session: Session, *, state: str, after: str | None, limit: int) -> dict[str, Any]:
    """Invoices by due day. One query."""
    statement: Any = (
        select(SupplierInvoice.id, SupplierInvoice.number, SupplierInvoice.amount, SupplierInvoice.invoice_date,
               SupplierInvoice.due_date, SupplierInvoice.state, SupplierInvoice.made_by_name, SupplierInvoice.paid_at,
               SupplierInvoice.paid_by_name, SupplierInvoice.payment_note, Supplier.name.label("supplier_name"))
        .join(Supplier, Supplier.id == SupplierInvoice.supplier_id))
    if state:
        statement = statement.where(SupplierInvoice.state == state)
    items, following = _paged(session, statement, [(SupplierInvoice.due_date, "asc"), (SupplierInvoice.id, "asc")],
                              ("due_date", "id"), after, limit)
    day = today(session)
    return {"items": [{**i, "overdue": i["state"] == "open" and i["due_date"] < day} for i in items], "next": following}


def price_changes(session: Session, *, after: str | None, limit: int) -> dict[str, Any]:
    """Price changes, newest first. One query."""
    statement: Any = (
        select(PriceChange.id, PriceChange.number, PriceChange.drug_id, Drug.code, Drug.name, Drug.spec, Drug.pack_unit,
               PriceChange.old_price, PriceChange.new_price, PriceChange.valid_from, PriceChange.reason, PriceChange.state,
               PriceChange.amount, PriceChange.made_at, PriceChange.made_by_name).join(Drug, Drug.id == PriceChange.drug_id))
    items, following = _paged(session, statement, [(PriceChange.valid_from, "desc"), (PriceChange.id, "desc")],
                              ("valid_from", "id"), after, limit)
    return {"items": items, "next": following}


def revaluation(session: Session, change_id: int) -> list[dict[str, Any]]:
    """What a price change made of each store's stock. One query."""
    return [{**row._mapping, "difference": row.after - row.before} for row in session.execute(
        select(Store.name.label("store_name"), Revaluation.quantity, Revaluation.before, Revaluation.after)
        .join(Store, Store.id == Revaluation.store_id).where(Revaluation.change_id == change_id).order_by(Store.code))]


def matches(session: Session, *, q: str, view: str, after: str | None, limit: int) -> dict[str, Any]:
    """Drugs in use with their platform product, by code; ``view`` unmatched, matched or all. Two queries."""
    statement: Any = (
        select(Drug.id, Drug.code, Drug.name, Drug.spec, Drug.manufacturer, Drug.pack_unit, Drug.pack_size, Drug.base_unit,
               DrugMatch.id.label("match_id"), DrugMatch.ratio, DrugMatch.matched_by_name, PlatformProduct.platform_id,
               PlatformProduct.name.label("product_name"), PlatformProduct.spec.label("product_spec"),
               PlatformProduct.manufacturer.label("product_manufacturer"), PlatformProduct.price)
        .outerjoin(DrugMatch, (DrugMatch.drug_id == Drug.id) & DrugMatch.preferred)
        .outerjoin(PlatformProduct, PlatformProduct.id == DrugMatch.product_id).where(Drug.active))
    if view != "all":
        statement = statement.where(DrugMatch.id.is_(None) if view == "unmatched" else DrugMatch.id.is_not(None))
    if q:
        statement = statement.where(Drug.id.in_(list(session.scalars(match(session, drug_search, q, limit=100)))))
    items, following = _paged(session, statement, [(Drug.code, "asc")], ("code",), after, limit)
    return {"items": items, "next": following}


def match_counts(session: Session) -> dict[str, int]:
    """How many drugs in use are matched, and how many products there are. Three queries."""
    drugs = session.scalar(select(func.count()).select_from(Drug).where(Drug.active)) or 0
    matched = session.scalar(select(func.count(DrugMatch.drug_id.distinct())).join(Drug, Drug.id == DrugMatch.drug_id)
                             .where(Drug.active)) or 0
    products = session.scalar(select(func.count()).select_from(PlatformProduct).where(PlatformProduct.active)) or 0
    return {"drugs": drugs, "matched": matched, "products": products}


def deliveries(session: Session, order_id: int) -> dict[str, Any]:
    """What was sent for a sunshine order, and what the platform was told. Two queries."""
    sent = session.execute(
        select(PlatformDelivery.id, PlatformDelivery.platform_id, PlatformDelivery.line_id, PlatformDelivery.quantity,
               PlatformDelivery.received, PlatformDelivery.returned, PlatformDelivery.price, PlatformDelivery.lot_no,
               PlatformDelivery.expiry, PlatformDelivery.shipped_at)
        .where(PlatformDelivery.order_id == order_id).order_by(PlatformDelivery.id))
    calls = session.execute(select(PlatformCall.our_key, PlatformCall.act, PlatformCall.state, PlatformCall.message,
                                   PlatformCall.made_at, PlatformCall.ended_at)
                            .where(PlatformCall.order_id == order_id).order_by(PlatformCall.made_at))
    return {"items": [dict(row._mapping) for row in sent], "calls": [dict(row._mapping) for row in calls]}
