"""Pure rules of the hub: what a body looks like to who may not see it all, and the words of a message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

from his_server.logs import scrub

LONGEST_BODY = 20_000
"""Characters of a masked body that are kept; the sealed one is whole."""
LONGEST_TEXT = 300
_LATIN = re.compile(r"[A-Za-z0-9_.-]{2,64}")
_HAN = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]+")


@dataclass(frozen=True)
class View:
    """How a body is shown: ``secret`` fields never, not even sealed (payers' codes, credentials); with ``mask``,
    ``sensitive`` ones and dataclass fields that hide from ``repr`` by their ends only, identity and phone numbers masked."""

    secret: frozenset[str] = frozenset()
    sensitive: frozenset[str] = frozenset()
    mask: bool = False


def plain(value: Any, view: View) -> Any:
    """A value as JSON can say it, in that view."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _field(f.name, getattr(value, f.name), view, hidden=not f.repr) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _field(str(key), item, view) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, view) for item in value]
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str):
        return scrub(value) if view.mask else value
    return value if value is None or isinstance(value, bool | int) else str(value)


def _field(name: str, value: Any, view: View, hidden: bool = False) -> Any:
    if value in (None, ""):
        return value
    if name in view.secret:
        return "***"
    if view.mask and (hidden or name in view.sensitive):
        return hide(str(value)) if isinstance(value, str | int | Decimal | date) else "***"
    return plain(value, view)


def hide(text: str) -> str:
    """The ends of a text; nothing of a short one. By code points, so that rare characters stay whole."""
    return f"{text[0]}***{text[-1]}" if len(text) > 4 else "***"


def body(value: Any, view: View) -> str:
    """A body as indented JSON; a long masked one is cut, the sealed one is whole."""
    text = json.dumps(plain(value, view), ensure_ascii=False, indent=1)
    return text if not view.mask or len(text) <= LONGEST_BODY else text[:LONGEST_BODY] + "\n…（已截断）"


def terms(text: str) -> set[str]:
    """The words of a message: Latin words and numbers in lower case, and every two neighbouring Han characters."""
    found = {word.lower() for word in _LATIN.findall(text)}
    for run in _HAN.findall(text):
        found.update(_pairs(run))
    return found


def _pairs(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    for first, second in pairwise(run):
        yield first + second
