"""Calls outside whose answer may be lost: one mechanism for payments, insurance and e-invoices (DESIGN section 5).

Implements: M1.10, YB-02, FN-15

Intent row committed → call with no unit of work open → outcome recorded, each attempt as a row of its own. ``unknown`` is
never guessed: it is asked about until the peer can tell, or until a person with the permission says what they found out.
Payments, insurance and invoices build on :func:`write_down`, :func:`attempt` and :func:`ask`; how a purpose asks its
peer stands in :data:`QUESTIONS`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import Database, now, numbering
from his_server.errors import Conflict, Forbidden, Invalid, NotFound
from his_server.security import audit
from modules.kernel.charging.models import Intent, IntentTry
from modules.kernel.charging.ports import CONFIRMED, REFUSED, UNKNOWN, Outcome

log = logging.getLogger("his.intent")

INTENT_SERIES = numbering.Series("payment_intent", "支付流水号", "P{date:%Y%m%d}{n:09d}", per_day=True)
STALE = timedelta(seconds=30)
"""An intent in ``calling`` for so long belongs to a process that died."""
UNDECIDED = ("created", "calling", "unknown")
MUST_PASS = ("refund", "uninsure", "issue", "red")
"""Purposes whose refusal is nobody's wish: money or a paper is owed, so they stay on the worklist until decided."""

QUESTIONS: dict[str, Callable[[Database, Intent], Outcome]] = {}
"""How to ask the peer what became of an intent, by purpose."""
KEEP: dict[str, Callable[[Session, int, Outcome], None]] = {}
"""What else is recorded with a confirmed answer, in the same unit of work, by purpose."""
DECIDED: dict[str, Callable[[Session, int], None]] = {}
"""What is recorded where a person decided that a call was confirmed after all, by purpose."""
AFTER: list[Callable[[Database, int], int]] = []
"""What brings documents forward once their intents are decided; run after a person asked or decided."""


def write_down(session: Session, actor: Actor, *, purpose: str, channel: str, person_id: int, amount: Decimal,
               state: str = "calling", **more: Any) -> Intent:
    """The row before the call; the caller commits it, then calls. ``state`` created when the call comes later."""
    at = now(session)
    intent = Intent(**{
        "number": numbering.take(session, INTENT_SERIES), "purpose": purpose, "channel": channel,
        "person_id": person_id, "amount": amount, "state": state, "created_at": at, "created_by": actor.user_id,
        "created_by_name": actor.name, "owner_id": actor.user_id, "owner_name": actor.name, "changed_at": at,
        "tries": int(state == "calling"), **more})
    session.add(intent)
    session.flush()
    return intent


def start(session: Session, intent_id: int, before: tuple[str, ...], **values: Any) -> bool:
    """Take an intent into ``calling``; False when somebody else has it."""
    return bool(portable.guarded_update(
        session, Intent, (Intent.id == intent_id) & Intent.state.in_(before),
        {"state": "calling", "changed_at": now(session), "tries": Intent.tries + 1, **values}))


def attempt(database: Database, actor: Actor, intent_id: int, act: str, call: Callable[[], Outcome],
            also: Callable[[Session, int, Outcome], None] | None = None) -> Outcome:
    """Make a call with no unit of work open and record what came of it; an exception is an unknown outcome.

    ``also`` records more in the same unit of work when the peer confirmed.
    """
    try:
        answer = call()
    except Exception as error:
        log.warning("%s of intent %s without an answer: %s", act, intent_id, type(error).__name__)
        answer = Outcome(UNKNOWN, message="对方没有应答")
    with database.begin() as session:
        session.info["actor"] = actor
        record(session, actor, intent_id, act, answer)
        if also is not None and answer.state == CONFIRMED:
            also(session, intent_id, answer)
    return answer


def record(session: Session, actor: Actor, intent_id: int, act: str, answer: Outcome) -> None:
    """Record what became of a call; a later certainty replaces ``unknown``, never the other way round.

    Money that was taken after all is taken, even where a question was answered "refused" before it arrived.
    """
    before = ["created", "calling", "unknown"] + (["refused"] if answer.state == CONFIRMED else [])
    at = now(session)
    note(session, actor, intent_id, act, answer)
    values = {"state": answer.state, "message": answer.message[:200], "changed_at": at}
    if answer.peer_number:
        values["peer_number"] = answer.peer_number
    portable.guarded_update(session, Intent, (Intent.id == intent_id) & Intent.state.in_(before), values)


def note(session: Session, actor: Actor, intent_id: int, act: str, answer: Outcome) -> None:
    """Keep what was tried, without deciding anything by it."""
    session.add(IntentTry(intent_id=intent_id, act=act, at=now(session), outcome=answer.state,
                          message=answer.message[:200], cause=answer.cause[:30] or None, by_name=actor.name))
    session.flush()


def read(database: Database, intent_id: int) -> Intent:
    """An intent as it is now, apart from any session. :raises NotFound: there is none."""
    with database.begin(write=False) as session:
        found = session.get(Intent, intent_id)
        if found is None:
            raise NotFound("payment.not_found", "没有这笔流水，请刷新后重试")
        session.expunge(found)
        return found


def ask(database: Database, actor: Actor, intent_id: int) -> Intent:
    """Ask the peer what became of an intent that is not decided yet.

    "I don't know it" while the call may still be under way decides nothing; of what must pass it means that it has to be
    sent (``created``).
    """
    intent = read(database, intent_id)
    if intent.state not in ("calling", "unknown"):
        return intent
    under_way = intent.state == "calling" and database.clock.now() - intent.changed_at <= STALE
    question = QUESTIONS[intent.purpose]

    def call() -> Outcome:
        answer = question(database, intent)
        if answer.state != REFUSED:
            return answer
        if under_way:
            raise TimeoutError("the call is under way")
        # what must pass and never arrived is sent again; only an answer to the call itself refuses it
        return replace(answer, state="created") if intent.purpose in MUST_PASS else answer

    if under_way:
        try:
            answer = call()
        except Exception as error:
            log.info("intent %s asked while under way: %s", intent_id, type(error).__name__)
            return intent
        if answer.state != CONFIRMED:
            return intent
        with database.begin() as session:
            record(session, actor, intent_id, "query", answer)
            if intent.purpose in KEEP:
                KEEP[intent.purpose](session, intent_id, answer)
    else:
        attempt(database, actor, intent_id, "query", call, KEEP.get(intent.purpose))
    return read(database, intent_id)


def pending(session: Session, purposes: tuple[str, ...], limit: int = 200) -> list[Any]:
    """Intents of these purposes that aren't at their end, longest untouched first.

    A confirmed payment or insurance settlement has still to be used or returned; other purposes end with confirmation.
    """
    return list(session.execute(
        select(Intent.id, Intent.purpose, Intent.state, Intent.changed_at, Intent.held_by_id)
        .where(Intent.purpose.in_(purposes), or_(
            Intent.state.in_(UNDECIDED), and_(Intent.state == CONFIRMED, Intent.purpose.in_(("pay", "insure")))))
        .order_by(Intent.changed_at).limit(limit)))


# The worklist


def needs_somebody(at: Any) -> Any:
    """The condition of the worklist: unknown, left over by a dead process, or refused although it must pass."""
    return or_(
        Intent.state == "unknown",
        and_(Intent.state == "calling", Intent.changed_at < at - STALE),
        and_(Intent.state == "created", Intent.purpose.in_(("refund", "uninsure")), Intent.changed_at < at - 4 * STALE),
        and_(Intent.state == CONFIRMED, Intent.purpose == "insure", Intent.changed_at < at - 4 * STALE),
        and_(Intent.state == "refused", Intent.purpose.in_(MUST_PASS), Intent.decided_at.is_(None)))


def take_over(session: Session, actor: Actor, intent_id: int) -> Intent:
    """Become the owner of a worklist row: who sees to it that it ends. :raises Conflict: it is decided already."""
    if not portable.guarded_update(session, Intent, (Intent.id == intent_id) & needs_somebody(now(session)),
                                   {"owner_id": actor.user_id, "owner_name": actor.name}):
        raise Conflict("intent.decided", "该笔已有结果，请刷新列表")
    found = session.get(Intent, intent_id, populate_existing=True)
    assert found is not None
    audit.record(session, actor, "intent.take_over", "intent", intent_id, {"number": found.number})
    return found


def decide(session: Session, actor: Actor, intent_id: int, *, outcome: str, reason: str) -> Intent:
    """Say by hand what became of an intent, as found out from the peer by telephone or statement.

    Never by whom began it; only where asking the peer hasn't settled it. ``outcome``: confirmed, refused, or again
    (send a refused one once more). Recovery goes on from there as if the peer had said it.
    :raises Forbidden: one's own. :raises Conflict: it is decided already (by whom and when).
    """
    found = session.get(Intent, intent_id)
    if found is None:
        raise NotFound("payment.not_found", "没有这笔流水，请刷新后重试")
    if found.created_by == actor.user_id:
        raise Forbidden("intent.own", "不能认定自己经办的流水，请由他人核实后处理")
    if outcome == "again" and (found.state != REFUSED or found.purpose not in MUST_PASS):
        raise Invalid("intent.again", "只有被拒绝的退款、撤销、开票可以重新发送")
    if outcome == REFUSED and found.state == REFUSED:
        raise Invalid("intent.refused", "该笔已被对方拒绝，请重新发送，或查实已完成后认定为成功")
    state = "created" if outcome == "again" else outcome
    if not portable.guarded_update(
            session, Intent, (Intent.id == intent_id) & needs_somebody(now(session)),
            {"state": state, "changed_at": now(session), "decision": reason[:200], "decided_by": actor.user_id,
             "decided_by_name": actor.name, "decided_at": None if outcome == "again" else now(session)}):
        session.refresh(found)
        when = f"{local(found.changed_at):%m-%d %H:%M}"
        raise Conflict("intent.decided", f"该笔已于 {when} 有结果（{found.decided_by_name or '对方已答复'}），请刷新列表")
    if outcome == CONFIRMED and found.purpose in DECIDED:
        DECIDED[found.purpose](session, intent_id)
    session.add(IntentTry(intent_id=intent_id, act="decide", at=now(session), outcome=state, message=reason[:200],
                          by_name=actor.name))
    audit.record(session, actor, "intent.decide", "intent", intent_id,
                 {"number": found.number, "outcome": outcome, "reason": reason})
    session.flush()
    session.refresh(found)
    return found


def go_on(database: Database, intent_id: int) -> int:
    """Let documents follow a decided intent now, not at the next run of the recovery."""
    return sum(step(database, intent_id) for step in AFTER)
