"""Outside payments by the in-doubt protocol (DESIGN section 5).

``intent`` row committed → call with no transaction open → outcome recorded. What stays unknown is asked again by
:func:`recover`; a confirmed payment that no settlement used goes back to the payer by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import Database, now, numbering
from his_server.errors import Conflict, Invalid, NotFound, Unavailable
from his_server.security import audit
from modules.kernel.charging.models import PaymentIntent
from modules.kernel.charging.ports import CONFIRMED, REFUSED, UNKNOWN, Outcome, PaymentPort
from modules.kernel.charging.service.refunding import INTENT_SERIES

log = logging.getLogger("his.payment")

UNUSED_FOR = timedelta(minutes=15)
"""A confirmed payment that no settlement used for so long is returned."""
STALE = timedelta(seconds=30)
"""An intent in ``calling`` for so long belongs to a process that died."""


def port(database: Database, channel: str) -> PaymentPort:
    """The adapter of a channel. :raises Unavailable: none is bound."""
    found: PaymentPort | None = database.ports.get(f"payment:{channel}")
    if found is None:
        raise Unavailable("payment.no_channel", "该支付渠道未开通，请改用其他支付方式")
    return found


def take_payment(database: Database, actor: Actor, *, person_id: int, channel: str, amount: Decimal,
                 auth_code: str) -> PaymentIntent:
    """Take a payment by the payer's code: three steps, two transactions. The code is never stored."""
    if amount <= 0:
        raise Invalid("payment.amount", "扫码金额必须大于 0")
    adapter = port(database, channel)
    with database.begin() as session:
        session.info["actor"] = actor
        at = now(session)
        intent = PaymentIntent(number=numbering.take(session, INTENT_SERIES), purpose="pay", channel=channel,
                               person_id=person_id, amount=amount, state="calling", created_at=at,
                               created_by=actor.user_id, changed_at=at, tries=1)
        session.add(intent)
        session.flush()
        audit.record(session, actor, "payment.begin", "payment_intent", intent.id, {"amount": str(amount)})
    outcome = _ask(lambda: adapter.pay(intent.number, amount, auth_code))
    return record_outcome(database, intent.id, outcome)


def _ask(call: Callable[[], Outcome]) -> Outcome:
    """Run a call; whatever goes wrong on the way is an unknown outcome, never a refusal."""
    try:
        return call()
    except Exception as error:
        log.warning("payment call without an answer: %s", type(error).__name__)
        return Outcome(UNKNOWN, message="支付渠道没有应答")


def record_outcome(database: Database, intent_id: int, outcome: Outcome) -> PaymentIntent:
    """Record what became of a call; a later certainty replaces ``unknown``, never the other way round.

    Money that was taken after all is taken, even where a question was answered "refused" before it arrived.
    """
    before = ["created", "calling", "unknown"] + (["refused"] if outcome.state == CONFIRMED else [])
    with database.begin() as session:
        portable.guarded_update(
            session, PaymentIntent, (PaymentIntent.id == intent_id) & PaymentIntent.state.in_(before),
            {"state": outcome.state, "peer_number": outcome.peer_number, "message": outcome.message[:200],
             "changed_at": now(session)})
        found = session.get(PaymentIntent, intent_id)
        assert found is not None
        session.expunge(found)
        return found


def query_payment(database: Database, intent_id: int) -> PaymentIntent:
    """Ask the channel what became of an intent that is not decided yet.

    "I don't know it" while the call may still be under way decides nothing.
    """
    with database.begin(write=False) as session:
        intent = session.get(PaymentIntent, intent_id)
        if intent is None:
            raise NotFound("payment.not_found", "没有这笔支付")
        session.expunge(intent)
        under_way = intent.state == "calling" and now(session) - intent.changed_at <= STALE
    if intent.state not in ("calling", "unknown"):
        return intent
    adapter = port(database, intent.channel)
    asked = adapter.query if intent.purpose == "pay" else adapter.query_refund
    outcome = _ask(lambda: asked(intent.number))
    if under_way and outcome.state == REFUSED:
        return intent
    return record_outcome(database, intent.id, outcome)


def send_refund(database: Database, intent_id: int) -> PaymentIntent:
    """Send a return to its channel; the channel de-duplicates by our number, so a repeat does no harm."""
    with database.begin() as session:
        taken = portable.guarded_update(
            session, PaymentIntent,
            (PaymentIntent.id == intent_id) & (PaymentIntent.purpose == "refund")
            & PaymentIntent.state.in_(("created", "unknown", "calling")),
            {"state": "calling", "changed_at": now(session), "tries": PaymentIntent.tries + 1})
        intent = session.get(PaymentIntent, intent_id)
        if intent is None:
            raise NotFound("payment.not_found", "没有这笔退款")
        original = session.get(PaymentIntent, intent.returns_intent_id) if intent.returns_intent_id else None
        session.expunge_all()
    if not taken:
        return intent
    if original is None:
        raise Conflict("payment.no_original", "找不到原支付流水，请转财务处理")
    adapter = port(database, intent.channel)
    return record_outcome(database, intent.id,
                          _ask(lambda: adapter.refund(intent.number, original.number, intent.amount)))


def return_unused(session: Session, actor: Actor, intent_id: int) -> PaymentIntent:
    """Give a confirmed payment that no settlement used back to the payer: ``confirmed`` → ``reversed``."""
    if not portable.guarded_update(
            session, PaymentIntent, (PaymentIntent.id == intent_id) & (PaymentIntent.purpose == "pay")
            & (PaymentIntent.state == "confirmed"), {"state": "reversed", "changed_at": now(session)}):
        raise Conflict("payment.not_unused", "该笔支付已用于结算或已退回")
    paid = session.get(PaymentIntent, intent_id)
    assert paid is not None
    at = now(session)
    back = PaymentIntent(number=numbering.take(session, INTENT_SERIES), purpose="refund", channel=paid.channel,
                         person_id=paid.person_id, amount=paid.amount, state="created", returns_intent_id=paid.id,
                         created_at=at, created_by=actor.user_id, changed_at=at, tries=0)
    session.add(back)
    session.flush()
    audit.record(session, actor, "payment.return_unused", "payment_intent", paid.id, {"amount": str(paid.amount)})
    return back


def recover(database: Database) -> int:
    """Bring every open intent forward; returns how many were looked at. Runs every few seconds in the worker.

    ``unknown`` and stale ``calling`` are queried; unsent returns are sent; confirmed payments that nobody used are
    returned. A channel that still can't tell leaves the intent where it is, on the worklist.
    """
    with database.begin(write=False) as session:
        at = now(session)
        rows = session.execute(
            select(PaymentIntent.id, PaymentIntent.purpose, PaymentIntent.state, PaymentIntent.changed_at)
            .where(PaymentIntent.state.in_(("created", "calling", "unknown", "confirmed")))
            .order_by(PaymentIntent.changed_at).limit(200)).all()
    looked = 0
    for row in rows:
        age = at - row.changed_at
        if row.purpose == "refund" and row.state in ("created", "unknown", "calling") and (
                row.state != "calling" or age > STALE):
            _refund_forward(database, row.id, row.state)
        elif row.purpose == "pay" and row.state in ("unknown", "calling") and (row.state == "unknown" or age > STALE):
            query_payment(database, row.id)
        elif row.purpose == "pay" and row.state == "confirmed" and age > UNUSED_FOR:
            with database.begin() as session:
                back = return_unused(session, SYSTEM, row.id)
            send_refund(database, back.id)
        else:
            continue
        looked += 1
    return looked


def _refund_forward(database: Database, intent_id: int, state: str) -> None:
    """Ask first whether a return with an unknown outcome arrived; send it only when it did not."""
    if state in ("unknown", "calling"):
        found = query_payment(database, intent_id)
        if found.state in (CONFIRMED,):
            return
        if found.state == REFUSED:
            with database.begin() as session:  # "refused" by a query means: never arrived
                portable.guarded_update(session, PaymentIntent, PaymentIntent.id == intent_id, {"state": "created"})
    send_refund(database, intent_id)
