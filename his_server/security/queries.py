"""Reads for the account, role and audit pages."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.clock import local
from his_server.db import database as db
from his_server.errors import invalid
from his_server.security import rules
from his_server.security.audit import AuditRow
from his_server.security.events import title_of
from his_server.security.models import Role, User, UserRole
from his_server.wire import MAX_ID


def _cursor(after: str | None, *kinds: type) -> tuple[Any, ...] | None:
    if after is None:
        return None
    try:
        values = portable.decode_cursor(after)
    except ValueError as error:
        raise invalid("after", "翻页标记有误，请从第一页重新查询") from error
    fits = len(values) == len(kinds) and all(
        isinstance(v, k) and not (isinstance(v, int) and v > MAX_ID) for v, k in zip(values, kinds, strict=True))
    if not fits:
        raise invalid("after", "翻页标记有误，请从第一页重新查询")
    return values


def users(session: Session, *, q: str, state: str | None, role: str | None, unused_days: int | None, limit: int,
          after: str | None) -> dict[str, Any]:
    """A page of accounts. ``unused_days``: only those that nobody has signed in with for so long (DB-12)."""
    query = select(User)
    if q:
        query = query.where(portable.starts_with(User.login_key, rules.fold_login(q))
                            | User.name.contains(q, autoescape=True))
    if state:
        query = query.where(User.state == state)
    if role:
        query = query.where(User.id.in_(select(UserRole.user_id).join(Role, Role.id == UserRole.role_id)
                                        .where(Role.code == role)))
    if unused_days:
        edge = db.now(session) - timedelta(days=unused_days)
        query = query.where((User.last_sign_in_at < edge)
                            | (User.last_sign_in_at.is_(None) & (User.created_at < edge)))
    rows = list(session.scalars(portable.keyset(query, [(User.login_key, "asc")], _cursor(after, str), limit + 1)))
    held: dict[int, list[dict[str, Any]]] = {}
    for grant in session.execute(
            select(UserRole.user_id, UserRole.department_id, Role.code, Role.title)
            .join(Role, Role.id == UserRole.role_id).where(UserRole.user_id.in_([u.id for u in rows]))):
        held.setdefault(grant.user_id, []).append(
            {"role": grant.code, "title": grant.title, "department_id": grant.department_id or None})
    now = db.now(session)
    items = [{
        "id": u.id, "login": u.login, "name": u.name, "staff_id": u.staff_id, "department_id": u.department_id,
        "state": u.state, "valid_until": u.valid_until, "locked": u.locked_until is not None and u.locked_until > now,
        "must_change": u.must_change, "last_sign_in_at": u.last_sign_in_at, "created_at": u.created_at,
        "totp": u.totp_sealed is not None, "certificate": u.certificate is not None, "grants": held.get(u.id, []),
    } for u in rows[:limit]]
    more = len(rows) > limit
    return {"items": items, "next": portable.encode_cursor((rows[limit - 1].login_key,)) if more else None}


def roles(session: Session) -> list[dict[str, Any]]:
    """All roles."""
    return [{"code": r.code, "title": r.title, "standard": r.standard, "active": r.active,
             "second_factor": r.second_factor, "permissions": r.permissions.split(), "declared": r.declared.split()}
            for r in session.scalars(select(Role).order_by(Role.standard.desc(), Role.id))]


def audit_rows(session: Session, *, limit: int, after: str | None, since: datetime | None, until: datetime | None,
               **equal: Any) -> dict[str, Any]:
    """A page of audit rows, newest first."""
    query = select(AuditRow)
    for name, value in equal.items():
        if value is not None:
            query = query.where(getattr(AuditRow, name) == value)
    if since:
        query = query.where(AuditRow.at >= since)
    if until:
        query = query.where(AuditRow.at < until)
    order: list[Any] = [(AuditRow.at, "desc"), (AuditRow.id, "desc")]
    rows = list(session.scalars(portable.keyset(query, order, _cursor(after, datetime, int), limit + 1)))
    items = [{
        "id": r.id, "at": local(r.at).isoformat(timespec="milliseconds"), "user_id": r.user_id, "login": r.login,
        "name": r.name, "roles": r.roles, "ip": r.ip, "terminal": r.terminal, "event": r.event,
        "title": title_of(r.event),
        "object_type": r.object_type, "object_id": r.object_id, "success": r.success, "trace_id": r.trace_id,
        "detail": json.loads(r.detail),
    } for r in rows[:limit]]
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    return {"items": items, "next": portable.encode_cursor((last.at, last.id)) if last else None}


def audit_events(session: Session) -> list[dict[str, str]]:
    """All events in the trail with their Chinese names."""
    codes = session.scalars(select(AuditRow.event).distinct().order_by(AuditRow.event))
    return [{"code": code, "title": title_of(code)} for code in codes]


def account_names(session: Session, ids: Iterable[int]) -> dict[int, str]:
    """Names of accounts by key, closed ones too; one query."""
    return {row.id: row.name for row in session.execute(select(User.id, User.name).where(User.id.in_(set(ids))))}


def accounts_with(session: Session, permission: str) -> list[User]:
    """Accounts in use whose roles hold a permission, by login; two queries."""
    roles = [role.id for role in session.scalars(select(Role).where(Role.active.is_(True)))
             if permission in role.permissions.split()]
    return list(session.scalars(
        select(User).where(User.state == "active", User.id.in_(select(UserRole.user_id).where(UserRole.role_id.in_(roles))))
        .order_by(User.login_key)))
