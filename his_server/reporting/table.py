"""One description of a table report, and the steps that every output shares: typed values, masks, totals.

A value that nobody gave stays empty (None → empty cell). Money is Decimal throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

Kind = Literal["text", "int", "money", "price", "quantity", "date", "datetime", "percent"]
Align = Literal["left", "center", "right"]
Row = Mapping[str, Any]

LOCAL = ZoneInfo("Asia/Shanghai")
NUMBERS = frozenset({"int", "money", "price", "quantity", "percent"})
FEN = Decimal("0.01")
SUBTOTAL, TOTAL = "小计", "合计"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    key: where the row holds the value. kind: 'money' two places, 'price' two to four, 'quantity' as exact as
    it is, 'percent' a fraction (0.125 is shown 12.50%), 'datetime' aware (shown in Asia/Shanghai). width:
    wanted width in half-width characters, None = measured. align: None = by kind. total: summed in subtotals
    and total. fixed: stays in view when scrolled and is repeated when a wide table is cut over pages.
    masked: personal data, shown masked unless the caller says that the reader may see it. Raises ValueError
    for a total of text or dates.
    """

    key: str
    title: str
    kind: Kind = "text"
    width: int | None = None
    align: Align | None = None
    total: bool = False
    fixed: bool = False
    masked: bool = False

    def __post_init__(self) -> None:
        if self.total and self.kind not in ("int", "money", "quantity"):
            raise ValueError(f"column {self.key}: a {self.kind} has no total")

    @property
    def alignment(self) -> Align:
        """The alignment given, or right for numbers, centre for dates, left for text."""
        if self.align:
            return self.align
        return "right" if self.kind in NUMBERS else "center" if self.kind in ("date", "datetime") else "left"


@dataclass(frozen=True, slots=True)
class Chart:
    """How the screen draws a report when asked: a bar or line per `series` column over the `category` column, or a pie."""

    kind: Literal["bar", "line", "pie"]
    category: str
    series: Sequence[str]


@dataclass(frozen=True, slots=True)
class Report:
    """A table report: `name` (file and route name), `title`, columns, `subtitle` lines (hospital, period,
    operator, printed at), `group_by` column keys for subtotals (rows must come sorted by them), orientation
    on paper, `chart` for the screen.

    Raises ValueError for no columns, doubled keys or a group that is no column.
    """

    name: str
    title: str
    columns: Sequence[Column]
    subtitle: Sequence[str] = ()
    group_by: Sequence[str] = ()
    orientation: Literal["portrait", "landscape"] = "portrait"
    chart: Chart | None = None

    def __post_init__(self) -> None:
        keys = [c.key for c in self.columns]
        if not keys or len(set(keys)) != len(keys):
            raise ValueError(f"report {self.name}: columns missing or named twice")
        if unknown := set(self.group_by) - set(keys):
            raise ValueError(f"report {self.name}: grouped by what is no column: {sorted(unknown)}")
        if self.chart and (strange := {self.chart.category, *self.chart.series} - set(keys)):
            raise ValueError(f"report {self.name}: draws what is no column: {sorted(strange)}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of output: a row, the subtotal of a group (level 0 = outermost) or the total. `count` rows in
    it."""

    kind: Literal["row", "subtotal", "total"]
    cells: Row
    level: int = 0
    count: int = 1


def lines(report: Report, rows: Iterable[Row], *, unmasked: bool = False) -> Iterator[Line]:
    """Rows in their order with subtotals after each group and, if any column is totalled, the total at the
    end.

    Streams: holds one running sum per group level. Masks the masked columns unless `unmasked`. Raises
    TypeError for a float: sums of floats don't balance.
    """
    summed = [c.key for c in report.columns if c.total]
    hidden = [] if unmasked else [c.key for c in report.columns if c.masked]
    by = list(report.group_by)
    sums: list[dict[str, Decimal]] = [dict.fromkeys(summed, Decimal(0)) for _ in range(len(by) + 1)]
    counts = [0] * (len(by) + 1)
    current: list[Any] = []
    last: Row = {}

    def close(level: int) -> Iterator[Line]:
        for inner in range(len(by), level - 1, -1):
            if summed and counts[inner]:
                yield Line("subtotal", _sum_cells(report, sums[inner], SUBTOTAL, last, by[inner - 1]), inner - 1,
                           counts[inner])
            sums[inner] = dict.fromkeys(summed, Decimal(0))
            counts[inner] = 0

    for row in rows:
        group = [row.get(k) for k in by]
        if current and group != current:
            changed = next(i for i, (a, b) in enumerate(zip(group, current, strict=True)) if a != b)
            yield from close(changed + 1)
        current = group
        if hidden:
            row = {**row, **{k: mask(row.get(k)) for k in hidden}}
        last = row
        for key in summed:
            value = row.get(key)
            if isinstance(value, float):
                raise TypeError(f"report {report.name}: {key} is a float; use Decimal")
            if value is not None:
                for level in sums:
                    level[key] += value
        counts = [n + 1 for n in counts]
        yield Line("row", row)
    if by:
        yield from close(1)
    if summed:
        yield Line("total", _sum_cells(report, sums[0], TOTAL, {}, None), 0, counts[0])


def _sum_cells(report: Report, sums: Mapping[str, Decimal], label: str, last: Row, group: str | None) -> Row:
    cells: dict[str, Any] = dict(sums)
    if group is not None:
        column = next(c for c in report.columns if c.key == group)
        cells[group] = f"{show(column, last.get(group))} {label}".strip()
    else:
        first = next((c.key for c in report.columns if not c.total), None)
        if first is not None:
            cells[first] = label
    return cells


def show(column: Column, value: Any) -> str:
    """A value as people read it: 1,234.50, 2026-11-23 08:30. Money is rounded half up to the fen, which
    changes nothing if the caller rounded per line as the ledgers do. A str is shown as it is (labels, masked
    values)."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    match column.kind:
        case "text":
            return str(value)
        case "int":
            return f"{value:,d}" if isinstance(value, int) else f"{value:,f}"
        case "money":
            return f"{Decimal(value).quantize(FEN, ROUND_HALF_UP):,f}"
        case "price":
            exact = trimmed(Decimal(value).quantize(Decimal("0.0001"), ROUND_HALF_UP))
            return f"{exact.quantize(FEN) if places(exact) < 2 else exact:,f}"
        case "quantity":
            return f"{trimmed(Decimal(value)):,f}"
        case "percent":
            return f"{(Decimal(value) * 100).quantize(FEN, ROUND_HALF_UP):f}%"
        case "date":
            return local(value).date().isoformat() if isinstance(value, datetime) else str(value.isoformat())
        case "datetime":
            return f"{local(value):%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value.isoformat())


def local(value: datetime) -> datetime:
    """The moment in Asia/Shanghai; a naive one raises ValueError, because nobody knows what it means."""
    if value.tzinfo is None:
        raise ValueError("a report's times must be aware")
    return value.astimezone(LOCAL)


def trimmed(value: Decimal) -> Decimal:
    """Without trailing zeros after the point, never in exponent form."""
    value = value.normalize()
    return value.quantize(Decimal(1)) if places(value) <= 0 else value


def places(value: Decimal) -> int:
    """Digits after the point (negative for 1E+2)."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError("a report can't show NaN or infinity")
    return -exponent


def mask(value: Any) -> Any:
    """Personal data with its middle hidden, cut by code point (XC-10): eight or more ASCII characters (ID
    number, phone, card) keep the first three and the last four, all else (names, addresses) the first
    character."""
    if value is None or value == "":
        return value
    text = value.isoformat() if isinstance(value, (date, datetime)) else str(value)
    if len(text) >= 8 and text.isascii():
        return text[:3] + "*" * (len(text) - 7) + text[-4:]
    return text[0] + "*" * max(len(text) - 1, 1)
