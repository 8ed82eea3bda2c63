"""专册: the controlled-drug book of a store, read from the stock ledger, so that it closes by itself (RX-09).

No list by doctor: who prescribed how much of what is nobody's to see here (R7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import today
from his_server.errors import Invalid, NotFound
from his_server.search import match
from modules.kernel.dispensing.models import DispensingTask
from modules.kernel.masterdata.models import Drug, drug_search
from modules.kernel.orders.models import Prescription
from modules.kernel.patients.models import Person
from modules.kernel.stock.models import Batch, StockBalance, StockMove
from modules.outpatient_pharmacy import rules
from modules.outpatient_pharmacy.models import EmptyReturn, PaperDestruction
from modules.outpatient_pharmacy.service.book import BOOK
from modules.outpatient_pharmacy.service.scoping import store_for

ZERO = Decimal("0.0000")
KINDS = {"ampoule": "空安瓿", "patch": "废贴", "residue": "残余液"}
MOVES = {"dispense": "发药", "return": "退药", "receipt": "入库", "transfer": "调拨", "adjustment": "盘点调整",
         "loss": "报损"}
MOST = 2000
_RANK = case({"麻醉": 0, "精一": 1, "精二": 2}, value=Drug.control, else_=3)


def book_drugs(session: Session, actor: Actor, store_id: int, q: str, limit: int = 100) -> list[dict[str, Any]]:
    """Controlled drugs that a store has or had, with what is on hand; one or two queries."""
    store_for(session, actor, BOOK, store_id)
    statement = (
        select(Drug.id, Drug.code, Drug.name, Drug.spec, Drug.control, Drug.base_unit,
               func.sum(StockBalance.on_hand).label("on_hand"))
        .join(StockBalance, StockBalance.drug_id == Drug.id)
        .where(StockBalance.store_id == store_id, Drug.control.not_in(("", "普通")))
        .group_by(Drug.id, Drug.code, Drug.name, Drug.spec, Drug.control, Drug.base_unit)
        .order_by(_RANK, Drug.control, Drug.name, Drug.id).limit(limit))
    if q:
        statement = statement.where(Drug.id.in_(list(session.scalars(match(session, drug_search, q, limit=100)))))
    return [dict(row._mapping) for row in session.execute(statement)]


def _net(session: Session, store_id: int, drug_id: int, before: date) -> dict[int, Decimal]:
    """What each batch stood at in a store before a day; two sums over the drug's index."""
    net: dict[int, Decimal] = {}
    for column, sign in ((StockMove.store_to, 1), (StockMove.store_from, -1)):
        for batch, quantity in session.execute(
                select(StockMove.batch_id, func.sum(StockMove.quantity))
                .where(StockMove.drug_id == drug_id, StockMove.business_date < before, column == store_id)
                .group_by(StockMove.batch_id)):
            net[batch] = net.get(batch, ZERO) + sign * quantity
    return net


def book(session: Session, actor: Actor, store_id: int, drug_id: int, start: date, end: date) -> dict[str, Any]:
    """The book's entries of some days: each movement with its batch, the balances after it and who had it in hands.

    :raises Invalid: the drug is no controlled one, or there are more than :data:`MOST` entries.
    """
    store_for(session, actor, BOOK, store_id)
    drug = session.get(Drug, drug_id)
    if drug is None:
        raise NotFound("pharmacy.drug", "没有这个药品，请重新选择")
    if drug.control in ("", "普通"):
        raise Invalid("pharmacy.not_controlled", f"{drug.name} 不是管制药品，没有专册")
    batches = _net(session, store_id, drug_id, start)
    total = opening = sum(batches.values(), ZERO)
    moves = session.execute(
        select(StockMove.id, StockMove.kind, StockMove.store_from, StockMove.store_to, StockMove.batch_id,
               StockMove.quantity, StockMove.document_kind, StockMove.document_id, StockMove.line_id,
               StockMove.moved_at, StockMove.business_date, Batch.lot_no, Batch.expiry)
        .join(Batch, Batch.id == StockMove.batch_id)
        .where(StockMove.drug_id == drug_id, StockMove.business_date.between(start, end),
               or_(StockMove.store_from == store_id, StockMove.store_to == store_id))
        .order_by(StockMove.moved_at, StockMove.id).limit(MOST + 1)).all()
    if len(moves) > MOST:
        raise Invalid("pharmacy.book_days", f"超过 {MOST} 条，请缩短日期范围")
    people = _people(session, [m.document_id for m in moves if m.document_kind == "prescription"])
    empties = _empties(session, [m.line_id for m in moves if m.line_id is not None])
    items = []
    for move in moves:
        sign = (1 if move.store_to == store_id else 0) - (1 if move.store_from == store_id else 0)
        total += sign * move.quantity
        batches[move.batch_id] = batches.get(move.batch_id, ZERO) + sign * move.quantity
        who = people.get(move.document_id) if move.document_kind == "prescription" else None
        back = empties.get((move.line_id, move.batch_id), []) if move.kind == "dispense" else []
        items.append({
            "id": move.id, "at": move.moved_at, "day": move.business_date, "document": MOVES.get(move.kind, move.kind),
            "number": who.number if who else "", "lot_no": move.lot_no, "expiry": move.expiry,
            "incoming": move.quantity if sign > 0 else None, "outgoing": move.quantity if sign < 0 else None,
            "balance": total, "batch_balance": batches[move.batch_id], "patient": who.name if who else "",
            "outpatient_no": who.outpatient_no if who else "", "reviewer": who.reviewed_by_name or "" if who else "",
            "dispenser": who.picked_by_name or "" if who else "", "checker": who.checked_by_name or "" if who else "",
            "line_id": move.line_id if move.kind == "dispense" else None,
            "empties": "；".join(f"{KINDS[e.kind]} {e.quantity.normalize():f}（{e.received_by_name}/{e.witness_name}）"
                                for e in back),
            "empties_due": max(move.quantity - sum((e.quantity for e in back if e.kind != "residue"), ZERO), ZERO)
            if move.kind == "dispense" else ZERO})
    return {"drug": f"{drug.name} {drug.spec}", "unit": drug.base_unit, "opening": opening, "closing": total,
            "items": items}


def _people(session: Session, prescription_ids: Sequence[int]) -> Mapping[int, Any]:
    """Patient and the four eyes of prescriptions; the prescriber is not read (R7). One query."""
    if not prescription_ids:
        return {}
    rows = session.execute(
        select(Prescription.id, Prescription.number, Person.name, Person.outpatient_no,
               DispensingTask.reviewed_by_name, DispensingTask.picked_by_name, DispensingTask.checked_by_name)
        .join(Person, Person.id == Prescription.person_id)
        .outerjoin(DispensingTask, (DispensingTask.prescription_id == Prescription.id)
                   & (DispensingTask.settlement_id == Prescription.settlement_id))
        .where(Prescription.id.in_(set(prescription_ids))))
    return {row.id: row for row in rows}


def _empties(session: Session, line_ids: Sequence[int]) -> dict[tuple[int | None, int], list[EmptyReturn]]:
    found: dict[tuple[int | None, int], list[EmptyReturn]] = {}
    if line_ids:
        for row in session.scalars(select(EmptyReturn).where(EmptyReturn.prescription_line_id.in_(set(line_ids)))
                                   .order_by(EmptyReturn.id)):
            found.setdefault((row.prescription_line_id, row.batch_id), []).append(row)
    return found


def destructions(session: Session, limit: int = 100) -> dict[str, Any]:
    """Recorded destructions of paper prescriptions, latest first, and what may be destroyed today; one query."""
    day = today(session)
    return {"items": list(session.scalars(select(PaperDestruction).order_by(
        PaperDestruction.done_at.desc(), PaperDestruction.id.desc()).limit(limit))),
            "allowed": {kind: rules.destroyable_until(kind, day) for kind in rules.KEEP_YEARS}}
