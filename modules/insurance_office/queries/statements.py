"""Lists of statements and of what the books differ in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.errors import NotFound
from his_server.module import Finding
from modules.insurance_office import rules
from modules.insurance_office.models import Difference, Statement
from modules.insurance_office.queries.ledger import rows_of
from modules.kernel.charging.models import InsuranceClaim
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name

FIGURES = ("total", "fund", "account", "cash", "hospital", "entries", "refunds")
_HEAD = ("id", "number", "monthly", "begin_day", "end_day", "insurance", "clearing", "agency", "revision", "state",
         "pending", *FIGURES, "handover_no", "message", "changed_at", "changed_by_name", "compared_at", "confirmed_at")
_ROW = ("id", "statement_id", "kind", "peer_number", "peer_visit", "message_id", "refund", "our_total", "our_fund",
        "our_account", "their_total", "their_fund", "their_account", "memo", "state", "reason", "message", "found_at",
        "proposed_by_name", "decided_by_name", "decided_at")


def statements(session: Session, *, monthly: bool, begin: date, end: date, state: str | None, limit: int, after: str | None
               ) -> dict[str, Any]:
    """Statements of these days, newest first, with how many differences are open; two queries."""
    found: Any = select(Statement).where(Statement.monthly == int(monthly), Statement.begin_day >= begin,
                                         Statement.begin_day <= end)
    found = found.where(Statement.state == state) if state else found.where(Statement.live == 1)
    cursor = portable.decode_cursor(after) if after else None
    rows = list(session.scalars(portable.keyset(
        found, [(Statement.begin_day, "desc"), (Statement.id, "desc")], cursor, limit + 1)))
    last = rows[limit - 1] if len(rows) > limit else None
    open_ = dict(session.execute(
        select(Difference.statement_id, func.count()).where(
            Difference.statement_id.in_([row.id for row in rows]), Difference.state.in_(("open", "proposed", "reversing")))
        .group_by(Difference.statement_id)).all())
    return {"items": [{**{c: getattr(row, c) for c in _HEAD}, "differences": open_.get(row.id, 0)} for row in rows[:limit]],
            "next": portable.encode_cursor((last.begin_day, last.id)) if last else None}


def statement(session: Session, statement_id: int) -> dict[str, Any]:
    """A statement with its differences; three queries. :raises NotFound: there is none."""
    found = session.get(Statement, statement_id)
    if found is None:
        raise NotFound("statement.none", "没有这张对账单，请刷新后重试")
    rows = _differences(session, select(Difference).where(Difference.statement_id == statement_id)
                        .order_by(Difference.id).limit(1000))
    return {**{c: getattr(found, c) for c in _HEAD}, "items": rows,
            "differences": sum(row["state"] in ("open", "proposed", "reversing") for row in rows)}


def differences(session: Session, *, state: str, limit: int, after: str | None) -> dict[str, Any]:
    """The worklist of differences in a state, oldest first; two queries."""
    wanted = ("open", "proposed", "reversing") if state == "todo" else (state,)
    found: Any = select(Difference).where(Difference.state.in_(wanted))
    cursor = portable.decode_cursor(after) if after else None
    rows = _differences(session, portable.keyset(found, [(Difference.id, "asc")], cursor, limit + 1))
    return {"items": rows[:limit], "next": portable.encode_cursor((rows[limit - 1]["id"],)) if len(rows) > limit else None}


def _differences(session: Session, found: Any) -> list[dict[str, Any]]:
    rows = list(session.scalars(found))
    heads = {row.id: row for row in session.execute(
        select(Statement.id, Statement.number, Statement.begin_day).where(
            Statement.id.in_({row.statement_id for row in rows})))} if rows else {}
    people = {row.id: row for row in session.execute(
        select(InsuranceClaim.id, Person.name, Person.outpatient_no).join(Person, Person.id == InsuranceClaim.person_id)
        .where(InsuranceClaim.id.in_({row.claim_id for row in rows if row.claim_id})))} if rows else {}
    return [{**{c: getattr(row, c) for c in _ROW}, "statement_number": heads[row.statement_id].number,
             "day": heads[row.statement_id].begin_day,
             "name": mask_name(people[row.claim_id].name) if row.claim_id in people else None,
             "outpatient_no": people[row.claim_id].outpatient_no if row.claim_id in people else None} for row in rows]


def days_missing(session: Session, begin: date, end: date, scope: tuple[str, str, str]) -> list[date]:
    """Days of a scope that have settlements and no confirmed statement; three queries."""
    days = {row.day for row in rows_of(session, begin, end, scope)}
    insurance, clearing, agency = scope
    confirmed = set(session.scalars(select(Statement.begin_day).where(
        Statement.monthly == 0, Statement.begin_day >= begin, Statement.begin_day <= end, Statement.state == "confirmed",
        Statement.insurance == insurance, Statement.clearing == clearing, Statement.agency == agency)))
    return sorted(days - confirmed)


def drifted(session: Session) -> Iterator[Finding]:
    """Confirmed daily statements say what the ledger says of their day, and months what their days say."""
    days: dict[tuple[Any, ...], list[Statement]] = defaultdict(list)
    for found in session.scalars(select(Statement).where(Statement.state == "confirmed").order_by(Statement.monthly)):
        scope = found.insurance, found.clearing, found.agency
        if found.monthly:
            parts = [d for d in days[scope] if found.begin_day <= d.begin_day <= found.end_day]
            now = {name: sum(getattr(part, name) for part in parts) for name in FIGURES}
        else:
            days[scope].append(found)
            sums = rules.totals(rows_of(session, found.begin_day, found.end_day, scope))
            now = {name: getattr(sums, "count" if name == "entries" else name) for name in FIGURES}
        wrong = [f"{name} {getattr(found, name)}，现为 {value}" for name, value in now.items() if value != getattr(found, name)]
        if wrong:
            yield Finding("insurance_office.statement", found.number, "确认后的对账单与账不符：" + "；".join(wrong))
