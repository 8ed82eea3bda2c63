"""Our side of the reconciliation: what the insurer settled and reversed, by the day it dates it (N4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from his_server.clock import day_bounds, local
from his_server.db import of
from modules.insurance_office.rules import Row
from modules.kernel.charging import rules
from modules.kernel.charging.models import InsuranceClaim, Intent

SETTLED = ("confirmed", "used", "reversed")
"""States of an intent whose settlement is, or was, in the insurer's books."""
_AMOUNTS = ("total", "fund", "account", "cash", "hospital")


def rows_of(session: Session, begin: date, end: date, scope: tuple[str, str, str] | None = None) -> list[Row]:
    """Every settlement of these days, and every reversal as a row of its own with negative amounts; two queries.

    A settlement that was undone before it was booked is in the insurer's books twice, so it is here twice. What the mobile
    payment platform settled is here where the centre counts it too (:attr:`MobilePort.in_statements`).
    """
    mobile = of(session).ports.get(rules.MOBILE)
    channels = rules.INSURERS if mobile is not None and mobile.in_statements else (rules.INSURER,)
    first, after = day_bounds(begin)[0], day_bounds(end)[1]
    claim, back = InsuranceClaim, aliased(Intent)
    columns = (claim.id, claim.insurance, claim.clearing, claim.agency, claim.area, claim.peer_visit, claim.peer_settled_at,
               claim.peer_reversed_at, *(getattr(claim, name) for name in _AMOUNTS))
    made = select(*columns, Intent.peer_number).join(Intent, Intent.id == claim.intent_id).where(
        claim.peer_settled_at >= first, claim.peer_settled_at < after, Intent.channel.in_(channels),
        Intent.state.in_(SETTLED)).order_by(claim.id)
    undone = (select(*columns, back.peer_number).join(back, back.returns_intent_id == claim.intent_id).where(
        claim.peer_reversed_at >= first, claim.peer_reversed_at < after, back.purpose == "uninsure",
        back.channel.in_(channels),
        back.state.in_(("confirmed", "used"))).order_by(claim.id))
    found = [*_rows(session.execute(made), refund=False), *_rows(session.execute(undone), refund=True)]
    return [row for row in found if scope is None or row.scope == scope]


def _rows(found: Any, *, refund: bool) -> Iterator[Row]:
    sign = -1 if refund else 1
    for one in found:
        at = one.peer_reversed_at if refund else one.peer_settled_at
        yield Row(one.id, one.insurance, one.clearing, one.agency or one.area, local(at).date(), refund,
                  *(sign * getattr(one, name) for name in _AMOUNTS), one.peer_number or "", one.peer_visit or "")
