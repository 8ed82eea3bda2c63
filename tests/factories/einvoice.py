"""The electronic invoice platform of a test: our true adapter over its simulator in this process, and the bad line between."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from his_server.clock import Clock
from interfaces.einvoice import simulator
from interfaces.einvoice.client import Platform
from interfaces.einvoice.settings import SIMULATED, Settings
from interfaces.hub import transport
from interfaces.hub.simulating import Faults, Rule

ISSUE, RED = "invoiceEBillOutpatient", "writeOffEBill"
_LINE = {"lost before": "drop_before", "lost after": "drop_after", "down": "refuse", "unreadable": "garbage",
         "twice": "duplicate", "short": "short"}


class Bench:
    """Stands for the adapter; everything else is for the test."""

    def __init__(self, folder: Path, clock: Clock, **settings: Any) -> None:
        self.books = folder / "einvoice"
        self.pictures = 0
        self.settings = Settings(**settings)
        self.adapter = Platform(transport.in_process("einvoice", folder, clock), self.settings, *SIMULATED)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.adapter, name)

    def image(self, *asked: str) -> bytes:
        """As the adapter, counted."""
        self.pictures += 1
        return self.adapter.image(*asked)

    def misbehave(self, *kinds: str, where: str = ISSUE) -> None:
        """What happens to the next calls of a method, one each: faults of the line, or ``refuse``, ``malformed``."""
        rules = []
        for kind in kinds:
            if kind in _LINE:
                rules.append(Rule(_LINE[kind], where, count=1))
            else:
                simulator.manner(self.books, kind, 1)
        Faults(self.books).write(rules)

    def all(self) -> list[tuple[str, str, Decimal]]:
        """busNo, colour and amount of every invoice, in order."""
        return simulator.invoices(self.books)
