"""Dated prices: a change begins on a day, the old price ends there, old bills keep theirs (FN-16)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, today
from his_server.errors import Conflict, NotFound, invalid
from his_server.security import audit
from modules.kernel.masterdata.models import ChargeItem, ChargeItemPrice, Drug, DrugPrice

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
