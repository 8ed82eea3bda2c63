"""取药高峰: how many prescriptions arrive, wait and leave by the hour, and how long patients wait."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now
from his_server.module import ReportSource
from his_server.reporting import Column, Report
from his_server.reporting.table import Chart
from his_server.reporting_routes import DayRange
from his_server.security import scopes
from modules.kernel.dispensing.models import DispensingTask
from modules.kernel.stock.models import Store

FLOW = "outpatient_pharmacy.dispense"
HOURS = range(24)


def flow(session: Session, actor: Actor, args: Mapping[str, Any]) -> tuple[Report, list[dict[str, Any]]]:
    """Per hour of the day over the period: arrivals, handed out, the longest queue, average and longest wait.

    The queue at an hour is the most that stood in it at any moment of that hour, of one store. One query.
    """
    statement = (
        select(Store.name, DispensingTask.store_id, DispensingTask.arrived_at, DispensingTask.finished_at,
               DispensingTask.state)
        .join(Store, Store.id == DispensingTask.store_id)
        .where(DispensingTask.business_date.between(args["start"], args["end"]), DispensingTask.state != "withdrawn")
        .order_by(DispensingTask.store_id, DispensingTask.arrived_at))
    mine = scopes.departments(actor, FLOW)
    if mine is not None:
        statement = statement.where(Store.department_id.in_(mine))
    by_store: dict[str, list[Any]] = {}
    for row in session.execute(statement):
        by_store.setdefault(row.name, []).append(row)
    rows = []
    for name, tasks in by_store.items():
        if args["search"] and args["search"] not in name:
            continue
        rows += _hours(name, tasks)
    report = Report(
        "pharmacy-flow", "取药高峰与等候时间", columns=(
            Column("store", "药房", width=12, fixed=True), Column("hour", "时段", width=14),
            Column("arrived", "到方", "int", total=True), Column("finished", "发药", "int", total=True),
            Column("longest_queue", "最长排队", "int"), Column("average", "平均等候(分)", "quantity"),
            Column("slowest", "最长等候(分)", "quantity")),
        subtitle=(f"期间：{args['start']} 至 {args['end']}",
                  f"制表：{actor.name}　{local(now(session)):%Y-%m-%d %H:%M}"),
        group_by=("store",), chart=Chart("bar", "hour", ("arrived", "longest_queue", "average")))
    return report, rows


def _hours(name: str, tasks: list[Any]) -> list[dict[str, Any]]:
    steps = sorted([(t.arrived_at, 1) for t in tasks] + [(t.finished_at, -1) for t in tasks if t.finished_at])
    longest: dict[int, int] = {}
    standing = 0
    for at, step in steps:
        hour = local(at).hour
        longest[hour] = max(longest.get(hour, 0), standing, standing + step)
        standing += step
    rows = []
    for hour in HOURS:
        arrived = [t for t in tasks if local(t.arrived_at).hour == hour]
        finished = [t for t in tasks if t.finished_at and local(t.finished_at).hour == hour]
        if not arrived and not finished:
            continue
        waits = [Decimal(int((t.finished_at - t.arrived_at).total_seconds())) / 60 for t in finished]
        tenth = Decimal("0.1")
        rows.append({"store": name, "hour": f"{hour:02d}:00–{hour + 1:02d}:00", "arrived": len(arrived),
                     "finished": len(finished), "longest_queue": longest.get(hour, 0),
                     "average": (sum(waits, Decimal(0)) / len(waits)).quantize(tenth) if waits else None,
                     "slowest": max(waits).quantize(tenth) if waits else None})
    return rows


SOURCES = (ReportSource("pharmacy-flow", "取药高峰与等候时间", FLOW, DayRange, flow),)
