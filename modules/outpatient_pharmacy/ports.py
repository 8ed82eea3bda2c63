"""What the pharmacies ask of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

MEDICATION = "medication"
"""Name under which an interface binds its :class:`MedicationPort`."""


@dataclass(frozen=True)
class CheckedDrug:
    """A drug as the checker needs it. ``dose`` in ``dose_unit``."""

    code: str
    name: str
    dose: Decimal
    dose_unit: str
    usage: str
    frequency: str
    days: int


@dataclass(frozen=True)
class CheckRequest:
    """A prescription to check. Age in whole years; no name, no number: the checker needs none."""

    number: str
    sex: str
    age: int | None
    diagnosis: str
    allergies: str
    drugs: Sequence[CheckedDrug]
    also_taken: Sequence[CheckedDrug]


@dataclass(frozen=True)
class Alert:
    """A warning: ``allergy``, ``duplicate``, ``interaction``, ``dose``, ``other``, and what it says in Chinese."""

    kind: str
    text: str


class CheckerDown(Exception):
    """The checker gave no usable answer in time."""


class MedicationPort(Protocol):
    """合理用药系统: allergy, duplicate, interaction and dose checks (RX-10)."""

    def check(self, request: CheckRequest) -> Sequence[Alert]:
        """The alerts, none if all is well. Within the interface's time limit. :raises CheckerDown: no answer."""
        ...
