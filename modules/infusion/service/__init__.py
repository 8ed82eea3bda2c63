"""What nurses of the infusion room do."""

from modules.infusion.service.bottles import change, finish, look, prepare, start, stop
from modules.infusion.service.receiving import (
    BOTTLE_SERIES,
    INFUSION_SERIES,
    cancel,
    charge,
    receive,
    void_charge,
)
from modules.infusion.service.seats import release, sit

__all__ = ["BOTTLE_SERIES", "INFUSION_SERIES", "cancel", "change", "charge", "finish", "look", "prepare", "receive",
           "release", "sit", "start", "stop", "void_charge"]
