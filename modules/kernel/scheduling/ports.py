"""What scheduling is told by the composition root: the hospital's hours."""

from __future__ import annotations

from his_server.db import Database
from modules.kernel.scheduling.settings import Settings

HOURS = "scheduling:hours"
"""Port: the :class:`modules.kernel.scheduling.settings.Settings` of this installation."""


def hours_of(database: Database) -> Settings:
    """The hospital's hours, in requests and in the worker alike."""
    found: Settings = database.ports.get(HOURS) or Settings()
    return found
