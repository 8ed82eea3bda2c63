"""Pure rules of the pharmacies: the house's own checks, retention, the shape of a trace code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from modules.kernel.orders.rules import allergens

KEEP_YEARS = {"麻精一": 3, "精二": 2, "毒性": 2, "普通": 1, "急诊": 1, "儿科": 1, "中药": 1}
"""处方管理办法: how many years paper prescriptions are kept (RX-07)."""


@dataclass(frozen=True)
class Alert:
    """A warning: ``allergy``, ``duplicate``, ``interaction``, ``dose``, ``other``, and what it says in Chinese."""

    kind: str
    text: str


def house_alerts(allergies: str, drugs: Sequence[str], also_taken: Sequence[str]) -> list[Alert]:
    """What needs no outside checker: a drug whose name holds a named allergy, and one drug given twice."""
    found = [Alert("allergy", f"病人对{word}过敏，处方含 {drug}")
             for drug in dict.fromkeys(drugs) for word in allergens(allergies) if word.removesuffix("类") in drug]
    twice = {drug for drug in drugs if list(drugs).count(drug) > 1}
    found += [Alert("duplicate", f"处方内 {drug} 重复") for drug in dict.fromkeys(drugs) if drug in twice]
    found += [Alert("duplicate", f"{drug} 近 7 日内另有处方，可能重复用药") for drug in dict.fromkeys(drugs)
              if drug in set(also_taken)]
    return found


def kept_until(kind: str, issued: date) -> date:
    """The first day on which a paper prescription of this kind may be destroyed. Unknown kinds: three years."""
    years = KEEP_YEARS.get(kind, 3)
    try:
        return issued.replace(year=issued.year + years)
    except ValueError:  # 29 February
        return issued.replace(year=issued.year + years, month=3, day=1)


def destroyable_until(kind: str, today: date) -> date:
    """The last day whose paper prescriptions of this kind may be destroyed today."""
    years = KEEP_YEARS.get(kind, 3)
    try:
        return today.replace(year=today.year - years)
    except ValueError:
        return today.replace(year=today.year - years, day=28)
