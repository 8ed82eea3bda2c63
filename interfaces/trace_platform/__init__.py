"""Alihealth's trace platform 码上放心: which small codes lie in a large one (R1)."""

from __future__ import annotations

from typing import Any

from his_server.module import Module
from interfaces.hub import transport
from interfaces.hub.calls import observed
from interfaces.trace_platform.client import Platform
from interfaces.trace_platform.settings import Settings
from modules.kernel.stock.ports import PACKING


def _port(settings: Any, database: Any) -> Any:
    line = transport.line(settings, "trace_platform", database.clock)
    own = Settings(**settings.extra.get("trace_platform", {}))
    return None if line is None else observed(database, "trace_platform", Platform(line, own, database.clock))


module = Module(name="trace_platform", title="码上放心追溯平台", settings=Settings, ports={PACKING: _port})
