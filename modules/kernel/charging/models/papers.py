"""Paper that electronic invoices are exchanged for, and the daily comparison with the platform (H8)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Date, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Money


class InvoicePaper(Keyed):
    """A paper invoice (换开纸质票据). ``printing`` → ``printed`` → ``voiding`` → ``void``; ``failed`` where the platform
    refused. ``open_marker`` is 1 while it may be in the patient's hands: an invoice has one such paper at most (FN-08)."""

    __tablename__ = "invoice_paper"
    __table_args__ = (UniqueConstraint("invoice_id", "open_marker"), Index("ix_invoice_paper_intent", "intent_id"),
                      Index("ix_invoice_paper_void", "void_intent_id"))
    invoice_id: Mapped[int] = mapped_column(BigInteger)
    open_marker: Mapped[int | None] = mapped_column(Integer)
    intent_id: Mapped[int] = mapped_column(BigInteger)
    void_intent_id: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10))
    code: Mapped[str] = mapped_column(String(50))
    paper_number: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(String(100))
    made_by: Mapped[int] = mapped_column(BigInteger)
    made_by_name: Mapped[str] = mapped_column(String(60))
    made_at: Mapped[datetime] = mapped_column(Instant)
    voided_by_name: Mapped[str | None] = mapped_column(String(60))
    voided_at: Mapped[datetime | None] = mapped_column(Instant)


class InvoiceCheck(Keyed):
    """A business day's electronic invoices compared with the platform: ``even``, ``different`` or ``failed``."""

    __tablename__ = "invoice_check"
    __table_args__ = (UniqueConstraint("day"),)
    day: Mapped[date] = mapped_column(Date)
    state: Mapped[str] = mapped_column(String(10))
    message: Mapped[str | None] = mapped_column(String(200))
    ours_issued: Mapped[int] = mapped_column(Integer, default=0)
    ours_amount: Mapped[Decimal] = mapped_column(Money, default=Decimal(0))
    ours_red: Mapped[int] = mapped_column(Integer, default=0)
    ours_red_amount: Mapped[Decimal] = mapped_column(Money, default=Decimal(0))
    theirs_issued: Mapped[int] = mapped_column(Integer, default=0)
    theirs_amount: Mapped[Decimal] = mapped_column(Money, default=Decimal(0))
    theirs_red: Mapped[int] = mapped_column(Integer, default=0)
    theirs_red_amount: Mapped[Decimal] = mapped_column(Money, default=Decimal(0))
    checked_at: Mapped[datetime] = mapped_column(Instant)


class InvoiceDifference(Keyed):
    """An invoice that the two sides don't agree on. ``kind``: ours_only, theirs_only, amount, state (the platform has it,
    we don't know yet). ``open`` → ``settled``, by a person or because a later comparison found nothing any more."""

    __tablename__ = "invoice_difference"
    __table_args__ = (UniqueConstraint("day", "kind", "colour", "code", "invoice_number", "bus_no"),
                      Index("ix_invoice_difference_state", "state", "day", "id"))
    day: Mapped[date] = mapped_column(Date)
    kind: Mapped[str] = mapped_column(String(12))
    colour: Mapped[str] = mapped_column(String(4))
    invoice_id: Mapped[int | None] = mapped_column(BigInteger)
    bus_no: Mapped[str] = mapped_column(String(50))
    code: Mapped[str] = mapped_column(String(20))
    invoice_number: Mapped[str] = mapped_column(String(20))
    ours: Mapped[Decimal | None] = mapped_column(Money)
    theirs: Mapped[Decimal | None] = mapped_column(Money)
    state: Mapped[str] = mapped_column(String(10))
    found_at: Mapped[datetime] = mapped_column(Instant)
    decision: Mapped[str | None] = mapped_column(String(200))
    decided_by: Mapped[int | None] = mapped_column(BigInteger)
    decided_by_name: Mapped[str | None] = mapped_column(String(60))
    decided_at: Mapped[datetime | None] = mapped_column(Instant)
