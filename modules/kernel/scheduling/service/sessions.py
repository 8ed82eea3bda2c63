"""Clinic sessions made from the weekly schedule."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.db import of, today
from modules.kernel.masterdata.models import Department, Staff
from modules.kernel.scheduling.models import ClinicSession, ScheduleTemplate


def open_sessions(session: Session, day: date) -> int:
    """Make the day's clinic sessions from the weekly schedule; repeatable; returns how many are new.

    Departments and doctors that were stopped get none, whatever their templates say.
    """
    templates = session.scalars(
        select(ScheduleTemplate).join(Department, Department.id == ScheduleTemplate.department_id)
        .outerjoin(Staff, Staff.id == ScheduleTemplate.doctor_id)
        .where(ScheduleTemplate.weekday == day.isoweekday(), ScheduleTemplate.active.is_(True),
               Department.active.is_(True), or_(ScheduleTemplate.doctor_id.is_(None), Staff.active.is_(True)))).all()
    known = set(session.scalars(select(ClinicSession.template_id).where(ClinicSession.day == day)))
    fresh = [t for t in templates if t.id not in known]
    if not fresh:
        return 0
    return portable.upsert(session, ClinicSession, [
        {"id": key, "day": day, "template_id": t.id, "department_id": t.department_id, "doctor_id": t.doctor_id,
         "period": t.period, "level": t.level, "capacity": t.capacity, "extra": 0, "taken": 0, "issued": 0,
         "state": "open"}
        for key, t in zip(of(session).keys.take(len(fresh)), fresh, strict=True)], ["day", "template_id"], [])


def open_coming_days(session: Session, days: int = 7) -> int:
    """Sessions of today and the days after it (nightly job)."""
    return sum(open_sessions(session, today(session) + timedelta(days=n)) for n in range(days))
