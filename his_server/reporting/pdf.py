"""A table report as PDF: readable size, header on every page, page numbers, wide tables in parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO

from .fonts import printable, text_width
from .layout import Cells, Physical, Plan, draw_row, heading, physical, plan, texts, wrap
from .page import ROLL_LIMIT, Sheet, margins, paper_size
from .table import Column, Report, Row, lines

SIZE = {"A4": 9.5, "A5": 9.0, "80mm": 8.5, "58mm": 8.0}
FLOOR = {"80mm": 7.5, "58mm": 7.0}
"""Smallest body size in points by paper; 9 (小五) elsewhere. M1.11: one page with too small a print is what people
complained of, so beyond this the table takes more pages."""
LEAST = 9.0
TITLE, SUBTITLE, FOOT = 15.0, 9.0, 9.0


def to_pdf(report: Report, rows: Iterable[Row], file: IO[bytes] | str, *, paper: str = "A4",
           landscape: bool | None = None, unmasked: bool = False, reprint: str | None = None,
           watermark: str | None = None) -> int:
    """Write the report as PDF; return the number of pages.

    `paper`: A4, A5, 80mm, 58mm (rolls: one page as long as needed), 241mm, 241mm/2, 241mm/3, or WxHmm.
    `landscape`: None = as the report says; a roll has none. `reprint`: text of the boxed mark in the corner ('补打
    第2次 2026-11-23 10:05'), `watermark`: text under the table (user, time). Every page has title, subtitle,
    column header and 第x页 共y页; a table too wide at the smallest readable size is cut into parts, page by
    page, with the fixed columns in each. Same input, same bytes. Holds the text of all rows in memory.
    Raises ValueError for an unknown paper. (M1.6, M1.11, M9.1, M9.8, FN-18)
    """
    flat = report.orientation == "landscape" if landscape is None else landscape
    roll = paper_size(paper)[1] is None
    width, height = paper_size(paper, flat and not roll)
    side, edge = margins(paper)
    inner = width - 2 * side
    columns = report.columns
    table = texts(columns, list(lines(report, rows, unmasked=unmasked)))
    size = SIZE.get(paper, 9.5)
    laid = plan(columns, table, inner, size, FLOOR.get(paper, LEAST))
    title = _Title(report, inner, small=roll)
    head = heading(columns, laid)
    foot = 0.0 if roll else FOOT + 6
    tall = ROLL_LIMIT if height is None else height
    body = tall - 2 * edge - title.height - foot - head.height
    if body < 3 * size:
        raise ValueError(f"paper {paper} is too small for the header of report {report.name}")
    pages = _pages(columns, table, laid, body)
    total = len(pages) * len(laid.parts)
    sheet = Sheet(file, report.title, watermark=watermark, reprint=reprint)
    number = 0
    for page in pages:
        for index, part in enumerate(laid.parts, 1):
            number += 1
            used = sum(r.height for r in page) + head.height + title.height + 2 * edge
            page_height = used if height is None else height
            sheet.begin(width, page_height, side)
            y = title.draw(sheet, side, page_height - edge, inner)
            x = side + max((inner - sum(w for _, w in part)) / 2, 0)
            for row in (head, *page):
                y = draw_row(sheet, columns, part, row, x, y, laid.size)
            if foot:
                note = f"第{number}页 共{total}页"
                if len(laid.parts) > 1:
                    note += f"（列 {index}/{len(laid.parts)}）"
                sheet.text(width / 2, edge, note, FOOT, align="center", gray=0.25)
            sheet.end()
    sheet.save()
    return total


class _Title:
    """Title and subtitle lines, the same on every page; subtitles share a line while they fit."""

    def __init__(self, report: Report, width: float, *, small: bool) -> None:
        self.size = 12.0 if small else TITLE
        self.title = wrap(printable(report.title), self.size, width)
        self.subtitle: list[list[str]] = []
        for text in map(printable, report.subtitle):
            for line in wrap(text, SUBTITLE, width):
                row = self.subtitle[-1] if self.subtitle else []
                if row and sum(text_width(t, SUBTITLE) + 24 for t in row) + text_width(line, SUBTITLE) <= width:
                    row.append(line)
                else:
                    self.subtitle.append([line])
        self.height = len(self.title) * self.size * 1.35 + len(self.subtitle) * SUBTITLE * 1.45 + 6

    def draw(self, sheet: Sheet, x: float, top: float, width: float) -> float:
        for text in self.title:
            sheet.text(x + width / 2, top - self.size, text, self.size, align="center", bold=True)
            top -= self.size * 1.35
        for row in self.subtitle:
            free = width - sum(text_width(t, SUBTITLE) for t in row)
            at = x
            for text in row:
                sheet.text(at, top - SUBTITLE, text, SUBTITLE)
                at += text_width(text, SUBTITLE) + (free / (len(row) - 1) if len(row) > 1 else 0)
            top -= SUBTITLE * 1.45
        return top - 6


def _pages(columns: Sequence[Column], table: list[Cells], laid: Plan, body: float) -> list[list[Physical]]:
    """Rows page by page; an empty report has one page with its header. A total never stands alone on a
    page."""
    pages: list[list[Physical]] = [[]]
    left = body
    for row in table:
        for piece in physical(columns, row, laid, body):
            if piece.height > left and pages[-1]:
                carry = [pages[-1].pop()] if piece.kind != "row" and len(pages[-1]) > 1 else []
                pages.append(carry)
                left = body - sum(p.height for p in carry)
            pages[-1].append(piece)
            left -= piece.height
    return pages
