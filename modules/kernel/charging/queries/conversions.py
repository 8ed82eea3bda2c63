"""What a conversion from self-paid to insured looks like to whoever runs it (N1, N2)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.errors import NotFound
from modules.kernel.charging import rules
from modules.kernel.charging.models import (
    Conversion,
    InsuranceClaim,
    Intent,
    Payment,
    Receipt,
    Settlement,
)
from modules.kernel.charging.service import converting, insured


def conversion(session: Session, conversion_id: int, *, to_jiao: bool) -> dict[str, Any]:
    """How far a conversion is, who pays how much, and what goes back where; four queries."""
    row = session.execute(
        select(Conversion, InsuranceClaim, Intent, Settlement.number.label("of_number"))
        .join(InsuranceClaim, InsuranceClaim.id == Conversion.claim_id).join(Intent, Intent.id == InsuranceClaim.intent_id)
        .join(Settlement, Settlement.id == Conversion.settlement_id).where(Conversion.id == conversion_id)).first()
    if row is None:
        raise NotFound("conversion.none", "没有这笔自费转医保，请刷新后重试")
    found, claim = row.Conversion, row.InsuranceClaim
    covered = insured.split_of(claim).covered
    booked = session.get(Settlement, found.booked_id) if found.booked_id else None
    return {
        **{name: getattr(found, name) for name in ("id", "settlement_id", "state", "channel", "opened_by_name",
                                                   "opened_at")},
        **{name: getattr(claim, name) for name in insured.AMOUNTS}, "insurance": claim.insurance,
        "message": found.message or row.Intent.message, "of_number": row.of_number,
        "number": booked.number if booked else None, "booked_id": found.booked_id, "back": covered,
        "returns": _booked_returns(session, booked.id) if booked else _planned(session, found.settlement_id, covered, to_jiao),
        "receipt_numbers": list(session.scalars(select(Receipt.number).where(
            Receipt.settlement_id == found.booked_id, Receipt.colour == "blue").order_by(Receipt.id))) if booked else []}


def _booked_returns(session: Session, booked_id: int) -> list[dict[str, Any]]:
    rows = session.execute(
        select(Payment.method, Payment.amount, Intent.state).outerjoin(Intent, Intent.id == Payment.intent_id)
        .where(Payment.settlement_id == booked_id, Payment.amount < 0, Payment.returns_payment_id.is_not(None),
               Payment.method != rules.ROUNDING).order_by(Payment.id))
    return [{"method": r.method, "amount": -r.amount, "state": r.state or "paid"} for r in rows]


def _planned(session: Session, settlement_id: int, covered: Decimal, to_jiao: bool) -> list[dict[str, Any]]:
    """By the ledger's own rule, so that what the patient consents to is what happens."""
    rows = converting.returns(session, settlement_id, covered, to_jiao=to_jiao)
    return [{"method": r.method, "amount": r.amount, "state": "planned"} for r in rows]
