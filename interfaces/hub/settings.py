"""Settings of the hub, ``[module.hub]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from his_server.settings import Settings as Platform

LEAST_DAYS = 180
"""Logs of a level 3 system are kept six months at least (COMPLIANCE DB-18)."""


@dataclass(frozen=True)
class Settings:
    """``keep_days``: calls older than that go into sealed archive files each night."""

    keep_days: int = 400

    def __post_init__(self) -> None:
        if self.keep_days < LEAST_DAYS:
            raise ValueError(f"接口日志至少保存 {LEAST_DAYS} 天，不能设为 {self.keep_days} 天")


@dataclass(frozen=True)
class LineSettings:
    """Where a line leads: the base of an interface's own ``Settings`` (``class Settings(LineSettings)``).

    ``ca_file``: the only authority to trust (PEM), the system's when empty; ``client_certificate`` and ``client_key``:
    what we show the peer; ``plain_http``: allow an address without TLS that isn't this machine; ``timeout_seconds``: 0
    is the manifest's.
    """

    url: str = ""
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    plain_http: bool = False
    timeout_seconds: int = 0

    @classmethod
    def of(cls, settings: Platform, package: str) -> LineSettings:
        """The line's part of ``[module.<package>]``; the interface's own names are the interface's business."""
        given: dict[str, Any] = dict(settings.extra.get(package, {}))
        return LineSettings(**{f.name: given[f.name] for f in fields(LineSettings) if f.name in given})
