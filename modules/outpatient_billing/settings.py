"""Settings of outpatient billing, ``[module.outpatient_billing]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Settings:
    """``refund_approval_from``: refunds of so many yuan or more need a second person (FN-10).
    ``receipt_paper``: paper of vouchers. ``renewal_days``: 一次挂号管几天 (YB-09): within so many natural days, the first
    included, a second visit for pending results is free; 0 = not offered. ``convert_days``: 自费转医保 (N1): how many
    calendar days after payment a bill can still become insured, the day of payment included; 0 = not offered."""

    refund_approval_from: Decimal = Decimal("500.00")
    receipt_paper: str = "A5"
    renewal_days: int = 3
    convert_days: int = 30

    def __post_init__(self) -> None:
        object.__setattr__(self, "refund_approval_from", Decimal(str(self.refund_approval_from)))
