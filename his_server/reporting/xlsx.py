"""A report as xlsx: typed cells, a header that stays on screen and on every printed page, no gaps, no
merges."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import IO, Any

import xlsxwriter

from .table import FEN, NUMBERS, Column, Report, Row, lines, local, show, trimmed

FORMATS = {"int": "#,##0", "money": "#,##0.00", "price": "#,##0.00##", "quantity": "#,##0.######", "percent": "0.00%",
           "date": "yyyy-mm-dd", "datetime": "yyyy-mm-dd hh:mm:ss", "text": "@"}
SHEET_ROWS = 1_048_576
CELL_CHARACTERS = 32_767
MEASURED = 2000
"""Rows that decide the width of a column; sums, the longest numbers, always count."""
EXACT_DIGITS = 15
"""A spreadsheet keeps 15 significant digits. A longer number is written as text rather than changed."""


def to_xlsx(report: Report, rows: Iterable[Row], file: IO[bytes] | str, *, unmasked: bool = False,
            heading: bool = True, stamp: str = "") -> int:
    """Write the report; return the number of lines below the header (rows, subtotals, total).

    ``stamp``: who takes it away and when (PR-07): on every printed page's head, and in the file's own properties.

    Above the table stand title and subtitle lines in column A (left out without `heading`, for sheets that
    another program reads); then the column header, frozen, filterable and repeated on every printed page;
    then one typed cell per value: numbers and dates are numbers and dates, text is text even if it begins
    with '=', '+', '-' or '@', so that nothing a patient typed can become a formula. No blank rows, no merged
    cells. Memory is constant: rows are written as they come. More rows than a sheet holds go on in a further
    sheet with its own header. Text longer than a cell holds raises ValueError. (M9.1, M9.7, M9.8, FN-18)
    """
    with xlsxwriter.Workbook(file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
                                    "strings_to_numbers": False, "default_date_format": FORMATS["date"]}) as book:
        if stamp:
            book.set_properties({"author": stamp, "comments": f"导出：{stamp}"})
        return _Writer(book, report, heading, stamp).write(lines(report, rows, unmasked=unmasked))


class _Writer:
    """The workbook being written: current sheet, next row, widths seen."""

    def __init__(self, book: xlsxwriter.Workbook, report: Report, heading: bool, stamp: str) -> None:
        self.book, self.report, self.heading, self.stamp = book, report, heading, stamp
        base = {"font_name": "宋体", "font_size": 10, "valign": "vcenter"}
        border = {**base, "border": 1, "border_color": "#B8C4CE"}
        self.head = book.add_format({**border, "bold": True, "bg_color": "#E8EEF3", "align": "center",
                                     "text_wrap": True})
        self.title = book.add_format({**base, "bold": True, "font_size": 14})
        self.plain = book.add_format(base)
        self.formats = [self._formats(border, c, {}) for c in report.columns]
        self.sums = [self._formats(border, c, {"bold": True, "bg_color": "#F5F7F9"}) for c in report.columns]
        self.sheet: Any = None
        self.sheets = 0
        self.row = self.top = 0
        self.widths: list[float] = []

    def _formats(self, border: dict[str, Any], column: Column, more: dict[str, Any]) -> tuple[Any, Any]:
        """Formats for a typed value and for text in its place."""
        typed = {**border, **more, "num_format": FORMATS[column.kind], "align": column.alignment}
        return self.book.add_format(typed), self.book.add_format({**typed, "num_format": "@"})

    def write(self, written: Iterable[Any]) -> int:
        total = 0
        self._begin()
        for line in written:
            if self.row == SHEET_ROWS:
                self._end()
                self._begin()
            formats = self.formats if line.kind == "row" else self.sums
            for i, column in enumerate(self.report.columns):
                self._cell(i, column, line.cells.get(column.key), formats[i], line.kind != "row")
            self.row += 1
            total += 1
        self._end()
        return total

    def _begin(self) -> None:
        self.sheets += 1
        name = _sheet_name(self.report.title, self.sheets)
        sheet = self.sheet = self.book.add_worksheet(name)
        columns = self.report.columns
        self.row = 0
        self.widths = [min(_units(c.title), 16) for c in columns]
        if self.heading:
            sheet.write_string(0, 0, self.report.title, self.title)
            for text in self.report.subtitle:
                self.row += 1
                sheet.write_string(self.row, 0, text, self.plain)
            self.row += 1
        self.top = self.row
        for i, column in enumerate(columns):
            sheet.write_string(self.row, i, column.title, self.head)
        self.row += 1
        fixed = max((i + 1 for i, c in enumerate(columns) if c.fixed), default=0)
        sheet.freeze_panes(self.row, fixed)
        sheet.repeat_rows(self.top)
        if fixed:
            sheet.repeat_columns(0, fixed - 1)
        sheet.set_paper(9)
        if self.report.orientation == "landscape":
            sheet.set_landscape()
        sheet.set_margins(left=0.4, right=0.4, top=0.6, bottom=0.6)
        sheet.fit_to_pages(1, 0)
        sheet.set_footer("&C第 &P 页 共 &N 页")
        if self.stamp:
            sheet.set_header("&R导出：" + self.stamp.replace("&", "&&"))

    def _end(self) -> None:
        last = max(self.row - 1, self.top)
        self.sheet.autofilter(self.top, 0, last, len(self.report.columns) - 1)
        for i, (column, seen) in enumerate(zip(self.report.columns, self.widths, strict=True)):
            self.sheet.set_column(i, i, column.width or min(max(seen + 2, 6), 60))

    def _cell(self, i: int, column: Column, value: Any, formats: tuple[Any, Any],
              bold: bool) -> None:
        sheet, row, (typed, text) = self.sheet, self.row, formats
        if value is None or value == "":
            sheet.write_blank(row, i, None, typed)
            return
        if self.row < MEASURED or bold:
            self.widths[i] = max(self.widths[i], _units(show(column, value)))
        if isinstance(value, str) or column.kind == "text":
            shown = show(column, value)
            if len(shown) > CELL_CHARACTERS:
                raise ValueError(f"column {column.title}: text of {len(shown)} characters does not fit a cell")
            sheet.write_string(row, i, shown, text)
        elif column.kind in NUMBERS:
            number = Decimal(value)
            if column.kind == "money":
                number = number.quantize(FEN, ROUND_HALF_UP)
            exact = trimmed(number)
            if len(exact.as_tuple().digits) > EXACT_DIGITS:
                sheet.write_string(row, i, show(column, value), text)
            else:
                # A Decimal is formatted as it is; a float would be written with 16 digits, 0.07 as 0.07000000000000001.
                sheet.write_number(row, i, exact, typed)
        else:
            sheet.write_datetime(row, i, _moment(column, value), typed)


def _moment(column: Column, value: date | datetime) -> date | datetime:
    if isinstance(value, datetime):
        wall = local(value)
        return wall.date() if column.kind == "date" else wall.replace(tzinfo=None, microsecond=0)
    return value


def _units(text: str) -> float:
    """Width in half-width characters."""
    return len(text) if text.isascii() else sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _sheet_name(title: str, number: int) -> str:
    """At most 31 characters without those a sheet's name can't have."""
    plain = "".join(" " if c in "[]:*?/\\'" else c for c in title).strip() or "报表"
    suffix = f" ({number})" if number > 1 else ""
    return plain[:31 - len(suffix)] + suffix
