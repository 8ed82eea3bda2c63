"""Registrations and dictionaries to the calling system; what it calls comes back by :mod:`interfaces.queue_calling.inbound`.

Implements: H18
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.about import about
from his_server.db import Database, today
from his_server.messaging.outbox import Event, Refused
from interfaces.hub import syncing
from interfaces.queue_calling import mapping
from modules.kernel.charging.ports import CONFIRMED
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import Department, Staff
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name
from modules.kernel.scheduling.models import ClinicSession

PORT = "queue-calling"
EVENTS = ("RegistrationMade", "RegistrationChanged", "RegistrationCancelled", "RegistrationRestored")
ROWS_AT_ONCE = 200


def tell(database: Database, event: Event) -> None:
    """One registration event. What was never paid never stood in the queue, and a day that is over has none.

    :raises NotSent, LostAnswer: again later. :raises Refused: the calling system won't have it.
    """
    port, told = database.ports.get(PORT), event.payload
    if port is None or not told.get("paid", True):
        return
    version = mapping.version_of(event.occurred_at)
    with database.begin(write=False) as session:
        if date.fromisoformat(told["day"]) < today(session):
            return
        row = {"registrationNo": told["number"], "version": version} if event.type == "RegistrationCancelled" else \
            _registered(session, told, version, full=port.settings.full_names)
    with about(person_id=told["person_id"], business_key=told["number"]):
        send = port.resign if event.type == "RegistrationCancelled" else port.registered
        answer = send(told["number"], row)
    if answer.state != CONFIRMED:
        raise Refused(answer.message or "叫号系统拒绝接收")


def _registered(session: Session, told: dict[str, Any], version: int, *, full: bool) -> dict[str, Any]:
    person = session.get_one(Person, told["person_id"])
    department = masterdata.department(session, told["department_id"])
    doctor = masterdata.staff(session, told["doctor_id"]) if told["doctor_id"] else None
    assert department is not None
    name = person.name if full else mask_name(person.name)
    return mapping.registered(told, version, (person.outpatient_no, name, person.sex, person.birth_date), today(session),
                              department.code, doctor.code if doctor else "")


def send_dictionaries(database: Database) -> int:
    """Departments, doctors and the sessions of the coming days: what changed since they were last taken; returns how many."""
    port = database.ports.get(PORT)
    if port is None:
        return 0
    days = port.settings.days_ahead
    parts = (("department", _departments, port.departments), ("doctor", _doctors, port.doctors),
             ("slot", lambda session: _slots(session, days), port.slots))
    return sum(syncing.send_changed(database, "queue_calling", name, rows, ROWS_AT_ONCE, send) for name, rows, send in parts)


def _departments(session: Session) -> dict[str, dict[str, Any]]:
    return {row.code: {"deptCode": row.code, "deptName": row.name, "place": row.building,
                       "active": row.active and (row.outpatient or row.emergency)}
            for row in session.scalars(select(Department).where(Department.outpatient | Department.emergency)
                                       .order_by(Department.code))}


def _doctors(session: Session) -> dict[str, dict[str, Any]]:
    rows = session.execute(
        select(Staff.code, Staff.name, Staff.title, Staff.active, Department.code.label("department"))
        .join(Department, Department.id == Staff.department_id)
        .where(Staff.id.in_(select(ClinicSession.doctor_id).where(ClinicSession.day >= today(session)))).order_by(Staff.code))
    return {row.code: {"doctorCode": row.code, "doctorName": row.name, "title": row.title, "deptCode": row.department,
                       "active": row.active} for row in rows}


def _slots(session: Session, days: int) -> dict[str, dict[str, Any]]:
    first = today(session)
    rows = session.execute(
        select(ClinicSession.id, ClinicSession.day, ClinicSession.period, ClinicSession.level, ClinicSession.capacity,
               ClinicSession.extra, ClinicSession.state, Department.code.label("department"), Staff.code.label("doctor"))
        .join(Department, Department.id == ClinicSession.department_id)
        .outerjoin(Staff, Staff.id == ClinicSession.doctor_id)
        .where(ClinicSession.day >= first, ClinicSession.day < first + timedelta(days=days)).order_by(ClinicSession.id))
    return {str(row.id): {
        "visitId": str(row.id), "deptCode": row.department, "doctorCode": row.doctor or "",
        "clinicDate": row.day.isoformat(), "period": row.period, "level": row.level,
        "capacity": row.capacity + row.extra, "open": row.state == "open"} for row in rows}
