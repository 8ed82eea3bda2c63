"""Field history: every change of a tracked attribute is a row (DESIGN section 3, M3.9).

A class names its tracked attributes in ``__history__``; the platform writes the rows at flush. Sealed
attributes are stored sealed here too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, LargeBinary, String, event, inspect, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from his_server.actor import SYSTEM
from his_server.db import database as db
from his_server.db.base import Keyed, SealedText
from his_server.db.types import Instant


class FieldChange(Keyed):
    """One changed field of one row: who, when, where, before, after (sealed)."""

    __tablename__ = "field_change"
    __table_args__ = (Index("ix_field_change_row", "entity", "entity_id", "changed_at"),)
    entity: Mapped[str] = mapped_column(String(60))
    entity_id: Mapped[int] = mapped_column(BigInteger)
    field: Mapped[str] = mapped_column(String(60))
    before_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    after_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by: Mapped[int] = mapped_column(BigInteger)
    changed_by_name: Mapped[str] = mapped_column(String(60))
    terminal: Mapped[str] = mapped_column(String(60))

    before = SealedText()
    after = SealedText()


@event.listens_for(db.UnitOfWork, "before_flush")
def _record(session: Session, *_: Any) -> None:
    for instance in list(session.dirty):
        tracked = getattr(type(instance), "__history__", ())
        if tracked and session.is_modified(instance):
            _record_instance(session, instance, tracked)


def _record_instance(session: Session, instance: Any, tracked: tuple[str, ...]) -> None:
    state = inspect(instance)
    actor = session.info.get("actor", SYSTEM)
    for name in tracked:
        sealed = isinstance(vars(type(instance)).get(name), SealedText)
        change = state.attrs[f"{name}_sealed" if sealed else name].history
        if not change.has_changes():
            continue
        old = change.deleted[0] if change.deleted else None
        if sealed and old is not None:
            place = vars(type(instance))[name]._place(instance.id)
            old = db.of(session).sealer.open("column", bytes(old), place).decode()
        new = getattr(instance, name)
        row = FieldChange(entity=type(instance).__tablename__, entity_id=instance.id, field=name,
                          changed_at=db.now(session), changed_by=actor.user_id, changed_by_name=actor.name,
                          terminal=actor.terminal or actor.ip)
        row.before = None if old is None else str(old)
        row.after = None if new is None else str(new)
        session.add(row)


def timeline(session: Session, entity: str, entity_id: int, limit: int = 200) -> list[FieldChange]:
    """The changes of one row, newest first."""
    return list(session.scalars(
        select(FieldChange).where(FieldChange.entity == entity, FieldChange.entity_id == entity_id)
        .order_by(FieldChange.changed_at.desc(), FieldChange.id.desc()).limit(limit)
    ))
