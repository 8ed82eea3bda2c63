"""Lists of insurance claims, their refunds and of calls outside that nobody answered; each pages by key."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.db import now
from his_server.errors import NotFound
from modules.kernel.charging import rules
from modules.kernel.charging.models import InsuranceClaim, Intent, IntentTry, Payment, RefundCase, Settlement
from modules.kernel.charging.service import intents
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name

WAYS_ON = {
    "pay": "查询结果；对方确认未付款后病人重新付款，已付款则用于收费或原路退回",
    "refund": "查询结果；被拒绝的，与渠道核实后重新发送，或线下退还后认定成功",
    "insure": "查询结果；医保已结算的自动办完或撤销，未结算的可重新预结算",
    "uninsure": "查询结果；被拒绝的，到医保中心办理后认定成功，或重新发送",
    "issue": "查询结果；平台没有的自动重开，被拒绝的改正后重新发送",
    "red": "查询结果；平台没有的自动重发，被拒绝的改正后重新发送",
    "paper": "查询结果；平台没有的可重新换开",
    "unpaper": "查询结果；平台未作废的可再次作废",
}


def claim(session: Session, claim_id: int) -> tuple[InsuranceClaim, Intent]:
    """A claim and its intent. :raises NotFound: there is none."""
    row = session.execute(select(InsuranceClaim, Intent).join(Intent, Intent.id == InsuranceClaim.intent_id)
                          .where(InsuranceClaim.id == claim_id)).first()
    if row is None:
        raise NotFound("insurance.claim", "没有这笔医保结算，请重新预结算")
    return row.InsuranceClaim, row.Intent


def case(session: Session, case_id: int) -> dict[str, Any]:
    """A refund of an insured settlement: how far it is, and once it is booked what went where; three queries."""
    row = session.execute(
        select(RefundCase, Settlement.number, Settlement.total)
        .outerjoin(Settlement, Settlement.id == RefundCase.refund_id).where(RefundCase.id == case_id)).first()
    if row is None:
        raise NotFound("insurance.case", "没有这笔医保退费，请刷新后重试")
    found: RefundCase = row.RefundCase
    sums = dict(session.execute(
        select(Payment.method, func.sum(Payment.amount)).where(Payment.settlement_id == found.refund_id)
        .group_by(Payment.method)).all()) if found.refund_id else {}
    sent = list(session.scalars(select(Intent.id).where(
        Intent.settlement_id == found.refund_id, Intent.purpose == "refund"))) if found.refund_id else []
    insured = [sums[method] for method in rules.INSURED if method in sums]
    return {**{c: getattr(found, c) for c in ("id", "settlement_id", "state", "message", "due", "refund_id",
                                              "opened_by_name", "opened_at")},
            "number": row.number, "total": None if row.total is None else -row.total,
            "cash": -sums["cash"] if "cash" in sums else None, "insurance": -sum(insured) if insured else None,
            "intent_ids": sent}


def _item(row: Any) -> dict[str, Any]:
    found: Intent = row.Intent
    return {**{c: getattr(found, c) for c in ("id", "number", "purpose", "channel", "amount", "state", "message", "tries",
                                              "person_id", "created_at", "created_by_name", "owner_name", "changed_at")},
            "name": mask_name(row.name), "outpatient_no": row.outpatient_no, "way_on": WAYS_ON[found.purpose]}


def worklist(session: Session, *, purpose: str | None, owner_id: int | None, limit: int, after: str | None
             ) -> dict[str, Any]:
    """Calls outside that need somebody, longest waiting first; one query."""
    statement: Any = (select(Intent, Person.name, Person.outpatient_no).join(Person, Person.id == Intent.person_id)
                      .where(intents.needs_somebody(now(session))))
    if purpose is not None:
        statement = statement.where(Intent.purpose == purpose)
    if owner_id is not None:
        statement = statement.where(Intent.owner_id == owner_id)
    cursor = portable.decode_cursor(after) if after else None
    rows = session.execute(portable.keyset(
        statement, [(Intent.changed_at, "asc"), (Intent.id, "asc")], cursor, limit + 1)).all()
    more = len(rows) > limit
    last = rows[limit - 1].Intent if more else None
    return {"items": [_item(row) for row in rows[:limit]],
            "next": portable.encode_cursor((last.changed_at, last.id)) if last else None}


def intent(session: Session, intent_id: int) -> dict[str, Any]:
    """A call outside with everything that was tried; two queries. :raises NotFound: there is none."""
    row = session.execute(select(Intent, Person.name, Person.outpatient_no).join(Person, Person.id == Intent.person_id)
                          .where(Intent.id == intent_id)).first()
    if row is None:
        raise NotFound("payment.not_found", "没有这笔流水，请刷新后重试")
    tries = session.scalars(select(IntentTry).where(IntentTry.intent_id == intent_id).order_by(IntentTry.at, IntentTry.id)
                            .limit(200))
    found: Intent = row.Intent
    return {**_item(row), "attempts": list(tries), **{c: getattr(found, c) for c in (
        "settlement_id", "peer_number", "decision", "decided_by_name", "decided_at")}}
