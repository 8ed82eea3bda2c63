"""Settings of the charging ledger, ``[module."kernel.charging"]`` of the settings file: one for every workstation."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from flask import current_app


@dataclass(frozen=True)
class Settings:
    """``refund_approval_from``: refunds of so many yuan or more need a second person, whoever refunds (FN-10)."""

    refund_approval_from: Decimal = Decimal("500.00")

    def __post_init__(self) -> None:
        object.__setattr__(self, "refund_approval_from", Decimal(str(self.refund_approval_from)))


def approval_from() -> Decimal:
    """From how many yuan a refund needs a second person, in this installation."""
    found: Settings = current_app.extensions["his_module_settings"]["kernel.charging"]
    return found.refund_approval_from
