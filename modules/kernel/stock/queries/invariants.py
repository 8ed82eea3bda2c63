"""Invariants and reads of the stock ledger."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from his_server.module import Finding
from modules.kernel.stock.models import Reservation, StockBalance, StockMove


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
