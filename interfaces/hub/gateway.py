"""The inbound gateway: ``/api/open/v1/<partner>/<use case>`` (X1, PR-13, facts: our-contracts).

An interface's ``inbound.py`` declares its use cases; everything else is here, the same for all: the signature, who calls
and from where, whether they may, how often, what fields leave, that a write happens once, one error envelope, a signed
answer, and a row in the call log whatever comes of it.

Implements: A3, PR-13
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from flask import Response, current_app, g, request
from marshmallow import RAISE, Schema, fields
from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from crypto import requests as contract
from dialects import portable
from his_server.about import about
from his_server.actor import Actor
from his_server.db import Database, now, today
from his_server.db.database import CommitUnknown
from his_server.errors import AppError, Forbidden, Unauthenticated
from his_server.http import PUBLIC, Call, Route, Routes, dumps, load, perform, perform_alone, query_args
from his_server.security import audit, integrity, signed
from interfaces.hub.calls import Entry, logged
from interfaces.hub.manifests import Manifest, all_manifests
from interfaces.hub.models import OpenGrant, OpenPartner, OpenUse

PREFIX = "/api/open/v1"
UNSIGNED_PER_MINUTE = 30
"""So many refused signatures a minute, address and process are written down one by one; a flood of them is not."""
RETRYABLE = (429, 503)


@dataclass(frozen=True)
class UseCase:
    """What a partner can be granted. ``fields`` of the answer (of its items, where it is a list) by name; ``personal``
    ones among them are granted one by one only; ``keys`` always leave, as without them an answer says nothing."""

    code: str
    title: str
    package: str
    method: str
    rule: str
    query: type[Schema] | None
    body: type[Schema] | None
    out: type[Schema]
    fields: tuple[str, ...]
    personal: frozenset[str]
    keys: frozenset[str]
    view: Callable[..., Any]
    manual: bool = False
    """The view opens its own units of work, with calls to others between them, and sees to it itself that a repeat with the
    same Idempotency-Key does nothing twice."""


USE_CASES: dict[str, UseCase] = {}
"""All that is declared, by code; filled as interfaces are imported."""
ROUTES: dict[str, Route] = {}
"""Their routes, for the document."""


class Gateway:
    """The use cases of one interface; ``routes`` goes into its ``Module``."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.routes = Routes(f"open.{package}", f"{PREFIX}/<partner>", tag="open")

    def use_case(self, code: str, method: str, rule: str, *, title: str, out: type[Schema],
                 query: type[Schema] | None = None, body: type[Schema] | None = None, personal: tuple[str, ...] = (),
                 keys: tuple[str, ...] = (), writes: bool = False, manual: bool = False
                 ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare one. ``view(call, **path)`` runs in one unit of work with ``call.actor`` the partner; with any method
        but GET it happens once per Idempotency-Key. ``writes``: a GET that keeps books of its own; ``manual``: see
        :class:`UseCase`."""

        def declare(view: Callable[..., Any]) -> Callable[..., Any]:
            names = tuple(item_of(out)().fields)
            if code in USE_CASES or (strange := {*personal, *keys} - set(names)):
                raise ValueError(f"{code}: declared twice, or fields that the answer hasn't: {strange}")
            case = UseCase(code, title, self.package, method, rule, query, body, out, names, frozenset(personal),
                           frozenset(keys), view, manual)
            USE_CASES[code] = case
            handle = partial(_handle, case)
            handle.__name__, handle.__doc__ = view.__name__, title  # type: ignore[attr-defined]
            self.routes.route(method, rule, permission=PUBLIC, effect="manual", summary=title)(handle)
            # parsed here after the signature was checked, not by the route; the document says what is expected
            effect = ("write" if writes else "read") if method == "GET" else "value"
            ROUTES[code] = replace(self.routes.routes[-1], query=query, body=body, out=out, effect=effect)
            self.routes.routes[-1] = ROUTES[code]
            return view

        return declare


def item_of(out: type[Schema]) -> type[Schema]:
    """The schema whose fields are granted: that of the items where the answer is a list, else the answer's own."""
    items = out().fields.get("items")
    inner = items.inner if isinstance(items, fields.List) else None
    return type(inner.schema) if isinstance(inner, fields.Nested) else out


# One request

def _handle(case: UseCase, call: Call, **path: Any) -> Response:
    try:
        response = _answer(case, call, path)
    except Exception as error:  # whatever it was, the partner is told in the one envelope, signed
        response = envelope(_told(error))
    response.headers.setdefault("Cache-Control", "no-store")
    return _signed(call.database, response)


def refused(error: AppError) -> Response:
    """The envelope, signed, of what reached no use case: a path that isn't or can't be, another method, too long a body."""
    return _signed(current_app.extensions["his_database"], envelope(error))


def _signed(database: Database, response: Response) -> Response:
    """For the request's nonce; a request without one can't check an answer."""
    nonce = request.headers.get(contract.H_NONCE, "")
    return signed.sign(database, response, nonce) if contract.NONCE.match(nonce) else response


def _answer(case: UseCase, call: Call, path: dict[str, Any]) -> Response:
    manifest, database = all_manifests()[case.package], call.database
    seen: dict[str, Any] = {"path": request.path, "query": query_args(), "from": request.remote_addr or ""}
    try:
        inbound = signed.receive(database, request)
    except Unauthenticated as refused:
        _note_unsigned(database, manifest, case, seen, refused)
        raise
    seen["body"] = _readable(inbound.body)
    actor = inbound.actor
    with about(actor=actor, trace_id=g.trace_id), logged(
            database, manifest, case.code, seen, business_key=request.headers.get("Idempotency-Key", "")[:60],
            direction="in") as entry:
        try:
            partner = _partner(database, actor, str(path.pop("partner")))
            entry.also = partial(_count, partner.id, case.code, entry)
            grant = _granted(database, actor, partner, case)
            call.actor = replace(actor, user_id=partner.id, login=partner.code, name=partner.name,
                                 permissions=frozenset({f"open.{case.code}"}))
            response = _perform(case, call, inbound, path, frozenset(grant.allowed.split()))
        except Exception as error:
            found = _told(error)
            entry.outcome = _outcome(error, found)
            entry.message, entry.answer = f"{found.code} {found.message}", _body(found)
            raise
        entry.outcome, entry.answer = "ok", _readable(response.get_data())
    return response


def _perform(case: UseCase, call: Call, inbound: signed.Inbound, path: dict[str, Any], allowed: frozenset[str]) -> Response:
    call.query = load(case.query(unknown=RAISE), query_args()) if case.query else {}
    call.body = load(case.body(unknown=RAISE), inbound.json()) if case.body else None
    out = case.out()

    def view(_call: Call, **given: Any) -> Any:
        result = case.view(_call, **given)
        return only(case, out.dump(result), allowed)

    run = perform_alone if case.manual else perform
    response = run(view, ROUTES[case.code], call, None, path, inbound.body)
    if case.method == "GET" and response.status_code == 200:
        response = _unless_known(response)
    return response


def only(case: UseCase, answer: Any, allowed: frozenset[str]) -> Any:
    """The answer with none but the allowed fields and the keys (PR-13)."""
    leave = (allowed & set(case.fields)) | case.keys
    if item_of(case.out) is not case.out:
        return {**answer, "items": [{name: item[name] for name in item if name in leave} for item in answer["items"]]}
    return {name: value for name, value in answer.items() if name in leave}


def _unless_known(response: Response) -> Response:
    """304 where the caller has this very answer."""
    tag = f'"{hashlib.new("sm3", response.get_data()).hexdigest()[:32]}"'
    known = request.headers.get("If-None-Match", "") == tag
    found = Response(status=304) if known else response
    found.headers["ETag"] = tag
    return found


# Who may

def _partner(database: Database, actor: Actor, code: str) -> OpenPartner:
    """The partner of the path, when the key is its own. :raises Forbidden: it isn't, or is stopped or not from there."""
    with database.begin(write=False) as session:
        row = session.scalar(select(OpenPartner).where(OpenPartner.code == code))
        if row is not None:
            session.expunge(row)
    if row is None or not actor.can(f"open.{code}"):
        raise _denied(database, actor, "open.not_yours", "该密钥不属于地址中的外部系统，或该系统尚未登记")
    if not integrity.holds(database.sealer, row):
        audit.record_apart(database, actor, "integrity.violation", "open_partner", row.id, {"what": "外部系统登记被改动"})
        raise _denied(database, actor, "open.not_yours", "该密钥不属于地址中的外部系统，或该系统尚未登记")
    if not row.active:
        raise _denied(database, actor, "open.stopped", "该外部系统的接口已停用，请联系医院信息科")
    if row.addresses and not within(request.remote_addr or "", row.addresses):
        raise _denied(database, actor, "open.address", "来源地址不在登记范围内，请联系医院信息科")
    _pace.take(row)
    return row


def _granted(database: Database, actor: Actor, partner: OpenPartner, case: UseCase) -> OpenGrant:
    with database.begin(write=False) as session:
        grant = session.scalar(select(OpenGrant).where(OpenGrant.partner_id == partner.id, OpenGrant.use_case == case.code))
        if grant is not None:
            session.expunge(grant)
    if grant is not None and not integrity.holds(database.sealer, grant):
        audit.record_apart(database, actor, "integrity.violation", "open_grant", grant.id, {"what": "接口授权被改动"})
        grant = None
    if grant is None:
        raise _denied(database, actor, "open.not_granted", f"没有此项接口的授权（{case.code}），请联系医院信息科")
    return grant


def _denied(database: Database, actor: Actor, code: str, message: str) -> Forbidden:
    audit.record_apart(database, actor, "open.denied", "route", request.path[:80], {"code": code})
    return Forbidden(code, message)


def within(address: str, networks: str) -> bool:
    """Whether an address is in one of the networks (separated by spaces)."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(one) for one in networks.split())


class _Pace:
    """Calls of the last minute, per partner and process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[Any, list[Any]] = {}

    def take(self, partner: OpenPartner) -> None:
        """One more. :raises AppError: 429, the minute is used up."""
        if not self.allows(partner.id, partner.per_minute):
            raise AppError("open.rate", f"调用过于频繁（每分钟最多 {partner.per_minute} 次），请稍后重试", status=429)

    def allows(self, key: Any, most: int) -> bool:
        """Count one where there is room yet."""
        with self._lock:
            at = time.monotonic()
            recent = [one for one in self._seen.get(key, ()) if at - one < 60]
            room = len(recent) < most
            self._seen[key] = [*recent, at] if room else recent
            if len(self._seen) > 10_000:  # addresses that called long ago
                self._seen = {one: times for one, times in self._seen.items() if times and at - times[-1] < 60}
            return room


_pace = _Pace()


# What is written down, what is told

def _note_unsigned(database: Database, manifest: Manifest, case: UseCase, seen: Mapping[str, Any], refused: AppError) -> None:
    if not _pace.allows(("unsigned", request.remote_addr), UNSIGNED_PER_MINUTE):
        return
    key_id = request.headers.get(contract.H_KEY, "")
    given = {**seen, "key": key_id if contract.KEY_ID.match(key_id) else "", "bytes": len(request.get_data())}
    nobody = Actor(user_id=0, login="", name="未验明的调用方", channel="partner", ip=request.remote_addr or "")
    with about(actor=nobody, trace_id=g.trace_id), logged(database, manifest, case.code, given, direction="in") as entry:
        entry.outcome, entry.message, entry.answer = "refused", f"{refused.code} {refused.message}", _body(refused)


def _count(partner_id: int, code: str, entry: Entry, session: Session) -> None:
    use, refused = OpenUse, int(entry.outcome != "ok")
    key = {"partner_id": partner_id, "use_case": code, "used_on": today(session)}
    where = and_(*(getattr(use, name) == value for name, value in key.items()))
    more = {"calls": use.calls + 1, "refused": use.refused + refused, "last_at": now(session)}
    if not portable.guarded_update(session, use, where, more):
        portable.upsert(session, use, [{**key, "calls": 0, "refused": 0, "last_at": now(session)}], list(key), [])
        portable.guarded_update(session, use, where, more)


def _outcome(error: Exception, found: AppError) -> str:
    if isinstance(error, CommitUnknown):
        return "unknown"
    return "failed" if found.status >= 500 else "refused"


def _told(error: Exception) -> AppError:
    from his_server.app import told  # the composition root needs the modules that use this

    return told(error)


def _body(error: AppError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "detail": [
        {"field": one.field, "message": one.message} for one in error.errors], "trace_id": g.get("trace_id"),
        "retryable": error.status in RETRYABLE}


def envelope(error: AppError) -> Response:
    """A refusal as a partner is told: ``code, message, detail, trace_id, retryable``."""
    response = Response(dumps(_body(error)), status=error.status, mimetype="application/json")
    if error.status in RETRYABLE:
        response.headers["Retry-After"] = "5"
    return response


def _readable(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return f"<{len(body)} bytes>"

