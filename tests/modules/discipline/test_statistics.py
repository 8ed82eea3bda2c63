"""防统方 (R7): nobody but the discipline office joins doctor, drug and quantity; there with consent and on record."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from marshmallow import Schema, fields

from his_server.actor import Actor
from his_server.clock import ManualClock
from his_server.db import today
from his_server.module import ReportSource
from his_server.registry import Hospital
from his_server.security.audit import AuditRow
from tests.factories.hospital import World
from tests.factories.security import make_user, signed_in_client

DOCTOR = {"doctor", "doctor_id", "doctor_name", "doctor_code", "ordering_staff_id", "staff_id", "prescriber"}
DRUG = {"drug", "drug_id", "drug_name", "drug_code", "generic_name"}
AMOUNT = {"quantity", "packs", "dose", "count", "amount", "sum"}
AUTHORISED = {"doctor-drug-statistics"}
ONE_PRESCRIPTION = ("/api/orders/", "/api/outpatient-pharmacy/", "/api/infusion/")
"""Areas whose lists show the papers that somebody treats a patient by, one by one; their rows carry the patient."""
PATIENT = {"person_id", "patient", "name", "outpatient_no", "encounter_id", "visit_no"}


def _columns(source: ReportSource, world: World, actor: Actor) -> set[str]:
    """The columns of a report, by building it for today."""
    with world.db.begin(write=False) as session:
        day = today(session)
        args: dict[str, Any] = {}
        for name, field in source.args().fields.items():
            if isinstance(field, fields.Date):
                args[field.data_key or name] = str(day)
            elif (field.required and isinstance(field, fields.Integer)) or field.required:
                args[field.data_key or name] = "1"
        report, _ = source.build(session, actor, source.args().load(args))
        return {column.key for column in report.columns}


def _joins(names: set[str]) -> bool:
    return bool(names & DOCTOR and names & DRUG and names & AMOUNT)


@pytest.mark.requirement("R7", "PR-09")
def test_no_report_joins_doctor_drug_and_quantity(world: World, hospital: Hospital) -> None:
    actor = Actor(user_id=1, login="walker", name="巡查", permissions=frozenset(hospital.permissions))
    seen = {name: _columns(source, world, actor) for name, source in hospital.reports.items() if name not in AUTHORISED}
    assert len(seen) > 10
    assert [name for name, columns in seen.items() if _joins(columns)] == []
    assert _joins({"doctor", "drug", "quantity"}) and not _joins({"doctor", "amount"})


def _names(schema: Any, depth: int = 0) -> set[str]:
    if depth > 5:
        return set()
    made = schema() if isinstance(schema, type) else schema
    names = set()
    for name, field in made.fields.items():
        names.add(field.data_key or name)
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested):
            names |= _names(inner.schema, depth + 1)
    return names


@pytest.mark.requirement("R7", "PR-09")
def test_no_list_route_joins_them_but_where_a_patient_is_treated(hospital: Hospital) -> None:
    """A list may show doctor and drugs only as somebody's prescription, in the areas where prescriptions are worked on."""
    wrong = []
    for route in hospital.routes:
        if route.method != "GET" or not (isinstance(route.out, type) and issubclass(route.out, Schema)):
            continue
        names = _names(route.out)
        papers = route.rule.startswith(ONE_PRESCRIPTION) and names & PATIENT
        if "items" in names and _joins(names) and not papers and not route.rule.startswith("/api/discipline/"):
            wrong.append(route.rule)
    assert wrong == []


def _officers(world: World) -> None:
    for who, name in (("officer", "严纪检"), ("officer2", "方纪检")):
        with world.db.begin() as session:
            user = make_user(session, "discipline", name=name)
            world.ids[f"user_{who}"] = user.id
        world.clients[who] = signed_in_client(world.app, world.db, user=user)


@pytest.mark.requirement("R7", "PR-09")
def test_the_statistics_need_a_role_a_reason_a_second_person_and_are_on_record(world: World, clock: ManualClock) -> None:
    _officers(world)
    person = world.person()
    visit = world.encounter(world.register(person))
    world.prescribe(visit, "48")
    settled = world.ok(world.pay_all(person))
    line = world.settlement(settled["id"])["lines"][0]["id"]
    world.ok(world.post("cashier", f"/api/outpatient-billing/settlements/{settled['id']}/refunds", {
        "lines": [{"line_id": line, "quantity": "1"}], "reason": "病人要求"}))
    day = str(clock.today())
    asked = {"first_day": day, "last_day": day, "reason": "信访件核查"}
    for who in ("doctor", "pharmacist", "finance", "cashier"):
        assert world.post(who, "/api/discipline/grants", asked).status_code == 403
        assert world.get(who, "/api/reports/doctor-drug-statistics?grant=1").status_code == 403
    grant = world.ok(world.post("officer", "/api/discipline/grants", asked))["id"]
    path = f"/api/reports/doctor-drug-statistics?grant={grant}"
    assert world.get("officer", path).json["code"] == "discipline.not_approved"
    decide = f"/api/discipline/grants/{grant}/decide"
    assert world.post("officer", decide, {"approve": True}).json["code"] == "discipline.own"
    world.ok(world.post("officer2", decide, {"approve": True}))
    assert world.post("officer2", decide, {"approve": False}).json["code"] == "discipline.decided"
    assert world.get("officer2", path).json["code"] == "discipline.not_yours"
    row, = world.ok(world.get("officer", path))["rows"]
    assert (row["doctor"], row["drug"], row["quantity"], row["amount"]) == ("单文渊", "阿莫西林胶囊", "24", "24.00")
    assert world.get("officer", path + "&format=xlsx").status_code == 200
    with world.db.begin(write=False) as session:
        runs = session.query(AuditRow).filter_by(event="drug_statistics.run", object_id=str(grant)).all()
        assert len(runs) == 2 and all("方纪检" in run.detail for run in runs)
        refused = session.query(AuditRow).filter_by(event="permission.denied").count()
        assert refused >= 8
    clock.move(days=3, minutes=1)
    world.sign_in_again()
    assert world.get("officer", path).json["code"] == "discipline.expired"


def test_the_consent_limits_what_is_shown(world: World, clock: ManualClock) -> None:
    _officers(world)
    person = world.person()
    world.prescribe(world.encounter(world.register(person)), "24")
    world.ok(world.pay_all(person))
    day = clock.today()

    def rows(**more: Any) -> list[dict[str, Any]]:
        body = {"first_day": str(day), "last_day": str(day), "reason": "专项检查", **more}
        grant = world.ok(world.post("officer", "/api/discipline/grants", body))["id"]
        world.ok(world.post("officer2", f"/api/discipline/grants/{grant}/decide", {"approve": True}))
        found: list[dict[str, Any]] = world.ok(world.get("officer", f"/api/reports/doctor-drug-statistics?grant={grant}"))["rows"]
        return found

    assert len(rows()) == 1
    assert rows(drug_id=world.ids["pill"]) == []
    assert len(rows(drug_id=world.ids["drug"], doctor_id=world.ids["doctor"])) == 1
    before = str(day - timedelta(days=1))
    assert rows(first_day=before, last_day=before) == []
    wrong = world.post("officer", "/api/discipline/grants", {"first_day": str(day), "last_day": str(date(2020, 1, 1)),
                                                             "reason": "日期有误"})
    assert wrong.status_code == 422 and wrong.json["errors"][0]["field"] == "last_day"
