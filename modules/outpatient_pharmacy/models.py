"""Return documents of the outpatient pharmacies."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Quantity


class DrugReturn(Keyed):
    """Drugs taken back from a patient; the cashier refunds what was taken back."""

    __tablename__ = "drug_return"
    __table_args__ = (Index("ix_drug_return_prescription", "prescription_id"),
                      Index("ix_drug_return_store", "store_id", "business_date"))
    number: Mapped[str] = mapped_column(String(32), unique=True)
    prescription_id: Mapped[int] = mapped_column(BigInteger)
    person_id: Mapped[int] = mapped_column(BigInteger)
    store_id: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(200))
    accepted_at: Mapped[datetime] = mapped_column(Instant)
    business_date: Mapped[date]
    accepted_by: Mapped[int] = mapped_column(BigInteger)
    accepted_by_name: Mapped[str] = mapped_column(String(60))


class DrugReturnLine(Keyed):
    """A returned quantity (smallest units) of one batch of one prescription line."""

    __tablename__ = "drug_return_line"
    return_id: Mapped[int] = mapped_column(ForeignKey("drug_return.id"), index=True)
    prescription_line_id: Mapped[int] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
