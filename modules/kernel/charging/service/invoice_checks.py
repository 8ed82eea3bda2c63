"""Each day's electronic invoices against the platform's, to the row (H8).

Implements: H8

Sums first; where they differ, or something of ours isn't decided, every row. A difference stays until a person says what
it was, the platform is asked and answers, or a later comparison finds nothing any more. Nothing is changed by comparing.
"""

from __future__ import annotations

import logging
from datetime import date, timedelta
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.clock import local
from his_server.db import Database, now, of, today
from his_server.errors import Conflict, Invalid, NotFound, Unavailable
from his_server.money import ZERO
from his_server.security import audit
from modules.kernel.charging.models import ElectronicInvoice, Intent, InvoiceCheck, InvoiceDifference
from modules.kernel.charging.ports import DayTotals, PlatformInvoice
from modules.kernel.charging.service import intents, invoices

log = logging.getLogger("his.invoice")


def check(database: Database, actor: Actor, day: date) -> InvoiceCheck:
    """Compare a business day. :raises Unavailable: the platform can't tell; the day is marked so."""
    adapter = invoices.port(database)
    try:
        totals = adapter.day_totals(day)
        rows = list(adapter.day_rows(day)) if _differs(database, day, totals) else None
    except Exception as error:
        log.warning("reconciliation without an answer: %s", type(error).__name__)
        with database.begin() as session:
            _save(session, day, "failed", f"平台没有应答：{error}"[:200])
        raise Unavailable("invoice.no_answer", "电子票据平台没有应答，未能对账，请稍后再对") from error
    with database.begin() as session:
        session.info["actor"] = actor
        found = _compare(session, day, rows) if rows is not None else []
        _keep(session, day, found)
        left = session.scalar(select(func.count()).select_from(InvoiceDifference).where(
            InvoiceDifference.day == day, InvoiceDifference.state == "open"))
        made = _save(session, day, "different" if left else "even", None, **_ours(session, day),
                     theirs_issued=totals.issued, theirs_amount=totals.issued_amount, theirs_red=totals.red,
                     theirs_red_amount=totals.red_amount)
        audit.record(session, actor, "invoice.check", "invoice_check", made.id, {"day": day.isoformat(), "open": left})
        session.flush()
        session.refresh(made)
        session.expunge(made)
        return made


def check_yesterday(database: Database) -> int:
    """The nightly comparison."""
    if "invoice" not in database.ports:
        return 0
    with database.begin(write=False) as session:
        day = today(session) - timedelta(days=1)
    check(database, SYSTEM, day)
    return 1


def _ours(session: Session, day: date) -> dict[str, Any]:
    row, blue = ElectronicInvoice, ElectronicInvoice.colour == "blue"
    found = session.execute(select(
        func.sum(case((blue, 1), else_=0)), func.sum(case((blue, row.amount), else_=ZERO)),
        func.sum(case((blue, 0), else_=1)), func.sum(case((blue, ZERO), else_=row.amount)))
        .where(row.business_date == day, row.state.in_(("issued", "red")))).one()
    names = ("ours_issued", "ours_amount", "ours_red", "ours_red_amount")
    return {name: value or (ZERO if "amount" in name else 0) for name, value in zip(names, found, strict=True)}


def _differs(database: Database, day: date, totals: DayTotals) -> bool:
    with database.begin(write=False) as session:
        ours = _ours(session, day)
        pending = session.scalar(select(ElectronicInvoice.id).where(
            ElectronicInvoice.business_date == day, ElectronicInvoice.state.in_(("waiting", "failed"))).limit(1))
        left = session.scalar(select(InvoiceDifference.id).where(
            InvoiceDifference.day == day, InvoiceDifference.state == "open").limit(1))
    return pending is not None or left is not None or (
        ours["ours_issued"], ours["ours_amount"], ours["ours_red"], ours["ours_red_amount"]) != (
        totals.issued, totals.issued_amount, totals.red, totals.red_amount)


def _compare(session: Session, day: date, rows: list[PlatformInvoice]) -> list[dict[str, Any]]:
    """What the two sides don't agree on."""
    ours = session.execute(
        select(ElectronicInvoice, Intent.number).join(Intent, Intent.id == ElectronicInvoice.intent_id)
        .where(ElectronicInvoice.business_date == day)).all()
    issued = {(r.ElectronicInvoice.code, r.ElectronicInvoice.invoice_number): r for r in ours
              if r.ElectronicInvoice.state in ("issued", "red")}
    pending = {r.number: r.ElectronicInvoice for r in ours if r.ElectronicInvoice.state in ("waiting", "failed")}
    found: list[dict[str, Any]] = []
    seen = set()
    for row in rows:
        key = row.code, row.invoice_number
        common = {"colour": row.colour, "code": row.code, "invoice_number": row.invoice_number, "bus_no": row.number,
                  "theirs": row.amount}
        if key in issued:
            seen.add(key)
            mine = issued[key].ElectronicInvoice
            if mine.amount != row.amount or mine.colour != row.colour:
                found.append({**common, "kind": "amount", "invoice_id": mine.id, "ours": mine.amount})
        elif row.number and row.number in pending:
            found.append({**common, "kind": "state", "invoice_id": pending[row.number].id,
                          "ours": pending[row.number].amount})
        else:
            found.append({**common, "kind": "theirs_only", "invoice_id": None, "ours": None})
    for key, mine_row in issued.items():
        if key not in seen:
            mine = mine_row.ElectronicInvoice
            found.append({"kind": "ours_only", "colour": mine.colour, "code": mine.code, "invoice_number": mine.invoice_number,
                          "bus_no": mine_row.number, "invoice_id": mine.id, "ours": mine.amount, "theirs": None})
    return found


def _keep(session: Session, day: date, found: list[dict[str, Any]]) -> None:
    """New differences are added; open ones that are gone are settled by themselves; what a person settled stays settled."""
    names = ("kind", "colour", "code", "invoice_number", "bus_no")
    known = {tuple(getattr(one, name) for name in names): one for one in session.scalars(
        select(InvoiceDifference).where(InvoiceDifference.day == day))}
    at = now(session)
    fresh = {tuple(row[name] for name in names): row for row in found}
    new = [row for key, row in fresh.items() if key not in known]
    keys = of(session).keys
    if new:
        portable.insert_many(session, InvoiceDifference, [
            {**row, "id": keys.next(), "day": day, "state": "open", "found_at": at} for row in new])
    gone = [one.id for key, one in known.items() if key not in fresh and one.state == "open"]
    for start in range(0, len(gone), 500):
        portable.guarded_update(session, InvoiceDifference, InvoiceDifference.id.in_(gone[start:start + 500])
                                & (InvoiceDifference.state == "open"),
                                {"state": "settled", "decision": "再次对账已一致", "decided_by_name": "系统", "decided_at": at})


def _save(session: Session, day: date, state: str, message: str | None, **values: Any) -> InvoiceCheck:
    found = session.scalars(select(InvoiceCheck).where(InvoiceCheck.day == day)).first()
    if found is None:
        found = InvoiceCheck(day=day, state=state, checked_at=now(session))
        session.add(found)
    for name, value in {"state": state, "message": message, "checked_at": now(session), **values}.items():
        setattr(found, name, value)
    session.flush()
    return found


def finding(database: Database, actor: Actor, difference_id: int, *, ask: bool, reason: str) -> str:
    """What is to be said of a difference: the reason given, or what the platform answers about an invoice that it has and we
    don't know of (``ask``), which is taken over.

    :raises Conflict: the platform has none. :raises Invalid: no reason given.
    """
    with database.begin(write=False) as session:
        found = session.get(InvoiceDifference, difference_id)
        if found is None:
            raise NotFound("invoice.difference", "没有这条差异，请刷新后重试")
        invoice = session.get(ElectronicInvoice, found.invoice_id) if found.invoice_id else None
        intent_id = invoice.intent_id if invoice is not None else None
        kind = found.kind
    if ask:
        if kind != "state" or intent_id is None:
            raise Invalid("invoice.ask", "只有“平台已开、本院未知”的差异可以向平台查询取回")
        return _asked(database, actor, intent_id)
    if not reason:
        raise Invalid("invoice.reason", "请写明核实结果")
    return reason


def settle(session: Session, actor: Actor, difference_id: int, reason: str) -> InvoiceDifference:
    """Say what a difference was. :raises Conflict: somebody settled it already (who and when)."""
    done = portable.guarded_update(
        session, InvoiceDifference, (InvoiceDifference.id == difference_id) & (InvoiceDifference.state == "open"),
        {"state": "settled", "decision": reason[:200], "decided_by": actor.user_id, "decided_by_name": actor.name,
         "decided_at": now(session)})
    one = session.get_one(InvoiceDifference, difference_id)
    session.refresh(one)
    if not done:
        when = f"{local(one.decided_at):%m-%d %H:%M}" if one.decided_at else ""
        raise Conflict("invoice.difference_settled", f"该差异已由 {one.decided_by_name} 于 {when} 处理，请刷新")
    left = session.scalar(select(func.count()).select_from(InvoiceDifference).where(
        InvoiceDifference.day == one.day, InvoiceDifference.state == "open"))
    if not left:
        portable.guarded_update(session, InvoiceCheck, (InvoiceCheck.day == one.day)
                                & (InvoiceCheck.state == "different"), {"state": "settled"})
    audit.record(session, actor, "invoice.difference", "invoice_difference", difference_id, {"reason": reason})
    return one


def _asked(database: Database, actor: Actor, intent_id: int) -> str:
    """Ask about an undecided or refused invoice; what the platform issued is taken over. :raises Conflict: it has none."""
    intent = intents.read(database, intent_id)
    answer = intents.QUESTIONS[intent.purpose](database, intent)
    if answer.state != "confirmed":
        raise Conflict("invoice.not_there", "平台答复没有这张票据，请重新对账")
    with database.begin() as session:
        session.info["actor"] = actor
        intents.record(session, actor, intent_id, "query", answer)
        intents.KEEP[intent.purpose](session, intent_id, answer)
    return "已向平台查询并取回票据号码"
