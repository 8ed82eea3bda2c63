"""What only the pharmacies need: shelf places, scanned codes, checks, the controlled-drug book."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Quantity


class DrugLocation(Keyed):
    """Where a drug lies in a store (货位): the picking list walks along these."""

    __tablename__ = "drug_location"
    __table_args__ = (UniqueConstraint("store_id", "drug_id"),)
    store_id: Mapped[int] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    shelf: Mapped[str] = mapped_column(String(20))


class ScannedCode(Keyed):
    """A trace code scanned at picking, kept until its line is handed out."""

    __tablename__ = "dispensing_scan"
    __table_args__ = (UniqueConstraint("task_id", "line_id", "code"),)
    task_id: Mapped[int] = mapped_column(BigInteger)
    line_id: Mapped[int] = mapped_column(BigInteger)
    code: Mapped[str] = mapped_column(String(100))


class MedicationCheck(Keyed):
    """What the outside checker said of a task: ``clear``, ``alerts`` or ``down`` (it gave no answer; RX-10)."""

    __tablename__ = "medication_check"
    __table_args__ = (UniqueConstraint("task_id"),)
    task_id: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str] = mapped_column(String(10))
    checked_at: Mapped[datetime] = mapped_column(Instant)


class MedicationAlert(Keyed):
    """One thing the outside checker warns of."""

    __tablename__ = "medication_alert"
    check_id: Mapped[int] = mapped_column(ForeignKey("medication_check.id"), index=True)
    kind: Mapped[str] = mapped_column(String(12))
    text: Mapped[str] = mapped_column(String(300))


class EmptyReturn(Keyed):
    """Empty ampoules, used patches or residue of a controlled drug that came back (空安瓿、废贴、残余液回收, RX-09).

    ``kind`` ampoule | patch | residue; ``quantity`` in the drug's smallest unit, a residue as a part of it.
    """

    __tablename__ = "controlled_return"
    __table_args__ = (CheckConstraint("quantity > 0", name="positive"),
                      Index("ix_controlled_return_line", "prescription_line_id"),
                      Index("ix_controlled_return_day", "store_id", "business_date"))
    number: Mapped[str] = mapped_column(String(32), unique=True)
    store_id: Mapped[int] = mapped_column(BigInteger)
    prescription_line_id: Mapped[int] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(10))
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    brought_by: Mapped[str] = mapped_column(String(60))
    received_at: Mapped[datetime] = mapped_column(Instant)
    business_date: Mapped[date]
    received_by: Mapped[int] = mapped_column(BigInteger)
    received_by_name: Mapped[str] = mapped_column(String(60))
    witness_name: Mapped[str] = mapped_column(String(60))


class PaperDestruction(Keyed):
    """Destruction of paper prescriptions of one kind up to a day, after the years that the law keeps them (RX-07)."""

    __tablename__ = "paper_destruction"
    __table_args__ = (Index("ix_paper_destruction_kind", "kind", "until_day"),)
    number: Mapped[str] = mapped_column(String(32), unique=True)
    kind: Mapped[str] = mapped_column(String(10))
    from_day: Mapped[date]
    until_day: Mapped[date]
    prescriptions: Mapped[int]
    approved_by: Mapped[str] = mapped_column(String(60))
    witness: Mapped[str] = mapped_column(String(60))
    done_at: Mapped[datetime] = mapped_column(Instant)
    done_by: Mapped[int] = mapped_column(BigInteger)
    done_by_name: Mapped[str] = mapped_column(String(60))


class WardReturnActing(Keyed):
    """代收登记: an emergency pharmacist took a ward's return slip in for the ward pharmacy (M7.8). One row per slip.

    ``store_id`` is the ward pharmacy whose stock it went into, ``acting_store_id`` the emergency store that acted.
    """

    __tablename__ = "ward_return_acting"
    __table_args__ = (Index("ix_ward_return_acting_day", "acting_store_id", "business_date"),)
    return_id: Mapped[int] = mapped_column(BigInteger, unique=True)
    number: Mapped[str] = mapped_column(String(32))
    person_id: Mapped[int] = mapped_column(BigInteger)
    store_id: Mapped[int] = mapped_column(BigInteger)
    acting_store_id: Mapped[int] = mapped_column(BigInteger)
    asked_ward: Mapped[str] = mapped_column(String(60))
    present_ward: Mapped[str] = mapped_column(String(60))
    acted_at: Mapped[datetime] = mapped_column(Instant)
    business_date: Mapped[date]
    acted_by: Mapped[int] = mapped_column(BigInteger)
    acted_by_name: Mapped[str] = mapped_column(String(60))


class WardReturnBatch(Keyed):
    """Which batch a quantity (smallest units) of a ward's slip went back into."""

    __tablename__ = "ward_return_batch"
    __table_args__ = (CheckConstraint("quantity > 0", name="positive"),)
    acting_id: Mapped[int] = mapped_column(ForeignKey("ward_return_acting.id"), index=True)
    line_id: Mapped[int] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
