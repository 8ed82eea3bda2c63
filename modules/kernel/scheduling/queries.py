"""Reads of schedules and registrations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from his_server.db import now, of, today
from his_server.module import Finding
from his_server.search import search_keys
from modules.kernel.masterdata.models import ChargeItem, ChargeItemPrice, Department, Staff
from modules.kernel.masterdata.service.lookups import valid_on
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name
from modules.kernel.scheduling.models import (
    ClinicSession,
    ExtraSlot,
    RegisterLevel,
    Registration,
    RegistrationCount,
    ScheduleTemplate,
)
from modules.kernel.scheduling.ports import hours_of


def sessions_of(session: Session, day: date, department_id: int | None = None) -> list[dict[str, Any]]:
    """Clinic sessions of a day with doctor, free slots, fee and whether the period is over; one query."""
    clinic = ClinicSession
    statement = (
        select(clinic.id, clinic.day, clinic.period, clinic.level, clinic.department_id, clinic.doctor_id,
               clinic.capacity, clinic.extra, clinic.taken, clinic.state, Department.name.label("department"),
               Department.code.label("department_code"), Staff.name.label("doctor"), Staff.title,
               clinic.template_id, clinic.reason, clinic.changed_at, clinic.changed_by_name, ChargeItemPrice.price)
        .join(Department, Department.id == clinic.department_id)
        .outerjoin(Staff, Staff.id == clinic.doctor_id)
        .outerjoin(RegisterLevel, RegisterLevel.code == clinic.level)
        .outerjoin(ChargeItem, ChargeItem.id == RegisterLevel.item_id)
        .outerjoin(ChargeItemPrice, (ChargeItemPrice.item_id == ChargeItem.id) & valid_on(ChargeItemPrice, day))
        .where(clinic.day == day)
        .order_by(Department.code, clinic.period, clinic.level, Staff.code)
    )
    if department_id is not None:
        statement = statement.where(clinic.department_id == department_id)
    hours, instant = hours_of(of(session)), now(session)
    return [{**row._mapping, "free": row.capacity + row.extra - row.taken,
             "over": hours.over(row.day, row.period, instant),
             "keys": [*_keys(row.department, False), *(_keys(row.doctor, True) if row.doctor else ())]}
            for row in session.execute(statement)]


@lru_cache(maxsize=4096)
def _keys(name: str, person: bool) -> tuple[str, ...]:
    """Names, pinyin and initials under which the list is narrowed at the window, without a question per letter."""
    return tuple(dict.fromkeys(key.key for key in search_keys(name, person=person) if key.kind != "wubi"))


def registrations_of(session: Session, *, person_id: int | None = None, day: date | None = None,
                     limit: int = 100) -> list[dict[str, Any]]:
    """Registrations of a person or a day, newest first; one query."""
    statement = (
        select(Registration, Department.name.label("department"), Staff.name.label("doctor"), ClinicSession.period)
        .join(Department, Department.id == Registration.department_id)
        .join(ClinicSession, ClinicSession.id == Registration.session_id)
        .outerjoin(Staff, Staff.id == Registration.doctor_id)
        .order_by(Registration.registered_at.desc(), Registration.id.desc()).limit(limit))
    if person_id is not None:
        statement = statement.where(Registration.person_id == person_id)
    if day is not None:
        statement = statement.where(Registration.day == day)
    return [{"id": r.id, "number": r.number, "person_id": r.person_id, "encounter_id": r.encounter_id, "day": r.day,
             "period": period, "department": department, "doctor": doctor, "level": r.level, "queue_no": r.queue_no,
             "state": r.state, "way": r.way, "no_show": r.no_show, "settlement_id": r.settlement_id,
             "registered_at": r.registered_at, "registered_by_name": r.registered_by_name}
            for r, department, doctor, period in session.execute(statement)]


def levels(session: Session) -> list[dict[str, Any]]:
    """Kinds of registration with their fee item and its present price; one query."""
    rows = session.execute(
        select(RegisterLevel.id, RegisterLevel.code, RegisterLevel.item_id, RegisterLevel.position, RegisterLevel.active,
               RegisterLevel.revision, ChargeItem.name.label("item"), ChargeItem.code.label("item_code"),
               ChargeItemPrice.price)
        .join(ChargeItem, ChargeItem.id == RegisterLevel.item_id)
        .outerjoin(ChargeItemPrice, (ChargeItemPrice.item_id == ChargeItem.id) & valid_on(ChargeItemPrice, today(session)))
        .order_by(RegisterLevel.position, RegisterLevel.code))
    return [dict(row._mapping) for row in rows]


def templates(session: Session, *, department_id: int | None, doctor_id: int | None, weekday: int | None, state: str
              ) -> list[dict[str, Any]]:
    """Lines of the weekly schedule with their names, by department and day; one query (a hospital has some hundreds)."""
    line = ScheduleTemplate
    statement = (
        select(line.id, line.department_id, line.doctor_id, line.weekday, line.period, line.level, line.capacity,
               line.active, line.revision, Department.name.label("department"), Staff.name.label("doctor"), Staff.title)
        .join(Department, Department.id == line.department_id).outerjoin(Staff, Staff.id == line.doctor_id)
        .order_by(Department.code, line.weekday, line.period, line.level, Staff.code, line.id).limit(2000))
    for column, wanted in ((line.department_id, department_id), (line.doctor_id, doctor_id), (line.weekday, weekday)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if state != "all":
        statement = statement.where(line.active.is_(state == "active"))
    return [dict(row._mapping) for row in session.execute(statement)]


def slots_agree(session: Session) -> Iterator[Finding]:
    """Per clinic session: taken = live registrations."""
    live: dict[int, int] = dict(session.execute(
        select(Registration.session_id, func.count()).where(Registration.state != "cancelled")
        .group_by(Registration.session_id)).all())
    for key, taken in session.execute(select(ClinicSession.id, ClinicSession.taken)):
        if live.get(key, 0) != taken:
            yield Finding("scheduling.slots", f"session {key}", f"已用 {taken}，有效挂号 {live.get(key, 0)}")


def counts_agree(session: Session) -> Iterator[Finding]:
    """Per registration: Σ counts is 1 while it is paid and live, 0 otherwise (M9.5)."""
    rows = session.execute(
        select(Registration.number, Registration.state, func.sum(RegistrationCount.number))
        .outerjoin(RegistrationCount, RegistrationCount.registration_id == Registration.id)
        .group_by(Registration.id, Registration.number, Registration.state))
    for number, state, counted in rows:
        if (counted or 0) != (1 if state == "registered" else 0):
            yield Finding("scheduling.counts", number, f"状态 {state}，人次合计 {counted or 0}")


def extra_slots(session: Session, *, session_id: int | None, person_id: int | None) -> list[dict[str, Any]]:
    """Extra slots of a session or for a person, from today on, newest first; one query."""
    statement = (
        select(ExtraSlot.id, ExtraSlot.session_id, ExtraSlot.person_id, ExtraSlot.reason, ExtraSlot.state,
               ExtraSlot.granted_at, ExtraSlot.granted_by_name, ClinicSession.day, ClinicSession.period, Person.name,
               Person.outpatient_no, Department.name.label("department"))
        .join(ClinicSession, ClinicSession.id == ExtraSlot.session_id).join(Person, Person.id == ExtraSlot.person_id)
        .join(Department, Department.id == ClinicSession.department_id)
        .where(ClinicSession.day >= today(session))
        .order_by(ExtraSlot.granted_at.desc(), ExtraSlot.id.desc()).limit(100))
    if session_id is not None:
        statement = statement.where(ExtraSlot.session_id == session_id)
    if person_id is not None:
        statement = statement.where(ExtraSlot.person_id == person_id)
    return [{**row._mapping, "name": mask_name(row.name)} for row in session.execute(statement)]
