"""Shifts: every settlement is in exactly one; a closed one never changes (FN-12).

A channel that nobody sits at (the insurer's mobile payment, kiosks) has shifts of its own account, one a day: whatever comes
first after midnight ends the day before, at the latest :func:`end_days` does. Finance receives them like a cashier's.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal

from sqlalchemy import ColumnElement, bindparam, exists, insert, select, update
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.clock import day_bounds, local
from his_server.db import Database, now, numbering, of, today
from his_server.errors import Conflict, NotFound
from his_server.security import audit
from modules.kernel.charging.models import Settlement, Shift
from modules.kernel.charging.service import statement as statements

_SHIFT = Shift.__table__
_HOLD = (update(_SHIFT)  # type: ignore[arg-type]
         .where(_SHIFT.c.cashier_id == bindparam("b_cashier"), _SHIFT.c.open_marker == 1)
         .values(settlements=_SHIFT.c.settlements + 1).returning(_SHIFT.c.id))

UNATTENDED = ("mobile", "kiosk")
"""Channels whose shift nobody closes by hand."""

SHIFT_SERIES = numbering.Series("shift", "班次号", "BC{date:%Y%m%d}{n:04d}", per_day=True)


def enter_shift(session: Session, actor: Actor) -> int:
    """The actor's open shift, opened now if there is none; held until commit, so that it can't close meanwhile."""
    if actor.channel in UNATTENDED:
        _end_day(session, actor)
    held = _hold(session, actor)
    if held is None:
        number = numbering.take(session, SHIFT_SERIES)
        try:
            with session.begin_nested():
                session.execute(insert(Shift).values(
                    id=of(session).keys.next(), number=number, cashier_id=actor.user_id, cashier_name=actor.name,
                    state="open", open_marker=1, settlements=0, opened_at=now(session)))
        except Exception as error:
            if not portable.is_unique_violation(error):
                raise
        held = _hold(session, actor)
    if held is None:
        raise Conflict("shift.closing", "班次正在结账，请稍后重试")
    return held


def _hold(session: Session, actor: Actor) -> int | None:
    session.flush()
    held = portable.fetch(session.connection(), _HOLD, {"b_cashier": actor.user_id})
    return held[0].id if held else None


def close_shift(session: Session, actor: Actor, *, counted_cash: Decimal | None = None) -> Shift:
    """日结: close the actor's open shift and freeze its statement.

    ``counted_cash`` is what lies in the drawer (yuan); the difference to the books is recorded (长短款). What does not
    balance is named in the statement (M1.18); a shift that began before midnight closes as one.
    :raises Conflict: there is no open shift, or a colleague's click was faster.
    """
    shift = _close(session, actor, today(session), counted_cash)
    if shift is None:
        raise Conflict("shift.none_open", "您没有未结账的班次，可能已在其他窗口结账，请刷新查看")
    return shift


def _end_day(session: Session, actor: Actor) -> Shift | None:
    """Close the actor's open shift where it is of a day before today, as that day's. None: there is none such."""
    opened = session.scalar(select(Shift.opened_at).where(Shift.cashier_id == actor.user_id, *_overdue(session)))
    return None if opened is None else _close(session, actor, local(opened).date(), None)


def _overdue(session: Session) -> tuple[ColumnElement[bool], ...]:
    """Open since a day before today, and nobody sat there: what was booked in it came through unattended channels."""
    by_hand = exists().where(Settlement.shift_id == Shift.id, Settlement.channel.not_in(UNATTENDED))
    return (Shift.open_marker == 1, Shift.opened_at < day_bounds(today(session))[0], ~by_hand, Shift.settlements > 0)


def end_days(database: Database) -> int:
    """Close what unattended channels left open from days before today; returns how many shifts. A job."""
    with database.begin(write=False) as session:
        due = session.execute(select(Shift.cashier_id, Shift.cashier_name).where(*_overdue(session))).all()
    done = 0
    for row in due:
        with database.begin() as session:
            actor = replace(SYSTEM, user_id=row.cashier_id, name=row.cashier_name)
            session.info["actor"] = actor
            done += _end_day(session, actor) is not None
    return done


def _close(session: Session, actor: Actor, day: date, counted_cash: Decimal | None) -> Shift | None:
    closed = session.execute(
        update(Shift).where(Shift.cashier_id == actor.user_id, Shift.open_marker == 1)
        .values(state="closed", open_marker=None, closed_at=now(session), business_date=day)
        .returning(Shift.id).execution_options(synchronize_session=False)).scalar()
    if closed is None:
        return None
    shift = session.get(Shift, closed, populate_existing=True)
    assert shift is not None
    figures = statements.build(session, shift)
    shift.statement = json.dumps(figures, ensure_ascii=False, sort_keys=True, default=str)
    if counted_cash is not None:
        shift.counted_cash = counted_cash
        shift.cash_difference = counted_cash - Decimal(str(figures["cash"]))
    session.flush()
    audit.record(session, actor, "shift.close", "shift", shift.id,
                 {"number": shift.number, "unbalanced": figures["unbalanced"][:20]}, success=not figures["unbalanced"])
    return shift


def hand_over(session: Session, actor: Actor, shift_id: int) -> Shift:
    """The receiver (not the cashier) confirms a closed shift. :raises Conflict: state or person does not fit."""
    shift = session.get(Shift, shift_id)
    if shift is None:
        raise NotFound("shift.not_found", "没有这个班次")
    if shift.cashier_id == actor.user_id:
        raise Conflict("shift.own", "交账须由他人接收确认，不能自己接收自己的班次")
    taken = portable.guarded_update(
        session, Shift, (Shift.id == shift_id) & (Shift.state == "closed"),
        {"state": "handed_over", "receiver_id": actor.user_id, "receiver_name": actor.name,
         "received_at": now(session)})
    if not taken:
        session.refresh(shift)
        if shift.receiver_name and shift.received_at:
            raise Conflict("shift.handed_over",
                           f"该班次已由 {shift.receiver_name} 于 {local(shift.received_at):%m-%d %H:%M} 接收")
        raise Conflict("shift.not_closed", "该班次尚未结账，请收费员先做日结")
    audit.record(session, actor, "shift.hand_over", "shift", shift_id, {"number": shift.number})
    session.refresh(shift)
    return shift


def open_shift_of(session: Session, cashier_id: int) -> Shift | None:
    """The cashier's open shift."""
    return session.scalar(select(Shift).where(Shift.cashier_id == cashier_id, Shift.open_marker == 1))
