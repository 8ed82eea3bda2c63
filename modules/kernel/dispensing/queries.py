"""Reads and invariants of dispensing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.module import Finding
from modules.kernel.dispensing.models import DispensingTask, DrugReturn, DrugReturnLine, PickupWindow
from modules.kernel.stock.models import Store

_PICKUPS = (
    select(DispensingTask.prescription_id, DispensingTask.state, Store.name.label("store"), PickupWindow.name.label("window"))
    .join(Store, Store.id == DispensingTask.store_id)
    .outerjoin(PickupWindow, PickupWindow.id == DispensingTask.window_id)
    .where(DispensingTask.settlement_id == bindparam("b_settlement")).order_by(DispensingTask.id))


def pickups(session: Session, settlement_id: int) -> list[dict[str, Any]]:
    """Where a settlement's prescriptions are handed out: store and window; one query."""
    session.flush()
    return [row._asdict() for row in portable.fetch(session.connection(), _PICKUPS, {"b_settlement": settlement_id})]


def returns_of_settlement(session: Session, settlement_id: int) -> list[dict[str, Any]]:
    """Returns of drugs that this settlement paid: number and the one state that pharmacy and billing share; one query."""
    rows = session.execute(
        select(DrugReturn.id, DrugReturn.number, DrugReturn.state, DrugReturn.amount)
        .join(DispensingTask, DispensingTask.prescription_id == DrugReturn.prescription_id)
        .where(DispensingTask.settlement_id == settlement_id).order_by(DrugReturn.id))
    return [dict(row._mapping) for row in rows]


def tasks_are_unique(session: Session) -> Iterator[Finding]:
    """One task per prescription and settlement."""
    for prescription, settlement, count in session.execute(
            select(DispensingTask.prescription_id, DispensingTask.settlement_id, func.count())
            .group_by(DispensingTask.prescription_id, DispensingTask.settlement_id).having(func.count() > 1)):
        yield Finding("dispensing.once", f"prescription {prescription}", f"结算 {settlement} 有 {count} 张调剂单")


def returns_refunded_at_most(session: Session) -> Iterator[Finding]:
    """What isn't taken back isn't refunded by a return; a refunded return has nothing left."""
    taken = DrugReturn.state.in_(("taken", "refunded"))
    for number, state in session.execute(
            select(DrugReturn.number, DrugReturn.state).join(DrugReturnLine, DrugReturnLine.return_id == DrugReturn.id)
            .where(~taken, DrugReturnLine.refunded > 0)):
        yield Finding("dispensing.returns", f"return {number}", f"状态 {state}，却已有退费数量")
    for number, quantity, refunded in session.execute(
            select(DrugReturn.number, DrugReturnLine.quantity, DrugReturnLine.refunded)
            .join(DrugReturnLine, DrugReturnLine.return_id == DrugReturn.id)
            .where(DrugReturn.state == "refunded", DrugReturnLine.refunded < DrugReturnLine.quantity)):
        yield Finding("dispensing.returns", f"return {number}", f"已退费，但 {quantity} 中只退了 {refunded}")
