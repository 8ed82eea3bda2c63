"""Accounts and signed-in clients, without the cost of PBKDF2."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from his_server.actor import SYSTEM
from his_server.db import Database
from his_server.security import Security, bootstrap, grants, integrity, sessions
from his_server.security.models import User

PASSWORD = "Qd7#vale-Korb"


def make_user(session: Session, *roles: str | tuple[str, int | None], login: str | None = None, name: str = "测试员",
              **values: Any) -> User:
    """An account with these roles and a password that opens nothing (see make_user_with_password)."""
    user = User(login="", login_key="", name=name, state="active", password="none", failures=0, totp_step=0,
                password_changed_at=_now(session), created_at=_now(session), created_by=0, must_change=False)
    user.login = user.login_key = login or f"u{user.id}"
    for key, value in values.items():
        setattr(user, key, value)
    session.add(user)
    session.flush()
    if roles:
        grants.set_roles(session, SYSTEM, user.id, [(r, None) if isinstance(r, str) else r for r in roles], new=True)
    else:
        change = integrity.begin_change(session, grants.SCOPE)
        grants.protect_users(session, change, [user])
        change.close()
    return user


def _now(session: Session) -> Any:
    return session.info["database"].clock.now()


class SignedInClient(FlaskClient):
    """Sends the CSRF token with every request that changes something."""

    csrf = ""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        headers = dict(kwargs.pop("headers", None) or {})
        headers.setdefault("X-CSRF-Token", self.csrf)
        return super().open(*args, headers=headers, **kwargs)


def signed_in_client(app: Flask, db: Database, *roles: str | tuple[str, int | None], user: User | None = None,
                     **options: Any) -> FlaskClient:
    """A client with a session of a new account that holds ``roles`` (or of ``user``)."""
    with db.begin() as session:
        bootstrap(session, app.extensions["his_hospital"])
        return clients_of(app, session, [user or make_user(session, *roles, **options)])[0]


def clients_of(app: Flask, session: Session, users: list[User]) -> list[SignedInClient]:
    """A client per account, each with a session that is good once the unit of work is committed."""
    security: Security = app.extensions["his_security"]
    found = []
    for user in users:
        raw, _ = sessions.open_session(security, session, user.id, factors="test", ip="127.0.0.1")
        client = SignedInClient(app, app.response_class, use_cookies=True)
        client.csrf = security.csrf_of(raw)
        client.set_cookie(security.cookie, security.cookie_value(raw), path="/", samesite="Strict", httponly=True,
                          secure=security.settings.secure_cookies)
        found.append(client)
    return found
