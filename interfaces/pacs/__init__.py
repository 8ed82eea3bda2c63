"""The PACS, outpatients: paid exams are confirmed there, refunded ones taken back (H1, H10)."""

from __future__ import annotations

from typing import Any

from his_server.module import Handler, Module
from interfaces.hub import transport
from interfaces.hub.calls import observed
from interfaces.pacs import subscriptions
from interfaces.pacs.client import Pacs
from interfaces.pacs.settings import Settings


def _port(settings: Any, database: Any) -> Any:
    line = transport.line(settings, "pacs", database.clock)
    return None if line is None else observed(database, "pacs", Pacs(line, Settings(**settings.extra.get("pacs", {}))))


module = Module(
    name="pacs",
    title="PACS",
    ports={subscriptions.PORT: _port},
    handlers=(Handler("ChargeSettled", "pacs", subscriptions.confirm, network=True),
              Handler("RefundMade", "pacs", subscriptions.cancel, network=True)),
    settings=Settings,
)
