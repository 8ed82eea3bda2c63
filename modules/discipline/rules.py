"""What of a visit may leave for tests and research, and how coarse (GB/T 39725 10.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

BAND, OLDEST = 5, 90
QUASI = ("sex", "age_band", "city", "month", "department")
"""Columns by which somebody who knows the patient from elsewhere could find the row."""


def age_band(born: date | None, on: date) -> str:
    """Five years of age, ``60-64``; from ninety on ``90+``; empty where the birth date isn't known."""
    if born is None:
        return ""
    age = on.year - born.year - ((on.month, on.day) < (born.month, born.day))
    first = age // BAND * BAND
    return f"{OLDEST}+" if age >= OLDEST else f"{first:02d}-{first + BAND - 1:02d}"


def city(region: str | None) -> str:
    """The prefecture of a region code (GB/T 2260): ``320600``."""
    return f"{region[:4]}00" if region else ""


def category(code: str | None) -> str:
    """The three signs of an ICD-10 code that name its category."""
    return (code or "").split(".")[0][:3]


def coarse(amount: Decimal) -> Decimal:
    """An amount to the yuan."""
    return amount.quantize(Decimal(1), ROUND_HALF_UP)


def alike(rows: Iterable[Mapping[str, Any]]) -> Counter[tuple[Any, ...]]:
    """How many different persons share each combination of :data:`QUASI`."""
    found: dict[tuple[Any, ...], set[str]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in QUASI), set()).add(row["person"])
    return Counter({key: len(persons) for key, persons in found.items()})
