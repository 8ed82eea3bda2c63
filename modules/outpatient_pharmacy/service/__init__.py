"""What pharmacists do."""

from modules.outpatient_pharmacy.service.dispensing import dispense, pick
from modules.outpatient_pharmacy.service.returning import (
    RETURN_SERIES,
    accept,
    cancel_return,
    decide_return,
    request_return,
    rereview,
    take_back,
)

__all__ = ["RETURN_SERIES", "accept", "cancel_return", "decide_return", "dispense", "pick",
           "request_return", "rereview", "take_back"]
