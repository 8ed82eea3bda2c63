"""Idempotency-Key: the first answer is stored in the same transaction and replayed (DESIGN section 4).

The key belongs to the acting account. The same key with another body is refused: it is a client's defect.
Answers name patients and diagnoses, so they are kept sealed, and the request by a keyed digest (MP-12).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, String, bindparam, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from crypto import CryptoError, DeviceLost
from his_server.db import database as db
from his_server.db.base import Base
from his_server.db.later import insert_later
from his_server.db.types import Instant
from his_server.errors import Conflict

KEEP = timedelta(days=30)


class IdempotencyKey(Base):
    """A stored answer."""

    __tablename__ = "idempotency_key"
    __table_args__ = (Index("ix_idempotency_key_created_at", "created_at"),)
    actor_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer)
    body_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(Instant)


_ROW = IdempotencyKey.__table__
_FIND = (select(_ROW.c.request_hash, _ROW.c.status, _ROW.c.body_sealed)
         .where(_ROW.c.actor_id == bindparam("actor"), _ROW.c.key == bindparam("key")))


@dataclass(frozen=True)
class StoredAnswer:
    """What was answered the first time."""

    status: int
    body: str


def request_hash(method: str, path: str, body: bytes) -> str:
    """SM3 of the request, 64 hex digits: tells a repeat from a reused key."""
    return hashlib.new("sm3", b"\n".join((method.encode(), path.encode(), body))).hexdigest()


def _place(actor_id: int, key: str) -> str:
    return f"idempotency_key.body:{actor_id}/{key}"


def find(session: Session, actor_id: int, key: str, digest: str) -> StoredAnswer | None:
    """The stored answer. :raises Conflict: the key was used for another request, or its answer can't be read."""
    row = session.execute(_FIND, {"actor": actor_id, "key": key}).first()
    if row is None:
        return None
    sealer = db.of(session).sealer
    if not sealer.check_mac("integrity", digest.encode(), _bytes(row.request_hash)):
        raise Conflict("idempotency.reused", "同一提交编号用于了不同的内容，请刷新页面后重新提交")
    try:
        body = sealer.open("column", bytes(row.body_sealed), _place(actor_id, key)).decode()
    except DeviceLost:
        raise
    except CryptoError as error:  # altered, or its key was destroyed; that it was done is certain
        raise Conflict("idempotency.unreadable", "这次提交已经办理过，但结果已无法读取，请刷新后核对，不要重复提交") from error
    return StoredAnswer(row.status, body)


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def store(session: Session, actor_id: int, key: str, digest: str, status: int, body: str) -> None:
    """Store the answer; a unique violation at the commit means that a twin request was first."""
    sealer = db.of(session).sealer
    insert_later(session, _ROW, {  # type: ignore[arg-type]
        "actor_id": actor_id, "key": key, "request_hash": sealer.mac("integrity", digest.encode()).hex(), "status": status,
        "body_sealed": sealer.seal("column", body.encode(), _place(actor_id, key)), "created_at": db.now(session)})


def purge(session: Session) -> int:
    """Delete answers older than :data:`KEEP`; returns how many."""
    done = session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < db.now(session) - KEEP))
    return int(done.rowcount)  # type: ignore[attr-defined]
