"""Income in all its divisions, by the day of the event (M9.5); all from charge lines, so that they agree to the fen.

Implements: M1.11, M1.13, M1.18, FN-13
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, aliased

from his_server.actor import Actor
from his_server.reporting import Chart, Column, Report
from modules.kernel.charging.models import ChargeLine, Intent, Payment, Receipt, Settlement
from modules.kernel.masterdata.models import Department, Staff
from modules.kernel.patients.models import Person
from modules.outpatient_billing.reports.common import (
    CHANNEL_NAMES,
    Args,
    Rows,
    filled,
    in_days,
    money_columns,
    money_sums,
    of_days,
    share,
    subtitle,
)
from modules.outpatient_billing.vouchers import CATEGORY_NAMES, METHOD_NAMES

_SHARE = Column("share", "占比", "percent")


def cashier_summary(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """收费员汇总: per cashier and payment method."""
    rows = session.execute(
        select(Settlement.cashier_name, Payment.method, *money_sums(Payment.amount))
        .join(Payment, Payment.settlement_id == Settlement.id)
        .where(of_days(session, args, Payment.settlement_id))
        .group_by(Settlement.cashier_id, Settlement.cashier_name, Payment.method)
        .order_by(Settlement.cashier_name, Settlement.cashier_id, Payment.method))
    report = Report("cashier-summary", "收费员汇总表", columns=(
        Column("cashier", "收费员", width=12, fixed=True), Column("method", "支付方式", width=12), *money_columns("退款")),
        subtitle=subtitle(session, actor, args), group_by=("cashier",))
    return report, [{**row, "cashier": row["cashier_name"], "method": METHOD_NAMES.get(row["method"], row["method"])}
                    for row in filled(rows)]


def cashier_categories(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """收费员费用分类: per cashier and fiscal category."""
    rows = session.execute(
        select(Settlement.cashier_name, ChargeLine.fiscal_category, *money_sums())
        .join(ChargeLine, ChargeLine.settlement_id == Settlement.id)
        .where(of_days(session, args, ChargeLine.settlement_id))
        .group_by(Settlement.cashier_id, Settlement.cashier_name, ChargeLine.fiscal_category)
        .order_by(Settlement.cashier_name, Settlement.cashier_id, ChargeLine.fiscal_category))
    report = Report("cashier-categories", "收费员费用分类汇总表", columns=(
        Column("cashier", "收费员", width=12, fixed=True), Column("category", "费用类别", width=14), *money_columns()),
        subtitle=subtitle(session, actor, args), group_by=("cashier",))
    return report, [{**row, "cashier": row["cashier_name"], "category": _category(row["fiscal_category"])}
                    for row in filled(rows)]


def _category(code: str) -> str:
    return CATEGORY_NAMES.get(code, code)


def income_by_category(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """收入分类: per fiscal category."""
    rows = session.execute(
        select(ChargeLine.fiscal_category, func.count().label("lines"), *money_sums())
        .join(Settlement, Settlement.id == ChargeLine.settlement_id)
        .where(of_days(session, args, ChargeLine.settlement_id))
        .group_by(ChargeLine.fiscal_category).order_by(ChargeLine.fiscal_category))
    report = Report("income-by-category", "收入分类汇总表", columns=(
        Column("category", "费用类别", width=14, fixed=True), Column("lines", "项数", "int", total=True), *money_columns(),
        _SHARE), subtitle=subtitle(session, actor, args), chart=Chart("bar", "category", ("income", "refund")))
    return report, [{**row, "category": _category(row["fiscal_category"])} for row in share(filled(rows))]


def income_by_department(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """开单科室收入: per department that ordered."""
    return _by_department(session, actor, args, ChargeLine.ordering_department_id, "income-by-department", "开单科室收入汇总表")


def income_by_performer(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """执行科室收入: per department that performs."""
    return _by_department(session, actor, args, ChargeLine.performing_department_id, "income-by-performer",
                          "执行科室收入汇总表")


def _by_department(session: Session, actor: Actor, args: Args, column: Any, name: str, title: str
                   ) -> tuple[Report, Rows]:
    drug = case((ChargeLine.kind == "drug", ChargeLine.amount), else_=None)
    rows = session.execute(
        select(Department.code, Department.name.label("department"), *money_sums(), func.sum(drug).label("drugs"))
        .select_from(ChargeLine).join(Settlement, Settlement.id == ChargeLine.settlement_id)
        .outerjoin(Department, Department.id == column)
        .where(of_days(session, args, ChargeLine.settlement_id))
        .group_by(Department.code, Department.name).order_by(Department.code))
    report = Report(name, title, columns=(
        Column("code", "科室编码", width=10), Column("department", "科室", width=20, fixed=True), *money_columns(),
        Column("drugs", "其中药费", "money", total=True), _SHARE), subtitle=subtitle(session, actor, args),
        chart=Chart("bar", "department", ("net", "drugs")))
    return report, [{**row, "department": row["department"] or "未指定"}
                    for row in share(filled(rows, ("income", "refund", "net", "drugs")))]


def income_by_doctor(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """医生收入: per doctor that ordered, in amounts only: no drug and no quantity (防统方, R7)."""
    rows = session.execute(
        select(Department.name.label("department"), Staff.code, Staff.name.label("doctor"),
               func.count(ChargeLine.encounter_id.distinct()).label("visits"), *money_sums())
        .select_from(ChargeLine).join(Settlement, Settlement.id == ChargeLine.settlement_id)
        .outerjoin(Staff, Staff.id == ChargeLine.ordering_staff_id)
        .outerjoin(Department, Department.id == ChargeLine.ordering_department_id)
        .where(of_days(session, args, ChargeLine.settlement_id))
        .group_by(Department.code, Department.name, Staff.code, Staff.name)
        .order_by(Department.code, Department.name, Staff.code))
    report = Report("income-by-doctor", "开单医生收入汇总表", columns=(
        Column("department", "科室", width=18, fixed=True), Column("code", "工号", width=8),
        Column("doctor", "医生", width=10, fixed=True), Column("visits", "就诊人次", "int", total=True), *money_columns()),
        subtitle=subtitle(session, actor, args), group_by=("department",), chart=Chart("bar", "doctor", ("net",)))
    return report, [{**row, "department": row["department"] or "未指定", "doctor": row["doctor"] or "未指定"}
                    for row in filled(rows)]


def income_by_channel(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """渠道收入: window, kiosk, app."""
    rows = session.execute(
        select(Settlement.channel, func.count().label("settlements"), *money_sums(Settlement.total))
        .where(in_days(args)).group_by(Settlement.channel).order_by(Settlement.channel))
    report = Report("income-by-channel", "渠道收入汇总表", columns=(
        Column("channel", "渠道", width=14, fixed=True), Column("settlements", "笔数", "int", total=True), *money_columns(),
        _SHARE), subtitle=subtitle(session, actor, args), chart=Chart("bar", "channel", ("net",)))
    return report, [{**row, "channel": CHANNEL_NAMES.get(row["channel"], row["channel"])} for row in share(filled(rows))]


def income_by_day(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """每日收入: charges, refunds and net of each day."""
    kinds = ((kind, case((Settlement.kind == kind, 1), else_=0)) for kind in ("charge", "refund"))
    rows = session.execute(
        select(Settlement.business_date.label("day"), *(func.sum(one).label(f"{kind}s") for kind, one in kinds),
               *money_sums(Settlement.total))
        .where(in_days(args)).group_by(Settlement.business_date).order_by(Settlement.business_date))
    report = Report("income-by-day", "每日收入汇总表", columns=(
        Column("day", "日期", "date", width=12, fixed=True), Column("charges", "收费笔数", "int", total=True),
        Column("refunds", "退费笔数", "int", total=True), *money_columns()),
        subtitle=subtitle(session, actor, args), chart=Chart("line", "day", ("income", "refund", "net")))
    return report, filled(rows)


def payments_by_day(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """支付渠道对账: per day and payment method what came in, went back, and is still on its way to the payer (FN-13)."""
    on_the_way = case((Intent.state.in_(("created", "calling", "unknown")), Payment.amount), else_=None)
    rows = session.execute(
        select(Settlement.business_date.label("day"), Payment.method, func.count().label("payments"),
               *money_sums(Payment.amount), func.sum(on_the_way).label("on_the_way"))
        .join(Payment, Payment.settlement_id == Settlement.id)
        .outerjoin(Intent, Intent.id == Payment.intent_id)
        .where(of_days(session, args, Payment.settlement_id))
        .group_by(Settlement.business_date, Payment.method).order_by(Settlement.business_date, Payment.method))
    report = Report("payments-by-day", "支付方式日汇总表", columns=(
        Column("day", "日期", "date", width=12, fixed=True), Column("method", "支付方式", width=12),
        Column("payments", "笔数", "int", total=True), *money_columns("退款"),
        Column("on_the_way", "其中在途退款", "money", total=True)), subtitle=subtitle(session, actor, args), group_by=("day",))
    return report, [{**row, "method": METHOD_NAMES.get(row["method"], row["method"])}
                    for row in filled(rows, ("income", "refund", "net", "on_the_way"))]


def refunds(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """退费明细: every refund with what it reverses, who did it and why; names masked."""
    original = aliased(Settlement)
    statement = (
        select(Settlement.number, Settlement.settled_at, Settlement.cashier_name, Settlement.reason,
               Settlement.total, original.number.label("of_number"), original.settled_at.label("of_at"),
               original.cashier_name.label("of_cashier"), original.business_date.label("of_day"),
               Settlement.business_date.label("day"), Person.name, Person.outpatient_no)
        .join(original, original.id == Settlement.reverses_id).join(Person, Person.id == Settlement.person_id)
        .where(in_days(args), Settlement.kind == "refund").order_by(Settlement.settled_at, Settlement.id))
    if args["search"]:
        statement = statement.where((Settlement.number == args["search"]) | (original.number == args["search"])
                                    | (Person.outpatient_no == args["search"]) | (Settlement.cashier_name == args["search"]))
    report = Report("refunds", "退费明细表", columns=(
        Column("number", "退费号", width=18, fixed=True), Column("settled_at", "退费时间", "datetime"),
        Column("name", "姓名", width=8, masked=True), Column("outpatient_no", "门诊号", width=14),
        Column("total", "金额", "money", total=True), Column("cashier_name", "退费人", width=10),
        Column("reason", "原因", width=20), Column("of_number", "原结算号", width=18),
        Column("of_at", "收费时间", "datetime"), Column("of_cashier", "收费人", width=10), Column("cross", "跨日", width=6)),
        subtitle=subtitle(session, actor, args), orientation="landscape")
    return report, [{**row._mapping, "cross": "跨月" if row.of_day.strftime("%Y%m") != row.day.strftime("%Y%m")
                     else "跨日" if row.of_day != row.day else ""} for row in session.execute(statement)]


def zero_vouchers(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """零元结算: bills that cost nothing and still have number, receipt and voucher (M1.1)."""
    rows = session.execute(
        select(Settlement.number, Receipt.number.label("receipt"), Receipt.title, Settlement.settled_at,
               Settlement.cashier_name, Person.name, Person.outpatient_no)
        .join(Receipt, Receipt.settlement_id == Settlement.id).join(Person, Person.id == Settlement.person_id)
        .where(in_days(args), Settlement.kind == "charge", Settlement.total == 0)
        .order_by(Settlement.settled_at, Settlement.id, Receipt.id))
    report = Report("zero-vouchers", "零元收费凭证清单", columns=(
        Column("number", "结算号", width=18, fixed=True), Column("receipt", "票据号", width=14),
        Column("title", "类别", width=10), Column("settled_at", "时间", "datetime"),
        Column("name", "姓名", width=8, masked=True), Column("outpatient_no", "门诊号", width=14),
        Column("cashier_name", "收费员", width=10)), subtitle=subtitle(session, actor, args))
    return report, [dict(row._mapping) for row in rows]
