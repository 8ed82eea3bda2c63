"""Exact amounts. One rounding function for the whole house (COMPLIANCE FN-01 … FN-05).

Amounts are yuan as ``Decimal`` with two places, unit prices with four. ``float`` is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

FEN = Decimal("0.01")
JIAO = Decimal("0.1")
PRICE = Decimal("0.0001")
ZERO = Decimal("0.00")


def decimal(value: Decimal | int | str) -> Decimal:
    """A finite Decimal. :raises TypeError: for floats. :raises ValueError: for NaN, infinity, no number."""
    if isinstance(value, float):
        raise TypeError("amounts are never floats")
    try:
        number = Decimal(value)
    except ArithmeticError as error:
        raise ValueError(f"not a number: {value!r}") from error
    if not number.is_finite():
        raise ValueError(f"not a finite number: {value!r}")
    return number


def round_money(value: Decimal | int | str, step: Decimal = FEN) -> Decimal:
    """Round half up (away from zero) to ``step``: 2.665 → 2.67, −2.675 → −2.68."""
    return (decimal(value) / step).quantize(Decimal(1), rounding=ROUND_HALF_UP) * step


def line_amount(price: Decimal, quantity: Decimal) -> Decimal:
    """A line's amount: the only rounding point (FN-03). ``price`` in yuan per unit, four places."""
    return round_money(price * quantity)


def cash_rounding(due: Decimal) -> Decimal:
    """What cash rounded to the jiao adds to ``due`` (may be negative), |x| ≤ 0.05 (FN-05)."""
    return round_money(due, JIAO).quantize(FEN) - due


def split(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Split ``amount`` in proportion to ``weights`` without losing a fen (rounded running totals).

    10.00 over three equal weights → 3.33, 3.34, 3.33 (FN-04). :raises ValueError: weights sum to nothing.
    """
    total = sum(weights, Decimal(0))
    if total <= 0 or any(w < 0 for w in weights):
        raise ValueError("weights must be non-negative and sum to more than zero")
    shares: list[Decimal] = []
    seen, given = Decimal(0), Decimal(0)
    for weight in weights:
        seen += weight
        upto = round_money(amount * seen / total)
        shares.append(upto - given)
        given = upto
    return shares
