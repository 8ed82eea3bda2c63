"""Accounts, roles, grants, sessions and spent nonces."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Boolean, Date, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db.base import Base, Keyed
from his_server.db.types import Instant

EVERYWHERE = 0
"""``department_id`` of a grant that isn't restricted to a department."""


class User(Keyed):
    """A personal account. Never deleted: a closed one keeps its login and id for the audit trail (DB-01)."""

    __tablename__ = "security_user"
    login: Mapped[str] = mapped_column(String(40))
    login_key: Mapped[str] = mapped_column(String(40), unique=True)
    """Folded login: width, case and white space don't make another name."""
    name: Mapped[str] = mapped_column(String(60))
    staff_id: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    department_id: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10), default="active")
    """``active`` or ``disabled``."""
    valid_until: Mapped[date | None] = mapped_column(Date)
    """Last day on which the account may be used."""
    password: Mapped[str] = mapped_column(String(200))
    password_changed_at: Mapped[datetime] = mapped_column(Instant)
    must_change: Mapped[bool] = mapped_column(Boolean, default=True)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    locked_until: Mapped[datetime | None] = mapped_column(Instant)
    last_sign_in_at: Mapped[datetime | None] = mapped_column(Instant)
    totp_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_step: Mapped[int] = mapped_column(BigInteger, default=0)
    """Last time step whose code was used: a code works once."""
    certificate: Mapped[str | None] = mapped_column(Text)
    """PEM of the SM2 certificate that is bound to the account."""
    created_at: Mapped[datetime] = mapped_column(Instant)
    created_by: Mapped[int] = mapped_column(BigInteger)


class PasswordHistory(Keyed):
    """A former password's verifier."""

    __tablename__ = "security_password_history"
    user_id: Mapped[int] = mapped_column(BigInteger, index=True)
    password: Mapped[str] = mapped_column(String(200))
    changed_at: Mapped[datetime] = mapped_column(Instant)


class Role(Keyed):
    """A role and what it may do. ``permissions`` and ``declared`` are space-separated sorted codes."""

    __tablename__ = "security_role"
    code: Mapped[str] = mapped_column(String(40), unique=True)
    title: Mapped[str] = mapped_column(String(60))
    standard: Mapped[bool] = mapped_column(Boolean, default=False)
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    second_factor: Mapped[bool] = mapped_column(Boolean, default=False)
    permissions: Mapped[str] = mapped_column(Text)
    declared: Mapped[str] = mapped_column(Text)
    """What the modules declared at the last synchronisation; the difference is the hospital's own choice."""


class UserRole(Base):
    """A grant: the user holds the role, everywhere or in one department."""

    __tablename__ = "security_user_role"
    __table_args__ = (Index("ix_security_user_role_role", "role_id"),)
    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    role_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    department_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, default=EVERYWHERE)
    granted_at: Mapped[datetime] = mapped_column(Instant)
    granted_by: Mapped[int] = mapped_column(BigInteger)
    row_mac: Mapped[str] = mapped_column(String(64))


class SignInSession(Keyed):
    """A server-side session, or a sign-in on its way (``stage``: active, second_factor, change_password)."""

    __tablename__ = "security_session"
    __table_args__ = (Index("ix_security_session_user", "user_id"), Index("ix_security_session_expires", "expires_at"))
    token: Mapped[str] = mapped_column(String(64), unique=True)
    """Keyed HMAC-SM3 of the random id; the id itself is nowhere stored."""
    user_id: Mapped[int] = mapped_column(BigInteger)
    stage: Mapped[str] = mapped_column(String(20), default="active")
    created_at: Mapped[datetime] = mapped_column(Instant)
    last_seen_at: Mapped[datetime] = mapped_column(Instant)
    expires_at: Mapped[datetime] = mapped_column(Instant)
    factors: Mapped[str] = mapped_column(String(40))
    ip: Mapped[str] = mapped_column(String(45))
    terminal: Mapped[str] = mapped_column(String(60))
    row_mac: Mapped[str] = mapped_column(String(64))


class SpentNonce(Base):
    """A nonce that was used; kept until it would have expired anyway."""

    __tablename__ = "security_spent_nonce"
    __table_args__ = (Index("ix_security_spent_nonce_expires", "expires_at"),)
    nonce: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(Instant)


class SignedNonce(Base):
    """A nonce of a partner's signed request, one row for all processes; kept as long as its timestamp could pass."""

    __tablename__ = "security_signed_nonce"
    __table_args__ = (Index("ix_security_signed_nonce_expires", "expires_at"),)
    key_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    nonce: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(Instant)
