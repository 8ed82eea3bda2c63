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
from modules.outpatient_pharmacy.service.stocking import STOCK_IN_SERIES, stock_in

__all__ = ["RETURN_SERIES", "STOCK_IN_SERIES", "accept", "cancel_return", "decide_return", "dispense", "pick",
           "request_return", "rereview", "stock_in", "take_back"]
