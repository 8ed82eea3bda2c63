"""The demo's present day: patients in every state, so that each page has something true to do when a guest opens it.

Like the past it is made by the services alone, within the last hour and a half (after midnight: since then).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from demo import month
from demo.month import Catalogue, People, read_catalogue
from his_server.actor import Actor
from his_server.clock import HOSPITAL_ZONE, ManualClock
from his_server.db import Database
from modules.kernel.charging.models import ChargeLine
from modules.kernel.charging.service.receipts import void_next_receipts
from modules.kernel.encounters import service as encounters
from modules.kernel.patients.models import Person
from modules.kernel.scheduling import service as scheduling
from modules.kernel.scheduling.models import ClinicSession, ScheduleTemplate
from modules.outpatient_billing import queries as billing_queries
from modules.outpatient_billing import service as billing
from modules.outpatient_pharmacy import service as pharmacy
from modules.outpatient_pharmacy.service import reviewing

STATES = ("waiting", "owing", "waiting", "paid", "owing", "dispensed", "finished", "owing", "reviewed", "returned",
          "waiting", "approval", "paid", "cancelled", "owing", "finished", "dispensed", "refunded", "booked", "paid")
"""How far each patient is: waiting for the doctor, owing a bill, paid (the pharmacy and the technicians have work),
reviewed, dispensed, finished; drugs returned and the money due, a refund that waits for approval or is done, a
registration cancelled, an appointment for a later day."""


class _Day:
    """Who works, with what, and the clock that they share."""

    def __init__(self, database: Database, people: People, catalogue: Catalogue, rng: random.Random) -> None:
        self.database, self.people, self.catalogue, self.rng = database, people, catalogue, rng
        self.cashier = people.cashiers[0]

    def doctor(self, clinic: ClinicSession) -> Actor:
        """The doctor of a session."""
        return self.people.doctors.get(clinic.doctor_id or 0) or next(iter(self.people.doctors.values()))


def today_so_far(database: Database, people: People, persons: Sequence[int], *, until: datetime, seed: int) -> int:
    """Make the present day up to a moment; returns how many patients there are. The clock must be a ManualClock."""
    clock = database.clock
    assert isinstance(clock, ManualClock)
    rng = random.Random(seed + 1)
    day = until.astimezone(HOSPITAL_ZONE).date()
    start = max(until - timedelta(minutes=90), datetime.combine(day, time(0, 1), HOSPITAL_ZONE))
    clock.set(start)
    with database.begin() as session:
        catalogue = read_catalogue(session)
        session.expunge_all()
        scheduling.open_coming_days(session)
        chosen = _rare_first(session, persons, rng)
    work = _Day(database, people, catalogue, rng)
    with database.begin() as session:
        sessions = list(_sessions(session, day, people.seated))
        session.expunge_all()
    pace = (until - start) / (len(STATES) + 1)
    for number, state in enumerate(STATES):
        clock.set(start + pace * number)
        _patient(work, chosen[number % len(chosen)], sessions[number % len(sessions)], state, day)
    _appointments(work, chosen[len(STATES):], day)
    with month._acting(database, work.cashier) as session:
        void_next_receipts(session, work.cashier, "打印机卡纸")
    return len(STATES)


def unpaid_bills(database: Database, most: int = 12) -> list[tuple[int, list[int]]]:
    """The newest visits whose exams nobody paid yet: person and charge lines."""
    with database.begin(write=False) as session:
        rows = session.execute(select(ChargeLine.person_id, ChargeLine.encounter_id, ChargeLine.id).where(
            ChargeLine.state == "open", ChargeLine.source == "request").order_by(ChargeLine.id.desc()).limit(200)).all()
    visits: dict[tuple[int, int], list[int]] = {}
    for row in rows:
        visits.setdefault((row.person_id, row.encounter_id), []).append(row.id)
    return [(person, lines) for (person, _), lines in list(visits.items())[:most]]


APPOINTMENTS = 16


def _appointments(work: _Day, persons: Sequence[int], day: Any) -> None:
    """Appointments for the coming days, in one department and another."""
    with month._acting(work.database, work.cashier) as session:
        coming = list(session.scalars(select(ClinicSession).where(
            ClinicSession.day > day, ClinicSession.state == "open", ClinicSession.taken < ClinicSession.capacity,
            ClinicSession.level.in_(("普通", "专家"))).order_by(ClinicSession.day, ClinicSession.id)))
        for person, clinic in zip(persons, work.rng.sample(coming, min(APPOINTMENTS, len(coming))), strict=False):
            billing.book(session, work.cashier, person_id=person, session_id=clinic.id)


def _rare_first(session: Session, persons: Sequence[int], rng: random.Random) -> list[int]:
    """Persons in a random order, some with rare characters in their names among the first."""
    rare = [key for key, name in session.execute(select(Person.id, Person.name).order_by(Person.id))
            if any(ord(char) > 0xFFFF or 0x3400 <= ord(char) < 0x4E00 for char in name)]
    others = [key for key in persons if key not in set(rare)]
    rng.shuffle(others)
    mixed: list[int] = []
    for place, key in enumerate(others[:200]):
        if place % 3 == 1 and rare:
            mixed.append(rare.pop(0))
        mixed.append(key)
    return mixed


def _sessions(session: Session, day: Any, seated: frozenset[int]) -> Iterator[ClinicSession]:
    """Today's sessions of the doctors who have an account; a doctor without any today gets one for the day."""
    for doctor in sorted(seated):
        found = session.scalars(select(ClinicSession).where(
            ClinicSession.day == day, ClinicSession.doctor_id == doctor, ClinicSession.level.in_(("普通", "专家")))
            .order_by(ClinicSession.id).limit(1)).first()
        if found is None:
            line = session.scalars(select(ScheduleTemplate).where(
                ScheduleTemplate.doctor_id == doctor, ScheduleTemplate.level.in_(("普通", "专家"))).limit(1)).one()
            found = ClinicSession(day=day, template_id=None, department_id=line.department_id, doctor_id=doctor,
                                  period=line.period, level=line.level, capacity=line.capacity)
            session.add(found)
            session.flush()
        yield found


def _patient(work: _Day, person: int, clinic: ClinicSession, state: str, day: Any) -> None:
    """Take one patient as far as ``state`` says."""
    if state == "booked":
        return _book(work, person, clinic, day)
    with month._acting(work.database, work.cashier) as session:
        registration, line_ids = scheduling.register(session, work.cashier, person_id=person, session_id=clinic.id)
        fee = billing_queries.unpaid(session, person)["total"]
        billing.settle(session, work.cashier, person_id=person, line_ids=line_ids, payments=month._cash(fee), to_jiao=True)
        visit, key = registration.encounter_id, registration.id
    if state == "cancelled":
        clock = work.database.clock
        assert isinstance(clock, ManualClock)
        clock.move(seconds=60)  # events of one registration are told apart by their time
        with month._acting(work.database, work.cashier) as session:
            billing.cancel_registration(session, work.cashier, key, reason="病人要求", to_jiao=True)
    if state in ("waiting", "cancelled"):
        return None
    prescription = _orders(work, clinic, visit)
    if state == "owing":
        return None
    settled = month._charge(work.database, work.cashier, person, work.rng, insure=False)
    if prescription is None or settled is None:
        return None
    if state == "approval":
        with month._acting(work.database, work.cashier) as session:
            billing.request_approval(session, work.cashier, settled.id, amount=settled.total, reason="病人转院，未取药")
    if state in ("paid", "approval"):
        return None
    return _pharmacy(work, clinic, visit, prescription, settled, state)


def _orders(work: _Day, clinic: ClinicSession, visit: int) -> Any:
    """What the doctor orders; asked again where chance gave no prescription."""
    doctor = work.doctor(clinic)
    for _ in range(6):
        with month._acting(work.database, doctor) as session:
            made = month._order(session, work.catalogue, doctor, visit, work.rng)
        if made is not None:
            return made
    return None


def _pharmacy(work: _Day, clinic: ClinicSession, visit: int, prescription: Any, settled: Any, state: str) -> None:
    """Reviewed, dispensed, perhaps brought back; the visit ended."""
    first, second = work.people.pharmacists[:2]
    with month._acting(work.database, first) as session:
        reviewing.review(session, first, prescription.id, note="已与医师核实，同意发药")
    if state == "reviewed":
        return
    with month._acting(work.database, first) as session:
        pharmacy.pick(session, first, prescription.id)
    with month._acting(work.database, second) as session:
        pharmacy.dispense(session, second, prescription.id)
    if state == "returned":  # the money is due at the cashier
        line = prescription.lines[0]
        with month._acting(work.database, first) as session:
            pharmacy.take_back(session, first, prescription.id, lines={line.id: line.quantity}, reason="药物过敏")
    if state == "refunded":
        month._take_back_and_refund(work.database, (first, second), work.cashier, prescription, settled)
    if state == "finished":
        month._perform(work.database, work.people.technician, settled, work.rng)
        doctor = work.doctor(clinic)
        with month._acting(work.database, doctor) as session:
            encounters.finish(session, doctor, visit)


def _book(work: _Day, person: int, clinic: ClinicSession, day: Any) -> None:
    """An appointment with the same department on the next day that has a free session."""
    with month._acting(work.database, work.cashier) as session:
        later = session.scalars(select(ClinicSession).where(
            ClinicSession.day > day, ClinicSession.department_id == clinic.department_id, ClinicSession.state == "open",
            ClinicSession.taken < ClinicSession.capacity, ClinicSession.level.in_(("普通", "专家")))
            .order_by(ClinicSession.day, ClinicSession.id).limit(1)).first()
        if later is not None:
            billing.book(session, work.cashier, person_id=person, session_id=later.id)
