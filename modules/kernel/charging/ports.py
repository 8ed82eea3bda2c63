"""What outside money looks like from inside (DESIGN section 5). Interfaces provide the adapters.

Every call ends in one of three outcomes; ``unknown`` is never guessed to be one of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

CONFIRMED = "confirmed"
REFUSED = "refused"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Outcome:
    """``state`` is confirmed, refused or unknown; ``message`` is Chinese."""

    state: str
    peer_number: str | None = None
    message: str = ""


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


class InsurancePort(Protocol):
    """The insurer's outpatient settlement, seen from the cashier."""

    def settle(self, number: str, settlement_id: int) -> Outcome:
        """Settle with the insurer."""

    def query(self, number: str) -> Outcome:
        """What became of a settlement."""

    def reverse(self, number: str) -> Outcome:
        """Undo a settlement (cancel or reversal on unknown outcome)."""


class InvoicePort(Protocol):
    """The electronic invoice platform."""

    def issue(self, number: str, settlement_id: int) -> Outcome:
        """Issue an invoice for a settlement."""

    def red(self, number: str, original: str) -> Outcome:
        """Red-reverse an invoice."""

    def query(self, number: str) -> Outcome:
        """What became of an invoice."""
