"""The insurer's mobile payment seen from inside (H5): the payer settles on the phone, insurance and own part at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from modules.kernel.charging.ports.insurance import Bill, Settlement
from modules.kernel.charging.ports.payments import Outcome

WAITING = "waiting"
"""A state beside the three: the order stands, the payer hasn't finished. Nothing is decided, nobody need look after it."""


@dataclass(frozen=True)
class Payer:
    """Who pays on the phone: ``token`` ecToken, identity as the insurer knows it. Never stored in clear."""

    token: str = field(repr=False)
    name: str = field(repr=False)
    id_type: str
    id_no: str = field(repr=False)


@dataclass(frozen=True)
class Offer(Outcome):
    """An order that waits for its payer: ``peer_number`` payOrdId, ``url`` cashierUrl."""

    url: str = field(default="", repr=False)


class MobilePort(Protocol):
    """The mobile payment platform. Repeating a call with the same number does nothing twice.

    ``cashier`` is the login of the account in whose name the channel settles: its shift, its receipts. ``in_statements``:
    the centre counts these settlements in its own reconciliation (3201), under the numbers that we were told.
    """

    cashier: str
    in_statements: bool

    def offer(self, bill: Bill, payer: Payer) -> Offer:
        """Upload a bill for its payer (6201)."""

    def pay(self, number: str, authorisation: str) -> Settlement:
        """Settle an offered bill by the payer's authorisation (6202); ``waiting`` while their own part is to be paid."""

    def query(self, number: str) -> Settlement:
        """What became of it (6301): ``waiting``, or one of the three. Refused: it can't be paid any more."""

    def withdraw(self, number: str) -> Outcome:
        """Take an unpaid order back (6401). Refused: it is paid, or being paid."""

    def reverse(self, number: str, original: str) -> Outcome:
        """Give the insurer's part back (6203 HI) of what ``original`` settled."""

    def query_reversal(self, number: str, original: str) -> Outcome:
        """What became of a reversal: refused if the settlement stands."""
