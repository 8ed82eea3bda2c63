"""Reads of the cashier's screens."""

from modules.outpatient_billing.queries.charging import (
    approvals,
    approvals_of,
    open_intents,
    owing,
    returns_of_registration,
    settlement,
    settlements,
    shifts,
    unpaid,
    voucher,
)
from modules.outpatient_billing.queries.registrations import fee_of, registrations, renewable

__all__ = ["approvals", "approvals_of", "fee_of", "open_intents", "owing", "registrations", "renewable",
           "returns_of_registration", "settlement", "settlements", "shifts", "unpaid", "voucher"]
