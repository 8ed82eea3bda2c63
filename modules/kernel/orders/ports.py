"""What an outside check of prescriptions (合理用药) looks like from inside (RX-10). An interface provides the adapter under
the port name ``orders.check``; where there is none, the hospital's own data are all that is checked. Doctors ask before
they issue, the pharmacy asks again of what was paid: one port for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from modules.kernel.orders.rules import Warned

CHECK = "orders.check"


@dataclass(frozen=True)
class CheckLine:
    """A drug to check: the hospital's code, single dose in ``dose_unit``, frequency code, days."""

    code: str
    name: str
    dose: Decimal
    dose_unit: str
    usage: str
    frequency: str
    days: int


@dataclass(frozen=True)
class CheckCase:
    """A prescription to check. No name and no number of the person: sex, age in years, allergies, diagnosis.

    ``number`` is the prescription's once it is issued; ``also_taken`` what other prescriptions of the last days hold.
    """

    sex: str
    age: int | None
    allergies: str
    diagnosis_code: str
    diagnosis: str
    lines: tuple[CheckLine, ...]
    number: str = ""
    also_taken: tuple[CheckLine, ...] = ()


class DrugCheckPort(Protocol):
    """An outside check. Whatever it raises, a time-out too, means that the drugs are not checked: never that they pass."""

    def check(self, case: CheckCase) -> Sequence[Warned]:
        """Findings; empty = nothing against it. Fields are ``lines.<n>.drug_id`` and the like."""
