"""The charging ledger (DESIGN section 4): lines, settlements, receipts, payments, shifts.

A settled line, a settlement, a receipt and a payment are never changed or deleted. What changes stands apart:
``ChargeLineState`` (performed, refunded) and ``PaymentState`` (returned), both bounded by CHECK constraints, so
that no race can refund or return more than there is. A refund is a settlement with negative lines.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Base, Instant, Keyed, Money, Price, Quantity
from his_server.security import integrity, seals
from modules.kernel.charging.models.insurance import Conversion, InsuranceClaim, RefundCase
from modules.kernel.charging.models.papers import InvoiceCheck, InvoiceDifference, InvoicePaper

__all__ = ["ChargeLine", "ChargeLineState", "Conversion", "ElectronicInvoice", "InsuranceClaim", "Intent", "IntentTry",
           "InvoiceCheck", "InvoiceDifference", "InvoiceImage", "InvoicePaper", "OldDeposit", "Payment",
           "PaymentState", "PrintRecord", "Receipt", "RefundApproval", "RefundCase", "Settlement", "Shift"]


class ChargeLine(integrity.Guarded, Keyed):
    """One charged thing. ``state``: ``open`` → ``settled`` | ``void``. ``factor`` = smallest units per charged unit."""

    __tablename__ = "charge_line"
    __guarded__ = ("id", "person_id", "encounter_id", "source", "source_id", "source_line_id", "kind",
                   "item_id", "code", "name", "unit", "price", "quantity", "factor", "amount",
                   "fiscal_category", "reverses_line_id", "created_at", "created_by")
    __table_args__ = (
        Index("ix_charge_line_person", "person_id", "state"),
        Index("ix_charge_line_settlement", "settlement_id"),
        Index("ix_charge_line_source", "source", "source_id"),
        Index("ix_charge_line_reverses", "reverses_line_id"),
        Index("ix_charge_line_created", "created_at"),
        CheckConstraint("state = 'settled' OR settlement_id IS NULL", name="settlement"),
    )
    person_id: Mapped[int] = mapped_column(BigInteger)
    encounter_id: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(String(20))
    source_id: Mapped[int] = mapped_column(BigInteger)
    source_line_id: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(10))
    item_id: Mapped[int] = mapped_column(BigInteger)
    code: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(120))
    spec: Mapped[str | None] = mapped_column(String(120))
    unit: Mapped[str] = mapped_column(String(20))
    price: Mapped[Decimal] = mapped_column(Price)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    factor: Mapped[Decimal] = mapped_column(Quantity, default=Decimal(1))
    amount: Mapped[Decimal] = mapped_column(Money)
    fiscal_category: Mapped[str] = mapped_column(String(4))
    insurance_level: Mapped[str | None] = mapped_column(String(4))
    ordering_department_id: Mapped[int | None] = mapped_column(BigInteger)
    ordering_staff_id: Mapped[int | None] = mapped_column(BigInteger)
    performing_department_id: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10), default="open")
    settlement_id: Mapped[int | None] = mapped_column(BigInteger)
    receipt_id: Mapped[int | None] = mapped_column(BigInteger)
    reverses_line_id: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(Instant)
    created_by: Mapped[int] = mapped_column(BigInteger)


class ChargeLineState(Base):
    """What became of a settled line's quantity: performed, refunded; the rest can still be refunded."""

    __tablename__ = "charge_line_state"
    __table_args__ = (
        CheckConstraint("performed >= 0 AND refunded >= 0 AND performed + refunded <= quantity", name="bounds"),
    )
    line_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    performed: Mapped[Decimal] = mapped_column(Quantity)
    refunded: Mapped[Decimal] = mapped_column(Quantity)


class Settlement(integrity.Guarded, Keyed):
    """A settlement (``charge``), its whole or partial reversal (``refund``, which names it), or its conversion from
    self-paid to insured (``convert``, which names it; total 0: payments and receipts are exchanged, lines stay)."""

    __tablename__ = "settlement"
    __guarded__ = ("id", "number", "kind", "person_id", "total", "channel", "cashier_id", "shift_id",
                   "settled_at", "business_date", "reverses_id", "reason", "approver_id")
    __table_args__ = (
        UniqueConstraint("number"),
        Index("ix_settlement_person", "person_id", "settled_at"),
        Index("ix_settlement_shift", "shift_id"),
        Index("ix_settlement_settled", "settled_at"),
        Index("ix_settlement_day", "business_date", "id"),
        Index("ix_settlement_reverses", "reverses_id"),
    )
    number: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(10))
    person_id: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[Decimal] = mapped_column(Money)
    channel: Mapped[str] = mapped_column(String(20))
    cashier_id: Mapped[int] = mapped_column(BigInteger)
    cashier_name: Mapped[str] = mapped_column(String(60))
    shift_id: Mapped[int] = mapped_column(BigInteger)
    settled_at: Mapped[datetime] = mapped_column(Instant)
    business_date: Mapped[date] = mapped_column(Date)
    reverses_id: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str | None] = mapped_column(String(200))
    approver_id: Mapped[int | None] = mapped_column(BigInteger)


class Receipt(integrity.Guarded, Keyed):
    """A receipt (票据): ``blue``, or ``red`` which cancels exactly one other, once (FN-09).

    ``root_id`` is the first receipt of the chain original → red → new blue → …
    """

    __tablename__ = "receipt"
    __guarded__ = ("id", "number", "settlement_id", "person_id", "colour", "title", "amount", "root_id",
                   "reverses_receipt_id", "issued_at", "issued_by")
    __table_args__ = (
        UniqueConstraint("number"),
        UniqueConstraint("reverses_receipt_id"),
        Index("ix_receipt_settlement", "settlement_id"),
        Index("ix_receipt_root", "root_id"),
    )
    number: Mapped[str] = mapped_column(String(32))
    settlement_id: Mapped[int] = mapped_column(BigInteger)
    person_id: Mapped[int] = mapped_column(BigInteger)
    colour: Mapped[str] = mapped_column(String(4))
    title: Mapped[str] = mapped_column(String(60))
    amount: Mapped[Decimal] = mapped_column(Money)
    root_id: Mapped[int] = mapped_column(BigInteger)
    reverses_receipt_id: Mapped[int | None] = mapped_column(BigInteger)
    issued_at: Mapped[datetime] = mapped_column(Instant)
    issued_by: Mapped[int] = mapped_column(BigInteger)


class Payment(integrity.Guarded, Keyed):
    """Money in (positive) or out (negative). ``rounding`` is the jiao rounding of the cash beside it (FN-05)."""

    __tablename__ = "payment"
    __guarded__ = ("id", "settlement_id", "method", "amount", "intent_id", "returns_payment_id", "tendered",
                   "paid_at")
    __table_args__ = (
        Index("ix_payment_settlement", "settlement_id"),
        Index("ix_payment_returns", "returns_payment_id"),
        Index("ix_payment_intent", "intent_id"),
    )
    settlement_id: Mapped[int] = mapped_column(BigInteger)
    method: Mapped[str] = mapped_column(String(20))
    amount: Mapped[Decimal] = mapped_column(Money)
    intent_id: Mapped[int | None] = mapped_column(BigInteger)
    returns_payment_id: Mapped[int | None] = mapped_column(BigInteger)
    tendered: Mapped[Decimal | None] = mapped_column(Money)
    paid_at: Mapped[datetime] = mapped_column(Instant)


class PaymentState(Base):
    """How much of what a payment covered has been returned. Cash covers itself and its rounding together."""

    __tablename__ = "payment_state"
    __table_args__ = (CheckConstraint("returned >= 0 AND returned <= covered", name="bounds"),)
    payment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    covered: Mapped[Decimal] = mapped_column(Money)
    returned: Mapped[Decimal] = mapped_column(Money)


class Intent(Keyed):
    """A call outside that may succeed while we hear nothing, written before it is made (DESIGN section 5).

    ``purpose``: pay, refund (of a pay), insure (settle with the insurer), uninsure (its reversal), issue and red
    (e-invoices). ``created`` → ``calling`` → ``confirmed`` | ``refused`` | ``unknown``; what is confirmed is ``used`` by
    one settlement, or ``reversed``. ``number`` is ours, and what the peer de-duplicates by. ``held_by_id``: the insurance
    intent whose settlement this payment belongs to while the insurer's answer is awaited. ``decision``: what a person
    found out by other means, and did.
    """

    __tablename__ = "intent"
    __table_args__ = (
        UniqueConstraint("number"),
        Index("ix_intent_state", "state", "changed_at"),
        Index("ix_intent_person", "person_id"),
        Index("ix_intent_held_by", "held_by_id"),
        Index("ix_intent_channel", "channel", "purpose", "id"),
    )
    number: Mapped[str] = mapped_column(String(40))
    purpose: Mapped[str] = mapped_column(String(10))
    channel: Mapped[str] = mapped_column(String(20))
    person_id: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[Decimal] = mapped_column(Money)
    state: Mapped[str] = mapped_column(String(12))
    settlement_id: Mapped[int | None] = mapped_column(BigInteger)
    returns_intent_id: Mapped[int | None] = mapped_column(BigInteger)
    held_by_id: Mapped[int | None] = mapped_column(BigInteger)
    peer_number: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(String(200))
    tries: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[datetime] = mapped_column(Instant)
    created_by: Mapped[int] = mapped_column(BigInteger)
    created_by_name: Mapped[str] = mapped_column(String(60), default="")
    changed_at: Mapped[datetime] = mapped_column(Instant)
    owner_id: Mapped[int | None] = mapped_column(BigInteger)
    owner_name: Mapped[str | None] = mapped_column(String(60))
    decision: Mapped[str | None] = mapped_column(String(200))
    decided_by: Mapped[int | None] = mapped_column(BigInteger)
    decided_by_name: Mapped[str | None] = mapped_column(String(60))
    decided_at: Mapped[datetime | None] = mapped_column(Instant)


class IntentTry(Keyed):
    """One call or question of an intent, and what came back: what was tried, for whoever has to go on. ``cause``: the
    adapter's short code of a refusal (M5.3)."""

    __tablename__ = "intent_try"
    __table_args__ = (Index("ix_intent_try_intent", "intent_id", "at"), Index("ix_intent_try_at", "at", "id"))
    intent_id: Mapped[int] = mapped_column(BigInteger)
    act: Mapped[str] = mapped_column(String(12))
    at: Mapped[datetime] = mapped_column(Instant)
    outcome: Mapped[str] = mapped_column(String(12))
    message: Mapped[str | None] = mapped_column(String(200))
    cause: Mapped[str | None] = mapped_column(String(30))
    by_name: Mapped[str] = mapped_column(String(60))


class ElectronicInvoice(Keyed):
    """An electronic invoice of a settlement (医疗电子票据): ``blue``, or ``red`` which cancels one other whole (FN-08, FN-09).

    ``settlement_id`` is the settlement or refund that it is of, ``root_id`` the settlement the chain began with,
    ``after_id`` the one that must be issued before. ``waiting`` → ``issued`` (a blue one → ``red`` once it is cancelled) |
    ``failed`` (the platform refused it: a person corrects and sends it again).
    """

    __tablename__ = "electronic_invoice"
    __table_args__ = (
        UniqueConstraint("intent_id"),
        UniqueConstraint("settlement_id", "colour"),
        UniqueConstraint("original_id"),
        Index("ix_electronic_invoice_person", "person_id", "business_date", "id"),
        Index("ix_electronic_invoice_number", "invoice_number"),
        Index("ix_electronic_invoice_cashier", "cashier_id", "business_date", "id"),
        Index("ix_electronic_invoice_day", "business_date", "id"),
        Index("ix_electronic_invoice_state", "state", "business_date", "id"),
        Index("ix_electronic_invoice_root", "root_id"),
    )
    intent_id: Mapped[int] = mapped_column(BigInteger)
    settlement_id: Mapped[int] = mapped_column(BigInteger)
    root_id: Mapped[int] = mapped_column(BigInteger)
    person_id: Mapped[int] = mapped_column(BigInteger)
    colour: Mapped[str] = mapped_column(String(4))
    kind: Mapped[str] = mapped_column(String(12))
    state: Mapped[str] = mapped_column(String(10))
    amount: Mapped[Decimal] = mapped_column(Money)
    code: Mapped[str | None] = mapped_column(String(20))
    invoice_number: Mapped[str | None] = mapped_column(String(20))
    check_code: Mapped[str | None] = mapped_column(String(20))
    picture_url: Mapped[str | None] = mapped_column(String(300))
    original_id: Mapped[int | None] = mapped_column(BigInteger)
    after_id: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str | None] = mapped_column(String(200))
    cashier_id: Mapped[int] = mapped_column(BigInteger)
    cashier_name: Mapped[str] = mapped_column(String(60))
    business_date: Mapped[date] = mapped_column(Date)
    made_at: Mapped[datetime] = mapped_column(Instant)
    issued_at: Mapped[datetime | None] = mapped_column(Instant)


class InvoiceImage(Base):
    """An invoice's picture, fetched when somebody first wanted to see it (M1.2)."""

    __tablename__ = "invoice_image"
    invoice_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class OldDeposit(Keyed):
    """What the old system still held of an outpatient deposit; it can only go back to its person (R2, YB-08)."""

    __tablename__ = "old_deposit"
    __table_args__ = (UniqueConstraint("source", "source_number"), Index("ix_old_deposit_state", "state", "id"),
                      Index("ix_old_deposit_person", "person_id"))
    source: Mapped[str] = mapped_column(String(20))
    source_number: Mapped[str] = mapped_column(String(40))
    person_id: Mapped[int] = mapped_column(BigInteger)
    balance: Mapped[Decimal] = mapped_column(Money)
    state: Mapped[str] = mapped_column(String(10))
    imported_at: Mapped[datetime] = mapped_column(Instant)
    imported_by_name: Mapped[str] = mapped_column(String(60))
    cleared_at: Mapped[datetime | None] = mapped_column(Instant)
    cleared_by: Mapped[int | None] = mapped_column(BigInteger)
    cleared_by_name: Mapped[str | None] = mapped_column(String(60))
    method: Mapped[str | None] = mapped_column(String(20))
    receiver: Mapped[str | None] = mapped_column(String(100))


class Shift(Keyed):
    """A cashier's shift: ``open`` → ``closed`` (日结, figures frozen in ``statement``) → ``handed_over``."""

    __tablename__ = "shift"
    __table_args__ = (
        UniqueConstraint("number"),
        UniqueConstraint("cashier_id", "open_marker"),
        Index("ix_shift_cashier", "cashier_id", "opened_at"),
        Index("ix_shift_state", "state", "closed_at"),
    )
    number: Mapped[str] = mapped_column(String(32))
    cashier_id: Mapped[int] = mapped_column(BigInteger)
    cashier_name: Mapped[str] = mapped_column(String(60))
    state: Mapped[str] = mapped_column(String(12))
    open_marker: Mapped[int | None] = mapped_column(Integer)
    settlements: Mapped[int] = mapped_column(Integer, default=0)
    opened_at: Mapped[datetime] = mapped_column(Instant)
    closed_at: Mapped[datetime | None] = mapped_column(Instant)
    business_date: Mapped[date | None] = mapped_column(Date)
    statement: Mapped[str | None] = mapped_column(Text)
    counted_cash: Mapped[Decimal | None] = mapped_column(Money)
    cash_difference: Mapped[Decimal | None] = mapped_column(Money)
    receiver_id: Mapped[int | None] = mapped_column(BigInteger)
    receiver_name: Mapped[str | None] = mapped_column(String(60))
    received_at: Mapped[datetime | None] = mapped_column(Instant)


class RefundApproval(Keyed):
    """A second person's consent to a refund above the limit: ``requested`` → ``approved`` | ``declined`` → ``used``.

    ``decision_note`` says why it was declined: whoever asked reads it.
    """

    __tablename__ = "refund_approval"
    __table_args__ = (Index("ix_refund_approval_state", "state", "requested_at"),
                      Index("ix_refund_approval_settlement", "settlement_id"))
    settlement_id: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[Decimal] = mapped_column(Money)
    reason: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(10))
    requested_by: Mapped[int] = mapped_column(BigInteger)
    requested_by_name: Mapped[str] = mapped_column(String(60))
    requested_at: Mapped[datetime] = mapped_column(Instant)
    decided_by: Mapped[int | None] = mapped_column(BigInteger)
    decided_by_name: Mapped[str | None] = mapped_column(String(60))
    decided_at: Mapped[datetime | None] = mapped_column(Instant)
    decision_note: Mapped[str | None] = mapped_column(String(200))


class PrintRecord(Keyed):
    """One printing of a document; the second and later are reprints, marked 补打 (M1.6)."""

    __tablename__ = "print_record"
    __table_args__ = (UniqueConstraint("document", "document_id", "copy_no"),)
    document: Mapped[str] = mapped_column(String(20))
    document_id: Mapped[int] = mapped_column(BigInteger)
    copy_no: Mapped[int] = mapped_column(Integer)
    printed_at: Mapped[datetime] = mapped_column(Instant)
    printed_by: Mapped[int] = mapped_column(BigInteger)
    printed_by_name: Mapped[str] = mapped_column(String(60))


seals.declare("settlement", "结算", Settlement, at="settled_at", members=(
    seals.Members("收费明细", ChargeLine, "settlement_id"), seals.Members("票据", Receipt, "settlement_id"),
    seals.Members("支付", Payment, "settlement_id")))
seals.declare("charge_line", "收费明细", ChargeLine, at="created_at")  # unpaid ones too, which no settlement has
