"""Reads of the registration and cancellation windows (M1.5): found by everything, paged by key, one index each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from dialects import portable
from his_server.actor import Actor
from his_server.clock import day_bounds
from his_server.money import ZERO
from modules.kernel.charging.models import ChargeLine, Settlement
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata.models import Department, Staff
from modules.kernel.orders.models import Request
from modules.kernel.patients import queries as patients
from modules.kernel.patients import rules as patient_rules
from modules.kernel.patients.models import Person
from modules.kernel.patients.queries import NAMES
from modules.kernel.scheduling.models import ClinicSession, Registration

FOUND_PERSONS = 50


def fee_of(session: Session, line_ids: Sequence[int]) -> Decimal:
    """What the lines of a fee come to, in yuan; one query."""
    return sum(session.scalars(select(ChargeLine.amount).where(ChargeLine.id.in_(line_ids))), ZERO)



def registrations(session: Session, actor: Actor, *, q: str, day_from: date | None, day_to: date | None,
                  state: str | None, department_id: int | None, doctor_id: int | None, limit: int, after: str | None
                  ) -> dict[str, Any]:
    """One page of registrations, latest day first: by registration, visit or receipt-less settlement number, by any number,
    name or pinyin of the person, or all of some days. At most five queries, whatever is asked.
    """
    statement: Any = (
        select(Registration.id, Registration.number, Registration.person_id, Registration.encounter_id, Registration.day,
               Registration.level, Registration.queue_no, Registration.state, Registration.way, Registration.no_show,
               Registration.channel, Registration.settlement_id, Registration.registered_at,
               Registration.registered_by_name, Registration.cancelled_at, Registration.cancelled_by_name,
               Registration.cancel_reason, ClinicSession.period, Encounter.visit_no, Encounter.state.label("visit_state"),
               Person.name, Person.outpatient_no, Department.name.label("department"), Staff.name.label("doctor"))
        .join(ClinicSession, ClinicSession.id == Registration.session_id)
        .join(Encounter, Encounter.id == Registration.encounter_id)
        .join(Person, Person.id == Registration.person_id)
        .join(Department, Department.id == Registration.department_id)
        .outerjoin(Staff, Staff.id == Registration.doctor_id))
    for condition in _asked(session, actor, q):
        statement = statement.where(condition)
    wanted = {Registration.state: state, Registration.doctor_id: doctor_id, Registration.department_id: department_id}
    statement = statement.where(*(column == value for column, value in wanted.items() if value is not None))
    if day_from:
        statement = statement.where(Registration.day >= day_from)
    if day_to:
        statement = statement.where(Registration.day <= day_to)
    cursor = portable.decode_cursor(after) if after else None
    rows = session.execute(portable.keyset(statement, [(Registration.day, "desc"), (Registration.id, "desc")],
                                           cursor, limit + 1)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    whole = actor.can(NAMES)
    return {"items": [{**row._mapping, "name": row.name if whole else patient_rules.mask_name(row.name)}
                      for row in rows[:limit]],
            "next": portable.encode_cursor((last.day, last.id)) if last else None}


def _asked(session: Session, actor: Actor, q: str) -> Sequence[Any]:
    """The condition that a search means: a number of ours, else whoever is found by it."""
    text = q.strip()
    if not text:
        return ()
    if text.upper().startswith("GH"):
        return (Registration.number == text.upper(),)
    if text.upper().startswith("JS"):
        return (Registration.settlement_id == select(Settlement.id).where(
            Settlement.number == text.upper()).scalar_subquery(),)
    persons = [row["id"] for row in patients.search(session, actor, text, FOUND_PERSONS)]
    return (Registration.person_id.in_(persons),)


def renewable(session: Session, person_id: int, day: date, days: int, department_id: int | None = None
              ) -> list[Registration]:
    """The person's registrations that a renewal on ``day`` could use (YB-09), latest first: paid, begun at most ``days``
    natural days ago (its own included), not renewed, and with a paid examination or test whose result was not there on
    its own day: still to be done, or done on a later day. At most two queries.
    """
    if days < 1:
        return []
    later = aliased(Registration)
    statement = (
        select(Registration).where(
            Registration.person_id == person_id, Registration.state == "registered", Registration.way != "renewal",
            Registration.day < day, Registration.day > day - timedelta(days=days),
            ~exists().where(later.renews_id == Registration.id))
        .order_by(Registration.day.desc(), Registration.registered_at.desc(), Registration.id.desc()).limit(20))
    if department_id is not None:
        statement = statement.where(Registration.department_id == department_id)
    found = session.scalars(statement).all()
    if not found:
        return []
    requests = session.execute(select(Request.encounter_id, Request.state, Request.changed_at).where(
        Request.encounter_id.in_([one.encounter_id for one in found]), Request.state.in_(("charged", "performed")))).all()
    return [one for one in found if any(
        r.encounter_id == one.encounter_id and (r.state == "charged" or r.changed_at >= day_bounds(one.day)[1])
        for r in requests)]
