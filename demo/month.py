"""The demo's past: a month of days worked by the services themselves, so that every report says something true.

Nothing here writes a row of its own: persons are registered, seen, charged, served, refunded and shifts closed by the
same functions that the screens call, on a clock that is moved through the days.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from demo import insured
from his_server.actor import Actor
from his_server.clock import HOSPITAL_ZONE, ManualClock
from his_server.db import Database
from his_server.errors import Conflict, Invalid
from modules.kernel.charging import service as ledger
from modules.kernel.charging.models import ChargeLine
from modules.kernel.charging.rules import Pay
from modules.kernel.dispensing.models import DrugReturn
from modules.kernel.encounters import service as encounters
from modules.kernel.masterdata.models import ChargeItem, Department, Diagnosis, Drug, DrugPrice
from modules.kernel.orders import service as orders
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.orders.service.prescribing import pharmacy_for
from modules.kernel.scheduling import service as scheduling
from modules.kernel.scheduling.models import ClinicSession
from modules.kernel.stock.models import StockBalance, Store
from modules.outpatient_billing import queries as billing_queries
from modules.outpatient_billing import service as billing
from modules.outpatient_pharmacy import service as pharmacy
from modules.outpatient_pharmacy.service import reviewing

HOURS = (time(8, 5), time(17, 20))
COMMON = ("急性上呼吸道感染", "急性支气管炎", "慢性支气管炎", "支气管哮喘", "急性咽炎", "急性扁桃体炎", "慢性胃炎", "荨麻疹",
          "便秘", "高脂血症", "失眠症", "偏头痛")


@dataclass(frozen=True)
class People:
    """Who works in the demo: actors by what they do."""

    cashiers: Sequence[Actor]
    pharmacists: Sequence[Actor]
    technician: Actor
    finance: Actor
    insurance: Actor
    warehouse: Sequence[Actor]
    doctors: dict[int, Actor]
    """By staff id."""
    seated: frozenset[int]
    """Doctors with an account: the present day's waiting patients are theirs, so that a guest has something to do."""


@dataclass
class Catalogue:
    """What the demo's doctors order from: ids only."""

    diagnoses: list[str]
    drugs: dict[int, list[Drug]]
    """Drugs that the pharmacy of a kind of store has, by store id."""
    exams: list[ChargeItem]
    labs: list[ChargeItem]
    radiology: int
    laboratory: int
    calming: list[Drug]
    """A sleeping pill or two (精二), so that the controlled-drug book has entries."""


def read_catalogue(session: Session) -> Catalogue:
    """What can be ordered; a handful of queries, once."""
    names = list(session.scalars(select(Diagnosis.name).order_by(Diagnosis.code)))
    wanted = [name for name in names if name in COMMON] or names
    drugs = {}
    for store in session.scalars(select(Store)):
        ids = select(StockBalance.drug_id).where(StockBalance.store_id == store.id)
        drugs[store.id] = list(session.scalars(
            select(Drug).join(DrugPrice, (DrugPrice.drug_id == Drug.id) & DrugPrice.valid_to.is_(None))
            .where(Drug.id.in_(ids), Drug.control == "普通", Drug.fiscal_category.in_(("09", "11")),
                   Drug.antimicrobial.in_(("", "非限制")), Drug.default_usage == "口服", Drug.skin_test.is_(False),
                   Drug.default_frequency.in_(("qd", "bid", "tid", "qn")), DrugPrice.pack_price.between(0, 90))
            .order_by(Drug.code)))

    calming = list(session.scalars(
        select(Drug).join(DrugPrice, (DrugPrice.drug_id == Drug.id) & DrugPrice.valid_to.is_(None))
        .where(Drug.control == "精二", Drug.default_usage == "口服", DrugPrice.pack_price.between(0, 90))
        .order_by(Drug.code).limit(1)))

    def items(category: str) -> list[ChargeItem]:
        return list(session.scalars(select(ChargeItem).where(ChargeItem.fiscal_category == category, ChargeItem.active)
                                    .order_by(ChargeItem.code).limit(60)))

    def department(word: str) -> int:
        return session.scalars(select(Department.id).where(Department.kind == "医技", Department.name.contains(word))
                               .order_by(Department.code)).first() or session.scalars(
            select(Department.id).where(Department.kind == "医技").order_by(Department.code)).one()

    return Catalogue(wanted, drugs, items("03"), items("04"), department("影像"), department("检验"),
                     calming)


def work_days(database: Database, people: People, persons: Sequence[int], *, today: date, days: int, visits: int,
              seed: int) -> Iterator[tuple[date, int]]:
    """Work the ``days`` before ``today`` and the morning of today; yields (day, visits) as each is done.

    The database's clock must be a :class:`ManualClock`. A working day has about ``visits`` visits, weekends a third.
    """
    clock = database.clock
    assert isinstance(clock, ManualClock)
    rng = random.Random(seed)
    with database.begin(write=False) as session:
        catalogue = read_catalogue(session)
        session.expunge_all()
    insured.leave_deposits(database, people.finance, persons)
    for back in range(days, -1, -1):
        day = today - timedelta(days=back)
        count = visits if day.isoweekday() <= 5 else max(1, visits // 3)
        clock.set(datetime.combine(day, time(6, 30), HOSPITAL_ZONE))
        with database.begin() as session:
            scheduling.open_coming_days(session)
        made = _work_day(database, people, catalogue, persons, day, count, rng, closing=back > 0)
        if back == 1:
            night_returns(database, people, day)
        yield day, made


def _work_day(database: Database, people: People, catalogue: Catalogue, persons: Sequence[int], day: date, count: int,
              rng: random.Random, *, closing: bool) -> int:
    clock = database.clock
    assert isinstance(clock, ManualClock)
    moments = sorted(rng.randrange(HOURS[0].hour * 60, HOURS[1].hour * 60) for _ in range(count))
    if not closing:  # the present day is still going on
        moments = [m for m in moments if m < 11 * 60]
    busy = [people.cashiers[n % len(people.cashiers)] for n in range(min(len(people.cashiers), 1 + count // 40))]
    made = 0
    for number, minute in enumerate(moments):
        clock.set(datetime.combine(day, time(minute // 60, minute % 60, rng.randrange(60)), HOSPITAL_ZONE))
        made += _visit(database, people, catalogue, busy[number % len(busy)], rng.choice(persons), rng, clock,
                       finish=closing or number < len(moments) - 8)
    if closing:
        clock.set(datetime.combine(day, time(17, 40), HOSPITAL_ZONE))
        for cashier in busy:
            with _acting(database, cashier) as session:
                shift = ledger.open_shift_of(session, cashier.user_id)
                if shift is None:
                    continue
                closed = ledger.close_shift(session, cashier, counted_cash=None)
                ledger.hand_over(session, people.finance, closed.id)
    return made


def _visit(database: Database, people: People, catalogue: Catalogue, cashier: Actor, person: int, rng: random.Random,
           clock: ManualClock, *, finish: bool) -> int:
    """One visit from registration to the pharmacy's window; the last ones of the present day stay unfinished."""
    with _acting(database, cashier) as session:
        clinic = _session_for(session, rng, clock, frozenset() if finish else people.seated)
        if clinic is None:
            return 0
        try:
            registration, line_ids = scheduling.register(session, cashier, person_id=person, session_id=clinic.id)
        except Conflict:  # the same person twice in one session: a demo has few people
            session.rollback()
            return 0
        fee = billing_queries.unpaid(session, person)["total"]
        billing.settle(session, cashier, person_id=person, line_ids=line_ids, payments=_cash(fee), to_jiao=True)
    doctor = people.doctors.get(clinic.doctor_id or 0) or next(iter(people.doctors.values()))
    if not finish and rng.random() < 0.4:
        return 1
    clock.move(minutes=rng.randrange(4, 20))
    with _acting(database, doctor) as session:
        prescription = _order(session, catalogue, doctor, registration.encounter_id, rng)
    if not finish and rng.random() < 0.4:
        return 1
    clock.move(minutes=rng.randrange(2, 10))
    settled = _charge(database, cashier, person, rng, insure=prescription is None and person % 2 == 0)
    if finish and settled is not None:
        _perform(database, people.technician, settled, rng)
    if prescription is None or settled is None or (not finish and rng.random() < 0.6):
        return 1
    clock.move(minutes=rng.randrange(2, 12))
    first, second = rng.sample(list(people.pharmacists), 2)
    with _acting(database, first) as session:
        reviewing.review(session, first, prescription.id, note="已与医师核实，同意发药")
    if not finish and rng.random() < 0.5:
        return 1
    clock.move(minutes=rng.randrange(1, 5))
    with _acting(database, first) as session:
        pharmacy.pick(session, first, prescription.id)
    with _acting(database, second) as session:
        pharmacy.dispense(session, second, prescription.id)
    if rng.random() < 0.04:
        _take_back_and_refund(database, (first, second), cashier, prescription, settled)
    return 1


@contextmanager
def _acting(database: Database, actor: Actor) -> Iterator[Session]:
    with database.begin() as session:
        session.info["actor"] = actor
        yield session


def _session_for(session: Session, rng: random.Random, clock: ManualClock, preferred: frozenset[int]
                 ) -> ClinicSession | None:
    period = "上午" if clock.now().astimezone(HOSPITAL_ZONE).hour < 12 else "下午"
    found = list(session.scalars(
        select(ClinicSession).where(ClinicSession.day == clock.today(), ClinicSession.period == period,
                                    ClinicSession.taken < ClinicSession.capacity, ClinicSession.level != "上海专家")
        .order_by(ClinicSession.id)))
    chosen = [clinic for clinic in found if clinic.doctor_id in preferred] or found
    return rng.choice(chosen) if chosen else None


def _order(session: Session, catalogue: Catalogue, doctor: Actor, encounter_id: int, rng: random.Random) -> Any:
    diagnosis = rng.choice(catalogue.diagnoses)
    if rng.random() < 0.45:
        items, department = ((catalogue.exams, catalogue.radiology) if rng.random() < 0.5
                             else (catalogue.labs, catalogue.laboratory))
        orders.request_items(session, doctor, encounter_id=encounter_id, diagnosis=diagnosis,
                             performing_department_id=department,
                             lines=[{"item_id": item.id, "quantity": Decimal(1)}
                                    for item in rng.sample(items, rng.randrange(1, 4))])
    if rng.random() < 0.15:
        return None
    encounter = encounters.get(session, encounter_id)
    stock = catalogue.drugs[pharmacy_for(session, encounter).id]
    emergency = encounter.kind == "emergency"
    if rng.random() < 0.04 and catalogue.calming:
        stock = catalogue.calming
    lines = [{"drug_id": drug.id, "dose": drug.dose_amount or Decimal(1), "usage": drug.default_usage or "口服",
              "frequency": drug.default_frequency or "qd", "days": 3 if emergency else rng.choice((3, 5, 7)),
              "quantity": Decimal(drug.pack_size * rng.randrange(1, 3))}
             for drug in rng.sample(stock, min(len(stock), rng.randrange(1, 4)))]
    try:
        return orders.prescribe(session, doctor, encounter_id=encounter_id, diagnosis=diagnosis, lines=lines)
    except (Invalid, Conflict):  # the doctor lacks a right or the pharmacy a drug: then there is no prescription
        return None


def _charge(database: Database, cashier: Actor, person: int, rng: random.Random, *, insure: bool) -> Any:
    """Settle what the person owes: with the insurer, in cash, or two times in five by scan through the channel."""
    with database.begin(write=False) as session:
        owed = billing_queries.unpaid(session, person)
    if not owed["lines"]:
        return None
    if insure and (settled := insured.settle(database, cashier, person, owed)) is not None:
        return settled
    payments = _cash(owed["total"])
    if payments and rng.random() < 0.4 and "payment:scan" in database.ports:
        code = f"13{rng.randrange(10**12, 10**13)}999"
        intent = ledger.take_payment(database, cashier, person_id=person, channel="scan", amount=owed["total"],
                                     auth_code=code)
        payments = [Pay("scan", owed["total"], intent.id)]
    with _acting(database, cashier) as session:
        return billing.settle(session, cashier, person_id=person, line_ids=[line["id"] for line in owed["lines"]],
                              payments=payments, to_jiao=True)


def _perform(database: Database, technician: Actor, settled: Any, rng: random.Random) -> None:
    """What was paid is performed, but for one request in thirty that nobody came for."""
    for request in sorted({line.source_id for line in settled.lines if line.source == "request"}):
        if rng.random() < 0.97:
            with _acting(database, technician) as session:
                orders.perform_request(session, technician, request)


def _cash(total: Decimal) -> list[Pay]:
    return [Pay("cash", total)] if total else []


def _take_back_and_refund(database: Database, pharmacists: Sequence[Actor], cashier: Actor, prescription: Any,
                          settled: Any) -> None:
    """A box comes back, a second pharmacist agrees, and its money goes the way it came."""
    asks, reviews = pharmacists[0], pharmacists[1]
    line = prescription.lines[0]
    charged = next(entry for entry in settled.lines if entry.id == line.charge_line_id)
    with _acting(database, asks) as session:
        made = pharmacy.request_return(session, asks, prescription.id, lines={line.id: line.quantity}, reason="医嘱更改")
    if made.state == "requested":
        with _acting(database, reviews) as session:
            pharmacy.decide_return(session, reviews, made.id, approve=True)
    with _acting(database, asks) as session:
        pharmacy.accept(session, asks, made.id)
    with _acting(database, cashier) as session:
        done = billing.refund(session, cashier, settled.id, lines={charged.id: charged.quantity}, reason="退药退费",
                              approval_from=Decimal(10_000), to_jiao=True)
    for intent in done.intent_ids:
        ledger.send_refund(database, intent)


def night_returns(database: Database, people: People, day: date) -> int:
    """The evening before the present day: two boxes come back at night, pass by themselves, and wait for the morning's
    review; one more waits for its reviewer. Returns how many.
    """
    clock = database.clock
    assert isinstance(clock, ManualClock)
    with database.begin(write=False) as session:
        given = list(session.execute(
            select(Prescription.id, PrescriptionLine.id.label("line_id"), ChargeLine.factor)
            .join(PrescriptionLine, PrescriptionLine.prescription_id == Prescription.id)
            .join(ChargeLine, ChargeLine.id == PrescriptionLine.charge_line_id)
            .join(Store, Store.id == Prescription.store_id)
            .where(Prescription.state == "dispensed", Store.kind == "outpatient", PrescriptionLine.position == 0,
                   ChargeLine.price.between(1, 40), ~Prescription.id.in_(select(DrugReturn.prescription_id)))
            .order_by(Prescription.dispensed_at.desc(), Prescription.id).limit(3)))
    asker = people.pharmacists[0]
    for hour, row in zip((22, 23, 20), given, strict=False):
        clock.set(datetime.combine(day, time(hour, 12), HOSPITAL_ZONE))
        with _acting(database, asker) as session:
            pharmacy.take_back(session, asker, row.id, lines={row.line_id: row.factor}, reason="皮疹，停药")
    return len(given)
