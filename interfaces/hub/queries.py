"""Reads of the log page: one box that understands what was typed, lists by key, a timeline across systems (A3)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, or_, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now
from his_server.errors import NotFound, invalid
from his_server.messaging.outbox import Delivery, OutboxEvent
from his_server.security.audit import AuditRow
from his_server.security.events import title_of
from interfaces.hub import rules
from interfaces.hub.manifests import all_manifests
from interfaces.hub.models import CallTerm, InterfaceCall
from interfaces.hub.names import event_title
from modules.kernel.charging.models import Intent, Settlement
from modules.kernel.encounters.models import Encounter
from modules.kernel.patients import queries as patients

MOST_TERMS = 6
_NUMBER = re.compile(r"[A-Za-z]{0,8}[-A-Za-z0-9_]*[0-9][-A-Za-z0-9_]*")
"""What our numbers look like: nothing else is looked up as one."""
_TRACE = re.compile(r"[0-9a-z]{8,40}")
LIST = ("id", "started_at", "trace_id", "interface", "operation", "direction", "business_key", "person_id", "actor_name",
        "outcome", "peer_number", "message", "duration_ms", "request_size", "answer_size")
_COLUMNS = [getattr(InterfaceCall, name) for name in LIST]
CHAIN_LIMIT = 200


_SETTLEMENT = select(Settlement.id, Settlement.number).where(Settlement.number == bindparam("b_number"))
_INTENTS = select(Intent.number).where(Intent.settlement_id == bindparam("b_settlement"))
_VISIT = (select(Encounter.visit_no, Encounter.person_id, Encounter.started_at)
          .where(Encounter.visit_no == bindparam("b_number")))
_ABOUT = select(InterfaceCall.id).where(InterfaceCall.business_key == bindparam("b_number")).limit(1)
_TRACED = select(InterfaceCall.id).where(InterfaceCall.trace_id == bindparam("b_trace")).limit(1)
_TERMED = (select(CallTerm.call_id).where(CallTerm.term == bindparam("b_term")).order_by(CallTerm.call_id.desc()).limit(20)
           .subquery())
_PEER = (select(InterfaceCall.id).join(_TERMED, _TERMED.c.call_id == InterfaceCall.id)
         .where(InterfaceCall.peer_number == bindparam("b_peer")).limit(1))
_TRACES = (select(OutboxEvent.trace_id).where(OutboxEvent.business_key.in_(bindparam("b_numbers", expanding=True)))
           .limit(50))


@dataclass(frozen=True)
class Understood:
    """What a text was taken for; which condition finds its calls, and the condition's values."""

    what: str
    kind: str = "all"
    values: Mapping[str, Any] = field(default_factory=dict)


def person_of(session: Session, number: str) -> int | None:
    """Whose matter a number of ours is, where it is a payment's, an insurer's or an invoice's; one query."""
    return session.scalar(select(Intent.person_id).where(Intent.number == number)) if number else None


def understand(session: Session, actor: Actor, text: str) -> Understood:
    """What was typed: a settlement's or visit's number, any number of ours, a transaction, a patient, or words.

    Tried in this order; at most seven queries, each by an index.
    """
    text = text.strip()
    if not text:
        return Understood("全部")
    upper = text.upper()
    if _NUMBER.fullmatch(text) and (known := _number(session, upper)):
        return known
    for code, title in _operations():
        if upper == code.upper() or text == title:
            return Understood(f"交易 {code} {title}", "operation", {"b_asked_operation": code})
    for manifest in all_manifests().values():
        if text in (manifest.package, manifest.name, manifest.id):
            return Understood(f"接口 {manifest.name}", "interface", {"b_asked_interface": manifest.package})
    connection = session.connection()
    if _NUMBER.fullmatch(text) and portable.fetch(connection, _ABOUT, {"b_number": upper}):
        return _matter(session, f"业务号 {upper}", {upper})
    if _TRACE.fullmatch(text.lower()) and portable.fetch(connection, _TRACED, {"b_trace": text.lower()}):
        return Understood("追踪号", "trace", {"b_trace": text.lower()})
    if _NUMBER.fullmatch(text) and portable.fetch(connection, _PEER, {"b_term": text.lower(), "b_peer": text}):
        return Understood(f"对方流水号 {text}", "words 1", {"b_word_0": text.lower()})
    if found := patients.search(session, actor, text, 20):
        return Understood(f"病人 {found[0]['name']}" + (f" 等 {len(found)} 人" if len(found) > 1 else ""),
                          "persons", {"b_persons": [person["id"] for person in found]})
    words = sorted(rules.terms(text), key=len, reverse=True)[:MOST_TERMS]
    if not words:
        raise invalid("q", "请输入病人、业务号、交易代码或报错文字")
    return Understood("报错文字 " + text, f"words {len(words)}", {f"b_word_{n}": word for n, word in enumerate(words)})


def _number(session: Session, number: str) -> Understood | None:
    """A settlement's or a visit's number."""
    connection = session.connection()
    for settlement in portable.fetch(connection, _SETTLEMENT, {"b_number": number}):
        intents = portable.fetch(connection, _INTENTS, {"b_settlement": settlement.id})
        return _matter(session, f"结算 {number}", {number, *(intent.number for intent in intents)})
    for visit in portable.fetch(connection, _VISIT, {"b_number": number}):
        return Understood(f"就诊 {number}", "visit", {"b_person": visit.person_id,
                                                    "b_since": visit.started_at - timedelta(hours=1)})
    return None


def _matter(session: Session, what: str, numbers: set[str]) -> Understood:
    """Calls about these numbers, and those that their events led to."""
    values = {"b_numbers": sorted(numbers)}
    traces = {row.trace_id for row in portable.fetch(session.connection(), _TRACES, values)} - {""}
    return Understood(what, "traced", {**values, "b_traces": sorted(traces)}) if traces else Understood(what, "about", values)


def _condition(kind: str) -> ColumnElement[bool] | None:
    """What finds the calls that a text means, with bind parameters for its values; None: all."""
    call = InterfaceCall
    if kind.startswith("words "):
        first, *others = (bindparam(f"b_word_{n}") for n in range(int(kind.split()[1])))
        chosen = select(CallTerm.call_id).where(CallTerm.term == first)
        for word in others:
            chosen = chosen.where(CallTerm.call_id.in_(select(CallTerm.call_id).where(CallTerm.term == word)))
        return call.id.in_(chosen)
    about = call.business_key.in_(bindparam("b_numbers", expanding=True))
    found: dict[str, ColumnElement[bool]] = {
        "about": about,
        "traced": or_(about, call.trace_id.in_(bindparam("b_traces", expanding=True))),
        "visit": and_(call.person_id == bindparam("b_person"), call.started_at >= bindparam("b_since")),
        "operation": call.operation == bindparam("b_asked_operation"),
        "interface": call.interface == bindparam("b_asked_interface"),
        "trace": call.trace_id == bindparam("b_trace"),
        "persons": call.person_id.in_(bindparam("b_persons", expanding=True)),
    }
    return found.get(kind)


def _operations() -> list[tuple[str, str]]:
    return [pair for manifest in all_manifests().values() for pair in manifest.operations]


def titles() -> dict[str, str]:
    """Chinese names of transactions by ``interface.operation``."""
    return {f"{m.package}.{code}": title for m in all_manifests().values() for code, title in m.operations}


def search(session: Session, actor: Actor, *, q: str, interface: str | None, operation: str | None, outcome: str | None,
           direction: str | None, start: datetime | None, end: datetime | None, limit: int, after: str | None
           ) -> dict[str, Any]:
    """One page of calls, newest first, and what ``q`` was taken for."""
    understood = understand(session, actor, q)
    begin = portable.decode_cursor(after) if after else None
    if begin is not None and not (len(begin) == 2 and isinstance(begin[0], datetime) and isinstance(begin[1], int)):
        raise invalid("after", "翻页标记有误，请从第一页重新查询")
    filters = {name: value for name, value in (
        ("interface", interface), ("operation", operation), ("outcome", outcome), ("direction", direction),
        ("start", start), ("end", end)) if value}
    values = {**understood.values, "b_limit": limit + 1, **{f"b_{name}": value for name, value in filters.items()}}
    if begin is not None:
        values |= {"b_after_at": begin[0], "b_after_id": begin[1]}
    statement = _page(understood.kind, tuple(filters), begin is not None)
    rows = portable.fetch(session.connection(), statement, values)
    last = rows[limit - 1] if len(rows) > limit else None
    return {"understood": understood.what, "items": [_item(row) for row in rows[:limit]],
            "next": portable.encode_cursor((last.started_at, last.id)) if last else None}


@cache
def _page(kind: str, filters: tuple[str, ...], later: bool) -> Select[Any]:
    """The statement of a page, by what was asked; its values are bind parameters, so that it is compiled once."""
    call = InterfaceCall
    query = select(*_COLUMNS)
    condition = _condition(kind)
    if condition is not None:
        query = query.where(condition)
    for name in filters:
        value = bindparam(f"b_{name}")
        query = query.where(call.started_at >= value if name == "start" else call.started_at < value if name == "end"
                            else getattr(call, name) == value)
    at, key = InterfaceCall.started_at, InterfaceCall.id
    after = (bindparam("b_after_at", type_=at.type), bindparam("b_after_id", type_=key.type)) if later else None
    return portable.keyset(query, [(at, "desc"), (key, "desc")], after, 1).limit(bindparam("b_limit"))


@cache
def _names() -> dict[str, tuple[str, dict[str, str]]]:
    return {manifest.package: (manifest.name, dict(manifest.operations)) for manifest in all_manifests().values()}


def _item(row: Any) -> dict[str, Any]:
    interface, operations = _names().get(row.interface, (row.interface, {}))
    return {**{name: getattr(row, name) for name in LIST}, "interface_name": interface,
            "operation_name": operations.get(row.operation, row.operation)}


def detail(session: Session, call_id: int) -> dict[str, Any]:
    """A call with its masked bodies, and the other attempts at the same. :raises NotFound: there is none."""
    row = session.get(InterfaceCall, call_id)
    if row is None:
        raise NotFound("hub.call", "没有这次接口调用，可能已过保存期")
    attempts = session.execute(
        select(*_COLUMNS).where(InterfaceCall.business_key == row.business_key, InterfaceCall.interface == row.interface,
                                InterfaceCall.operation == row.operation, InterfaceCall.business_key != "")
        .order_by(InterfaceCall.started_at).limit(50)).all()
    return {**_item(row), "request": row.request_masked, "answer": row.answer_masked,
            "attempts": [_item(found) for found in attempts]}


@dataclass
class _Chain:
    traces: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)


def timeline(session: Session, call_id: int) -> dict[str, Any]:
    """One business action across all systems: calls, events, deliveries and what people did, in order of time.

    From the call's trace and number to what shares either, once more from there; about ten queries, each by an index.
    """
    row = session.get(InterfaceCall, call_id)
    if row is None:
        raise NotFound("hub.call", "没有这次接口调用，可能已过保存期")
    chain = _Chain({row.trace_id} - {""}, {row.business_key} - {""})
    _widen(session, chain)
    call = InterfaceCall
    calls = session.execute(
        select(*_COLUMNS).where(or_(call.business_key.in_(chain.numbers), call.trace_id.in_(chain.traces)))
        .order_by(call.started_at).limit(CHAIN_LIMIT)).all()
    events = session.execute(
        select(OutboxEvent.id, OutboxEvent.type, OutboxEvent.business_key, OutboxEvent.occurred_at)
        .where(OutboxEvent.business_key.in_(chain.numbers)).order_by(OutboxEvent.occurred_at).limit(CHAIN_LIMIT)).all()
    deliveries = session.execute(
        select(Delivery.id, Delivery.destination, Delivery.state, Delivery.attempts, Delivery.last_error,
               Delivery.occurred_at, Delivery.finished_at).where(Delivery.event_id.in_([e.id for e in events]))).all()
    acts = session.execute(
        select(AuditRow.at, AuditRow.event, AuditRow.name, AuditRow.success)
        .where(AuditRow.object_type == "settlement", AuditRow.object_id.in_([str(key) for key in _settlements(session, chain)]))
        .order_by(AuditRow.at).limit(CHAIN_LIMIT)).all()
    items = [
        *({"at": r.started_at, "kind": "call", "id": r.id, "title": f"{i['interface_name']} · {i['operation_name']}",
           "outcome": r.outcome, "duration_ms": r.duration_ms, "text": r.message or r.business_key}
          for r in calls for i in (_item(r),)),
        *({"at": e.occurred_at, "kind": "event", "id": e.id, "title": event_title(e.type), "outcome": "ok", "duration_ms": None,
           "text": e.business_key} for e in events),
        *({"at": d.finished_at or d.occurred_at, "kind": "delivery", "id": d.id, "title": f"投递到 {_named(d.destination)}",
           "outcome": {"done": "ok", "dead": "failed", "asked": "unknown"}.get(d.state, "waiting"), "duration_ms": None,
           "text": d.last_error or f"第 {d.attempts} 次"} for d in deliveries),
        *({"at": a.at, "kind": "act", "id": None, "title": title_of(a.event), "outcome": "ok" if a.success else "refused",
           "duration_ms": None, "text": a.name} for a in acts)]
    return {"items": sorted(items, key=lambda item: item["at"]), "numbers": sorted(chain.numbers)}


def _named(destination: str) -> str:
    manifest = all_manifests().get(destination)
    return manifest.name if manifest else destination


def _widen(session: Session, chain: _Chain) -> None:
    settled = select(Intent.settlement_id).where(Intent.number.in_(chain.numbers), Intent.settlement_id.is_not(None))
    chain.numbers.update(session.scalars(select(Settlement.number).where(Settlement.id.in_(settled))))
    chain.numbers.update(session.scalars(
        select(Intent.number).where(Intent.settlement_id.in_(_settlements(session, chain)))))
    chain.traces.update(set(session.scalars(
        select(OutboxEvent.trace_id).where(OutboxEvent.business_key.in_(chain.numbers)).limit(50))) - {""})


def _settlements(session: Session, chain: _Chain) -> list[int]:
    return list(session.scalars(select(Settlement.id).where(Settlement.number.in_(chain.numbers))))


SLOW_MS = (100, 300, 1000, 3000, 10_000)


def statistics(session: Session, hours: int) -> dict[str, Any]:
    """Calls, errors and durations per interface and hour, newest hours last; one query over the hours' index."""
    at = now(session)
    first = f"{local(at - timedelta(hours=hours - 1)):%Y%m%d%H}"
    call = InterfaceCall
    buckets = [func.sum(case((call.duration_ms <= edge, 1), else_=0)).label(f"within_{edge}") for edge in SLOW_MS]
    rows = session.execute(
        select(call.interface, call.hour, func.count().label("calls"),
               func.sum(case((call.outcome.in_(("unknown", "failed")), 1), else_=0)).label("errors"),
               func.sum(case((call.outcome == "refused", 1), else_=0)).label("refused"),
               func.sum(call.duration_ms).label("milliseconds"), *buckets)
        .where(call.hour >= first).group_by(call.interface, call.hour).order_by(call.hour)).all()
    names = [f"{local(at - timedelta(hours=back)):%Y%m%d%H}" for back in reversed(range(hours))]
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        one = found.setdefault(row.interface, {"calls": {}, "errors": 0, "refused": 0, "milliseconds": 0,
                                               "delays": {}, "within": dict.fromkeys(SLOW_MS, 0)})
        one["calls"][row.hour] = (row.calls, row.errors)
        one["delays"][row.hour] = row.milliseconds // row.calls
        one["errors"] += row.errors
        one["refused"] += row.refused
        one["milliseconds"] += row.milliseconds
        for edge in SLOW_MS:
            one["within"][edge] += getattr(row, f"within_{edge}")
    return {"hours": names, "interfaces": [_figures(package, one, names) for package, one in sorted(found.items())]}


def _figures(package: str, one: dict[str, Any], names: list[str]) -> dict[str, Any]:
    total = sum(calls for calls, _ in one["calls"].values())
    reached = next((edge for edge in SLOW_MS if one["within"][edge] * 100 >= total * 95), None)
    manifest = all_manifests().get(package)
    return {"interface": package, "name": manifest.name if manifest else package, "total": total,
            "errors": one["errors"], "refused": one["refused"], "mean_ms": one["milliseconds"] // max(total, 1),
            "p95": f"≤ {reached} 毫秒" if reached else f"> {SLOW_MS[-1]} 毫秒",
            "calls": [one["calls"].get(hour, (0, 0))[0] for hour in names],
            "failures": [one["calls"].get(hour, (0, 0))[1] for hour in names],
            "delays": [one["delays"].get(hour) for hour in names]}


def newest(session: Session) -> int | None:
    """The newest call's id; what the live tail watches."""
    return session.scalar(select(InterfaceCall.id).order_by(InterfaceCall.started_at.desc(), InterfaceCall.id.desc())
                          .limit(1))


def sealed_bodies(session: Session, sealer: Any, call_id: int, place: Any) -> dict[str, Any]:
    """The whole bodies of a call. :raises NotFound: there is none."""
    row = session.get(InterfaceCall, call_id)
    if row is None:
        raise NotFound("hub.call", "没有这次接口调用，可能已过保存期")
    request, answer = (json.loads(sealer.open("column", bytes(blob), place(call_id, part))) for blob, part in (
        (row.request_sealed, "request"), (row.answer_sealed, "answer")))
    return {"request": json.dumps(request, ensure_ascii=False, indent=1),
            "answer": json.dumps(answer, ensure_ascii=False, indent=1), "person_id": row.person_id}
