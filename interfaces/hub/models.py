"""The call log: one row per call and attempt, in or out; and the words that lead to it (A3). Partners that call us, and
what each of them may (X1, PR-13)."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Base, Instant, Keyed
from his_server.security.integrity import Guarded


class InterfaceCall(Keyed):
    """A call. ``outcome``: ``ok`` | ``refused`` | ``unknown`` (no answer that tells) | ``failed`` (surely not done).

    Bodies stand masked for everybody who may look, and sealed in full for who may unmask. Written in a transaction of
    its own after the call, so that no rollback takes it away.
    """

    __tablename__ = "interface_call"
    __table_args__ = (
        Index("ix_interface_call_at", "started_at", "id"),
        Index("ix_interface_call_interface", "interface", "started_at", "id"),
        Index("ix_interface_call_outcome", "outcome", "started_at", "id"),
        Index("ix_interface_call_operation", "operation", "started_at", "id"),
        Index("ix_interface_call_business", "business_key", "started_at"),
        Index("ix_interface_call_person", "person_id", "started_at", "id"),
        Index("ix_interface_call_trace", "trace_id"),
        Index("ix_interface_call_hour", "hour", "interface"),
    )
    started_at: Mapped[datetime] = mapped_column(Instant)
    hour: Mapped[str] = mapped_column(String(10))
    """Hospital time, 2026030208: what the charts count by."""
    trace_id: Mapped[str] = mapped_column(String(40))
    interface: Mapped[str] = mapped_column(String(40))
    operation: Mapped[str] = mapped_column(String(40))
    direction: Mapped[str] = mapped_column(String(3))
    """``out`` or ``in``."""
    business_key: Mapped[str] = mapped_column(String(60))
    person_id: Mapped[int | None] = mapped_column(BigInteger)
    actor_id: Mapped[int] = mapped_column(BigInteger)
    actor_name: Mapped[str] = mapped_column(String(60))
    outcome: Mapped[str] = mapped_column(String(10))
    peer_number: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(String(300))
    duration_ms: Mapped[int]
    request_size: Mapped[int]
    answer_size: Mapped[int]
    request_masked: Mapped[str] = mapped_column(Text)
    answer_masked: Mapped[str] = mapped_column(Text)
    request_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    answer_sealed: Mapped[bytes] = mapped_column(LargeBinary)


class CallTerm(Base):
    """A word that leads to a call: pieces of the message of a call that went wrong, and the peer's number.

    An inverted index that every database can use by equality; calls that went well have only their peer's number.
    """

    __tablename__ = "interface_call_term"
    __table_args__ = (Index("ix_interface_call_term_call", "call_id"),)
    term: Mapped[str] = mapped_column(String(64), primary_key=True)
    call_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)


class OpenPartner(Guarded, Keyed):
    """An outside system that calls us. Its keys are the platform's (``his-server partner``), with permission
    ``open.<code>``. Guarded: what was planted or altered in the database is no partner."""

    __tablename__ = "open_partner"
    __guarded__ = ("id", "code", "addresses", "per_minute", "active")
    __history__ = ("name", "owner", "contact", "addresses", "per_minute", "active")
    code: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(60))
    owner: Mapped[str] = mapped_column(String(60))
    """Who in the hospital answers for it."""
    contact: Mapped[str] = mapped_column(String(100), default="")
    addresses: Mapped[str] = mapped_column(String(400), default="")
    """Networks that it may call from, separated by spaces; empty: any."""
    per_minute: Mapped[int]
    active: Mapped[bool] = mapped_column(default=True)
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[datetime] = mapped_column(Instant)
    created_by_name: Mapped[str] = mapped_column(String(60))


class OpenGrant(Guarded, Keyed):
    """A use case that a partner may call, and the fields of the answer that leave the house for it (PR-13)."""

    __tablename__ = "open_grant"
    __guarded__ = ("id", "partner_id", "use_case", "allowed")
    __table_args__ = (UniqueConstraint("partner_id", "use_case"),)
    partner_id: Mapped[int] = mapped_column(ForeignKey("open_partner.id"))
    use_case: Mapped[str] = mapped_column(String(40))
    allowed: Mapped[str] = mapped_column(String(2000))
    """Names separated by spaces."""
    granted_at: Mapped[datetime] = mapped_column(Instant)
    granted_by_name: Mapped[str] = mapped_column(String(60))


class OpenUse(Base):
    """How often a partner called a use case on a day; ``refused`` of these were."""

    __tablename__ = "open_use"
    partner_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    use_case: Mapped[str] = mapped_column(String(40), primary_key=True)
    used_on: Mapped[date] = mapped_column(primary_key=True)
    calls: Mapped[int]
    refused: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(Instant)
