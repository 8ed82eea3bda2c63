"""Paper, and a canvas that draws text with a fallback font per character. All lengths are points unless
named mm."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import IO, Any, Literal

from reportlab.pdfgen.canvas import Canvas

from .fonts import MAIN, font_name, printable, runs, text_width

MM = 72 / 25.4
PAPERS: dict[str, tuple[float, float | None]] = {
    "A4": (210, 297), "A5": (148, 210), "80mm": (80, None), "58mm": (58, None),
    "241mm": (241, 279.4), "241mm/2": (241, 139.7), "241mm/3": (241, 93.1),
}
"""Width and height in mm; None = a roll, as long as its content. 241 mm is pin-feed paper, whole, half,
third."""
ROLL_LIMIT = 14400.0
"""Longest page that PDF readers take (200 inches)."""
_CUSTOM = re.compile(r"(\d{2,3}(?:\.\d)?)x(\d{2,3}(?:\.\d)?)mm\Z")


def paper_size(paper: str, landscape: bool = False) -> tuple[float, float | None]:
    """Width and height of a paper in points; labels are written '70x50mm'. Raises ValueError for an unknown
    paper and for a roll in landscape."""
    custom = _CUSTOM.match(paper)
    if custom:
        width, height = float(custom[1]), float(custom[2])
    elif paper in PAPERS:
        width, tall = PAPERS[paper]
        if tall is None:
            if landscape:
                raise ValueError(f"{paper} is a roll and has no landscape")
            return width * MM, None
        height = tall
    else:
        raise ValueError(f"unknown paper {paper!r}; known: {', '.join(PAPERS)}, or WxHmm")
    return (height * MM, width * MM) if landscape else (width * MM, height * MM)


def margins(paper: str) -> tuple[float, float]:
    """Side and top/bottom margin of a paper: printers of rolls and labels print nearly to the edge, pin-feed
    paper has its holes."""
    if paper in ("80mm", "58mm"):
        return 4 * MM, 4 * MM
    if _CUSTOM.match(paper):
        return 3 * MM, 2.5 * MM
    if paper.startswith("241mm"):
        return 14 * MM, 7 * MM
    return (10 * MM, 10 * MM) if paper == "A5" else (12 * MM, 12 * MM)


class Sheet:
    """A PDF under construction. Same calls, same bytes (M1.6: a reprint differs by its mark alone)."""

    def __init__(self, file: IO[bytes] | str, title: str, *, watermark: str | None = None,
                 reprint: str | None = None) -> None:
        self.canvas = Canvas(file, invariant=1, pageCompression=1, initialFontName=font_name())
        self.canvas.setTitle(title)
        self.canvas.setProducer("his-server")
        self.canvas.setCreator("his-server")
        self.canvas.setCatalogEntry("Lang", "zh-CN")
        self.watermark, self.reprint = watermark, reprint
        self.width = self.height = 0.0
        self._texts: dict[float, Any] = {}
        self._grays: dict[float, float] = {}

    def begin(self, width: float, height: float, margin: float) -> None:
        """Start a page; draws the watermark under and the reprint mark into the top right corner."""
        self.width, self.height = width, height
        self.canvas.setPageSize((width, height))
        self._texts, self._grays = {}, {}
        if self.watermark:
            self._draw_watermark(printable(self.watermark))
        if self.reprint:
            self._draw_reprint(printable(self.reprint), margin)

    def end(self) -> None:
        """Finish the page: text goes over what was drawn, plain text first, because the mode that makes text bold
        is part of the page's state and stays."""
        for weight, text in sorted(self._texts.items(), key=itemgetter(0)):
            if weight:
                self.canvas.setLineWidth(weight)
                self.canvas.setStrokeGray(0)
            self.canvas.drawText(text)
        self.canvas.showPage()

    def save(self) -> None:
        """Write the file."""
        self.canvas.save()

    def text(self, x: float, y: float, text: str, size: float, *, align: Literal["left", "center", "right"] = "left",
             bold: bool = False, gray: float = 0.0) -> None:
        """Draw one line of drawable text (`fonts.printable`) with its baseline at y; x is where `align` says.
        Bold is drawn by a thin outline: no second font has the rare characters."""
        if not text:
            return
        if align != "left":
            width = text_width(text, size)
            x -= width if align == "right" else width / 2
        weight = round(size / 32, 2) if bold else 0.0
        drawn = self._texts.get(weight)
        if drawn is None:
            drawn = self._texts[weight] = self.canvas.beginText()
            if weight:
                drawn.setTextRenderMode(2)
        if self._grays.get(weight, 0.0) != gray:
            drawn.setFillGray(gray)
            self._grays[weight] = gray
        for pack, part in runs(text):
            drawn.setTextOrigin(x, y)
            drawn.setFont(font_name(pack), size)
            drawn.textOut(part)
            x += text_width(part, size)

    def fill(self, x: float, y: float, width: float, height: float, gray: float) -> None:
        """A filled rectangle without border, lower left corner given."""
        self.canvas.setFillGray(gray)
        self.canvas.rect(x, y, width, height, stroke=0, fill=1)
        self.canvas.setFillGray(0)

    def rules(self, segments: list[tuple[float, float, float, float]], weight: float = 0.4, gray: float = 0.35) -> None:
        """Straight lines (x1, y1, x2, y2)."""
        if segments:
            self.canvas.setLineWidth(weight)
            self.canvas.setStrokeGray(gray)
            self.canvas.lines(segments)
            self.canvas.setStrokeGray(0)

    def _draw_watermark(self, text: str) -> None:
        canvas, size = self.canvas, 16.0
        step = max(text_width(text, size) + 60, 160)
        canvas.saveState()
        canvas.setFillGray(0.9)
        canvas.translate(self.width / 2, self.height / 2)
        canvas.rotate(30)
        reach = (self.width + self.height) / 2
        row, y = 0, -reach
        while y < reach:
            x = -reach - (step / 2 if row % 2 else 0)
            while x < reach:
                at = x
                for pack, part in runs(text):
                    canvas.setFont(font_name(pack), size)
                    canvas.drawString(at, y, part)
                    at += text_width(part, size)
                x += step
            row, y = row + 1, y + 110
        canvas.restoreState()

    def _draw_reprint(self, text: str, margin: float) -> None:
        size = 9.0 if self.width > 100 * MM else 7.0
        width = text_width(text, size) + 6
        x, y = self.width - margin - width, self.height - size - 5
        self.canvas.setLineWidth(0.7)
        self.canvas.rect(x, y - 2.5, width, size + 3)
        self.text(x + 3, y, text, size, bold=True)


def load_main_font() -> None:
    """Load the main pack now, so that the first print of a process doesn't wait for it."""
    font_name(MAIN)
