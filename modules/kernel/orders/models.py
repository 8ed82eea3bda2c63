"""Doctors' orders of the outpatient hospital: prescriptions and requests (exam, lab, treatment).

Diagnoses and notes are kept sealed (MP-12); the row MACs cover their text (MP-14).
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from his_server.db import Instant, Keyed, Price, Quantity, SealedText
from his_server.security import integrity, seals


class Prescription(integrity.Guarded, Keyed):
    """A prescription: ``issued`` → ``charged`` → ``dispensed``; ``issued`` → ``cancelled``; ``charged`` → ``refunded``.

    ``store_id`` is the pharmacy, fixed at settlement (M7.1). ``kind``: 普通, 急诊, 儿科, 麻精一, 精二, 中药.
    """

    __tablename__ = "prescription"
    __guarded__ = ("id", "number", "kind", "person_id", "encounter_id", "department_id", "doctor_id",
                   "doctor_name", "diagnosis", "issued_at", "business_date")
    __table_args__ = (
        Index("ix_prescription_queue", "store_id", "state", "charged_at"),
        Index("ix_prescription_person", "person_id", "issued_at"),
        Index("ix_prescription_encounter", "encounter_id"),
        Index("ix_prescription_issued", "issued_at"),
    )
    number: Mapped[str] = mapped_column(String(32), unique=True)
    kind: Mapped[str] = mapped_column(String(10))
    person_id: Mapped[int] = mapped_column(BigInteger)
    encounter_id: Mapped[int] = mapped_column(BigInteger)
    department_id: Mapped[int] = mapped_column(BigInteger)
    doctor_id: Mapped[int] = mapped_column(BigInteger)
    doctor_name: Mapped[str] = mapped_column(String(60))
    store_id: Mapped[int] = mapped_column(BigInteger)
    diagnosis_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(10))
    settlement_id: Mapped[int | None] = mapped_column(BigInteger)
    issued_at: Mapped[datetime] = mapped_column(Instant)
    business_date: Mapped[date]
    charged_at: Mapped[datetime | None] = mapped_column(Instant)
    dispensed_at: Mapped[datetime | None] = mapped_column(Instant)
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))
    revision: Mapped[int] = mapped_column(default=1)
    lines: Mapped[list[PrescriptionLine]] = relationship(order_by="PrescriptionLine.position", lazy="raise",
                                                         back_populates="prescription")

    diagnosis = SealedText()


class PrescriptionLine(integrity.Guarded, Keyed):
    """A drug of a prescription. ``quantity`` in smallest units; ``dose`` in the drug's dose unit."""

    __tablename__ = "prescription_line"
    __guarded__ = ("id", "prescription_id", "position", "drug_id", "name", "spec", "dose", "dose_unit",
                   "usage", "frequency", "days", "quantity", "base_unit", "pack_unit", "pack_size", "price",
                   "note", "charge_line_id")
    __table_args__ = (Index("ix_prescription_line_prescription", "prescription_id"),)
    prescription_id: Mapped[int] = mapped_column(ForeignKey("prescription.id"))
    position: Mapped[int]
    drug_id: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(120))
    spec: Mapped[str] = mapped_column(String(80))
    dose: Mapped[Decimal] = mapped_column(Quantity)
    dose_unit: Mapped[str] = mapped_column(String(20))
    usage: Mapped[str] = mapped_column(String(20))
    frequency: Mapped[str] = mapped_column(String(20))
    days: Mapped[int]
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    base_unit: Mapped[str] = mapped_column(String(20))
    pack_unit: Mapped[str] = mapped_column(String(20))
    pack_size: Mapped[int]
    price: Mapped[Decimal] = mapped_column(Price)
    note_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    charge_line_id: Mapped[int] = mapped_column(BigInteger)
    prescription: Mapped[Prescription] = relationship(back_populates="lines", lazy="raise")

    note = SealedText(blank=True)


class Request(integrity.Guarded, Keyed):
    """A request for an exam, a lab test or a treatment: ``issued`` → ``charged`` → ``performed``;
    ``issued`` → ``cancelled``; ``charged`` → ``refunded``. Paying never makes it ``performed`` (M1.8)."""

    __tablename__ = "request"
    __guarded__ = ("id", "number", "person_id", "encounter_id", "department_id", "doctor_id", "doctor_name",
                   "performing_department_id", "diagnosis", "issued_at", "business_date")
    __table_args__ = (Index("ix_request_person", "person_id", "issued_at"), Index("ix_request_encounter", "encounter_id"),
                      Index("ix_request_issued", "issued_at"),
                      Index("ix_request_worklist", "performing_department_id", "state", "issued_at"))
    number: Mapped[str] = mapped_column(String(32), unique=True)
    person_id: Mapped[int] = mapped_column(BigInteger)
    encounter_id: Mapped[int] = mapped_column(BigInteger)
    department_id: Mapped[int] = mapped_column(BigInteger)
    doctor_id: Mapped[int] = mapped_column(BigInteger)
    doctor_name: Mapped[str] = mapped_column(String(60))
    performing_department_id: Mapped[int] = mapped_column(BigInteger)
    diagnosis_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(10))
    settlement_id: Mapped[int | None] = mapped_column(BigInteger)
    issued_at: Mapped[datetime] = mapped_column(Instant)
    business_date: Mapped[date]
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))
    lines: Mapped[list[RequestLine]] = relationship(order_by="RequestLine.position", lazy="raise",
                                                    back_populates="request")

    diagnosis = SealedText()


class RequestLine(integrity.Guarded, Keyed):
    """An item of a request."""

    __tablename__ = "request_line"
    __guarded__ = ("id", "request_id", "position", "item_id", "name", "unit", "quantity", "price", "note",
                   "charge_line_id")
    __table_args__ = (Index("ix_request_line_request", "request_id"),)
    request_id: Mapped[int] = mapped_column(ForeignKey("request.id"))
    position: Mapped[int]
    item_id: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(120))
    unit: Mapped[str] = mapped_column(String(20))
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    price: Mapped[Decimal] = mapped_column(Price)
    note_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    charge_line_id: Mapped[int] = mapped_column(BigInteger)
    request: Mapped[Request] = relationship(back_populates="lines", lazy="raise")

    note = SealedText(blank=True)


seals.declare("prescription", "处方", Prescription, at="issued_at",
              members=(seals.Members("处方药品", PrescriptionLine, "prescription_id"),))
seals.declare("request", "申请单", Request, at="issued_at",
              members=(seals.Members("申请项目", RequestLine, "request_id"),))
