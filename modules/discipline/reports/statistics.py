"""医生用药统计: the only report that joins doctor, drug and quantity; each run needs a consent and is on record.

Implements: R7, PR-09
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from marshmallow import Schema
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now
from his_server.module import ReportSource
from his_server.money import ZERO
from his_server.reporting import Column, Report
from his_server.security import audit
from his_server.wire import QueryId
from modules.discipline import service
from modules.kernel.charging.models import ChargeLine, Settlement
from modules.kernel.masterdata.models import Department, Drug, Staff

STATISTICS = "discipline.drug_statistics"


class GrantArgs(Schema):
    """The consent by which the report is run; it says what may be seen."""

    grant = QueryId(required=True)


def doctor_drug_statistics(session: Session, actor: Actor, args: Mapping[str, Any]
                           ) -> tuple[Report, list[dict[str, Any]]]:
    """Per doctor and drug of the consent's days: quantity in smallest units and amount, net of refunds; from the ledger."""
    grant = service.usable(session, actor, args["grant"])
    statement = (
        select(Department.name.label("department"), Staff.code.label("doctor_code"), Staff.name.label("doctor"),
               Drug.code.label("drug_code"), Drug.name.label("drug"), Drug.spec, Drug.base_unit, ChargeLine.factor,
               func.sum(ChargeLine.quantity).label("packs"), func.sum(ChargeLine.amount).label("amount"))
        .join(Settlement, Settlement.id == ChargeLine.settlement_id).join(Drug, Drug.id == ChargeLine.item_id)
        .outerjoin(Staff, Staff.id == ChargeLine.ordering_staff_id)
        .outerjoin(Department, Department.id == ChargeLine.ordering_department_id)
        .where(ChargeLine.kind == "drug", Settlement.business_date.between(grant.first_day, grant.last_day))
        .group_by(Department.code, Department.name, Staff.code, Staff.name, Drug.code, Drug.name, Drug.spec,
                  Drug.base_unit, ChargeLine.factor)
        .order_by(Department.code, Staff.code, Drug.code, ChargeLine.factor))
    for column, value in ((ChargeLine.ordering_department_id, grant.department_id),
                          (ChargeLine.ordering_staff_id, grant.doctor_id), (ChargeLine.item_id, grant.drug_id)):
        if value is not None:
            statement = statement.where(column == value)
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in session.execute(statement):
        key = (row.department or "", row.doctor_code or "", row.drug_code)
        one = found.setdefault(key, {**row._mapping, "quantity": Decimal(0), "amount": ZERO})
        one["quantity"] += row.packs * row.factor
        one["amount"] += row.amount
    audit.record(session, actor, "drug_statistics.run", "statistics_grant", grant.id,
                 {"days": f"{grant.first_day}..{grant.last_day}", "rows": len(found), "approved_by": grant.decided_by_name})
    report = Report("doctor-drug-statistics", "医生用药统计表", columns=(
        Column("department", "科室", width=16, fixed=True), Column("doctor_code", "工号", width=8),
        Column("doctor", "医生", width=10, fixed=True), Column("drug_code", "药品编码", width=12),
        Column("drug", "药品", width=24), Column("spec", "规格", width=14), Column("quantity", "数量", "quantity"),
        Column("base_unit", "单位", width=6), Column("amount", "金额", "money", total=True)),
        subtitle=(f"期间：{grant.first_day} 至 {grant.last_day}", f"事由：{grant.reason}",
                  f"申请：{grant.requested_by_name}　批准：{grant.decided_by_name}",
                  f"查询：{actor.name}　{local(now(session)):%Y-%m-%d %H:%M}"),
        group_by=("department",), orientation="landscape")
    return report, list(found.values())


SOURCE = ReportSource("doctor-drug-statistics", "医生用药统计表", STATISTICS, GrantArgs, doctor_drug_statistics)
