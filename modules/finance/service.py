"""Statements are fetched, compared with the ledger's intents row by row, and differences decided by a person.

Implements: N5

The download happens with no unit of work open. What was compared once is compared again with every later statement, so that
a difference vanishes by itself as soon as both sides agree.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.clock import HOSPITAL_ZONE, local
from his_server.db import Database, now, of, today
from his_server.errors import AppError, Conflict, Invalid, NotFound, Unavailable
from his_server.security import audit
from modules.finance import rules
from modules.finance.models import ChannelStatement, ChannelStatementRow, StatementDifference
from modules.finance.rules import Ours, Theirs
from modules.kernel.charging.models import Intent
from modules.kernel.charging.ports import CHANNELS, CONFIRMED, Outcome, Statement
from modules.kernel.charging.service import intents, payments

log = logging.getLogger("his.finance")
FETCH_FROM = time(8, 0)
"""Channels have yesterday's statement by then."""
LOOK_BACK = 4
"""Days whose statement is fetched when it is missing."""
CHUNK = 500
EXPLAIN, ADOPT = "explain", "adopt"
STATE_NAMES = {"pending": "在途", "open": "待处理", "settled": "已处理", "cleared": "已自动消除"}


def fetch(database: Database, actor: Actor, channel: str, day: date) -> int:
    """Download a day's statement and compare it; returns its key. Fetched again it replaces what was there.

    :raises Invalid: a day that isn't over. :raises Conflict: the channel has none yet. :raises Unavailable: no answer.
    """
    with database.begin(write=False) as session:
        if day >= today(session):
            raise Invalid("finance.statement_day", "对账单次日才生成，请选择今天以前的日期")
    port = payments.port(database, channel)
    try:
        answer: Statement = port.download_bill(day)
    except Exception as error:
        log.warning("statement %s of %s: %s", day, channel, error)
        raise Unavailable("finance.statement_lost", f"{CHANNELS[channel]} {day} 对账单没有取到，请稍后重试") from error
    if answer.state != CONFIRMED:
        raise Conflict("finance.statement_missing",
                       f"{CHANNELS[channel]} {day} 对账单尚不能下载：{answer.message or '渠道未说明'}")
    with database.begin() as session:
        session.info["actor"] = actor
        return _keep(session, actor, channel, day, answer)


def fetch_due(database: Database) -> int:
    """Fetch the statements of the last days that are missing (job); returns how many came. One that doesn't come holds no
    other up, and is tried again with the next run; the page shows it as missing."""
    here = local(database.clock.now())
    if here.time() < FETCH_FROM:
        return 0
    days = [here.date() - timedelta(days=n) for n in range(LOOK_BACK, 0, -1)]
    with database.begin(write=False) as session:
        have = {(row.channel, row.day) for row in session.execute(
            select(ChannelStatement.channel, ChannelStatement.day).where(ChannelStatement.day >= days[0]))}
    came = 0
    for channel, _ in payments.open_channels(database):
        for day in days:
            if (channel, day) in have:
                continue
            try:
                fetch(database, SYSTEM, channel, day)
                came += 1
            except AppError as refusal:
                log.warning("statement %s of %s is missing: %s", day, channel, refusal.message)
    return came


def _keep(session: Session, actor: Actor, channel: str, day: date, answer: Statement) -> int:
    found = session.scalar(select(ChannelStatement).where(ChannelStatement.channel == channel, ChannelStatement.day == day))
    sums = {kind: sum((row.amount for row in answer.rows if row.kind == kind), Decimal("0.00")) for kind in ("pay", "refund")}
    values = {"row_count": len(answer.rows), "paid": sums["pay"], "returned": sums["refund"],
              "fees": sum((row.fee for row in answer.rows), Decimal("0.00")), "fetched_at": now(session),
              "fetched_by_name": actor.name}
    if found is None:
        found = ChannelStatement(channel=channel, day=day, **values)
        session.add(found)
    else:
        for name, value in values.items():
            setattr(found, name, value)
        session.execute(delete(ChannelStatementRow).where(ChannelStatementRow.statement_id == found.id))
    session.flush()
    before = set(session.scalars(select(StatementDifference.number).where(
        StatementDifference.channel == channel, StatementDifference.state.in_((rules.PENDING, rules.OPEN)))))
    if answer.rows:
        portable.insert_many(session, ChannelStatementRow, [
            {"id": key, "statement_id": found.id, "position": place, "kind": row.kind, "number": row.number[:64],
             "peer_number": row.peer_number[:64], "amount": row.amount, "happened_at": row.at, "original": row.original[:64],
             "fee": row.fee}
            for place, (key, row) in enumerate(zip(of(session).keys.take(len(answer.rows)), answer.rows, strict=True), 1)])
    mine = {row.number[:64] for row in answer.rows}
    wrong = compare(session, channel, mine | _moved_on(session, channel, day) | before)
    found.matched = len(mine - wrong)
    audit.record(session, actor, "statement.fetch", "channel_statement", found.id,
                 {"channel": channel, "day": day.isoformat(), "rows": len(answer.rows)})
    return found.id


def _moved_on(session: Session, channel: str, day: date) -> set[str]:
    """Numbers of ours that began on a day of the hospital's."""
    first = datetime.combine(day, time(0), HOSPITAL_ZONE)
    return set(session.scalars(select(Intent.number).where(
        Intent.channel == channel, Intent.purpose.in_(tuple(rules.MOVED)), Intent.created_at >= first,
        Intent.created_at < first + timedelta(days=1))))


def compare(session: Session, channel: str, numbers: Iterable[str]) -> set[str]:
    """Judge these numbers anew by all statements and by the books as they are; returns those that differ. New differences
    are written down, vanished ones cleared; what a person settled stays settled."""
    wanted = sorted(set(numbers))
    through = session.scalar(select(func.max(ChannelStatement.day)).where(ChannelStatement.channel == channel))
    known = {(d.number, d.kind): d for part in _parts(wanted) for d in session.scalars(select(StatementDifference).where(
        StatementDifference.channel == channel, StatementDifference.number.in_(part)))}
    ours, theirs = _ours(session, channel, wanted), _theirs(session, channel, wanted)
    at, differing, fresh = now(session), set(), []
    assert through is not None
    for number in wanted:
        mine = ours.get(number)
        verdicts = {v.kind: v for v in rules.judge(mine, theirs.get(number, ()), through)}
        if verdicts:
            differing.add(number)
        for kind, verdict in verdicts.items():
            values: dict[str, Any] = {
                "state": verdict.state, "act": verdict.act, "day": verdict.day, "ours": verdict.ours,
                "theirs": verdict.theirs, "our_state": mine.state if mine else "", "changed_at": at,
                "intent_id": mine.intent_id if mine else None}
            old = known.pop((number, kind), None)
            if old is None:
                fresh.append({"channel": channel, "number": number, "kind": kind, "found_at": at, "decision": "",
                              "reason": "", "settled_by_name": "", "settled_at": None, **values})
            elif old.state != "settled":
                for name, value in values.items():
                    setattr(old, name, value)
    for old in known.values():
        if old.state in (rules.PENDING, rules.OPEN):
            old.state, old.changed_at = "cleared", at
    if fresh:
        keys = of(session).keys.take(len(fresh))
        portable.insert_many(session, StatementDifference, [{"id": key, **row} for key, row in zip(keys, fresh, strict=True)])
    session.flush()
    return differing


def _ours(session: Session, channel: str, numbers: list[str]) -> Mapping[str, Ours]:
    return {row.number: Ours(row.id, row.purpose, row.amount, row.state, local(row.created_at).date())
            for part in _parts(numbers) for row in session.execute(
                select(Intent.id, Intent.number, Intent.purpose, Intent.amount, Intent.state, Intent.created_at)
                .where(Intent.number.in_(part), Intent.channel == channel, Intent.purpose.in_(tuple(rules.MOVED))))}


def _theirs(session: Session, channel: str, numbers: list[str]) -> Mapping[str, list[Theirs]]:
    found: dict[str, list[Theirs]] = defaultdict(list)
    for part in _parts(numbers):
        for row in session.execute(
                select(ChannelStatementRow.number, ChannelStatementRow.kind, ChannelStatementRow.amount, ChannelStatement.day)
                .join(ChannelStatement, ChannelStatement.id == ChannelStatementRow.statement_id)
                .where(ChannelStatementRow.number.in_(part), ChannelStatement.channel == channel)
                .order_by(ChannelStatement.day, ChannelStatementRow.position)):
            found[row.number].append(Theirs(row.kind, row.amount, row.day))
    return found


def _parts(numbers: list[str]) -> list[list[str]]:
    return [numbers[start:start + CHUNK] for start in range(0, len(numbers), CHUNK)]


def settle(session: Session, actor: Actor, difference_id: int, *, decision: str, reason: str) -> StatementDifference:
    """What a person found out about a difference. ``explain``: closed with a reason. ``adopt``: the channel's statement
    counts; our payment or return becomes confirmed and recovery goes on from there (an unused payment goes back to its payer).

    :raises NotFound: there is none. :raises Conflict: settled or cleared already. :raises Invalid: nothing to adopt.
    """
    found = session.get(StatementDifference, difference_id)
    if found is None:
        raise NotFound("finance.difference", "没有这条对账差异，请刷新后重试")
    if decision == ADOPT and (found.kind != rules.STATE_DIFF or found.intent_id is None
                              or found.our_state in rules.MOVED[found.act]):
        raise Invalid("finance.adopt", "只有渠道已成功而本院未成功的差异可以按账单改为成功")
    row = StatementDifference
    if not portable.guarded_update(
            session, row, (row.id == difference_id) & row.state.in_((rules.PENDING, rules.OPEN)),
            {"state": "settled", "decision": decision, "reason": reason, "settled_by_name": actor.name,
             "settled_at": now(session), "changed_at": now(session)}):
        session.refresh(found)
        by = f"已由 {found.settled_by_name} 于 {local(found.settled_at):%m-%d %H:%M} 处理" if found.settled_at else "已自动消除"
        raise Conflict("finance.settled", f"该差异{by}，请刷新列表")
    if decision == ADOPT:
        intent = session.get_one(Intent, found.intent_id)
        peer = session.scalar(select(ChannelStatementRow.peer_number).where(ChannelStatementRow.number == found.number)
                              .order_by(ChannelStatementRow.id).limit(1))
        if intent.amount != found.theirs:
            raise Invalid("finance.adopt_amount", f"账单金额 {found.theirs} 元与本院 {intent.amount} 元不同，请先查明原因")
        intents.record(session, actor, intent.id, "statement", Outcome(CONFIRMED, peer, "对账单显示成功"))
    audit.record(session, actor, "statement.settle", "statement_difference", difference_id,
                 {"number": found.number, "kind": found.kind, "decision": decision, "reason": reason})
    session.refresh(found)
    return found
