"""Settings of outpatient billing, ``[module.outpatient_billing]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Settings:
    """``refund_approval_from``: refunds of so many yuan or more need a second person (FN-10).
    ``receipt_paper``: paper of vouchers."""

    refund_approval_from: Decimal = Decimal("500.00")
    receipt_paper: str = "A5"

    def __post_init__(self) -> None:
        object.__setattr__(self, "refund_approval_from", Decimal(str(self.refund_approval_from)))
