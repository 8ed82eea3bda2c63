"""What the insurer is asked to pay: claims, their refunds, and bills that become insured afterwards."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Money, SealedText


class InsuranceClaim(Keyed):
    """What the insurer was asked to pay of a bill, and its answer to the fen; its intent says how far it is.

    ``settlement_id`` is the settlement it pays for once the intent is ``used``; ``replaces_id`` the claim that a partial
    refund reversed and settled anew. ``plan`` (JSON) is what the settlement will do when the insurer has confirmed.
    ``clearing`` (clr_type), ``agency`` (setl_optins) and the two instants are what it is reconciled by (N4).
    """

    __tablename__ = "insurance_claim"
    __table_args__ = (
        UniqueConstraint("intent_id"),
        Index("ix_insurance_claim_settled", "settlement_id"),
        Index("ix_insurance_claim_person", "person_id"),
        Index("ix_insurance_claim_settled_at", "peer_settled_at", "id"),
        Index("ix_insurance_claim_reversed_at", "peer_reversed_at", "id"),
    )
    intent_id: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(12))
    person_id: Mapped[int] = mapped_column(BigInteger)
    encounter_id: Mapped[int] = mapped_column(BigInteger)
    settlement_id: Mapped[int | None] = mapped_column(BigInteger)
    replaces_id: Mapped[int | None] = mapped_column(BigInteger)
    insurance: Mapped[str] = mapped_column(String(6))
    area: Mapped[str] = mapped_column(String(6))
    use_account: Mapped[bool] = mapped_column(default=True)
    member_no_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    total: Mapped[Decimal] = mapped_column(Money)
    fund: Mapped[Decimal] = mapped_column(Money)
    account: Mapped[Decimal] = mapped_column(Money)
    shared_account: Mapped[Decimal] = mapped_column(Money)
    cash: Mapped[Decimal] = mapped_column(Money)
    hospital: Mapped[Decimal] = mapped_column(Money)
    own_expense: Mapped[Decimal] = mapped_column(Money)
    over_limit: Mapped[Decimal] = mapped_column(Money)
    self_first: Mapped[Decimal] = mapped_column(Money)
    in_scope: Mapped[Decimal] = mapped_column(Money)
    balance: Mapped[Decimal | None] = mapped_column(Money)
    peer_visit: Mapped[str | None] = mapped_column(String(40))
    answered: Mapped[str | None] = mapped_column(String(200))
    plan: Mapped[str] = mapped_column(Text)
    made_at: Mapped[datetime] = mapped_column(Instant)
    clearing: Mapped[str] = mapped_column(String(6), default="11")
    agency: Mapped[str | None] = mapped_column(String(6))
    peer_settled_at: Mapped[datetime | None] = mapped_column(Instant)
    peer_reversed_at: Mapped[datetime | None] = mapped_column(Instant)

    member_no = SealedText()


class Conversion(Keyed):
    """A self-paid settlement on its way to being insured (N1): ``quoted`` → ``settling`` → ``done`` | ``ended``.

    ``live`` is 1 from ``settling`` on, so that a settlement is converted once at most; ``booked_id`` is the settlement of
    kind ``convert``, total 0, that exchanged the payments and the receipts; ``approval_id`` the second person's consent to
    the cash that goes back; ``request_key`` what a partner's quote is known by when it is sent again.
    """

    __tablename__ = "insurance_conversion"
    __table_args__ = (
        UniqueConstraint("settlement_id", "live"),
        UniqueConstraint("claim_id"),
        UniqueConstraint("request_key"),
        Index("ix_insurance_conversion_state", "state", "changed_at"),
    )
    settlement_id: Mapped[int] = mapped_column(BigInteger)
    live: Mapped[int | None] = mapped_column(Integer)
    claim_id: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10))
    booked_id: Mapped[int | None] = mapped_column(BigInteger)
    approval_id: Mapped[int | None] = mapped_column(BigInteger)
    request_key: Mapped[str | None] = mapped_column(String(120))
    message: Mapped[str | None] = mapped_column(String(200))
    channel: Mapped[str] = mapped_column(String(20))
    opened_at: Mapped[datetime] = mapped_column(Instant)
    opened_by: Mapped[int] = mapped_column(BigInteger)
    opened_by_name: Mapped[str] = mapped_column(String(60))
    changed_at: Mapped[datetime] = mapped_column(Instant)


class RefundCase(Keyed):
    """A refund of an insured settlement on its way: the insurer first, then the ledger (M1.14).

    ``reversing`` → ``resettling`` (what remains is settled anew) → ``finishing`` → ``done``; ``due`` (the patient has to
    pay ``due`` first, the rest costs more than before) → ``finishing``; ``undone`` where the insurer refused the
    reversal. Its quantities count as refunded from the beginning, so that nobody performs them meanwhile.
    """

    __tablename__ = "refund_case"
    __table_args__ = (
        UniqueConstraint("settlement_id", "open_marker"),
        Index("ix_refund_case_state", "state", "changed_at"),
    )
    settlement_id: Mapped[int] = mapped_column(BigInteger)
    open_marker: Mapped[int | None] = mapped_column(Integer)
    claim_id: Mapped[int] = mapped_column(BigInteger)
    uninsure_intent_id: Mapped[int] = mapped_column(BigInteger)
    new_claim_id: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(12))
    due: Mapped[Decimal | None] = mapped_column(Money)
    plan: Mapped[str] = mapped_column(Text)
    refund_id: Mapped[int | None] = mapped_column(BigInteger)
    message: Mapped[str | None] = mapped_column(String(200))
    opened_at: Mapped[datetime] = mapped_column(Instant)
    opened_by: Mapped[int] = mapped_column(BigInteger)
    opened_by_name: Mapped[str] = mapped_column(String(60))
    changed_at: Mapped[datetime] = mapped_column(Instant)
