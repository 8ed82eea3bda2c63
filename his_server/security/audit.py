"""The audit trail: one INSERT in the caller's own transaction, so that what isn't audited doesn't happen (DB-15…19).

Each row carries an HMAC-SM3 over all its columns; :mod:`his_server.security.seals` chains the rows afterwards, so
that writers never wait for each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Index, String, Text, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from his_server.actor import Actor
from his_server.clock import local
from his_server.db import database as db
from his_server.db.base import Base
from his_server.db.later import insert_later
from his_server.db.types import Instant
from his_server.security import integrity

DETAIL_MAX = 8000
_SECRET_NAMES = re.compile(r"passw|secret|token|cookie|sealed|private|pin\b|密码|口令", re.IGNORECASE)
_ID_NUMBER = re.compile(
    r"(?<!\d)[1-9]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?![\dXx])")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


class AuditRow(Base):
    """Who did what, to what, when, from where, and whether it worked. Never changed, never deleted by the product
    before its retention ends."""

    __tablename__ = "security_audit"
    __table_args__ = (
        Index("ix_security_audit_at", "at"), Index("ix_security_audit_user", "user_id", "at"),
        Index("ix_security_audit_object", "object_type", "object_id"),
        Index("ix_security_audit_event", "event", "at"),
    )
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(Instant)
    zone: Mapped[str] = mapped_column(String(6))
    user_id: Mapped[int] = mapped_column(BigInteger)
    login: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(60))
    staff_id: Mapped[int | None] = mapped_column(BigInteger)
    roles: Mapped[str] = mapped_column(String(200))
    channel: Mapped[str] = mapped_column(String(20))
    ip: Mapped[str] = mapped_column(String(45))
    terminal: Mapped[str] = mapped_column(String(60))
    event: Mapped[str] = mapped_column(String(60))
    object_type: Mapped[str] = mapped_column(String(60))
    object_id: Mapped[str] = mapped_column(String(80))
    success: Mapped[bool] = mapped_column(Boolean)
    trace_id: Mapped[str] = mapped_column(String(40))
    detail: Mapped[str] = mapped_column(Text)
    row_mac: Mapped[str] = mapped_column(String(64))


_INSERT = insert(AuditRow.__table__)
COLUMNS = tuple(column.key for column in AuditRow.__table__.columns if column.key != "row_mac")


def record(session: Session, actor: Actor, event: str, object_type: str, object_id: object,
           detail: Mapping[str, Any] | None = None, success: bool = True) -> int:
    """Write an audit row in the running unit of work; returns its id.

    In a read-only unit of work (the viewing of a patient, a report) the row is written at once in a transaction of
    its own: if that fails, the reading fails too. ``detail`` is small JSON, best with ``before`` and ``after`` as
    :func:`digest`; secrets are left out and ID numbers masked here, whatever the caller gave.

    :raises ValueError: the detail is over 8000 characters.
    """
    database = db.of(session)
    if session.info.get("read_only"):
        return record_apart(database, actor, event, object_type, object_id, detail, success)
    values = _values(database, actor, event, object_type, object_id, detail, success)
    insert_later(session, AuditRow.__table__, values)  # type: ignore[arg-type]
    return int(values["id"])


def record_apart(database: db.Database, actor: Actor, event: str, object_type: str, object_id: object,
                 detail: Mapping[str, Any] | None = None, success: bool = False) -> int:
    """The same in a transaction of its own: refusals, whose unit of work is rolled back.

    :raises RuntimeError: on SQLite inside a writing unit of work, which must end first.
    """
    values = _values(database, actor, event, object_type, object_id, detail, success)
    with database.apart() as session:
        session.connection().execute(_INSERT, values)
    return int(values["id"])


def _values(database: db.Database, actor: Actor, event: str, object_type: str, object_id: object,
            detail: Mapping[str, Any] | None, success: bool) -> dict[str, Any]:
    text = json.dumps(_clean(detail or {}), ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str)
    text = _ID_NUMBER.sub(_mask, text)
    if len(text) > DETAIL_MAX:
        raise ValueError(f"audit detail of {event} has {len(text)} characters")
    at = database.clock.now()
    values: dict[str, Any] = {
        "id": database.keys.next(), "at": at, "zone": f"{local(at):%z}"[:3] + ":" + f"{local(at):%z}"[3:],
        "user_id": actor.user_id, "login": actor.login[:40], "name": actor.name[:60], "staff_id": actor.staff_id,
        "roles": " ".join(actor.roles)[:200], "channel": actor.channel[:20], "ip": actor.ip[:45],
        "terminal": actor.terminal[:60], "event": event, "object_type": object_type,
        "object_id": _ID_NUMBER.sub(_mask, str(object_id))[:80], "success": success, "trace_id": actor.trace_id[:40],
        "detail": text,
    }
    values["row_mac"] = integrity.row_mac(database.sealer, "security_audit", [values[name] for name in COLUMNS])
    return values


def intact(sealer: Any, row: Any) -> bool:
    """Whether an audit row is as we wrote it."""
    return integrity.row_holds(sealer, "security_audit", [getattr(row, name) for name in COLUMNS], row.row_mac)


def digest(sealer: Any, value: object) -> str:
    """Keyed digest of a state (16 hex digits) for ``before`` and ``after`` where the state itself is personal."""
    mac: bytes = sealer.mac("audit", json.dumps(value, sort_keys=True, default=str).encode())
    return mac[:8].hex()


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): "(略)" if _SECRET_NAMES.search(str(k)) else _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    return value


def _mask(found: re.Match[str]) -> str:
    number = found.group()
    check = "10X98765432"[sum(int(d) * w for d, w in zip(number, _WEIGHTS, strict=False)) % 11]
    return number[:3] + "*" * 11 + number[-4:] if number[-1].upper() == check else number
