"""Payments through a channel and their returns: scan, e-CNY, bank card (M1.10, FN-11, FN-15).

A channel is an adapter bound as ``payment:<channel>``; its Chinese name stands in :data:`CHANNELS`. A confirmed payment
that no settlement used goes back to the payer by itself.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import Database, now, of
from his_server.errors import Conflict, Invalid, NotFound, Unavailable
from his_server.security import audit
from modules.kernel.charging.models import Intent
from modules.kernel.charging.ports import CHANNELS, CONFIRMED, REFUSED, UNKNOWN, Outcome, PaymentPort
from modules.kernel.charging.service import intents
from modules.kernel.charging.service.intents import STALE

log = logging.getLogger("his.payment")

CLOSE_AFTER = timedelta(minutes=10)
"""An order that its payer was asked about for so long and didn't pay is closed."""
UNUSED_FOR = timedelta(minutes=15)
"""A confirmed payment that no settlement used for so long is returned."""


def port(database: Database, channel: str) -> PaymentPort:
    """The adapter of a channel. :raises Unavailable: none is bound."""
    found: PaymentPort | None = database.ports.get(f"payment:{channel}")
    if found is None:
        raise Unavailable("payment.no_channel", "该支付渠道未开通，请改用其他支付方式")
    return found


def open_channels(database: Database) -> list[tuple[str, str]]:
    """The channels that can be paid by here: code and Chinese name."""
    return [(code, name) for code, name in CHANNELS.items() if f"payment:{code}" in database.ports]


def take_payment(database: Database, actor: Actor, *, person_id: int, channel: str, amount: Decimal,
                 auth_code: str) -> Intent:
    """Take a payment by the payer's code: three steps, two transactions."""
    with database.begin() as session:
        session.info["actor"] = actor
        intent_id = begin_payment(session, actor, person_id=person_id, channel=channel, amount=amount).id
    return send_payment(database, actor, intent_id, auth_code)


def begin_payment(session: Session, actor: Actor, *, person_id: int, channel: str, amount: Decimal) -> Intent:
    """Write a payment down, to be committed before :func:`send_payment`. :raises Unavailable: the channel isn't open."""
    if amount <= 0:
        raise Invalid("payment.amount", "扫码金额必须大于 0")
    port(of(session), channel)
    intent = intents.write_down(session, actor, purpose="pay", channel=channel, person_id=person_id, amount=amount)
    audit.record(session, actor, "payment.begin", "intent", intent.id, {"amount": str(amount)})
    return intent


def send_payment(database: Database, actor: Actor, intent_id: int, auth_code: str) -> Intent:
    """Take a payment that was written down, once, by the payer's code, which is never stored; where its answer got lost it
    is asked about, not sent again."""
    intent = intents.read(database, intent_id)
    adapter = port(database, intent.channel)
    intents.attempt(database, actor, intent_id, "pay", lambda: adapter.pay(intent.number, intent.amount, auth_code))
    return intents.read(database, intent_id)


def query_payment(database: Database, intent_id: int, actor: Actor = SYSTEM) -> Intent:
    """Ask the channel what became of a payment or return that is not decided yet."""
    return intents.ask(database, actor, intent_id)


def send_refund(database: Database, intent_id: int, actor: Actor = SYSTEM) -> Intent:
    """Send a return to its channel; the channel de-duplicates by our number, so a repeat does no harm."""
    with database.begin() as session:
        intent = session.get(Intent, intent_id)
        if intent is None or intent.purpose != "refund":
            raise NotFound("payment.not_found", "没有这笔退款")
        original = session.get(Intent, intent.returns_intent_id) if intent.returns_intent_id else None
        if original is None:
            raise Conflict("payment.no_original", "找不到原支付流水，请转财务处理")
        adapter = port(database, intent.channel)
        taken = intents.start(session, intent_id, ("created", "unknown", "calling"))
        number, amount, of_number = intent.number, intent.amount, original.number
    if taken:
        intents.attempt(database, actor, intent_id, "refund", lambda: adapter.refund(number, of_number, amount))
    return intents.read(database, intent_id)


def return_unused(session: Session, actor: Actor, intent_id: int) -> Intent:
    """Give a confirmed payment that no settlement used back to the payer: ``confirmed`` → ``reversed``.

    :raises Conflict: it is used, returned, or waits for an insurance settlement that it belongs to.
    """
    if not portable.guarded_update(
            session, Intent, (Intent.id == intent_id) & (Intent.purpose == "pay") & (Intent.state == "confirmed")
            & Intent.held_by_id.is_(None), {"state": "reversed", "changed_at": now(session)}):
        raise Conflict("payment.not_unused", "该笔支付已用于结算、已退回，或正等待医保结算结果")
    paid = session.get(Intent, intent_id)
    assert paid is not None
    back = intents.write_down(session, actor, purpose="refund", channel=paid.channel, person_id=paid.person_id,
                              amount=paid.amount, state="created", returns_intent_id=paid.id,
                              owner_id=paid.owner_id, owner_name=paid.owner_name)
    audit.record(session, actor, "payment.return_unused", "intent", paid.id, {"amount": str(paid.amount)})
    return back


def recover(database: Database, eager: int = 0) -> int:
    """Bring every open payment forward; returns how many were looked at. Runs every few seconds in the worker.

    ``unknown`` and stale ``calling`` are queried; unsent returns are sent; confirmed payments that nobody used are
    returned. A channel that still can't tell leaves the intent where it is, on the worklist. ``eager``: as in the
    other recoveries; payments need no hurry.
    """
    with database.begin(write=False) as session:
        at = now(session)
        rows = intents.pending(session, ("pay", "refund"))
    looked = 0
    for row in rows:
        try:
            looked += _forward(database, row, at - row.changed_at)
        except Exception:  # one that can't move holds nobody else up; the worklist shows it
            log.exception("payment intent %s can't be brought forward", row.id)
    return looked


def _forward(database: Database, row: Any, age: timedelta) -> int:
    if row.state == "calling" and age <= STALE:
        return 0
    if row.purpose == "refund":
        _refund_forward(database, row.id, row.state)
    elif row.state in ("unknown", "calling"):
        query_payment(database, row.id)
    elif row.state == "confirmed" and age > UNUSED_FOR and row.held_by_id is None:
        with database.begin() as session:
            back = return_unused(session, SYSTEM, row.id).id
        send_refund(database, back)
    else:
        return 0
    return 1


def _refund_forward(database: Database, intent_id: int, state: str) -> None:
    """Ask first whether a return with an unknown outcome arrived; send it only when it did not."""
    if state in ("calling", "unknown") and query_payment(database, intent_id).state != "created":
        return
    send_refund(database, intent_id)


def _ask_pay(database: Database, intent: Intent) -> Outcome:
    """What became of a payment. "Not there" counts only once the order is closed: a request that is still on its way can't be
    paid afterwards. So does an order that nobody paid for :data:`CLOSE_AFTER`."""
    adapter, at = port(database, intent.channel), database.clock.now()
    answer = adapter.query(intent.number)
    under_way = intent.state == "calling" and at - intent.changed_at <= STALE
    waited = answer.state == UNKNOWN and at - intent.created_at > CLOSE_AFTER
    if under_way or not (answer.state == REFUSED or waited):
        return answer
    closed = adapter.close(intent.number)
    if closed.state == CONFIRMED:
        return answer if answer.state == REFUSED else Outcome(REFUSED, message="超过时限未支付，订单已关闭")
    return adapter.query(intent.number)  # paid a moment ago


def _ask_refund(database: Database, intent: Intent) -> Outcome:
    return port(database, intent.channel).query_refund(intent.number)


intents.QUESTIONS.update({"pay": _ask_pay, "refund": _ask_refund})
intents.AFTER.append(recover)
