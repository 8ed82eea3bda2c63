"""Orders to suppliers: planned from what stores lack, written, sent, closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, numbering, of
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.messaging import outbox
from his_server.money import ZERO
from his_server.security import audit
from modules.drug_warehouse import rules
from modules.drug_warehouse.models import DrugMatch, PlatformProduct, PurchaseLine, PurchaseOrder, Supplier
from modules.drug_warehouse.service import suppliers
from modules.kernel.masterdata import service as masterdata
from modules.kernel.stock.models import Batch
from modules.kernel.stock.queries import lists
from modules.kernel.stock.rules import show_quantity, value
from modules.kernel.stock.service import documents

SERIES = numbering.Series("purchase_order", "采购订单号", "CG{date:%y%m%d}{n:04d}", per_day=True)


def plan(session: Session, store_id: int, limit: int = 200) -> list[dict[str, Any]]:
    """What a store should order: drugs under their least, up to their most in whole packs, with the last cost and
    supplier. Six queries."""
    low = lists.drugs(session, store_id=store_id, view="low", limit=limit)["items"]
    if not low:
        return []
    ages = select(Batch.id, func.row_number().over(
        partition_by=Batch.drug_id, order_by=(Batch.created_at.desc(), Batch.id.desc())).label("age")
    ).where(Batch.drug_id.in_([d["id"] for d in low])).subquery()
    last = {b.drug_id: b for b in session.scalars(select(Batch).join(ages, ages.c.id == Batch.id).where(ages.c.age == 1))}
    found = []
    for drug in low:
        batch = last.get(drug["id"])
        quantity = rules.whole_packs(drug["wanted"], drug["pack_size"])
        found.append({"drug_id": drug["id"], "code": drug["code"], "name": drug["name"], "spec": drug["spec"],
                      "manufacturer": drug["manufacturer"], "pack_unit": drug["pack_unit"], "pack_size": drug["pack_size"],
                      "base_unit": drug["base_unit"], "free_text": drug["free_text"], "least_text": drug["least_text"],
                      "used_text": drug["used_text"], "stock_days": drug["stock_days"], "quantity": quantity,
                      "packs": quantity / drug["pack_size"],
                      "pack_cost": batch.pack_cost if batch and batch.pack_size == drug["pack_size"] else None,
                      "supplier": batch.supplier if batch else None})
    return found


def write(session: Session, actor: Actor, *, supplier_id: int, store_id: int, lines: Sequence[Mapping[str, Any]],
          channel: str = "direct", note: str = "") -> PurchaseOrder:
    """Write an order; ``quantity`` in packs, ``pack_cost`` per pack. A sunshine order's drugs must be matched.

    :raises Invalid: a line is wrong. :raises Conflict: we may not buy from the supplier.
    """
    suppliers.check(session, supplier_id)
    documents.store(session, store_id)
    drugs = masterdata.drugs(session, [line["drug_id"] for line in lines])
    matched = {row.drug_id: row.id for row in session.execute(
        select(DrugMatch.drug_id, PlatformProduct.id).join(PlatformProduct, PlatformProduct.id == DrugMatch.product_id)
        .where(DrugMatch.drug_id.in_(drugs), PlatformProduct.active).order_by(DrugMatch.preferred, DrugMatch.id))
        } if channel == "sunshine" else {}
    errors, seen = [], set()
    for index, line in enumerate(lines):
        drug = drugs.get(line["drug_id"])
        if drug is None or not drug.active:
            errors.append(FieldError(f"lines.{index}.drug_id", "没有这个药品或已停用"))
        elif line["drug_id"] in seen:
            errors.append(FieldError(f"lines.{index}.drug_id", "同一药品请合并为一行"))
        elif channel == "sunshine" and line["drug_id"] not in matched:
            errors.append(FieldError(f"lines.{index}.drug_id", f"{drug.name} 还没有匹配阳光采购目录"))
        if line["quantity"] % 1:
            errors.append(FieldError(f"lines.{index}.quantity", "须为整包装"))
        seen.add(line["drug_id"])
    if errors:
        raise Invalid("warehouse.order", "订单内容有误，请按提示修改", errors)
    at = now(session)
    amount = sum((value(line["quantity"], line["pack_cost"], 1) for line in lines), ZERO)
    order = PurchaseOrder(
        number=numbering.take(session, SERIES), supplier_id=supplier_id, store_id=store_id, channel=channel, state="draft",
        platform_number="", amount=amount, note=note, made_at=at, made_by_name=actor.name, changed_at=at,
        changed_by_name=actor.name)
    session.add(order)
    session.flush()
    portable.insert_many(session, PurchaseLine, [
        {"id": key, "order_id": order.id, "position": index, "drug_id": line["drug_id"],
         "quantity": line["quantity"] * drugs[line["drug_id"]].pack_size, "pack_cost": line["pack_cost"],
         "pack_size": drugs[line["drug_id"]].pack_size, "received": Decimal(0), "product_id": matched.get(line["drug_id"])}
        for index, (key, line) in enumerate(zip(of(session).keys.take(len(lines)), lines, strict=True))])
    audit.record(session, actor, "purchase.write", "purchase_order", order.id, {"number": order.number})
    return order


def get(session: Session, order_id: int) -> PurchaseOrder:
    """An order. :raises NotFound: there is none."""
    found = session.get(PurchaseOrder, order_id, populate_existing=True)
    if found is None:
        raise NotFound("warehouse.no_order", "没有这张采购订单，请刷新后重试")
    return found


def lines_of(session: Session, order_id: int) -> list[PurchaseLine]:
    """The lines of an order. One query."""
    return list(session.scalars(select(PurchaseLine).where(PurchaseLine.order_id == order_id)
                                .order_by(PurchaseLine.position)))


def step(session: Session, actor: Actor, order_id: int, before: Sequence[str], target: str, reason: str | None = None
         ) -> PurchaseOrder:
    """The guarded transition of an order. :raises Conflict: somebody brought it elsewhere (who, when)."""
    get(session, order_id)
    if not portable.guarded_update(session, PurchaseOrder, (PurchaseOrder.id == order_id) & PurchaseOrder.state.in_(before),
                                   {"state": target, "changed_at": now(session), "changed_by_name": actor.name,
                                    "end_reason": reason}):
        found = get(session, order_id)
        raise Conflict("warehouse.order_state", f"订单 {found.number} 已由 {found.changed_by_name} 于 "
                       f"{local(found.changed_at):%m-%d %H:%M} 变为“{rules.ORDER_STATES[found.state]}”，请刷新后核对")
    audit.record(session, actor, f"purchase.{target}", "purchase_order", order_id, {"reason": reason} if reason else {})
    return get(session, order_id)


def send(session: Session, actor: Actor, order_id: int) -> PurchaseOrder:
    """Send an order to its supplier; a sunshine order goes to the platform."""
    order = step(session, actor, order_id, ("draft",), "sent")
    if order.channel == "sunshine":
        from modules.drug_warehouse.service import sunshine

        sunshine.announce_order(session, order, lines_of(session, order_id))
    else:
        outbox.record(session, "PurchaseOrderSent", order.number, {"order_id": order.id, "number": order.number})
    return order


def cancel(session: Session, actor: Actor, order_id: int, *, reason: str) -> PurchaseOrder:
    """Cancel an order that wasn't sent."""
    return step(session, actor, order_id, ("draft",), "cancelled", reason)


def close(session: Session, actor: Actor, order_id: int, *, reason: str) -> PurchaseOrder:
    """Wait no longer for the rest of an order."""
    return step(session, actor, order_id, ("sent",), "closed", reason)


def detail(session: Session, order_id: int) -> dict[str, Any]:
    """An order with its lines, for the screen. Four queries."""
    order = get(session, order_id)
    lines = lines_of(session, order_id)
    drugs = masterdata.drugs(session, [line.drug_id for line in lines])
    supplier = session.get(Supplier, order.supplier_id)
    columns = ("id", "number", "supplier_id", "store_id", "channel", "state", "platform_number", "amount", "note", "made_at",
               "made_by_name", "changed_at", "changed_by_name", "end_reason")
    items = []
    for line in lines:
        drug = drugs[line.drug_id]
        packs = (line.pack_size, drug.pack_unit, drug.base_unit)
        items.append({
            "id": line.id, "drug_id": line.drug_id, "code": drug.code, "name": drug.name, "spec": drug.spec,
            "manufacturer": drug.manufacturer, "pack_unit": drug.pack_unit, "base_unit": drug.base_unit,
            "pack_size": line.pack_size, "pack_cost": line.pack_cost, "quantity": line.quantity, "received": line.received,
            "open": line.quantity - line.received, "open_packs": (line.quantity - line.received) / line.pack_size,
            "quantity_text": show_quantity(line.quantity, *packs),
            "received_text": show_quantity(line.received, *packs),
            "amount": value(line.quantity, line.pack_cost, line.pack_size)})
    return {**{c: getattr(order, c) for c in columns}, "supplier_name": supplier.name if supplier else "",
            "state_name": rules.ORDER_STATES[order.state], "lines": items}
