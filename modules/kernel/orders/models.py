"""Doctors' orders of the outpatient hospital: prescriptions and requests (exam, lab, treatment).

Diagnoses and notes are kept sealed (MP-12); the row MACs cover their text (MP-14).
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from his_server.db import Instant, Keyed, Price, Quantity, SealedText
from his_server.security import integrity, seals


class Prescription(integrity.Guarded, Keyed):
    """A prescription: ``issued`` → ``charged`` → ``dispensed``; ``issued`` → ``cancelled``; ``charged`` → ``refunded``.

    ``store_id`` is the pharmacy, fixed at settlement (M7.1). ``kind``: 普通, 急诊, 儿科, 麻精一, 精二, 中药.
    ``valid_until``: the last day on which it may be paid and dispensed (RX-01). ``long_term`` with its evaluation record
    and who signed (RX-03). ``check_state``: what the check of the drugs came to: passed, warned, or unavailable (RX-10);
    ``check_reason``: why it was issued in spite of a serious finding.
    """

    __tablename__ = "prescription"
    __guarded__ = ("id", "number", "kind", "person_id", "encounter_id", "department_id", "doctor_id",
                   "doctor_name", "diagnosis", "issued_at", "business_date", "diagnosis_code", "chronic_reason",
                   "long_term", "assessment", "signed_by", "at_night", "override_reason", "consultant_name")
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
    valid_until: Mapped[date]
    extended_by_name: Mapped[str] = mapped_column(String(60), default="")
    extension_reason: Mapped[str] = mapped_column(String(100), default="")
    diagnosis_code_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    chronic_reason_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    long_term: Mapped[bool] = mapped_column(default=False)
    assessment_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    signed_by: Mapped[str] = mapped_column(String(60), default="")
    at_night: Mapped[bool] = mapped_column(default=False)
    override_reason_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    consultant_name: Mapped[str] = mapped_column(String(60), default="")
    check_state: Mapped[str] = mapped_column(String(12), default="passed")
    check_text_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    check_reason_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    lines: Mapped[list[PrescriptionLine]] = relationship(order_by="PrescriptionLine.position", lazy="raise",
                                                         back_populates="prescription")

    diagnosis = SealedText()
    diagnosis_code = SealedText(blank=True)
    chronic_reason = SealedText(blank=True)
    assessment = SealedText(blank=True)
    override_reason = SealedText(blank=True)
    check_text = SealedText(blank=True)
    check_reason = SealedText(blank=True)


class PrescriptionLine(integrity.Guarded, Keyed):
    """A drug of a prescription. ``quantity`` in smallest units; ``dose`` in the drug's dose unit.

    Lines of the same ``group_no`` are given together (one bottle); 0 stands alone. ``in_hospital``: never taken home.
    ``skin_test``: a negative test must be in force before it is dispensed or infused.
    """

    __tablename__ = "prescription_line"
    __guarded__ = ("id", "prescription_id", "position", "drug_id", "name", "spec", "dose", "dose_unit",
                   "usage", "frequency", "days", "quantity", "base_unit", "pack_unit", "pack_size", "price",
                   "note", "charge_line_id", "group_no", "turns", "skin_test")
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
    group_no: Mapped[int] = mapped_column(default=0)
    turns: Mapped[int] = mapped_column(default=1)
    skin_test: Mapped[bool] = mapped_column(default=False)
    in_hospital: Mapped[bool] = mapped_column(default=False)
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


class DrugCheck(Keyed):
    """What an outside check of drugs answered for the lines with this digest; ``state`` passed, warned, unavailable."""

    __tablename__ = "drug_check"
    __table_args__ = (Index("ix_drug_check_person", "person_id", "checked_at"),)
    person_id: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(12))
    checked_at: Mapped[datetime] = mapped_column(Instant)
    checked_by: Mapped[int] = mapped_column(BigInteger)


class DrugCheckFinding(Keyed):
    """One finding of an outside check; as :class:`modules.kernel.orders.rules.Warned`."""

    __tablename__ = "drug_check_finding"
    check_id: Mapped[int] = mapped_column(ForeignKey("drug_check.id"), index=True)
    level: Mapped[str] = mapped_column(String(10))
    kind: Mapped[str] = mapped_column(String(20))
    field: Mapped[str] = mapped_column(String(60))
    message_sealed: Mapped[bytes] = mapped_column(LargeBinary)

    message = SealedText()


class AntimicrobialOverride(Keyed):
    """Antimicrobials prescribed beyond the doctor's level to save a life; the formalities follow in 24 hours (RX-08).

    ``state``: ``open`` → ``done``, by another doctor who has the level.
    """

    __tablename__ = "antimicrobial_override"
    __table_args__ = (Index("ix_antimicrobial_override_due", "state", "due_at"),)
    prescription_id: Mapped[int] = mapped_column(ForeignKey("prescription.id"), unique=True)
    level: Mapped[str] = mapped_column(String(10))
    reason_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    doctor_id: Mapped[int] = mapped_column(BigInteger)
    doctor_name: Mapped[str] = mapped_column(String(60))
    made_at: Mapped[datetime] = mapped_column(Instant)
    due_at: Mapped[datetime] = mapped_column(Instant)
    state: Mapped[str] = mapped_column(String(10), default="open")
    done_at: Mapped[datetime | None] = mapped_column(Instant)
    done_by_name: Mapped[str] = mapped_column(String(60), default="")
    note_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)

    reason = SealedText()
    note = SealedText(blank=True)


class OrderTemplate(Keyed):
    """协定处方: lines that are prescribed together again and again. ``scope`` own, department or hospital."""

    __tablename__ = "order_template"
    __table_args__ = (Index("ix_order_template_owner", "staff_id"), Index("ix_order_template_department", "department_id"))
    name: Mapped[str] = mapped_column(String(60))
    scope: Mapped[str] = mapped_column(String(12))
    staff_id: Mapped[int] = mapped_column(BigInteger)
    staff_name: Mapped[str] = mapped_column(String(60))
    department_id: Mapped[int | None] = mapped_column(BigInteger)
    made_at: Mapped[datetime] = mapped_column(Instant)
    active: Mapped[bool] = mapped_column(default=True)
    lines: Mapped[list[OrderTemplateLine]] = relationship(order_by="OrderTemplateLine.position", lazy="raise")


class OrderTemplateLine(Keyed):
    """A drug of a template."""

    __tablename__ = "order_template_line"
    template_id: Mapped[int] = mapped_column(ForeignKey("order_template.id"), index=True)
    position: Mapped[int]
    drug_id: Mapped[int] = mapped_column(BigInteger)
    dose: Mapped[Decimal] = mapped_column(Quantity)
    usage: Mapped[str] = mapped_column(String(20))
    frequency: Mapped[str] = mapped_column(String(20))
    days: Mapped[int]
    group_no: Mapped[int] = mapped_column(default=0)


class SkinTest(Keyed):
    """A skin test of a person for a drug: ``running`` → ``read`` → ``confirmed`` (two persons agree), or ``cancelled``.

    ``claim`` is ``person:drug`` while the test is running or read, else empty: no two nurses test the same at once.
    ``result`` 阴性 or 阳性. ``valid_until``: until when a negative result allows dispensing and infusion.
    """

    __tablename__ = "skin_test"
    __table_args__ = (Index("ix_skin_test_person", "person_id", "drug_id", "state"),
                      Index("ix_skin_test_list", "state", "due_at"), Index("ix_skin_test_line", "prescription_line_id"),
                      Index("ix_skin_test_day", "business_date", "state"))
    person_id: Mapped[int] = mapped_column(BigInteger)
    encounter_id: Mapped[int] = mapped_column(BigInteger)
    prescription_id: Mapped[int] = mapped_column(BigInteger)
    prescription_line_id: Mapped[int] = mapped_column(BigInteger)
    department_id: Mapped[int] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    ingredient: Mapped[str] = mapped_column(String(60))
    drug_name: Mapped[str] = mapped_column(String(120))
    lot_no: Mapped[str] = mapped_column(String(60), default="")
    claim: Mapped[str | None] = mapped_column(String(60), unique=True)
    state: Mapped[str] = mapped_column(String(10))
    result: Mapped[str] = mapped_column(String(4), default="")
    note: Mapped[str] = mapped_column(String(100), default="")
    business_date: Mapped[date]
    started_at: Mapped[datetime] = mapped_column(Instant)
    started_by: Mapped[int] = mapped_column(BigInteger)
    started_by_name: Mapped[str] = mapped_column(String(60))
    due_at: Mapped[datetime] = mapped_column(Instant)
    read_at: Mapped[datetime | None] = mapped_column(Instant)
    read_by: Mapped[int | None] = mapped_column(BigInteger)
    read_by_name: Mapped[str] = mapped_column(String(60), default="")
    confirmed_at: Mapped[datetime | None] = mapped_column(Instant)
    confirmed_by_name: Mapped[str] = mapped_column(String(60), default="")
    valid_until: Mapped[datetime | None] = mapped_column(Instant)


seals.declare("prescription", "处方", Prescription, at="issued_at",
              members=(seals.Members("处方药品", PrescriptionLine, "prescription_id"),))
seals.declare("request", "申请单", Request, at="issued_at",
              members=(seals.Members("申请项目", RequestLine, "request_id"),))


class DrugClaim(Keyed):
    """Drugs of a prescription line that somebody gives or has given (输液室): they can't go back to the pharmacy.

    ``held`` (a bottle waits for them) → ``used`` (prepared: for ever) | ``freed`` (the reception was taken back).
    ``holder`` names the thing that needs them, ``infusion_bottle:17``; ``told`` is what a refusal says of it.
    """

    __tablename__ = "prescription_drug_claim"
    __table_args__ = (UniqueConstraint("line_id", "holder"), CheckConstraint("quantity > 0", name="positive"),
                      Index("ix_prescription_drug_claim_prescription", "prescription_id", "state"),
                      Index("ix_prescription_drug_claim_holder", "holder"))
    prescription_id: Mapped[int] = mapped_column(BigInteger)
    line_id: Mapped[int] = mapped_column(BigInteger)
    holder: Mapped[str] = mapped_column(String(40))
    told: Mapped[str] = mapped_column(String(60))
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    state: Mapped[str] = mapped_column(String(10))
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))
