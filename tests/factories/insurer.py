"""The insurer of a test: the national adapter over its simulator in this process, with books of the test's own."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from his_server.db import Database
from his_server.settings import Settings
from interfaces.hub.transport import Line, in_process
from interfaces.nhsa import _unmapped
from interfaces.nhsa.client.catalogues import Catalogues
from interfaces.nhsa.client.insurance import Insurance
from interfaces.nhsa.client.messages import Insurer
from interfaces.nhsa.client.reconciliation import Reconciliation
from interfaces.nhsa.settings import Settings as Own
from interfaces.nhsa.simulator.books import Books
from modules.kernel.charging.ports import CARD
from modules.kernel.masterdata.ports import CATALOG


class Simulated(Insurance):
    """The adapter, and the centre's books beside it."""

    def __init__(self, database: Database, folder: Path, own: Own | None = None, line: Line | None = None) -> None:
        self.folder = folder
        platform = Settings(data_dir=folder, simulate_payments=True)
        line = line or in_process("nhsa", folder, database.clock)
        super().__init__(Insurer(database, line, own or Own(), platform), _unmapped(platform, Own()),
                         lambda: database.ports.get(CARD))

    @property
    def books(self) -> Books:
        """The centre's books."""
        return Books(self.folder / "nhsa")

    def net(self) -> Decimal:
        """What the centre pays by its own books."""
        return self.books.net()


def bind(database: Database, folder: Path, **more: Any) -> Simulated:
    """Bind the insurer of a test."""
    made = database.ports["insurance"] = Simulated(database, folder / "centre", **more)
    database.ports |= {"nhsa:line": made.insurer, "insurance:reconciliation": Reconciliation(made.insurer),
                       CATALOG: Catalogues(made.insurer)}
    return made
