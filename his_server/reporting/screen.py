"""A report for the screen: JSON that the table component shows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from .table import FEN, Column, Report, Row, lines, local, places, trimmed


def to_json(report: Report, rows: Iterable[Row], *, unmasked: bool = False) -> dict[str, Any]:
    """The report as plain JSON types: `columns` (with resolved alignment), `rows` as objects by column key,
    `subtotals` ({after: number of rows before it, level, count, cells}) and `total` ({count, cells}) or None.

    Numbers other than 'int' are strings, exact; times are ISO 8601 in Asia/Shanghai; None stays null. Masked
    columns are masked unless `unmasked`. (M1.11, M9.1)
    """
    plain: list[dict[str, Any]] = []
    subtotals: list[dict[str, Any]] = []
    total: dict[str, Any] | None = None
    for line in lines(report, rows, unmasked=unmasked):
        cells = {c.key: wire(c, line.cells.get(c.key)) for c in report.columns
                 if line.kind == "row" or c.key in line.cells}
        if line.kind == "row":
            plain.append(cells)
        elif line.kind == "subtotal":
            subtotals.append({"after": len(plain), "level": line.level, "count": line.count, "cells": cells})
        else:
            total = {"count": line.count, "cells": cells}
    return {
        "name": report.name, "title": report.title, "subtitle": list(report.subtitle),
        "columns": [{"key": c.key, "title": c.title, "kind": c.kind, "width": c.width, "align": c.alignment,
                     "fixed": c.fixed, "total": c.total} for c in report.columns],
        "rows": plain, "subtotals": subtotals, "total": total,
        **({"chart": {"kind": report.chart.kind, "category": report.chart.category,
                      "series": list(report.chart.series)}} if report.chart else {}),
    }


def wire(column: Column, value: Any) -> Any:
    """One value as JSON carries it."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, datetime):
        return local(value).date().isoformat() if column.kind == "date" else local(value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if column.kind == "int":
        return int(value)
    if column.kind == "money":
        return f"{Decimal(value).quantize(FEN, ROUND_HALF_UP):f}"
    if column.kind in ("price", "quantity", "percent"):
        exact = trimmed(Decimal(value))
        return f"{exact.quantize(FEN) if column.kind == 'price' and places(exact) < 2 else exact:f}"
    return str(value)
