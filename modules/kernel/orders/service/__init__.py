"""What is done with orders."""

from modules.kernel.orders.service.following import (
    dispense,
    document,
    follow_refund,
    follow_settlement,
    hold,
    perform_request,
    unperform_request,
)
from modules.kernel.orders.service.prescribing import (
    PRESCRIPTION_SERIES,
    REQUEST_SERIES,
    cancel_prescription,
    cancel_request,
    prescribe,
    request_items,
    work_out,
)

__all__ = ["PRESCRIPTION_SERIES", "REQUEST_SERIES", "cancel_prescription", "cancel_request", "dispense", "document",
           "follow_refund", "follow_settlement", "hold", "perform_request", "prescribe", "request_items",
           "unperform_request", "work_out"]
