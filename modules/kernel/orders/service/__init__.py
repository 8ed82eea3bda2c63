"""What is done with orders."""

from modules.kernel.orders.service.checking import ask, at_night
from modules.kernel.orders.service.extending import complete_override, extend
from modules.kernel.orders.service.following import (
    dispense,
    document,
    follow_refund,
    follow_settlement,
    hold,
    perform_request,
    unperform_request,
)
from modules.kernel.orders.service.insuring import unrefund
from modules.kernel.orders.service.prescribing import (
    PRESCRIPTION_SERIES,
    REQUEST_SERIES,
    cancel_prescription,
    cancel_request,
    prescribe,
    request_items,
    work_out,
)
from modules.kernel.orders.service.templates import drop_template, save_template

__all__ = ["PRESCRIPTION_SERIES", "REQUEST_SERIES", "ask", "at_night", "cancel_prescription", "cancel_request",
           "complete_override", "dispense", "document", "drop_template", "extend", "follow_refund", "follow_settlement",
           "hold", "perform_request", "prescribe", "request_items", "save_template", "unperform_request", "unrefund",
           "work_out"]
