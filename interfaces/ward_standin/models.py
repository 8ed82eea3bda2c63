"""The stand-in's stays and return slips. They lie in our own database so that a slip, its stock and its audit row are one
unit of work, as they will be with the inpatient modules."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Quantity


class WardStore(Keyed):
    """Which ward pharmacy supplies a ward."""

    __tablename__ = "standin_ward_store"
    ward_id: Mapped[int] = mapped_column(BigInteger, unique=True)
    store_id: Mapped[int] = mapped_column(BigInteger)


class Stay(Keyed):
    """A patient in a bed of a ward; ``left_at`` once discharged."""

    __tablename__ = "standin_stay"
    person_id: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[str] = mapped_column(String(20), unique=True)
    ward_id: Mapped[int] = mapped_column(BigInteger)
    bed: Mapped[str] = mapped_column(String(10))
    left_at: Mapped[datetime | None] = mapped_column(Instant)


class WardMove(Keyed):
    """转科: from one ward to another."""

    __tablename__ = "standin_ward_move"
    stay_id: Mapped[int] = mapped_column(ForeignKey("standin_stay.id"), index=True)
    ward_from: Mapped[int] = mapped_column(BigInteger)
    ward_to: Mapped[int] = mapped_column(BigInteger)
    moved_at: Mapped[datetime] = mapped_column(Instant)


class WardReturn(Keyed):
    """A ward's return slip: ``requested`` → ``taken``. ``ward_id`` is the ward that wrote it."""

    __tablename__ = "standin_ward_return"
    __table_args__ = (Index("ix_standin_ward_return_state", "state", "asked_at"),)
    number: Mapped[str] = mapped_column(String(32), unique=True)
    stay_id: Mapped[int] = mapped_column(ForeignKey("standin_stay.id"), index=True)
    ward_id: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(200))
    asked_at: Mapped[datetime] = mapped_column(Instant)
    asked_by_name: Mapped[str] = mapped_column(String(60))
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))


class WardReturnLine(Keyed):
    """A quantity (smallest units) that comes back of what ``issue_id``/``issue_line_id`` handed out."""

    __tablename__ = "standin_ward_return_line"
    __table_args__ = (CheckConstraint("quantity > 0", name="positive"),)
    return_id: Mapped[int] = mapped_column(ForeignKey("standin_ward_return.id"), index=True)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    issue_id: Mapped[int] = mapped_column(BigInteger)
    issue_line_id: Mapped[int] = mapped_column(BigInteger)
