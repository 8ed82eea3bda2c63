"""What outside money looks like from inside (DESIGN section 5). Interfaces provide the adapters.

Every call ends in one of three outcomes; ``unknown`` is never guessed to be one of the others. Adapters raise when they
hear nothing; whatever they raise is recorded as ``unknown``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

CONFIRMED = "confirmed"
REFUSED = "refused"
UNKNOWN = "unknown"

CHANNELS: dict[str, str] = {"scan": "扫码支付", "ecny": "数字人民币"}
"""Payment channels there can be, by the code of their port ``payment:<code>``; open is what has an adapter bound."""


@dataclass(frozen=True)
class Outcome:
    """``state`` is confirmed, refused or unknown; ``message`` is Chinese; ``peer_number`` what the peer calls it."""

    state: str
    peer_number: str | None = None
    message: str = ""
    cause: str = field(default="", kw_only=True)
    """Why it was refused, as a short code of ours that reports group by (``nhsa.sign_in``); empty where nobody knows."""


@dataclass(frozen=True)
class StatementRow:
    """A row of a channel's statement: ``kind`` pay or refund, ``number`` ours, ``original`` what a refund returns; yuan."""

    kind: str
    number: str
    peer_number: str
    amount: Decimal
    at: datetime
    original: str = ""
    fee: Decimal = Decimal("0.00")


@dataclass(frozen=True)
class Statement(Outcome):
    """A day's statement, when confirmed; refused while the channel has none yet."""

    rows: tuple[StatementRow, ...] = ()


class PaymentPort(Protocol):
    """Scan payment, e-CNY, kiosk bank card … Amounts in yuan; numbers are ours and unique."""

    def pay(self, number: str, amount: Decimal, auth_code: str) -> Outcome:
        """Take a payment by the payer's code."""

    def query(self, number: str) -> Outcome:
        """What became of a payment: unknown while the channel itself can't tell; refused if it never happened."""

    def refund(self, number: str, original: str, amount: Decimal) -> Outcome:
        """Return a part of a payment; repeating the same ``number`` returns nothing twice."""

    def query_refund(self, number: str) -> Outcome:
        """What became of a return."""

    def close(self, number: str) -> Outcome:
        """Close an order that nobody paid: confirmed when it can't be paid any more, refused when it was paid."""

    def download_bill(self, day: date) -> Statement:
        """What the channel says happened on a day of its own (N5)."""
