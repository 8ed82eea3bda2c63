"""Goods that arrive: lots and trace codes written down, inspected, taken into stock or refused; sent back later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import Quantity, now, numbering, of, today
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.messaging import outbox
from his_server.money import ZERO
from his_server.security import audit
from modules.drug_warehouse import rules
from modules.drug_warehouse.models import (
    GoodsReceipt,
    GoodsReceiptCode,
    GoodsReceiptLine,
    PurchaseLine,
    PurchaseOrder,
)
from modules.drug_warehouse.service import purchasing, suppliers
from modules.kernel.masterdata import service as masterdata
from modules.kernel.stock import rules as stock_rules
from modules.kernel.stock import service as stock
from modules.kernel.stock.rules import value
from modules.kernel.stock.service import Document, Receipt, documents, packing, tracing

SERIES = numbering.Series("goods_receipt", "到货验收单号", "YS{date:%y%m%d}{n:04d}", per_day=True)
_LINE = PurchaseLine.__table__.c
_RECEIVE = (update(PurchaseLine.__table__)  # type: ignore[arg-type]
            .where(_LINE.id == bindparam("b_line"),
                   _LINE.received + bindparam("b_quantity", type_=Quantity) <= _LINE.quantity)
            .values(received=_LINE.received + bindparam("b_quantity", type_=Quantity)))


def arrive(session: Session, actor: Actor, *, supplier_id: int, store_id: int, lines: Sequence[Mapping[str, Any]],
           order_id: int | None = None, delivery_number: str = "") -> GoodsReceipt:
    """Write down what arrived; it isn't stock before it is inspected. ``quantity`` in packs, ``pack_cost`` per pack;
    ``codes`` are trace codes; one that nobody knows is kept as 待核 and counts for nothing until :func:`settle_codes`.
    :raises Invalid: a line is wrong, named.
    """
    supplier = suppliers.check(session, supplier_id)
    documents.store(session, store_id)
    ordered: dict[int, PurchaseLine] = {}
    if order_id is not None:
        order = purchasing.get(session, order_id)
        if order.state != "sent" or order.supplier_id != supplier.id:
            raise Conflict("warehouse.order_state", f"订单 {order.number} 是“{rules.ORDER_STATES[order.state]}”，不能收货")
        ordered = {line.id: line for line in purchasing.lines_of(session, order_id)}
    drugs = masterdata.drugs(session, [line["drug_id"] for line in lines])
    errors, seen = [], set()
    scanned = [code for line in lines for code in line.get("codes") or ()]
    packs, doubt = packing.known(session, scanned), packing.doubtful(session, scanned)
    for index, line in enumerate(lines):
        drug, wanted = drugs.get(line["drug_id"]), ordered.get(line.get("order_line_id") or 0)
        if drug is None:
            errors.append(FieldError(f"lines.{index}.drug_id", "没有这个药品"))
            continue
        if line.get("order_line_id") and (wanted is None or wanted.drug_id != drug.id):
            errors.append(FieldError(f"lines.{index}.drug_id", "订单中没有这个药品"))
        if line["quantity"] % 1:
            errors.append(FieldError(f"lines.{index}.quantity", "须为整包装"))
        if line["expiry"] <= today(session):
            errors.append(FieldError(f"lines.{index}.expiry", "已过有效期，请拒收"))
        for code in line.get("codes") or ():
            if problem := (stock_rules.code_error(code) or ("重复扫描" if code in seen else "")
                           or packing.large_error(packs, code)):
                errors.append(FieldError(f"lines.{index}.codes", f"追溯码 {code}：{problem}"))
            seen.add(code)
        if sum(code not in doubt for code in line.get("codes") or ()) > line["quantity"]:
            errors.append(FieldError(f"lines.{index}.codes", "追溯码多于到货数量"))
    if errors:
        raise Invalid("warehouse.arrival", "到货内容有误，请按提示修改", errors)
    at = now(session)
    made = GoodsReceipt(
        number=numbering.take(session, SERIES), order_id=order_id, supplier_id=supplier.id, store_id=store_id,
        state="inspecting", strict=any(d.control in stock_rules.STRICT for d in drugs.values()),
        delivery_number=delivery_number, amount=ZERO, invoice_id=None, made_at=at, made_by=actor.user_id,
        made_by_name=actor.name, changed_at=at, changed_by_name=actor.name)
    session.add(made)
    session.flush()
    keys = of(session).keys.take(len(lines))
    portable.insert_many(session, GoodsReceiptLine, [
        {"id": key, "receipt_id": made.id, "position": index, "order_line_id": line.get("order_line_id"),
         "delivery_id": line.get("delivery_id"), "drug_id": line["drug_id"], "lot_no": line["lot_no"],
         "expiry": line["expiry"], "pack_cost": line["pack_cost"], "pack_size": drugs[line["drug_id"]].pack_size,
         "arrived": line["quantity"] * drugs[line["drug_id"]].pack_size, "accepted": Decimal(0), "reject_reason": "",
         "batch_id": None} for index, (key, line) in enumerate(zip(keys, lines, strict=True))])
    codes = [(key, code) for key, line in zip(keys, lines, strict=True) for code in line.get("codes") or ()]
    portable.insert_many(session, GoodsReceiptCode, [
        {"id": key, "receipt_id": made.id, "line_id": line, "code": code}
        for key, (line, code) in zip(of(session).keys.take(max(1, len(codes))), codes, strict=False)])
    audit.record(session, actor, "goods.arrive", "goods_receipt", made.id, {"number": made.number})
    return made


def get(session: Session, receipt_id: int) -> GoodsReceipt:
    """A receipt. :raises NotFound: there is none."""
    found = session.get(GoodsReceipt, receipt_id, populate_existing=True)
    if found is None:
        raise NotFound("warehouse.no_receipt", "没有这张到货单，请刷新后重试")
    return found


def lines_of(session: Session, receipt_id: int) -> list[GoodsReceiptLine]:
    """The lines of a receipt. One query."""
    return list(session.scalars(select(GoodsReceiptLine).where(GoodsReceiptLine.receipt_id == receipt_id)
                                .order_by(GoodsReceiptLine.position)))


def codes_of(session: Session, receipt_id: int) -> dict[int, list[str]]:
    """Trace codes by line. One query."""
    found: dict[int, list[str]] = {}
    for row in session.execute(select(GoodsReceiptCode.line_id, GoodsReceiptCode.code).where(
            GoodsReceiptCode.receipt_id == receipt_id).order_by(GoodsReceiptCode.id)):
        found.setdefault(row.line_id, []).append(row.code)
    return found


def _step(session: Session, actor: Actor, receipt_id: int, target: str, **more: Any) -> GoodsReceipt:
    get(session, receipt_id)
    if not portable.guarded_update(session, GoodsReceipt,
                                   (GoodsReceipt.id == receipt_id) & (GoodsReceipt.state == "inspecting"),
                                   {"state": target, "changed_at": now(session), "changed_by_name": actor.name, **more}):
        found = get(session, receipt_id)
        raise Conflict("warehouse.receipt_state", f"到货单 {found.number} 已由 {found.changed_by_name} 于 "
                       f"{local(found.changed_at):%m-%d %H:%M} 变为“{rules.RECEIPT_STATES[found.state]}”，请刷新后核对")
    return get(session, receipt_id)


def settle_codes(session: Session, actor: Actor, receipt_id: int, *, codes: Sequence[str], boxes: bool) -> GoodsReceipt:
    """Say what codes of a receipt are that nobody knew (待核): ``boxes``, which count from now on, or larger packs, which are
    taken off the receipt.

    :raises Invalid: not codes of this receipt, a carton's said to be a box's, or more boxes than packs arrived.
    :raises Conflict: inspected or cancelled already; known to be boxes.
    """
    receipt = _step(session, actor, receipt_id, "inspecting")
    lines, held = lines_of(session, receipt_id), codes_of(session, receipt_id)
    mine = {code for some in held.values() for code in some}
    if foreign := [index for index, code in enumerate(codes) if code not in mine]:
        raise Invalid("warehouse.codes", "有追溯码不在这张到货单上，请刷新后核对",
                      [FieldError(f"codes.{index}", "不在这张到货单上") for index in foreign])
    packing.tell(session, actor, codes, boxes=boxes, kind="goods_receipt", document_id=receipt_id)
    if not boxes:
        for start in range(0, len(codes), packing.CHUNK):
            session.execute(delete(GoodsReceiptCode).where(
                GoodsReceiptCode.receipt_id == receipt_id, GoodsReceiptCode.code.in_(codes[start:start + packing.CHUNK])))
        return receipt
    doubt = packing.doubtful(session, mine)
    for line in lines:
        if (count := sum(code not in doubt for code in held.get(line.id, ()))) > line.arrived / line.pack_size:
            raise Invalid("warehouse.codes", f"第 {line.position + 1} 行有 {count} 个盒码，多于到货的 "
                          f"{(line.arrived / line.pack_size).normalize():f} 盒，请核对哪些是箱码",
                          [FieldError(f"lines.{line.position}.codes", "多于到货数量")])
    return receipt


@dataclass(frozen=True)
class Rejected:
    """Packs of a line that are refused, why, and the trace codes that were scanned of them."""

    packs: Decimal
    reason: str
    codes: frozenset[str] = frozenset()


_NOTHING = Rejected(ZERO, "")


def accept(session: Session, actor: Actor, receipt_id: int, *, rejected: Mapping[int, Rejected],
           acknowledged: bool = False) -> GoodsReceipt:
    """Inspect a receipt: what isn't in ``rejected`` (by line id) goes into stock with its trace codes.

    :raises Invalid: a line is wrong; where more codes were scanned than packs stay, nobody said which ones go back.
    :raises Conflict: lines need a warning (M7.7); controlled drugs are inspected by whom wrote them down; more than
        was ordered; inspected already; codes of what stays that nobody knows to be boxes' (``warehouse.unsure``).
    """
    receipt, lines = get(session, receipt_id), lines_of(session, receipt_id)
    positions = {line.id: line.position for line in lines}
    refuse = {line.id: rejected.get(line.id, _NOTHING).packs * line.pack_size for line in lines}
    codes = codes_of(session, receipt_id)
    doubt = packing.doubtful(session, [code for some in codes.values() for code in some])
    if unsure := [(line, code) for line in lines if refuse[line.id] < line.arrived for code in codes.get(line.id, ())
                  if code in doubt]:
        raise Conflict("warehouse.unsure", f"还有 {len(unsure)} 个追溯码待核（{unsure[0][1]}），不能确定是一盒还是一箱；"
                       "请按 Alt+Y 对照实物逐个核对，再验收入库", [
                           FieldError(f"lines.{line.position}.codes", f"追溯码 {code} 待核") for line, code in unsure[:50]])
    codes = {key: [code for code in some if code not in doubt or code in rejected.get(key, _NOTHING).codes]
             for key, some in codes.items()}
    errors = [error for line in lines for error in _wrong(line, rejected.get(line.id, _NOTHING), codes.get(line.id, []))]
    if errors or set(rejected) - set(positions):
        raise Invalid("warehouse.inspection", "验收内容有误，请按提示修改", errors)
    if receipt.strict and receipt.made_by == actor.user_id:
        raise Conflict("warehouse.second_person", f"含麻醉、精神等特殊管理药品，须由 {receipt.made_by_name} 以外的第二人验收")
    taken = [line for line in lines if refuse[line.id] < line.arrived]
    if not acknowledged and (told := documents.warnings(session, taken)):  # type: ignore[arg-type]
        raise Conflict("stock.flagged", f"到货单内有 {len(told)} 行药品已停用、禁用，请核对后再验收入库", [
            FieldError(f"lines.{positions[key]}.drug_id", "；".join(texts)) for key, texts in told.items()])
    amount = sum((value(line.arrived - refuse[line.id], line.pack_cost, line.pack_size) for line in taken), ZERO)
    _step(session, actor, receipt_id, "accepted", amount=amount)
    for line in lines:
        line.accepted, line.reject_reason = line.arrived - refuse[line.id], rejected.get(line.id, _NOTHING).reason
    session.flush()
    _count_order(session, actor, receipt, taken)
    _into_stock(session, actor, receipt, taken, {
        line.id: [c for c in codes.get(line.id, []) if c not in rejected.get(line.id, _NOTHING).codes] for line in taken})
    outbox.record(session, "GoodsReceived", receipt.number, {
        "receipt_id": receipt.id, "order_id": receipt.order_id, "lines": [
            {"line_id": line.id, "drug_id": line.drug_id, "delivery_id": line.delivery_id, "accepted": str(line.accepted)}
            for line in taken]})
    audit.record(session, actor, "goods.accept", "goods_receipt", receipt.id,
                 {"number": receipt.number, "amount": str(amount), "rejected": len(rejected)})
    return receipt


def _wrong(line: GoodsReceiptLine, refused: Rejected, codes: Sequence[str]) -> list[FieldError]:
    at = f"lines.{line.position}"
    packs = line.arrived / line.pack_size
    if not 0 <= refused.packs <= packs:
        return [FieldError(f"{at}.rejected", f"应在 0 至 {packs.normalize():f} 之间（到货数量）")]
    if refused.packs % 1:
        return [FieldError(f"{at}.rejected", "须为整包装")]
    found = []
    if refused.packs and len(refused.reason) < 2:
        found.append(FieldError(f"{at}.reject_reason", "请填写拒收原因"))
    if unknown := sorted(refused.codes - set(codes)):
        found.append(FieldError(f"{at}.reject_codes", f"{unknown[0]} 不是该行登记的追溯码"))
    elif len(refused.codes) > refused.packs:
        found.append(FieldError(f"{at}.reject_codes", "拒收的追溯码多于拒收数量"))
    elif len(codes) - len(refused.codes) > packs - refused.packs:
        missing = len(codes) - len(refused.codes) - int(packs - refused.packs)
        found.append(FieldError(f"{at}.reject_codes", f"请扫描拒收的追溯码，还差 {missing} 个"))
    return found


def _count_order(session: Session, actor: Actor, receipt: GoodsReceipt, taken: Sequence[GoodsReceiptLine]) -> None:
    """What was accepted counts against the order's lines; with the last of it the order is received."""
    if receipt.order_id is None:
        return
    for line in sorted((x for x in taken if x.order_line_id), key=lambda x: x.order_line_id or 0):
        if session.connection().execute(_RECEIVE, {"b_line": line.order_line_id,
                                                   "b_quantity": line.accepted}).rowcount != 1:
            raise Conflict("warehouse.over_order", "收货数量超过订单未到数量，请核对或拒收多余部分", [
                FieldError(f"lines.{line.position}.rejected", "超过订单未到数量")])
    session.expire_all()
    if all(line.received == line.quantity for line in purchasing.lines_of(session, receipt.order_id)):
        portable.guarded_update(session, PurchaseOrder,
                                (PurchaseOrder.id == receipt.order_id) & (PurchaseOrder.state == "sent"),
                                {"state": "received", "changed_at": now(session), "changed_by_name": actor.name})


def _into_stock(session: Session, actor: Actor, receipt: GoodsReceipt, taken: Sequence[GoodsReceiptLine],
                codes: Mapping[int, Sequence[str]]) -> None:
    document = Document("goods_receipt", receipt.id)
    supplier = suppliers.get(session, receipt.supplier_id)
    if not taken:
        return
    arrived = stock.receive(session, actor, receipt.store_id, [
        Receipt(line.drug_id, line.lot_no, line.expiry, line.pack_cost, line.accepted, supplier.name, line.pack_size, line.id)
        for line in taken], document)
    for line, item in zip(taken, arrived, strict=True):
        line.batch_id = item.batch_id
    session.flush()
    scans = [tracing.Scan(code, line.drug_id, line.batch_id, Decimal(line.pack_size), line.id)
             for line in taken for code in codes[line.id]]
    if scans:
        tracing.collect(session, actor, receipt.store_id, document, scans)


def cancel(session: Session, actor: Actor, receipt_id: int, *, reason: str) -> GoodsReceipt:
    """Cancel a receipt that wasn't inspected."""
    found = _step(session, actor, receipt_id, "cancelled", cancel_reason=reason)
    audit.record(session, actor, "goods.cancel", "goods_receipt", receipt_id, {"number": found.number, "reason": reason})
    return found


def detail(session: Session, receipt_id: int) -> dict[str, Any]:
    """A receipt with its lines, warnings and the codes that wait for a look at the pack (待核), for the screen. Nine queries."""
    receipt, lines = get(session, receipt_id), lines_of(session, receipt_id)
    drugs = masterdata.drugs(session, [line.drug_id for line in lines])
    codes = codes_of(session, receipt_id)
    waits = receipt.state == "inspecting"
    told = documents.warnings(session, lines) if waits else {}  # type: ignore[arg-type]
    doubt = packing.doubtful(session, [code for some in codes.values() for code in some]) if waits else {}
    columns = ("id", "number", "order_id", "supplier_id", "store_id", "state", "strict", "delivery_number", "amount",
               "made_at", "made_by", "made_by_name", "changed_at", "changed_by_name", "cancel_reason")
    items = []
    for line in lines:
        drug = drugs[line.drug_id]
        packs = (line.pack_size, drug.pack_unit, drug.base_unit)
        items.append({
            "id": line.id, "drug_id": line.drug_id, "code": drug.code, "name": drug.name, "spec": drug.spec,
            "manufacturer": drug.manufacturer, "pack_unit": drug.pack_unit, "pack_size": line.pack_size,
            "lot_no": line.lot_no, "expiry": line.expiry, "pack_cost": line.pack_cost,
            "packs": line.arrived / line.pack_size, "accepted_packs": line.accepted / line.pack_size,
            "arrived_text": stock_rules.show_quantity(line.arrived, *packs),
            "accepted_text": stock_rules.show_quantity(line.accepted, *packs), "reject_reason": line.reject_reason,
            "amount": value(line.arrived, line.pack_cost, line.pack_size), "warnings": told.get(line.id, []),
            "codes": [code for code in codes.get(line.id, []) if code not in doubt],
            "unsure": [{"code": code, "large": doubt[code]} for code in codes.get(line.id, []) if code in doubt]})
    return {**{c: getattr(receipt, c) for c in columns}, "supplier_name": suppliers.get(session, receipt.supplier_id).name,
            "state_name": rules.RECEIPT_STATES[receipt.state], "lines": items}
