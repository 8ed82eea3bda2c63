"""What the settlement and the refund do to dispensing, and how a store works."""

from modules.kernel.dispensing.service.arriving import Arrival, arrive, rest_changed
from modules.kernel.dispensing.service.refunding import follow_refund
from modules.kernel.dispensing.service.stores import closed_now, rule_of

__all__ = ["Arrival", "arrive", "closed_now", "follow_refund", "rest_changed", "rule_of"]
