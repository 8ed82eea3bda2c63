"""Who is asking: cookie → session → account → verified grants → Actor, with one query a request (DESIGN section 8)."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import Request, g, request
from sqlalchemy import Select, bindparam, delete, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from crypto import CryptoError, DeviceLost
from dialects import portable
from his_server.actor import Actor
from his_server.db import Database
from his_server.db import database as db
from his_server.errors import AppError, Forbidden, Unauthenticated
from his_server.registry import Hospital
from his_server.security import anchor, audit, grants, integrity, rules
from his_server.security import settings as security_settings
from his_server.security.models import (
    EVERYWHERE,
    Role,
    SignedNonce,
    SignInSession,
    SpentNonce,
    User,
    UserRole,
)
from his_server.settings import Settings

log = logging.getLogger("his.security")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_DOORS = frozenset({"/api/session", "/api/session/challenge", "/api/session/certificate",
                        "/api/session/second-factor", "/api/session/password"})
"""Paths that a person whose password has expired may still use; POST to them proves itself without CSRF token."""
STALE = timedelta(seconds=60)
ID_BYTES = 32
NOT_ATTEMPTS = ("input.", "permission.denied", "integrity.", "csrf.", "idempotency.", "http.")
"""Codes of refusals that are no attempt at anything, or have their own audit row."""
_CACHE_SIZE = 2000
READS = 3
"""How often grants are read before what looks altered is believed to be."""


@dataclass(frozen=True)
class Effective:
    """What follows from verified grants."""

    roles: tuple[str, ...]
    permissions: frozenset[str]
    scopes: dict[str, frozenset[int]]
    second_factor: bool


class Security:
    """Authenticates requests and audits refusals. One per application; safe for threads and after a fork."""

    def __init__(self, settings: Settings, database: Database, hospital: Hospital) -> None:
        self.settings, self.database, self.hospital = settings, database, hospital
        self.cookie = "__Host-his" if settings.secure_cookies else "his_session"
        self._admin_networks = security_settings.of(settings).networks()
        self._head: integrity.Head | None = None
        self._effective: dict[Any, Effective] = {}
        # one statement needs no BEGIN and no ROLLBACK: one round trip
        self._reader = database.engine if database.single_writer else database.engine.execution_options(
            isolation_level="AUTOCOMMIT")
        anchor.place(database, settings.data_dir)

    # The session cookie

    def token_of(self, raw: bytes) -> str:
        """What stands in the session table for a random id."""
        token: str = self.database.sealer.blind_index("session", raw.hex())
        return token

    def cookie_value(self, raw: bytes) -> str:
        """The cookie for a session id: SM4-GCM with a key id, base64url."""
        sealed = self.database.sealer.seal("cookie", raw, "session")
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def raw_id(self, cookie: str | None) -> bytes | None:
        """The session id in a cookie; None for anything that isn't ours."""
        if not cookie or len(cookie) > 200:
            return None
        try:
            blob = base64.b64decode(cookie + "=" * (-len(cookie) % 4), altchars=b"-_", validate=True)
            raw: bytes = self.database.sealer.open("cookie", blob, "session")
        except DeviceLost:
            raise  # not the cookie's fault: nobody is signed out by a lost device
        except (CryptoError, binascii.Error, ValueError):
            return None
        return raw if len(raw) == ID_BYTES else None

    def csrf_of(self, raw: bytes) -> str:
        """The CSRF token that belongs to a session id."""
        mac: bytes = self.database.sealer.mac("session", b"csrf" + raw)
        return mac.hex()

    # A request

    def authenticate(self, request: Request) -> Actor | None:
        """The signed-in person, or None.

        :raises Forbidden: CSRF, protected data that don't hold, or a password that must be changed first.
        """
        raw = self.raw_id(request.cookies.get(self.cookie))
        if raw is None:
            return None
        row, actor = self._find(raw, request)
        if row is None or actor is None:
            return None
        now = self.database.clock.now()
        idle = now - row.last_seen_at
        if (idle > timedelta(seconds=self.settings.session_idle) or now >= row.expires_at or row.state != "active"
                or (row.valid_until is not None and row.valid_until < self.database.clock.today())):
            self._end(row.session_id)
            return None
        self._refuse_cross_site(request, raw)
        if not self.may_come_from(actor.roles, actor.ip):
            raise Forbidden("session.network", "管理员账户只能在指定的管理网段使用")
        if idle > STALE and request.headers.get("X-Background") != "1":
            self._touch(row.session_id)
        if self.password_expired(row) and request.path not in OPEN_DOORS:
            raise Forbidden("password.change_required", "密码已到期，请先修改密码")
        g.session_raw = raw
        return actor

    def actor_of(self, raw: bytes) -> Actor:
        """The actor of a session that was just made, in the running request."""
        _, actor = self._find(raw, request)
        if actor is None:
            raise Unauthenticated("session.required", "登录已过期或尚未登录，请重新登录")
        return actor

    def _find(self, raw: bytes, request: Request) -> tuple[Any, Actor | None]:
        tokens = self.database.sealer.blind_indexes("session", raw.hex())
        broken: integrity.Altered | None = None
        for _ in range(READS):
            # before the query, whose answer can't be older than this
            seen = anchor.newest(self.database, f"head:{grants.SCOPE}")
            rows = self._read(tokens)
            if not rows or rows[0].stage != "active":
                return None, None
            row = rows[0]
            actor = Actor(user_id=row.user_id, login=row.login, name=row.name, staff_id=row.staff_id,
                          department_id=row.department_id, ip=request.remote_addr or "", session_id=row.session_id,
                          terminal=terminal_of(request), trace_id=g.get("trace_id", ""))
            try:
                effective = self._verified(rows, seen)
            except integrity.Altered as altered:
                broken = altered  # or a grant was changed between two of our statements: look again
            else:
                return row, replace(actor, roles=effective.roles, permissions=effective.permissions,
                                    scopes=effective.scopes)
        assert broken is not None
        self.alarm(actor, broken)
        raise Forbidden("integrity.violation", "权限数据校验未通过，本账户已暂停使用，请立即联系安全管理员和信息科")

    def may_come_from(self, roles: Iterable[str], ip: str) -> bool:
        """Whether somebody with these roles may work from this address (DB-20)."""
        return not set(roles) & set(rules.ADMINISTRATORS) or security_settings.inside(self._admin_networks, ip)

    def _read(self, tokens: list[str]) -> list[Any]:
        attempt = 1
        while True:
            try:
                with self._reader.connect() as connection:
                    return portable.fetch(connection, _QUERY, {"tokens": tokens})
            except DBAPIError as error:  # a switch to the standby: once more, on a new connection
                if not db.may_repeat(error, attempt):
                    raise
            attempt += 1

    def password_expired(self, row: Any) -> bool:
        """Whether the password must be changed before anything else (first sign-in, or older than allowed)."""
        if row.must_change:
            return True
        age = self.database.clock.now() - row.password_changed_at
        return bool(self.settings.password_days and age > timedelta(days=self.settings.password_days))

    def _refuse_cross_site(self, request: Request, raw: bytes) -> None:
        if request.method in SAFE:
            return
        origin = request.headers.get("Origin")
        if origin and origin != "null" and urlsplit(origin).netloc != request.host:
            raise Forbidden("csrf.origin", "请求来自其他网站，已拒绝")
        if request.method == "POST" and request.path in OPEN_DOORS:
            return
        try:
            given = bytes.fromhex(request.headers.get("X-CSRF-Token", ""))
        except ValueError:
            given = b""
        # under any living key: a page that was open when the key was rotated goes on working
        if not self.database.sealer.check_mac("session", b"csrf" + raw, given):
            raise Forbidden("csrf.token", "页面已过期，请刷新页面后重试")

    def _verified(self, rows: list[Any], seen: tuple[int, str] | None) -> Effective:
        first = rows[0]
        sealer = self.database.sealer
        if seen is not None and (first.head_version is None or first.head_version < seen[0]):
            raise integrity.Altered(grants.SCOPE, "校验总表缺失或被退回到旧版本")
        if not session_holds(sealer, first):
            raise integrity.Altered(f"security_session:{first.session_id}", "会话记录被改动")
        head = self._head
        if head is None or head.version != first.head_version or head.digest != first.head_digest:
            head = self._head = self.database.run(lambda session: integrity.read_head(session, grants.SCOPE),
                                                  write=False)
            self._effective.clear()
        held = [(r.role_id, r.granted_in) for r in rows if r.role_id is not None]
        user = grants.user_content(UserFacts(first), held)
        roles = {r.role_id: grants.role_content(RoleFacts(r)) for r in rows if r.role_id is not None}
        key = (head.digest, user, tuple(sorted(roles.items())), tuple(r.grant_mac for r in rows))
        found = self._effective.get(key)
        if found is None:
            head.check(sealer, grants.SCOPE, f"user:{first.user_id}", user)
            for role_id, content in roles.items():
                head.check(sealer, grants.SCOPE, f"role:{role_id}", content)
            for r in rows:
                if r.role_id is not None and not integrity.row_holds(
                        sealer, "security_user_role", (first.user_id, r.role_id, r.granted_in), r.grant_mac):
                    raise integrity.Altered(f"security_user_role:{first.user_id}/{r.role_id}", "授权记录被改动")
            found = effective_of(rows)
            if len(self._effective) > _CACHE_SIZE:
                self._effective.clear()
            self._effective[key] = found
        return found

    def _touch(self, session_id: int) -> None:
        self.database.run(lambda session: session.execute(
            update(SignInSession).where(SignInSession.id == session_id).values(last_seen_at=db.now(session))
            .execution_options(synchronize_session=False)), idempotent=True)

    def _end(self, session_id: int) -> None:
        with self.database.begin() as session:
            session.execute(delete(SignInSession).where(SignInSession.id == session_id))

    # Refusals

    def denied(self, actor: Actor, what: Any) -> None:
        """Audit a request that the actor may not make, in a transaction of its own. ``what``: the route, or a source
        (:class:`~his_server.module.ReportSource`, ``LiveTopic``) behind one."""
        place = f"{what.method} {what.rule}" if hasattr(what, "rule") else f"report {getattr(what, 'name', '')}"
        audit.record_apart(self.database, actor, "permission.denied", "route", place[:80],
                           {"permission": what.permission}, success=False)

    def refused(self, actor: Actor, request: Request, error: AppError) -> None:
        """Audit a writing request that the rules refused (DB-15: failed attempts too), after its roll-back.

        Not again what is audited elsewhere, and not mistyped input. The refusal stands whether or not this works.
        """
        if request.method in SAFE or error.code.startswith(NOT_ATTEMPTS) or request.path in OPEN_DOORS:
            return
        rule = request.url_rule.rule if request.url_rule else request.path
        try:
            audit.record_apart(self.database, actor, "request.refused", "route", f"{request.method} {rule}"[:80],
                               {"code": error.code, "path": request.path[:200]}, success=False)
        except SQLAlchemyError:
            log.critical("a refused request couldn't be audited", exc_info=True)

    def alarm(self, actor: Actor, altered: integrity.Altered) -> None:
        """Audit and log that protected data don't hold."""
        log.critical("protected data altered at %s", altered.where)
        audit.record_apart(self.database, actor, "integrity.violation", "integrity", altered.where,
                           {"what": altered.message}, success=False)


class UserFacts:
    """The protected facts of an account in a row of the session query."""

    def __init__(self, row: Any) -> None:
        self.id, self.login_key, self.staff_id, self.state = row.user_id, row.login_key, row.staff_id, row.state
        self.valid_until, self.certificate = row.valid_until, row.certificate
        self.totp_sealed = None if row.totp_sealed is None else bytes(row.totp_sealed)


class RoleFacts:
    """The protected facts of a role in a row of the session query."""

    def __init__(self, row: Any) -> None:
        self.id, self.code, self.active, self.second_factor = row.role_id, row.code, row.role_active, row.role_factor
        self.permissions = row.permissions


def effective_of(rows: list[Any]) -> Effective:
    """Roles, permissions and department scopes of rows with ``code``, ``permissions``, ``granted_in``…

    A permission held everywhere by one grant is not narrowed by another.
    """
    roles: set[str] = set()
    everywhere: set[str] = set()
    scoped: dict[str, set[int]] = {}
    factor = False
    for row in rows:
        if row.role_id is None or not row.role_active:
            continue
        roles.add(row.code)
        factor = factor or row.role_factor
        codes = row.permissions.split()
        if row.granted_in == EVERYWHERE:
            everywhere.update(codes)
        else:
            for code in codes:
                scoped.setdefault(code, set()).add(row.granted_in)
    scopes = {code: frozenset(found) for code, found in scoped.items() if code not in everywhere}
    return Effective(tuple(sorted(roles)), frozenset(everywhere | set(scoped)), scopes, factor)


def _query() -> Select[Any]:
    head = integrity.IntegrityHead
    return (
        select(SignInSession.id.label("session_id"), SignInSession.token, SignInSession.user_id, SignInSession.stage,
               SignInSession.created_at, SignInSession.last_seen_at, SignInSession.expires_at, SignInSession.factors,
               SignInSession.row_mac.label("session_mac"),
               User.login, User.login_key, User.name, User.staff_id, User.department_id, User.state,
               User.valid_until, User.must_change, User.password_changed_at, User.certificate, User.totp_sealed,
               head.version.label("head_version"), head.digest.label("head_digest"),
               UserRole.role_id, UserRole.department_id.label("granted_in"), UserRole.row_mac.label("grant_mac"),
               Role.code, Role.permissions, Role.active.label("role_active"), Role.second_factor.label("role_factor"))
        .join(User, User.id == SignInSession.user_id)
        .outerjoin(head, head.scope == grants.SCOPE)
        .outerjoin(UserRole, UserRole.user_id == User.id)
        .outerjoin(Role, Role.id == UserRole.role_id)
        .where(SignInSession.token.in_(bindparam("tokens", expanding=True)))
    )


_QUERY = _query()


def session_mac(sealer: Any, row_id: int, token: str, user_id: int, stage: str, expires: Any, factors: str) -> str:
    """The row MAC of a session: nobody can point a session at another account."""
    return integrity.row_mac(sealer, "security_session", (row_id, token, user_id, stage, expires, factors))


def session_holds(sealer: Any, row: Any) -> bool:
    """Whether a row of the session query is as we wrote it."""
    values = (row.session_id, row.token, row.user_id, row.stage, row.expires_at, row.factors)
    return integrity.row_holds(sealer, "security_session", values, row.session_mac)


def open_session(security: Security, session: Session, user_id: int, *, factors: str, stage: str = "active",
                 seconds: int | None = None, ip: str = "", terminal: str = "") -> tuple[bytes, SignInSession]:
    """Make a session (or a ticket, by ``stage``) with a new random id; returns the id and the row."""
    raw = security.database.sealer.provider.random(ID_BYTES)
    now = db.now(session)
    row = SignInSession(token=security.token_of(raw), user_id=user_id, stage=stage, created_at=now, last_seen_at=now,
                        expires_at=now + timedelta(seconds=seconds or security.settings.session_lifetime),
                        factors=factors, ip=ip[:45], terminal=terminal[:60])
    row.row_mac = session_mac(security.database.sealer, row.id, row.token, user_id, stage, row.expires_at, factors)
    session.add(row)
    return raw, row


def terminal_of(request: Request) -> str:
    """The workstation's name as the browser sends it (not trusted, for the audit trail only)."""
    text = request.headers.get("X-Terminal", "")
    return "".join(c for c in text if c.isprintable())[:60]


def purge(database: Database) -> int:
    """Delete ended sessions and spent nonces; returns how many rows went."""
    with database.begin() as session:
        now = db.now(session)
        gone = [session.execute(delete(table).where(table.expires_at < now)).rowcount  # type: ignore[attr-defined]
                for table in (SignInSession, SpentNonce, SignedNonce)]
    return sum(gone)


