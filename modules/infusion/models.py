"""The infusion room: who is here today for which prescription, on which seat, with which bottles (M10)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from his_server.db import Instant, Keyed, Quantity, SealedText


class Infusion(Keyed):
    """A prescription received on a day: ``waiting`` → ``running`` → ``finished``; ``waiting`` → ``cancelled``.

    ``running_bottle_id`` is the bottle that runs: it is taken by a guarded update, so two nurses can't start two.
    """

    __tablename__ = "infusion"
    __table_args__ = (UniqueConstraint("prescription_id", "business_date"),
                      Index("ix_infusion_day", "business_date", "state", "queue_no"),
                      Index("ix_infusion_person", "person_id", "business_date"))
    number: Mapped[str] = mapped_column(String(20), unique=True)
    queue_no: Mapped[int]
    person_id: Mapped[int] = mapped_column(BigInteger)
    encounter_id: Mapped[int] = mapped_column(BigInteger)
    prescription_id: Mapped[int] = mapped_column(BigInteger)
    prescription_number: Mapped[str] = mapped_column(String(32))
    department_id: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(10))
    doctor_name: Mapped[str] = mapped_column(String(60))
    business_date: Mapped[date]
    state: Mapped[str] = mapped_column(String(10))
    seat_id: Mapped[int | None] = mapped_column(BigInteger)
    running_bottle_id: Mapped[int | None] = mapped_column(BigInteger)
    received_at: Mapped[datetime] = mapped_column(Instant)
    received_by_name: Mapped[str] = mapped_column(String(60))
    looked_at: Mapped[datetime | None] = mapped_column(Instant)
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))
    bottles: Mapped[list[Bottle]] = relationship(order_by="Bottle.position", lazy="raise")


class Bottle(Keyed):
    """A bottle (or syringe): ``waiting`` 待配药 → ``prepared`` → ``running`` → ``finished``; any before that → ``stopped``.

    ``group_key`` is the group's first prescription line; a group is given ``turn`` by ``turn``, each once for ever.
    """

    __tablename__ = "infusion_bottle"
    __table_args__ = (UniqueConstraint("prescription_id", "group_key", "turn"),
                      Index("ix_infusion_bottle_infusion", "infusion_id", "position"))
    infusion_id: Mapped[int] = mapped_column(ForeignKey("infusion.id"))
    prescription_id: Mapped[int] = mapped_column(BigInteger)
    group_key: Mapped[int] = mapped_column(BigInteger)
    turn: Mapped[int]
    position: Mapped[int]
    label_no: Mapped[str] = mapped_column(String(20), unique=True)
    usage: Mapped[str] = mapped_column(String(20))
    frequency: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(10))
    speed: Mapped[int | None]
    prints: Mapped[int] = mapped_column(default=0)
    prepared_at: Mapped[datetime | None] = mapped_column(Instant)
    prepared_by_name: Mapped[str] = mapped_column(String(60), default="")
    started_at: Mapped[datetime | None] = mapped_column(Instant)
    started_by_name: Mapped[str] = mapped_column(String(60), default="")
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    ended_by_name: Mapped[str] = mapped_column(String(60), default="")
    reason: Mapped[str] = mapped_column(String(100), default="")
    drugs: Mapped[list[BottleDrug]] = relationship(order_by="BottleDrug.id", lazy="raise")


class BottleDrug(Keyed):
    """A drug in a bottle: the single dose of a prescription line."""

    __tablename__ = "infusion_bottle_drug"
    bottle_id: Mapped[int] = mapped_column(ForeignKey("infusion_bottle.id"), index=True)
    line_id: Mapped[int] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(120))
    spec: Mapped[str] = mapped_column(String(80))
    dose: Mapped[Decimal] = mapped_column(Quantity)
    dose_unit: Mapped[str] = mapped_column(String(20))
    skin_test: Mapped[bool] = mapped_column(default=False)


class InfusionRound(Keyed):
    """A look at a running bottle: drops per minute and what was seen. Never changed."""

    __tablename__ = "infusion_round"
    __table_args__ = (Index("ix_infusion_round_infusion", "infusion_id", "looked_at"),)
    infusion_id: Mapped[int] = mapped_column(ForeignKey("infusion.id"))
    bottle_id: Mapped[int] = mapped_column(BigInteger)
    condition: Mapped[str] = mapped_column(String(10))
    speed: Mapped[int | None]
    note_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    looked_at: Mapped[datetime] = mapped_column(Instant)
    looked_by_name: Mapped[str] = mapped_column(String(60))

    note = SealedText(blank=True)


class InfusionSeat(Keyed):
    """A chair or bed. ``infusion_id`` says who sits there: nobody sits on two, nobody sits where somebody sits."""

    __tablename__ = "infusion_seat"
    __table_args__ = (UniqueConstraint("infusion_id"),)
    code: Mapped[str] = mapped_column(String(10), unique=True)
    area: Mapped[str] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(10))
    position: Mapped[int]
    active: Mapped[bool] = mapped_column(default=True)
    infusion_id: Mapped[int | None] = mapped_column(BigInteger)
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))
