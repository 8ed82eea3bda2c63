"""The demo's infusion room of the present day: patients in every state, skin tests running, read and positive.

Everything by the services themselves, on a clock that ends at the present moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from demo.month import People, _acting
from his_server.actor import SYSTEM, Actor
from his_server.clock import ManualClock, day_bounds, local
from his_server.db import Database, now
from modules.infusion import service as room
from modules.infusion.models import InfusionSeat
from modules.kernel.charging.rules import Pay
from modules.kernel.encounters import service as encounters
from modules.kernel.masterdata.models import Drug
from modules.kernel.orders import service as orders
from modules.kernel.orders.models import PrescriptionLine
from modules.kernel.orders.service import skin_tests
from modules.kernel.orders.settings import Settings
from modules.outpatient_billing import queries as billing_queries
from modules.outpatient_billing import service as billing
from modules.outpatient_pharmacy import service as pharmacy
from modules.outpatient_pharmacy.service import reviewing

SEATS = (("A区", "A", "椅", 24), ("B区", "B", "椅", 12), ("C区", "C", "床", 6))
SALINE, GLUCOSE, CEFTRIAXONE, PENICILLIN = "氯化钠注射液", "葡萄糖注射液(5%)", "注射用头孢曲松钠", "注射用青霉素钠"
MINUTES = 95
"""How long before the present moment the room's day begins."""


def fill(database: Database, present: datetime, people: People, nurses: Sequence[Actor], persons: Sequence[int]) -> None:
    """Seats, and ten patients of the present day."""
    first, second, _ = nurses
    begin = max(present - timedelta(minutes=MINUTES), day_bounds(local(present).date())[0] + timedelta(seconds=1))
    step = (present - begin) / 20
    clock = ManualClock(begin)
    database.clock = clock
    with _acting(database, SYSTEM) as session:
        session.add_all([InfusionSeat(code=f"{letter}{n:02d}", area=area, kind=kind, position=100 * place + n, active=True,
                                      infusion_id=None, changed_at=now(session), changed_by_name="系统")
                         for place, (area, letter, kind, count) in enumerate(SEATS) for n in range(1, count + 1)])
    doctor = next(actor for staff, actor in people.doctors.items() if staff in people.seated)
    drugs = _drugs(database)
    tests = [(person, _paid(database, people, doctor, person, [[drugs[PENICILLIN], drugs[SALINE]]], drugs))
             for person in persons[:5]]
    running = []
    for person, prescription in tests[:3]:
        clock.move(seconds=1)
        with _acting(database, first) as session:
            line = session.scalars(select(PrescriptionLine.id).where(
                PrescriptionLine.prescription_id == prescription, PrescriptionLine.skin_test)).one()
            running.append(skin_tests.start(session, first, person_id=person, prescription_line_id=line, lot_no="P260301",
                                            policy=Settings()).id)
    clock.move(seconds=max(1, int(step.total_seconds() * 6)))
    for test, result in zip(running[:2], (skin_tests.NEGATIVE, skin_tests.POSITIVE), strict=True):
        if clock.now() - begin < timedelta(minutes=21):
            break  # the present day has only just begun: nothing can have been read yet
        with _acting(database, first) as session:
            skin_tests.read(session, first, test, result=result)
        with _acting(database, second) as session:
            skin_tests.confirm(session, second, test, result=result, policy=Settings())
    patients = [(person, _paid(database, people, doctor, person,
                               [[drugs[SALINE], drugs[CEFTRIAXONE]], [drugs[GLUCOSE]]], drugs, dispense=n < 6))
                for n, person in enumerate(persons[5:12])]
    for n, (person, prescription) in enumerate(patients[:6]):
        clock.move(seconds=max(1, int(step.total_seconds())))
        _infuse(database, nurses, person, prescription, n)
    database.clock = clock


def _drugs(database: Database) -> dict[str, Drug]:
    with database.begin(write=False) as session:
        found = {}
        for name in (SALINE, GLUCOSE, CEFTRIAXONE, PENICILLIN):
            found[name] = session.scalars(select(Drug).where(
                Drug.name == name, Drug.active, Drug.default_usage == "静滴").order_by(Drug.code)).first() or session.scalars(
                select(Drug).where(Drug.name.startswith(name), Drug.active).order_by(Drug.code)).first()
        session.expunge_all()
    missing = [name for name, drug in found.items() if drug is None]
    if missing:
        raise LookupError(f"the demo's catalogue has no {', '.join(missing)}")
    return {name: drug for name, drug in found.items() if drug is not None}


def _paid(database: Database, people: People, doctor: Actor, person: int, groups: Sequence[Sequence[Drug]],
          drugs: dict[str, Drug], *, dispense: bool = False) -> int:
    """A paid prescription of drips; the key."""
    cashier, pharmacist = people.cashiers[0], people.pharmacists[0]
    with _acting(database, doctor) as session:
        visit = encounters.open_encounter(session, doctor, person_id=person, kind="outpatient",
                                          department_id=doctor.department_id or 0, doctor_id=doctor.staff_id)
        lines: list[dict[str, Any]] = [
            {"drug_id": drug.id, "dose": drug.dose_amount or Decimal(1), "usage": "静滴", "frequency": "qd", "days": 1,
             "group_no": n, **({} if drug.splittable else {"quantity": Decimal(drug.pack_size)})}
            for n, group in enumerate(groups, 1) for drug in group]
        made = orders.prescribe(session, doctor, encounter_id=visit.id, diagnosis="肺炎", lines=lines,
                                check_reason="已询问过敏史")
    _settle(database, cashier, person)
    if dispense:
        with _acting(database, pharmacist) as session:
            _over_the_counter(session, pharmacist, made.id)
    return made.id


def _settle(database: Database, cashier: Actor, person: int) -> None:
    with _acting(database, cashier) as session:
        owed = billing_queries.unpaid(session, person)
        billing.settle(session, cashier, person_id=person, line_ids=[line["id"] for line in owed["lines"]],
                       payments=[Pay("cash", owed["total"])] if owed["total"] else [], to_jiao=True)


def _over_the_counter(session: Session, pharmacist: Actor, prescription: int) -> None:
    reviewing.review(session, pharmacist, prescription, note="已与医师核实，同意发药")
    pharmacy.dispense(session, pharmacist, prescription)


def _infuse(database: Database, nurses: Sequence[Actor], person: int, prescription: int, n: int) -> None:
    """The n-th patient gets as far as the n-th state: waiting, seated, prepared, running, second bottle, finished."""
    nurse = nurses[n % 2]

    def acting(act: Any, *args: Any, **more: Any) -> Any:
        with _acting(database, nurse) as session:
            done = act(session, nurse, *args, **more)
            session.flush()
            return done

    infusion = acting(room.receive, prescription, person_id=person)
    if n == 0:
        return
    with _acting(database, nurse) as session:
        seat = session.scalars(select(InfusionSeat.id).where(InfusionSeat.infusion_id.is_(None))
                               .order_by(InfusionSeat.position)).first()
        assert seat is not None
        room.sit(session, nurse, infusion.id, seat)
        bottles = [(b.id, b.label_no) for b in _bottles(session, infusion.id)]
    if n == 1:
        return
    for key, _label in bottles:
        acting(room.prepare, key)
    if n == 2:
        return
    scan = {"patient_code": infusion.number, "speed": 40}
    acting(room.start, bottles[0][0], label_code=bottles[0][1], **scan)
    acting(room.look, bottles[0][0], condition="正常", speed=40, note="")
    if n == 3:
        return
    acting(room.change, bottles[0][0], next_id=bottles[1][0], label_code=bottles[1][1], **scan)
    acting(room.look, bottles[1][0], condition="滴速调整", speed=60, note="病人诉冷，已调慢")
    if n == 5:
        acting(room.finish, bottles[1][0])


def _bottles(session: Session, infusion: int) -> Any:
    from modules.infusion.models import Bottle

    return session.scalars(select(Bottle).where(Bottle.infusion_id == infusion).order_by(Bottle.position)).all()
