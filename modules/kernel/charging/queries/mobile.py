"""The insurer's mobile orders: the list, newest first, and one of them (H5)."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from modules.kernel.charging import rules
from modules.kernel.charging.models import InsuranceClaim, Intent, Receipt, Settlement
from modules.kernel.charging.ports import CONFIRMED
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name

_OPEN = ("created", "calling", "unknown", CONFIRMED)
_AMOUNTS = ("total", "fund", "account", "cash")


def mobile_orders(session: Session, *, person_id: int | None, open: bool, limit: int, after: str | None) -> dict[str, Any]:
    """Mobile orders; one query."""
    statement: Any = (
        select(InsuranceClaim, Intent, Person.name, Person.outpatient_no, Settlement.number.label("settlement_number"))
        .join(InsuranceClaim, InsuranceClaim.intent_id == Intent.id).join(Person, Person.id == Intent.person_id)
        .outerjoin(Settlement, Settlement.id == InsuranceClaim.settlement_id)
        .where(Intent.channel == rules.MOBILE, Intent.purpose == "insure"))
    if person_id is not None:
        statement = statement.where(Intent.person_id == person_id)
    if open:
        statement = statement.where(Intent.state.in_(_OPEN))
    cursor = portable.decode_cursor(after) if after else None
    rows = session.execute(portable.keyset(statement, [(Intent.id, "desc")], cursor, limit + 1)).all()
    last = rows[limit - 1].Intent if len(rows) > limit else None
    return {"items": [{
        "id": r.InsuranceClaim.id, "intent_id": r.Intent.id, "number": r.Intent.number, "state": r.Intent.state,
        "message": r.Intent.message, "person_id": r.Intent.person_id, "name": mask_name(r.name),
        "outpatient_no": r.outpatient_no, **{name: getattr(r.InsuranceClaim, name) for name in _AMOUNTS},
        "made_at": r.InsuranceClaim.made_at, "changed_at": r.Intent.changed_at,
        "settlement_number": r.settlement_number} for r in rows[:limit]],
        "next": portable.encode_cursor((last.id,)) if last else None}


def mobile_order(session: Session, number: str) -> dict[str, Any] | None:
    """An order by our number, with the terminal that it was opened at; two queries."""
    row = session.execute(
        select(InsuranceClaim, Intent, Settlement.number.label("settlement_number"))
        .join(InsuranceClaim, InsuranceClaim.intent_id == Intent.id)
        .outerjoin(Settlement, Settlement.id == InsuranceClaim.settlement_id)
        .where(Intent.number == number, Intent.channel == rules.MOBILE, Intent.purpose == "insure")).first()
    if row is None:
        return None
    claim = row.InsuranceClaim
    receipts = list(session.scalars(select(Receipt.number).where(
        Receipt.settlement_id == claim.settlement_id).order_by(Receipt.id))) if claim.settlement_id else []
    return {"id": claim.id, "number": row.Intent.number, "state": row.Intent.state, "message": row.Intent.message,
            **{name: getattr(claim, name) for name in _AMOUNTS}, "settlement_number": row.settlement_number,
            "receipt_numbers": receipts, "terminal": json.loads(claim.plan).get("actor", {}).get("terminal", "")}
