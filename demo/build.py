"""Builds the demo hospital: catalogues, people who work there, stock, patients, a month of work. Deterministic."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from importlib.resources import files
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from demo import drugs, infusion, insured, month, office, partners, wards
from demo.people import make_people
from demo.present import today_so_far, unpaid_bills
from his_server.actor import SYSTEM, Actor
from his_server.app import bind_ports
from his_server.clock import HOSPITAL_ZONE, Clock, ManualClock
from his_server.db import Database, numbering
from his_server.registry import Hospital
from his_server.security import bootstrap, create_user, seals
from his_server.settings import Settings
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from modules.kernel.masterdata.importing import import_file, standard_tables
from modules.kernel.masterdata.models import ChargeItem, Department, Drug, Staff
from modules.kernel.patients import service as patients
from modules.kernel.patients.models import Person
from modules.kernel.scheduling.models import RegisterLevel, ScheduleTemplate
from modules.kernel.stock.models import Store
from modules.outpatient_pharmacy.service import setting_up

PASSWORD = "Haohe#Demo6"
"""The password of every account of the demo hospital; refused outside of it (settings.demo)."""


@dataclass(frozen=True)
class Scale:
    """How much there is: persons, days of past work, visits on a working day."""

    persons: int
    days: int
    visits: int


SCALES = {"small": Scale(300, 30, 14), "clinic": Scale(5_000, 30, 150), "hospital": Scale(50_000, 30, 5_000)}
CATALOGUES = ("departments", "wards", "staff", "charge_items", "drugs", "diagnoses", "item_sets")
LEVELS = {"普通": "ZC0001", "专家": "ZC0002", "急诊": "ZC0004", "上海专家": "ZC0007"}
STORES = (("4001", "门诊药房", "outpatient"), ("4003", "急诊药房", "emergency"), ("4005", "住院药房", "ward"),
          ("4007", "药库", "warehouse"))
ACCOUNTS = (  # login, role in the product, role in staff.csv, channel
    ("cashier01", "cashier", "cashier"), ("cashier02", "cashier", "cashier"), ("cashier03", "cashier", "cashier"),
    ("registrar01", "registrar", "registrar"), ("pharmacist01", "pharmacist", "pharmacist"),
    ("pharmacist02", "pharmacist", "pharmacist"), ("nurse01", "infusion_nurse", "nurse"),
    ("nurse02", "infusion_nurse", "nurse"), ("nurse03", "emergency_nurse", "nurse"),
    ("technician01", "medical_technician", "technician"), ("finance01", "finance", "finance"),
    ("insurance01", "insurance", "insurance"), ("integration01", "integration", "admin"),
    ("warehouse01", "warehouse", "pharmacist"), ("warehouse02", "warehouse", "pharmacist"),
    ("catalogue01", "catalogue", "pricing"), ("discipline01", "discipline", "admin"))
WORKPLACES = {"nurse01": "3013", "nurse02": "3013", "nurse03": "1901"}
"""Departments of those whose page asks where they work."""
MOBILE_RECEIPTS = 900_000_001
"""Where the receipts of the insurer's mobile payment begin: nobody sits behind that account."""
ADMINISTRATORS = (("sysadmin", "系统管理员"), ("secadmin", "安全管理员"), ("auditadmin", "审计管理员"))


def is_empty(database: Database) -> bool:
    """Whether nobody is registered in the database."""
    with database.begin(write=False) as session:
        return not session.scalar(select(func.count()).select_from(Person))


def build(database: Database, hospital: Hospital, settings: Settings, scale: Scale, seed: int,
          say: Callable[[str], None]) -> None:
    """Make the demo hospital in an empty database. ``say`` is told of the progress.

    The clock is moved while the past is made and is the real one again afterwards.
    :raises ValueError: the settings do not say that this is a demo.
    """
    if not settings.demo:
        raise ValueError("demo accounts are made only where settings.demo is on")
    real = database.clock
    present = real.now().astimezone(HOSPITAL_ZONE).date()
    rng = random.Random(seed)
    database.clock = ManualClock(datetime.combine(present - timedelta(days=scale.days + 1), time(7), HOSPITAL_ZONE))
    bind_ports(database, hospital, settings)  # the peers' books are written on the past's days too
    last = _last_day(real, present)
    try:
        say("目录：科室、人员、项目、药品、诊断、区划")
        _catalogues(database)
        say("账户、号源、药房库存")
        _schedules(database)
        people, nurses = _people(database, hospital, settings, last.isoweekday())
        stores = _stores(database)
        keepers = drugs.Keepers(*people.warehouse, people.pharmacists[0], people.finance)
        drugs.fill(database, keepers, stores, rng, scale.visits)
        _pharmacies(database, people.pharmacists[0])
        say(f"病人 {scale.persons} 人")
        persons = _persons(database, seed, scale.persons)
        for day, visits in month.work_days(database, people, persons, today=last, days=scale.days,
                                           visits=scale.visits, seed=seed):
            say(f"{day}：{visits} 人次")
        _other_terminal(database)
        say(f"{present}：{today_so_far(database, people, persons, until=real.now(), seed=seed)} 人次，各种状态")
        say(f"移动支付 {insured.on_the_phone(database, people.cashiers[0], unpaid_bills(database))} 笔")
        drugs.present(database, keepers, stores)
        wards.fill(database, keepers, stores, persons[20:], real.now())
        say("今日输液与皮试")
        infusion.fill(database, real.now(), people, nurses, persons)
        partners.fill(database, settings, people.finance)
        say("医保科：对账单、失败、自费转医保")
        office.fill(database, people.insurance, people.cashiers[0])
        seals.seal_all(database)
    finally:
        database.clock = real
        bind_ports(database, hospital, settings)


def _other_terminal(database: Database) -> None:
    """A payment at a till that isn't ours: what the statement of that day has and we don't (N5)."""
    if "payment:scan" in database.ports:
        database.ports["payment:scan"].pay("ZDJ20261000123", Decimal("35.00"), "134567890123456789")


def _last_day(real: Clock, present: date) -> date:
    """The last day of work; the present one once its morning is over."""
    return present if real.now().astimezone(HOSPITAL_ZONE).time() >= time(11) else present - timedelta(days=1)


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (files("demo") / "data" / f"{name}.csv").open(encoding="utf-8-sig") as file:
        yield from csv.DictReader(file)


def _catalogues(database: Database) -> None:
    with database.begin() as session:
        session.info["actor"] = SYSTEM
        standard_tables(session, SYSTEM)
        for name in CATALOGUES:
            import_file(session, SYSTEM, name, files("demo") / "data" / f"{name}.csv")


def _people(database: Database, hospital: Hospital, settings: Settings, weekday: int) -> tuple[month.People, list[Actor]]:
    """Accounts for those who work in the demo, each with the demo's password; every doctor can be an actor. And the
    nurses of the infusion room."""
    actors: dict[str, Actor] = {}
    rights = hospital.role_permissions()
    with database.begin() as session:
        session.info["actor"] = SYSTEM
        bootstrap(session, hospital)
        staff: dict[str, list[Staff]] = {}
        for member in session.scalars(select(Staff).where(Staff.active).order_by(Staff.code)):
            staff.setdefault(member.role, []).append(member)
        doctors = staff["doctor"]
        # doctors who sit in the morning of the present day come first: a guest finds patients waiting
        mornings = set(session.scalars(select(ScheduleTemplate.doctor_id).where(
            ScheduleTemplate.weekday == weekday, ScheduleTemplate.period == "上午", ScheduleTemplate.level != "上海专家")))
        seated = sorted(doctors, key=lambda d: (d.id not in mornings, d.code))
        codes = _by_code(session, Department)
        places = {login: codes[code] for login, code in WORKPLACES.items()}
        wanted = [*ACCOUNTS, *((f"doctor{n:02d}", "doctor", "doctor") for n in range(1, 4))]
        for login, role, job in wanted:
            at = next((n for n, one in enumerate(staff[job]) if places.get(login) in (None, one.department_id)), 0)
            member = seated.pop(0) if job == "doctor" else staff[job].pop(at)
            user = create_user(session, SYSTEM, login=login, name=member.name, password=PASSWORD, roles=(role,),
                               staff_id=member.id, department_id=member.department_id, must_change=False,
                               rounds=settings.password_rounds)
            actors[login] = Actor(user_id=user.id, login=login, name=member.name, staff_id=member.id,
                                  department_id=member.department_id, roles=(role,),
                                  permissions=frozenset(rights.get(role, ())))
            if role in ("cashier", "registrar"):
                first = 1 + len(actors) * 10_000_000
                numbering.grant_range(session, RECEIPT_SERIES, user.id, first, first + 9_999_999)
        channel = create_user(session, SYSTEM, login="mobile", name="医保移动支付", password=PASSWORD, roles=(),
                              must_change=False, rounds=settings.password_rounds)
        numbering.grant_range(session, RECEIPT_SERIES, channel.id, MOBILE_RECEIPTS, MOBILE_RECEIPTS + 999_999)
        for login, title in ADMINISTRATORS:
            create_user(session, SYSTEM, login=login, name=title, password=PASSWORD, roles=(login,),
                        must_change=False, rounds=settings.password_rounds)
        by_staff = {a.staff_id: a for a in actors.values() if a.staff_id}
        template = actors["doctor01"]
        visitors = {d.id: by_staff.get(d.id) or replace(template, login=d.code, name=d.name, staff_id=d.id,
                                                        department_id=d.department_id) for d in doctors}
    people = month.People(
        cashiers=[actors[f"cashier0{n}"] for n in (1, 2, 3)], technician=actors["technician01"],
        pharmacists=[actors["pharmacist01"], actors["pharmacist02"]], finance=actors["finance01"],
        insurance=actors["insurance01"], doctors=visitors,
        warehouse=[actors["warehouse01"], actors["warehouse02"]],
        seated=frozenset(a.staff_id for login, a in actors.items() if login.startswith("doctor") and a.staff_id))
    return people, [actors["nurse01"], actors["nurse02"], actors["nurse03"]]


def _schedules(database: Database) -> None:
    with database.begin() as session:
        items = _by_code(session, ChargeItem)
        departments, staff = _by_code(session, Department), _by_code(session, Staff)
        session.add_all([RegisterLevel(code=code, item_id=items[item], position=n)
                         for n, (code, item) in enumerate(LEVELS.items())])
        session.add_all([ScheduleTemplate(
            department_id=departments[row["department_code"]], doctor_id=staff.get(row["staff_code"]),
            weekday=int(row["weekday"]), period=row["session"], level=row["register_level"],
            capacity=int(row["capacity"])) for row in _rows("schedules")])


def _by_code(session: Session, model: Any) -> dict[str, int]:
    return {code: key for code, key in session.execute(select(model.code, model.id))}


def _stores(database: Database) -> dict[str, int]:
    """The stores by kind, empty."""
    with database.begin() as session:
        session.info["actor"] = SYSTEM
        departments = _by_code(session, Department)
        made = {kind: Store(code=code, name=name, kind=kind, department_id=departments[code], active=True)
                for code, name, kind in STORES}
        session.add_all(made.values())
        session.flush()
        return {kind: store.id for kind, store in made.items()}


def _pharmacies(database: Database, head: Actor) -> None:
    """Windows, rules and shelves of the two pharmacies, set by a pharmacist as on the screen."""
    with database.begin() as session:
        session.info["actor"] = head
        drugs = list(session.scalars(select(Drug.id).order_by(Drug.fiscal_category, Drug.form, Drug.code)))
        for store in session.scalars(select(Store).where(Store.kind.in_(("outpatient", "emergency"))).order_by(Store.code)):
            for number in range(1, 4 if store.kind == "outpatient" else 2):
                window = setting_up.add_window(session, head, store.id, number=number, name="")
                setting_up.switch_window(session, head, window.id, state="open", permission=setting_up.SET_UP)
            setting_up.set_rule(session, head, store.id, {
                "review_first": True, "return_review": True, "night_start": "21:00", "night_end": "07:00",
                "night_amount": Decimal("100.00"), "opens": "", "closes": ""})
            setting_up.set_locations(session, head, store.id, [
                {"drug_id": drug, "shelf": f"{'ABCDEFGH'[n // 120 % 8]}{n // 10 % 12 + 1:02d}-{n % 10 + 1}"}
                for n, drug in enumerate(drugs)])


def _persons(database: Database, seed: int, count: int) -> list[int]:
    made = []
    with database.begin() as session:
        session.info["actor"] = SYSTEM
        for person in make_people(seed, count):
            made.append(patients.create_person(
                session, SYSTEM, name=person["name"], sex=person["sex"], birth_date=person["birth_date"],
                ethnic=person["ethnic"], id_type=person["cert_type"] or None, id_no=person["id_number"] or None,
                phone=person["phone"] or None, home_region=person["region_code"] or None,
                home_detail=person["address_detail"] or None, confirmed=True, channel="window").id)
    return made
