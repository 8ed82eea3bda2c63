"""The stock ledger: stores, batches, moves, balances, reservations (DESIGN section 4).

Quantities are in the drug's smallest unit. A move is never changed; a balance is on hand and reserved, and the
database refuses to let either go wrong.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Date, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Base, Instant, Keyed, Price, Quantity
from his_server.security import integrity, seals

OUTSIDE = None
"""The other end of a move that enters or leaves the hospital's stock."""


class Store(Keyed):
    """A place that holds drugs: ``outpatient``, ``emergency``, ``ward``, ``warehouse``, ``theatre``;
    ``transit`` is the one store of what is on its way between two others."""

    __tablename__ = "store"
    __table_args__ = (UniqueConstraint("code"),)
    code: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(60))
    kind: Mapped[str] = mapped_column(String(20))
    department_id: Mapped[int | None] = mapped_column(BigInteger)
    active: Mapped[bool] = mapped_column(default=True)


class Batch(Keyed):
    """A lot of a drug as bought: lot number, expiry, what a pack of ``pack_size`` smallest units cost in yuan.

    The pack's cost is kept, never one per smallest unit: a third of a fen would be lost with every tablet.
    """

    __tablename__ = "batch"
    __table_args__ = (UniqueConstraint("drug_id", "lot_no", "expiry", "pack_cost", "pack_size"),
                      CheckConstraint("pack_size > 0", name="pack_size"))
    drug_id: Mapped[int] = mapped_column(BigInteger)
    lot_no: Mapped[str] = mapped_column(String(40))
    expiry: Mapped[date] = mapped_column(Date)
    pack_cost: Mapped[Decimal] = mapped_column(Price)
    pack_size: Mapped[int] = mapped_column(default=1)
    supplier: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(Instant)


class StockBalance(Keyed):
    """What a store has of a batch. ``drug_id`` and ``expiry`` repeat the batch's, for the one index that counts."""

    __tablename__ = "stock_balance"
    __table_args__ = (
        CheckConstraint("reserved >= 0 AND on_hand >= reserved", name="never_negative"),
        UniqueConstraint("store_id", "batch_id"),
        Index("ix_stock_balance_choice", "store_id", "drug_id", "expiry"),
        Index("ix_stock_balance_expiry", "store_id", "expiry"),
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
        Index("ix_stock_move_moved", "moved_at"), Index("ix_stock_move_day", "business_date"),
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


class TraceCode(Keyed):
    """One pack's trace code (追溯码), text as scanned: 20 digits as a rule, GS1 and others too (TC-01).

    ``quantity`` smallest units are in the pack, ``remaining`` are left of it (TC-05). ``state``: in_stock, opened,
    dispensed, in_transit, supplier, lost, out, void (no box); the legal moves between them are :data:`rules.TRACE_MOVES` (TC-07).
    """

    __tablename__ = "trace_code"
    __table_args__ = (
        UniqueConstraint("code"), CheckConstraint("remaining >= 0 AND remaining <= quantity", name="remaining"),
        Index("ix_trace_code_store", "store_id", "drug_id", "state"), Index("ix_trace_code_batch", "batch_id"),
    )
    code: Mapped[str] = mapped_column(String(100))
    drug_id: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[int | None] = mapped_column(BigInteger)
    store_id: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(12))
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    remaining: Mapped[Decimal] = mapped_column(Quantity)
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))


class TracePack(Keyed):
    """What is known of a trace code's place in the packing (小码、中码、大码): ``smallest`` is a box as it is sold, any other
    code stands for the codes whose ``parent`` it is. ``source``: file, platform or person; what is said later counts.
    """

    __tablename__ = "trace_pack"
    __table_args__ = (UniqueConstraint("code"), Index("ix_trace_pack_parent", "parent"))
    code: Mapped[str] = mapped_column(String(100))
    parent: Mapped[str | None] = mapped_column(String(100))
    smallest: Mapped[bool]
    source: Mapped[str] = mapped_column(String(10))
    seen_at: Mapped[datetime] = mapped_column(Instant)


class TraceMove(Keyed):
    """What was done with a code, by whom, on which document's line. Never changed; ``upload_id`` is what carries it."""

    __tablename__ = "trace_move"
    __table_args__ = (Index("ix_trace_move_code", "code_id", "moved_at"), Index("ix_trace_move_upload", "upload_id"),
                      Index("ix_trace_move_document", "document_kind", "document_id", "line_id"))
    code_id: Mapped[int] = mapped_column(BigInteger)
    act: Mapped[str] = mapped_column(String(12))
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    store_from: Mapped[int | None] = mapped_column(BigInteger)
    store_to: Mapped[int | None] = mapped_column(BigInteger)
    document_kind: Mapped[str] = mapped_column(String(20))
    document_id: Mapped[int] = mapped_column(BigInteger)
    line_id: Mapped[int | None] = mapped_column(BigInteger)
    upload_id: Mapped[int | None] = mapped_column(BigInteger)
    moved_at: Mapped[datetime] = mapped_column(Instant)
    actor_id: Mapped[int] = mapped_column(BigInteger)
    actor_name: Mapped[str] = mapped_column(String(60))


class TraceUpload(Keyed):
    """A movement that the insurer's platform must hear of (3501–3507): one document line with its codes.

    ``serial`` (批次流水号, at most 30 characters) is ours and stays the same however often it is sent (TC-06).
    ``state``: waiting, sent, refused (by the platform; corrected and sent again).
    """

    __tablename__ = "trace_upload"
    __table_args__ = (UniqueConstraint("serial"), Index("ix_trace_upload_state", "state", "business_date"),
                      Index("ix_trace_upload_day", "business_date", "act", "drug_id"))
    serial: Mapped[str] = mapped_column(String(30))
    act: Mapped[str] = mapped_column(String(12))
    document_kind: Mapped[str] = mapped_column(String(20))
    document_id: Mapped[int] = mapped_column(BigInteger)
    line_id: Mapped[int | None] = mapped_column(BigInteger)
    store_id: Mapped[int | None] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    codes: Mapped[int]
    state: Mapped[str] = mapped_column(String(10))
    attempts: Mapped[int] = mapped_column(default=0)
    message: Mapped[str] = mapped_column(String(300), default="")
    peer_number: Mapped[str] = mapped_column(String(60), default="")
    business_date: Mapped[date] = mapped_column(Date)
    created_at: Mapped[datetime] = mapped_column(Instant)
    sent_at: Mapped[datetime | None] = mapped_column(Instant)


class NoCodeEntry(Keyed):
    """无码库: a drug (or one batch of it) that bears no trace code, with the reason; valid until it is ended."""

    __tablename__ = "no_code_entry"
    __table_args__ = (Index("ix_no_code_entry_drug", "drug_id", "ended_at"),)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(200))
    made_at: Mapped[datetime] = mapped_column(Instant)
    made_by_name: Mapped[str] = mapped_column(String(60))
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    ended_by_name: Mapped[str | None] = mapped_column(String(60))


class DrugNotice(Keyed):
    """A notice to doctors about a drug (M6.2): ``shortage`` warns, ``prohibition`` forbids prescribing.

    In force from ``valid_from`` until the end of ``valid_to`` (empty: until it is withdrawn).
    """

    __tablename__ = "drug_notice"
    __table_args__ = (Index("ix_drug_notice_drug", "drug_id", "state"), Index("ix_drug_notice_made", "made_at"))
    number: Mapped[str] = mapped_column(String(32), unique=True)
    kind: Mapped[str] = mapped_column(String(12))
    drug_id: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(300))
    substitute: Mapped[str] = mapped_column(String(200), default="")
    state: Mapped[str] = mapped_column(String(10))
    valid_from: Mapped[date] = mapped_column(Date)
    valid_to: Mapped[date | None] = mapped_column(Date)
    made_at: Mapped[datetime] = mapped_column(Instant)
    made_by_name: Mapped[str] = mapped_column(String(60))
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    ended_by_name: Mapped[str | None] = mapped_column(String(60))
    end_reason: Mapped[str] = mapped_column(String(200), default="")


class NoticeRead(Keyed):
    """Who has read a notice, and when."""

    __tablename__ = "drug_notice_read"
    __table_args__ = (UniqueConstraint("notice_id", "user_id"),)
    notice_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger, index=True)
    user_name: Mapped[str] = mapped_column(String(60))
    read_at: Mapped[datetime] = mapped_column(Instant)


class StockDocument(Keyed):
    """A paper that moves stock. ``kind`` → series and legal states are in :data:`rules.DOCUMENTS`.

    ``other_store_id``: where a transfer goes, or which store a requisition asks. ``strict``: it has a controlled drug,
    so a second person confirms. ``origin_id``: the requisition that a transfer serves.
    """

    __tablename__ = "stock_document"
    __table_args__ = (Index("ix_stock_document_store", "store_id", "kind", "made_at"),
                      Index("ix_stock_document_other", "other_store_id", "kind", "state"),
                      Index("ix_stock_document_origin", "origin_id"))
    number: Mapped[str] = mapped_column(String(32), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    purpose: Mapped[str] = mapped_column(String(30))
    state: Mapped[str] = mapped_column(String(12))
    store_id: Mapped[int] = mapped_column(BigInteger)
    other_store_id: Mapped[int | None] = mapped_column(BigInteger)
    origin_id: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(200), default="")
    end_reason: Mapped[str | None] = mapped_column(String(200))
    strict: Mapped[bool] = mapped_column(default=False)
    line_count: Mapped[int]
    revision: Mapped[int] = mapped_column(default=1)
    made_at: Mapped[datetime] = mapped_column(Instant)
    made_by: Mapped[int] = mapped_column(BigInteger)
    made_by_name: Mapped[str] = mapped_column(String(60))
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by: Mapped[int] = mapped_column(BigInteger)
    changed_by_name: Mapped[str] = mapped_column(String(60))


class StockDocumentLine(Keyed):
    """A line: ``quantity`` smallest units (negative only in an adjustment), ``done`` of it arrived or was served."""

    __tablename__ = "stock_document_line"
    __table_args__ = (UniqueConstraint("document_id", "position"),)
    document_id: Mapped[int] = mapped_column(BigInteger)
    position: Mapped[int]
    drug_id: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[int | None] = mapped_column(BigInteger)
    lot_no: Mapped[str] = mapped_column(String(40), default="")
    expiry: Mapped[date | None] = mapped_column(Date)
    pack_cost: Mapped[Decimal | None] = mapped_column(Price)
    pack_size: Mapped[int] = mapped_column(default=1)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    done: Mapped[Decimal] = mapped_column(Quantity)
    supplier: Mapped[str] = mapped_column(String(100), default="")
    note: Mapped[str] = mapped_column(String(200), default="")


class StockDocumentCode(Keyed):
    """A trace code scanned for a line of a paper."""

    __tablename__ = "stock_document_code"
    __table_args__ = (UniqueConstraint("document_id", "code"), Index("ix_stock_document_code_line", "line_id"))
    document_id: Mapped[int] = mapped_column(BigInteger)
    line_id: Mapped[int] = mapped_column(BigInteger)
    code: Mapped[str] = mapped_column(String(100))


class Stocktake(Keyed):
    """A count of a store (盘点): ``counting`` → ``posted`` | ``cancelled``."""

    __tablename__ = "stocktake"
    __table_args__ = (Index("ix_stocktake_store", "store_id", "state", "made_at"),)
    number: Mapped[str] = mapped_column(String(32), unique=True)
    store_id: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(12))
    scope: Mapped[str] = mapped_column(String(100), default="")
    end_reason: Mapped[str | None] = mapped_column(String(200))
    line_count: Mapped[int]
    made_at: Mapped[datetime] = mapped_column(Instant)
    made_by: Mapped[int] = mapped_column(BigInteger)
    made_by_name: Mapped[str] = mapped_column(String(60))
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))


class StocktakeLine(Base):
    """A batch on a count sheet. Its key is the sheet and the position, so that ten thousand lines are one statement.

    ``book`` was on hand when the sheet was made. ``expected`` is what the books said at the moment of counting: what
    moved in between is in it. ``first_expected``: at the first of several scans; if the two differ, stock moved while
    the batch was being counted. ``merged_into``: position of the lot this one was merged into.
    """

    __tablename__ = "stocktake_line"
    stocktake_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    balance_id: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[int] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    book: Mapped[Decimal] = mapped_column(Quantity)
    expected: Mapped[Decimal | None] = mapped_column(Quantity)
    first_expected: Mapped[Decimal | None] = mapped_column(Quantity)
    counted: Mapped[Decimal | None] = mapped_column(Quantity)
    counted_at: Mapped[datetime | None] = mapped_column(Instant)
    counted_by_name: Mapped[str | None] = mapped_column(String(60))
    merged_into: Mapped[int | None]


class StocktakeCode(Base):
    """A trace code scanned on a count sheet (TC-07); ``quantity`` was left in its pack. Gone when its line is counted anew."""

    __tablename__ = "stocktake_code"
    stocktake_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    code_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    position: Mapped[int]
    quantity: Mapped[Decimal] = mapped_column(Quantity)


class StockLevel(Keyed):
    """The least and the most (smallest units) that a store wants to have of a drug."""

    __tablename__ = "stock_level"
    __table_args__ = (UniqueConstraint("store_id", "drug_id"),
                      CheckConstraint("least >= 0 AND most >= least", name="order"))
    store_id: Mapped[int] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    least: Mapped[Decimal] = mapped_column(Quantity)
    most: Mapped[Decimal] = mapped_column(Quantity)
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))


class StockSnapshot(Base):
    """What stores had of batches at the beginning of a month, from the moves alone; reports start here."""

    __tablename__ = "stock_snapshot"
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    store_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    batch_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[Decimal] = mapped_column(Quantity)


seals.declare("stock_move", "药品流水", StockMove, at="moved_at")
