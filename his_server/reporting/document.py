"""Documents that are no table: vouchers, receipts, prescriptions, bottle labels, as a flow of blocks."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import IO, Any, Literal, Self

from reportlab.graphics.barcode import code128, qrencoder

from .fonts import printable, text_width
from .layout import draw_row, heading, physical, plan, texts, wrap
from .page import MM, ROLL_LIMIT, Sheet, margins, paper_size
from .table import Column, Report, Row, lines

Draw = Callable[[Sheet, float, float], None]
SIZES = {"A4": 10.5, "A5": 9.5, "80mm": 8.5, "58mm": 8.0}
TABLE_FLOOR = {"80mm": 7.0, "58mm": 7.0, "A4": 9.0, "A5": 9.0}
"""Smallest size of a table by paper (M1.11); 7 on labels and pin-feed paper."""


@dataclass(slots=True)
class Piece:
    """What stays together on a page: height, and draw(sheet, x, top). `repeat` is drawn first when a page
    begins with this piece (the header of a table); `keep` keeps the piece on one page with the next."""

    height: float
    draw: Draw
    repeat: Piece | None = None
    keep: bool = False


class Document:
    """A document as a flow of blocks; each method adds one and returns the document.

    `paper` as in `paper_size` (A4, A5, 80mm, 241mm/2, '70x50mm' …); `size` is the body font size in points,
    None = by paper. `reprint` is the boxed mark of a later print, `watermark` a text under the content. The
    same calls give the same bytes, so a reprint differs from the first print by its mark alone (M1.6).
    Characters that no font has are drawn as [U+XXXX]. Raises ValueError for an unknown paper.
    """

    def __init__(self, paper: str = "A5", *, name: str = "", landscape: bool = False, size: float | None = None,
                 reprint: str | None = None, watermark: str | None = None) -> None:
        self.width, self.height = paper_size(paper, landscape)
        self.side, self.edge = margins(paper)
        self.inner = self.width - 2 * self.side
        label = self.height is not None and self.height < 80 * MM
        self.size = size or SIZES.get(paper, 8.0 if label else 9.5)
        self.paper, self.name = paper, name
        self.reprint, self.watermark = reprint, watermark
        self.pieces: list[Piece] = []

    def title(self, text: str, *, size: float | None = None) -> Self:
        """A centred bold heading; the first one also names the PDF."""
        self.name = self.name or text
        self.line(text, size=size or self.size * 1.5, bold=True, align="center", keep=True).gap(0.8)
        self.pieces[-1].keep = True
        return self

    def line(self, text: str, *, size: float | None = None, bold: bool = False,
             align: Literal["left", "center", "right"] = "left", keep: bool = False) -> Self:
        """A paragraph, wrapped; line breaks in the text are kept."""
        actual = size or self.size
        x = {"left": 0.0, "center": self.inner / 2, "right": self.inner}[align]
        parts = [p for t in text.split("\n") for p in wrap(printable(t), actual, self.inner) or ("",)]
        for i, part in enumerate(parts):
            def draw(sheet: Sheet, left: float, top: float, part: str = part) -> None:
                sheet.text(left + x, top - actual * 1.08, part, actual, align=align, bold=bold)
            self.pieces.append(Piece(actual * 1.38, draw, keep=keep or i + 1 < min(len(parts), 3)))
        return self

    def pairs(self, items: Iterable[tuple[str, str]], *, columns: int = 2, size: float | None = None,
              bold_values: bool = False) -> Self:
        """Labels with values in a grid of equal columns ('姓名：张三'). A value that is wider than its cell takes
        further cells of the row, a row of its own if need be, then further lines. An empty value leaves its
        place for the pen."""
        actual = size or self.size
        cell = self.inner / columns
        rows: list[list[tuple[int, str, tuple[str, ...]]]] = [[]]
        free = columns
        for name, given in items:
            label, value = printable(name) + "：", printable(given)
            span = min(ceil((text_width(label + value, actual) + 4) / cell), columns) if value else 1
            if span > free:
                rows.append([])
                free = columns
            room = max(cell * span - text_width(label, actual) - 4, 2 * actual)
            rows[-1].append((columns - free, label, wrap(value, actual, room) if value else ()))
            free -= span
        for row in rows:
            count = max((len(values) for *_, values in row), default=0)

            def draw(sheet: Sheet, left: float, top: float,
                     row: list[tuple[int, str, tuple[str, ...]]] = row) -> None:
                for place, label, values in row:
                    x = left + place * cell
                    sheet.text(x, top - actual * 1.08, label, actual)
                    after = x + text_width(label, actual)
                    for n, value in enumerate(values):
                        sheet.text(after, top - actual * (1.08 + 1.3 * n), value, actual, bold=bold_values)
            if row:
                self.pieces.append(Piece(actual * (0.1 + 1.3 * max(count, 1)), draw))
        return self

    def table(self, columns: Sequence[Column], rows: Iterable[Row], *, size: float | None = None,
              grid: bool | None = None, unmasked: bool = True) -> Self:
        """A table over the full width with the total of the columns that have one; its header is repeated on
        every page. `grid`: vertical lines too (None: not on rolls and labels). Unlike a report, a document
        shows its own person's data, so masked columns are shown unless `unmasked` is False. Raises
        ValueError for a table that does not fit the width at 7 pt."""
        actual = size or self.size
        ruled = self.inner > 100 * MM if grid is None else grid
        report = Report(self.name or "document", self.name, columns)
        cells = texts(columns, list(lines(report, rows, unmasked=unmasked)))
        laid = plan(columns, cells, self.inner, actual, min(TABLE_FLOOR.get(self.paper, 7.0), actual))
        if len(laid.parts) > 1:
            raise ValueError(f"a table of {len(columns)} columns does not fit {self.paper}")
        part = laid.parts[0]
        # A document's table always fills the width, so that its amounts stand under each other.
        stretch = self.inner / sum(w for _, w in part)
        part = [(i, w * stretch) for i, w in part]
        laid.widths = dict(part)
        tallest = (self.height or ROLL_LIMIT) - 2 * self.edge - 4 * actual

        def piece(row: Any, repeat: Piece | None, keep: bool = False) -> Piece:
            def draw(sheet: Sheet, left: float, top: float) -> None:
                draw_row(sheet, columns, part, row, left, top, laid.size, grid=ruled)
            return Piece(row.height, draw, repeat, keep)

        head = piece(heading(columns, laid), None, keep=True)
        self.gap(0.8).pieces.append(head)
        on_paper = [p for row in cells for p in physical(columns, row, laid, tallest)]
        for row, after in zip(on_paper, [*on_paper[1:], None], strict=True):
            # A total doesn't stand alone on a page.
            self.pieces.append(piece(row, head, keep=after is not None and after.kind != "row"))
        return self.gap(1)

    def rule(self, *, dashed: bool = False) -> Self:
        """A line across, dashed for tearing off."""
        def draw(sheet: Sheet, left: float, top: float) -> None:
            if dashed:
                sheet.canvas.setDash(2, 2)
            sheet.rules([(left, top - 2.5, left + self.inner, top - 2.5)])
            if dashed:
                sheet.canvas.setDash()
        self.pieces.append(Piece(5, draw))
        return self

    def gap(self, mm: float) -> Self:
        """Empty height."""
        self.pieces.append(Piece(mm * MM, lambda sheet, left, top: None))
        return self

    def barcode(self, text: str, *, height_mm: float = 10, align: Literal["left", "center", "right"] = "center",
                caption: bool = True) -> Self:
        """A Code 128 with its text under it. Raises ValueError for other than visible ASCII, or if its bars
        would be thinner than 0.19 mm (the narrowest that 203 dpi printers and common readers manage)."""
        if not text or not text.isascii() or not text.isprintable():
            raise ValueError("Code 128 takes visible ASCII only")
        thin = code128.Code128(text, barWidth=1, barHeight=1, quiet=False)
        bar = min(0.33 * MM, self.inner / (thin.width + 20))
        if bar < 0.19 * MM:
            raise ValueError(f"a barcode of {len(text)} characters does not fit {self.paper}")
        code = code128.Code128(text, barWidth=bar, barHeight=height_mm * MM, quiet=False)
        size = 9.0
        spare = {"left": 10 * bar, "center": (self.inner - code.width) / 2, "right": self.inner - code.width - 10 * bar}

        def draw(sheet: Sheet, left: float, top: float) -> None:
            x = left + spare[align]
            code.drawOn(sheet.canvas, x, top - 2 - height_mm * MM)
            if caption:
                sheet.text(x + code.width / 2, top - height_mm * MM - 2 - size, text, size, align="center")
        self.pieces.append(Piece(height_mm * MM + 4 + (size * 1.2 if caption else 0), draw))
        return self

    def qr(self, text: str, *, size_mm: float = 25, align: Literal["left", "center", "right"] = "center") -> Self:
        """A QR code (UTF-8 without ECI, error correction M) with its quiet zone inside `size_mm`. Raises ValueError if
        the text needs modules below 0.25 mm at this size."""
        code = qrencoder.QRCode(None, qrencoder.QRErrorCorrectLevel.M)
        code.addData(qrencoder.QR8bitByte(text.encode()))
        code.make()
        count = code.getModuleCount()
        module = size_mm * MM / (count + 8)
        if module < 0.25 * MM:
            raise ValueError(f"{len(text)} characters do not fit a QR code of {size_mm} mm")
        runs = _dark_runs(code, count)
        spare = {"left": 0.0, "center": (self.inner - size_mm * MM) / 2, "right": self.inner - size_mm * MM}[align]

        def draw(sheet: Sheet, left: float, top: float) -> None:
            x, y = left + spare + 4 * module, top - 4 * module
            path = sheet.canvas.beginPath()
            for row, column, length in runs:
                path.rect(x + column * module, y - (row + 1) * module, length * module, module)
            sheet.canvas.setFillGray(0)
            sheet.canvas.drawPath(path, stroke=0, fill=1)
        self.pieces.append(Piece(size_mm * MM, draw))
        return self

    def save(self, file: IO[bytes] | str) -> int:
        """Write the PDF; return the number of pages. Documents of several pages carry 第x页 共y页."""
        pages = self._pages()
        foot = len(pages) > 1
        sheet = Sheet(file, self.name, watermark=self.watermark, reprint=self.reprint)
        for number, page in enumerate(pages, 1):
            tall = sum(p.height for p in page) + 2 * self.edge + self._mark
            height = self.height or min(max(tall, 20 * MM), ROLL_LIMIT)
            sheet.begin(self.width, height, self.side)
            top = height - self.edge - self._mark
            for piece in page:
                piece.draw(sheet, self.side, top)
                top -= piece.height
            if foot:
                sheet.text(self.width / 2, self.edge * 0.5, f"第{number}页 共{len(pages)}页", 8, align="center")
            sheet.end()
        sheet.save()
        return len(pages)

    def to_bytes(self) -> bytes:
        """The PDF."""
        out = io.BytesIO()
        self.save(out)
        return out.getvalue()

    @property
    def _mark(self) -> float:
        # Paper with a narrow top margin would have the reprint mark over its title.
        return max(13 - self.edge, 0.0) if self.reprint else 0.0

    def _pages(self) -> list[list[Piece]]:
        body = (self.height or ROLL_LIMIT) - 2 * self.edge - self._mark
        pages: list[list[Piece]] = [[]]
        left = body
        for i, piece in enumerate(self.pieces):
            need = piece.height
            at = i
            while self.pieces[at].keep and at + 1 < len(self.pieces):
                at += 1
                need += self.pieces[at].height
            if need > left and pages[-1] and (piece.height > left or need <= body):
                pages.append([])
                left = body
                if piece.repeat is not None:
                    pages[-1].append(piece.repeat)
                    left -= piece.repeat.height
            pages[-1].append(piece)
            left -= piece.height
        return pages


def _dark_runs(code: Any, count: int) -> list[tuple[int, int, int]]:
    """Dark modules as (row, first column, length) runs: fewer rectangles, no hairlines between them."""
    found: list[tuple[int, int, int]] = []
    for row in range(count):
        start = None
        for column in range(count + 1):
            dark = column < count and code.isDark(row, column)
            if dark and start is None:
                start = column
            elif not dark and start is not None:
                found.append((row, start, column - start))
                start = None
    return found
