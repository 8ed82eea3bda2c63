"""Settings of the read views, ``[module.read_views]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """``days``: how many days ahead clinic sessions are shown; ``fresh_seconds``: how old an answer may be."""

    days: int = 14
    fresh_seconds: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.days <= 90 or not 0 <= self.fresh_seconds <= 300:
            raise ValueError("days 应为 1 至 90，fresh_seconds 应为 0 至 300")
