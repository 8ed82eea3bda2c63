"""Build the embedded font packs (`*.ttf.xz` here) from free fonts. A maintainer's tool, not used at run time.

Needs fontTools (not a run-time dependency) and three Debian packages unpacked side by side
(`apt-get download PKG && dpkg -x PKG.deb DIR`): fonts-noto-cjk 1:20220127 (SIL OFL 1.1),
fonts-hanazono 20170904 (Hanazono Font License, unlimited, or OFL) and fonts-babelstone-han 16.0.3
(Arphic Public License). LICENSES.txt beside this file carries the texts that must travel with the packs.

    python build_fonts.py NotoSansCJK-Regular.ttc HanaMinA.ttf HanaMinB.ttf BabelStoneHan.ttf OUTDIR

What is done: CFF outlines become quadratic TrueType (reportlab embeds only TrueType); layout tables and
hints are dropped; the em is brought to fewer units, which halves the file and is finer than a 600 dpi
printer at 12 pt; each character is taken from the first font that has it; the rare ones are cut in packs of
one code point range, so that one rare name loads one small pack.
"""

from __future__ import annotations

import io
import lzma
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.pens.transformPen import TransformPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont

NOTICE = ("Modified 2026-11-23 for his-server: subset, outlines converted and rescaled, renamed. "
          "Source: {source}. License: {license}; see LICENSES.txt.")
# Blocks that GB 18030-2022 with amendment 1 names, and the punctuation, letters and symbols that Chinese print uses.
BASE = [(0x20, 0x7E), (0xA0, 0x17F), (0x1CD, 0x1DC), (0x2B0, 0x2FF), (0x370, 0x451), (0x2000, 0x22FF), (0x2300, 0x23FF),
        (0x2460, 0x27BF), (0x2E80, 0x2FFF), (0x3000, 0x33FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
        (0xF900, 0xFAFF), (0xFE10, 0xFE6F), (0xFF00, 0xFFEF)]
EXTENSIONS = [(0x20000, 0x2A6DF), (0x2A700, 0x2EBE0), (0x2EBF0, 0x2EE5D), (0x30000, 0x323AF)]
PACK_SIZE = 6000


class Source:
    """One opened font, its outlines drawn as quadratic splines at a given em."""

    def __init__(self, font: TTFont, label: str, license_: str) -> None:
        self.font, self.label, self.license = font, label, license_
        self.cmap: dict[int, str] = font.getBestCmap()
        self.glyphs = font.getGlyphSet()
        self.em: int = font["head"].unitsPerEm

    def draw(self, name: str, upem: int, error: float) -> tuple[Any, int]:
        """The glyph as a simple TrueType glyph and its advance, both in units of `upem`."""
        scale = upem / self.em
        recording = DecomposingRecordingPen(self.glyphs)
        self.glyphs[name].draw(recording)
        pen = TTGlyphPen(None)
        # CFF contours run the other way round than TrueType's.
        cubic = "CFF " in self.font
        target: Any = Cu2QuPen(pen, error, reverse_direction=True) if cubic else pen
        recording.replay(TransformPen(target, (scale, 0, 0, scale, 0, 0)))
        glyph = pen.glyph(round=round, dropImpliedOnCurves=True)
        return glyph, round(self.glyphs[name].width * scale)


def pack(sources: list[tuple[Source, int]], upem: int, family: str, error: float = 0.6) -> bytes:
    """A TrueType file with the given (source, code point) pairs; raises KeyError if a source lacks one."""
    order, glyphs, metrics, cmap = [".notdef"], {".notdef": TTGlyphPen(None).glyph()}, {".notdef": (upem, 0)}, {}
    for source, code in sources:
        name = f"u{code:04X}"
        glyph, advance = source.draw(source.cmap[code], upem, error)
        order.append(name)
        glyphs[name] = glyph
        metrics[name] = (advance, 0)
        cmap[code] = name
    builder = FontBuilder(upem, isTTF=True)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap(cmap)
    builder.setupGlyf(glyphs)
    metrics = {n: (a, getattr(glyphs[n], "xMin", 0) or 0) for n, (a, _) in metrics.items()}
    builder.setupHorizontalMetrics(metrics)
    builder.setupHorizontalHeader(ascent=round(upem * 0.88), descent=-round(upem * 0.12))
    used = {id(s): s for s, _ in sources}.values()
    builder.setupNameTable({
        "familyName": family, "styleName": "Regular", "psName": family.replace(" ", "") + "-Regular",
        "description": " ".join(NOTICE.format(source=s.label, license=s.license) for s in used)})
    builder.setupOS2(sTypoAscender=round(upem * 0.88), sTypoDescender=-round(upem * 0.12),
                     usWinAscent=upem, usWinDescent=upem // 4, fsType=0, sCapHeight=round(upem * 0.73))
    builder.setupPost(keepGlyphNames=False)
    builder.font["head"].created = builder.font["head"].modified = 0
    builder.font.recalcTimestamp = False
    out = io.BytesIO()
    builder.save(out)
    return out.getvalue()


def chosen(ranges: Iterable[tuple[int, int]], sources: list[Source]) -> Iterator[tuple[Source, int]]:
    """Each code point of the ranges with the first source that has it."""
    for low, high in ranges:
        for code in range(low, high + 1):
            for source in sources:
                if code in source.cmap:
                    yield source, code
                    break


def ranges_of(codes: Iterable[int]) -> list[tuple[int, int]]:
    """Runs of consecutive code points."""
    runs: list[tuple[int, int]] = []
    for code in sorted(codes):
        if runs and runs[-1][1] == code - 1:
            runs[-1] = (runs[-1][0], code)
        else:
            runs.append((code, code))
    return runs


def write_coverage(out: Path) -> None:
    """Which pack has which code points: one line a pack, `name first-last first-last …` in hexadecimal."""
    lines = []
    for path in sorted(out.glob("*.ttf.xz")):
        font = TTFont(io.BytesIO(lzma.decompress(path.read_bytes())))
        spans = " ".join(f"{a:X}-{b:X}" for a, b in ranges_of(font.getBestCmap()))
        lines.append(f"{path.name.removesuffix('.ttf.xz')} {spans}")
    (out / "coverage.txt").write_text("\n".join(lines) + "\n")


def write(out: Path, name: str, data: bytes) -> None:
    """Store one pack, compressed as far as LZMA goes; literals follow the byte before, not the position."""
    packed = lzma.compress(data, filters=[
        {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}])
    (out / f"{name}.ttf.xz").write_bytes(packed)
    print(f"{name}: {len(data):,} bytes, {len(packed):,} packed", flush=True)


def main(noto: str, hana_a: str, hana_b: str, babelstone: str, out: str) -> None:
    """Build all packs into `out`."""
    target = Path(out)
    sans = Source(next(f for f in TTCollection(noto).fonts if f["name"].getDebugName(4) == "Noto Sans CJK SC"),
                  "Noto Sans CJK SC (Google, Adobe)", "SIL OFL 1.1")
    ming = [Source(TTFont(p), "HanaMin (GlyphWiki project)", "Hanazono Font License") for p in (hana_a, hana_b)]
    stone = Source(TTFont(babelstone), "BabelStone Han 16.0.3 (Andrew West)", "Arphic Public License")
    base = list(chosen(BASE, [sans, *ming]))
    extra = [(s, c) for s, c in chosen(EXTENSIONS, [sans]) if s is sans]
    write(target, "sans", pack(base + extra, 400, "HIS Sans"))
    have = {c for _, c in base + extra}
    rare = [(s, c) for s, c in chosen(BASE[-5:] + EXTENSIONS, [sans, *ming, stone]) if c not in have]
    free = [(s, c) for s, c in rare if s is not stone]
    for start in range(0, len(free), PACK_SIZE):
        part = free[start:start + PACK_SIZE]
        write(target, f"rare-{part[0][1]:05X}", pack(part, 160, f"HIS Rare {part[0][1]:05X}"))
    write(target, "stone", pack([(s, c) for s, c in rare if s is stone], 160, "HIS Stone"))
    write_coverage(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
