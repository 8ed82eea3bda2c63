"""What we keep of the insurer's mobile orders and of what we announced (H5)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Money, SealedText


class MobileOrder(Keyed):
    """One order under our number (medOrgOrd), written before it is uploaded.

    ``secret``: JSON of payToken, ecToken, idNo, userName, idType, mdtrtId, revsToken: the platform asks for them again at
    each transaction. Amounts are what it said that was paid.
    """

    __tablename__ = "mobile_order"
    __table_args__ = (UniqueConstraint("number"), Index("ix_mobile_order_peer", "pay_ord_id"))
    number: Mapped[str] = mapped_column(String(40))
    pay_ord_id: Mapped[str | None] = mapped_column(String(40))
    cashier_url: Mapped[str | None] = mapped_column(String(500))
    batch: Mapped[str] = mapped_column(String(40))
    secret_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    total: Mapped[Decimal] = mapped_column(Money)
    fund: Mapped[Decimal | None] = mapped_column(Money)
    account: Mapped[Decimal | None] = mapped_column(Money)
    own: Mapped[Decimal | None] = mapped_column(Money)
    made_at: Mapped[datetime] = mapped_column(Instant)

    secret = SealedText()


class BillPush(Keyed):
    """A bill that was announced to its payer: pushed once for the same open lines. ``push_id`` is what the platform
    de-duplicates by."""

    __tablename__ = "mobile_bill_push"
    __table_args__ = (UniqueConstraint("push_id"), Index("ix_mobile_bill_push_visit", "encounter_id", "id"))
    push_id: Mapped[str] = mapped_column(String(40))
    encounter_id: Mapped[int] = mapped_column(BigInteger)
    person_id: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))
    total: Mapped[Decimal] = mapped_column(Money)
    pushed_at: Mapped[datetime] = mapped_column(Instant)
