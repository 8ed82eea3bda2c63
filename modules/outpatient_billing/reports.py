"""Reports of outpatient billing; all from the ledger, so that they agree to the fen (M1.18)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now
from his_server.module import ReportSource
from his_server.reporting import Column, Report
from his_server.reporting_routes import DayRange
from modules.kernel.charging.models import ChargeLine, Payment, Settlement
from modules.kernel.masterdata.models import Department
from modules.kernel.scheduling.models import Registration
from modules.outpatient_billing.vouchers import CATEGORY_NAMES, METHOD_NAMES

VIEW = "outpatient_billing.reports"


def _subtitle(session: Session, actor: Actor, args: Mapping[str, Any]) -> tuple[str, ...]:
    return (f"期间：{args['start']} 至 {args['end']}",
            f"制表：{actor.name}　{local(now(session)):%Y-%m-%d %H:%M}")


def _in_days(args: Mapping[str, Any]) -> Any:
    return Settlement.business_date.between(args["start"], args["end"])


def cashier_summary(session: Session, actor: Actor, args: Mapping[str, Any]) -> tuple[Report, list[dict[str, Any]]]:
    """收费员汇总: per cashier and payment method."""
    rows = session.execute(
        select(Settlement.cashier_name, Payment.method,
               func.sum(case((Payment.amount > 0, Payment.amount), else_=None)).label("income"),
               func.sum(case((Payment.amount < 0, Payment.amount), else_=None)).label("refund"),
               func.sum(Payment.amount).label("net"))
        .join(Payment, Payment.settlement_id == Settlement.id).where(_in_days(args))
        .group_by(Settlement.cashier_id, Settlement.cashier_name, Payment.method)
        .order_by(Settlement.cashier_name, Payment.method)).all()
    zero = Decimal("0.00")
    report = Report("cashier-summary", "收费员汇总表", columns=(
        Column("cashier", "收费员", width=12, fixed=True), Column("method", "支付方式", width=12),
        Column("income", "收入", "money", total=True), Column("refund", "退款", "money", total=True),
        Column("net", "净额", "money", total=True)), subtitle=_subtitle(session, actor, args), group_by=("cashier",))
    return report, [{"cashier": r.cashier_name, "method": METHOD_NAMES.get(r.method, r.method),
                     "income": r.income or zero, "refund": r.refund or zero, "net": r.net} for r in rows]


def income_by_category(session: Session, actor: Actor, args: Mapping[str, Any]) -> tuple[Report, list[dict[str, Any]]]:
    """收入分类: per fiscal category, by the day of the event (M9.5)."""
    rows = session.execute(
        select(ChargeLine.fiscal_category, func.count().label("lines"),
               func.sum(case((ChargeLine.amount > 0, ChargeLine.amount), else_=None)).label("income"),
               func.sum(case((ChargeLine.amount < 0, ChargeLine.amount), else_=None)).label("refund"),
               func.sum(ChargeLine.amount).label("net"))
        .join(Settlement, Settlement.id == ChargeLine.settlement_id).where(_in_days(args))
        .group_by(ChargeLine.fiscal_category).order_by(ChargeLine.fiscal_category)).all()
    zero = Decimal("0.00")
    report = Report("income-by-category", "收入分类汇总表", columns=(
        Column("category", "费用类别", width=14, fixed=True), Column("lines", "项数", "int", total=True),
        Column("income", "收入", "money", total=True), Column("refund", "退费", "money", total=True),
        Column("net", "净额", "money", total=True)), subtitle=_subtitle(session, actor, args))
    return report, [{"category": CATEGORY_NAMES.get(r.fiscal_category, r.fiscal_category), "lines": r.lines,
                     "income": r.income or zero, "refund": r.refund or zero, "net": r.net} for r in rows]


def registrations_by_department(session: Session, actor: Actor, args: Mapping[str, Any]
                                ) -> tuple[Report, list[dict[str, Any]]]:
    """挂号统计: per department and level."""
    live = case((Registration.state == "registered", 1), else_=0)
    gone = case((Registration.state == "cancelled", 1), else_=0)
    rows = session.execute(
        select(Department.name, Registration.level, func.count().label("made"), func.sum(live).label("live"),
               func.sum(gone).label("cancelled"))
        .join(Department, Department.id == Registration.department_id)
        .where(Registration.day.between(args["start"], args["end"]))
        .group_by(Department.code, Department.name, Registration.level)
        .order_by(Department.code, Registration.level)).all()
    report = Report("registrations-by-department", "科室挂号统计表", columns=(
        Column("department", "科室", width=20, fixed=True), Column("level", "号别", width=10),
        Column("made", "挂号", "int", total=True), Column("cancelled", "退号", "int", total=True),
        Column("live", "有效", "int", total=True)), subtitle=_subtitle(session, actor, args), group_by=("department",))
    return report, [{"department": r.name, "level": r.level, "made": r.made, "cancelled": r.cancelled, "live": r.live}
                    for r in rows]


SOURCES = tuple(
    ReportSource(name, title, VIEW, DayRange, build) for name, title, build in (
        ("cashier-summary", "收费员汇总表", cashier_summary),
        ("income-by-category", "收入分类汇总表", income_by_category),
        ("registrations-by-department", "科室挂号统计表", registrations_by_department),
    ))
