"""The call log: one row per call and attempt, in or out; and the words that lead to it (A3)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Base, Instant, Keyed


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
