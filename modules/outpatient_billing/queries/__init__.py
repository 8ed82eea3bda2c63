"""Reads of the cashier's screens."""

from modules.outpatient_billing.queries.charging import (
    approvals,
    open_intents,
    returns_of_registration,
    settlement,
    settlements,
    shifts,
    unpaid,
)
from modules.outpatient_billing.queries.registrations import registrations, renewable

__all__ = ["approvals", "open_intents", "registrations", "renewable", "returns_of_registration",
           "settlement", "settlements", "shifts", "unpaid"]
