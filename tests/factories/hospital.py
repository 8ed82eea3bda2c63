"""A small working hospital for tests of the journey: a clinic, a pharmacy with stock, people who work there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from his_server.actor import SYSTEM
from his_server.db import Database, now, numbering, today
from his_server.security import bootstrap, seals
from his_server.security.models import User
from modules.kernel.charging.models import Shift
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from modules.kernel.dispensing.models import StoreRule
from modules.kernel.masterdata.models import Diagnosis, DictionaryEntry, Frequency
from modules.kernel.patients import service as patients
from modules.kernel.scheduling import service as scheduling
from modules.kernel.scheduling.models import ClinicSession, RegisterLevel, ScheduleTemplate
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Store
from modules.kernel.stock.service import Document, Receipt
from tests.factories import masterdata as make
from tests.factories.security import clients_of, make_user, signed_in_client

RHYTHMS = {"qd": (1, 1), "bid": (2, 1), "tid": (3, 1), "st": (1, None)}


@dataclass
class World:
    """Ids of what there is, and clients of those who work there."""

    app: Flask
    db: Database
    ids: dict[str, int] = field(default_factory=dict)
    clients: dict[str, FlaskClient] = field(default_factory=dict)

    def post(self, who: str, path: str, body: dict[str, Any] | None = None, key: str | None = None) -> Any:
        """POST as somebody, with a fresh Idempotency-Key."""
        return self.clients[who].post(path, json=body or {}, headers={"Idempotency-Key": key or uuid4().hex})

    def get(self, who: str, path: str) -> Any:
        """GET as somebody."""
        return self.clients[who].get(path)

    def ok(self, answer: Any) -> Any:
        """The JSON of an answer that must have succeeded."""
        assert answer.status_code < 300, answer.get_data(as_text=True)
        return answer.json

    def sign_in_again(self) -> None:
        """New sessions for everybody: after the clock was moved the old ones have expired."""
        for who in list(self.clients):
            with self.db.begin(write=False) as session:
                user = session.get(User, self.ids[f"user_{who}"])
                assert user is not None
                session.expunge(user)
            self.clients[who] = signed_in_client(self.app, self.db, user=user)

    def ended_shift(self, cashier_id: int, *, of: int) -> tuple[Shift, dict[str, Any]]:
        """The one closed shift among the ``of`` that somebody has, and its statement."""
        with self.db.begin(write=False) as session:
            mine = session.scalars(select(Shift).where(Shift.cashier_id == cashier_id)).all()
            [closed] = [row for row in mine if row.state == "closed"]
            assert len(mine) == of
            session.expunge(closed)
        return closed, json.loads(closed.statement or "")

    def person(self, name: str = "张小明") -> int:
        """A new person."""
        with self.db.begin() as session:
            session.info["actor"] = SYSTEM
            return patients.create_person(session, SYSTEM, name=name, sex="1", birth_date=date(1980, 1, 1),
                                          confirmed=True).id

    def register(self, person_id: int, **payment: Any) -> dict[str, Any]:
        """Register a person in the clinic, paid in cash."""
        pay = [{"method": "cash", "covers": "20.00", **payment}]
        return self.ok(self.post("cashier", "/api/outpatient-billing/registrations", {
            "person_id": person_id, "session_id": self.ids["session"], "payments": pay, "expected_total": "20.00"}))

    def encounter(self, registration: dict[str, Any]) -> int:
        """The encounter of a registration."""
        from modules.kernel.scheduling.models import Registration

        with self.db.begin(write=False) as session:
            found = session.get(Registration, registration["registration_id"])
            assert found is not None
            return found.encounter_id

    def prescribe(self, encounter_id: int, quantity: str = "24", drug: str = "drug", **more: Any) -> dict[str, Any]:
        """A prescription of one drug."""
        line = {"drug_id": self.ids[drug], "dose": "0.5", "usage": "口服", "frequency": "tid", "days": 4,
                "quantity": quantity, **more}
        return self.ok(self.post("doctor", "/api/orders/prescriptions", {
            "encounter_id": encounter_id, "diagnosis": "急性支气管炎", "lines": [line]}))

    def two_drugs(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """A new patient's prescription of two drugs, paid, and its settlement."""
        person = self.person()
        line = {"dose": "0.5", "usage": "口服", "frequency": "tid", "days": 4}
        made = self.ok(self.post("doctor", "/api/orders/prescriptions", {
            "encounter_id": self.encounter(self.register(person)), "diagnosis": "急性支气管炎",
            "lines": [{**line, "drug_id": self.ids["drug"], "quantity": "24"},
                      {**line, "drug_id": self.ids["pill"], "quantity": "3"}]}))
        return made, self.ok(self.pay_all(person))

    def request(self, encounter_id: int, quantity: str = "1") -> dict[str, Any]:
        """A request for one exam."""
        return self.ok(self.post("doctor", "/api/orders/requests", {
            "encounter_id": encounter_id, "diagnosis": "急性支气管炎",
            "performing_department_id": self.ids["radiology"],
            "lines": [{"item_id": self.ids["exam"], "quantity": quantity}]}))

    def unpaid(self, person_id: int) -> dict[str, Any]:
        """What a person has to pay."""
        return self.ok(self.get("cashier", f"/api/outpatient-billing/unpaid?person_id={person_id}"))

    def pay_all(self, person_id: int, payments: list[dict[str, Any]] | None = None, **more: Any) -> Any:
        """Settle everything a person owes; cash unless told otherwise."""
        owed = self.unpaid(person_id)
        total = owed["total"]
        if payments is None:
            payments = [] if Decimal(total) == 0 else [{"method": "cash", "covers": total}]
        return self.post("cashier", "/api/outpatient-billing/settlements", {
            "person_id": person_id, "line_ids": [line["id"] for line in owed["lines"]], "payments": payments,
            "expected_total": total}, **more)

    def scan(self, person_id: int, amount: str, code: str = "134567890123456789") -> dict[str, Any]:
        """A scan payment."""
        return self.ok(self.post("cashier", "/api/outpatient-billing/payment-intents", {
            "person_id": person_id, "channel": "scan", "amount": amount, "auth_code": code}))

    def settlement(self, settlement_id: int) -> dict[str, Any]:
        """A settlement, whole."""
        return self.ok(self.get("cashier", f"/api/outpatient-billing/settlements/{settlement_id}"))

    def findings(self) -> list[str]:
        """What `balance` finds, once the audit rows are sealed as the worker does every few seconds."""
        seals.seal_all(self.db)
        hospital = self.app.extensions["his_hospital"]
        with self.db.begin(write=False) as session:
            return [f"{f.check} {f.where}: {f.message}" for check in hospital.checks for f in check.run(session)]


def make_world(app: Flask, db: Database, *, stock_packs: int = 100, capacity: int = 1000) -> World:
    """Make the small hospital: ids clinic, radiology, doctor, exam, drug, pill, free_drug, store, session."""
    world = World(app, db)
    ids = world.ids
    with db.begin() as session:
        session.info["actor"] = SYSTEM
        day = today(session)
        clinic = make.make_department(session, name="呼吸内科")
        emergency = make.make_department(session, name="急诊科", emergency=True)
        radiology = make.make_department(session, name="放射科", kind="医技", outpatient=False)
        pharmacy = make.make_department(session, name="门诊药房", kind="药房", outpatient=False)
        doctor = make.make_staff(session, clinic, name="单文渊", rights="抗菌非限制,抗菌限制")
        fee = make.make_item(session, "20.00", name="普通门诊诊察费", fiscal_category="02", performing_kind="登记")
        exam = make.make_item(session, "60.55", name="胸部正位片", fiscal_category="03")
        drug = make.make_drug(session, "24.00", name="阿莫西林胶囊")
        pill = make.make_drug(session, "10.00", name="氨溴索片", form="片剂", dose_amount=Decimal("30"), dose_unit="mg",
                              base_unit="片", pack_size=3, antimicrobial="")
        free = make.make_drug(session, "0.00", name="异烟肼片", form="片剂", tb=True, antimicrobial="",
                              dose_amount=Decimal("0.1"), base_unit="片", pack_size=100)
        if session.scalar(select(DictionaryEntry.id).limit(1)) is None:  # an installation has the whole code tables
            session.add_all([Frequency(code=code, name=code, times_per_day=times, interval_days=days)
                             for code, (times, days) in RHYTHMS.items()])
            session.add_all([DictionaryEntry(dictionary=d, code=code, name=name) for d, code, name in (
                ("sex", "1", "男"), ("sex", "2", "女"), ("psn_cert_type", "01", "居民身份证"),
                ("insutype", "310", "职工基本医疗保险"))])
        session.add(Diagnosis(code="J20.900", name="急性支气管炎", category="呼吸系统疾病"))
        session.add_all([RegisterLevel(code="普通", item_id=fee.id), RegisterLevel(code="急诊", item_id=fee.id)])
        stores = {kind: Store(code=kind[:2].upper(), name=name, kind=kind, department_id=pharmacy.id, active=True)
                  for kind, name in (("outpatient", "门诊药房"), ("emergency", "急诊药房"))}
        session.add_all(stores.values())
        # A lenient pharmacy: one pharmacist hands out and takes back alone. Tests of the reviews switch them on.
        session.add_all([StoreRule(store_id=s.id, review_first=False, return_review=False, changed_at=now(session),
                                   changed_by_name="") for s in stores.values()])
        for department, level, name in ((clinic, "普通", "session"), (emergency, "急诊", "emergency_session")):
            template = ScheduleTemplate(department_id=department.id, doctor_id=doctor.id, weekday=day.isoweekday(),
                                        period="上午", level=level, capacity=capacity)
            session.add(template)
            session.flush()
            ids[f"{name}_template"] = template.id
        scheduling.open_sessions(session, day)
        for clinic_session in session.query(ClinicSession).all():
            name = "session" if clinic_session.level == "普通" else "emergency_session"
            ids[name] = clinic_session.id
        for store in stores.values():
            stock.receive(session, SYSTEM, store.id, [
                Receipt(d.id, f"L{n}", day + timedelta(days=100 * n), d.pack_size * Decimal("0.5"),
                        Decimal(d.pack_size * stock_packs // 2), None, d.pack_size)
                for d in (drug, pill, free) for n in (1, 2)], Document("stock_in", 1))
        ids.update(clinic=clinic.id, radiology=radiology.id, doctor=doctor.id, exam=exam.id, drug=drug.id, pill=pill.id,
                   free_drug=free.id, store=stores["outpatient"].id, emergency_store=stores["emergency"].id)
    _hire(world, doctor.id, clinic.id)
    return world


def _hire(world: World, doctor_id: int, clinic_id: int) -> None:
    staff = (
        ("cashier", "cashier", {"name": "李收费"}), ("cashier2", "cashier", {"name": "赵收费"}),
        ("doctor", "doctor", {"name": "单文渊", "staff_id": doctor_id, "department_id": clinic_id}),
        ("pharmacist", "pharmacist", {"name": "周药师"}), ("pharmacist2", "pharmacist", {"name": "吴药师"}),
        ("technician", "medical_technician", {"name": "郑技师"}), ("finance", "finance", {"name": "冯财务"}))
    with world.db.begin() as session:
        bootstrap(session, world.app.extensions["his_hospital"])
        users = [make_user(session, role, **options) for _, role, options in staff]
        for n, (user, (who, role, _)) in enumerate(zip(users, staff, strict=True)):
            if role == "cashier":
                numbering.grant_range(session, RECEIPT_SERIES, user.id, 1 + n * 1_000_000, (n + 1) * 1_000_000)
            world.ids[f"user_{who}"] = user.id
        world.clients |= zip((who for who, *_ in staff), clients_of(world.app, session, users), strict=True)
