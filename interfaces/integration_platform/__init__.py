"""The hospital's integration platform: registrations in real time (H12, M1.10)."""

from __future__ import annotations

from typing import Any

from his_server.module import Handler, Module
from interfaces.hub import transport
from interfaces.hub.calls import observed
from interfaces.integration_platform import subscriptions
from interfaces.integration_platform.client import Platform
from interfaces.integration_platform.settings import Settings


def _port(settings: Any, database: Any) -> Any:
    line = transport.line(settings, "integration_platform", database.clock)
    own = Settings(**settings.extra.get("integration_platform", {}))
    return None if line is None else observed(database, "integration_platform",
                                              Platform(line, own, settings.hospital_code))


module = Module(
    name="integration_platform",
    title="集成平台",
    ports={subscriptions.PORT: _port},
    handlers=tuple(Handler(event, "integration_platform", subscriptions.tell, network=True)
                   for event in subscriptions.ACTIONS),
    settings=Settings,
)
