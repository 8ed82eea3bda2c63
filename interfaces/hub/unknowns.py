"""The worklist of what has no clear outcome yet, across all interfaces: calls that were never answered (intents) and
messages that are stuck (deliveries); what was tried, when it goes on, who sees to it, and the way on (issue 6, item 3).

Implements: A3, M1.10
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import and_, literal, or_, select, union_all
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import Database, now, of
from his_server.errors import NotFound, invalid
from his_server.messaging import service as messaging
from his_server.messaging.outbox import Delivery, OutboxEvent
from his_server.security import audit
from interfaces.hub.calls import package_of
from interfaces.hub.manifests import all_manifests
from interfaces.hub.models import InterfaceCall
from interfaces.hub.names import event_title
from modules.kernel.charging.models import Intent, IntentTry
from modules.kernel.charging.queries.listings import WAYS_ON
from modules.kernel.charging.service import intents

PURPOSES = {"pay": "收款", "refund": "退款", "insure": "医保结算", "uninsure": "医保撤销", "issue": "开电子票", "red": "冲红"}
STATES = {"created": "待重发", "calling": "没有应答", "unknown": "结果未明", "confirmed": "待入账", "refused": "被拒绝",
          **messaging.STATE_NAMES}
DELIVERY_WAYS = {
    "asked": "向对方核实：已收到则确认，没有收到则重新发送", "dead": "排除原因后重新发送；不再需要则放弃",
    "waiting": "到时自动重发；对方已恢复可立即重发"}
TRIES = 50


def _stuck() -> Any:
    return or_(Delivery.state.in_(("asked", "dead")), and_(Delivery.state == "waiting", Delivery.attempts > 0))


def listing(session: Session, *, kind: str | None, limit: int, after: str | None) -> dict[str, Any]:
    """Undecided intents and stuck deliveries, longest waiting first; two queries for any number of rows."""
    begin = portable.decode_cursor(after) if after else None
    if begin is not None and not (len(begin) == 2 and isinstance(begin[0], datetime) and isinstance(begin[1], int)):
        raise invalid("after", "翻页标记有误，请从第一页重新查询")
    found: list[tuple[datetime, int, dict[str, Any]]] = []
    if kind in (None, "intent"):
        query = portable.keyset(select(Intent).where(intents.needs_somebody(now(session))),
                                [(Intent.created_at, "asc"), (Intent.id, "asc")], begin, limit + 1)
        found += [(row.created_at, row.id, _intent(session, row)) for row in session.scalars(query)]
    if kind in (None, "delivery"):
        query = portable.keyset(select(Delivery, OutboxEvent.type).join(OutboxEvent, OutboxEvent.id == Delivery.event_id)
                                .where(_stuck()), [(Delivery.occurred_at, "asc"), (Delivery.id, "asc")], begin, limit + 1)
        found += [(row.Delivery.occurred_at, row.Delivery.id, _delivery(row.Delivery, row.type))
                  for row in session.execute(query)]
    found.sort(key=lambda one: one[:2])
    last = found[limit - 1] if len(found) > limit else None
    return {"items": [one[2] for one in found[:limit]], "next": portable.encode_cursor(last[:2]) if last else None}


def _intent(session: Session, row: Intent) -> dict[str, Any]:
    return {"key": f"intent-{row.id}", "kind": "intent", "id": row.id, "at": row.created_at,
            "interface": _interface(session, row),
            "what": PURPOSES.get(row.purpose, row.purpose), "number": row.number, "amount": row.amount, "state": row.state,
            "state_name": STATES.get(row.state, row.state), "tries": row.tries, "changed_at": row.changed_at, "next_at": None,
            "owner": row.owner_name or "财务科", "message": row.message or "", "way_on": WAYS_ON[row.purpose]}


def _interface(session: Session, row: Intent) -> str:
    port = {"insure": "insurance", "uninsure": "insurance", "issue": "invoice", "red": "invoice"}.get(
        row.purpose, f"payment:{row.channel}")
    manifest = all_manifests().get(package_of(of(session).ports.get(port)))
    return manifest.name if manifest else row.channel


def _delivery(row: Delivery, event: str) -> dict[str, Any]:
    manifest = all_manifests().get(row.destination)
    return {"key": f"delivery-{row.id}", "kind": "delivery", "id": row.id, "at": row.occurred_at,
            "interface": manifest.name if manifest else row.destination, "what": event_title(event), "number": row.business_key,
            "amount": None, "state": row.state, "state_name": STATES[row.state], "tries": row.attempts, "changed_at": None,
            "next_at": row.next_at if row.state == "waiting" else None,
            "owner": (manifest.owner if manifest else "") or "信息科", "message": row.last_error or "",
            "way_on": DELIVERY_WAYS.get(row.state, "")}


def detail(session: Session, kind: str, row_id: int) -> dict[str, Any]:
    """One of them with all that was tried. :raises NotFound: there is none."""
    if kind == "intent":
        row = session.get(Intent, row_id)
        if row is None:
            raise NotFound("hub.unknown", "没有这笔往来，请刷新列表")
        tries = session.scalars(select(IntentTry).where(IntentTry.intent_id == row_id).order_by(IntentTry.at, IntentTry.id)
                                .limit(TRIES))
        return {**_intent(session, row), "tried": [
            {"at": one.at, "what": one.act, "outcome": one.outcome, "message": one.message or "", "by": one.by_name,
             "call_id": None} for one in tries]}
    found = session.execute(select(Delivery, OutboxEvent.type).join(OutboxEvent, OutboxEvent.id == Delivery.event_id)
                            .where(Delivery.id == row_id)).first()
    if found is None:
        raise NotFound("hub.unknown", "没有这条消息，请刷新列表")
    call, delivery = InterfaceCall, found.Delivery
    calls = session.execute(
        select(call.id, call.started_at, call.operation, call.outcome, call.message, call.actor_name)
        .where(call.business_key == delivery.business_key, call.interface == delivery.destination)
        .order_by(call.started_at).limit(TRIES))
    return {**_delivery(delivery, found.type), "tried": [
        {"at": one.started_at, "what": one.operation, "outcome": one.outcome, "message": one.message, "by": one.actor_name,
         "call_id": one.id} for one in calls]}


def ask(database: Database, actor: Actor, intent_id: int, reason: str) -> str:
    """Ask the peer about an intent and let its documents follow; says in Chinese what came of it."""
    with database.begin() as session:
        row = session.get(Intent, intent_id)
        if row is None:
            raise NotFound("hub.unknown", "没有这笔往来，请刷新列表")
        audit.record(session, actor, "hub.ask", "intent", intent_id, {"number": row.number, "reason": reason})
    after = intents.ask(database, actor, intent_id)
    intents.go_on(database, intent_id)
    return f"{STATES.get(after.state, after.state)}：{after.message or '对方没有说明'}"


DECISIONS = {"resend": messaging.resend, "confirm": messaging.confirm, "drop": messaging.drop}


def overview(session: Session) -> dict[str, dict[str, Any]]:
    """How each interface's line is, by package: ``ok``, ``silent`` (the newest call had no answer), ``resting`` (the
    breaker let none through) or empty (never called); when it was called last. One query for all interfaces."""
    call = InterfaceCall
    newest = [select(select(literal(package).label("package"), call.outcome, call.message, call.answer_size,
                            call.started_at)
                     .where(call.interface == package).order_by(call.started_at.desc(), call.id.desc()).limit(1).subquery())
              for package in all_manifests()]
    found: Mapping[str, Any] = {row.package: row for row in session.execute(union_all(*newest))}
    return {package: {"line": _line(found[package]) if package in found else "",
                      "last_at": found[package].started_at if package in found else None} for package in all_manifests()}


def _line(row: Any) -> str:
    if row.outcome == "failed" and "暂停调用" in row.message:
        return "resting"
    heard = row.answer_size > len("null")  # "I can't tell yet" is an answer
    return "ok" if heard or row.outcome in ("ok", "refused") else "silent"
