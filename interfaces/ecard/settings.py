"""Settings of the electronic social-security card, ``[module.ecard]``: where its line leads."""

from __future__ import annotations

from dataclasses import dataclass

from interfaces.hub.settings import LineSettings


@dataclass(frozen=True)
class Settings(LineSettings):
    """``path``: where codes are read; ``keep_minutes``: how long a reading serves (the code itself can be read once)."""

    path: str = "/ecard/v1/read"
    keep_minutes: int = 15
