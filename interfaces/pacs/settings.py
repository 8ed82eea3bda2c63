"""Settings of the PACS, ``[module.pacs]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass

from interfaces.hub.settings import LineSettings


@dataclass(frozen=True)
class Settings(LineSettings):
    """``url``: the PACS; without it nothing is sent. ``kinds``: performing kinds whose requests are the PACS's business."""

    kinds: tuple[str, ...] = ("检查",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(self.kinds))
