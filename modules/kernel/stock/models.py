"""The stock ledger: stores, batches, moves, balances, reservations (DESIGN section 4).

Quantities are in the drug's smallest unit. A move is never changed; a balance is on hand and reserved, and the
database refuses to let either go wrong.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Date, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Price, Quantity
from his_server.security import integrity, seals

OUTSIDE = None
"""The other end of a move that enters or leaves the hospital's stock."""


class Store(Keyed):
    """A place that holds drugs: ``outpatient``, ``emergency``, ``ward``, ``warehouse``, ``theatre``."""

    __tablename__ = "store"
    __table_args__ = (UniqueConstraint("code"),)
    code: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(60))
    kind: Mapped[str] = mapped_column(String(20))
    department_id: Mapped[int | None] = mapped_column(BigInteger)
    active: Mapped[bool] = mapped_column(default=True)


class Batch(Keyed):
    """A lot of a drug as bought: lot number, expiry, cost per smallest unit."""

    __tablename__ = "batch"
    __table_args__ = (UniqueConstraint("drug_id", "lot_no", "expiry", "cost"),)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    lot_no: Mapped[str] = mapped_column(String(40))
    expiry: Mapped[date] = mapped_column(Date)
    cost: Mapped[Decimal] = mapped_column(Price)
    supplier: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(Instant)


class StockBalance(Keyed):
    """What a store has of a batch. ``drug_id`` and ``expiry`` repeat the batch's, for the one index that counts."""

    __tablename__ = "stock_balance"
    __table_args__ = (
        CheckConstraint("reserved >= 0 AND on_hand >= reserved", name="never_negative"),
        UniqueConstraint("store_id", "batch_id"),
        Index("ix_stock_balance_choice", "store_id", "drug_id", "expiry"),
    )
    store_id: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[int] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    expiry: Mapped[date] = mapped_column(Date)
    on_hand: Mapped[Decimal] = mapped_column(Quantity)
    reserved: Mapped[Decimal] = mapped_column(Quantity)


class StockMove(integrity.Guarded, Keyed):
    """One movement of one batch, always positive, from a store (or outside) to a store (or outside)."""

    __tablename__ = "stock_move"
    __guarded__ = ("id", "kind", "store_from", "store_to", "batch_id", "drug_id", "quantity", "document_kind",
                   "document_id", "line_id", "moved_at", "business_date", "actor_id")
    __table_args__ = (
        CheckConstraint("quantity > 0", name="positive"),
        Index("ix_stock_move_document", "document_kind", "document_id"),
        Index("ix_stock_move_drug", "drug_id", "business_date"),
        Index("ix_stock_move_batch", "batch_id"),
        Index("ix_stock_move_moved", "moved_at"),
    )
    kind: Mapped[str] = mapped_column(String(20))
    store_from: Mapped[int | None] = mapped_column(BigInteger)
    store_to: Mapped[int | None] = mapped_column(BigInteger)
    batch_id: Mapped[int] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    document_kind: Mapped[str] = mapped_column(String(20))
    document_id: Mapped[int] = mapped_column(BigInteger)
    line_id: Mapped[int | None] = mapped_column(BigInteger)
    moved_at: Mapped[datetime] = mapped_column(Instant)
    business_date: Mapped[date] = mapped_column(Date)
    actor_id: Mapped[int] = mapped_column(BigInteger)


class Reservation(Keyed):
    """A claim of a document's line on a balance: ``open`` → ``used`` | ``released``."""

    __tablename__ = "stock_reservation"
    __table_args__ = (
        Index("ix_stock_reservation_document", "document_kind", "document_id", "state"),
        Index("ix_stock_reservation_balance", "balance_id", "state"),
    )
    document_kind: Mapped[str] = mapped_column(String(20))
    document_id: Mapped[int] = mapped_column(BigInteger)
    line_id: Mapped[int] = mapped_column(BigInteger)
    store_id: Mapped[int] = mapped_column(BigInteger)
    balance_id: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[int] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    state: Mapped[str] = mapped_column(String(10))
    reserved_at: Mapped[datetime] = mapped_column(Instant)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)


seals.declare("stock_move", "药品流水", StockMove, at="moved_at")
