"""Daily and monthly statements: made from the ledger, handed in, confirmed, taken back (N4).

Implements: N4

A call to the centre is written down (``pending``) before it is made; the centre knows a statement by its number, so a
repeat does nothing twice, and what got lost is asked for by the recovery or by hand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.clock import local
from his_server.db import Database, now, of, today, unless_taken
from his_server.errors import Conflict, Invalid, NotFound, Unavailable
from his_server.security import audit
from modules.insurance_office import rules
from modules.insurance_office.models import Difference, Statement
from modules.insurance_office.queries.ledger import rows_of
from modules.insurance_office.queries.statements import days_missing
from modules.kernel.charging.ports import (
    CONFIRMED,
    REFUSED,
    UNKNOWN,
    Outcome,
    Scope,
    StatementPort,
    Totals,
)

log = logging.getLogger("his.insurance")

PORT = "insurance:statement"
"""Port: :class:`modules.kernel.charging.ports.StatementPort`."""
OPEN = ("open", "proposed", "reversing")
STALE = timedelta(seconds=60)
_AFTER = {"upload": "uploaded", "delete": "deleted", "confirm": "confirmed"}
_BEFORE = {"upload": ("draft",), "delete": ("uploaded", "matched", "diff"), "confirm": ("matched", "diff")}
_WHY = {"upload": "只有未上传的对账单可以上传", "delete": "只有已上传、未确认的对账单可以删除",
        "confirm": "只有对平或差异已全部处理的对账单可以确认，请先对账"}


def port(database: Database) -> StatementPort:
    """The centre's adapter. :raises Unavailable: none is bound."""
    found: StatementPort | None = database.ports.get(PORT)
    if found is None:
        raise Unavailable("statement.none_bound", "医保对账单上传接口未开通，请联系信息科")
    return found


# Making


def build_day(session: Session, actor: Actor, day: date) -> list[Statement]:
    """Draft a statement for each scope of a day, or bring its draft up to date; what was handed in stays as it is.

    :raises Invalid: the day isn't over: its settlements are not all there.
    """
    if day >= today(session):
        raise Invalid("statement.day", "当天的业务尚未结束，请选择昨天或更早的日期")
    by_scope: dict[tuple[str, str, str], list[rules.Row]] = {}
    for row in rows_of(session, day, day):
        by_scope.setdefault(row.scope, []).append(row)
    live = {(s.insurance, s.clearing, s.agency): s for s in session.scalars(select(Statement).where(
        Statement.monthly == 0, Statement.begin_day == day, Statement.live == 1))}
    for scope, found in live.items():
        if found.state == "draft" and scope not in by_scope:
            session.delete(found)  # nothing is left of it, and nobody outside ever heard of it
    made = [_draft(session, actor, live.get(scope), (day, day), False, scope, rules.totals(rows))
            for scope, rows in sorted(by_scope.items())]
    session.flush()
    return made


def build_month(session: Session, actor: Actor, month: date) -> list[Statement]:
    """Draft a month's statements as the sum of its confirmed days. :raises Conflict: names the days that are missing."""
    begin, end = rules.month_of(month)
    if end >= today(session):
        raise Invalid("statement.month", "当月业务尚未结束，请选择上月或更早的月份")
    scopes = {row.scope for row in rows_of(session, begin, end)}
    missing = {day for scope in scopes for day in days_missing(session, begin, end, scope)}
    if missing:
        shown = "、".join(f"{day:%m-%d}" for day in sorted(missing)[:10])
        raise Conflict("statement.days_missing", f"{shown}{'等' if len(missing) > 10 else ''} 的日对账单尚未确认，请先完成日对账")
    made = []
    for insurance, clearing, agency in sorted(scopes):
        days = [_totals(one) for one in session.scalars(select(Statement).where(
            Statement.monthly == 0, Statement.begin_day.between(begin, end), Statement.state == "confirmed",
            Statement.insurance == insurance, Statement.clearing == clearing, Statement.agency == agency))]
        found = session.scalars(select(Statement).where(
            Statement.monthly == 1, Statement.begin_day == begin, Statement.live == 1, Statement.insurance == insurance,
            Statement.clearing == clearing, Statement.agency == agency)).first()
        made.append(_draft(session, actor, found, (begin, end), True, (insurance, clearing, agency), rules.add(days)))
    session.flush()
    return made


def _draft(session: Session, actor: Actor, found: Statement | None, days: tuple[date, date], monthly: bool,
           scope: tuple[str, str, str], sums: Totals) -> Statement:
    figures = {"entries": sums.count, **{name: getattr(sums, name)
                                         for name in ("refunds", "total", "fund", "account", "cash", "hospital")}}
    at = now(session)
    if found is not None:
        if found.state == "draft" and found.pending is None:
            for name, value in figures.items():
                setattr(found, name, value)
            found.changed_at, found.changed_by_name = at, actor.name
        return found
    insurance, clearing, agency = scope
    revision = (session.scalar(select(func.max(Statement.revision)).where(
        Statement.monthly == int(monthly), Statement.begin_day == days[0], Statement.insurance == insurance,
        Statement.clearing == clearing, Statement.agency == agency)) or 0) + 1
    period = f"{days[0]:%Y%m}" if monthly else f"{days[0]:%Y%m%d}"
    made = Statement(number=f"{period}-{insurance}-{clearing}-{agency}-{revision}", monthly=int(monthly), begin_day=days[0],
                     end_day=days[1], insurance=insurance, clearing=clearing, agency=agency, revision=revision, live=1,
                     state="draft", made_at=at, changed_at=at, changed_by_name=actor.name, **figures)
    with unless_taken(session, Conflict("statement.made", "对账单正由他人生成，请刷新查看")):
        session.add(made)
    return made


def _totals(found: Statement) -> Totals:
    return Totals(found.total, found.fund, found.account, found.cash, found.hospital, found.entries, found.refunds)


def told(found: Statement) -> tuple[Scope, Totals]:
    """A statement as the ports speak of it."""
    return Scope(found.insurance, found.clearing, found.agency, found.begin_day, found.end_day), _totals(found)


# Handing in


def open_act(session: Session, actor: Actor, statement_id: int, act: str) -> int:
    """Write down that a statement is to be handed in (``upload``), taken back unconfirmed (``delete``; a new revision can be
    made then) or confirmed for good (``confirm``); to be committed before :func:`act`. Returns its id.

    :raises Conflict: its state doesn't allow it; to upload: the ledger has moved since it was made; to confirm: differences
    are open.
    """
    port(of(session))
    found = _get(session, statement_id)
    if found.state in _BEFORE[act] and act in _CHECKS:
        _CHECKS[act](session, found)
    if not portable.guarded_update(
            session, Statement, (Statement.id == statement_id) & Statement.state.in_(_BEFORE[act])
            & (Statement.pending.is_(None) | ((Statement.pending == act) & (Statement.changed_at < now(session) - STALE))),
            {"pending": act, "changed_at": now(session), "changed_by_name": actor.name}):
        raise _refused(found, act)
    audit.record(session, actor, f"statement.{act}", "insurance_statement", statement_id, {"number": found.number})
    return found.id


def act(database: Database, actor: Actor, statement_id: int, act: str) -> Statement:
    """Tell the centre what was written down, and record what came of it."""
    found, centre = _read(database, statement_id), port(database)
    calls: dict[str, Callable[[], Outcome]] = {
        "upload": lambda: centre.upload(found.number, bool(found.monthly), *told(found)),
        "delete": lambda: centre.delete(found.number), "confirm": lambda: centre.confirm(found.number)}
    return _called(database, actor, statement_id, act, calls[act])


def _unmoved(session: Session, found: Statement) -> None:
    scope = found.insurance, found.clearing, found.agency
    if found.monthly:
        if days_missing(session, found.begin_day, found.end_day, scope):
            raise Conflict("statement.days_missing", "有日对账单尚未确认，请先完成日对账再上传月结")
    elif rules.totals(rows_of(session, found.begin_day, found.end_day, scope)) != _totals(found):
        raise Conflict("statement.stale", "生成后账上又有变化，请重新生成后再上传")


def _without_differences(session: Session, found: Statement) -> None:
    if session.scalar(select(func.count()).select_from(Difference).where(
            Difference.statement_id == found.id, Difference.state.in_(OPEN))):
        raise Conflict("statement.differences", "还有差异没有处理，请先在差异清单中处理")


_CHECKS = {"upload": _unmoved, "confirm": _without_differences}


def _refused(found: Statement, act: str) -> Conflict:
    when = f"{local(found.changed_at):%m-%d %H:%M}"
    if found.pending:
        return Conflict("statement.pending", f"{found.changed_by_name} 于 {when} 的操作尚无结果，请先查询结果")
    return Conflict("statement.state", f"{_WHY[act]}（{found.changed_by_name} 于 {when} 已处理），请刷新查看")


def _called(database: Database, actor: Actor, statement_id: int, act: str, call: Callable[[], Outcome]) -> Statement:
    """Make the call and record what came of it."""
    try:
        answer = call()
    except Exception as error:
        log.warning("%s of statement %s without an answer: %s", act, statement_id, type(error).__name__)
        answer = Outcome(UNKNOWN, message="医保中心没有应答，系统会自动查询")
    if answer.state == CONFIRMED and answer.message != _AFTER[act]:
        answer = Outcome(REFUSED, message="医保中心没有这样办，请查看后重新办理")
    with database.begin() as session:
        session.info["actor"] = actor
        _record(session, statement_id, act, answer)
    return _read(database, statement_id)


def _record(session: Session, statement_id: int, act: str, answer: Outcome) -> None:
    mine = (Statement.id == statement_id) & (Statement.pending == act)
    told = "" if answer.state == CONFIRMED else answer.message
    values: dict[str, Any] = {"message": told[:200] or None, "changed_at": now(session)}
    if answer.state == UNKNOWN:
        portable.guarded_update(session, Statement, mine, values)
        return
    values["pending"] = None
    if answer.state == CONFIRMED:
        values["state"] = _AFTER[act]
        if act == "upload":
            values["handover_no"] = answer.peer_number
        elif act == "delete":
            values["live"] = None
        else:
            values["confirmed_at"] = now(session)
    portable.guarded_update(session, Statement, mine, values)


def query(database: Database, actor: Actor, statement_id: int) -> Statement:
    """Ask the centre what became of a call whose answer got lost; what never arrived can be done again."""
    found = _read(database, statement_id)
    if found.pending is None:
        return found
    return _called(database, actor, statement_id, found.pending, lambda: port(database).query(found.number))


def recover(database: Database) -> int:
    """Ask about every call whose answer got lost; how many were asked about."""
    if PORT not in database.ports:
        return 0
    with database.begin(write=False) as session:
        ids = list(session.scalars(select(Statement.id).where(
            Statement.pending.is_not(None), Statement.changed_at < now(session) - STALE)
            .order_by(Statement.changed_at).limit(100)))
    for key in ids:
        query(database, SYSTEM, key)
    return len(ids)


def _get(session: Session, statement_id: int) -> Statement:
    found = session.get(Statement, statement_id)
    if found is None:
        raise NotFound("statement.none", "没有这张对账单，请刷新后重试")
    return found


def _read(database: Database, statement_id: int) -> Statement:
    with database.begin(write=False) as session:
        found = _get(session, statement_id)
        session.expunge(found)
        return found
