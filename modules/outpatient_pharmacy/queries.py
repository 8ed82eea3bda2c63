"""Reads of the pharmacies' screens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from his_server.actor import Actor
from his_server.clock import day_bounds
from his_server.db import today
from his_server.errors import NotFound
from his_server.search import match
from modules.kernel.charging.models import ChargeLine, ChargeLineState
from modules.kernel.masterdata.models import Drug, drug_search
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name
from modules.kernel.stock.models import Batch, Reservation, StockBalance, StockMove, Store
from modules.kernel.stock.rules import show_quantity

KINDS = ("outpatient", "emergency")


def stores(session: Session) -> list[Store]:
    """The pharmacies."""
    return list(session.scalars(select(Store).where(Store.kind.in_(KINDS), Store.active).order_by(Store.code)))


def queue(session: Session, store_id: int, state: str, limit: int = 200) -> list[dict[str, Any]]:
    """Prescriptions of a store: ``charged`` wait (longest first), ``dispensed`` today (latest first); two queries."""
    statement = (
        select(Prescription, Person.name, Person.sex, Person.birth_date, Person.outpatient_no)
        .join(Person, Person.id == Prescription.person_id)
        .where(Prescription.store_id == store_id, Prescription.state == state).limit(limit))
    if state == "charged":
        statement = statement.order_by(Prescription.charged_at, Prescription.id)
    else:
        statement = statement.where(Prescription.dispensed_at >= day_bounds(today(session))[0]).order_by(
            Prescription.dispensed_at.desc())
    rows = session.execute(statement).all()
    counts: dict[int, int] = dict(session.execute(
        select(PrescriptionLine.prescription_id, func.count())
        .where(PrescriptionLine.prescription_id.in_([r.Prescription.id for r in rows]))
        .group_by(PrescriptionLine.prescription_id)).all()) if rows else {}
    return [{"id": p.id, "number": p.number, "kind": p.kind, "state": p.state, "charged_at": p.charged_at,
             "dispensed_at": p.dispensed_at, "name": mask_name(name), "sex": sex, "birth_date": born,
             "outpatient_no": outpatient_no, "doctor_name": p.doctor_name, "lines": counts.get(p.id, 0)}
            for p, name, sex, born, outpatient_no in rows]


def counts(session: Session, store_id: int) -> dict[str, int]:
    """How many prescriptions of a store wait, and how many were dispensed today; two queries."""
    mine = (Prescription.store_id == store_id,)
    waiting, done = (session.scalar(select(func.count()).select_from(Prescription).where(*mine, *more)) for more in (
        [Prescription.state == "charged"],
        [Prescription.state == "dispensed", Prescription.dispensed_at >= day_bounds(today(session))[0]]))
    return {"charged": waiting or 0, "dispensed": done or 0}


def dispensed(session: Session, *, number: str | None, person_id: int | None, limit: int = 50) -> list[dict[str, Any]]:
    """Dispensed prescriptions by number or by person, latest first, for returns; one query."""
    statement = (
        select(Prescription.id, Prescription.number, Prescription.kind, Prescription.state, Prescription.dispensed_at,
               Prescription.doctor_name, Prescription.changed_by_name, Person.name, Person.outpatient_no)
        .join(Person, Person.id == Prescription.person_id)
        .where(Prescription.state == "dispensed").order_by(Prescription.dispensed_at.desc()).limit(limit))
    if number:
        statement = statement.where(Prescription.number == number)
    if person_id is not None:
        statement = statement.where(Prescription.person_id == person_id)
    return [dict(row._mapping) for row in session.execute(statement)]


def find(session: Session, number: str) -> int:
    """The id of the prescription with this number (a scanned slip)."""
    found = session.scalar(select(Prescription.id).where(Prescription.number == number))
    if found is None:
        raise NotFound("pharmacy.prescription", "没有这张处方，请核对处方号")
    return found


def prescription(session: Session, prescription_id: int) -> dict[str, Any]:
    """A prescription for dispensing or return: lines, the batches to take, what was returned; five queries."""
    found = session.scalar(select(Prescription).options(selectinload(Prescription.lines))
                           .where(Prescription.id == prescription_id))
    if found is None:
        raise NotFound("pharmacy.prescription", "没有这张处方，请刷新后重试")
    person = session.get(Person, found.person_id)
    assert person is not None
    held = session.execute(
        select(Reservation.line_id, Reservation.quantity, Batch.lot_no, Batch.expiry)
        .join(Batch, Batch.id == Reservation.batch_id)
        .where(Reservation.document_kind == "prescription", Reservation.document_id == prescription_id,
               Reservation.state == "open").order_by(Batch.expiry)).all()
    moved = session.execute(
        select(StockMove.line_id, StockMove.quantity, StockMove.store_to, Batch.lot_no, Batch.expiry)
        .join(Batch, Batch.id == StockMove.batch_id)
        .where(StockMove.document_kind == "prescription", StockMove.document_id == prescription_id)
        .order_by(Batch.expiry, StockMove.id)).all()
    charged = {r.id: r for r in session.execute(
        select(ChargeLine.id, ChargeLine.unit, ChargeLine.factor, ChargeLine.amount, ChargeLineState.performed,
               ChargeLineState.refunded)
        .outerjoin(ChargeLineState, ChargeLineState.line_id == ChargeLine.id)
        .where(ChargeLine.id.in_([line.charge_line_id for line in found.lines])))}
    batches = moved if found.state == "dispensed" else held
    lines = []
    for line in found.lines:
        money = charged[line.charge_line_id]
        packs = (line.pack_size, line.pack_unit, line.base_unit)
        columns = ("id", "drug_id", "name", "spec", "dose", "dose_unit", "usage", "frequency", "days", "quantity",
                   "base_unit", "pack_unit", "pack_size", "note")
        lines.append({
            **{c: getattr(line, c) for c in columns}, "unit": money.unit, "factor": money.factor,
            "amount": money.amount, "quantity_text": show_quantity(line.quantity, *packs),
            "returnable": (money.performed or 0) * money.factor, "refunded": (money.refunded or 0) * money.factor,
            "returnable_units": money.performed or 0,
            "returnable_text": show_quantity((money.performed or 0) * money.factor, *packs),
            "batches": [{"lot_no": b.lot_no, "expiry": b.expiry, "quantity_text": show_quantity(b.quantity, *packs),
                         "returned": bool(getattr(b, "store_to", None)),
                         "quantity": -b.quantity if getattr(b, "store_to", None) else b.quantity}
                        for b in batches if b.line_id == line.id]})
    return {
        **{c: getattr(found, c) for c in ("id", "number", "kind", "state", "diagnosis", "doctor_name", "store_id",
                                          "issued_at", "charged_at", "dispensed_at", "changed_by_name")},
        "person": {"id": person.id, "name": person.name, "sex": person.sex, "birth_date": person.birth_date,
                   "outpatient_no": person.outpatient_no, "allergies": person.allergies},
        "lines": lines}


def queue_state(session: Session, _actor: Actor, args: Mapping[str, str]) -> dict[str, Any]:
    """Live topic: how many wait in a store and the newest; one indexed query."""
    given = args.get("store", "")
    store = int(given) if given.isdecimal() and len(given) < 16 else 0
    count, newest = session.execute(
        select(func.count(), func.max(Prescription.charged_at))
        .where(Prescription.store_id == store, Prescription.state == "charged")).one()
    return {"waiting": count, "newest": newest.isoformat() if newest else None}


def stock_list(session: Session, store_id: int, q: str, expiring_days: int | None = None, limit: int = 500
               ) -> dict[str, Any]:
    """Batches of a store, by drug and expiry; searched as every screen searches (M7.4). Two queries.

    ``expiring_days``: only what expires within so many days (0: what has expired). ``more``: there are further
    batches than ``limit``.
    """
    statement = (
        select(StockBalance.id, StockBalance.drug_id, Drug.code, Drug.name, Drug.spec, Drug.pack_unit, Drug.pack_size,
               Drug.base_unit, Batch.lot_no, StockBalance.expiry, Batch.pack_cost, StockBalance.on_hand,
               StockBalance.reserved)
        .join(Drug, Drug.id == StockBalance.drug_id).join(Batch, Batch.id == StockBalance.batch_id)
        .where(StockBalance.store_id == store_id, StockBalance.on_hand > 0)
        .order_by(Drug.name, Drug.id, StockBalance.expiry, StockBalance.id).limit(limit + 1))
    if q:
        ids = list(session.scalars(match(session, drug_search, q, limit=100)))
        statement = statement.where(StockBalance.drug_id.in_(ids))
    if expiring_days is not None:
        statement = statement.where(StockBalance.expiry <= today(session) + timedelta(days=expiring_days))
    rows = session.execute(statement).all()
    items = []
    for row in rows[:limit]:
        packs = (row.pack_size, row.pack_unit, row.base_unit)
        items.append({**row._mapping, "free": row.on_hand - row.reserved,
                      "on_hand_text": show_quantity(row.on_hand, *packs),
                      "reserved_text": show_quantity(row.reserved, *packs) if row.reserved else "",
                      "free_text": show_quantity(row.on_hand - row.reserved, *packs),
                      "days_left": (row.expiry - today(session)).days})
    return {"items": items, "more": len(rows) > limit}
