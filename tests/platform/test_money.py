"""Rules of amounts (COMPLIANCE FN-01 … FN-05)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from his_server.money import FEN, JIAO, cash_rounding, decimal, line_amount, round_money, split

amounts = st.decimals("-99999999", "99999999", places=2)
prices = st.decimals("0", "99999", places=4)
quantities = st.decimals("0", "9999", places=4)


@pytest.mark.requirement("FN-02")
@pytest.mark.parametrize(("given_", "expected"), [
    ("2.665", "2.67"), ("2.675", "2.68"), ("-2.675", "-2.68"), ("0.005", "0.01"), ("0.0049999", "0.00"),
    ("1.005", "1.01"), ("-0.005", "-0.01"), ("10", "10.00"),
])
def test_half_is_rounded_up(given_: str, expected: str) -> None:
    assert round_money(given_) == Decimal(expected)
    assert str(round_money(given_)) == expected


@pytest.mark.requirement("FN-01")
@pytest.mark.parametrize("wrong", [0.1, 1.0, float("nan")])
def test_floats_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError):
        decimal(wrong)


@pytest.mark.requirement("FN-01")
@pytest.mark.parametrize("wrong", ["NaN", "-Infinity", "sNaN", "", "1,5", "一"])
def test_what_is_no_number_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="number"):
        decimal(wrong)


@pytest.mark.requirement("FN-02")
@given(st.fractions(-10**6, 10**6).map(lambda f: Decimal(f.numerator) / Decimal(f.denominator)))
def test_rounding_is_the_nearest_fen(value: Decimal) -> None:
    rounded = round_money(value)
    assert rounded % FEN == 0
    assert abs(Fraction(rounded) - Fraction(value)) <= Fraction(5, 1000)
    assert round_money(-value) == -rounded, "a refund rounds like the charge"


@pytest.mark.requirement("FN-03")
@given(prices, quantities)
def test_a_line_is_rounded_once(price: Decimal, quantity: Decimal) -> None:
    assert line_amount(price, quantity) == round_money(price * quantity)
    assert line_amount(price, -quantity) == -line_amount(price, quantity)


@pytest.mark.requirement("FN-04")
def test_ten_yuan_in_three() -> None:
    assert split(Decimal("10.00"), [Decimal(1)] * 3) == [Decimal("3.33"), Decimal("3.34"), Decimal("3.33")]


@pytest.mark.requirement("FN-04")
@given(amounts, st.lists(st.decimals("0", "1000", places=2), min_size=1, max_size=30).filter(sum))
def test_a_split_loses_no_fen(amount: Decimal, weights: list[Decimal]) -> None:
    shares = split(amount, weights)
    assert sum(shares) == amount
    assert len(shares) == len(weights)
    total = sum(weights)
    for share, weight in zip(shares, weights, strict=True):
        assert share % FEN == 0
        assert abs(Fraction(share) - Fraction(amount) * Fraction(weight) / Fraction(total)) <= Fraction(1, 100)
        if weight == 0:
            assert share == 0


@pytest.mark.requirement("FN-04")
@pytest.mark.parametrize("weights", [[], [Decimal(0)], [Decimal(2), Decimal(-1)]])
def test_a_split_needs_weights(weights: list[Decimal]) -> None:
    with pytest.raises(ValueError, match="weights"):
        split(Decimal("1.00"), weights)


@pytest.mark.requirement("FN-05")
@given(amounts)
def test_cash_is_rounded_to_the_jiao(due: Decimal) -> None:
    extra = cash_rounding(due)
    assert (due + extra) % JIAO == 0
    assert abs(extra) <= Decimal("0.05")
    assert extra.as_tuple().exponent == -2
    assert cash_rounding(-due) == -extra, "what is paid back rounds like what was paid"
