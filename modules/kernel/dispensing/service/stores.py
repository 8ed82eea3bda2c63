"""How a store works: its declared rule, or the strict one where nothing is declared."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.clock import local
from his_server.db import now
from modules.kernel.dispensing import rules
from modules.kernel.dispensing.models import StoreRule

_RULE = StoreRule.__table__.c
_HOURS = select(_RULE.store_id, _RULE.opens, _RULE.closes).where(_RULE.opens != "")
_OF_STORE = select(*_RULE).where(_RULE.store_id == bindparam("b_store"))


def rule_of(session: Session, store_id: int) -> StoreRule:
    """The store's rule, to read; where none is declared a strict one (everything reviewed, no night window)."""
    session.flush()
    for row in portable.fetch(session.connection(), _OF_STORE, {"b_store": store_id}):
        return StoreRule(**row._asdict())
    return StoreRule(store_id=store_id, review_first=True, return_review=True, night_start="", night_end="",
                     night_amount=Decimal("0.00"), opens="", closes="", changed_at=now(session), changed_by_name="")


def closed_now(session: Session) -> set[int]:
    """Stores outside of their hours at this moment (M7.8): nothing new is sent there."""
    at = local(now(session)).time()
    session.flush()
    hours = portable.fetch(session.connection(), _HOURS, {})
    return {row.store_id for row in hours if row.closes and not rules.within(at, row.opens, row.closes)}
