"""Reads of orders."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from his_server.db import today
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata.models import Department, Staff
from modules.kernel.orders.models import Prescription, Request
from modules.kernel.patients.models import Person
from modules.kernel.scheduling.models import Registration


def visits_today(session: Session, *, department_id: int | None, doctor_id: int | None) -> list[dict[str, Any]]:
    """Today's paid or begun visits, in queue order; one query."""
    statement = (
        select(Encounter.id, Encounter.visit_no, Encounter.kind, Encounter.state, Registration.queue_no,
               Registration.level, Person.id.label("person_id"), Person.name, Person.sex, Person.birth_date,
               Person.outpatient_no, Department.name.label("department"), Staff.name.label("doctor"))
        .join(Person, Person.id == Encounter.person_id)
        .join(Department, Department.id == Encounter.department_id)
        .join(Registration, Registration.encounter_id == Encounter.id)
        .outerjoin(Staff, Staff.id == Encounter.doctor_id)
        .where(Encounter.business_date == today(session), Encounter.state.in_(("waiting", "seen")),
               Registration.state == "registered")
        .order_by(Encounter.state.desc(), Registration.queue_no, Encounter.id).limit(300))
    if department_id is not None:
        statement = statement.where(Encounter.department_id == department_id)
    if doctor_id is not None:
        statement = statement.where((Encounter.doctor_id == doctor_id) | Encounter.doctor_id.is_(None))
    return [dict(row._mapping) for row in session.execute(statement)]


def orders_of_visit(session: Session, encounter_id: int) -> dict[str, Any]:
    """Prescriptions and requests of a visit, oldest first; four queries."""
    return {
        "prescriptions": session.scalars(
            select(Prescription).options(selectinload(Prescription.lines))
            .where(Prescription.encounter_id == encounter_id).order_by(Prescription.id)).all(),
        "requests": session.scalars(
            select(Request).options(selectinload(Request.lines)).where(Request.encounter_id == encounter_id)
            .order_by(Request.id)).all(),
    }


def worklist(session: Session, department_id: int, state: str) -> list[Request]:
    """Requests for a performing department; two queries."""
    return list(session.scalars(
        select(Request).options(selectinload(Request.lines))
        .where(Request.performing_department_id == department_id, Request.state == state)
        .order_by(Request.issued_at).limit(200)))
