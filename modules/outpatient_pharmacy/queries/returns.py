"""Reads of the returns page: requests, the reviewer's list, the morning's list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import today
from his_server.errors import NotFound
from his_server.security import scopes
from modules.kernel.charging.models import ChargeLine
from modules.kernel.dispensing.models import DrugReturn, DrugReturnLine
from modules.kernel.masterdata.models import Drug
from modules.kernel.orders.models import Prescription
from modules.kernel.patients.models import Person
from modules.kernel.stock.models import Store
from modules.kernel.stock.rules import show_quantity
from modules.outpatient_pharmacy.queries.counter import reachable_store
from modules.outpatient_pharmacy.service.returning import TAKE_BACK

OPEN = ("requested", "approved", "taken")
_COLUMNS = ("id", "number", "prescription_id", "store_id", "state", "reason", "amount", "controlled", "automatic",
            "requested_at", "requested_by_name", "reviewed_at", "reviewed_by_name", "review_note", "accepted_at",
            "accepted_by_name", "refunded_at", "rereviewed_at", "rereviewed_by_name", "rereview", "rereview_note",
            "cancel_reason")
_IN_TURN = (DrugReturn.requested_at, DrugReturn.id)


def _statement(actor: Actor) -> Any:
    found = (select(DrugReturn, Prescription.number.label("prescription"), Person.name, Person.outpatient_no)
             .join(Prescription, Prescription.id == DrugReturn.prescription_id)
             .join(Person, Person.id == DrugReturn.person_id))
    mine = scopes.departments(actor, TAKE_BACK)
    if mine is not None:
        found = found.join(Store, Store.id == DrugReturn.store_id).where(Store.department_id.in_(mine))
    return found


def _shown(rows: Any) -> list[dict[str, Any]]:
    return [{**{c: getattr(row.DrugReturn, c) for c in _COLUMNS}, "prescription": row.prescription, "name": row.name,
             "outpatient_no": row.outpatient_no} for row in rows]


def returns(session: Session, actor: Actor, store_id: int, state: str, limit: int = 200) -> list[dict[str, Any]]:
    """Returns of a store: in one open state, oldest first; ``morning``: passed at night and not worked off; ``done``:
    today's. One query.
    """
    statement = _statement(actor).where(DrugReturn.store_id == store_id).limit(limit)
    if state == "morning":
        statement = statement.where(DrugReturn.automatic, DrugReturn.rereviewed_at.is_(None)).order_by(*_IN_TURN)
    elif state == "done":
        statement = statement.where(DrugReturn.state.in_(("refunded", "declined", "cancelled")),
                                    DrugReturn.business_date == today(session)).order_by(
            DrugReturn.requested_at.desc(), DrugReturn.id.desc())
    else:
        statement = statement.where(DrugReturn.state == state).order_by(*_IN_TURN)
    return _shown(session.execute(statement))


def return_counts(session: Session, store_id: int) -> dict[str, int]:
    """How many returns stand in each tab; two queries."""
    found: dict[str, int] = dict(session.execute(
        select(DrugReturn.state, func.count()).where(DrugReturn.store_id == store_id, DrugReturn.state.in_(OPEN))
        .group_by(DrugReturn.state)).all())
    morning = session.scalar(select(func.count()).select_from(DrugReturn).where(
        DrugReturn.store_id == store_id, DrugReturn.automatic, DrugReturn.rereviewed_at.is_(None)))
    return {**{state: found.get(state, 0) for state in OPEN}, "morning": morning or 0}


def one_return(session: Session, actor: Actor, return_id: int) -> dict[str, Any]:
    """A return with its lines; two queries."""
    rows = _shown(session.execute(_statement(actor).where(DrugReturn.id == return_id)))
    if not rows:
        raise NotFound("pharmacy.return", "没有这张退药单，请刷新后重试")
    lines = session.execute(
        select(DrugReturnLine.id, DrugReturnLine.prescription_line_id, DrugReturnLine.drug_id, DrugReturnLine.quantity,
               DrugReturnLine.refunded, ChargeLine.name, ChargeLine.spec, Drug.pack_size, Drug.pack_unit,
               Drug.base_unit, Drug.control)
        .join(ChargeLine, ChargeLine.id == DrugReturnLine.charge_line_id)
        .join(Drug, Drug.id == DrugReturnLine.drug_id)
        .where(DrugReturnLine.return_id == return_id).order_by(DrugReturnLine.id))
    return {**rows[0], "lines": [
        {**line._mapping, "quantity_text": show_quantity(line.quantity, line.pack_size, line.pack_unit, line.base_unit)}
        for line in lines]}


def of_prescription(session: Session, prescription_id: int) -> list[dict[str, Any]]:
    """The returns of a prescription and their states, for pharmacy and billing alike; one query."""
    rows = session.execute(
        select(DrugReturn.id, DrugReturn.number, DrugReturn.state, DrugReturn.amount, DrugReturn.automatic,
               DrugReturn.requested_at).where(DrugReturn.prescription_id == prescription_id).order_by(DrugReturn.id))
    return [dict(row._mapping) for row in rows]


def returns_state(session: Session, actor: Actor, args: Mapping[str, str]) -> dict[str, Any]:
    """Live topic of the returns page."""
    return dict(return_counts(session, reachable_store(session, actor, args)))
