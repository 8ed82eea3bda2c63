"""A table as a hospital hands it over: CSV (UTF-8 or GB 18030) or xlsx; cells as text, with their row numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

MAX_ROWS = 500_000


@dataclass(frozen=True)
class CellError:
    """A bad cell: row number as the file shows it (the header is row 1), column, and why, in Chinese."""

    row: int
    column: str
    message: str

    def __str__(self) -> str:
        return f"第 {self.row} 行，{self.column}：{self.message}"


@dataclass(frozen=True)
class TableRow:
    """A row of text cells by column name."""

    number: int
    cells: Mapping[str, str]


class TableError(ValueError):
    """The file as a whole can't be read; the message is Chinese."""


def read_table(path: Path | Traversable) -> tuple[list[str], list[TableRow]]:
    """Header and rows of a file; blank rows are left out.

    :raises TableError: not a CSV or xlsx file, no header, twice the same column, or too many rows.
    """
    if str(path).lower().endswith(".xlsx"):
        lines = _xlsx(path)
    elif str(path).lower().endswith(".csv"):
        lines = _csv(path)
    else:
        raise TableError("只能导入 .xlsx 或 .csv 文件")
    header = [cell.strip() for cell in next(lines, (1, []))[1]]
    while header and not header[-1]:
        header.pop()
    if not header:
        raise TableError("文件没有表头")
    if len(set(header)) != len(header):
        raise TableError("表头有重复的列名")
    rows = []
    for number, cells in lines:
        if any(cell.strip() for cell in cells):
            padded = [*cells, *[""] * (len(header) - len(cells))]
            rows.append(TableRow(number, {name: cell.strip() for name, cell in zip(header, padded, strict=False)}))
        if len(rows) > MAX_ROWS:
            raise TableError(f"文件超过 {MAX_ROWS} 行，请分成几个文件")
    return header, rows


def _csv(path: Path | Traversable) -> Iterator[tuple[int, list[str]]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError as error:
            raise TableError("文件编码既不是 UTF-8 也不是 GB 18030") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    for cells in reader:
        yield reader.line_num, cells


def _xlsx(path: Path | Traversable) -> Iterator[tuple[int, list[str]]]:
    from openpyxl import load_workbook

    try:
        with path.open("rb") as file:
            book = load_workbook(io.BytesIO(file.read()), read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises whatever its zip and xml readers raise
        raise TableError("不是有效的 xlsx 文件，请用 Excel 或 WPS 另存为 .xlsx 后重试") from error
    for number, cells in enumerate(book.worksheets[0].iter_rows(values_only=True), 1):
        yield number, [_text(cell) for cell in cells]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == datetime.min.time() else value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):  # a spreadsheet's numbers are binary: repr gives back what was typed
        return f"{value:.0f}" if value == int(value) else repr(value)
    return str(value)
