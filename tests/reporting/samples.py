"""One report that has every kind of column, and rows for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from his_server.reporting import Column, Report

COLUMNS = [
    Column("no", "收据号", fixed=True), Column("name", "姓名", masked=True), Column("dept", "科室"),
    Column("count", "人次", "int", total=True), Column("quantity", "数量", "quantity"),
    Column("price", "单价", "price"), Column("amount", "金额", "money", total=True),
    Column("share", "占比", "percent"), Column("day", "日期", "date"), Column("at", "结算时间", "datetime"),
]
REPORT = Report("cashier-day", "收费员日报", COLUMNS, subtitle=["某某医院", "统计日期：2026-11-23", "操作员：李四"])
NAMES = ["张三", "王䶮", "阿依古丽·买买提"]


def rows(count: int) -> Iterator[dict[str, Any]]:
    for i in range(count):
        yield {"no": f"SJ{i:010d}", "name": NAMES[i % 3], "dept": f"第{i // 10}病区", "count": 1,
               "quantity": Decimal("0.5") * (i + 1), "price": Decimal("12.3456"), "amount": Decimal("1234.10") + i,
               "share": Decimal("0.125"), "day": date(2026, 11, 1 + i % 28),
               "at": datetime(2026, 11, 22, 17, 5, 9, tzinfo=UTC)}
