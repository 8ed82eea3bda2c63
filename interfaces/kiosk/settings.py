"""Settings of the kiosk interface, ``[module.kiosk]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """``account``: login of the account under which kiosks book money: it holds receipt numbers and has shifts, like a
    cashier's. Empty: kiosks may look, not book."""

    account: str = ""
