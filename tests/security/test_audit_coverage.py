"""One action, at least one audit row, for each kind of action, and for each that is refused (COMPLIANCE DB-15)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from his_server.db import Database
from his_server.security.audit import AuditRow
from tests.factories.hospital import World
from tests.factories.security import signed_in_client

pytestmark = pytest.mark.requirement("DB-15")
BILLING, PHARMACY = "/api/outpatient-billing", "/api/outpatient-pharmacy"


def rows(db: Database, event: str, success: bool = True) -> int:
    with db.begin(write=False) as session:
        return session.scalar(select(func.count()).select_from(AuditRow).where(
            AuditRow.event == event, AuditRow.success.is_(success))) or 0


class Watch:
    """``watch(event, answer_of)``: does it and compares the counts."""

    def __init__(self, db: Database, world: World) -> None:
        self.db, self.world = db, world

    def __call__(self, event: str, act: Any) -> Any:
        before = rows(self.db, event)
        answer = act()
        assert answer.status_code < 300, (event, answer.get_data(as_text=True)[:300])
        assert rows(self.db, event) >= before + 1, event
        return answer.json if answer.is_json else None

    def refused(self, event: str, act: Any) -> None:
        before = rows(self.db, event, False)
        assert act().status_code in (403, 404, 409), event
        assert rows(self.db, event, False) == before + 1, event


def test_each_kind_of_work_leaves_a_row(world: World, db: Database) -> None:
    watch, post, get = Watch(db, world), world.post, world.get
    world.clients["registrar"] = signed_in_client(world.app, db, "registrar")
    person = watch("patient.create", lambda: post("registrar", "/api/patients", {"name": "张三", "phone": "13800138000"}))["id"]
    watch("patient.view", lambda: get("doctor", f"/api/patients/{person}"))
    watch("patient.view", lambda: get("doctor", f"/api/patients/{person}/timeline"))
    watch("patient.search", lambda: get("doctor", "/api/patients?q=13800138000"))
    watch("patient.edit", lambda: world.clients["registrar"].put(f"/api/patients/{person}", json={
        "revision": 1, "home_detail": "人民路1号"}))
    watch("patient.unmask", lambda: post("doctor", f"/api/patients/{person}/unmask", {"fields": ["phone"], "reason": "随访"}))
    before = rows(db, "registration.make"), rows(db, "charge.settle")
    registration = world.register(person)
    assert (rows(db, "registration.make"), rows(db, "charge.settle")) == (before[0] + 1, before[1] + 1)
    visit = world.encounter(registration)
    line = {"drug_id": world.ids["drug"], "dose": "0.5", "usage": "口服", "frequency": "tid", "days": 4, "quantity": "2400"}
    order = {"encounter_id": visit, "diagnosis": "咳嗽", "lines": [line]}
    made = watch("prescription.issue", lambda: post("doctor", "/api/orders/prescriptions", order))
    other = world.ok(post("doctor", "/api/orders/prescriptions", order))
    watch("prescription.cancel", lambda: post("doctor", f"/api/orders/prescriptions/{other['id']}/cancel",
                                              {"reason": "开错重开"}))
    watch("patient.view", lambda: get("doctor", f"/api/orders/visits/{visit}"))
    paid = watch("charge.settle", lambda: world.pay_all(person))
    watch("print", lambda: post("cashier", f"{BILLING}/settlements/{paid['id']}/print"))
    watch("prescription.dispense", lambda: post("pharmacist", f"{PHARMACY}/prescriptions/{made['id']}/dispense"))
    watch("prescription.return", lambda: post("pharmacist", f"{PHARMACY}/prescriptions/{made['id']}/returns", {
        "lines": [{"line_id": made["lines"][0]["id"], "quantity": "2400"}], "reason": "停药"}))
    asked = watch("refund.request_approval", lambda: post("cashier", f"{BILLING}/approvals", {
        "settlement_id": paid["id"], "amount": paid["total"], "reason": "停药"}))
    refund = {"lines": [{"line_id": made["lines"][0]["charge_line_id"], "quantity": "100"}], "reason": "停药"}
    watch.refused("request.refused", lambda: post("cashier", f"{BILLING}/settlements/{paid['id']}/refunds", refund))
    watch.refused("permission.denied", lambda: post("cashier", f"{BILLING}/approvals/{asked['id']}/decide", {"approve": True}))
    watch("refund.approve", lambda: post("finance", f"{BILLING}/approvals/{asked['id']}/decide", {"approve": True}))
    watch("charge.refund", lambda: post("cashier", f"{BILLING}/settlements/{paid['id']}/refunds", refund))  # and its red receipt
    watch.refused("permission.denied", lambda: get("doctor", "/api/security/users"))


def _permissions(world: World, who: str) -> list[str]:
    return list(world.ok(world.get(who, "/api/session"))["permissions"])


def test_reports_that_are_taken_away_leave_a_row(world: World, db: Database) -> None:
    watch = Watch(db, world)
    reports = world.app.extensions["his_hospital"].reports
    may = next(n for n, r in sorted(reports.items()) if r.permission in _permissions(world, "finance"))
    may_not = next(n for n, r in sorted(reports.items()) if r.permission not in _permissions(world, "pharmacist"))
    shown = world.get("finance", f"/api/reports/{may}")
    wrong = shown.json["errors"] if shown.status_code == 422 else []  # it wants a period
    query = "".join(f"&{each['field']}=2026-03-02" for each in wrong)
    for form in ("xlsx", "pdf"):
        watch(f"report.{form}", lambda form=form: world.get("finance", f"/api/reports/{may}?format={form}{query}"))
    watch.refused("permission.denied", lambda: world.get("pharmacist", f"/api/reports/{may_not}?format=xlsx"))
