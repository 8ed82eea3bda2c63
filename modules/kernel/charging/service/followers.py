"""What follows money, registered by those above the ledger: orders and registrations do not depend on the channel (H1).

The ledger knows none of them by name; they put their functions here when they are imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from sqlalchemy.orm import Session

from his_server.actor import Actor
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.service.settling import Settled, settle

Quantities = Iterable[tuple[int, Decimal]]
"""Charge line id and quantity in the charged unit."""

SETTLED: list[Callable[[Session, Actor, Settled], object]] = []
HOLD: list[Callable[[Session, Actor, Iterable[int]], object]] = []
"""Before quantities are taken back: take the orders of these lines, so that whoever performs them waits."""
REFUNDED: list[Callable[[Session, Actor, Quantities], object]] = []
UNREFUNDED: list[Callable[[Session, Actor, Quantities], object]] = []
"""The insurer refused to reverse: the quantities are charged as before."""
MAY_INSURE: list[Callable[[Session, Sequence[int]], None]] = []
"""Raise where lines may not be settled with the insurer (drugs without trace codes, TC-03)."""
DIAGNOSES: list[Callable[[Session, Sequence[int]], Iterable[tuple[str, str]]]] = []
"""Diagnoses (code, name) of what the lines were ordered for."""


def settle_and_follow(session: Session, actor: Actor, *, person_id: int, line_ids: Sequence[int],
                      payments: Sequence[Pay], to_jiao: bool, expected_total: Decimal | None = None) -> Settled:
    """:func:`settle`, and let what the lines belong to follow."""
    settled = settle(session, actor, person_id=person_id, line_ids=line_ids, payments=payments, to_jiao=to_jiao,
                     expected_total=expected_total)
    for follow in SETTLED:
        follow(session, actor, settled)
    return settled


def diagnoses_of(session: Session, line_ids: Sequence[int]) -> list[tuple[str, str]]:
    """The diagnoses behind these lines, each once."""
    return list(dict.fromkeys(found for ask in DIAGNOSES for found in ask(session, line_ids)))
