"""Business numbers (DESIGN section 3): declared format; gap-free where finance demands; ranges per cashier.

A *series* counts per scope (a day, a cashier …). ``gap_free`` series are counted inside the unit of work:
a rollback gives the number back, and writers of the same scope queue up. Others take blocks apart, so that
nobody waits, and may leave gaps. A *range* (票段) is a run of numbers granted to one holder; each number is
used, void (with a reason) or unused (COMPLIANCE FN-07).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    String,
    UniqueConstraint,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from dialects import portable
from his_server.db import database as db
from his_server.db.base import Base, Keyed
from his_server.db.types import Instant
from his_server.errors import Conflict


class NumberCounter(Base):
    """The next number of a series in a scope."""

    __tablename__ = "number_counter"
    series: Mapped[str] = mapped_column(String(40), primary_key=True)
    scope: Mapped[str] = mapped_column(String(40), primary_key=True)
    next: Mapped[int] = mapped_column(BigInteger)


class NumberRange(Keyed):
    """A run of numbers granted to a holder; ``next`` is the first unused one."""

    __tablename__ = "number_range"
    __table_args__ = (
        CheckConstraint("first <= next AND next <= last + 1", name="order"),
        UniqueConstraint("series", "first"),
        Index("ix_number_range_holder", "series", "holder_id", "state"),
    )
    series: Mapped[str] = mapped_column(String(40))
    holder_id: Mapped[int] = mapped_column(BigInteger)
    prefix: Mapped[str] = mapped_column(String(12), default="")
    width: Mapped[int]
    first: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[int] = mapped_column(BigInteger)
    next: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10), default="open")
    granted_at: Mapped[datetime] = mapped_column(Instant)


class NumberVoid(Keyed):
    """A number of a range that was spoilt, with the reason."""

    __tablename__ = "number_void"
    __table_args__ = (UniqueConstraint("series", "number"),)
    series: Mapped[str] = mapped_column(String(40))
    number: Mapped[str] = mapped_column(String(32))
    range_id: Mapped[int] = mapped_column(BigInteger, index=True)
    reason: Mapped[str] = mapped_column(String(200))
    voided_by: Mapped[int] = mapped_column(BigInteger)
    voided_at: Mapped[datetime] = mapped_column(Instant)


@dataclass(frozen=True)
class Series:
    """A declared series: ``format`` takes ``date`` and ``n``; ``per_day`` starts again each business day."""

    name: str
    title: str
    format: str
    per_day: bool = False
    gap_free: bool = False
    block: int = 20


def take(session: Session, series: Series) -> str:
    """The next number of a series, formatted."""
    day = db.today(session)
    scope = day.isoformat() if series.per_day else ""
    return series.format.format(date=day, n=_take(session, series, scope))


def _take(session: Session, series: Series, scope: str) -> int:
    database = db.of(session)
    if series.gap_free or database.single_writer:
        return _advance(session, series.name, scope, 1)
    slot = (series.name, scope)
    with database.blocks_lock:
        found = next(database.number_blocks.get(slot, iter(())), None)
    if found is None:
        with database.apart() as other:
            start = _advance(other, series.name, scope, series.block)
        numbers = iter(range(start, start + series.block))
        found = next(numbers)
        with database.blocks_lock:
            database.number_blocks[slot] = numbers
    return found


def _advance(session: Session, series: str, scope: str, count: int) -> int:
    statement = (
        update(NumberCounter)
        .where(NumberCounter.series == series, NumberCounter.scope == scope)
        .values(next=NumberCounter.next + count)
        .returning(NumberCounter.next)
        .execution_options(synchronize_session=False)
    )
    reached = session.execute(statement).scalar()
    if reached is None:
        try:
            with session.begin_nested():
                session.execute(insert(NumberCounter).values(series=series, scope=scope, next=1 + count))
            reached = 1 + count
        except IntegrityError:  # another process made the row first
            reached = session.execute(statement).scalar_one()
    return int(reached) - count


def count(session: Session, series: str, scope: str) -> int:
    """The how-manieth this is in its scope, from 1 on; two at once never get the same. ``scope``: at most 40 characters."""
    return _advance(session, series, scope, 1)


def grant_range(session: Session, series: str, holder_id: int, first: int, last: int, *, prefix: str = "",
                width: int = 10) -> NumberRange:
    """Grant a run of numbers to a holder. :raises Conflict: it overlaps another run of the series."""
    overlap = select(NumberRange.id).where(
        NumberRange.series == series, NumberRange.prefix == prefix, NumberRange.first <= last, NumberRange.last >= first
    )
    if first > last or session.execute(overlap).first() is not None:
        raise Conflict("numbering.overlap", "号段与已有号段重叠或起止号颠倒，请核对后重新登记")
    found = NumberRange(series=series, holder_id=holder_id, prefix=prefix, width=width, first=first, last=last,
                        next=first, state="open", granted_at=db.now(session))
    session.add(found)
    session.flush()
    return found


_RANGE = NumberRange.__table__
_OLDEST = _RANGE.alias()
_TAKE = (update(_RANGE)  # type: ignore[arg-type]
         .where(_RANGE.c.id == select(_OLDEST.c.id).where(
             _OLDEST.c.series == bindparam("b_series"), _OLDEST.c.holder_id == bindparam("b_holder"),
             _OLDEST.c.state == "open").order_by(_OLDEST.c.first).limit(1).scalar_subquery(),
             _RANGE.c.next + bindparam("b_count", type_=BigInteger) <= _RANGE.c.last + 1)
         .values(next=_RANGE.c.next + bindparam("b_count", type_=BigInteger))
         .returning(_RANGE.c.id, _RANGE.c.next, _RANGE.c.prefix, _RANGE.c.width, _RANGE.c.last))
_USED_UP = (update(_RANGE)  # type: ignore[arg-type]
            .where(_RANGE.c.id == bindparam("b_range"), _RANGE.c.next > _RANGE.c.last).values(state="used"))


def take_from_range(session: Session, series: str, holder_id: int, count: int = 1) -> list[str]:
    """``count`` numbers from the holder's open ranges, oldest first, gap-free.

    :raises Conflict: the holder has not enough numbers left.
    """
    return [number for number, _ in _take_from_range(session, series, holder_id, count)]


def _take_from_range(session: Session, series: str, holder_id: int, count: int) -> list[tuple[str, int]]:
    """Numbers with the id of the range that each came from."""
    numbers: list[tuple[str, int]] = []
    session.flush()
    taken = {"b_series": series, "b_holder": holder_id, "b_count": count}
    if rows := portable.fetch(session.connection(), _TAKE, taken):
        found = rows[0]
        if found.next > found.last:
            session.execute(_USED_UP, {"b_range": found.id})
        return [(f"{found.prefix}{number:0{found.width}d}", found.id) for number in range(found.next - count, found.next)]
    # the oldest range has not enough left: one by one, into the next range
    while len(numbers) < count:
        chosen = session.execute(
            select(NumberRange.id)
            .where(NumberRange.series == series, NumberRange.holder_id == holder_id, NumberRange.state == "open")
            .order_by(NumberRange.first)
            .limit(1)
        ).scalar()
        if chosen is None:
            raise Conflict("numbering.exhausted", "票据号段已用完，请先领用新的号段再继续")
        row = session.execute(
            update(NumberRange)
            .where(NumberRange.id == chosen, NumberRange.next <= NumberRange.last)
            .values(next=NumberRange.next + 1)
            .returning(NumberRange.next, NumberRange.prefix, NumberRange.width, NumberRange.last)
            .execution_options(synchronize_session=False)
        ).first()
        if row is not None:
            numbers.append((f"{row.prefix}{row.next - 1:0{row.width}d}", chosen))
        if row is None or row.next > row.last:
            session.execute(_USED_UP, {"b_range": chosen})
    return numbers


def void_next(session: Session, series: str, holder_id: int, reason: str, actor_id: int, count: int = 1) -> list[str]:
    """Void the holder's next ``count`` numbers (spoilt forms) with a reason; returns them. :raises Conflict: so many aren't
    left."""
    taken, at = _take_from_range(session, series, holder_id, count), db.now(session)
    session.add_all([NumberVoid(series=series, number=number, range_id=range_id, reason=reason, voided_by=actor_id, voided_at=at)
                     for number, range_id in taken])
    session.flush()
    return [number for number, _ in taken]
