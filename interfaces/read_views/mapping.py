"""Our rows as the contract's resources: one query each, keys as partners know them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from his_server.db import today
from modules.kernel.masterdata.models import Department, Drug, Staff
from modules.kernel.scheduling.models import ClinicSession
from modules.kernel.stock.models import DrugNotice
from modules.kernel.stock.service.notices import in_force

Rows = Iterator[tuple[str, dict[str, Any]]]


def departments(session: Session, _days: int) -> Rows:
    """Departments in use."""
    parent = aliased(Department)
    for row in session.execute(select(Department, parent.code).outerjoin(parent, parent.id == Department.parent_id)
                               .where(Department.active.is_(True))):
        one = row[0]
        yield one.code, {"code": one.code, "name": one.name, "kind": one.kind, "parent_code": row[1],
                         "outpatient": one.outpatient, "emergency": one.emergency, "building": one.building}


def staff(session: Session, _days: int) -> Rows:
    """Members of staff who work here."""
    for one, department in session.execute(select(Staff, Department.code).join(Department, Department.id == Staff.department_id)
                                           .where(Staff.active.is_(True))):
        yield one.code, {"code": one.code, "name": one.name, "department_code": department, "title": one.title,
                         "role": one.role}


def schedules(session: Session, days: int) -> Rows:
    """Clinic sessions from today on."""
    for one, department, doctor in session.execute(
            select(ClinicSession, Department.code, Staff.code).join(Department, Department.id == ClinicSession.department_id)
            .outerjoin(Staff, Staff.id == ClinicSession.doctor_id).where(*_shown(session, days))):
        yield str(one.id), {"code": str(one.id), "day": one.day.isoformat(), "period": one.period,
                            "department_code": department, "doctor_code": doctor, "level": one.level, "state": one.state}


def slots(session: Session, days: int) -> Rows:
    """How many slots of each are left."""
    for one in session.scalars(select(ClinicSession).where(*_shown(session, days))):
        total = one.capacity + one.extra
        yield str(one.id), {"code": str(one.id), "day": one.day.isoformat(), "total": total,
                            "remaining": total - one.taken if one.state == "open" else 0}


def drug_notices(session: Session, _days: int) -> Rows:
    """Notices in force today: what is withdrawn or over is gone."""
    for one, drug in session.execute(select(DrugNotice, Drug).join(Drug, Drug.id == DrugNotice.drug_id)
                                     .where(*in_force(today(session)))):
        yield one.number, {"code": one.number, "kind": one.kind, "drug_code": drug.code, "drug_name": drug.name,
                           "spec": drug.spec, "reason": one.reason, "substitute": one.substitute,
                           "valid_from": one.valid_from.isoformat(),
                           "valid_to": one.valid_to.isoformat() if one.valid_to else None}


def _shown(session: Session, days: int) -> tuple[Any, Any]:
    first = today(session)
    return ClinicSession.day >= first, ClinicSession.day < first + timedelta(days=days)
