"""Lists of statements and differences; each pages by key."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.errors import NotFound, invalid
from modules.finance.models import ChannelStatement, ChannelStatementRow, StatementDifference
from modules.kernel.charging.models import Intent, IntentTry
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name

ROWS_SHOWN = 20


def statements(session: Session, channels: list[tuple[str, str]], first: date, last: date) -> list[dict[str, Any]]:
    """Every channel's day between two days, newest first, also the days without a statement; two queries."""
    found = {(row.channel, row.day): row for row in session.scalars(
        select(ChannelStatement).where(ChannelStatement.day >= first, ChannelStatement.day <= last))}
    open_: dict[tuple[str, date], int] = {(row.channel, row.day): row.differing for row in session.execute(
        select(StatementDifference.channel, StatementDifference.day, func.count().label("differing"))
        .where(StatementDifference.state.in_(("open", "pending")), StatementDifference.day >= first,
               StatementDifference.day <= last).group_by(StatementDifference.channel, StatementDifference.day))}
    days = [date.fromordinal(n) for n in range(last.toordinal(), first.toordinal() - 1, -1)]
    names = {**{channel: channel for channel, _ in found}, **dict(channels)}
    items = []
    for day in days:
        for channel, name in names.items():
            row = found.get((channel, day))
            items.append({"id": f"{channel}-{day}", "channel": channel, "channel_name": name, "day": day,
                          "fetched": row is not None, "open": open_.get((channel, day), 0),
                          **{c: getattr(row, c, None) for c in ("row_count", "paid", "returned", "fees", "matched",
                                                                "fetched_at", "fetched_by_name")}})
    return items


def differences(session: Session, *, state: str | None, channel: str | None, kind: str | None, limit: int,
                after: str | None) -> dict[str, Any]:
    """Differences, newest day first; one query."""
    row = StatementDifference
    statement: Any = (select(row, Person.name, Person.outpatient_no, Intent.created_at)
                      .outerjoin(Intent, Intent.id == row.intent_id).outerjoin(Person, Person.id == Intent.person_id))
    for column, value in ((row.state, state), (row.channel, channel), (row.kind, kind)):
        if value is not None:
            statement = statement.where(column == value)
    try:
        cursor = portable.decode_cursor(after) if after else None
        page = portable.keyset(statement, [(row.day, "desc"), (row.id, "desc")], cursor, limit + 1)
    except ValueError as error:
        raise invalid("after", "翻页标记有误，请从第一页重新查询") from error
    rows = session.execute(page).all()
    last = rows[limit - 1].StatementDifference if len(rows) > limit else None
    return {"items": [_item(one) for one in rows[:limit]],
            "next": portable.encode_cursor((last.day, last.id)) if last else None}


def _item(one: Any) -> dict[str, Any]:
    found: StatementDifference = one.StatementDifference
    return {**{c.key: getattr(found, c.key) for c in StatementDifference.__table__.columns},
            "name": mask_name(one.name) if one.name else "", "outpatient_no": one.outpatient_no or "",
            "begun_at": one.created_at}


def difference(session: Session, difference_id: int) -> dict[str, Any]:
    """A difference with the statement's rows of its number and what was tried; three queries. :raises NotFound: none."""
    row = StatementDifference
    one = session.execute(
        select(row, Person.name, Person.outpatient_no, Intent.created_at).outerjoin(Intent, Intent.id == row.intent_id)
        .outerjoin(Person, Person.id == Intent.person_id).where(row.id == difference_id)).first()
    if one is None:
        raise NotFound("finance.difference", "没有这条对账差异，请刷新后重试")
    found: StatementDifference = one.StatementDifference
    rows = session.execute(
        select(ChannelStatementRow.kind, ChannelStatementRow.peer_number, ChannelStatementRow.amount,
               ChannelStatementRow.happened_at, ChannelStatement.day)
        .join(ChannelStatement, ChannelStatement.id == ChannelStatementRow.statement_id)
        .where(ChannelStatementRow.number == found.number, ChannelStatement.channel == found.channel)
        .order_by(ChannelStatement.day, ChannelStatementRow.position).limit(ROWS_SHOWN))
    tries = session.scalars(select(IntentTry).where(IntentTry.intent_id == found.intent_id)
                            .order_by(IntentTry.at, IntentTry.id).limit(ROWS_SHOWN)) if found.intent_id else ()
    return {**_item(one), "rows": [dict(r._mapping) for r in rows], "attempts": list(tries)}
