"""Invariants and reads of the stock ledger."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from his_server.module import Finding
from modules.kernel.stock.models import (
    Reservation,
    StockBalance,
    StockDocument,
    StockDocumentLine,
    StockMove,
    StockSnapshot,
    Store,
    TraceCode,
    TraceMove,
)
from modules.kernel.stock.service.snapshots import net_moves


def moves_equal_balances(session: Session) -> Iterator[Finding]:
    """Σ moves in − Σ moves out = on hand, for every store and batch."""
    net: dict[tuple[int, int], Decimal] = {}
    for column, sign in ((StockMove.store_to, 1), (StockMove.store_from, -1)):
        for store, batch, quantity in session.execute(
            select(column, StockMove.batch_id, func.sum(StockMove.quantity)).where(column.is_not(None))
            .group_by(column, StockMove.batch_id)
        ):
            assert store is not None
            net[store, batch] = net.get((store, batch), Decimal(0)) + sign * quantity
    for store, batch, on_hand in session.execute(
        select(StockBalance.store_id, StockBalance.batch_id, StockBalance.on_hand)
    ):
        moved = net.pop((store, batch), Decimal(0))
        if moved != on_hand:
            yield Finding("stock.moves", f"store {store} batch {batch}", f"结存 {on_hand}，进出合计 {moved}")
    for (store, batch), moved in net.items():
        if moved:
            yield Finding("stock.moves", f"store {store} batch {batch}", f"没有结存行，进出合计 {moved}")


def reserved_equals_open(session: Session) -> Iterator[Finding]:
    """Reserved = Σ open reservations, for every balance."""
    held: dict[int, Decimal] = dict(session.execute(
        select(Reservation.balance_id, func.sum(Reservation.quantity)).where(Reservation.state == "open")
        .group_by(Reservation.balance_id)).all())
    for balance, reserved in session.execute(select(StockBalance.id, StockBalance.reserved)):
        if held.get(balance, Decimal(0)) != reserved:
            yield Finding("stock.reserved", f"balance {balance}", f"占用 {reserved}，未完单据合计 {held.get(balance, 0)}")


def transit_equals_shipped(session: Session) -> Iterator[Finding]:
    """What stands in the transit store = the lines of transfers that are on their way, per batch."""
    way = {row.batch_id: row.quantity for row in session.execute(
        select(StockDocumentLine.batch_id, func.sum(StockDocumentLine.quantity).label("quantity"))
        .join(StockDocument, StockDocument.id == StockDocumentLine.document_id)
        .where(StockDocument.kind == "transfer", StockDocument.state == "shipped").group_by(StockDocumentLine.batch_id))}
    for row in session.execute(select(StockBalance.batch_id, StockBalance.on_hand).join(
            Store, Store.id == StockBalance.store_id).where(Store.kind == "transit")):
        expected = way.pop(row.batch_id, Decimal(0))
        if row.on_hand != expected:
            yield Finding("stock.transit", f"batch {row.batch_id}", f"在途 {row.on_hand}，调拨单合计 {expected}")
    for batch, quantity in way.items():
        yield Finding("stock.transit", f"batch {batch}", f"调拨单合计 {quantity}，在途没有")


def snapshot_equals_moves(session: Session) -> Iterator[Finding]:
    """The newest month beginning = all moves before it, for every store and batch."""
    day = session.scalar(select(func.max(StockSnapshot.day)))
    if day is None:
        return
    net = {key: quantity for key, quantity in net_moves(session, day).items() if quantity}
    for row in session.execute(select(StockSnapshot.store_id, StockSnapshot.batch_id, StockSnapshot.quantity)
                               .where(StockSnapshot.day == day)):
        moved = net.pop((row.store_id, row.batch_id), Decimal(0))
        if moved != row.quantity:
            yield Finding("stock.snapshot", f"{day} store {row.store_id} batch {row.batch_id}",
                          f"月初 {row.quantity}，进出合计 {moved}")
    for (store, batch), moved in net.items():
        yield Finding("stock.snapshot", f"{day} store {store} batch {batch}", f"月初没有，进出合计 {moved}")


def traces_equal_moves(session: Session) -> Iterator[Finding]:
    """A code's rest = its quantity − used + taken back."""
    rest = (TraceCode.quantity - func.coalesce(func.sum(case(
        (TraceMove.act == "use", TraceMove.quantity), (TraceMove.act == "take_back", -TraceMove.quantity),
        else_=None)), 0))
    for row in session.execute(
            select(TraceCode.code, TraceCode.remaining, rest.label("rest"))
            .join(TraceMove, TraceMove.code_id == TraceCode.id)
            .group_by(TraceCode.id, TraceCode.code, TraceCode.quantity, TraceCode.remaining)
            .having(TraceCode.remaining != rest)):
        yield Finding("stock.trace", f"code {row.code}", f"剩余 {row.remaining}，流水合计 {row.rest}")
