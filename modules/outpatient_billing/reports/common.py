"""What the reports of outpatient billing share: their query, their heading, their sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from marshmallow import fields
from sqlalchemy import ColumnElement, and_, case, func, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now
from his_server.money import ZERO
from his_server.reporting import Column
from his_server.reporting_routes import DayRange
from his_server.wire import Text
from modules.kernel.charging.models import ChargeLine, Settlement

VIEW = "outpatient_billing.reports"
CHANNEL_NAMES = {"window": "窗口", "kiosk": "自助机", "app": "手机", "mobile": "医保移动支付",
                 "system": "系统", "wechat": "微信", "night": "夜间窗口"}
Rows = list[dict[str, Any]]
Args = Mapping[str, Any]


class DepartmentDays(DayRange):
    """Days, and of one department (its code) if given."""

    department = Text(load_default="", max=40)
    level = Text(load_default="", max=20)
    state = fields.String(load_default="")


def subtitle(session: Session, actor: Actor, args: Args, *more: str) -> tuple[str, ...]:
    """The lines under a title: days, whatever else was chosen, who made it when."""
    return (f"期间：{args['start']} 至 {args['end']}", *more, f"制表：{actor.name}　{local(now(session)):%Y-%m-%d %H:%M}")


def in_days(args: Args) -> ColumnElement[bool]:
    """Settlements of these business days. A business day is the calendar day in Asia/Shanghai on which it happened, also
    for a night shift that closes after midnight."""
    return Settlement.business_date.between(args["start"], args["end"])


def of_days(session: Session, args: Args, settlement_id: Any) -> ColumnElement[bool]:
    """The same for a table that only knows its settlement. Keys grow with time: the span of the days' settlements keeps the
    database from reading the table end to end, however long the hospital has been working."""
    key = Settlement.id + 0  # bare, PostgreSQL walks the primary key until it meets the first of these days: all of history
    low, high = session.execute(select(func.min(key), func.max(key)).where(in_days(args))).one()
    return and_(in_days(args), settlement_id.between(low or 0, high or 0))


def money_sums(amount: Any = ChargeLine.amount) -> tuple[Any, Any, Any]:
    """Income, refunds (negative) and net of an amount, as labelled columns."""
    return (func.sum(case((amount > 0, amount), else_=None)).label("income"),
            func.sum(case((amount < 0, amount), else_=None)).label("refund"), func.sum(amount).label("net"))


def money_columns(refund: str = "退费") -> tuple[Column, ...]:
    """Their columns."""
    return (Column("income", "收入", "money", total=True), Column("refund", refund, "money", total=True),
            Column("net", "净额", "money", total=True))


def filled(rows: Iterable[Any], keys: Sequence[str] = ("income", "refund", "net")) -> Rows:
    """Rows as dictionaries, sums of nothing as 0.00."""
    return [{**row._mapping, **{key: row._mapping[key] or ZERO for key in keys}} for row in rows]


def share(rows: Rows, key: str = "net") -> Rows:
    """Adds what fraction of the whole each row is; empty where the whole is not positive."""
    whole = sum((row[key] for row in rows), ZERO)
    places = Decimal("0.0001")
    return [{**row, "share": (row[key] / whole).quantize(places) if whole > 0 else None} for row in rows]
