"""Pure rules of stock: earliest expiry first, unit conversion with fractions visible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

ZERO = Decimal("0.0000")


@dataclass(frozen=True)
class Demand:
    """A line that needs a quantity (smallest units) of a drug."""

    line_id: int
    drug_id: int
    quantity: Decimal


@dataclass(frozen=True)
class Candidate:
    """A balance that could serve: ``free`` = on hand − reserved."""

    balance_id: int
    batch_id: int
    drug_id: int
    expiry: date
    free: Decimal


@dataclass(frozen=True)
class Share:
    """A part of a demand served from one balance."""

    line_id: int
    drug_id: int
    balance_id: int
    batch_id: int
    quantity: Decimal


@dataclass(frozen=True)
class Shortage:
    """A demand that can't be met: how much is missing."""

    line_id: int
    drug_id: int
    missing: Decimal


def allocate(demands: Sequence[Demand], candidates: Iterable[Candidate], on: date) -> tuple[list[Share], list[Shortage]]:
    """Serve each demand from the earliest expiry first; a batch that expires on or before ``on`` is never used.

    Returns the shares and what is missing. Several demands of one drug share what there is, in order.
    """
    free: dict[int, Decimal] = {}
    by_drug: dict[int, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda c: (c.expiry, c.batch_id)):
        if candidate.expiry > on and candidate.free > 0:
            by_drug.setdefault(candidate.drug_id, []).append(candidate)
            free[candidate.balance_id] = candidate.free
    shares: list[Share] = []
    shortages: list[Shortage] = []
    for demand in demands:
        wanted = demand.quantity
        for candidate in by_drug.get(demand.drug_id, ()):
            taken = min(wanted, free[candidate.balance_id])
            if taken > 0:
                shares.append(Share(demand.line_id, demand.drug_id, candidate.balance_id, candidate.batch_id, taken))
                free[candidate.balance_id] -= taken
                wanted -= taken
            if wanted <= 0:
                break
        if wanted > 0:
            shortages.append(Shortage(demand.line_id, demand.drug_id, wanted))
    return shares, shortages


def in_packs(quantity: Decimal, pack_size: Decimal | int) -> tuple[Decimal, Decimal]:
    """Whole packs and the rest in smallest units: 25 tablets of 12 → (2, 1)."""
    packs = quantity // pack_size
    return packs, quantity - packs * pack_size


def show_quantity(quantity: Decimal, pack_size: Decimal | int, pack_unit: str, base_unit: str) -> str:
    """A quantity as people say it: ``2盒1片``; fractions stay visible, nothing is rounded."""
    packs, rest = in_packs(quantity, pack_size)
    parts = []
    if packs:
        parts.append(f"{packs.normalize():f}{pack_unit}")
    if rest or not packs:
        parts.append(f"{rest.normalize():f}{base_unit}")
    return "".join(parts)
