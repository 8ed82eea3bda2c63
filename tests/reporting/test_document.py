"""Vouchers, receipts, labels."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pypdf
import pytest

from his_server.reporting import Column, Document
from his_server.reporting.fonts import text_width

from .reading import Drawn, drawn

LINES = [Column("item", "项目"), Column("quantity", "数量", "quantity"), Column("amount", "金额", "money", total=True)]


def items(count: int) -> list[dict[str, Any]]:
    return [{"item": f"项目{i}", "quantity": Decimal(1), "amount": Decimal("12.30")} for i in range(count)]


def voucher(paper: str = "A5", count: int = 4, **options: Any) -> Document:
    return (Document(paper, **options).title("门诊收费凭证")
            .pairs([("姓名", "王䶮"), ("门诊号", "M2026112300001"), ("科室", ""), ("收费员", "李四")])
            .table(LINES, items(count)).rule().line("请妥善保管，退费时须出示。", size=8)
            .barcode("M2026112300001").qr("M2026112300001|王䶮"))


def read(document: Document) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(document.to_bytes()))


@pytest.mark.requirement("M1.6")
@pytest.mark.parametrize("paper", ["A4", "A5", "80mm", "241mm/2"])
def test_the_same_document_has_the_same_bytes(paper: str) -> None:
    assert voucher(paper).to_bytes() == voucher(paper).to_bytes()
    document = voucher(paper)
    assert document.to_bytes() == document.to_bytes()


@pytest.mark.requirement("M1.6")
def test_a_reprint_differs_by_its_mark_alone() -> None:
    first, second = read(voucher()), read(voucher(reprint="补打 第2次"))
    one, two = drawn(first.pages[0]), drawn(second.pages[0])
    assert [t for t, *_ in two if (t, *_) not in one] == ["补打 第2次"]
    assert [x for x in one if x not in two] == []
    assert "补打" not in first.pages[0].extract_text()


@pytest.mark.requirement("XC-10", "M1.6")
def test_all_that_was_put_in_is_on_the_page() -> None:
    text = read(voucher()).pages[0].extract_text()
    for part in ("门诊收费凭证", "姓名：", "王䶮", "科室：", "项目3", "12.30", "49.20", "合计", "退费时须出示",
                 "M2026112300001"):
        assert part in text


@pytest.mark.requirement("M9.8")
def test_a_long_table_flows_over_pages_with_its_header() -> None:
    reader = read(voucher(count=90))
    assert len(reader.pages) > 2
    for number, page in enumerate(reader.pages, 1):
        text = page.extract_text()
        assert f"第{number}页 共{len(reader.pages)}页" in text
        assert ("项目" in [t for t, *_ in drawn(page)]) == ("12.30" in text)
    whole = [t for p in reader.pages for t, *_ in drawn(p)]
    assert [t for t in whole if t.startswith("项目") and t != "项目"] == [f"项目{i}" for i in range(90)]
    assert whole.count("1,107.00") == 1


def test_a_roll_is_as_long_as_its_content() -> None:
    short, long = read(voucher("80mm", 3)).pages, read(voucher("80mm", 90)).pages
    assert len(short) == len(long) == 1
    assert float(long[0].mediabox.height) - float(short[0].mediabox.height) > 87 * 8.5
    marked = read(voucher("80mm", 3, reprint="补打")).pages[0]
    assert float(marked.mediabox.height) >= float(short[0].mediabox.height)


def test_a_label_holds_on_one_label() -> None:
    label = (Document("70x50mm").title("输液瓶签").pairs([("姓名", "万俟𠮷"), ("床号", "12床")])
             .line("0.9%氯化钠注射液 250ml\n注射用头孢曲松钠 2g").barcode("PQ0012345", height_mm=8))
    pages = read(label).pages
    assert len(pages) == 1
    assert all(y > 0 for *_, y in drawn(pages[0]))
    assert "注射用头孢曲松钠 2g" in pages[0].extract_text()


def test_a_long_value_takes_further_cells_then_lines_and_nothing_overlaps() -> None:
    items = [("诊断", "肺结核" * 30), ("年龄", "35岁"), ("住址", "江苏省南通市崇川区某某路100号"), ("签名", "")]
    page = read(Document("A5").pairs(items, columns=3)).pages[0]
    right = float(page.mediabox.width) - 10 * 72 / 25.4
    diagnosis = [d for d in drawn(page) if set(d.text) <= set("肺结核")]
    assert "".join(d.text for d in diagnosis) == "肺结核" * 30 and len(diagnosis) > 1
    assert all(d.x + text_width(d.text, d.size) <= right + 0.1 for d in drawn(page))
    by_line: dict[float, list[Drawn]] = {}
    for piece in drawn(page):
        by_line.setdefault(piece.y, []).append(piece)
    for line in by_line.values():
        line.sort(key=lambda d: d.x)
        assert all(a.x + text_width(a.text, a.size) <= b.x + 0.1 for a, b in pairwise(line))
    places = {d.text: d for d in drawn(page)}
    assert places["年龄："].y == places["住址："].y > places["签名："].y


def test_a_heading_is_not_left_behind_at_the_foot_of_a_page() -> None:
    for filler in range(30, 60):
        document = Document("A5")
        for i in range(filler):
            document.line(f"行{i}")
        pages = read(document.title("小标题").line("正文")).pages
        with_title = [p for p in pages if "小标题" in p.extract_text()]
        assert len(with_title) == 1 and "正文" in with_title[0].extract_text()


@pytest.mark.parametrize("text", ["", "张三", "a\tb", "é"])
def test_code_128_refuses_what_it_cannot_carry(text: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        Document("A5").barcode(text)


def test_codes_that_no_reader_could_read_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Document("58mm").barcode("M" * 40)
    with pytest.raises(ValueError, match="do not fit"):
        Document("A5").qr("长" * 400, size_mm=15)
    with pytest.raises(ValueError, match="does not fit"):
        Document("58mm").table([Column(f"c{i}", f"金额{i}", "money") for i in range(12)],
                               [{f"c{i}": Decimal(1234567) for i in range(12)}])


def test_qr_draws_every_dark_module() -> None:
    from reportlab.graphics.barcode import qrencoder

    from his_server.reporting.document import _dark_runs
    code = qrencoder.QRCode(None, qrencoder.QRErrorCorrectLevel.M)
    code.addData(qrencoder.QR8bitByte("M1|王䶮".encode()))
    code.make()
    count = code.getModuleCount()
    dark = {(r, c) for r in range(count) for c in range(count) if code.isDark(r, c)}
    assert {(r, c + i) for r, c, n in _dark_runs(code, count) for i in range(n)} == dark
    page = read(Document("A5").qr("M1|王䶮")).pages[0]
    content = page.get_contents()
    assert content is not None and content.get_data().count(b" re") >= len(_dark_runs(code, count))


def test_threads_print_at_the_same_time_without_disturbing_each_other() -> None:
    def make(number: int) -> bytes:
        return voucher(watermark=f"用户{number}").line("".join(map(chr, range(0x4E00 + number, 0x4F00)))).to_bytes()
    alone = [make(n) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(make, [*range(8)] * 6)) == alone * 6
