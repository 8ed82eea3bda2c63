"""The examples of docs/interfaces, as a partner's developer takes them from there: requests in fences, ``→`` before an answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parents[2] / "docs" / "interfaces"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REQUEST = re.compile(r"^(GET|POST|PUT|DELETE) (/\S*)$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """A request and the answer that the page promises; empty where it shows none."""

    method: str
    path: str
    body: str
    answer: str

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    def promised(self) -> Any:
        """The answer, as JSON."""
        return json.loads(self.answer)


def fences(page: str, language: str = "") -> list[str]:
    """The fenced texts of a page in a language."""
    return [text for found, text in _FENCE.findall((PAGES / f"{page}.md").read_text(encoding="utf-8")) if found == language]


def examples(page: str) -> list[Example]:
    """Every request that a page shows with a method and a path on a line of their own, in order."""
    found = []
    for text in fences(page):
        parts = _REQUEST.split(text)[1:]
        for method, path, rest in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            body, _, answer = rest.partition("→")
            found.append(Example(method, path, body.strip(), answer.strip()))
    return found


def like(promised: Any, given: Any) -> bool:
    """Whether an answer has the shape that was promised: the same names, kinds and lengths of nothing; values may differ."""
    if isinstance(promised, dict):
        return isinstance(given, dict) and set(promised) == set(given) and all(like(promised[k], given[k]) for k in promised)
    if isinstance(promised, list):
        return isinstance(given, list) and (not promised or not given or like(promised[0], given[0]))
    return promised is None or given is None or type(promised) is type(given)
