"""Reads of the discipline office."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.clock import day_bounds, local
from modules.discipline import rules
from modules.discipline.models import StatisticsGrant
from modules.kernel.charging.models import ChargeLine
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata.models import Department, Drug, Staff
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.patients.models import Person, PersonProtection


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


# Data without persons

CHUNK = 500
PROTECTED = 4
"""From this level on a file is only for those who treat the person: nothing of it leaves."""
Namer = Callable[[str, int], str]
"""Kind and key → pseudonym."""
Rows = list[dict[str, Any]]


def without_persons(session: Session, first: date, last: date, name: Namer) -> tuple[Rows, Rows, Rows, int]:
    """Visits of these days, their drugs and their fees by category, and how many visits stay because the person is protected.

    One query and three for each 500 visits; the columns are those that ``cli.FILES`` names.
    """
    begin, end = day_bounds(first)[0], day_bounds(last)[1]
    statement = (
        select(Encounter.id, Encounter.kind, Encounter.started_at, Person.id.label("person_id"), Person.merged_into_id,
               Person.sex, Person.birth_date, Person.home_region, Department.name.label("department"),
               PersonProtection.level, PersonProtection.locked)
        .join(Person, Person.id == Encounter.person_id).join(Department, Department.id == Encounter.department_id)
        .outerjoin(PersonProtection, (PersonProtection.person_id == Person.id) & (PersonProtection.in_force == 1))
        .where(Encounter.started_at >= begin, Encounter.started_at < end, Encounter.state != "cancelled")
        .order_by(Encounter.id))
    found = session.execute(statement).all()
    open_ones = [row for row in found if not row.locked and (row.level or 0) < PROTECTED]
    visits: Rows = []
    drugs: Rows = []
    fees: Rows = []
    for part in _chunks(open_ones):
        ids = [row.id for row in part]
        diagnosed = _diagnosed(session, ids)
        for row in part:
            day = local(row.started_at).date()
            visits.append({
                "visit": name("visit", row.id), "person": name("person", row.merged_into_id or row.person_id), "sex": row.sex,
                "age_band": rules.age_band(row.birth_date, day), "city": rules.city(row.home_region),
                "month": f"{day:%Y-%m}", "department": row.department, "kind": row.kind,
                "diagnoses": ";".join(sorted(diagnosed[row.id]))})
        drugs += _drugs(session, ids, name)
        fees += _fees(session, ids, name)
    return visits, drugs, fees, len(found) - len(open_ones)


def _chunks(rows: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start:start + CHUNK]


def _diagnosed(session: Session, ids: list[int]) -> dict[int, set[str]]:
    """Visit → categories of its prescriptions' diagnoses."""
    found: dict[int, set[str]] = defaultdict(set)
    for one in session.scalars(select(Prescription).where(Prescription.encounter_id.in_(ids))):
        found[one.encounter_id] |= {rules.category(one.diagnosis_code)} - {""}
    return found


def _drugs(session: Session, ids: list[int], name: Namer) -> Rows:
    rows = session.execute(
        select(Prescription.encounter_id, Drug.code, PrescriptionLine.name, PrescriptionLine.spec, PrescriptionLine.quantity,
               PrescriptionLine.base_unit, PrescriptionLine.days)
        .join(PrescriptionLine, PrescriptionLine.prescription_id == Prescription.id)
        .join(Drug, Drug.id == PrescriptionLine.drug_id)
        .where(Prescription.encounter_id.in_(ids), Prescription.state.in_(("charged", "dispensed"))))
    return [{"visit": name("visit", row.encounter_id), "code": row.code, "name": row.name, "spec": row.spec,
             "quantity": f"{row.quantity.normalize():f}", "unit": row.base_unit, "days": row.days} for row in rows]


def _fees(session: Session, ids: list[int], name: Namer) -> Rows:
    sums: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    for row in session.execute(select(ChargeLine.encounter_id, ChargeLine.fiscal_category, ChargeLine.amount).where(
            ChargeLine.encounter_id.in_(ids), ChargeLine.settlement_id.is_not(None))):
        sums[row.encounter_id, row.fiscal_category] += row.amount
    return [{"visit": name("visit", visit), "category": category, "amount": f"{rules.coarse(amount)}"}
            for (visit, category), amount in sums.items()]
