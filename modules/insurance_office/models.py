"""Statements handed to the insurer, and what of them its books don't agree with (N4, contract C2)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Date, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Money, SealedText


class Statement(Keyed):
    """A daily or monthly statement (日结、月结对账单) of one insutype, clr_type and setl_optins.

    ``draft`` → ``uploaded`` → ``matched`` | ``diff`` → ``confirmed``; unconfirmed ones ``deleted`` (a new revision
    follows). ``live`` is 1 until deleted. ``pending``: the call to the centre (upload, delete, confirm) whose answer is
    awaited. ``number`` is ours, the centre knows the statement by it; ``handover_no`` (交接号) is the centre's.
    """

    __tablename__ = "insurance_statement"
    __table_args__ = (
        UniqueConstraint("number"),
        UniqueConstraint("monthly", "begin_day", "insurance", "clearing", "agency", "live"),
        Index("ix_insurance_statement_day", "monthly", "begin_day", "id"),
        Index("ix_insurance_statement_pending", "pending", "changed_at"),
    )
    number: Mapped[str] = mapped_column(String(40))
    monthly: Mapped[int] = mapped_column(Integer)
    begin_day: Mapped[date] = mapped_column(Date)
    end_day: Mapped[date] = mapped_column(Date)
    insurance: Mapped[str] = mapped_column(String(6))
    clearing: Mapped[str] = mapped_column(String(6))
    agency: Mapped[str] = mapped_column(String(6))
    revision: Mapped[int] = mapped_column(Integer)
    live: Mapped[int | None] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(10))
    pending: Mapped[str | None] = mapped_column(String(10))
    entries: Mapped[int] = mapped_column(Integer)
    refunds: Mapped[int] = mapped_column(Integer)
    total: Mapped[Decimal] = mapped_column(Money)
    fund: Mapped[Decimal] = mapped_column(Money)
    account: Mapped[Decimal] = mapped_column(Money)
    cash: Mapped[Decimal] = mapped_column(Money)
    hospital: Mapped[Decimal] = mapped_column(Money)
    handover_no: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(String(200))
    made_at: Mapped[datetime] = mapped_column(Instant)
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))
    compared_at: Mapped[datetime | None] = mapped_column(Instant)
    confirmed_at: Mapped[datetime | None] = mapped_column(Instant)


class Difference(Keyed):
    """A row on which the books differ. ``kind``: HOSPITAL_ONLY, CENTRE_ONLY, AMOUNT_DIFF, FLAG_DIFF.

    ``open`` → ``proposed`` (only CENTRE_ONLY: query, then 2601) → ``reversing`` → ``settled``; or ``settled`` by a reason.
    ``gone``: a later comparison no longer finds it. Who proposes a reversal can't approve it. ``number`` is what the
    reversal goes by; ``claim_id`` ours of it.
    """

    __tablename__ = "insurance_difference"
    __table_args__ = (
        UniqueConstraint("statement_id", "kind", "peer_key"),
        Index("ix_insurance_difference_state", "state", "id"),
    )
    statement_id: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(14))
    peer_key: Mapped[str] = mapped_column(String(64))
    claim_id: Mapped[int | None] = mapped_column(BigInteger)
    peer_number: Mapped[str] = mapped_column(String(40), default="")
    peer_visit: Mapped[str] = mapped_column(String(40), default="")
    message_id: Mapped[str] = mapped_column(String(40), default="")
    member_no_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    refund: Mapped[bool] = mapped_column(default=False)
    our_total: Mapped[Decimal | None] = mapped_column(Money)
    our_fund: Mapped[Decimal | None] = mapped_column(Money)
    our_account: Mapped[Decimal | None] = mapped_column(Money)
    their_total: Mapped[Decimal | None] = mapped_column(Money)
    their_fund: Mapped[Decimal | None] = mapped_column(Money)
    their_account: Mapped[Decimal | None] = mapped_column(Money)
    memo: Mapped[str] = mapped_column(String(200), default="")
    state: Mapped[str] = mapped_column(String(10))
    number: Mapped[str | None] = mapped_column(String(40))
    reason: Mapped[str | None] = mapped_column(String(200))
    message: Mapped[str | None] = mapped_column(String(200))
    found_at: Mapped[datetime] = mapped_column(Instant)
    proposed_by: Mapped[int | None] = mapped_column(BigInteger)
    proposed_by_name: Mapped[str | None] = mapped_column(String(60))
    decided_by: Mapped[int | None] = mapped_column(BigInteger)
    decided_by_name: Mapped[str | None] = mapped_column(String(60))
    decided_at: Mapped[datetime | None] = mapped_column(Instant)

    member_no = SealedText()
