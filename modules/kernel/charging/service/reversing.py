"""Reversing what the insurer settled: of a settlement that the ledger could not take, or of a refund (YB-02, M1.14)."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import Database, now
from his_server.errors import Unavailable
from his_server.security import audit
from modules.kernel.charging import rules
from modules.kernel.charging.models import InsuranceClaim, Intent
from modules.kernel.charging.ports import CONFIRMED, InsurancePort, Outcome
from modules.kernel.charging.service import intents
from modules.kernel.charging.service.intents import STALE


def port(database: Database, channel: str = rules.INSURER) -> InsurancePort:
    """The insurer's adapter; that of another channel answers the same questions about what was settled there.

    :raises Unavailable: none is bound.
    """
    found: InsurancePort | None = database.ports.get(channel)
    if found is None:
        raise Unavailable("insurance.none", "医保接口未开通，请按自费收取或联系医保办")
    return found


def release(session: Session, intent_id: int) -> None:
    """Payments that waited for the insurer are free again."""
    portable.guarded_update(session, Intent, Intent.held_by_id == intent_id, {"held_by_id": None})


# Undoing


def undo(database: Database, actor: Actor, intent_id: int, message: str) -> None:
    """Reverse a confirmed settlement that the ledger did not take: ``confirmed`` → ``reversed``, and tell the insurer."""
    with database.begin() as session:
        session.info["actor"] = actor
        if not portable.guarded_update(session, Intent, (Intent.id == intent_id) & (Intent.state == CONFIRMED),
                                       {"state": "reversed", "message": message[:200], "changed_at": now(session)}):
            return
        release(session, intent_id)
        back = reversal(session, actor, intent_id).id
        audit.record(session, actor, "insurance.undo", "intent", intent_id, {"why": message})
    send_reversal(database, actor, back)


def reversal(session: Session, actor: Actor, intent_id: int) -> Intent:
    """The row of a reversal that :func:`send_reversal` sends."""
    original = session.get(Intent, intent_id)
    assert original is not None
    return intents.write_down(
        session, actor, purpose="uninsure", channel=original.channel, person_id=original.person_id, amount=original.amount,
        state="created", returns_intent_id=intent_id, settlement_id=original.settlement_id,
        **({} if actor.user_id else {"owner_id": original.owner_id, "owner_name": original.owner_name}))


def send_reversal(database: Database, actor: Actor, intent_id: int) -> Intent:
    """Send a reversal to the insurer; a repeat undoes nothing twice."""
    with database.begin() as session:
        intent = session.get(Intent, intent_id)
        assert intent is not None and intent.returns_intent_id is not None
        adapter = port(database, intent.channel)
        number, original = intent.number, session.get_one(Intent, intent.returns_intent_id).number
        taken = intents.start(session, intent_id, ("created",))
    if taken:
        intents.attempt(database, actor, intent_id, "reverse", lambda: adapter.reverse(number, original), keep)
    return intents.read(database, intent_id)


def keep(session: Session, intent_id: int, _answer: Outcome | None = None) -> None:
    """Beside a confirmed reversal: when the claim's settlement ended at the insurer."""
    of = select(Intent.returns_intent_id).where(Intent.id == intent_id).scalar_subquery()
    portable.guarded_update(session, InsuranceClaim, (InsuranceClaim.intent_id == of)
                            & InsuranceClaim.peer_reversed_at.is_(None), {"peer_reversed_at": now(session)})


def _ask_reversal(database: Database, intent: Intent) -> Outcome:
    assert intent.returns_intent_id is not None
    original = intents.read(database, intent.returns_intent_id)
    return port(database, intent.channel).query_reversal(intent.number, original.number)


def forward(database: Database, intent_id: int, state: str, age: timedelta) -> int:
    """Ask first whether a reversal arrived; send it only when the settlement still stands."""
    if state == "calling" and age <= STALE:
        return 0
    if state in ("calling", "unknown") and intents.ask(database, SYSTEM, intent_id).state != "created":
        return 1
    send_reversal(database, SYSTEM, intent_id)
    return 1


intents.QUESTIONS["uninsure"] = _ask_reversal
intents.KEEP["uninsure"] = keep
intents.DECIDED["uninsure"] = keep
