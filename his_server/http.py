"""Routes: one decorator that checks the permission, parses, opens the unit of work, dumps, documents.

Every route of the product is made here, so that permission, effect and schemas are declared in one place
and the matrix test, OpenAPI and idempotency need nothing else.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import wraps
from typing import Any

from flask import Blueprint, Response, current_app, g, request
from marshmallow import RAISE, Schema, ValidationError
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from dialects import portable
from his_server import metrics
from his_server.actor import Actor
from his_server.db import Database, idempotency
from his_server.db.database import CommitUnknown, may_repeat
from his_server.errors import (
    AppError,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from his_server.wire import MAX_ID

log = logging.getLogger("his.http")

PUBLIC = "public"
"""Permission of the few routes that need no session (sign-in, health)."""
SIGNED_IN = "signed_in"
"""Permission of routes that every signed-in person may use."""
KEYED = frozenset({"value", "steps"})
"""Effects that make value: an Idempotency-Key is required."""


@dataclass
class Call:
    """What a view receives: the unit of work, the actor, the parsed input."""

    database: Database
    actor: Actor
    body: Any = None
    query: dict[str, Any] = field(default_factory=dict)
    again: bool | None = None
    """Whether :meth:`begin` found that an earlier request under the same key had begun this; None: it hasn't begun."""
    _session: Session | None = None
    _route: Route | None = None

    @property
    def session(self) -> Session:
        """The open unit of work. :raises RuntimeError: a ``manual`` route opens its own."""
        if self._session is None:
            raise RuntimeError("this route opens its own units of work")
        return self._session

    def begin(self, work: Callable[..., Any], ask: Callable[[], Any] | None = None) -> Any:
        """The first unit of work of a ``steps`` route, ``work(session)``, once per Idempotency-Key. What it returns (JSON, a
        row's id) is kept in the same transaction: a repeat after a lost answer gets it and goes on from where things are.

        ``ask``: what an outside system has to say before, with no unit of work open; ``work`` gets it as a second argument.
        :raises AppError: as ``ask``, ``work`` and :func:`perform`.
        """
        assert self._route is not None
        body, made, told = request.get_data(), None, ()
        if ask is not None:
            key = request.headers["Idempotency-Key"]
            made = _stored(self, key, idempotency.request_hash(request.method, request.path, body))
            told = () if made else (ask(),)
        try:
            made = made or perform(lambda call: work(call.session, *told), self._route, self, None, {}, body)
        finally:
            self._session = None
        self.again = "Idempotent-Replay" in made.headers
        return json.loads(made.get_data())


@dataclass(frozen=True)
class Route:
    """A declared route, for OpenAPI, the permission matrix and the docs."""

    method: str
    rule: str
    endpoint: str
    permission: str
    summary: str
    effect: str
    query: type[Schema] | None
    body: type[Schema] | None
    out: Any
    status: int
    tag: str


class Routes:
    """The routes of one module under one prefix.

    ``effect``: ``read`` (read-only unit of work), ``write``, ``value`` (makes value: Idempotency-Key required,
    answer stored and replayed), ``manual`` (opens its own units of work; network calls allowed between them), ``steps``
    (manual and makes value: key required, the first unit of work is :meth:`Call.begin`).
    """

    def __init__(self, name: str, prefix: str, tag: str) -> None:
        self.name = name
        self.tag = tag
        self.prefix = prefix
        self.blueprint = Blueprint(name.replace(".", "_"), name, url_prefix=prefix)
        self.routes: list[Route] = []

    def get(self, rule: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A reading route."""
        return self.route("GET", rule, effect=options.pop("effect", "read"), **options)

    def post(self, rule: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A writing route; ``value=True`` when it makes money, stock or documents."""
        effect = "value" if options.pop("value", False) else options.pop("effect", "write")
        return self.route("POST", rule, effect=effect, **options)

    def put(self, rule: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A replacing route."""
        return self.route("PUT", rule, effect="write", **options)

    def delete(self, rule: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A removing route."""
        return self.route("DELETE", rule, effect="write", **options)

    def route(self, method: str, rule: str, *, permission: str, effect: str, summary: str = "",
              query: type[Schema] | None = None, body: type[Schema] | None = None, out: Any = None,
              status: int = 200) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a route. ``out``: a Schema class, ``None`` (JSON as returned) or ``Response`` (raw)."""

        def declare(view: Callable[..., Any]) -> Callable[..., Any]:
            text = summary or (view.__doc__ or "").strip().split("\n")[0]
            declared = Route(method, self.prefix + rule, view.__name__, permission, text, effect, query, body, out,
                             status, self.tag)
            self.routes.append(declared)
            handler = _handler(view, declared)
            self.blueprint.add_url_rule(rule, endpoint=f"{method.lower()}_{view.__name__}", view_func=handler,
                                        methods=[method])
            return view

        return declare


def _handler(view: Callable[..., Any], route: Route) -> Callable[..., Any]:
    query = route.query(unknown=RAISE) if route.query else None
    body = route.body(unknown=RAISE) if route.body else None
    out = route.out() if isinstance(route.out, type) and issubclass(route.out, Schema) else None

    @wraps(view)
    def handle(**path: Any) -> Any:
        started = time.perf_counter()
        actor = _authorise(route)
        _check_path(path)
        call = Call(
            database=current_app.extensions["his_database"],
            actor=actor,
            query=load(query, query_args()) if query else {},
            body=load(body, _json_body()) if body else None,
            _route=route,
        )
        try:
            return _run(view, route, call, out, path)
        finally:
            metrics.request_seconds.labels(route.method, route.rule).observe(time.perf_counter() - started)

    return handle


def _authorise(route: Route) -> Actor:
    actor: Actor | None = g.get("actor")
    if route.permission == PUBLIC:
        return actor or Actor(user_id=0, login="", name="", channel="anonymous", trace_id=g.trace_id)
    if actor is None:
        raise Unauthenticated("session.required", "登录已过期或尚未登录，请重新登录")
    if route.permission != SIGNED_IN and not actor.can(route.permission):
        current_app.extensions["his_security"].denied(actor, route)
        raise Forbidden("permission.denied", f"您没有此项操作的权限（{route.permission}），如需使用请联系安全管理员")
    return actor


def _check_path(path: Mapping[str, Any]) -> None:
    """What no row can have is not found, before a database is asked that might not even understand it."""
    for value in path.values():
        wrong_key = isinstance(value, int) and not 0 < value <= MAX_ID
        if wrong_key or (isinstance(value, str) and not value.isprintable()):
            raise NotFound("input.path", "没有找到该记录，请核对后重试")


def _run(view: Callable[..., Any], route: Route, call: Call, out: Schema | None, path: dict[str, Any]) -> Any:
    if route.effect == "manual":
        return _manual(view, route, call, out, path)
    if route.effect == "steps":
        return _steps(view, route, call, out, path)
    return perform(view, route, call, out, path, request.get_data() if route.effect == "value" else b"")


def perform(view: Callable[..., Any], route: Route, call: Call, out: Schema | None, path: dict[str, Any], body: bytes
            ) -> Response:
    """A view in one unit of work, once per Idempotency-Key and actor where it makes value; ``body`` tells a repeat from a
    key that was used for something else.

    :raises Invalid: the key is missing. :raises Conflict: it was used for another request.
    """
    key = request.headers.get("Idempotency-Key", "") if route.effect in KEYED else ""
    _check_key(route)
    digest = idempotency.request_hash(request.method, request.path, body) if key else ""
    attempt = 1
    while True:
        try:
            return _unit_of_work(view, route, call, out, path, key, digest)
        except CommitUnknown as unknown:
            # With a key the work may be done again: where the first was saved after all, its key refuses the second.
            if not key or attempt > 1:
                raise
            if (stored := _stored_if_there(call, key, digest, unknown)) is not None:
                return stored
        except AppError:
            # a twin of this request may have been first: then its answer is ours too
            if key and (stored := _stored(call, key, digest)) is not None:
                return stored
            raise
        except Exception as error:
            if may_repeat(error, attempt):
                log.warning("unit of work repeated: %s", type(error).__name__)
            elif key and not portable.is_disconnect(error) and (stored := _stored(call, key, digest)) is not None:
                return stored
            elif isinstance(error, IntegrityError) and portable.is_unique_violation(error):
                log.warning("unique violation", exc_info=error)
                raise Conflict("conflict.unique", "同样的记录已经存在或正被他人提交，请刷新后核对") from error
            else:
                raise
        attempt += 1


def _check_key(route: Route) -> None:
    if route.effect in KEYED and not 8 <= len(request.headers.get("Idempotency-Key", "")) <= 80:
        raise Invalid("idempotency.missing", "缺少提交编号（Idempotency-Key），请刷新页面后重试")


def _manual(view: Callable[..., Any], route: Route, call: Call, out: Schema | None, path: dict[str, Any]) -> Response:
    """A view with units of work of its own. Nobody repeats it: an earlier one may be saved already."""
    try:
        return _respond(view(call, **path), route, out)
    except SQLAlchemyError as error:
        if not portable.is_disconnect(error):
            raise
        log.error("database lost in a route of several units of work", exc_info=error)
        raise Unavailable("database.interrupted", "与数据库的连接中断，本次操作可能只完成了一部分，请刷新页面核对当前状态后"
                                                  "再继续，不要直接重复提交") from error


def _steps(view: Callable[..., Any], route: Route, call: Call, out: Schema | None, path: dict[str, Any]) -> Response:
    """A refusal after the first unit of work refuses nothing: what has begun is there, and a repeat goes on with it."""
    try:
        return perform_alone(view, route, call, out, path, b"")
    except AppError as error:
        if call.again is None or error.code == "database.interrupted":
            raise
        raise Unavailable("steps.unfinished", f"已经开始办理，尚未办完：{error.message}。请再按一次继续，不会重复办理",
                          error.errors) from error


def perform_alone(view: Callable[..., Any], route: Route, call: Call, out: Schema | None, path: dict[str, Any], _body: bytes
                  ) -> Response:
    """A view with units of work of its own that makes value: the key has to be there, what it is good for is the view's
    business. :raises Invalid: the key is missing."""
    _check_key(route)
    return _manual(view, route, call, out, path)


def _unit_of_work(view: Callable[..., Any], route: Route, call: Call, out: Schema | None, path: dict[str, Any],
                  key: str, digest: str) -> Response:
    """The view in a unit of work; the answer is stored in it under the key.

    Nobody asks for a stored answer before: repeats are rare. A repeat does the work again, fails at the key's
    uniqueness or earlier (what it wants is done already), is rolled back, and :func:`_run` finds the answer.
    """
    with call.database.begin(write=route.effect != "read") as session:
        session.info["actor"] = call.actor
        call._session = session
        response = _respond(view(call, **path), route, out)
        if key:
            session.flush()
            idempotency.store(session, call.actor.user_id, key, digest, response.status_code,
                              response.get_data(as_text=True))
        return response


def _stored(call: Call, key: str, digest: str) -> Response | None:
    found = call.database.run(lambda session: idempotency.find(session, call.actor.user_id, key, digest), write=False)
    return None if found is None else _replay(found)


def _stored_if_there(call: Call, key: str, digest: str, unknown: CommitUnknown) -> Response | None:
    """The stored answer after a lost COMMIT. :raises CommitUnknown: the database can't be asked (yet)."""
    try:
        return _stored(call, key, digest)
    except SQLAlchemyError as error:
        log.error("no database to ask after a lost commit", exc_info=error)
        raise unknown from error


def _replay(found: idempotency.StoredAnswer) -> Response:
    response = Response(found.body, status=found.status, mimetype="application/json")
    response.headers["Idempotent-Replay"] = "true"
    return response


def _respond(result: Any, route: Route, out: Schema | None) -> Response:
    if isinstance(result, Response):
        return result
    value = out.dump(result) if out is not None else result
    return Response(dumps(value), status=route.status, mimetype="application/json")


def dumps(value: Any) -> str:
    """JSON with Chinese as it is; Decimals as strings, dates as ISO text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"not JSON: {type(value).__name__}")


def query_args() -> dict[str, Any]:
    """The query string: each name with its value, or with all of them."""
    return {key: values[0] if len(values) == 1 else values for key, values in request.args.to_dict(flat=False).items()}


def _json_body() -> Any:
    if not request.get_data():
        return {}
    try:
        return json.loads(request.get_data(), parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Invalid("input.json", "提交内容不是有效的 JSON，请刷新页面后重试") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def load(schema: Schema, data: Any) -> Any:
    """What a schema makes of input. :raises Invalid: names each wrong field."""
    try:
        return schema.load(data)
    except ValidationError as error:
        raise Invalid("input.invalid", "提交的内容有误，请按提示修改后重新提交",
                      list(flatten(error.messages))) from error
    except (RecursionError, OverflowError) as error:
        raise Invalid("input.invalid", "提交的内容过大或层次过深") from error


def flatten(messages: Any, prefix: str = "") -> list[FieldError]:
    """Marshmallow's nested messages as flat field errors with dotted paths."""
    if isinstance(messages, Mapping):
        return [e for key, value in messages.items()
                for e in flatten(value, f"{prefix}.{key}" if prefix else str(key))]
    found = messages if isinstance(messages, list) else [messages]
    return [FieldError(prefix.removeprefix("_schema").strip(".") or "_", str(text)) for text in found]

