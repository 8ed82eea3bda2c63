"""What is done to the charging ledger."""

from modules.kernel.charging.service.lines import NewLine, add_lines, void_lines
from modules.kernel.charging.service.payments import (
    begin_payment,
    open_channels,
    query_payment,
    recover,
    return_unused,
    send_payment,
    send_refund,
    take_payment,
)
from modules.kernel.charging.service.printing import count_print
from modules.kernel.charging.service.refunding import Refunded, Returns, refund
from modules.kernel.charging.service.settling import Settled, perform, settle
from modules.kernel.charging.service.shifts import close_shift, enter_shift, hand_over, open_shift_of
from modules.kernel.charging.service.supplements import supplement, void_supplement

__all__ = ["NewLine", "Refunded", "Returns", "Settled", "add_lines", "begin_payment", "close_shift", "count_print",
           "enter_shift", "hand_over", "open_channels", "open_shift_of", "perform", "query_payment", "recover", "refund",
           "return_unused", "send_payment", "send_refund", "settle", "supplement", "take_payment", "void_lines",
           "void_supplement"]
