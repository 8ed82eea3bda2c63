"""Settings of exports: ``[module.exports]``."""

from __future__ import annotations

from dataclasses import dataclass

from his_server.settings import SettingsError

ROWS = 5000
LIMIT = "exports:approve_rows"
"""Port: how many rows may leave unasked."""


@dataclass(frozen=True)
class Settings:
    """``approve_rows``: a file of more rows needs another person's approval (PR-07)."""

    approve_rows: int = ROWS

    def __post_init__(self) -> None:
        if not isinstance(self.approve_rows, int) or isinstance(self.approve_rows, bool) or self.approve_rows < 1:
            raise SettingsError("approve_rows: a whole number, at least 1")
