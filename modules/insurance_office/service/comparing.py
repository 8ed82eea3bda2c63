"""Comparing a statement with the insurer's books (3201, 3202) and what is done about each difference (N4, YB-03).

Implements: N4, YB-03

Sums first; only where they differ, row by row. What only the centre has is never reversed by a program alone: one person
proposes it, another approves, then the centre is asked and the message reversed (2601).
"""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import Database, now, of
from his_server.errors import Conflict, Forbidden, NotFound, Unavailable
from his_server.security import audit
from modules.insurance_office import rules
from modules.insurance_office.models import Difference, Statement
from modules.insurance_office.queries.ledger import rows_of
from modules.insurance_office.service.statements import _get, _read, told
from modules.kernel.charging.models import InsuranceClaim
from modules.kernel.charging.ports import (
    CONFIRMED,
    REFUSED,
    CentreRow,
    ReconciliationPort,
    SettledRow,
)

log = logging.getLogger("his.insurance")

PORT = "insurance:reconciliation"
"""Port: :class:`modules.kernel.charging.ports.ReconciliationPort`."""


def port(database: Database) -> ReconciliationPort:
    """The insurer's adapter. :raises Unavailable: none is bound."""
    found: ReconciliationPort | None = database.ports.get(PORT)
    if found is None:
        raise Unavailable("reconciliation.none", "医保对账接口未开通，请联系信息科")
    return found


def compare(database: Database, actor: Actor, statement_id: int) -> Statement:
    """Compare an uploaded statement: ``matched``, or ``diff`` with a row for each difference. May be repeated.

    Nothing is decided where the centre doesn't answer. :raises Conflict: it isn't uploaded, or the centre refuses.
    """
    adapter = port(database)
    found = _read(database, statement_id)
    if found.state not in ("uploaded", "matched", "diff") or found.pending:
        raise Conflict("statement.compare", "只有已上传、未确认的对账单可以对账，请刷新查看")
    scope, totals = told(found)
    sums = _asked(lambda: adapter.totals(scope, totals))
    ours: dict[tuple[str, bool], tuple[int, SettledRow]] = {}
    theirs: tuple[CentreRow, ...] = ()
    if not sums.even:
        with database.begin(write=False) as session:
            ours = _settled(session, found)
        theirs = _asked(lambda: adapter.details(scope, totals, [row for _, row in ours.values()])).rows
    with database.begin() as session:
        session.info["actor"] = actor
        _keep(session, found, ours, [row for row in theirs if row.result != "0"])
        message = "" if sums.even or theirs else f"总账不平，明细没有差异，请联系医保中心：{sums.message}"
        if not portable.guarded_update(
                session, Statement, (Statement.id == statement_id) & Statement.state.in_(("uploaded", "matched", "diff"))
                & Statement.pending.is_(None), {
                    "state": "matched" if sums.even else "diff", "compared_at": now(session), "changed_at": now(session),
                    "changed_by_name": actor.name, "message": (message or sums.message)[:200] or None}):
            raise Conflict("statement.compare", "对账期间该对账单已由他人处理，请刷新查看")
        audit.record(session, actor, "statement.compare", "insurance_statement", statement_id,
                     {"number": found.number, "even": bool(sums.even), "rows": len(theirs)})
    return _read(database, statement_id)


def _asked(call: Any) -> Any:
    try:
        answer = call()
    except Exception as error:
        log.warning("reconciliation without an answer: %s", type(error).__name__)
        raise Unavailable("reconciliation.no_answer", "医保中心没有应答，请稍后重新对账") from error
    if answer.state != CONFIRMED:
        raise Conflict("reconciliation.refused", f"医保中心没有完成对账：{answer.message}")
    return answer


def _settled(session: Session, found: Statement) -> dict[tuple[str, bool], tuple[int, SettledRow]]:
    """The rows of a statement as the insurer wants them, by its number and whether they are refunds; claim ids beside."""
    rows = rows_of(session, found.begin_day, found.end_day, (found.insurance, found.clearing, found.agency))
    ids = sorted({row.claim_id for row in rows})
    members: dict[int, str] = {}
    for start in range(0, len(ids), 500):
        members |= {one.id: one.member_no or "" for one in session.scalars(
            select(InsuranceClaim).where(InsuranceClaim.id.in_(ids[start:start + 500])))}
    return {(row.peer_number, row.refund): (row.claim_id, SettledRow(
        row.peer_number, row.peer_visit, members[row.claim_id], row.refund, row.total, row.fund, row.account)) for row in rows}


def _keep(session: Session, found: Statement, ours: dict[tuple[str, bool], tuple[int, SettledRow]], theirs: list[CentreRow]
          ) -> None:
    """Write down new differences; those that are gone are so; those somebody decided stay decided."""
    known = {(one.kind, one.peer_key): one for one in session.scalars(
        select(Difference).where(Difference.statement_id == found.id))}
    seen = set()
    for row in theirs:
        claim_id, mine = ours.get((row.peer_number, row.refund)) or ours.get((row.peer_number, not row.refund)) or (None, None)
        kind = rules.kind_of(mine, row)
        key = row.message_id if kind == rules.CENTRE_ONLY else row.peer_number
        seen.add((kind, key))
        one = known.get((kind, key))
        if one is None:
            one = Difference(id=of(session).keys.next(), statement_id=found.id, kind=kind, peer_key=key, state="open",
                             found_at=now(session))
            one.member_no = row.member_no or (mine.member_no if mine else "")
            session.add(one)
        elif one.state == "gone":
            one.state = "open"
        one.claim_id, one.peer_number, one.peer_visit = claim_id, row.peer_number, row.peer_visit
        one.message_id, one.refund, one.memo = row.message_id, row.refund, row.memo[:200]
        if mine is not None:
            one.our_total, one.our_fund, one.our_account = mine.total, mine.fund, mine.account
        if kind != rules.HOSPITAL_ONLY:
            one.their_total, one.their_fund, one.their_account = row.total, row.fund, row.account
    for key, one in known.items():
        if key not in seen and one.state in ("open", "proposed"):
            one.state = "gone"
    session.flush()


# What is done about a difference


def propose(session: Session, actor: Actor, difference_id: int, *, reason: str) -> Difference:
    """Propose to have reversed what only the centre has (query, then 2601). Another person has to approve it."""
    found = _difference(session, difference_id)
    if found.kind != rules.CENTRE_ONLY or not found.message_id or found.refund:
        raise Conflict("difference.not_reversible", "只有中心多出且带报文号的结算可以申请冲正，其他差异请核实后登记处理结果")
    if not portable.guarded_update(session, Difference, (Difference.id == difference_id) & (Difference.state == "open"), {
            "state": "proposed", "reason": reason, "proposed_by": actor.user_id, "proposed_by_name": actor.name}):
        raise _done(found)
    audit.record(session, actor, "difference.propose", "insurance_difference", difference_id, {"reason": reason})
    session.refresh(found)
    return found


def decline(session: Session, actor: Actor, difference_id: int, *, reason: str) -> Difference:
    """Don't reverse it: the difference is open again."""
    found = _difference(session, difference_id)
    if not portable.guarded_update(session, Difference, (Difference.id == difference_id) & (Difference.state == "proposed"), {
            "state": "open", "message": f"{actor.name} 未同意冲正：{reason}"[:200], "proposed_by": None,
            "proposed_by_name": None}):
        raise _done(found)
    audit.record(session, actor, "difference.decline", "insurance_difference", difference_id, {"reason": reason})
    session.refresh(found)
    return found


def open_approval(session: Session, actor: Actor, difference_id: int) -> Difference:
    """Approve another person's proposal, to be committed before :func:`approve`. :raises Forbidden: one's own proposal."""
    port(of(session))
    found = _difference(session, difference_id)
    if found.proposed_by == actor.user_id:
        raise Forbidden("difference.own", "不能审批自己提出的冲正，请由他人审批")
    if not portable.guarded_update(
            session, Difference, (Difference.id == difference_id) & Difference.state.in_(("proposed", "reversing")), {
                "state": "reversing", "number": f"DZ{difference_id}", "decided_by": actor.user_id,
                "decided_by_name": actor.name, "decided_at": now(session)}):
        raise _done(found)
    audit.record(session, actor, "difference.approve", "insurance_difference", difference_id,
                 {"message_id": found.message_id})
    return found


def approve(database: Database, actor: Actor, difference_id: int) -> Difference:
    """The centre is asked what the message made, and it is reversed. Harmless to repeat where the answer got lost; what is
    settled stays so."""
    adapter = port(database)
    with database.begin(write=False) as session:
        found = _difference(session, difference_id)
        member_no, message_id, refund, number = found.member_no or "", found.message_id, found.refund, found.number or ""
        session.expunge(found)
    if found.state != "reversing":
        return found
    try:
        answer = adapter.undo_stray(number, member_no, message_id, refund=refund)
        state, message = answer.state, answer.message
    except Exception as error:
        log.warning("reversal of a stray without an answer: %s", type(error).__name__)
        state, message = "unknown", "医保中心没有应答，请稍后再次执行冲正（不会重复冲正）"
    with database.begin() as session:
        session.info["actor"] = actor
        after = {CONFIRMED: "settled", REFUSED: "open"}.get(state, "reversing")
        portable.guarded_update(session, Difference, (Difference.id == difference_id) & (Difference.state == "reversing"),
                                {"state": after, "message": message[:200]})
        kept = _difference(session, difference_id)
        session.refresh(kept)
        session.expunge(kept)
        return kept


def resolve(session: Session, actor: Actor, difference_id: int, *, reason: str) -> Difference:
    """Say how a difference was settled by other means (another day's statement, by hand at the centre)."""
    found = _difference(session, difference_id)
    if not portable.guarded_update(session, Difference, (Difference.id == difference_id) & (Difference.state == "open"), {
            "state": "settled", "reason": reason, "decided_by": actor.user_id, "decided_by_name": actor.name,
            "decided_at": now(session)}):
        raise _done(found)
    audit.record(session, actor, "difference.resolve", "insurance_difference", difference_id, {"reason": reason})
    session.refresh(found)
    return found


def _difference(session: Session, difference_id: int) -> Difference:
    found = session.get(Difference, difference_id)
    if found is None:
        raise NotFound("difference.none", "没有这条差异，请刷新后重试")
    _get(session, found.statement_id)
    return found


def _done(found: Difference) -> Conflict:
    who = found.decided_by_name or found.proposed_by_name or "他人"
    when = f" 于 {local(found.decided_at):%m-%d %H:%M}" if found.decided_at else ""
    return Conflict("difference.state", f"该差异已由 {who}{when} 处理，请刷新查看")
