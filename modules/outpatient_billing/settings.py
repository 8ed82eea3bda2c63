"""Settings of outpatient billing, ``[module.outpatient_billing]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """``receipt_paper``: paper of vouchers. ``renewal_days``: 一次挂号管几天 (YB-09): within so many natural days, the first
    included, a second visit for pending results is free; 0 = not offered. ``convert_days``: 自费转医保 (N1): how many
    calendar days after payment a bill can still become insured, the day of payment included; 0 = not offered."""

    receipt_paper: str = "A5"
    renewal_days: int = 3
    convert_days: int = 30
