"""Settings of the infusion room, ``[module.infusion]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """``round_minutes``: a running bottle that nobody looked at for so long is shown as due for a round.
    ``label``: paper of the bottle labels."""

    round_minutes: int = 30
    label: str = "70x50mm"

    def __post_init__(self) -> None:
        if not 5 <= self.round_minutes <= 240:
            raise ValueError("round_minutes is 5 to 240")
