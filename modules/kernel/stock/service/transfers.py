"""Stock between stores: requisition → picking → transfer out → receipt; what is on its way stands in the transit store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import of, today
from his_server.errors import Conflict, FieldError, Invalid
from modules.kernel.stock import rules
from modules.kernel.stock.models import StockBalance, StockDocument, Store
from modules.kernel.stock.rules import Demand
from modules.kernel.stock.service import documents, ledger, tracing
from modules.kernel.stock.service.ledger import BatchQuantity

TRANSIT = "TRANSIT"


def transit(session: Session) -> int:
    """The store of what is between two others; made when it is first needed."""
    found = session.scalar(select(Store.id).where(Store.code == TRANSIT))
    if found is None:
        portable.upsert(session, Store, [{"id": of(session).keys.next(), "code": TRANSIT, "name": "调拨在途",
                                          "kind": "transit", "department_id": None, "active": True}], ["code"], [])
        found = session.scalar(select(Store.id).where(Store.code == TRANSIT))
        assert found is not None
    return found


def submit(session: Session, actor: Actor, requisition_id: int, *, acknowledged: bool = False) -> StockDocument:
    """Hand a requisition in. :raises Conflict: lines need a warning (M7.7), or it is handed in already."""
    paper = documents.get(session, requisition_id)
    documents.step(session, actor, paper, "submitted", documents.lines_of(session, requisition_id),
                   acknowledged=acknowledged)
    return paper


def approve(session: Session, actor: Actor, requisition_id: int,
            quantities: Mapping[int, Decimal] | None = None) -> StockDocument:
    """Approve a requisition (line id → what is granted, default what there is up to what was asked) and pick the
    batches, earliest expiry first. Returns the draft of the transfer that serves it.

    :raises Conflict: nothing can be served, or more was granted than there is (each line named).
    """
    paper = documents.get(session, requisition_id)
    lines = documents.lines_of(session, requisition_id)
    assert paper.other_store_id is not None
    demands = [Demand(line.id, line.drug_id, (quantities or {}).get(line.id, line.quantity)) for line in lines]
    demands = [d for d in demands if d.quantity > 0]
    shares, short = rules.allocate(demands, ledger.candidates(session, paper.other_store_id,
                                                              {d.drug_id for d in demands}), today(session))
    if short and quantities is not None:
        positions = {line.id: line.position for line in lines}
        raise Conflict("stock.short", "库存不足，请减少批准数量", [
            FieldError(f"lines.{positions[s.line_id]}.quantity", f"缺 {s.missing.normalize():f}") for s in short])
    if not shares:
        raise Conflict("stock.nothing", "库中没有可发的药品，请拒绝该请领单或先补货")
    documents.step(session, actor, paper, "approved", lines, acknowledged=True)
    served: dict[int, Decimal] = {}
    for share in shares:
        served[share.line_id] = served.get(share.line_id, rules.ZERO) + share.quantity
    for line in lines:
        line.done = served.get(line.id, rules.ZERO)
    return documents.draft(session, actor, kind="transfer", store_id=paper.other_store_id, purpose="请领发药",
                           other_store_id=paper.store_id, reason=f"请领单 {paper.number}", origin_id=paper.id,
                           lines=[{"batch_id": s.batch_id, "quantity": s.quantity} for s in shares])


def refuse(session: Session, actor: Actor, requisition_id: int, reason: str) -> StockDocument:
    """Refuse a requisition with a reason."""
    paper = documents.get(session, requisition_id)
    documents.step(session, actor, paper, "refused", [], acknowledged=True, more={"end_reason": reason})
    return paper


def ship(session: Session, actor: Actor, transfer_id: int, *, acknowledged: bool = False) -> StockDocument:
    """Send a transfer off: out of its store, into transit. :raises Conflict: stock went meanwhile, or sent already."""
    paper = documents.get(session, transfer_id)
    lines = documents.lines_of(session, transfer_id)
    documents.step(session, actor, paper, "shipped", lines, acknowledged=acknowledged)
    way, document = transit(session), documents.ledger_document(paper)
    ledger.withdraw(session, actor, paper.store_id, [
        BatchQuantity(line.id, line.batch_id, line.drug_id, line.quantity) for line in lines if line.batch_id],
        document, "transfer_out", store_to=way)
    if codes := documents.codes_of(session, transfer_id):
        tracing.move(session, actor, "ship", document, list(codes), store_from=paper.store_id, store_to=way,
                     line_ids=codes)
    return paper


def receive(session: Session, actor: Actor, transfer_id: int, quantities: Mapping[int, Decimal] | None = None,
            refused_codes: frozenset[str] = frozenset()) -> StockDocument:
    """Take a transfer in: line id → what arrived (default all); the rest goes back to where it came from.

    :raises Invalid: more than was sent. :raises Conflict: received already; the sender of controlled drugs himself.
    """
    paper = documents.get(session, transfer_id)
    lines = documents.lines_of(session, transfer_id)
    assert paper.other_store_id is not None
    taken = {line.id: (quantities or {}).get(line.id, line.quantity) for line in lines}
    wrong = [FieldError(f"lines.{line.position}.done", f"应在 0 至 {line.quantity.normalize():f} 之间") for line in lines
             if not 0 <= taken[line.id] <= line.quantity]
    if wrong:
        raise Invalid("stock.received", "接收数量不能超过发出数量，请修改", wrong)
    documents.step(session, actor, paper, "received", lines, acknowledged=True, two_persons=paper.strict)
    way, document = transit(session), documents.ledger_document(paper)
    for store_id, kind, part in ((paper.other_store_id, "transfer_in", taken),
                                 (paper.store_id, "transfer_back", {x.id: x.quantity - taken[x.id] for x in lines})):
        items = [BatchQuantity(x.id, x.batch_id, x.drug_id, part[x.id]) for x in lines if x.batch_id and part[x.id] > 0]
        if items:
            ledger.withdraw(session, actor, way, items, document, kind, store_to=store_id)
    for line in lines:
        line.done = taken[line.id]
    codes = documents.codes_of(session, transfer_id)
    back = {code for code, line_id in codes.items() if code in refused_codes or taken[line_id] == 0}
    for store_id, part_codes in ((paper.other_store_id, set(codes) - back), (paper.store_id, back)):
        if part_codes:
            tracing.move(session, actor, "arrive", document, sorted(part_codes), store_from=way, store_to=store_id,
                         line_ids=codes)
    session.flush()
    return paper


def propose_return(session: Session, store_id: int, within_days: int) -> list[dict[str, Any]]:
    """Batches of a store that expire within so many days, as lines of a transfer back to the warehouse (退药库)."""
    rows = session.execute(
        select(StockBalance.batch_id, StockBalance.on_hand, StockBalance.reserved)
        .where(StockBalance.store_id == store_id, StockBalance.on_hand > StockBalance.reserved,
               StockBalance.expiry <= today(session) + timedelta(days=within_days))
        .order_by(StockBalance.expiry, StockBalance.id).limit(500))
    return [{"batch_id": r.batch_id, "quantity": r.on_hand - r.reserved} for r in rows]
