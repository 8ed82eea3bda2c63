"""What a cashier does. One path for every channel: kiosk, app and window call the same functions (H1, M1.9)."""

from modules.outpatient_billing.service.charging import (
    decide_approval,
    preview_refund,
    refund,
    request_approval,
    settle,
)
from modules.outpatient_billing.service.insured import cancel_insured_registration, quote_conversion
from modules.outpatient_billing.service.registering import (
    Changed,
    book,
    cancel_registration,
    change_registration,
    hold_place,
    preview_change,
    register,
    renew,
    take_booked,
)

__all__ = ["Changed", "book", "cancel_insured_registration", "cancel_registration", "change_registration",
           "decide_approval", "hold_place", "preview_change", "preview_refund",
           "quote_conversion", "refund", "register", "renew", "request_approval",
           "settle", "take_booked"]
