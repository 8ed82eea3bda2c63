"""The sunshine-procurement platform (M6.3): catalogue and matching, orders, deliveries, receipts, returns.

What the platform must be told is a row written with the work (``PlatformCall``) and an event; the interface that sends
it (H24) answers through :func:`answered`. Our key goes along, so that a repeat is recognised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import Quantity, now, of
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.messaging import outbox
from his_server.security import audit
from modules.drug_warehouse import rules
from modules.drug_warehouse.models import (
    DrugMatch,
    GoodsReceipt,
    GoodsReceiptLine,
    PlatformCall,
    PlatformDelivery,
    PlatformProduct,
    PlatformReturn,
    PurchaseLine,
    PurchaseOrder,
)
from modules.drug_warehouse.ports import Product, Shipment
from modules.drug_warehouse.service import purchasing, receiving
from modules.kernel.masterdata.models import Drug
from modules.kernel.stock.models import StockDocument
from modules.kernel.stock.service import documents

_DELIVERY = PlatformDelivery.__table__.c
_TAKEN = (update(PlatformDelivery.__table__)  # type: ignore[arg-type]
          .where(_DELIVERY.id == bindparam("b_id"),
                 _DELIVERY.received + bindparam("b_quantity", type_=Quantity) <= _DELIVERY.quantity)
          .values(received=_DELIVERY.received + bindparam("b_quantity", type_=Quantity)))
_RETURNED = (update(PlatformDelivery.__table__)  # type: ignore[arg-type]
             .where(_DELIVERY.id == bindparam("b_id"),
                    _DELIVERY.returned + bindparam("b_quantity", type_=Quantity) <= _DELIVERY.received)
             .values(returned=_DELIVERY.returned + bindparam("b_quantity", type_=Quantity)))
ENOUGH = 45
"""From this likeness on a product is suggested."""


def take_products(session: Session, products: Sequence[Product]) -> int:
    """Keep products of the catalogue, new and changed; two products of one id: the last one counts."""
    at = now(session)
    known = {p.platform_id: p for p in products}
    return portable.upsert(session, PlatformProduct, [
        {"id": key, "platform_id": p.platform_id, "code": p.code, "name": p.name, "form": p.form, "spec": p.spec,
         "pack": p.pack, "unit": p.unit, "factor": p.factor, "manufacturer": p.manufacturer, "approval_no": p.approval_no,
         "price": p.price, "active": p.active, "seen_at": at}
        for key, p in zip(of(session).keys.take(max(1, len(known))), known.values(), strict=False)],
        ["platform_id"], ["code", "name", "form", "spec", "pack", "unit", "factor", "manufacturer", "approval_no", "price",
                          "active", "seen_at"])


def suggest(session: Session, drug_id: int, limit: int = 8) -> list[dict[str, Any]]:
    """Products that a drug may be, most alike first, with what speaks for each. Two queries.

    :raises NotFound: there is no such drug.
    """
    drug = session.get(Drug, drug_id)
    if drug is None:
        raise NotFound("sunshine.drug", "没有这个药品，请重新选择")
    ours = rules.Described(drug.name, drug.form, f"{drug.spec} {drug.pack_size}{drug.base_unit}", drug.manufacturer,
                           getattr(drug, "approval_no", "") or "")
    core = rules.core_name(drug.name) or drug.name
    found = []
    statement = select(PlatformProduct).where(PlatformProduct.active, PlatformProduct.name.contains(core, autoescape=True)
                                              | (PlatformProduct.approval_no == (ours.approval_no or "-"))).limit(500)
    for product in session.scalars(statement):
        score, reasons = rules.likeness(ours, rules.Described(
            product.name, product.form, f"{product.spec} {product.pack}", product.manufacturer, product.approval_no))
        if score >= ENOUGH or (score and "规格一致" in reasons):
            found.append({"id": product.id, "platform_id": product.platform_id, "code": product.code, "name": product.name,
                          "form": product.form, "spec": product.spec, "pack": product.pack, "unit": product.unit,
                          "manufacturer": product.manufacturer, "approval_no": product.approval_no, "price": product.price,
                          "factor": product.factor, "score": score, "reasons": "、".join(reasons)})
    return sorted(found, key=lambda one: (-one["score"], one["price"], one["id"]))[:limit]


def match(session: Session, actor: Actor, *, drug_id: int, product_id: int, ratio: Decimal) -> DrugMatch:
    """Say that a drug is a platform product, one unit of which is ``ratio`` smallest units. It becomes the preferred
    one of the drug. :raises Invalid: no such thing, or a ratio that isn't whole packs of ours."""
    drug, product = session.get(Drug, drug_id), session.get(PlatformProduct, product_id)
    if drug is None or product is None:
        raise NotFound("sunshine.none", "没有这个药品或平台商品，请刷新后重试")
    if ratio % drug.pack_size:
        raise Invalid("sunshine.ratio", f"一个采购单位须为整{drug.pack_unit}（{drug.pack_size}{drug.base_unit} 的倍数）",
                      [FieldError("ratio", f"须为 {drug.pack_size} 的倍数")])
    portable.guarded_update(session, DrugMatch, DrugMatch.drug_id == drug_id, {"preferred": False})
    portable.upsert(session, DrugMatch, [{
        "id": of(session).keys.next(), "drug_id": drug_id, "product_id": product_id, "ratio": ratio, "preferred": True,
        "matched_at": now(session), "matched_by_name": actor.name}], ["drug_id", "product_id"],
        ["ratio", "preferred", "matched_at", "matched_by_name"])
    audit.record(session, actor, "sunshine.match", "drug", drug_id, {"product": product.platform_id, "ratio": str(ratio)})
    return session.scalars(select(DrugMatch).where(DrugMatch.drug_id == drug_id, DrugMatch.product_id == product_id)
                           .execution_options(populate_existing=True)).one()


def unmatch(session: Session, actor: Actor, match_id: int) -> None:
    """Take a match back; orders that were made with it keep their product."""
    found = session.get(DrugMatch, match_id)
    if found is None:
        raise NotFound("sunshine.no_match", "没有这条匹配，请刷新")
    session.delete(found)
    session.flush()
    audit.record(session, actor, "sunshine.unmatch", "drug", found.drug_id, {"match": match_id})


def _ratios(session: Session, lines: Sequence[PurchaseLine]) -> dict[int, Decimal]:
    """Smallest units of one platform unit, by line."""
    rows = {(m.drug_id, m.product_id): m.ratio for m in session.scalars(
        select(DrugMatch).where(DrugMatch.drug_id.in_({line.drug_id for line in lines})))}
    return {line.id: rows[line.drug_id, line.product_id] for line in lines
            if line.product_id is not None and (line.drug_id, line.product_id) in rows}


def announce_order(session: Session, order: PurchaseOrder, lines: Sequence[PurchaseLine]) -> None:
    """H005–H007: the platform is told of an order in its own units. :raises Invalid: not whole units, or unmatched."""
    ratios = _ratios(session, lines)
    errors = [FieldError(f"lines.{line.position}.quantity", "不是采购单位的整数倍，或匹配已取消") for line in lines
              if line.id not in ratios or line.quantity % ratios[line.id]]
    if errors:
        raise Invalid("sunshine.units", "订单数量不能换算为平台采购单位，请修改", errors)
    products = {p.id: p for p in session.scalars(select(PlatformProduct).where(
        PlatformProduct.id.in_({line.product_id for line in lines})))}
    _tell(session, "order", order, f"O{order.id}", {"number": order.number, "lines": [
        {"line_key": str(line.id), "platform_id": products[line.product_id].platform_id,  # type: ignore[index]
         "quantity": str(line.quantity / ratios[line.id]),
         "price": str((line.pack_cost * ratios[line.id] / line.pack_size).quantize(Decimal("0.0001")))} for line in lines]})


def _tell(session: Session, act: str, order: PurchaseOrder, key: str, payload: Mapping[str, Any]) -> None:
    body = json.dumps(payload, ensure_ascii=False, sort_keys=True)
    session.add(PlatformCall(our_key=key, act=act, order_id=order.id, payload=body, state="waiting", message="",
                             made_at=now(session), ended_at=None))
    session.flush()
    outbox.record(session, f"Sunshine{act.title().replace('_', '')}", order.number, {"our_key": key, **payload})


def answered(session: Session, our_key: str, *, done: bool, message: str = "", platform_number: str = "") -> bool:
    """The interface heard from the platform; False where that was known already."""
    if not portable.guarded_update(session, PlatformCall, (PlatformCall.our_key == our_key) & (PlatformCall.state != "done"),
                                   {"state": "done" if done else "refused", "message": message[:300],
                                    "ended_at": now(session)}):
        return False
    if platform_number:
        call = session.scalars(select(PlatformCall).where(PlatformCall.our_key == our_key)).one()
        portable.guarded_update(session, PurchaseOrder, PurchaseOrder.id == call.order_id,
                                {"platform_number": platform_number})
    return True


def take_shipments(session: Session, order_id: int, shipments: Sequence[Shipment]) -> int:
    """H009: keep what was sent for an order; what is known already stays as it is. Returns how many are new.

    :raises Invalid: a shipment of a line that isn't the order's.
    """
    lines = {str(line.id): line.id for line in purchasing.lines_of(session, order_id)}
    if strange := [s.platform_id for s in shipments if s.line_key not in lines]:
        raise Invalid("sunshine.line", f"配送明细 {strange[0]} 不属于该订单，请核对平台订单号")
    return portable.upsert(session, PlatformDelivery, [
        {"id": key, "platform_id": s.platform_id, "order_id": order_id, "line_id": lines[s.line_key], "quantity": s.quantity,
         "received": Decimal(0), "returned": Decimal(0), "price": s.price, "lot_no": s.lot_no, "expiry": s.expiry,
         "shipped_at": s.shipped_at}
        for key, s in zip(of(session).keys.take(max(1, len(shipments))), shipments, strict=False)], ["platform_id"], [])


def arrive(session: Session, actor: Actor, order_id: int, lines: Sequence[Mapping[str, Any]]) -> Any:
    """Goods of platform deliveries are here: a receipt to inspect, and the platform hears of it (H010).

    A line: ``delivery_id``, ``quantity`` in platform units, lot and expiry as on the pack, ``codes``.
    :raises Conflict: more than was sent.
    """
    order = purchasing.get(session, order_id)
    deliveries = {d.id: d for d in session.scalars(select(PlatformDelivery).where(
        PlatformDelivery.order_id == order_id, PlatformDelivery.id.in_([line["delivery_id"] for line in lines])))}
    ordered = {line.id: line for line in purchasing.lines_of(session, order_id)}
    ratios = _ratios(session, list(ordered.values()))
    body = []
    for index, line in enumerate(lines):
        delivery = deliveries.get(line["delivery_id"])
        if delivery is None or delivery.line_id not in ratios:
            raise Invalid("sunshine.delivery", "没有这条配送明细，请刷新", [FieldError(f"lines.{index}.delivery_id", "没有")])
        if session.connection().execute(_TAKEN, {"b_id": delivery.id, "b_quantity": line["quantity"]}).rowcount != 1:
            raise Conflict("sunshine.over", "收货数量超过配送数量，请核对",
                           [FieldError(f"lines.{index}.quantity", f"配送 {delivery.quantity.normalize():f}")])
        wanted = ordered[delivery.line_id]
        body.append({"order_line_id": wanted.id, "delivery_id": delivery.id, "drug_id": wanted.drug_id,
                     "lot_no": line["lot_no"], "expiry": line["expiry"], "codes": line.get("codes") or (),
                     "quantity": line["quantity"] * ratios[wanted.id] / wanted.pack_size,
                     "pack_cost": (delivery.price * wanted.pack_size / ratios[wanted.id]).quantize(Decimal("0.0001"))})
    receipt = receiving.arrive(session, actor, supplier_id=order.supplier_id, store_id=order.store_id, lines=body,
                               order_id=order_id, delivery_number=order.platform_number)
    _tell(session, "receive", order, f"R{receipt.id}", {"platform_number": order.platform_number, "lines": [
        {"platform_id": deliveries[line["delivery_id"]].platform_id, "quantity": str(line["quantity"])} for line in lines]})
    return receipt


def give_back(session: Session, actor: Actor, order_id: int, *, delivery_id: int, quantity: Decimal, purpose: str,
              reason: str, codes: Sequence[str] = ()) -> StockDocument:
    """Goods of a delivery go back (H011) by a paper 退供应商 of the batch that it brought; its confirmation moves the
    stock, the supplier's bill and the platform together. Controlled drugs leave the paper to a second person.

    :raises Conflict: more than was received, or than is in stock.
    """
    order, delivery = purchasing.get(session, order_id), session.get(PlatformDelivery, delivery_id)
    if delivery is None or delivery.order_id != order.id:
        raise NotFound("sunshine.delivery", "没有这条配送明细，请刷新")
    ordered = {line.id: line for line in purchasing.lines_of(session, order_id)}
    ratio = _ratios(session, list(ordered.values())).get(delivery.line_id)
    batch = session.scalar(
        select(GoodsReceiptLine.batch_id).join(GoodsReceipt, GoodsReceipt.id == GoodsReceiptLine.receipt_id)
        .where(GoodsReceiptLine.delivery_id == delivery_id, GoodsReceiptLine.accepted > 0)
        .order_by(GoodsReceipt.made_at.desc(), GoodsReceiptLine.id.desc()).limit(1))
    if ratio is None or batch is None or quantity > delivery.received - delivery.returned:
        raise Conflict("sunshine.return", "退货数量超过已收数量，或尚未验收入库，请核对",
                       [FieldError("quantity", "超过已收数量")])
    paper = documents.draft(session, actor, kind="supplier_return", store_id=order.store_id, purpose=purpose, reason=reason,
                            lines=[{"batch_id": batch, "quantity": quantity * ratio, "codes": list(codes)}])
    session.add(PlatformReturn(delivery_id=delivery_id, document_id=paper.id, quantity=quantity, reason=reason))
    session.flush()
    audit.record(session, actor, "sunshine.give_back", "purchase_order", order_id,
                 {"delivery": delivery.platform_id, "quantity": str(quantity), "paper": paper.number})
    return paper if paper.strict else documents.confirm(session, actor, paper.id, acknowledged=True)


def tell_return(session: Session, actor: Actor, back: PlatformReturn) -> None:
    """The paper of a platform return is confirmed: it counts, and the platform hears of it.

    :raises Conflict: meanwhile so much went back that this is more than was received.
    """
    if session.connection().execute(_RETURNED, {"b_id": back.delivery_id, "b_quantity": back.quantity}).rowcount != 1:
        raise Conflict("sunshine.return", "退货数量超过已收数量，请核对", [FieldError("quantity", "超过已收数量")])
    delivery = session.get_one(PlatformDelivery, back.delivery_id, populate_existing=True)
    _tell(session, "give_back", purchasing.get(session, delivery.order_id), f"T{back.document_id}", {
        "platform_id": delivery.platform_id, "quantity": str(back.quantity), "reason": back.reason})
