"""The embedded fonts of every printed page, and which of them has a character.

`sans` (from Noto Sans CJK SC, SIL OFL 1.1) has letters, signs and common Han; `rare-*` (from HanaMin,
Hanazono Font License) have the rest of the extension blocks A to F; `stone` (from BabelStone Han 16, Arphic
Public License) what exists of G and H and all of I. Together: all Han characters of GB 18030-2022 in the
basic block and extensions A–F and I (the 622 of amendment 1), 3,469 of 4,939 in G, 2,382 of 4,192 in H. A
character without a glyph is drawn as its code point, `[U+3106C]`, never left out. Packs are made by
build_fonts.py; licence texts are in LICENSES.txt. (XC-10)
"""

from __future__ import annotations

import io
import lzma
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files
from threading import Lock
from typing import Any

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import SUBSETN, TTFont

MAIN = "sans"
_PREFIX = "HIS-"
_loading, _cutting = Lock(), Lock()
# What changes or joins the character before it and has no shape of its own.
_INVISIBLE = re.compile("[\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")
_LONG_TARGET = re.compile(r"<([0-9A-F]{5,6})>$", re.MULTILINE)


class EmbeddedFont(TTFont):  # type: ignore[misc]  # reportlab has no annotations
    """A TrueType font whose text can be copied and searched in the PDF beyond the basic plane as well:
    reportlab writes such code points as five hexadecimal digits, a ToUnicode map wants UTF-16."""

    def addObjects(self, doc: Any) -> None:
        """Write the font's objects, then mend its maps."""
        count = len(self.state[doc].subsets)
        # Cutting a subset moves the one read position that all documents of the process share.
        with _cutting:
            super().addObjects(doc)
        for n in range(count):
            base = b"".join((SUBSETN(n), b"+", self.face.name, self.face.subfontNameX)).decode("pdfdoc")
            stream = doc.idToObject["toUnicodeCMap:" + base]
            stream.content = _LONG_TARGET.sub(
                lambda m: f"<{chr(int(m[1], 16)).encode('utf-16-be').hex().upper()}>", stream.content)


@cache
def _coverage() -> tuple[list[int], list[int], list[str]]:
    """Starts and ends of code point runs, sorted, and the pack of each."""
    spans: list[tuple[int, int, str]] = []
    for line in (files(__package__) / "coverage.txt").read_text().splitlines():
        pack, *parts = line.split()
        for part in parts:
            first, last = part.split("-")
            spans.append((int(first, 16), int(last, 16), pack))
    spans.sort()
    return [s[0] for s in spans], [s[1] for s in spans], [s[2] for s in spans]


@lru_cache(maxsize=32768)
def pack_of(code: int) -> str | None:
    """The name of the pack that has this code point, or None."""
    starts, ends, packs = _coverage()
    i = bisect_right(starts, code) - 1
    return packs[i] if i >= 0 and code <= ends[i] else None


@cache
def _font(pack: str) -> EmbeddedFont:
    with _loading:
        name = _PREFIX + pack
        if name not in pdfmetrics.getRegisteredFontNames():
            data = lzma.decompress((files(__package__) / f"{pack}.ttf.xz").read_bytes())
            # Latin text in a font with asciiReadable wastes the first subset; shaping is for scripts not in here.
            pdfmetrics.registerFont(EmbeddedFont(name, io.BytesIO(data), asciiReadable=0, shapable=False))
        font: EmbeddedFont = pdfmetrics.getFont(name)
        return font


def font_name(pack: str = MAIN) -> str:
    """reportlab's name of a pack, loaded and registered on first use (about 0.3 s for `sans`, once a
    process)."""
    return str(_font(pack).fontName)


def printable(text: str) -> str:
    """The text as it will be drawn: composed, line breaks and tabs as spaces, what no font has as
    [U+XXXX]."""
    text = unicodedata.normalize("NFC", text) if not text.isascii() else text
    if text.isascii() and text.isprintable():
        return text
    out = []
    for char in _INVISIBLE.sub("", text):
        if char in "\r\n\t\u00a0\u3000":
            out.append("\u3000" if char == "\u3000" else " ")
        elif pack_of(ord(char)) is None:
            out.append(f"[U+{ord(char):04X}]")
        else:
            out.append(char)
    return "".join(out)


def glyph_missing(text: str) -> set[str]:
    """The characters of the text that no embedded font has. Line breaks, tabs and invisible joiners don't
    count."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFC", text))
    return {c for c in plain if c not in "\r\n\t" and pack_of(ord(c)) is None}


def runs(text: str) -> Iterator[tuple[str, str]]:
    """Cut drawable text (from `printable`) into (pack, part) runs of one font each."""
    start, current = 0, MAIN
    for i, char in enumerate(text):
        pack = pack_of(ord(char)) or MAIN
        if pack != current:
            if i > start:
                yield current, text[start:i]
            start, current = i, pack
    if start < len(text):
        yield current, text[start:]


@lru_cache(maxsize=32768)
def _advance(char: str) -> float:
    """Width of a character in thousandths of the em."""
    font = _font(pack_of(ord(char)) or MAIN)
    width: float = font.face.getCharWidth(ord(char))
    return width


def text_width(text: str, size: float) -> float:
    """Width in points of drawable text at a font size in points."""
    return sum(map(_advance, text)) * size / 1000


def fit(text: str, size: float, width: float) -> str:
    """As much of the text as the width holds, whole code points, at least one."""
    limit, total = width * 1000 / size, 0.0
    for i, char in enumerate(text):
        total += _advance(char)
        if total > limit:
            return text[: max(i, 1)]
    return text
