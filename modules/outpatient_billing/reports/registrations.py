"""Reports of registrations: who is registered where, and people counted when it happens.

Implements: M1.15, M9.5
"""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.clock import day_bounds, local
from his_server.reporting import Chart, Column, Report
from modules.kernel.masterdata.models import Department, Staff
from modules.kernel.patients import rules as patient_rules
from modules.kernel.patients.models import Person
from modules.kernel.scheduling.models import ClinicSession, Registration, RegistrationCount
from modules.outpatient_billing.reports.common import CHANNEL_NAMES, Args, Rows, subtitle

STATES = {"booked": "待取号", "registered": "已挂号", "cancelled": "已退号"}
WAYS = {"same_day": "当日", "appointment": "预约", "extra": "加号", "renewal": "续诊"}
SEX = {"1": "男", "2": "女", "9": "未说明", "0": "未知"}


def by_department(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """科室挂号统计: per department and level of the day of the visit; a row opens its patients (M1.15)."""
    states = {label: func.sum(case((Registration.state == state, 1), else_=0)).label(label)
              for label, state in (("live", "registered"), ("booked", "booked"), ("cancelled", "cancelled"))}
    rows = session.execute(
        select(Department.code, Department.name.label("department"), Registration.level, func.count().label("made"),
               *states.values())
        .join(Department, Department.id == Registration.department_id)
        .where(Registration.day.between(args["start"], args["end"]))
        .group_by(Department.code, Department.name, Registration.level)
        .order_by(Department.code, Registration.level))
    report = Report("registrations-by-department", "科室挂号统计表", columns=(
        Column("code", "科室编码", width=10), Column("department", "科室", width=20, fixed=True),
        Column("level", "号别", width=10), Column("made", "挂号", "int", total=True),
        Column("booked", "待取号", "int", total=True), Column("cancelled", "退号", "int", total=True),
        Column("live", "有效", "int", total=True)), subtitle=subtitle(session, actor, args), group_by=("department",),
        chart=Chart("bar", "department", ("live", "cancelled")))
    return report, [dict(row._mapping) for row in rows]


def patients(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """已挂号病人明细: who is registered in a department (M1.15); names masked, no numbers but the outpatient number."""
    statement = (
        select(Department.name.label("department"), Staff.name.label("doctor"), Registration.day, ClinicSession.period,
               Registration.level, Registration.queue_no, Registration.number, Person.name, Person.sex,
               Person.birth_date, Person.outpatient_no, Registration.state, Registration.way, Registration.channel,
               Registration.registered_by_name, Registration.registered_at)
        .join(ClinicSession, ClinicSession.id == Registration.session_id)
        .join(Person, Person.id == Registration.person_id)
        .join(Department, Department.id == Registration.department_id)
        .outerjoin(Staff, Staff.id == Registration.doctor_id)
        .where(Registration.day.between(args["start"], args["end"]))
        .order_by(Department.code, Registration.day, ClinicSession.period, Staff.code, Registration.queue_no,
                  Registration.id))
    shown = []
    if args["department"]:
        statement = statement.where(Department.code == args["department"])
        shown.append(f"科室：{args['department']}")
    if args["level"]:
        statement = statement.where(Registration.level == args["level"])
        shown.append(f"号别：{args['level']}")
    if args["state"] in STATES:
        statement = statement.where(Registration.state == args["state"])
        shown.append(f"状态：{STATES[args['state']]}")
    if args["search"]:
        statement = statement.where((Registration.number == args["search"]) | (Person.outpatient_no == args["search"])
                                    | (Staff.name == args["search"]))
    report = Report("registered-patients", "科室已挂号病人明细表", columns=(
        Column("department", "科室", width=16, fixed=True), Column("doctor", "医生", width=10),
        Column("day", "就诊日期", "date"), Column("period", "时段", width=6), Column("level", "号别", width=10),
        Column("queue_no", "序号", "int"), Column("name", "姓名", width=8, masked=True), Column("sex", "性别", width=6),
        Column("age", "年龄", width=6), Column("outpatient_no", "门诊号", width=14), Column("number", "挂号单号", width=18),
        Column("way", "方式", width=8), Column("state", "状态", width=8), Column("channel", "渠道", width=8),
        Column("registered_by_name", "挂号员", width=10), Column("registered_at", "挂号时间", "datetime")),
        subtitle=subtitle(session, actor, args, *shown), orientation="landscape")
    return report, [{**row._mapping, "sex": SEX.get(row.sex or "", ""), "state": STATES[row.state],
                     "age": patient_rules.age(row.birth_date, row.day) if row.birth_date else None,
                     "way": WAYS.get(row.way, row.way), "channel": CHANNEL_NAMES.get(row.channel, row.channel)}
                    for row in session.execute(statement)]


def by_hour(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """分时段挂号统计: when people register, by the hour of the day; how many windows are needed when. One query."""
    first, last = day_bounds(args["start"])[0], day_bounds(args["end"])[1]
    hours: dict[int, dict[str, int]] = {}
    for at, way, channel in session.execute(
            select(Registration.registered_at, Registration.way, Registration.channel)
            .where(Registration.registered_at >= first, Registration.registered_at < last)):
        one = hours.setdefault(local(at).hour, dict.fromkeys(("made", "appointment", "other", "window"), 0))
        one["made"] += 1
        one["window"] += channel == "window"
        one["appointment" if way == "appointment" else "other"] += 1
    days = (args["end"] - args["start"]).days + 1
    report = Report("registrations-by-hour", "分时段挂号统计表", columns=(
        Column("hour", "时段", width=14, fixed=True), Column("made", "挂号", "int", total=True),
        Column("other", "当日", "int", total=True), Column("appointment", "预约", "int", total=True),
        Column("window", "其中窗口", "int", total=True), Column("average", "日均", "quantity")),
        subtitle=subtitle(session, actor, args, f"共 {days} 天，按办理时间"),
        chart=Chart("bar", "hour", ("other", "appointment")))
    return report, [{"hour": f"{hour:02d}:00–{hour + 1:02d}:00", **one,
                     "average": (Decimal(one["made"]) / days).quantize(Decimal("0.1"))} for hour, one in sorted(hours.items())]


def counts(session: Session, actor: Actor, args: Args) -> tuple[Report, Rows]:
    """挂号人次: counted on the day it happened; a cancellation is −1 in its own period, so that a period can be negative
    and a closed month never changes (M9.5)."""
    parts = {label: func.sum(case((RegistrationCount.kind.in_(kinds), RegistrationCount.number), else_=0)).label(label)
             for label, kinds in (("made", ("made",)), ("cancelled", ("cancelled",)),
                                  ("moved", ("moved_out", "moved_in")))}
    rows = session.execute(
        select(Department.code, Department.name.label("department"), RegistrationCount.level, *parts.values(),
               func.sum(RegistrationCount.number).label("net"))
        .join(Department, Department.id == RegistrationCount.department_id)
        .where(RegistrationCount.business_date.between(args["start"], args["end"]))
        .group_by(Department.code, Department.name, RegistrationCount.level)
        .order_by(Department.code, RegistrationCount.level))
    report = Report("registration-counts", "挂号人次统计表", columns=(
        Column("code", "科室编码", width=10), Column("department", "科室", width=20, fixed=True),
        Column("level", "号别", width=10), Column("made", "挂号", "int", total=True),
        Column("cancelled", "退号", "int", total=True), Column("moved", "换号增减", "int", total=True),
        Column("net", "人次", "int", total=True)),
        subtitle=subtitle(session, actor, args, "口径：按发生时间，退号在退号当日计 −1"), group_by=("department",),
        chart=Chart("bar", "department", ("net",)))
    return report, [dict(row._mapping) for row in rows]
