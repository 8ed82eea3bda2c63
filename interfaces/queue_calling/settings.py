"""Settings of queue calling, ``[module.queue_calling]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass

from interfaces.hub.settings import LineSettings


@dataclass(frozen=True)
class Settings(LineSettings):
    """``url``: the calling system; without it nothing is sent. ``days_ahead``: so many days of slots, today included.
    ``full_names``: screens that show whole names; else the middle of a name goes as ``*`` (MP-14)."""

    days_ahead: int = 8
    full_names: bool = False
