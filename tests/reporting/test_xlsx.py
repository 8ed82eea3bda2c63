"""The xlsx as a spreadsheet program sees it."""

from __future__ import annotations

import io
import re
import tracemalloc
import zipfile
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import openpyxl
import pytest

from his_server.reporting import Column, Report, to_xlsx, xlsx

from .samples import REPORT, rows


def written(report: Report, data: Any, **options: Any) -> tuple[Any, bytes]:
    out = io.BytesIO()
    to_xlsx(report, data, out, **options)
    return openpyxl.load_workbook(io.BytesIO(out.getvalue())), out.getvalue()


def sheet_xml(data: bytes) -> str:
    return zipfile.ZipFile(io.BytesIO(data)).read("xl/worksheets/sheet1.xml").decode()


@pytest.mark.requirement("M9.7", "FN-18")
def test_cells_are_typed() -> None:
    book, _ = written(REPORT, rows(3))
    sheet = book.active
    cells = {c.key: cell for c, cell in zip(REPORT.columns, sheet[6], strict=True)}
    assert [type(c.value) for c in cells.values()] == [
        str, str, str, int, float, float, float, float, datetime, datetime]
    assert cells["amount"].value == 1234.1 and cells["amount"].number_format == "#,##0.00"
    assert cells["day"].value.date() == date(2026, 11, 1) and cells["day"].number_format == "yyyy-mm-dd"
    assert cells["at"].value == datetime(2026, 11, 23, 1, 5, 9)
    assert cells["name"].value == "张*"
    assert [c.value for c in sheet[9]][:7] == ["合计", None, None, 3, None, None, 3705.3]


@pytest.mark.requirement("M9.1", "M9.8", "FN-18")
def test_header_is_there_stays_and_repeats_and_nothing_is_merged_or_blank() -> None:
    sheet = written(REPORT, rows(40))[0].active
    assert [r[0].value for r in sheet.iter_rows(max_row=3)] == ["收费员日报", "某某医院", "统计日期：2026-11-23"]
    assert [c.value for c in sheet[5]] == [c.title for c in REPORT.columns]
    assert sheet.freeze_panes == "B6"
    assert sheet.print_title_rows == "$5:$5" and sheet.print_title_cols == "$A:$A"
    assert not sheet.merged_cells.ranges
    assert all(row[0].value not in (None, "") for row in sheet.iter_rows())
    assert sheet.max_row == 5 + 40 + 1
    assert sheet.auto_filter.ref == "A5:J46"
    assert sheet.page_setup.fitToHeight == 0 and sheet.oddFooter.center.text.startswith("第 &P 页")


def test_without_heading_the_first_row_is_the_header() -> None:
    sheet = written(REPORT, rows(1), heading=False)[0].active
    assert [c.value for c in sheet[1]] == [c.title for c in REPORT.columns]


@pytest.mark.requirement("M9.7")
@pytest.mark.parametrize("amount", [
    "0.10", "0.07", "1234567.89", "99999999999.99", "-0.01", "1000.00", "4.35", "1e10", "0"])
def test_money_is_written_to_the_fen_as_it_is(amount: str) -> None:
    report = Report("m", "金额", [Column("m", "金额", "money")])
    xml = sheet_xml(written(report, [{"m": Decimal(amount)}])[1])
    values = re.findall(r'<c r="A3" s="\d+"><v>([^<]*)</v>', xml)
    assert len(values) == 1 and Decimal(values[0]) == Decimal(amount)


def test_a_number_that_a_spreadsheet_would_change_is_written_as_text() -> None:
    report = Report("m", "数", [Column("m", "数", "quantity"), Column("i", "号", "int")])
    row = written(report, [{"m": Decimal("1234567890123456.789"), "i": 12345678901234567}])[0].active[3]
    assert [c.value for c in row] == ["1,234,567,890,123,456.789", "12,345,678,901,234,567"]
    assert [c.data_type for c in row] == ["s", "s"]


@pytest.mark.requirement("FN-18", "DB-21")
@pytest.mark.parametrize("text", ["=1+1", "+86 138", "-5", "@SUM(A1)", "=HYPERLINK(\"x\")", "http://x", "007", "1e5",
                                  "\tx", "_x0041_", "a\x07b", "𠮷\U0002ebf0", " 前后 ", "a\nb"])
def test_text_stays_the_text_it_was(text: str) -> None:
    report = Report("t", "文字", [Column("t", "文字")])
    book, data = written(report, [{"t": text}])
    cell = book.active["A3"]
    assert "<f>" not in sheet_xml(data) and not book.active._hyperlinks
    assert cell.data_type in ("s", "inlineStr")
    assert openpyxl.utils.escape.unescape(cell.value) == text


def test_unknown_stays_empty_and_too_long_is_refused() -> None:
    report = Report("t", "文字", [Column("t", "文字"), Column("m", "金额", "money")])
    assert [c.value for c in written(report, [{"t": None}])[0].active[3]] == [None, None]
    with pytest.raises(ValueError, match="fit a cell"):
        to_xlsx(report, [{"t": "长" * 32768}], io.BytesIO())


def test_more_rows_than_a_sheet_holds_go_on_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "SHEET_ROWS", 15)
    book, _ = written(REPORT, rows(25))
    assert book.sheetnames == ["收费员日报", "收费员日报 (2)", "收费员日报 (3)"]
    assert sum(s.max_row - 5 for s in book) == 26
    assert all(s["A5"].value == "收据号" for s in book)


def test_a_title_that_is_no_sheet_name_is_made_one() -> None:
    report = Report("t", "收入/支出[2026]:" + "长" * 40, [Column("t", "文字")])
    assert len(written(report, [])[0].sheetnames[0]) == 31


@pytest.mark.requirement("M9.1")
def test_memory_does_not_grow_with_the_rows(tmp_path: Any) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        to_xlsx(REPORT, rows(count), str(tmp_path / "x.xlsx"))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top
    peak(10)
    assert peak(2000) < peak(500) * 1.5


@pytest.mark.requirement("PR-07")
def test_who_takes_it_away_stands_on_each_printed_page_and_in_the_file() -> None:
    book, data = written(REPORT, rows(2), stamp="冯 & 财务 2026-03-02 08:00")
    assert book.properties.creator == "冯 & 财务 2026-03-02 08:00"
    assert "&amp;R导出：冯 &amp;&amp; 财务 2026-03-02 08:00" in sheet_xml(data)
    bare, data = written(REPORT, rows(2))
    assert not bare.properties.creator and "导出" not in sheet_xml(data)
