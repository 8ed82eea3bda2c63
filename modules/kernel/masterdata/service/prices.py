"""Dated prices: a change begins on a day, the old price ends there, old bills keep theirs (FN-16)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, today
from his_server.errors import Conflict, NotFound, invalid
from his_server.security import audit
from modules.kernel.masterdata.models import ChargeItem, ChargeItemPrice, Drug, DrugPrice, DrugPriceLimit

OF: dict[str, tuple[type[Any], type[Any], str, str]] = {
    "charge_item": (ChargeItem, ChargeItemPrice, "item_id", "price"),
    "drug": (Drug, DrugPrice, "drug_id", "pack_price"),
}


def change_price(session: Session, actor: Actor, kind: str, owner_id: int, *, price: Decimal, valid_from: date,
                 reason: str) -> Any:
    """Set a price from a day on; ``kind`` charge_item (per unit) or drug (per pack). Returns the new period.

    :raises Invalid: the day is past. :raises Conflict: a later change is planned already, or somebody is faster.
    """
    model, price_model, owner, amount = OF[kind]
    row = session.get(model, owner_id)
    if row is None:
        raise NotFound("masterdata.none", "没有这个项目，请刷新后重试")
    if valid_from < today(session):
        raise invalid("valid_from", "调价日期不能早于今天：已收的费用不会改变")
    if kind == "drug" and (limit := drug_limit(session, owner_id, valid_from)) is not None and price > limit:
        raise invalid("price", f"超过限价 {limit.normalize():f} 元，不能调价", "masterdata.price_limit")
    # price changes of one item take turns on its revision
    if not portable.guarded_update(session, model, (model.id == owner_id) & (model.revision == row.revision),
                                   {"revision": row.revision + 1}):
        raise Conflict("masterdata.changed", "该项目刚被他人修改，请刷新后重试")
    last = session.scalar(select(price_model).where(getattr(price_model, owner) == owner_id)
                          .order_by(price_model.valid_from.desc()).limit(1))
    if last is not None and last.valid_from > valid_from:
        raise Conflict("masterdata.price_planned", f"已有 {last.valid_from} 起的调价，请先处理后再调")
    before = getattr(last, amount) if last is not None else None
    if last is not None and last.valid_from == valid_from:
        setattr(last, amount, price)
        last.reason, last.changed_by, last.changed_at = reason, actor.user_id, now(session)
        made = last
    else:
        if last is not None and (last.valid_to is None or last.valid_to > valid_from):
            last.valid_to = valid_from
        made = price_model(**{owner: owner_id, amount: price}, valid_from=valid_from, valid_to=None, reason=reason,
                           changed_by=actor.user_id, changed_at=now(session))
        session.add(made)
    session.flush()
    audit.record(session, actor, "price.change", kind, owner_id,
                 {"before": str(before), "after": str(price), "from": valid_from.isoformat(), "reason": reason})
    return made


def drug_limit(session: Session, drug_id: int, since: date) -> Decimal | None:
    """The lowest limit of a pack's price on a day or later; None: there is none (FN-16)."""
    return session.scalar(select(func.min(DrugPriceLimit.pack_price)).where(
        DrugPriceLimit.drug_id == drug_id, or_(DrugPriceLimit.valid_to.is_(None), DrugPriceLimit.valid_to > since)))


def set_drug_limit(session: Session, actor: Actor, drug_id: int, *, limit: Decimal, valid_from: date, reason: str
                   ) -> DrugPriceLimit:
    """Set a limit price per pack from a day on. A drug is never charged above its limit: its price from that day on
    must be within it first. :raises Invalid: past day. :raises Conflict: the price is above it, or a limit is planned."""
    row = session.get(Drug, drug_id)
    if row is None:
        raise NotFound("masterdata.none", "没有这个药品，请刷新后重试")
    if valid_from < today(session):
        raise invalid("valid_from", "限价日期不能早于今天")
    # limits and prices of one drug take turns on its revision
    if not portable.guarded_update(session, Drug, (Drug.id == drug_id) & (Drug.revision == row.revision),
                                   {"revision": row.revision + 1}):
        raise Conflict("masterdata.changed", "该药品刚被他人修改，请刷新后重试")
    above = session.scalars(select(DrugPrice).where(
        DrugPrice.drug_id == drug_id, DrugPrice.pack_price > limit,
        or_(DrugPrice.valid_to.is_(None), DrugPrice.valid_to > valid_from))).first()
    if above is not None:
        raise Conflict("masterdata.above_limit", f"现价 {above.pack_price.normalize():f} 元高于限价，请先调价再登记限价")
    last = session.scalars(select(DrugPriceLimit).where(DrugPriceLimit.drug_id == drug_id)
                           .order_by(DrugPriceLimit.valid_from.desc()).limit(1)).first()
    if last is not None and last.valid_from >= valid_from:
        raise Conflict("masterdata.limit_planned", f"已有 {last.valid_from} 起的限价，请先处理")
    if last is not None and last.valid_to is None:
        last.valid_to = valid_from
    made = DrugPriceLimit(drug_id=drug_id, pack_price=limit, valid_from=valid_from, valid_to=None, reason=reason,
                          changed_by=actor.user_id)
    session.add(made)
    session.flush()
    audit.record(session, actor, "price.limit", "drug", drug_id, {"limit": str(limit), "from": valid_from.isoformat()})
    return made
