"""What the insurer's interface keeps: messages (each numbered before it is sent), cases, members, sign-ins."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Date, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Money, SealedText


class NhsaMessage(Keyed):
    """One transaction sent to the insurer. ``msgid`` is committed before it is sent and never used again (YB-02).

    ``state``: ``sent`` → ``done`` | ``refused`` | ``lost`` (no answer: asked about, never guessed) | ``unsent`` (surely
    nothing left the house) | ``undone`` (2601 took it back, or it can't arrive any more). ``number`` is the kernel's.
    """

    __tablename__ = "nhsa_message"
    __table_args__ = (
        UniqueConstraint("msgid"),
        Index("ix_nhsa_message_number", "number", "id"),
        Index("ix_nhsa_message_case", "case_id", "infno", "id"),
        Index("ix_nhsa_message_sent", "sent_at", "id"),
    )
    msgid: Mapped[str] = mapped_column(String(30))
    infno: Mapped[str] = mapped_column(String(6))
    number: Mapped[str] = mapped_column(String(40))
    case_id: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(8))
    cause: Mapped[str] = mapped_column(String(30), default="")
    message: Mapped[str] = mapped_column(String(200), default="")
    peer_message: Mapped[str] = mapped_column(String(30), default="")
    """inf_refmsgid"""
    sent_at: Mapped[datetime] = mapped_column(Instant)
    answered_at: Mapped[datetime | None] = mapped_column(Instant)


class NhsaCase(Keyed):
    """A bill of ours at the insurer: one visit there (mdtrt_id), at most one settlement (setl_id).

    ``state``: ``new`` → ``registered`` → ``uploaded`` → ``previewed`` → ``settling`` → ``settled`` → ``reversing`` →
    ``reversed``; ``undoing`` while 2601 takes a lost 2207 back; ``closed`` when it is certain that nothing is or can
    be settled. ``tidied``: fee lines and visit were withdrawn (2205, 2202).
    ``answer`` is the insurer's settlement without what names the member (JSON).
    """

    __tablename__ = "nhsa_case"
    __table_args__ = (
        UniqueConstraint("number"),
        Index("ix_nhsa_case_state", "state", "tidied", "changed_at"),
        Index("ix_nhsa_case_visit", "mdtrt_id"),
        Index("ix_nhsa_case_settled", "settled_at", "id"),
    )
    number: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(12))
    tidied: Mapped[bool] = mapped_column(default=False)
    psn_no_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    insutype: Mapped[str] = mapped_column(String(6))
    area: Mapped[str] = mapped_column(String(6))
    ipt_otp_no: Mapped[str] = mapped_column(String(30))
    med_type: Mapped[str] = mapped_column(String(6))
    mdtrt_id: Mapped[str] = mapped_column(String(30), default="")
    setl_id: Mapped[str] = mapped_column(String(30), default="")
    reversal_id: Mapped[str] = mapped_column(String(30), default="")
    total: Mapped[Decimal] = mapped_column(Money)
    answer: Mapped[str] = mapped_column(Text, default="")
    clr_type: Mapped[str] = mapped_column(String(6), default="")
    clr_optins: Mapped[str] = mapped_column(String(6), default="")
    settled_at: Mapped[datetime | None] = mapped_column(Instant)
    reversed_at: Mapped[datetime | None] = mapped_column(Instant)
    created_at: Mapped[datetime] = mapped_column(Instant)
    changed_at: Mapped[datetime] = mapped_column(Instant)

    psn_no = SealedText()


class NhsaMember(Keyed):
    """A member as the insurer told us last (1101): what later transactions must repeat. Sealed; found by psn_no."""

    __tablename__ = "nhsa_member"
    __table_args__ = (Index("ix_nhsa_member_psn", "psn_no_index"),)
    psn_no_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    psn_no_index: Mapped[str | None] = mapped_column(String(64))
    psn_name_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    certno_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    psn_cert_type: Mapped[str] = mapped_column(String(6))
    psn_type: Mapped[str] = mapped_column(String(6))
    told_at: Mapped[datetime] = mapped_column(Instant)

    psn_no = SealedText(index=True)
    psn_name = SealedText()
    certno = SealedText()


class NhsaSign(Keyed):
    """An operator's sign-in of a day (9001)."""

    __tablename__ = "nhsa_sign"
    __table_args__ = (UniqueConstraint("opter", "day"),)
    opter: Mapped[str] = mapped_column(String(30))
    day: Mapped[date] = mapped_column(Date)
    sign_no: Mapped[str] = mapped_column(String(30))
    signed_at: Mapped[datetime] = mapped_column(Instant)


class NhsaFeeLine(Keyed):
    """A fee line of a stay on its way to the insurer (2301): ``waiting`` → ``sent`` (no answer yet) → ``done`` |
    ``refused`` (its message says why).

    ``line_id`` is the ledger's, ``feedetl_sn`` of the visit; ``body`` the sealed line as it is sent, the same every time;
    ``back``: it takes another line back, and waits for that one.
    """

    __tablename__ = "nhsa_fee_line"
    __table_args__ = (UniqueConstraint("mdtrt_id", "feedetl_sn"),
                      Index("ix_nhsa_fee_line_state", "state", "mdtrt_id", "id"))
    mdtrt_id: Mapped[str] = mapped_column(String(30))
    feedetl_sn: Mapped[str] = mapped_column(String(15))
    line_id: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(8))
    msgid: Mapped[str] = mapped_column(String(30), default="")
    back: Mapped[bool] = mapped_column(default=False)
    body_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    quantity_text: Mapped[str] = mapped_column(String(24))
    amount: Mapped[Decimal] = mapped_column(Money)
    message: Mapped[str] = mapped_column(String(200), default="")
    changed_at: Mapped[datetime] = mapped_column(Instant)

    body = SealedText()
