"""Settings of orders, ``[module."kernel.orders"]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time


@dataclass(frozen=True)
class Settings:
    """``night_begins``, ``night_ends``: HH:MM between which doctors' prescriptions are temporary and go to the emergency
    pharmacy (M7.8); empty: never. ``psychotropic_days``: the most days of a class 2 psychotropic with a reason (the law
    says 适当延长 and no number). ``hospital_level``: 1 to 3. ``skin_test_minutes``: from start to reading;
    ``skin_test_hours``: how long a negative result holds (24 or 72)."""

    night_begins: str = ""
    night_ends: str = ""
    psychotropic_days: int = 14
    hospital_level: int = 3
    skin_test_minutes: int = 20
    skin_test_hours: int = 24

    def __post_init__(self) -> None:
        for text in (self.night_begins, self.night_ends):
            if text:
                time.fromisoformat(text)
        if bool(self.night_begins) != bool(self.night_ends):
            raise ValueError("night_begins and night_ends are set together or not at all")
        if not 7 <= self.psychotropic_days <= 28 or not 1 <= self.hospital_level <= 3:
            raise ValueError("psychotropic_days is 7 to 28, hospital_level 1 to 3")
        if self.skin_test_hours not in (24, 72) or not 5 <= self.skin_test_minutes <= 72 * 60:
            raise ValueError("skin_test_hours is 24 or 72, skin_test_minutes at least 5")
