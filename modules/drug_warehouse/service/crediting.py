"""What goes back to a supplier: his bill falls by what it cost (FN-16), and the sunshine platform hears of it (H011).

Follows the stock paper 退供应商 inside the step that confirms it: stock, debt and platform move together, or not at all.
Implements: M6.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import now
from his_server.errors import Conflict, FieldError
from his_server.money import ZERO
from his_server.security import audit
from modules.drug_warehouse.models import (
    GoodsReceipt,
    GoodsReceiptLine,
    PlatformReturn,
    Supplier,
    SupplierCredit,
)
from modules.drug_warehouse.service import sunshine
from modules.kernel.stock.models import Batch, StockDocument, StockDocumentLine
from modules.kernel.stock.rules import value
from modules.kernel.stock.service import documents


def sent_back(session: Session, actor: Actor, paper: StockDocument, lines: Sequence[StockDocumentLine]) -> None:
    """A 退供应商 paper is confirmed: a credit per supplier, at what the batches cost; the platform is told if it asked.

    Whose a batch is: who delivered it last; what came by another way than a goods receipt, by the name on the batch.
    :raises Conflict: nobody knows whom a batch was bought from, or more goes back than the platform's delivery had.
    """
    platform = session.scalar(select(PlatformReturn).where(PlatformReturn.document_id == paper.id))
    if platform is not None:
        sunshine.tell_return(session, actor, platform)
    owners = _owners(session, [line.batch_id for line in lines if line.batch_id is not None])
    errors = [FieldError(f"lines.{line.position}.batch_id", "没有这一批号的进货记录，不知道退给哪家供应商") for line in lines
              if line.batch_id not in owners]
    if errors:
        raise Conflict("warehouse.no_supplier", "部分批号没有进货记录，不能退供应商；请改用出库单或报损单", errors)
    amounts: dict[int, Decimal] = {}
    for line in lines:
        assert line.batch_id is not None and line.pack_cost is not None
        supplier = owners[line.batch_id]
        amounts[supplier] = amounts.get(supplier, ZERO) + value(abs(line.quantity), line.pack_cost, line.pack_size)
    for supplier, amount in sorted(amounts.items()):
        made = SupplierCredit(number=paper.number, document_id=paper.id, supplier_id=supplier, amount=amount,
                              invoice_id=None, made_at=now(session), made_by_name=actor.name)
        session.add(made)
        session.flush()
        audit.record(session, actor, "supplier.credit", "supplier_credit", made.id,
                     {"paper": paper.number, "supplier": supplier, "amount": str(amount)})


def _owners(session: Session, batch_ids: Sequence[int]) -> Mapping[int, int]:
    """Batch → supplier; two queries."""
    newest = (select(GoodsReceiptLine.batch_id, func.max(GoodsReceiptLine.receipt_id).label("receipt_id"))
              .where(GoodsReceiptLine.batch_id.in_(batch_ids), GoodsReceiptLine.accepted > 0)
              .group_by(GoodsReceiptLine.batch_id).subquery())
    found: dict[int, int] = dict(session.execute(
        select(newest.c.batch_id, GoodsReceipt.supplier_id).join(GoodsReceipt, GoodsReceipt.id == newest.c.receipt_id)).all())
    named = session.execute(
        select(Batch.id, Supplier.id).join(Supplier, Supplier.name == Batch.supplier)
        .where(Batch.id.in_([key for key in batch_ids if key not in found]))).all()
    return {**dict(named), **found}


documents.CONFIRMED.setdefault("supplier_return", []).append(sent_back)
