"""Receipt numbers of cashiers: runs granted to one holder each; every number is used, void or left (FN-07)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import numbering
from his_server.errors import Conflict, FieldError, Invalid
from his_server.security import audit
from his_server.security.queries import account_names, accounts_with
from modules.kernel.charging.service.settling import RECEIPT_SERIES

MOST = 1_000_000
"""Numbers of one grant: more is a slip of the finger."""


def grant_receipts(session: Session, actor: Actor, *, holder_id: int, first: int, last: int, prefix: str,
                   permission: str) -> numbering.NumberRange:
    """Grant a run of numbers to somebody who may charge (``permission``).

    :raises Invalid: names the bad field. :raises Conflict: it overlaps another run, whose holder is named.
    """
    errors = []
    if holder_id not in {account.id for account in accounts_with(session, permission)}:
        errors.append(FieldError("holder_id", "请选择有收费权限且在用的账户"))
    if last < first:
        errors.append(FieldError("last", "终止号不能小于起始号"))
    elif last - first >= MOST:
        errors.append(FieldError("last", f"一次最多发放 {MOST} 张，请核对起止号"))
    if errors:
        raise Invalid("receipts.fields", "号段有误，请按提示修改", errors)
    ranges = numbering.NumberRange
    other = session.scalars(select(ranges).where(
        ranges.series == RECEIPT_SERIES, ranges.prefix == prefix, ranges.first <= last, ranges.last >= first).limit(1)).first()
    if other is not None:
        holder = account_names(session, [other.holder_id]).get(other.holder_id, "")
        raise Conflict("numbering.overlap", f"与 {holder} 的号段 {shown(other, other.first)} 至 {shown(other, other.last)} 重叠，"
                       "请核对后重新登记", [FieldError("first", "与已有号段重叠")])
    made = numbering.grant_range(session, RECEIPT_SERIES, holder_id, first, last, prefix=prefix)
    audit.record(session, actor, "receipts.grant", "number_range", made.id,
                 {"holder": holder_id, "first": first, "last": last, "prefix": prefix})
    return made


def receipt_ranges(session: Session, *, holder_id: int | None, state: str, limit: int = 500) -> list[dict[str, Any]]:
    """Runs of receipt numbers with their holders and what became of the numbers, newest first; three queries."""
    ranges = numbering.NumberRange
    statement = select(ranges).where(ranges.series == RECEIPT_SERIES).order_by(ranges.id.desc()).limit(limit)
    if holder_id is not None:
        statement = statement.where(ranges.holder_id == holder_id)
    if state != "all":
        statement = statement.where(ranges.state == state)
    found = list(session.scalars(statement))
    void = {key: count for key, count in session.execute(
        select(numbering.NumberVoid.range_id, func.count()).where(
            numbering.NumberVoid.range_id.in_([one.id for one in found])).group_by(numbering.NumberVoid.range_id))}
    names = account_names(session, {one.holder_id for one in found})
    return [{"id": one.id, "holder_id": one.holder_id, "holder": names.get(one.holder_id, ""), "prefix": one.prefix,
             "first": one.first, "last": one.last, "next": one.next, "state": one.state, "granted_at": one.granted_at,
             "first_number": shown(one, one.first), "last_number": shown(one, one.last),
             "next_number": shown(one, one.next) if one.next <= one.last else None, "count": one.last - one.first + 1,
             "used": one.next - one.first - void.get(one.id, 0), "void": void.get(one.id, 0),
             "left": one.last - one.next + 1} for one in found]


def void_numbers(session: Session, range_id: int, holder_id: int | None) -> list[dict[str, Any]]:
    """The spoilt numbers of a run with who, when and why, oldest first; ``holder_id`` None: anybody's. Two queries."""
    void, ranges = numbering.NumberVoid, numbering.NumberRange
    statement = select(void).join(ranges, ranges.id == void.range_id).where(void.range_id == range_id)
    if holder_id is not None:
        statement = statement.where(ranges.holder_id == holder_id)
    found = list(session.scalars(statement.order_by(void.number).limit(1000)))
    names = account_names(session, {one.voided_by for one in found})
    return [{"number": one.number, "reason": one.reason, "voided_at": one.voided_at,
             "voided_by_name": names.get(one.voided_by, "")} for one in found]


def void_next_receipts(session: Session, actor: Actor, reason: str, *, first: str | None = None, count: int = 1) -> list[str]:
    """Void the next ``count`` numbers of the actor's own runs: spoilt forms. Returns them.

    ``first``: the number on the first of them. :raises Conflict: it isn't the next one (any more), or so many aren't left.
    """
    numbers = numbering.void_next(session, RECEIPT_SERIES, actor.user_id, reason, actor.user_id, count)
    if first is not None and numbers[0] != first:
        raise Conflict("receipts.next", f"下一张票据是 {numbers[0]}，不是 {first}，请与手中的空白票据核对后再作废")
    audit.record(session, actor, "receipts.void", "receipt_number", numbers[0], {"reason": reason, "count": count})
    return numbers


def shown(run: numbering.NumberRange, number: int) -> str:
    """A number of a run as it stands on the form."""
    return f"{run.prefix}{number:0{run.width}d}"
