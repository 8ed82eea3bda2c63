"""The purchase–sales–stock report as a table: screen, xlsx, PDF, print (M6.1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, validates_schema
from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now
from his_server.errors import invalid
from his_server.module import ReportSource
from his_server.reporting import Column, Report
from his_server.search import match
from his_server.wire import Day, QueryId, Text
from modules.drug_warehouse.routes import REPORT
from modules.kernel.masterdata.models import drug_search
from modules.kernel.stock import rules
from modules.kernel.stock.models import Store
from modules.kernel.stock.queries import movement

LONGEST = timedelta(days=3660)
_SHOWN = (("received", "购入"), ("dispensed", "发药"), ("transferred", "调拨"), ("sent_back", "退供应商"),
          ("taken_out", "其他出库"), ("lost", "报损"), ("adjusted", "盘点调整"))
_COLUMNS = (
    Column("code", "编码", width=10, fixed=True), Column("name", "药品", width=20, fixed=True), Column("spec", "规格", width=14),
    Column("lot_no", "批号", width=10), Column("expiry", "有效期", "date"), Column("unit", "单位", width=4),
    Column("opening", "期初", "quantity"), Column("opening_amount", "期初金额", "money", total=True),
    *(c for key, title in _SHOWN for c in (Column(key, title, "quantity"),
                                           Column(f"{key}_amount", f"{title}金额", "money", total=True))),
    Column("closing", "期末", "quantity"), Column("closing_amount", "期末金额", "money", total=True))


class MovementArgs(Schema):
    """A period of a store, or of the whole hospital; drugs by name, pinyin, code."""

    start = Day(required=True)
    end = Day(required=True)
    store_id = QueryId(load_default=None, allow_none=True)
    q = Text(load_default="", max=60)

    @validates_schema
    def _order(self, data: dict[str, Any], **_: Any) -> None:
        if data["end"] < data["start"]:
            raise ValidationError("截止日期早于起始日期", "end")
        if data["end"] - data["start"] > LONGEST:
            raise ValidationError("期间最长十年", "end")


def drug_movement(session: Session, actor: Actor, args: Mapping[str, Any]) -> tuple[Report, list[dict[str, Any]]]:
    """药品进销存: opening + in − out ± adjusted = closing, per drug and batch, quantity and amount."""
    stores = {s.id: s.name for s in session.scalars(select(Store))}
    store = args["store_id"]
    if store is not None and store not in stores:
        raise invalid("store_id", "没有这个库房")
    drugs = list(session.scalars(match(session, drug_search, args["q"], limit=100))) if args["q"] else None
    rows = movement.movement(session, args["start"], args["end"], store_ids=None if store is None else [store], drug_ids=drugs)
    report = Report("drug-movement", "药品进销存报表", columns=_COLUMNS, orientation="landscape", subtitle=(
        f"期间：{args['start']} 至 {args['end']}　库房：{stores[store] if store else '全院（调拨在内部，不计）'}",
        "期初＋购入＋发药＋调拨＋退供应商＋其他出库＋报损＋盘点调整＝期末（出为负）；金额按进价",
        f"制表：{actor.name}　{local(now(session)):%Y-%m-%d %H:%M}"))
    return report, [_packs(row) for row in rows]


def _packs(row: dict[str, Any]) -> dict[str, Any]:
    """Quantities stay in smallest units, exact; the unit says so."""
    return {**row, "unit": row["base_unit"], "check": row["opening"] + sum(
        (row[name] for name in rules.MOVEMENT), Decimal(0)) == row["closing"]}


SOURCES = (ReportSource("drug-movement", "药品进销存报表", REPORT, MovementArgs, drug_movement),)
