"""Settings of the hub, ``[module.hub]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_DAYS = 180
"""Logs of a level 3 system are kept six months at least (COMPLIANCE DB-18)."""


@dataclass(frozen=True)
class Settings:
    """``keep_days``: calls older than that go into sealed archive files each night."""

    keep_days: int = 400

    def __post_init__(self) -> None:
        if self.keep_days < LEAST_DAYS:
            raise ValueError(f"接口日志至少保存 {LEAST_DAYS} 天，不能设为 {self.keep_days} 天")
