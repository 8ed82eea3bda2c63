"""The daily report of what could not be pre-settled, settled or reversed with the insurer (M5.3)."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.clock import day_bounds
from his_server.money import ZERO
from modules.insurance_office import rules
from modules.kernel.charging.models import ChargeLine, InsuranceClaim, Intent, IntentTry
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name

ACTS = {"preview": "预结算", "settle": "结算", "reverse": "撤销", "query": "查询"}
_NOW = {"used": "已医保结算", "confirmed": "医保已结算，待入账", "reversed": "已撤销医保", "unknown": "结果未明",
        "calling": "处理中"}
_LINE = {"open": "费用待缴", "settled": "已收费", "void": "费用已作废"}


def failures(session: Session, *, day: date, end: date, act: str | None, cause: str | None, limit: int, after: str | None
             ) -> dict[str, Any]:
    """Refused and unanswered calls of these days, newest first, with what became of the bill since; two queries."""
    first, last = day_bounds(day)[0], day_bounds(end)[1]
    acts = (act,) if act else ("preview", "settle", "reverse")
    found: Any = (
        select(IntentTry, Intent, InsuranceClaim, Person.name, Person.outpatient_no)
        .join(Intent, Intent.id == IntentTry.intent_id)
        .outerjoin(InsuranceClaim, InsuranceClaim.intent_id == Intent.id)
        .join(Person, Person.id == Intent.person_id)
        .where(IntentTry.at >= first, IntentTry.at < last, IntentTry.outcome.in_(("refused", "unknown")),
               Intent.purpose.in_(("insure", "uninsure")), IntentTry.act.in_(acts)))
    if cause == "unknown":
        found = found.where(IntentTry.outcome == "unknown")
    elif cause is not None:
        found = found.where(IntentTry.outcome == "refused", IntentTry.cause == cause)
    cursor = portable.decode_cursor(after) if after else None
    rows = session.execute(portable.keyset(found, [(IntentTry.at, "desc"), (IntentTry.id, "desc")], cursor, limit + 1)).all()
    more, rows = len(rows) > limit, rows[:limit]
    bills = {row.InsuranceClaim.id: json.loads(row.InsuranceClaim.plan)["line_ids"] for row in rows
             if row.InsuranceClaim is not None}
    lines = {line.id: line for line in session.execute(
        select(ChargeLine.id, ChargeLine.state, ChargeLine.amount)
        .where(ChargeLine.id.in_({key for keys in bills.values() for key in keys})))} if bills else {}
    tail = rows[-1].IntentTry if more else None
    return {"items": [_item(row, [lines[key] for key in bills.get(row.InsuranceClaim.id, ())]
                            if row.InsuranceClaim is not None else []) for row in rows],
            "next": portable.encode_cursor((tail.at, tail.id)) if tail else None}


def _item(row: Any, lines: list[Any]) -> dict[str, Any]:
    """A row; the amount is the bill's where the insurer has said nothing of it yet."""
    line = lines[0].state if lines else None
    attempt, intent, claim = row.IntentTry, row.Intent, row.InsuranceClaim
    again = intent.state in ("calling", "unknown") or (attempt.act == "preview" and line == "open" and intent.state == "refused")
    return {
        "id": attempt.id, "at": attempt.at, "act": attempt.act, "outcome": attempt.outcome, "cause": attempt.cause or "",
        "cause_name": rules.cause_name(attempt.cause, attempt.outcome), "message": attempt.message,
        "by_name": attempt.by_name, "intent_id": intent.id, "number": intent.number, "person_id": intent.person_id,
        "name": mask_name(row.name), "outpatient_no": row.outpatient_no,
        "total": (claim.total or sum((one.amount for one in lines), ZERO)) if claim is not None else intent.amount,
        "insurance": claim.insurance if claim is not None else None,
        "now": _NOW.get(intent.state) or _LINE.get(line or "", "未结算"), "retry": again}
