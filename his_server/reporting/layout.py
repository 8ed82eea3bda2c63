"""How a table fits a width: measured columns, wrapped text, unwrapped numbers, wide tables in parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from .fonts import fit, printable, text_width
from .page import Sheet
from .table import Column, Line, show

LEADING = 1.32
PAD_X, PAD_Y = 2.8, 2.0
TEXT_WIDEST = 26.0
TEXT_EASY = 9.0
TEXT_NARROWEST = 5.0
STRETCH = 1.6
# Unbreakable pieces: a run of letters and digits stays whole; closing marks stay with what they close.
_PIECES = re.compile(r"[!-~]+ ?|[^!-~][，。、；：）》」』”’！？℃％]*| ")
_SOLID = re.compile(r"[!-~]{2,}")


@dataclass(slots=True)
class Cells:
    """One line of the table as text: cells[i] belongs to column i."""

    kind: str
    cells: list[str]


@dataclass(slots=True)
class Physical:
    """One line of the table on paper: for each column the text lines in its cell."""

    kind: str
    wrapped: list[list[str]]
    height: float


@dataclass(slots=True)
class Plan:
    """How the table is laid out: font size, and one or more parts, each a list of (column index, width)."""

    size: float
    parts: list[list[tuple[int, float]]]
    widths: dict[int, float] = field(default_factory=dict)


def texts(columns: Sequence[Column], table: Sequence[Line]) -> list[Cells]:
    """All cells as drawable text."""
    keyed = [(c, c.key) for c in columns]
    return [Cells(line.kind, [printable(show(c, line.cells.get(k))) for c, k in keyed]) for line in table]


def plan(columns: Sequence[Column], table: Sequence[Cells], width: float, size: float, floor: float) -> Plan:
    """Fit the columns into `width` points.

    First at `size`, then at smaller sizes down to `floor`: natural widths, stretched a little to fill the page,
    or text columns wrapped but easy to read; else at `floor` with text columns wrapped narrow; else at `size` in
    several parts, the fixed columns (or the first) in each. Numbers and dates are never wrapped. (M1.11, M9.1)
    """
    natural, least = _measure(columns, table)
    easy = [max(s, min(n, TEXT_EASY)) for n, s in zip(natural, least, strict=True)]
    for narrowest, largest in ((easy, size), (least, floor)):
        step = largest
        while step >= floor - 1e-9:
            if (found := _one_part(natural, narrowest, width, step)) is not None:
                return _planned(step, [found])
            step -= 0.5
    return _planned(size, _parts(columns, natural, least, width, size))


def _measure(columns: Sequence[Column], table: Sequence[Cells]) -> tuple[list[float], list[float]]:
    """Natural and least width of each column in em, padding excluded."""
    natural: list[float] = []
    least: list[float] = []
    for i, column in enumerate(columns):
        title = printable(column.title)
        heading = text_width(title, 1.0)
        # A heading may take two lines, but no word of it is cut.
        narrow_heading = max([heading / 2 + 0.5 if heading > 3 else heading,
                              *(text_width(t, 1.0) for t in _SOLID.findall(title))])
        distinct = {row.cells[i] for row in table}
        widest = max((text_width(t, 1.0) for t in distinct), default=0.0)
        if column.kind == "text":
            solid = max((text_width(t, 1.0) for c in distinct for t in _SOLID.findall(c)), default=0.0)
            full = max(min(widest, TEXT_WIDEST), min(heading, TEXT_WIDEST / 2), min(solid, TEXT_WIDEST))
            small = max(min(full, TEXT_NARROWEST), min(solid, TEXT_WIDEST), narrow_heading)
        else:
            full = max(widest, min(heading, max(widest, narrow_heading)))
            small = max(widest, narrow_heading)
        if column.width:
            full = max(column.width / 2, small)
        natural.append(max(full, small))
        least.append(small)
    return natural, least


def _one_part(natural: list[float], least: list[float], width: float, size: float) -> list[tuple[int, float]] | None:
    pads = 2 * PAD_X * len(natural)
    wide, narrow = sum(natural) * size + pads, sum(least) * size + pads
    if wide <= width:
        stretch = min(width / wide, STRETCH)
        return [(i, (w * size + 2 * PAD_X) * stretch) for i, w in enumerate(natural)]
    if narrow > width:
        return None
    share = (width - narrow) / (wide - narrow)
    return [(i, (s + (n - s) * share) * size + 2 * PAD_X)
            for i, (n, s) in enumerate(zip(natural, least, strict=True))]


def _parts(columns: Sequence[Column], natural: list[float], least: list[float], width: float,
           size: float) -> list[list[tuple[int, float]]]:
    """Cut into parts: fixed columns at their least width while they take at most half, then as many as fit."""
    fixed: list[tuple[int, float]] = []
    for i in [i for i, c in enumerate(columns) if c.fixed] or [0]:
        need = least[i] * size + 2 * PAD_X
        if sum(w for _, w in fixed) + need <= width / 2:
            fixed.append((i, need))
    taken = {i for i, _ in fixed}
    room = width - sum(w for _, w in fixed)
    needs = [(i, min(natural[i] * size + 2 * PAD_X, room)) for i in range(len(columns)) if i not in taken]
    fewest = _fill(needs, room)
    even = sum(w for _, w in needs) / len(fewest)
    # As few parts as possible, then about equally wide: the least limit that needs no further part.
    tries = (_fill(needs, even + (room - even) * step / 20) for step in range(20))
    chosen = next((parts for parts in tries if len(parts) == len(fewest)), fewest)
    whole = [[*fixed, *part] for part in chosen]
    stretch = min(STRETCH, *(width / sum(w for _, w in part) for part in whole))
    return [[(i, w * stretch) for i, w in part] for part in whole]


def _fill(needs: Sequence[tuple[int, float]], limit: float) -> list[list[tuple[int, float]]]:
    """Columns in their order, a new part whenever the next would pass the limit."""
    parts: list[list[tuple[int, float]]] = [[]]
    used = 0.0
    for i, need in needs:
        if used + need > limit and parts[-1]:
            parts.append([])
            used = 0.0
        parts[-1].append((i, need))
        used += need
    return parts


def _planned(size: float, parts: list[list[tuple[int, float]]]) -> Plan:
    return Plan(size, parts, {i: w for part in parts for i, w in part})


@lru_cache(maxsize=4096)
def wrap(text: str, size: float, width: float) -> tuple[str, ...]:
    """Cut text into lines that fit `width`; a run of letters and digits is cut only if it alone is wider."""
    if text_width(text, size) <= width:
        return (text,)
    out: list[str] = []
    line, used = "", 0.0
    for piece in _PIECES.findall(text):
        need = text_width(piece.rstrip(" "), size)
        if line and used + need > width:
            out.append(line.rstrip(" "))
            line, used = "", 0.0
        while text_width(piece.rstrip(" "), size) > width:
            head = fit(piece, size, width)
            if head == piece:
                break
            out.append(head)
            piece = piece[len(head):]
        line += piece
        used += text_width(piece, size)
    if line.rstrip(" "):
        out.append(line.rstrip(" "))
    return tuple(out)


def physical(columns: Sequence[Column], row: Cells, laid: Plan, tallest: float) -> list[Physical]:
    """The row on paper; more than one if its text is taller than a page."""
    wrapped = [list(wrap(t, laid.size, laid.widths[i] - 2 * PAD_X)) if c.kind == "text" else [t]
               for i, (c, t) in enumerate(zip(columns, row.cells, strict=True))]
    count = max(map(len, wrapped))
    most = max(int((tallest - 2 * PAD_Y) / (laid.size * LEADING)), 1)
    return [_sized(row.kind, [w[at:at + most] for w in wrapped], laid.size) for at in range(0, count, most)]


def heading(columns: Sequence[Column], laid: Plan) -> Physical:
    """The header row, titles wrapped."""
    wrapped = [list(wrap(printable(c.title), laid.size, laid.widths[i] - 2 * PAD_X)) for i, c in enumerate(columns)]
    return _sized("head", wrapped, laid.size)


def _sized(kind: str, wrapped: list[list[str]], size: float) -> Physical:
    return Physical(kind, wrapped, max(max(map(len, wrapped)), 1) * size * LEADING + 2 * PAD_Y)


def draw_row(sheet: Sheet, columns: Sequence[Column], part: Sequence[tuple[int, float]], row: Physical, x: float,
             top: float, size: float, *, grid: bool = True) -> float:
    """Draw a row with its top edge at `top`; return its bottom edge. A number wider than its cell is drawn smaller."""
    bottom = top - row.height
    right = x + sum(w for _, w in part)
    if row.kind != "row":
        sheet.fill(x, bottom, right - x, row.height, 0.92 if row.kind == "head" else 0.96)
    bold = row.kind != "row"
    at = x
    edges = [(x, top, x, bottom)] if grid else []
    for i, width in part:
        content = row.wrapped[i]
        align = "center" if row.kind == "head" else columns[i].alignment
        inner = {"left": at + PAD_X, "right": at + width - PAD_X, "center": at + width / 2}[align]
        y = top - (row.height - len(content) * size * LEADING) / 2 - size * LEADING * 0.5 - size * 0.36
        for text in content:
            actual = size
            if columns[i].kind != "text" and (need := text_width(text, size)) > width - 2 * PAD_X:
                actual = size * (width - 2 * PAD_X) / need
            sheet.text(inner, y, text, actual, align=align, bold=bold)
            y -= size * LEADING
        at += width
        if grid:
            edges.append((at, top, at, bottom))
    edges.append((x, bottom, right, bottom))
    if row.kind == "head":
        edges.append((x, top, right, top))
    sheet.rules(edges)
    return bottom
