"""The least and the most that a store wants to have of a drug."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, of
from his_server.errors import FieldError, Invalid
from his_server.security import audit
from modules.kernel.stock.models import StockLevel


def set_levels(session: Session, actor: Actor, store_id: int, levels: Sequence[tuple[int, Decimal, Decimal]]) -> int:
    """Set levels: (drug, least, most) in smallest units; one statement. :raises Invalid: the most is under the least."""
    errors = [FieldError(f"levels.{i}.most", "上限不能小于下限") for i, (_, least, most) in enumerate(levels) if most < least]
    if errors:
        raise Invalid("stock.levels", "上下限有误，请修改", errors)
    at = now(session)
    done = portable.upsert(session, StockLevel, [
        {"id": key, "store_id": store_id, "drug_id": drug, "least": least, "most": most, "changed_at": at,
         "changed_by_name": actor.name}
        for key, (drug, least, most) in zip(of(session).keys.take(len(levels)), levels, strict=True)],
        ["store_id", "drug_id"], ["least", "most", "changed_at", "changed_by_name"])
    audit.record(session, actor, "stock.levels", "store", store_id, {"drugs": len(levels)})
    return done
