"""The charging rules, pure: splitting, payments, rounding, partial refunds (FN-02 … FN-05, M1.9)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.kernel.charging import rules
from modules.kernel.charging.rules import Line, Paid, Pay, RuleError

money = st.decimals(min_value="0.00", max_value="9999.99", places=2)
positive = st.decimals(min_value="0.01", max_value="9999.99", places=2)


@given(st.lists(st.builds(
    Line, id=st.integers(1, 10**6), encounter_id=st.integers(1, 3),
    source=st.sampled_from(["registration", "prescription", "request"]), kind=st.sampled_from(["drug", "item"]),
    performing_department_id=st.one_of(st.none(), st.integers(1, 3)), amount=money), max_size=60,
    unique_by=lambda line: line.id), st.integers(1, 10))
@pytest.mark.requirement("M1.9", "FN-03")
def test_every_line_is_on_exactly_one_receipt_and_sums_agree(lines: list[Line], limit: int) -> None:
    parts = rules.split_receipts(lines, limit)
    assert sorted(key for part in parts for key in part.line_ids) == sorted(line.id for line in lines)
    by_id = {line.id: line for line in lines}
    for part in parts:
        members = [by_id[key] for key in part.line_ids]
        assert part.amount == sum(m.amount for m in members)
        assert len(members) <= limit
        assert len({(m.encounter_id, m.source == "registration") for m in members}) == 1


@given(st.lists(positive, min_size=1, max_size=4), st.booleans(), st.booleans())
@pytest.mark.requirement("FN-05")
def test_payment_rows_sum_to_the_bill_and_cash_is_whole_jiao(amounts: list[Decimal], cash: bool, to_jiao: bool) -> None:
    offered = [Pay("cash" if cash and n == 0 else "scan", amount, None if cash and n == 0 else n)
               for n, amount in enumerate(amounts)]
    rows = rules.payment_rows(sum(amounts, Decimal(0)), offered, to_jiao=to_jiao)
    assert sum(row.amount for row in rows) == sum(amounts)
    for row in rows:
        if row.method == "cash" and to_jiao:
            assert row.amount % Decimal("0.1") == 0
        if row.method == "rounding":
            assert to_jiao and cash and 0 < abs(row.amount) <= Decimal("0.05")


@pytest.mark.parametrize(("due", "cash", "rounding"), [
    ("12.34", "12.30", "0.04"), ("12.35", "12.40", "-0.05"), ("12.36", "12.40", "-0.04"), ("12.30", "12.30", None),
    ("0.04", "0.00", "0.04"), ("0.05", "0.10", "-0.05")])
@pytest.mark.requirement("FN-05")
def test_cash_is_rounded_to_the_jiao_as_its_own_line(due: str, cash: str, rounding: str | None) -> None:
    rows = rules.payment_rows(Decimal(due), [Pay("cash", Decimal(due))], to_jiao=True)
    assert rows[0].amount == Decimal(cash)
    assert [row.amount for row in rows[1:]] == ([] if rounding is None else [Decimal(rounding)])


@pytest.mark.parametrize("offered", [
    [Pay("cash", Decimal("9.99"))], [Pay("cash", Decimal("10.01"))], [], [Pay("cash", Decimal("-10"))],
    [Pay("cash", Decimal(5)), Pay("cash", Decimal(5))], [Pay("cash", Decimal(10), tendered=Decimal("9.90"))]])
def test_payments_that_do_not_fit_are_refused(offered: list[Pay]) -> None:
    with pytest.raises(RuleError):
        rules.payment_rows(Decimal("10.00"), offered, to_jiao=True)


@given(money, st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.permutations([1] * n))))
@pytest.mark.requirement("FN-04")
def test_refunding_unit_by_unit_returns_exactly_the_line(amount: Decimal, units: tuple[int, list[int]]) -> None:
    quantity, parts = units
    before, back = Decimal(0), Decimal(0)
    for part in parts:
        share = rules.refund_amount(amount, Decimal(quantity), before, Decimal(part))
        assert share >= 0
        back += share
        before += part
    assert back == amount


@given(positive, st.lists(st.decimals(min_value="0.01", max_value="1", places=4), min_size=1, max_size=6), st.booleans())
@pytest.mark.requirement("FN-05", "FN-11")
def test_partial_returns_of_cash_give_back_exactly_what_was_taken(due: Decimal, shares: list[Decimal],
                                                                  to_jiao: bool) -> None:
    taken = rules.payment_rows(due, [Pay("cash", due)], to_jiao=to_jiao)
    cash = taken[0].amount
    returned = back = rounding = Decimal(0)
    for share in [*shares, Decimal(1)]:
        amount = ((due - returned) * share).quantize(Decimal("0.01"))
        if amount <= 0:
            continue
        paid = Paid(1, "cash", cash, due, returned, None)
        row = rules.allocate_returns(amount, [paid], None, to_jiao=to_jiao)[0]
        assert row.amount + row.rounding == amount
        assert row.amount >= 0
        back += row.amount
        rounding += row.rounding
        returned += amount
    assert (returned, back) == (due, cash)
    assert back + rounding == due


def test_returns_go_to_electronic_payments_first_and_never_beyond_them() -> None:
    paid = [Paid(1, "cash", Decimal(10), Decimal(10), Decimal(0), None),
            Paid(2, "scan", Decimal(20), Decimal(20), Decimal(5), 7)]
    rows = rules.allocate_returns(Decimal("18.00"), paid, None, to_jiao=True)
    assert [(r.payment_id, r.covers) for r in rows] == [(2, Decimal(15)), (1, Decimal(3))]
    for wanted in ({2: Decimal(16)}, {2: Decimal(1)}, {3: Decimal(18)}):
        with pytest.raises(RuleError):
            rules.allocate_returns(Decimal("18.00"), paid, wanted, to_jiao=True)
