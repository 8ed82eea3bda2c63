"""What a pharmacist does: dispense, take back, put into stock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, numbering, of, today
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.messaging import outbox
from his_server.security import audit, signatures
from modules.kernel.charging.models import ChargeLine
from modules.kernel.charging.service import perform
from modules.kernel.masterdata import service as masterdata
from modules.kernel.orders import service as orders
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Store
from modules.kernel.stock.service import BatchQuantity, Document, Receipt
from modules.outpatient_pharmacy.models import DrugReturn, DrugReturnLine

RETURN_SERIES = numbering.Series("drug_return", "退药单号", "TY{date:%y%m%d}{n:05d}", per_day=True)
STOCK_IN_SERIES = numbering.Series("stock_in", "入库单号", "RK{date:%y%m%d}{n:05d}", per_day=True)


def dispense(session: Session, actor: Actor, prescription_id: int) -> Prescription:
    """Hand out a paid prescription, earliest expiry first. :raises Conflict: dispensed or refunded already (named)."""
    orders.dispense(session, actor, prescription_id)
    found = session.get(Prescription, prescription_id)
    assert found is not None
    return found


def take_back(session: Session, actor: Actor, prescription_id: int, *, lines: Mapping[int, Decimal], reason: str
              ) -> DrugReturn:
    """Take drugs back (prescription line id → smallest units) into the batches they came from.

    What was charged in packs comes back in whole packs. The charge lines become refundable; the money goes back at the
    cashier's. :raises Invalid: more than was handed out. :raises Conflict: a colleague took them back first.
    """
    prescription = session.get(Prescription, prescription_id)
    if prescription is None or prescription.state != "dispensed":
        raise NotFound("pharmacy.not_dispensed", "没有这张已发药的处方，请核对处方号")
    rows = {r.id: r for r in session.execute(
        select(PrescriptionLine.id, PrescriptionLine.drug_id, PrescriptionLine.name, PrescriptionLine.charge_line_id,
               ChargeLine.factor, ChargeLine.unit)
        .join(ChargeLine, ChargeLine.id == PrescriptionLine.charge_line_id)
        .where(PrescriptionLine.prescription_id == prescription_id))}
    if not lines or set(lines) - set(rows):
        raise Invalid("pharmacy.return_lines", "所退药品不属于该处方，请刷新后重试")
    errors = [FieldError(f"lines.{key}.quantity", f"{rows[key].name} 须按整{rows[key].unit}退药")
              for key, quantity in lines.items() if quantity <= 0 or quantity % rows[key].factor]
    if errors:
        raise Invalid("pharmacy.return_quantity", "退药数量有误，请按提示修改", errors)
    # first the guard on the charge lines: of two pharmacists one gets them
    perform(session, {rows[key].charge_line_id: -quantity / rows[key].factor for key, quantity in lines.items()})
    document = orders.document(prescription_id)
    back: list[BatchQuantity] = []
    for key, quantity in sorted(lines.items()):
        back += _choose(stock.issued_batches(session, document, key), quantity, rows[key].name, key)
    stock.put_back(session, actor, prescription.store_id, back, document)
    made = DrugReturn(number=numbering.take(session, RETURN_SERIES), prescription_id=prescription_id,
                      person_id=prescription.person_id, store_id=prescription.store_id, reason=reason,
                      accepted_at=now(session), business_date=today(session), accepted_by=actor.user_id,
                      accepted_by_name=actor.name)
    session.add(made)
    session.flush()
    portable.insert_many(session, DrugReturnLine, [
        {"id": key, "return_id": made.id, "prescription_line_id": b.line_id, "drug_id": b.drug_id,
         "batch_id": b.batch_id, "quantity": b.quantity}
        for key, b in zip(of(session).keys.take(len(back)), back, strict=True)])
    signatures.sign(session, actor, RETURN, made.id, _returned(session, [made.id])[made.id])
    outbox.record(session, "DrugsReturned", prescription.number, {
        "return_id": made.id, "prescription_id": prescription_id,
        "lines": [{"line_id": k, "quantity": str(q)} for k, q in sorted(lines.items())]})
    audit.record(session, actor, "prescription.return", "prescription", prescription_id, {"number": made.number})
    return made


RETURN = "drug_return"
_RETURN = ("number", "prescription_id", "person_id", "store_id", "reason", "accepted_at", "accepted_by",
           "accepted_by_name")


def _returned(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What is signed of returns (MP-15): which drugs of which lot came back from whom; two queries."""
    found = {row.id: {**{name: getattr(row, name) for name in _RETURN}, "lines": []}
             for row in session.scalars(select(DrugReturn).where(DrugReturn.id.in_(ids)))}
    lines = session.execute(
        select(DrugReturnLine, PrescriptionLine.name, PrescriptionLine.base_unit)
        .join(PrescriptionLine, PrescriptionLine.id == DrugReturnLine.prescription_line_id)
        .where(DrugReturnLine.return_id.in_(ids)).order_by(DrugReturnLine.id))
    for line, name, unit in lines:
        found[line.return_id]["lines"].append({
            "prescription_line_id": line.prescription_line_id, "drug_id": line.drug_id, "name": name,
            "batch_id": line.batch_id, "quantity": line.quantity, "unit": unit})
    return found


signatures.declare(RETURN, "退药单", _returned)


def _choose(issued: Sequence[BatchQuantity], quantity: Decimal, name: str, key: int) -> list[BatchQuantity]:
    chosen = []
    rest = quantity
    for batch in issued:
        part = min(rest, batch.quantity)
        if part > 0:
            chosen.append(BatchQuantity(key, batch.batch_id, batch.drug_id, part))
            rest -= part
    if rest > 0:
        raise Conflict("pharmacy.return_excess", f"{name} 的退药数量超过已发数量，请刷新后核对",
                       [FieldError(f"lines.{key}.quantity", f"最多 {(quantity - rest).normalize():f}")])
    return chosen


def stock_in(session: Session, actor: Actor, store_id: int, lines: Sequence[Mapping[str, Any]]) -> str:
    """Put batches into a store by hand; returns the document number. ``quantity`` in packs, ``pack_cost`` per pack."""
    if session.get(Store, store_id) is None:
        raise NotFound("pharmacy.store", "没有这个药房，请刷新后重试")
    drugs = masterdata.drugs(session, [line["drug_id"] for line in lines])
    errors = [FieldError(f"lines.{i}.drug_id", "没有这个药品") for i, line in enumerate(lines)
              if line["drug_id"] not in drugs]
    errors += [FieldError(f"lines.{i}.expiry", "已过有效期，不能入库") for i, line in enumerate(lines)
               if line["expiry"] <= today(session)]
    if errors:
        raise Invalid("pharmacy.stock_in", "入库内容有误，请按提示修改", errors)
    number = numbering.take(session, STOCK_IN_SERIES)
    document = Document("stock_in", of(session).keys.next())
    receipts = []
    for line in lines:
        size = drugs[line["drug_id"]].pack_size
        receipts.append(Receipt(line["drug_id"], line["lot_no"], line["expiry"], line["pack_cost"],
                                line["quantity"] * size, line.get("supplier"), size))
    stock.receive(session, actor, store_id, receipts, document)
    audit.record(session, actor, "stock.in", "stock_in", document.id, {"number": number, "lines": len(receipts)})
    return number
