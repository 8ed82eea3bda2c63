"""Windows of a store, the task to dispense one settlement's prescription, and the return of drugs.

They stand in the kernel because the settlement makes the task and the refund ends the return, whatever the channel.
Implements: M7.1, M7.2, M7.3, M1.17
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Money, Quantity


class PickupWindow(Keyed):
    """A window of a store where drugs are handed out: ``open`` | ``closed``. ``number`` is what the screen shows."""

    __tablename__ = "pickup_window"
    __table_args__ = (UniqueConstraint("store_id", "number"),)
    __history__ = ("name", "state")
    store_id: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(10))
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))


class StoreRule(Keyed):
    """How a store works. Without a row: every prescription and every return is reviewed, no night window, always open.

    ``review_first``: nothing is handed out that a pharmacist has not reviewed. ``return_review``: returns wait for a
    reviewer. ``night_start``/``night_end`` ("21:00", over midnight; both empty: none) and ``night_amount`` (yuan):
    returns up to it pass by themselves then (M1.17). ``opens``/``closes``: outside of them the emergency store serves
    (M7.8; both empty: always open).
    """

    __tablename__ = "pharmacy_rule"
    __table_args__ = (UniqueConstraint("store_id"), CheckConstraint("night_amount >= 0", name="amount"))
    __history__ = ("review_first", "return_review", "night_start", "night_end", "night_amount", "opens", "closes")
    store_id: Mapped[int] = mapped_column(BigInteger)
    review_first: Mapped[bool] = mapped_column(default=True)
    return_review: Mapped[bool] = mapped_column(default=True)
    night_start: Mapped[str] = mapped_column(String(5), default="")
    night_end: Mapped[str] = mapped_column(String(5), default="")
    night_amount: Mapped[Decimal] = mapped_column(Money, default=Decimal("0.00"))
    opens: Mapped[str] = mapped_column(String(5), default="")
    closes: Mapped[str] = mapped_column(String(5), default="")
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))


class DispensingTask(Keyed):
    """调剂单: one prescription of one settlement, on its way over the counter of one store.

    ``waiting`` (待审) → ``reviewed`` (待配) → ``picked`` (待核) → ``done``; ``waiting`` → ``bounced`` (退回医师) →
    ``waiting``; any open one → ``withdrawn`` (all refunded). ``call_state``: empty, ``called``, ``passed`` (过号).
    """

    __tablename__ = "dispensing_task"
    __table_args__ = (
        UniqueConstraint("prescription_id", "settlement_id"),
        Index("ix_dispensing_task_queue", "store_id", "state", "arrived_at"),
        Index("ix_dispensing_task_day", "store_id", "business_date"),
        Index("ix_dispensing_task_person", "person_id", "business_date"),
        Index("ix_dispensing_task_settlement", "settlement_id"),
    )
    prescription_id: Mapped[int] = mapped_column(BigInteger)
    settlement_id: Mapped[int] = mapped_column(BigInteger)
    person_id: Mapped[int] = mapped_column(BigInteger)
    store_id: Mapped[int] = mapped_column(BigInteger)
    window_id: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10))
    arrived_at: Mapped[datetime] = mapped_column(Instant)
    business_date: Mapped[date]
    call_state: Mapped[str] = mapped_column(String(10), default="")
    called_at: Mapped[datetime | None] = mapped_column(Instant)
    calls: Mapped[int] = mapped_column(Integer, default=0)
    reviewed_by: Mapped[int | None] = mapped_column(BigInteger)
    reviewed_by_name: Mapped[str] = mapped_column(String(60), default="")
    reviewed_at: Mapped[datetime | None] = mapped_column(Instant)
    review_note: Mapped[str] = mapped_column(String(200), default="")
    answered_by_name: Mapped[str] = mapped_column(String(60), default="")
    answered_at: Mapped[datetime | None] = mapped_column(Instant)
    answer: Mapped[str] = mapped_column(String(200), default="")
    picked_by: Mapped[int | None] = mapped_column(BigInteger)
    picked_by_name: Mapped[str] = mapped_column(String(60), default="")
    picked_at: Mapped[datetime | None] = mapped_column(Instant)
    checked_by: Mapped[int | None] = mapped_column(BigInteger)
    checked_by_name: Mapped[str] = mapped_column(String(60), default="")
    finished_at: Mapped[datetime | None] = mapped_column(Instant)
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))


class DrugReturn(Keyed):
    """退药单: ``requested`` → ``approved`` | ``declined``; ``approved`` → ``taken`` (drugs are back, the money may go
    back) → ``refunded``; ``requested`` | ``approved`` → ``cancelled``. Pharmacy and billing read this one state.

    ``automatic``: the night window passed it; then ``rereviewed_*`` is the morning's review (M1.17).
    """

    __tablename__ = "drug_return"
    __table_args__ = (Index("ix_drug_return_prescription", "prescription_id"),
                      Index("ix_drug_return_store", "store_id", "state", "business_date"),
                      Index("ix_drug_return_morning", "store_id", "automatic", "rereviewed_at"))
    number: Mapped[str] = mapped_column(String(32), unique=True)
    prescription_id: Mapped[int] = mapped_column(BigInteger)
    person_id: Mapped[int] = mapped_column(BigInteger)
    store_id: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(200))
    amount: Mapped[Decimal] = mapped_column(Money)
    controlled: Mapped[bool] = mapped_column(default=False)
    automatic: Mapped[bool] = mapped_column(default=False)
    requested_at: Mapped[datetime] = mapped_column(Instant)
    requested_by: Mapped[int] = mapped_column(BigInteger)
    requested_by_name: Mapped[str] = mapped_column(String(60))
    business_date: Mapped[date]
    reviewed_at: Mapped[datetime | None] = mapped_column(Instant)
    reviewed_by_name: Mapped[str] = mapped_column(String(60), default="")
    review_note: Mapped[str] = mapped_column(String(200), default="")
    accepted_at: Mapped[datetime | None] = mapped_column(Instant)
    accepted_by: Mapped[int | None] = mapped_column(BigInteger)
    accepted_by_name: Mapped[str] = mapped_column(String(60), default="")
    refunded_at: Mapped[datetime | None] = mapped_column(Instant)
    rereviewed_at: Mapped[datetime | None] = mapped_column(Instant)
    rereviewed_by_name: Mapped[str] = mapped_column(String(60), default="")
    rereview: Mapped[str] = mapped_column(String(10), default="")
    rereview_note: Mapped[str] = mapped_column(String(200), default="")
    cancel_reason: Mapped[str | None] = mapped_column(String(200))
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))


class DrugReturnLine(Keyed):
    """A returned quantity (smallest units) of one prescription line; ``refunded`` of it the cashier gave back."""

    __tablename__ = "drug_return_line"
    __table_args__ = (CheckConstraint("refunded >= 0 AND refunded <= quantity", name="bounds"),)
    return_id: Mapped[int] = mapped_column(ForeignKey("drug_return.id"), index=True)
    prescription_line_id: Mapped[int] = mapped_column(BigInteger)
    charge_line_id: Mapped[int] = mapped_column(BigInteger, index=True)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    refunded: Mapped[Decimal] = mapped_column(Quantity, default=Decimal(0))


class DrugReturnBatch(Keyed):
    """Which batch a taken-back quantity went into."""

    __tablename__ = "drug_return_batch"
    return_line_id: Mapped[int] = mapped_column(ForeignKey("drug_return_line.id"), index=True)
    batch_id: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
