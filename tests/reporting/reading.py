"""What is drawn on a PDF page, piece by piece, read from its content stream and the fonts' own maps."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from pypdf.generic import ContentStream


class Drawn(NamedTuple):
    """One text drawn in one go: its size and where it begins, in points from the lower left corner."""

    text: str
    size: float
    x: float
    y: float


def _map(font: Any) -> dict[int, str]:
    lines = font["/ToUnicode"].get_data().decode()
    return {int(code, 16): bytes.fromhex(target).decode("utf-16-be")
            for code, target in re.findall(r"^<([0-9A-F]{2})> <((?:[0-9A-F]{4})+)>$", lines, re.MULTILINE)}


def drawn(page: Any) -> list[Drawn]:
    """All text of the page in drawing order, the rotated watermark left out."""
    fonts = {name: _map(font.get_object()) for name, font in page["/Resources"]["/Font"].items()}
    found: list[Drawn] = []
    current: dict[int, str] = {}
    size = 0.0
    at: tuple[float, float] | None = None
    for operands, operator in ContentStream(page.get_contents(), page.pdf).operations:
        if operator == b"Tf":
            current, size = fonts[operands[0]], float(operands[1])
        elif operator == b"Tm":
            at = (float(operands[4]), float(operands[5]))
            found.append(Drawn("", size, *at))
        elif operator == b"ET":
            at = None
        elif operator == b"Tj" and found and at is not None:
            raw = operands[0]
            data = raw.original_bytes if hasattr(raw, "original_bytes") else bytes(raw)
            found[-1] = Drawn(found[-1].text + "".join(current[b] for b in data), size, *at)
    return [d for d in found if d.text.strip()]
