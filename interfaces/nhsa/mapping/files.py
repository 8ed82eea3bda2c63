"""Text files of the insurer's: ZIP of one UTF-8 text, tabs between fields, ``null`` where there is nothing."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence

LARGEST = 256 * 1024 * 1024
"""Bytes of an unpacked file; a bigger one is refused instead of filling the memory."""


class BrokenFile(ValueError):
    """A downloaded file isn't what the specification says."""


def pack(name: str, rows: Iterable[Sequence[str]]) -> bytes:
    """A ZIP of these rows. :raises BrokenFile: a field holds a tab or a line break."""
    lines = []
    for row in rows:
        if any("\t" in field or "\n" in field for field in row):
            raise BrokenFile("上传文件的字段含有制表符或换行")
        lines.append("\t".join(field or "null" for field in row))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.txt", "\n".join(lines))
    return packed.getvalue()


def unpack(packed: bytes, names: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a ZIP by field name; fields that the file has beyond the names are left out.

    :raises BrokenFile: it isn't such a ZIP, or a row is too short.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            entry = archive.infolist()[0]
            if entry.file_size > LARGEST:
                raise BrokenFile("医保中心的文件过大")
            text = archive.read(entry).decode("utf-8-sig")
    except (zipfile.BadZipFile, IndexError, UnicodeDecodeError) as error:
        raise BrokenFile("医保中心的文件不是 UTF-8 文本的 ZIP") from error
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split("\t")
        if not line:
            continue
        if len(fields) < len(names):
            raise BrokenFile(f"医保中心的文件第 {number} 行只有 {len(fields)} 项，应为 {len(names)} 项")
        rows.append({name: "" if field == "null" else field for name, field in zip(names, fields, strict=False)})
    return rows
