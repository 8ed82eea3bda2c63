"""Reads of the infusion room. Each list is a fixed number of queries by index, whatever has piled up over the years."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session, selectinload

from his_server.actor import Actor
from his_server.clock import day_bounds
from his_server.db import now, today
from his_server.errors import NotFound
from modules.infusion.models import Bottle, Infusion, InfusionRound, InfusionSeat
from modules.infusion.rules import USAGES, groups
from modules.kernel.charging.models import ChargeLine, ChargeLineState, Settlement
from modules.kernel.masterdata.models import Department
from modules.kernel.orders.models import Prescription, PrescriptionLine, SkinTest
from modules.kernel.orders.rules import LONG_DAYS_MOST
from modules.kernel.orders.service import skin_tests
from modules.kernel.patients import queries as patients
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name

_BOTTLE = [c.key for c in Bottle.__table__.columns]
_INFUSION = [c.key for c in Infusion.__table__.columns]
_TEST = [c.key for c in SkinTest.__table__.columns]
OPEN = ("waiting", "running")
SKIN_DAYS = 3
"""Paid prescriptions of so many days are looked through for tests to begin: longer they are not valid (RX-01)."""


def find(session: Session, actor: Actor, q: str) -> dict[str, Any]:
    """What a scan or a typed text leads to: a prescription, voucher or infusion number, or persons. At most ten queries."""
    by_number = session.scalar(select(Prescription.person_id).where(Prescription.number == q)) or session.scalar(
        select(Settlement.person_id).where(Settlement.number == q)) or session.scalar(
        select(Infusion.person_id).where(Infusion.number == q))
    persons = [] if by_number else patients.search(session, actor, q, 20)
    person = by_number or (persons[0]["id"] if len(persons) == 1 else None)
    if person is None:
        return {"person": None, "persons": persons, "prescriptions": []}
    return {"person": person_of(session, person), "persons": [], "prescriptions": prescriptions(session, person)}


def person_of(session: Session, person_id: int) -> dict[str, Any]:
    """The patient as the bar on top shows; one query."""
    found = session.get(Person, person_id)
    if found is None:
        raise NotFound("patients.none", "没有这位病人，请重新查找")
    return {c: getattr(found, c) for c in ("id", "name", "sex", "birth_date", "outpatient_no", "allergies")}


def prescriptions(session: Session, person_id: int) -> list[dict[str, Any]]:
    """A person's paid prescriptions with something for this room, newest first; four queries."""
    found = session.scalars(
        select(Prescription).options(selectinload(Prescription.lines))
        .where(Prescription.person_id == person_id, Prescription.state.in_(("charged", "dispensed")),
               Prescription.issued_at >= now(session) - timedelta(days=LONG_DAYS_MOST))
        .order_by(Prescription.issued_at.desc()).limit(30)).all()
    mine = [p for p in found if any(line.usage in USAGES or line.skin_test for line in p.lines)]
    made: dict[int, int] = {key: count for key, count in session.execute(
        select(Bottle.prescription_id, func.count()).join(Infusion, Infusion.id == Bottle.infusion_id)
        .where(Bottle.prescription_id.in_([p.id for p in mine]), Infusion.state != "cancelled")
        .group_by(Bottle.prescription_id))}
    today_: dict[int, int] = {key: infusion for key, infusion in session.execute(
        select(Infusion.prescription_id, Infusion.id)
        .where(Infusion.prescription_id.in_([p.id for p in mine]), Infusion.business_date == today(session),
               Infusion.state != "cancelled"))}
    why = skin_tests.untested(session, person_id, [line.drug_id for p in mine for line in p.lines if line.skin_test])
    return [{"id": p.id, "number": p.number, "state": p.state, "issued_at": p.issued_at, "doctor_name": p.doctor_name,
             "infusion_id": today_.get(p.id), "made": made.get(p.id, 0), "turns": sum(g.turns for g in groups(p.lines)),
             "lines": [{"id": line.id, "drug_id": line.drug_id, "name": line.name, "spec": line.spec, "dose": line.dose,
                        "dose_unit": line.dose_unit, "usage": line.usage, "frequency": line.frequency, "days": line.days,
                        "group_no": line.group_no, "skin_test": line.skin_test,
                        "untested": why.get(line.drug_id, "") if line.skin_test else ""} for line in p.lines]}
            for p in mine]


def worklist(session: Session, state: str) -> dict[str, Any]:
    """Today's patients, running ones first seen longest ago; bottles and counts with them. Three queries."""
    day = Infusion.business_date == today(session)
    statement = (
        select(Infusion, Person.name, Person.sex, Person.birth_date, Person.outpatient_no, InfusionSeat.code.label("seat"))
        .options(selectinload(Infusion.bottles).selectinload(Bottle.drugs))
        .join(Person, Person.id == Infusion.person_id)
        .outerjoin(InfusionSeat, InfusionSeat.id == Infusion.seat_id).where(day)
        .order_by(Infusion.state, Infusion.queue_no, Infusion.id).limit(300))
    statement = statement.where(Infusion.state.in_(OPEN) if state == "open" else Infusion.state == state)
    items = [{**{c: getattr(row.Infusion, c) for c in _INFUSION}, "name": row.name, "sex": row.sex,
              "birth_date": row.birth_date, "outpatient_no": row.outpatient_no, "seat": row.seat,
              **_progress(row.Infusion)} for row in session.execute(statement)]
    counts: dict[str, int] = {name: count for name, count in session.execute(
        select(Infusion.state, func.count()).where(day).group_by(Infusion.state))}
    return {"items": items, "counts": {name: counts.get(name, 0) for name in (*OPEN, "finished")} | {
        "open": sum(counts.get(name, 0) for name in OPEN)}}


def _progress(infusion: Infusion) -> dict[str, Any]:
    bottles = infusion.bottles
    running = next((b for b in bottles if b.id == infusion.running_bottle_id), None)
    return {"bottles": len(bottles), "ended": sum(b.state in ("finished", "stopped") for b in bottles),
            "drugs": "；".join("＋".join(d.name for d in b.drugs) for b in bottles[:3]),
            "running_since": running.started_at if running else None}


def infusion(session: Session, infusion_id: int) -> dict[str, Any]:
    """One patient's infusion: bottles with their drugs, rounds; why a drug may not be given yet. Six queries."""
    found = session.scalar(select(Infusion).options(selectinload(Infusion.bottles).selectinload(Bottle.drugs))
                           .where(Infusion.id == infusion_id))
    if found is None:
        raise NotFound("infusion.none", "没有这条输液记录，请刷新后重试")
    why = skin_tests.untested(session, found.person_id, [d.drug_id for b in found.bottles for d in b.drugs if d.skin_test])
    rounds = session.scalars(select(InfusionRound).where(InfusionRound.infusion_id == infusion_id)
                             .order_by(InfusionRound.looked_at.desc(), InfusionRound.id.desc()).limit(100)).all()
    seat = session.get(InfusionSeat, found.seat_id) if found.seat_id else None
    bottles = [{**{c: getattr(b, c) for c in _BOTTLE}, "drugs": b.drugs, "untested": "；".join(
        f"{d.name} {why[d.drug_id]}" for d in b.drugs if d.skin_test and d.drug_id in why)} for b in found.bottles]
    labels = {b.id: b.label_no for b in found.bottles}
    return {**{c: getattr(found, c) for c in _INFUSION}, "person": person_of(session, found.person_id),
            "seat": seat.code if seat else None, "bottles": bottles,
            "rounds": [{"id": r.id, "label_no": labels.get(r.bottle_id, ""), "condition": r.condition, "speed": r.speed,
                        "note": r.note, "looked_at": r.looked_at, "looked_by_name": r.looked_by_name} for r in rounds]}


def seats(session: Session) -> list[dict[str, Any]]:
    """The map: every seat with who sits there and how far they are; three queries."""
    rows = session.execute(
        select(InfusionSeat, Infusion, Person.name)
        .options(selectinload(Infusion.bottles).selectinload(Bottle.drugs))
        .outerjoin(Infusion, Infusion.id == InfusionSeat.infusion_id).outerjoin(Person, Person.id == Infusion.person_id)
        .where(InfusionSeat.active).order_by(InfusionSeat.area, InfusionSeat.position, InfusionSeat.id)).all()
    return [{"id": seat.id, "code": seat.code, "area": seat.area, "kind": seat.kind, "infusion_id": seat.infusion_id,
             "name": name, "looked_at": at.looked_at if at else None, "state": at.state if at else None,
             **(_progress(at) if at else {"bottles": 0, "ended": 0, "drugs": "", "running_since": None})}
            for seat, at, name in rows]


def tests(session: Session, state: str) -> dict[str, Any]:
    """Skin tests of the house, whichever department ordered them (M10.3): ``waiting`` to begin, ``open`` ones, or
    ``confirmed`` today. Three queries."""
    at = now(session)
    if state == "waiting":
        items = waiting_tests(session)
    else:
        # due after it was begun, so after the day has: without that the order by due time walks years of confirmed ones
        wanted: ColumnElement[bool] = SkinTest.state.in_(("running", "read")) if state == "open" else (
            (SkinTest.state == "confirmed") & (SkinTest.business_date == today(session))
            & (SkinTest.due_at >= day_bounds(today(session))[0]))
        rows = session.execute(
            select(SkinTest, Person.name, Person.sex, Person.birth_date, Person.outpatient_no,
                   Department.name.label("department"))
            .join(Person, Person.id == SkinTest.person_id).join(Department, Department.id == SkinTest.department_id)
            .where(wanted).order_by(SkinTest.due_at, SkinTest.id).limit(300))
        items = [{**{c: getattr(r.SkinTest, c) for c in _TEST}, "name": r.name, "sex": r.sex, "birth_date": r.birth_date,
                  "outpatient_no": r.outpatient_no, "department": r.department} for r in rows]
    open_, done = (session.scalar(select(func.count()).select_from(SkinTest).where(condition)) or 0 for condition in (
        SkinTest.state.in_(("running", "read")),
        (SkinTest.state == "confirmed") & (SkinTest.business_date == today(session))))
    return {"items": items, "counts": {"open": open_, "confirmed": done}, "server_time": at}


def waiting_tests(session: Session) -> list[dict[str, Any]]:
    """Paid lines of the last days whose drug needs a test that nobody has begun or that isn't valid any more."""
    recent = now(session) - timedelta(days=SKIN_DAYS)
    test = (select(SkinTest.id).where(
        SkinTest.person_id == Prescription.person_id, SkinTest.drug_id == PrescriptionLine.drug_id,
        or_(SkinTest.state.in_(("running", "read")), (SkinTest.state == "confirmed") & (
            SkinTest.valid_until.is_(None) | (SkinTest.valid_until >= now(session)))))).exists()
    rows = session.execute(
        select(PrescriptionLine, Prescription, Person.name, Person.sex, Person.birth_date, Person.outpatient_no,
               Department.name.label("department"))
        .join(Prescription, Prescription.id == PrescriptionLine.prescription_id)
        .join(ChargeLineState, ChargeLineState.line_id == PrescriptionLine.charge_line_id)
        .join(Person, Person.id == Prescription.person_id).join(Department, Department.id == Prescription.department_id)
        .where(Prescription.issued_at >= recent, Prescription.state.in_(("charged", "dispensed")),
               PrescriptionLine.skin_test, ChargeLineState.refunded < ChargeLineState.quantity, ~test)
        .order_by(Prescription.issued_at, PrescriptionLine.id).limit(300))
    return [{"id": None, "person_id": r.Prescription.person_id, "prescription_line_id": r.PrescriptionLine.id,
             "drug_id": r.PrescriptionLine.drug_id, "drug_name": r.PrescriptionLine.name, "state": "waiting", "result": "",
             "prescription_number": r.Prescription.number, "name": r.name, "sex": r.sex, "birth_date": r.birth_date,
             "outpatient_no": r.outpatient_no, "department": r.department, "issued_at": r.Prescription.issued_at}
            for r in rows]


def state(session: Session, _actor: Actor, _args: Mapping[str, str]) -> dict[str, Any]:
    """Live topic of the room: changes when a patient, a bottle, a seat or a test does; three indexed queries."""
    count, newest = session.execute(
        select(func.count(), func.max(Infusion.changed_at)).where(Infusion.business_date == today(session))).one()
    looked = session.scalar(select(func.max(Infusion.looked_at)).where(Infusion.business_date == today(session)))
    begin, end = day_bounds(today(session))
    testing = session.execute(
        select(func.count(), func.max(SkinTest.started_at), func.max(SkinTest.read_at), func.max(SkinTest.confirmed_at))
        .where(SkinTest.business_date == today(session))).one()
    paid = session.scalar(select(func.max(Prescription.issued_at)).where(Prescription.issued_at >= begin,
                                                                        Prescription.issued_at < end))
    return {"count": count, "newest": [t.isoformat() if t else None for t in (newest, looked, *testing[1:], paid)],
            "tests": testing[0]}


def screen(session: Session, _actor: Actor, _args: Mapping[str, str]) -> dict[str, Any]:
    """The screen on the wall: masked names of who waits and who sits where; one query."""
    rows = session.execute(
        select(Infusion.queue_no, Infusion.state, Person.name, InfusionSeat.code)
        .join(Person, Person.id == Infusion.person_id).outerjoin(InfusionSeat, InfusionSeat.id == Infusion.seat_id)
        .where(Infusion.business_date == today(session), Infusion.state.in_(OPEN))
        .order_by(Infusion.queue_no).limit(200)).all()
    return {"items": [{"queue_no": r.queue_no, "state": r.state, "name": mask_name(r.name), "seat": r.code} for r in rows]}


def open_charges(session: Session, infusion_id: int) -> list[dict[str, Any]]:
    """Supplementary charges of the visit of an infusion that are not paid yet; two queries."""
    found = session.get(Infusion, infusion_id)
    if found is None:
        raise NotFound("infusion.none", "没有这条输液记录，请刷新后重试")
    rows = session.scalars(select(ChargeLine).where(
        ChargeLine.source == "supplement", ChargeLine.source_id == found.encounter_id, ChargeLine.state == "open")
        .order_by(ChargeLine.id))
    return [{c: getattr(row, c) for c in ("id", "code", "name", "unit", "price", "quantity", "amount")} for row in rows]
