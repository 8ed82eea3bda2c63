"""The hospital that the load works on: the demo's catalogues and people on PostgreSQL, with as many hands as a big one has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy import select, update

from demo.build import Scale, build
from demo.month import read_catalogue
from his_server.actor import SYSTEM
from his_server.app import bind_ports, create_app, open_database
from his_server.db import Base, Database, numbering, today
from his_server.registry import Hospital, load
from his_server.security.models import User
from his_server.settings import Settings
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from modules.kernel.masterdata.models import ChargeItem, Staff
from modules.kernel.patients.models import Person
from modules.kernel.scheduling import service as scheduling
from modules.kernel.scheduling.models import ClinicSession
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Store
from modules.kernel.stock.service import Document, Receipt
from tests.factories.hospital import World
from tests.factories.security import make_user, signed_in_client
from tests.serving import House

DRUGS = 40
PACKS = 1_000_000


@dataclass
class Place:
    """What the clients need to know of the hospital before the day begins."""

    house: House
    hospital: Hospital
    database: Database
    persons: list[tuple[int, str]] = field(default_factory=list)
    """Id and name: the name is what the registrar types."""
    drugs: list[tuple[int, Decimal, str, str, Decimal]] = field(default_factory=list)
    """Id, dose, usage, frequency, pack size."""
    exams: list[int] = field(default_factory=list)
    radiology: int = 0
    store: int = 0
    hands: dict[str, list[str]] = field(default_factory=dict)
    """Who works as what: names of ``house.world.clients``."""


@contextmanager
def open_hospital(folder: Path, url: str, *, persons: int, cashiers: int, pharmacists: int, doctors: int) -> Iterator[Place]:
    """Build the demo hospital in an empty database, hire, stock up, open today's sessions without limit; stopped at the end."""
    settings = Settings(data_dir=folder, database_url=url, secure_cookies=False, password_rounds=10_000, demo=True,
                        simulate_payments=True, log_level="ERROR", database_pool_size=24)
    hospital = load()
    database = open_database(settings)
    Base.metadata.create_all(database.engine)
    bind_ports(database, hospital, settings)
    build(database, hospital, settings, Scale(persons, 1, 5), 6, lambda text: print(f"  {text}", flush=True))
    house = House(folder, World(create_app(settings, database=database, hospital=hospital), database))
    place = Place(house, hospital, database)
    try:
        _prepare(place)
        for role, roles, count in (("cashier", ("cashier", "registrar"), cashiers), ("doctor", ("doctor",), doctors),
                                   ("pharmacist", ("pharmacist",), pharmacists),
                                   ("technician", ("medical_technician",), 4), ("finance", ("finance",), 1)):
            place.hands[role] = _hire(place, role, roles, count)
        yield place
    finally:
        house.stop()
        database.dispose()


def _prepare(place: Place) -> None:
    with place.database.begin() as session:
        session.info["actor"] = SYSTEM
        day = today(session)
        scheduling.open_sessions(session, day)
        session.execute(update(ClinicSession).where(ClinicSession.day == day).values(capacity=100_000))
        place.persons = [(key, name) for key, name in session.execute(select(Person.id, Person.name))]
        catalogue = read_catalogue(session)
        found = session.scalars(select(Store).where(Store.kind.in_(("outpatient", "emergency")))).all()
        place.store = next(one.id for one in found if one.kind == "outpatient")
        drugs = [d for d in catalogue.drugs[place.store] if not d.skin_test][:DRUGS]
        place.drugs = [(d.id, d.dose_amount or Decimal(1), d.default_usage or "口服", d.default_frequency or "qd",
                        Decimal(d.pack_size)) for d in drugs]
        place.exams = [item.id for item in session.scalars(select(ChargeItem).where(
            ChargeItem.id.in_([i.id for i in catalogue.exams])).limit(30))]
        place.radiology = catalogue.radiology
        for number, store in enumerate(found):
            stock.receive(session, SYSTEM, store.id, [
                Receipt(d.id, f"L{number}", day + timedelta(days=400), Decimal("0.5"), Decimal(PACKS * d.pack_size))
                for d in drugs], Document("opening", 900 + number), "opening")


def _hire(place: Place, role: str, roles: tuple[str, ...], count: int) -> list[str]:
    world = place.house.world
    with place.database.begin(write=False) as session:
        staff = session.execute(select(Staff.id, Staff.name, Staff.department_id).where(
            Staff.role == "doctor", Staff.active, Staff.id.not_in(select(User.staff_id).where(User.staff_id.is_not(None))))
            .order_by(Staff.code)).all() if role == "doctor" else []
    names = []
    for n in range(count):
        with place.database.begin() as session:
            session.info["actor"] = SYSTEM
            own = staff[n] if n < len(staff) else None
            more = {"staff_id": own.id, "department_id": own.department_id} if own else {}
            user = make_user(session, *roles, name=own.name if own else f"{role}{n}", **more)
            if role == "cashier":
                numbering.grant_range(session, RECEIPT_SERIES, user.id, (n + 200) * 10**7, (n + 201) * 10**7 - 1)
        name = f"{role}:{n}"
        world.clients[name] = signed_in_client(world.app, place.database, user=user)
        world.ids[f"user_{name}"] = user.id
        names.append(name)
    return names
