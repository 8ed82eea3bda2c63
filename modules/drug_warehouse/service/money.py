"""Invoices of suppliers, what is owed, and price changes with what they make of the stock (FN-16)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import Database, now, numbering, of, today
from his_server.errors import Conflict, FieldError, Invalid
from his_server.messaging import outbox
from his_server.money import ZERO
from his_server.security import audit
from modules.drug_warehouse import rules
from modules.drug_warehouse.models import (
    GoodsReceipt,
    PriceChange,
    Revaluation,
    Supplier,
    SupplierCredit,
    SupplierInvoice,
)
from modules.drug_warehouse.service import suppliers
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.service import prices
from modules.kernel.stock.models import StockBalance

PRICE_SERIES = numbering.Series("drug_price_change", "调价单号", "TJ{date:%y%m%d}{n:04d}", per_day=True)


def enter_invoice(session: Session, actor: Actor, *, supplier_id: int, number: str, amount: Decimal, invoice_date: date,
                  due_date: date, receipt_ids: Sequence[int], credit_ids: Sequence[int] = ()) -> SupplierInvoice:
    """Enter an invoice over accepted receipts less what went back to the supplier, whose sum it must be.

    :raises Invalid: the sums differ. :raises Conflict: a receipt or credit is on another invoice, or the number is known.
    """
    suppliers.get(session, supplier_id)
    if session.scalar(select(SupplierInvoice.id).where(SupplierInvoice.supplier_id == supplier_id,
                                                       SupplierInvoice.number == number)):
        raise Conflict("warehouse.invoice_twice", "该供应商的这张发票已登记", [FieldError("number", "已登记")])
    wanted = sorted(set(receipt_ids))
    rows = session.execute(select(GoodsReceipt.id, GoodsReceipt.amount).where(
        GoodsReceipt.id.in_(wanted), GoodsReceipt.supplier_id == supplier_id, GoodsReceipt.state == "accepted")).all()
    less = sorted(set(credit_ids))
    back = session.execute(select(SupplierCredit.id, SupplierCredit.amount).where(
        SupplierCredit.id.in_(less), SupplierCredit.supplier_id == supplier_id)).all()
    total = sum((row.amount for row in rows), ZERO) - sum((row.amount for row in back), ZERO)
    if len(rows) != len(wanted) or len(back) != len(less) or total != amount:
        raise Invalid("warehouse.invoice_sum", f"发票金额 {amount} 元与所选入库单（减退货）合计 {total} 元不符，请核对",
                      [FieldError("amount", f"合计 {total}")])
    made = SupplierInvoice(number=number, supplier_id=supplier_id, amount=amount, invoice_date=invoice_date,
                           due_date=due_date, state="open", made_at=now(session), made_by_name=actor.name, paid_at=None,
                           paid_by_name=None, payment_note="")
    session.add(made)
    session.flush()
    if portable.guarded_update(session, GoodsReceipt, GoodsReceipt.id.in_(wanted) & GoodsReceipt.invoice_id.is_(None),
                               {"invoice_id": made.id}) != len(wanted):
        raise Conflict("warehouse.invoiced", "部分入库单已登记在其他发票上，请刷新后重新选择")
    if less and portable.guarded_update(session, SupplierCredit, SupplierCredit.id.in_(less)
                                        & SupplierCredit.invoice_id.is_(None), {"invoice_id": made.id}) != len(less):
        raise Conflict("warehouse.invoiced", "部分退货单已冲减其他发票，请刷新后重新选择")
    audit.record(session, actor, "invoice.enter", "supplier_invoice", made.id, {"number": number, "amount": str(amount)})
    return made


def pay_invoice(session: Session, actor: Actor, invoice_id: int, note: str) -> None:
    """Note that an invoice was paid. :raises Conflict: it was paid already."""
    if not portable.guarded_update(
            session, SupplierInvoice, (SupplierInvoice.id == invoice_id) & (SupplierInvoice.state == "open"),
            {"state": "paid", "paid_at": now(session), "paid_by_name": actor.name, "payment_note": note}):
        raise Conflict("warehouse.invoice_paid", "该发票已付款或不存在，请刷新后核对")
    audit.record(session, actor, "invoice.pay", "supplier_invoice", invoice_id, {"note": note})


def payables(session: Session) -> list[dict[str, Any]]:
    """What is owed per supplier: received less sent back and not invoiced, invoiced and not paid, overdue. Four queries."""
    found: dict[int, dict[str, Any]] = {}

    def add(supplier: int, name: str, amount: Decimal) -> None:
        row = found.setdefault(supplier, {"supplier_id": supplier, "uninvoiced": ZERO, "open": ZERO, "overdue": ZERO})
        row[name] += amount

    for supplier, amount in session.execute(
            select(GoodsReceipt.supplier_id, func.sum(GoodsReceipt.amount)).where(
                GoodsReceipt.state == "accepted", GoodsReceipt.invoice_id.is_(None)).group_by(GoodsReceipt.supplier_id)):
        add(supplier, "uninvoiced", amount)
    for supplier, amount in session.execute(
            select(SupplierCredit.supplier_id, func.sum(SupplierCredit.amount)).where(SupplierCredit.invoice_id.is_(None))
            .group_by(SupplierCredit.supplier_id)):
        add(supplier, "uninvoiced", -amount)
    for supplier, due, amount in session.execute(
            select(SupplierInvoice.supplier_id, SupplierInvoice.due_date, SupplierInvoice.amount).where(
                SupplierInvoice.state == "open")):
        add(supplier, "open", amount)
        if due < today(session):
            add(supplier, "overdue", amount)
    names = {s.id: s.name for s in session.scalars(select(Supplier).where(Supplier.id.in_(found)))}
    return [{**row, "supplier_name": names[key], "total": row["uninvoiced"] + row["open"]}
            for key, row in sorted(found.items(), key=lambda pair: names[pair[0]])]


def change_price(session: Session, actor: Actor, *, drug_id: int, price: Decimal, valid_from: date, reason: str
                 ) -> PriceChange:
    """Set a drug's retail price per pack from a day on; stock is revalued on that day. Old bills keep theirs (FN-16).

    :raises Invalid: the day is past, or above the drug's limit price. :raises Conflict: a later change is planned.
    """
    drug = masterdata.drugs(session, [drug_id]).get(drug_id)
    if drug is None:
        raise Invalid("warehouse.no_drug", "没有这个药品，请重新选择", [FieldError("drug_id", "没有这个药品")])
    before = masterdata.drug_prices(session, [drug_id], today(session)).get(drug_id, Decimal(0))
    prices.change_price(session, actor, "drug", drug_id, price=price, valid_from=valid_from, reason=reason)
    made = PriceChange(number=numbering.take(session, PRICE_SERIES), drug_id=drug_id, old_price=before, new_price=price,
                       valid_from=valid_from, reason=reason, state="planned", amount=None, made_at=now(session),
                       made_by_name=actor.name)
    session.add(made)
    session.flush()
    outbox.record(session, "DrugPriceChanged", made.number, {
        "change_id": made.id, "drug_id": drug_id, "old": str(before), "new": str(price), "from": valid_from.isoformat()})
    if valid_from <= today(session):
        revalue(session, made)
    return made


def revalue(session: Session, change: PriceChange) -> Decimal:
    """Write what a change makes of every store's stock, once; returns the sum. Stock in transit counts."""
    if not portable.guarded_update(session, PriceChange, (PriceChange.id == change.id) & (PriceChange.state == "planned"),
                                   {"state": "done"}):
        return change.amount or ZERO
    drug = masterdata.drugs(session, [change.drug_id])[change.drug_id]
    rows, total = [], ZERO
    for store, quantity in session.execute(
            select(StockBalance.store_id, func.sum(StockBalance.on_hand)).where(
                StockBalance.drug_id == change.drug_id, StockBalance.on_hand > 0)
            .group_by(StockBalance.store_id).order_by(StockBalance.store_id)).all():
        old, new = (rules.retail(quantity, p, drug.pack_size) for p in (change.old_price, change.new_price))
        rows.append({"id": of(session).keys.next(), "change_id": change.id, "store_id": store, "quantity": quantity,
                     "before": old, "after": new})
        total += new - old
    portable.insert_many(session, Revaluation, rows)
    change.amount = total
    session.flush()
    return total


def revalue_due(database: Database) -> int:
    """The job of the early morning: changes whose day has come; returns how many."""
    with database.begin(write=False) as session:
        due = list(session.scalars(select(PriceChange.id).where(
            PriceChange.state == "planned", PriceChange.valid_from <= today(session))
            .order_by(PriceChange.valid_from, PriceChange.made_at, PriceChange.id)))
    for key in due:
        with database.begin() as session:
            session.info["actor"] = SYSTEM
            revalue(session, session.get_one(PriceChange, key))
    return len(due)
