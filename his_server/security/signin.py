"""Signing in: one-time nonce, sealed password, lockout, second factor, SM2 certificate (COMPLIANCE MP-05, DB-02…08).

PBKDF2 runs between units of work, never inside one. Every refusal is the same message, takes the same work and is
audited in a transaction of its own, whether the account exists, is locked, disabled, expired or just mistyped.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from crypto import CryptoError
from his_server import metrics
from his_server.actor import Actor
from his_server.db import database as db
from his_server.errors import Forbidden, Unauthenticated
from his_server.security import accounts, audit, certificates, grants, passwords, rules
from his_server.security.models import Role, SignInSession, SpentNonce, User, UserRole
from his_server.security.sessions import Effective, Security, effective_of, open_session, session_mac

NONCE_SECONDS = 60
TICKET_SECONDS = 300
REFUSED = "用户名或密码不正确，或账户已锁定、停用。连续输错会被锁定，请核对后再试或联系系统管理员"


@dataclass(frozen=True)
class Visitor:
    """Where a sign-in comes from."""

    ip: str
    terminal: str
    trace_id: str
    raw: bytes | None = None
    """Session id of the cookie that the browser still had: that session ends (no fixation)."""

    def actor(self, login: str, user: User | None = None) -> Actor:
        """The actor for the audit trail; without an account only the typed login is known."""
        return Actor(user_id=user.id if user else 0, login=rules.fold_login(login)[:40], name=user.name if user else "",
                     staff_id=user.staff_id if user else None, ip=self.ip, terminal=self.terminal,
                     trace_id=self.trace_id)


@dataclass(frozen=True)
class Outcome:
    """How far the sign-in got: ``active`` with a session id, or another ``stage`` with a ticket."""

    stage: str
    raw: bytes
    user_id: int

    @property
    def ticket(self) -> str:
        """The id as text, for the next step of the sign-in."""
        return base64.urlsafe_b64encode(self.raw).decode().rstrip("=")


# Nonces

def challenge(security: Security) -> dict[str, str]:
    """A nonce (192 random bits and its time, sealed) and the public key to seal with; stores nothing."""
    sealer, now = security.database.sealer, security.database.clock.now()
    content = int(now.timestamp() * 1000).to_bytes(8, "big") + sealer.provider.random(24)
    key = sealer.ring.active("login-sm2")
    nonce = sealer.seal("cookie", content, "login nonce").hex()
    return {"nonce": nonce, "public_key": key.public.hex(), "kid": key.kid}


def spend(security: Security, nonce: str) -> bool:
    """Whether the nonce is ours, at most 60 s old and unused; from now on it is used, for all processes."""
    database = security.database
    try:
        content = database.sealer.open("cookie", bytes.fromhex(nonce), "login nonce")
    except (CryptoError, ValueError):
        return False
    made = datetime.fromtimestamp(int.from_bytes(content[:8], "big") / 1000, tz=database.clock.now().tzinfo)
    now = database.clock.now()
    if not timedelta(seconds=-5) <= now - made <= timedelta(seconds=NONCE_SECONDS):
        return False
    try:
        with database.begin() as session:
            session.execute(insert(SpentNonce).values(nonce=content[8:].hex(),
                                                      expires_at=now + timedelta(seconds=2 * NONCE_SECONDS)))
    except IntegrityError:
        return False
    return True


def unseal(security: Security, kid: str, sealed: str) -> dict[str, Any] | None:
    """The JSON object that the browser sealed to our SM2 key with a good nonce, or None."""
    sealer = security.database.sealer
    try:
        blob = bytes.fromhex(sealed)
        key = sealer.ring.get(kid, "login-sm2")
        content = json.loads(sealer.provider.sm2_decrypt(key.material, blob))
    except (CryptoError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        return None
    return content if spend(security, content.get("nonce", "")) else None


# Steps

def with_password(security: Security, visitor: Visitor, login: str, kid: str, sealed: str) -> Outcome:
    """First step: login and sealed password.

    :raises Unauthenticated: refused, for whatever reason. :raises Forbidden: no second factor is enrolled.
    """
    database, settings = security.database, security.settings
    content = unseal(security, kid, sealed)
    if content is None or "password" not in content:
        _refuse(security, visitor.actor(login), "challenge")
        raise Unauthenticated("session.challenge", "登录页面已过期，请重新输入密码登录")
    key = rules.fold_login(login)[:40]
    with database.begin() as session:
        counted = accounts.take_attempt(session, key, settings.lockout_failures, settings.lockout_seconds)
        user = session.scalars(select(User).where(User.login_key == key)).first()
    right = False
    if user is not None and counted:
        right = passwords.holds(database.sealer, user.id, content["password"], user.password)
    else:
        passwords.decoy(database.sealer, content["password"], settings.password_rounds)
    if not right or user is None or not _usable(security, user):
        _refuse(security, visitor.actor(login, user), "password" if counted else "locked")
        raise Unauthenticated("session.refused", REFUSED)
    return _go_on(security, visitor, user.id, "password")


def with_code(security: Security, visitor: Visitor, ticket: str, code: str) -> Outcome:
    """Second step: the one-time code. :raises Unauthenticated: wrong code, or the ticket has expired."""
    settings = security.settings
    with security.database.begin() as session:
        user = _holder(security, session, ticket, "second_factor")
        counted = accounts.take_attempt(session, user.login_key, settings.lockout_failures, settings.lockout_seconds)
        right = counted and _intact(session, user) and accounts.take_code(session, user, code)
        if right:
            session.execute(delete(SignInSession).where(SignInSession.token.in_(_tokens(security, ticket))))
    if not right:
        _refuse(security, visitor.actor(user.login, user), "code")
        raise Unauthenticated("session.code", "动态口令不正确或已用过，请等待下一个口令后再试")
    return _go_on(security, visitor, user.id, "password totp")


def with_certificate(security: Security, visitor: Visitor, login: str, nonce: str, pem: str, signature: str,
                     ticket: str | None) -> Outcome:
    """An SM2 certificate's answer to the challenge: as second step (``ticket``), or alone with a UKey and its PIN.

    :raises Unauthenticated: wrong, expired, revoked, replayed, or not this account's certificate.
    """
    database, settings = security.database, security.settings
    key = rules.fold_login(login)[:40]
    with database.begin() as session:
        counted = accounts.take_attempt(session, key, settings.lockout_failures, settings.lockout_seconds)
        user = session.scalars(select(User).where(User.login_key == key)).first()
        holder = _holder(security, session, ticket, "second_factor") if ticket else user
        intact = user is not None and _intact(session, user)
    fresh = spend(security, nonce)
    right = certificates.proves(
        database.sealer.provider, settings, bound=user.certificate if user else None, given=pem, login_key=key,
        nonce=nonce, signature=signature, at=database.clock.now())
    if not (counted and fresh and right and user is not None and _usable(security, user) and holder is not None
            and holder.id == user.id and intact):
        _refuse(security, visitor.actor(login, user), "certificate")
        raise Unauthenticated("session.certificate", "证书登录未通过：证书无效、过期、吊销、不属于该账户，或质询已用过")
    if ticket:
        with database.begin() as session:
            session.execute(delete(SignInSession).where(SignInSession.token.in_(_tokens(security, ticket))))
    return _go_on(security, visitor, user.id, "password certificate" if ticket else "certificate")


def _intact(session: Session, user: User) -> bool:
    """Whether account, grants and bound factors are as we wrote them: nobody swapped in another factor."""
    try:
        grants.still_intact(session, user)
    except Forbidden:
        return False
    return True


def with_new_password(security: Security, visitor: Visitor, user_id: int, content: dict[str, str],
                      ticket: str | None, factors: str) -> Outcome:
    """Change one's own password, proved by the old one; all sessions end and a new one begins.

    :raises Unauthenticated: the old password is wrong. :raises Invalid: the new one is refused.
    """
    database, settings = security.database, security.settings
    old, new = content.get("old_password", ""), content.get("new_password", "")
    with database.begin() as session:
        user = accounts.get_user(session, user_id)
        counted = accounts.take_attempt(session, user.login_key, settings.lockout_failures, settings.lockout_seconds)
    if not counted or not passwords.holds(database.sealer, user_id, old, user.password):
        _refuse(security, visitor.actor(user.login, user), "old_password")
        raise Unauthenticated("session.old_password", "原密码不正确，请重新输入")
    with database.begin() as session:
        accounts.forgive(session, user_id, completely=True)  # the old one was right, whatever the new one is like
    with database.begin() as session:
        user = accounts.get_user(session, user_id)
        actor = visitor.actor(user.login, user)
        accounts.set_password(session, user, new, settings.password_rounds, must_change=False)
        accounts.end_sessions(session, user_id)
        audit.record(session, actor, "user.password_change", "user", user_id)
    return _go_on(security, visitor, user_id, factors)


def holder_of(security: Security, ticket: str) -> tuple[int, str]:
    """Account and factors of a ticket that waits for a new password. :raises Unauthenticated: there is none."""
    with security.database.begin(write=False) as session:
        user = _holder(security, session, ticket, "change_password")
        factors = session.scalar(select(SignInSession.factors)
                                 .where(SignInSession.token.in_(_tokens(security, ticket))))
    return user.id, factors or "password"


def _go_on(security: Security, visitor: Visitor, user_id: int, factors: str) -> Outcome:
    """After a proof: session, second factor or change of password, whichever is due."""
    database = security.database
    with database.begin() as session:
        user = accounts.get_user(session, user_id)
        effective = _effective(session, user_id)
        actor = replace(visitor.actor(user.login, user), roles=effective.roles)
        near = security.may_come_from(effective.roles, visitor.ip)
        bound = user.totp_sealed is not None or user.certificate is not None
        if near and factors == "password" and bound:
            accounts.forgive(session, user_id, completely=False)
            raw, _ = open_session(security, session, user_id, factors=factors, stage="second_factor",
                                  seconds=TICKET_SECONDS, ip=visitor.ip, terminal=visitor.terminal)
            return Outcome("second_factor", raw, user_id)
        # only the demo lets administrators in without a second factor
        if near and (factors != "password" or not effective.second_factor or security.settings.demo):
            return _finish(security, session, visitor, actor, user, factors)
    _refuse(security, actor, "no_second_factor" if near else "network")
    if not near:
        raise Forbidden("session.network", "管理员账户只能在指定的管理网段使用")
    raise Forbidden("session.no_second_factor", "您的岗位须使用第二因素登录，请先由安全管理员登记动态口令或证书")


def _finish(security: Security, session: Session, visitor: Visitor, actor: Actor, user: User, factors: str) -> Outcome:
    accounts.forgive(session, user.id, completely=True)
    if visitor.raw is not None:
        session.execute(delete(SignInSession).where(
            SignInSession.token.in_(security.database.sealer.blind_indexes("session", visitor.raw.hex()))))
    if security.password_expired(user):
        raw, _ = open_session(security, session, user.id, factors=factors, stage="change_password",
                              seconds=TICKET_SECONDS, ip=visitor.ip, terminal=visitor.terminal)
        return Outcome("change_password", raw, user.id)
    raw, row = open_session(security, session, user.id, factors=factors, ip=visitor.ip, terminal=visitor.terminal)
    user.last_sign_in_at = db.now(session)
    audit.record(session, actor, "session.sign_in", "session", row.id, {"factors": factors})
    metrics.sign_ins.labels("accepted").inc()
    return Outcome("active", raw, user.id)


def sign_out(session: Session, actor: Actor) -> None:
    """End the actor's session."""
    session.execute(delete(SignInSession).where(SignInSession.id == (actor.session_id or 0)))
    audit.record(session, actor, "session.sign_out", "session", actor.session_id or 0)


def _usable(security: Security, user: User) -> bool:
    until = user.valid_until
    return user.state == "active" and (until is None or until >= security.database.clock.today())


def _effective(session: Session, user_id: int) -> Effective:
    return effective_of(list(session.execute(
        select(UserRole.role_id, UserRole.department_id.label("granted_in"), Role.code, Role.permissions,
               Role.active.label("role_active"), Role.second_factor.label("role_factor"))
        .join(Role, Role.id == UserRole.role_id).where(UserRole.user_id == user_id))))


def _tokens(security: Security, ticket: str) -> list[str]:
    try:
        raw = base64.urlsafe_b64decode(ticket + "=" * (-len(ticket) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    found: list[str] = security.database.sealer.blind_indexes("session", raw.hex())
    return found


def _holder(security: Security, session: Session, ticket: str, stage: str) -> User:
    row = session.scalars(select(SignInSession).where(SignInSession.token.in_(_tokens(security, ticket)),
                                                      SignInSession.stage == stage)).first()
    sealer = security.database.sealer
    if row is None or row.expires_at <= db.now(session) or row.row_mac != session_mac(
            sealer, row.id, row.token, row.user_id, row.stage, row.expires_at, row.factors):
        raise Unauthenticated("session.ticket", "登录步骤已超时，请重新登录")
    user = accounts.get_user(session, row.user_id)
    if not _usable(security, user):
        raise Unauthenticated("session.refused", REFUSED)
    return user


def _refuse(security: Security, actor: Actor, why: str) -> None:
    audit.record_apart(security.database, actor, "session.refused", "user", actor.user_id, {"why": why}, success=False)
    metrics.sign_ins.labels("refused").inc()

