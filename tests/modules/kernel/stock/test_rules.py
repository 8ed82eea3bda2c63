"""The stock rules, pure."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from modules.kernel.stock.rules import Candidate, Demand, allocate, in_packs, show_quantity

TODAY = date(2026, 3, 2)
candidates = st.lists(st.builds(
    Candidate, balance_id=st.integers(1, 10**6), batch_id=st.integers(1, 10**6), drug_id=st.integers(1, 3),
    expiry=st.dates(date(2026, 2, 1), date(2027, 1, 1)), free=st.integers(0, 50).map(Decimal)), max_size=12,
    unique_by=lambda c: c.balance_id)
demands = st.lists(st.builds(Demand, line_id=st.integers(1, 10**6), drug_id=st.integers(1, 3),
                             quantity=st.integers(1, 60).map(Decimal)), max_size=6, unique_by=lambda d: d.line_id)


@given(demands, candidates)
def test_allocation_serves_or_says_what_is_missing(wanted: list[Demand], have: list[Candidate]) -> None:
    shares, shortages = allocate(wanted, have, TODAY)
    by_id = {c.balance_id: c for c in have}
    for demand in wanted:
        given_ = sum((s.quantity for s in shares if s.line_id == demand.line_id), Decimal(0))
        missing = sum((s.missing for s in shortages if s.line_id == demand.line_id), Decimal(0))
        assert given_ + missing == demand.quantity
    for candidate in have:
        used = sum((s.quantity for s in shares if s.balance_id == candidate.balance_id), Decimal(0))
        assert used <= candidate.free
    for share in shares:
        assert by_id[share.balance_id].expiry > TODAY
        assert by_id[share.balance_id].drug_id == share.drug_id
        earlier = [c for c in have if c.drug_id == share.drug_id and TODAY < c.expiry < by_id[share.balance_id].expiry]
        for candidate in earlier:  # nothing earlier was left over
            used = sum((s.quantity for s in shares if s.balance_id == candidate.balance_id), Decimal(0))
            assert used == candidate.free


@given(st.integers(0, 1000), st.integers(1, 100))
def test_packs_and_rest_make_the_quantity(quantity: int, size: int) -> None:
    packs, rest = in_packs(Decimal(quantity), Decimal(size))
    assert packs * size + rest == quantity
    assert 0 <= rest < size


def test_quantities_are_said_as_people_say_them() -> None:
    assert show_quantity(Decimal(25), Decimal(12), "盒", "片") == "2盒1片"
    assert show_quantity(Decimal("0.5"), Decimal(12), "盒", "片") == "0.5片"
    assert show_quantity(Decimal(24), Decimal(12), "盒", "片") == "2盒"
    assert show_quantity(Decimal(120), Decimal(10), "盒", "片") == "12盒"
