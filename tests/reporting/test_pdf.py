"""Printed tables: readable, complete, numbered, the same every time."""

from __future__ import annotations

import io
import re
from decimal import Decimal
from typing import Any

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from his_server.reporting import Column, Report, show, to_pdf
from his_server.reporting.fonts import text_width
from his_server.reporting.layout import wrap

from .reading import drawn
from .samples import REPORT, rows


def printed(report: Report, data: Any, **options: Any) -> pypdf.PdfReader:
    out = io.BytesIO()
    pages = to_pdf(report, data, out, **options)
    reader = pypdf.PdfReader(io.BytesIO(out.getvalue()))
    assert len(reader.pages) == pages
    return reader


@pytest.mark.requirement("M1.11", "M9.8", "FN-18")
@pytest.mark.parametrize(("paper", "landscape", "floor"), [
    ("A4", False, 8), ("A4", True, 8), ("A5", True, 8), ("241mm", False, 8), ("241mm/2", False, 8)])
def test_every_page_has_title_header_and_number_and_is_readable(paper: str, landscape: bool, floor: float) -> None:
    reader = printed(REPORT, rows(150), paper=paper, landscape=landscape)
    count = len(reader.pages)
    assert count > 2
    for number, page in enumerate(reader.pages, 1):
        text = page.extract_text()
        assert "收费员日报" in text and "操作员：李四" in text and "收据号" in text
        assert f"第{number}页 共{count}页" in text
        assert min(size for _, size, _, _ in drawn(page)) >= floor
        width, height = float(page.mediabox.width), float(page.mediabox.height)
        assert all(0 < x < width and 0 < y < height for _, _, x, y in drawn(page))


@pytest.mark.requirement("M9.1", "M1.11")
@pytest.mark.parametrize("paper", ["A4", "A5", "80mm"])
def test_no_number_or_date_is_wrapped_and_every_row_is_there(paper: str) -> None:
    reader = printed(REPORT, rows(45), paper=paper)
    cells = [text for page in reader.pages for text, *_ in drawn(page)]
    for row in rows(45):
        for column in REPORT.columns:
            if column.kind != "text":
                assert show(column, row[column.key]) in cells
        assert row["no"] in cells
    assert show(REPORT.columns[6], sum(r["amount"] for r in rows(45))) in cells
    assert "合计" in cells


def wide(count: int) -> Report:
    return Report("wide", "分类收入汇总", [Column("who", "收费员", fixed=True), *(
        Column(f"c{i}", f"第{i}类收入", "money", total=True) for i in range(count))])


@pytest.mark.requirement("M9.1", "M1.11")
def test_a_wide_table_is_cut_into_parts_with_the_fixed_columns_in_each() -> None:
    report = wide(40)
    data = [{"who": f"收费员{n}", **{f"c{i}": Decimal(1234567) + n + i for i in range(40)}} for n in range(60)]
    reader = printed(report, data, landscape=True)
    seen: dict[str, int] = {}
    for page in reader.pages:
        texts = [text for text, *_ in drawn(page)]
        assert "收费员" in texts
        for text in texts:
            if re.fullmatch(r"第\d+类收入", text):
                seen[text] = seen.get(text, 0) + 1
        assert min(size for _, size, _, _ in drawn(page)) >= 8
        people = [t for t in texts if re.fullmatch(r"收费员\d+", t)]
        assert people and len(people) == len(set(people))
    assert set(seen) == {f"第{i}类收入" for i in range(40)} and len(set(seen.values())) == 1
    assert "（列 1/" in reader.pages[0].extract_text()
    both = [{t for t, *_ in drawn(p) if re.fullmatch(r"收费员\d+", t)} for p in reader.pages[:2]]
    assert both[0] == both[1]


def test_parts_are_as_few_as_possible_and_about_equally_wide() -> None:
    reader = printed(wide(16), [{"who": "张三", **{f"c{i}": Decimal(123456) for i in range(16)}}], landscape=False)
    counts = [sum(t == "123,456.00" for t, *_ in drawn(p)) / 2 for p in reader.pages]
    assert sum(counts) == 16 and len(counts) == 2 and max(counts) - min(counts) <= 2


def test_a_narrow_table_is_one_part_at_full_size() -> None:
    reader = printed(wide(3), [{"who": "张三", "c0": Decimal(1)}])
    assert len(reader.pages) == 1 and "列" not in reader.pages[0].extract_text()
    assert {size for text, size, *_ in drawn(reader.pages[0]) if text in ("张三", "1.00")} == {9.5}


@pytest.mark.requirement("M1.6")
def test_the_same_report_has_the_same_bytes_and_a_reprint_only_its_mark_more() -> None:
    first, again, reprint = io.BytesIO(), io.BytesIO(), io.BytesIO()
    to_pdf(REPORT, rows(30), first)
    to_pdf(REPORT, rows(30), again)
    to_pdf(REPORT, rows(30), reprint, reprint="补打 第2次 李四 2026-11-23 10:05")
    assert first.getvalue() == again.getvalue()
    one, two = (pypdf.PdfReader(io.BytesIO(f.getvalue())) for f in (first, reprint))
    for before, after in ((drawn(a), drawn(b)) for a, b in zip(one.pages, two.pages, strict=True)):
        assert [t for t, *_ in after if (t, *_) not in before] == ["补打 第2次 李四 2026-11-23 10:05"]
        assert [x for x in before if x not in after] == []


def test_watermark_is_on_every_page_under_the_table() -> None:
    reader = printed(REPORT, rows(60), watermark="李四 2026-11-23 10:05")
    assert all(page.extract_text().count("李四 2026-11-23") >= 1 for page in reader.pages)


def test_a_roll_is_one_page_as_long_as_its_table() -> None:
    report = Report("r", "交班小条", [Column("k", "项目"), Column("m", "金额", "money", total=True)], subtitle=["李四"])
    short, long = (printed(report, [{"k": f"项目{i}", "m": Decimal(i)} for i in range(n)], paper="80mm")
                   for n in (3, 60))
    assert len(short.pages) == len(long.pages) == 1
    assert float(short.pages[0].mediabox.width) == pytest.approx(80 * 72 / 25.4)
    assert float(long.pages[0].mediabox.height) > 5 * float(short.pages[0].mediabox.height)


def test_an_empty_report_has_its_header_and_a_zero_total() -> None:
    text = printed(REPORT, []).pages[0].extract_text()
    assert "收据号" in text and "合计" in text and "0.00" in text and "第1页 共1页" in text


def test_text_longer_than_a_page_goes_on_over_pages_complete() -> None:
    report = Report("r", "病情", [Column("a", "号"), Column("t", "说明")])
    long = "".join(chr(0x4E00 + i) for i in range(6000))
    reader = printed(report, [{"a": "1", "t": long}], paper="A5")
    assert len(reader.pages) > 2
    assert "".join(t for p in reader.pages for t, *_ in drawn(p) if len(t) > 2 and t in long) == long


def test_masked_columns_are_masked_unless_told() -> None:
    assert "张*" in printed(REPORT, rows(1)).pages[0].extract_text()
    assert "张三" in printed(REPORT, rows(1), unmasked=True).pages[0].extract_text()


def test_a_total_is_never_alone_on_a_page() -> None:
    report = Report("r", "合计", [Column("k", "项目"), Column("m", "金额", "money", total=True)])
    for count in range(30, 60):
        reader = printed(report, [{"k": f"第{i}行", "m": Decimal(1)} for i in range(count)])
        assert "行" in reader.pages[-1].extract_text()


def test_unknown_paper_is_refused() -> None:
    for paper in ("A7", "0x0mm", "a4"):
        with pytest.raises(ValueError, match="unknown paper"):
            to_pdf(REPORT, [], io.BytesIO(), paper=paper)
    with pytest.raises(ValueError, match="too small"):
        to_pdf(REPORT, [], io.BytesIO(), paper="40x20mm")


@settings(max_examples=200)
@given(st.text("张三丰，。（）阿莫西林0123456789.abcXYZ ×%", max_size=60), st.integers(20, 200))
def test_wrapped_text_is_complete_and_fits(text: str, width: int) -> None:
    lines = wrap(text, 9.0, float(width))
    assert re.sub(" ", "", "".join(lines)) == re.sub(" ", "", text)
    for line in lines:
        assert text_width(line.rstrip(" "), 9.0) <= width + 0.01 or len(line) == 1


def test_a_word_is_cut_only_if_it_alone_is_wider() -> None:
    assert wrap("收据SJ2026112300001已退", 9.0, 80.0) == ("收据", "SJ2026112300001", "已退")
    assert wrap("你好，世界", 10.0, 20.0) == ("你", "好，", "世界")
