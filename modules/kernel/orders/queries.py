"""Reads of orders."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, selectinload

from dialects import portable
from his_server.actor import Actor
from his_server.clock import day_bounds
from his_server.db import now, today
from his_server.search import match, search_keys
from modules.kernel.dispensing.models import DispensingTask
from modules.kernel.encounters import service as encounters
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import (
    ChargeItem,
    Department,
    DictionaryEntry,
    Drug,
    Frequency,
    Staff,
    charge_item_search,
    drug_search,
)
from modules.kernel.masterdata.service.lookups import valid_on
from modules.kernel.orders.models import (
    AntimicrobialOverride,
    OrderTemplate,
    OrderTemplateLine,
    Prescription,
    PrescriptionLine,
    Request,
)
from modules.kernel.orders.service.prescribing import pharmacy_for
from modules.kernel.patients import service as patients
from modules.kernel.patients.models import Person
from modules.kernel.scheduling.models import Registration
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import DrugNotice, NoticeRead
from modules.kernel.stock.rules import show_quantity

RETURNED_FOR = timedelta(days=14)
"""How long a prescription that was sent back stays on the doctor's page."""
OPTIONS = 30
"""Rows of a search drop-down."""


def visits_today(session: Session, *, department_id: int | None, doctor_id: int | None, finished: bool = False
                 ) -> list[dict[str, Any]]:
    """Today's paid or begun visits, or those that are over, in queue order; one query."""
    states = ("finished",) if finished else ("waiting", "seen")
    statement = (
        select(Encounter.id, Encounter.visit_no, Encounter.kind, Encounter.state, Registration.queue_no,
               Registration.level, Person, Department.name.label("department"), Staff.name.label("doctor"))
        .join(Person, Person.id == Encounter.person_id)
        .join(Department, Department.id == Encounter.department_id)
        .join(Registration, Registration.encounter_id == Encounter.id)
        .outerjoin(Staff, Staff.id == Encounter.doctor_id)
        .where(Encounter.business_date == today(session), Encounter.state.in_(states),
               Registration.state == "registered")
        .order_by(Encounter.state.desc(), Registration.queue_no, Encounter.id).limit(300))
    if department_id is not None:
        statement = statement.where(Encounter.department_id == department_id)
    if doctor_id is not None:
        statement = statement.where((Encounter.doctor_id == doctor_id) | Encounter.doctor_id.is_(None))
    columns = ("name", "sex", "birth_date", "outpatient_no", "allergies")
    return [{**{k: v for k, v in row._mapping.items() if k != "Person"}, "person_id": row.Person.id,
             **{c: getattr(row.Person, c) for c in columns}} for row in session.execute(statement)]


def orders_of_visit(session: Session, encounter_id: int) -> dict[str, Any]:
    """Prescriptions and requests of a visit, oldest first; four queries."""
    return {
        "prescriptions": session.scalars(
            select(Prescription).options(selectinload(Prescription.lines))
            .where(Prescription.encounter_id == encounter_id).order_by(Prescription.issued_at, Prescription.id)).all(),
        "requests": session.scalars(
            select(Request).options(selectinload(Request.lines)).where(Request.encounter_id == encounter_id)
            .order_by(Request.issued_at, Request.id)).all(),
    }


def worklist(session: Session, department_id: int, state: str, number: str | None = None) -> dict[str, Any]:
    """Requests for a performing department with whom they are for; ``performed`` are today's, latest first.

    ``number``: this request only, whenever it was performed. Four queries.
    """
    mine = [Request.performing_department_id == department_id]
    done_today = Request.changed_at >= day_bounds(today(session))[0]
    statement = (
        select(Request, Person.name, Person.sex, Person.birth_date, Person.outpatient_no,
               Department.name.label("department"))
        .options(selectinload(Request.lines)).join(Person, Person.id == Request.person_id)
        .join(Department, Department.id == Request.department_id).where(*mine).limit(200))
    if number:
        statement = statement.where(Request.number == number)
    elif state == "performed":
        statement = statement.where(Request.state == state, done_today).order_by(Request.changed_at.desc(), Request.id)
    else:
        statement = statement.where(Request.state == state).order_by(Request.issued_at, Request.id)
    columns = ("diagnosis", *(c.key for c in Request.__table__.columns))
    items = [{**{c: getattr(row.Request, c) for c in columns}, "lines": row.Request.lines, "name": row.name,
              "sex": row.sex, "birth_date": row.birth_date, "outpatient_no": row.outpatient_no,
              "department": row.department}
             for row in session.execute(statement)]
    waiting, performed = (session.scalar(select(func.count()).select_from(Request).where(*mine, *more)) for more in
                          ([Request.state == "charged"], [Request.state == "performed", done_today]))
    return {"items": items, "counts": {"charged": waiting, "performed": performed}}


def perform_state(session: Session, _actor: Actor, args: Mapping[str, str]) -> dict[str, Any]:
    """Live topic: how many paid requests wait in a department, and the latest change; one indexed query."""
    given = args.get("department", "")
    department = int(given) if given.isdecimal() and len(given) < 16 else 0
    count, newest = session.execute(
        select(func.count(), func.max(Request.changed_at))
        .where(Request.performing_department_id == department, Request.state == "charged")).one()
    return {"waiting": count, "newest": newest.isoformat() if newest else None}


def choices(session: Session) -> dict[str, Any]:
    """What the order pages choose from: usages, frequencies, departments; three queries."""
    day = today(session)
    usages = session.scalars(
        select(DictionaryEntry).where(DictionaryEntry.dictionary == "usage", valid_on(DictionaryEntry, day))
        .order_by(DictionaryEntry.position, DictionaryEntry.code))
    frequencies = session.scalars(select(Frequency).order_by(Frequency.id))
    departments = session.scalars(select(Department).where(Department.active).order_by(Department.code))
    return {"usages": [_choice(u, "code") for u in usages],
            "frequencies": [_choice(f, "code", "times_per_day", "interval_days") for f in frequencies],
            "departments": [_choice(d, "id", "code", "kind") for d in departments]}


def _choice(row: Any, *columns: str) -> dict[str, Any]:
    """A short list is searched on the screen, by the same keys as everywhere (M7.4)."""
    keys = {k.key for k in search_keys(row.name, person=False, code=row.code) if k.kind != "name"}
    return {"name": row.name, **{c: getattr(row, c) for c in columns}, "keys": sorted(keys)}


def drug_options(session: Session, q: str, encounter_id: int, *, night: bool = False) -> list[dict[str, Any]]:
    """Drugs that a search finds, with today's pack price and what the visit's pharmacy has free; six queries."""
    ids = list(session.scalars(match(session, drug_search, q, limit=OPTIONS)))
    drugs = masterdata.drugs(session, ids)
    prices = masterdata.drug_prices(session, ids, today(session))
    store = pharmacy_for(session, encounters.get(session, encounter_id), night=night)
    free = stock.available(session, store.id, ids)
    columns = [c.key for c in Drug.__table__.columns]
    return [{**{c: getattr(drug, c) for c in columns}, "price": prices.get(drug.id), "free": free[drug.id],
             "free_text": show_quantity(free[drug.id], drug.pack_size, drug.pack_unit, drug.base_unit)}
            for drug in (drugs[i] for i in ids) if drug.active]


def item_options(session: Session, q: str) -> list[dict[str, Any]]:
    """Charge items that a search finds, with today's price; three queries."""
    ids = list(session.scalars(match(session, charge_item_search, q, limit=OPTIONS)))
    items = masterdata.items(session, ids)
    prices = masterdata.item_prices(session, ids, today(session))
    columns = [c.key for c in ChargeItem.__table__.columns]
    return [{**{c: getattr(item, c) for c in columns}, "price": prices.get(item.id)}
            for item in (items[i] for i in ids) if item.active]


def history(session: Session, person_id: int, *, limit: int, after: str | None) -> dict[str, Any]:
    """A person's prescriptions, under whatever file they lie, newest first; three queries, by index."""
    family = patients.family(session, person_id)
    rows = session.execute(portable.keyset(
        select(Prescription, Department.name.label("department")).options(selectinload(Prescription.lines))
        .join(Department, Department.id == Prescription.department_id).where(Prescription.person_id.in_(family)),
        [(Prescription.issued_at, "desc"), (Prescription.id, "desc")],
        portable.decode_cursor(after) if after else None, limit + 1)).all()
    columns = [c.key.removesuffix("_sealed") for c in Prescription.__table__.columns]
    items = [{**{c: getattr(p, c) for c in columns}, "lines": p.lines, "department": department}
             for p, department in rows[:limit]]
    more = portable.encode_cursor((items[-1]["issued_at"], items[-1]["id"])) if len(rows) > limit else None
    return {"items": items, "next": more}


def overrides(session: Session, *, overdue: bool, limit: int, after: str | None) -> dict[str, Any]:
    """Emergency overrides that wait for their formalities, the longest waiting first; two queries, by index."""
    at = now(session)
    statement = (select(AntimicrobialOverride, Prescription.number)
                 .join(Prescription, Prescription.id == AntimicrobialOverride.prescription_id)
                 .where(AntimicrobialOverride.state == "open"))
    if overdue:
        statement = statement.where(AntimicrobialOverride.due_at < at)
    rows = session.execute(portable.keyset(
        statement, [(AntimicrobialOverride.due_at, "asc"), (AntimicrobialOverride.id, "asc")],
        portable.decode_cursor(after) if after else None, limit + 1)).all()
    drugs: dict[int, list[str]] = {}
    for key, name in session.execute(
            select(PrescriptionLine.prescription_id, PrescriptionLine.name)
            .join(Drug, Drug.id == PrescriptionLine.drug_id)
            .where(PrescriptionLine.prescription_id.in_([o.prescription_id for o, _ in rows]), Drug.antimicrobial != "")
            .order_by(PrescriptionLine.id)):
        drugs.setdefault(key, []).append(name)
    columns = [c.key.removesuffix("_sealed") for c in AntimicrobialOverride.__table__.columns]
    items = [{**{c: getattr(o, c) for c in columns}, "number": number, "late": o.due_at < at,
              "drugs": "、".join(drugs.get(o.prescription_id, []))} for o, number in rows[:limit]]
    more = portable.encode_cursor((items[-1]["due_at"], items[-1]["id"])) if len(rows) > limit else None
    return {"items": items, "next": more}


def warned(session: Session, *, start: date, end: date, limit: int, after: str | None) -> dict[str, Any]:
    """Who issued in spite of which serious warning, and why (RX-10), newest first; one query, by the day's index."""
    rows = session.execute(portable.keyset(
        select(Prescription, Department.name.label("department"))
        .join(Department, Department.id == Prescription.department_id)
        .where(Prescription.issued_at >= day_bounds(start)[0], Prescription.issued_at < day_bounds(end)[1],
               Prescription.check_state == "warned", Prescription.check_reason_sealed.is_not(None)),
        [(Prescription.issued_at, "desc"), (Prescription.id, "desc")],
        portable.decode_cursor(after) if after else None, limit + 1)).all()
    columns = ("id", "number", "issued_at", "doctor_name", "state", "check_text", "check_reason")
    items = [{**{c: getattr(p, c) for c in columns}, "department": name} for p, name in rows[:limit]]
    more = portable.encode_cursor((items[-1]["issued_at"], items[-1]["id"])) if len(rows) > limit else None
    return {"items": items, "next": more}


def templates(session: Session, actor: Actor) -> list[dict[str, Any]]:
    """Templates that this doctor may use: own, the department's, the hospital's; two queries."""
    rank = case((OrderTemplate.scope == "own", 0), (OrderTemplate.scope == "department", 1), else_=2)
    found = session.scalars(
        select(OrderTemplate).where(OrderTemplate.active, (
            ((OrderTemplate.scope == "own") & (OrderTemplate.staff_id == (actor.staff_id or 0)))
            | ((OrderTemplate.scope == "department") & (OrderTemplate.department_id == (actor.department_id or 0)))
            | (OrderTemplate.scope == "hospital"))).order_by(rank, OrderTemplate.name, OrderTemplate.id).limit(200)).all()
    lines: dict[int, list[dict[str, Any]]] = {t.id: [] for t in found}
    for line, drug in session.execute(
            select(OrderTemplateLine, Drug).join(Drug, Drug.id == OrderTemplateLine.drug_id)
            .where(OrderTemplateLine.template_id.in_(lines)).order_by(OrderTemplateLine.template_id, OrderTemplateLine.position)):
        lines[line.template_id].append({
            "drug_id": drug.id, "name": drug.name, "spec": drug.spec, "dose": line.dose, "usage": line.usage,
            "dose_unit": drug.dose_unit or drug.base_unit, "base_unit": drug.base_unit, "frequency": line.frequency,
            "days": line.days, "group_no": line.group_no, "active": drug.active})
    return [{"id": t.id, "name": t.name, "scope": t.scope, "staff_id": t.staff_id, "staff_name": t.staff_name,
             "lines": lines[t.id]} for t in found]


def notices(session: Session, actor: Actor) -> list[dict[str, Any]]:
    """Shortage and prohibition notices in force, unread ones first, then the newest (M6.2); one query."""
    day = today(session)
    rows = session.execute(
        select(DrugNotice, Drug.name, Drug.spec, NoticeRead.read_at)
        .join(Drug, Drug.id == DrugNotice.drug_id)
        .outerjoin(NoticeRead, (NoticeRead.notice_id == DrugNotice.id) & (NoticeRead.user_id == actor.user_id))
        .where(DrugNotice.state == "published", DrugNotice.valid_from <= day,
               DrugNotice.valid_to.is_(None) | (DrugNotice.valid_to >= day))
        .order_by(DrugNotice.made_at.desc(), DrugNotice.id.desc()).limit(200)).all()
    found = [{"id": n.id, "number": n.number, "kind": n.kind, "drug_id": n.drug_id, "name": name, "spec": spec,
              "reason": n.reason, "substitute": n.substitute, "valid_from": n.valid_from, "valid_to": n.valid_to,
              "made_at": n.made_at, "made_by_name": n.made_by_name, "read_at": read_at} for n, name, spec, read_at in rows]
    return sorted(found, key=lambda one: one["read_at"] is not None)


def returned(session: Session, actor: Actor) -> list[dict[str, Any]]:
    """This doctor's prescriptions that the pharmacy's review sent back and nobody has answered; one query."""
    rows = session.execute(
        select(DispensingTask.id, DispensingTask.review_note, DispensingTask.reviewed_by_name, DispensingTask.reviewed_at,
               Prescription.number, Prescription.encounter_id, Prescription.id.label("prescription_id"), Person.name)
        .join(Prescription, Prescription.id == DispensingTask.prescription_id)
        .join(Person, Person.id == Prescription.person_id)
        .where(Prescription.doctor_id == (actor.staff_id or 0), DispensingTask.state == "bounced",
               Prescription.issued_at >= now(session) - RETURNED_FOR)
        .order_by(DispensingTask.reviewed_at.desc()).limit(50))
    return [dict(row._mapping) for row in rows]


def notices_state(session: Session, actor: Actor, _args: Mapping[str, str]) -> dict[str, Any]:
    """Live topic: unread notices and prescriptions sent back; two queries."""
    unread = [n for n in notices(session, actor) if n["read_at"] is None]
    back = returned(session, actor)
    return {"unread": len(unread), "newest": max((n["id"] for n in unread), default=None),
            "returned": [one["id"] for one in back]}
