"""Every character has a glyph, or is shown by its code point."""

from __future__ import annotations

import io
import struct

import pypdf
import pytest

from his_server.reporting import Document, glyph_missing
from his_server.reporting.fonts import _font, pack_of, printable, runs, text_width

PROBES = "䶮㛃㼆\u3400\u4db5\u9fbf\u9fef龿𠮷\U00020000\U0002a6d6𫖯𬭎\U0002a700\U0002b820\U0002ceb0𰻝\U0002ebf0龴"


def outline_length(char: str) -> int:
    """Bytes of the character's outline in its pack."""
    pack = pack_of(ord(char))
    assert pack is not None
    face = _font(pack).face
    glyph = face.charToGlyph[ord(char)]
    long_offsets = struct.unpack(">h", face.get_table("head")[50:52])[0]
    width = 4 if long_offsets else 2
    low, high = struct.unpack(">2I" if long_offsets else ">2H",
                              face.get_table("loca")[glyph * width:(glyph + 2) * width])
    return int(high - low) * (1 if long_offsets else 2)


@pytest.mark.requirement("XC-10")
@pytest.mark.parametrize("char", PROBES, ids=[f"U+{ord(c):04X}" for c in PROBES])
def test_probe_characters_have_an_outline(char: str) -> None:
    assert outline_length(char) > 20
    assert glyph_missing(char) == set()


@pytest.mark.requirement("XC-10")
@pytest.mark.parametrize(("first", "last", "lacking"), [
    (0x4E00, 0x9FFF, 0), (0x3400, 0x4DBF, 0), (0x20000, 0x2A6DF, 0), (0x2A700, 0x2B739, 0), (0x2B740, 0x2B81D, 0),
    (0x2B820, 0x2CEA1, 0), (0x2CEB0, 0x2EBE0, 0), (0x2EBF0, 0x2EE5D, 0), (0x30000, 0x3134A, 1470),
    (0x31350, 0x323AF, 1810)])
def test_blocks_of_gb18030(first: int, last: int, lacking: int) -> None:
    """No free font in reach has all of extensions G and H; all the rest of level 3 is complete."""
    assert len(glyph_missing("".join(map(chr, range(first, last + 1))))) == lacking


def test_what_hospitals_print_besides_han() -> None:
    text = "，。、；：？！“”‘’（）《》【】—…·￥¥％‰℃°×÷±≤≥≠→←↑↓①②③⑩ⅠⅡⅢαβγμΩ㎎㎏㎜㎝㎡㏄✓√□■△▲○●★"
    assert glyph_missing(text + "".join(map(chr, range(0x20, 0x7F)))) == set()


@pytest.mark.requirement("XC-10")
def test_what_no_font_has_is_drawn_as_its_code_point() -> None:
    missing = next(chr(c) for c in range(0x31350, 0x323AF) if pack_of(c) is None)
    assert glyph_missing(f"张{missing}") == {missing}
    assert printable(f"张{missing}\u202e") == f"张[U+{ord(missing):04X}][U+202E]"
    assert printable("葛\U000e0100a\tb\nc") == "葛a b c"
    pdf = Document("A5").line(f"张{missing}三").to_bytes()
    assert f"张[U+{ord(missing):04X}]三" in pypdf.PdfReader(io.BytesIO(pdf)).pages[0].extract_text()


def test_runs_change_font_only_where_they_must() -> None:
    assert [pack for pack, _ in runs("张三abc")] == ["sans"]
    assert "".join(part for _, part in runs("张\U00020000三\U0002ebf0")) == "张\U00020000三\U0002ebf0"
    assert [pack for pack, _ in runs("张\U00020000三\U0002ebf0")] == ["sans", "rare-20000", "sans", "stone"]
    assert text_width("张\U00020000\U0002ebf0", 10) == pytest.approx(30)
    assert text_width("0", 10) == text_width("8", 10)


@pytest.mark.requirement("XC-10")
def test_text_beyond_the_basic_plane_can_be_copied_from_the_pdf() -> None:
    text = "王䶮𠮷𬭎\U0002ebf0\U00020000𰻝"
    pdf = Document("A5").line(text).to_bytes()
    assert text in pypdf.PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
