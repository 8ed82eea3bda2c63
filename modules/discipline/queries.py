"""Reads of the discipline office."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from modules.discipline.models import StatisticsGrant
from modules.kernel.masterdata.models import Department, Drug, Staff


def grants(session: Session, state: str | None) -> list[dict[str, Any]]:
    """Requests, newest first, with the names of what narrows them; one query."""
    statement = (
        select(StatisticsGrant, Department.name, Staff.name, Drug.name)
        .outerjoin(Department, Department.id == StatisticsGrant.department_id)
        .outerjoin(Staff, Staff.id == StatisticsGrant.doctor_id)
        .outerjoin(Drug, Drug.id == StatisticsGrant.drug_id)
        .order_by(StatisticsGrant.requested_at.desc(), StatisticsGrant.id.desc()).limit(200))
    if state:
        statement = statement.where(StatisticsGrant.state == state)
    columns = ("id", "first_day", "last_day", "reason", "state", "requested_by", "requested_by_name", "requested_at",
               "decided_by_name", "decided_at", "valid_until")
    return [{**{c: getattr(grant, c) for c in columns}, "department": department, "doctor": doctor, "drug": drug}
            for grant, department, doctor, drug in session.execute(statement)]
