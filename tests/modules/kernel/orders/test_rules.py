"""The rules of prescribing, pure: quantities with visible fractions, legal limits, rights, how drugs are charged."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.kernel.orders import rules
from modules.kernel.orders.rules import (
    Case,
    Drugged,
    charge_unit,
    needed,
    prescription_errors,
    prescription_kind,
)

ALL_RIGHTS = frozenset({"麻精", "抗菌非限制", "抗菌限制", "抗菌特殊"})
TABLET: dict[str, Any] = {"dose": Decimal("0.5"), "dose_amount": Decimal("0.25"), "times_per_day": 3,
                          "interval_days": 1, "days": 4, "pack_size": 24, "splittable": True, "base_unit": "粒"}


def line(name: str = "阿莫西林胶囊", **more: Any) -> Drugged:
    """A plain drug for three days."""
    return Drugged(**{"name": name, "fiscal_category": "09", "control": "普通", "antimicrobial": "", "form": "胶囊剂",
                      "days": 3, **more})


def wrong(*lines: Drugged, emergency: bool = False, reason: str = "", rights: frozenset[str] = ALL_RIGHTS,
          title: str = "主任医师", code: str = "", **more: Any) -> list[tuple[str, str]]:
    """What is wrong with these lines; ``code`` is the diagnosis."""
    place = more.pop("place", "emergency" if emergency else "outpatient")
    return prescription_errors(lines, Case(place=place, reason=reason, rights=rights, title=title,
                                           groups=rules.diagnosis_groups(code), **more))


@pytest.mark.requirement("M8.9", "RX-11")
@pytest.mark.parametrize(("change", "exact", "quantity", "warnings"), [
    ({}, "24", "24", 0),
    ({"dose": Decimal("0.375")}, "18", "18", 1),  # 1.5 capsules each time
    ({"dose": Decimal("0.075"), "times_per_day": 1, "days": 1}, "0.3", "1", 1),  # 0.3 of a tablet asks
    ({"dose_amount": None, "dose": Decimal(2)}, "24", "24", 0),  # nobody said what one holds: counted
    ({"times_per_day": 1, "interval_days": None, "days": 7}, "2", "2", 0),  # st: one dose
    ({"times_per_day": None, "interval_days": None}, "2", "2", 0),  # prn: one dose
    ({"times_per_day": 2, "interval_days": 7, "days": 8}, "8", "8", 0),  # biw over two weeks
    ({"times_per_day": 1, "interval_days": 2, "days": 7}, "8", "8", 0),  # qod: days 1, 3, 5, 7
    ({"splittable": False, "days": 5}, "30", "48", 1),
    ({"splittable": False}, "24", "24", 0),
])
def test_what_a_line_needs(change: dict[str, Any], exact: str, quantity: str, warnings: int) -> None:
    found = needed(**{**TABLET, **change})
    assert (found.exact, found.quantity, len(found.warnings)) == (Decimal(exact), Decimal(quantity), warnings)


def test_the_fraction_is_named() -> None:
    found = needed(**{**TABLET, "dose": Decimal("0.075")})
    assert found.warnings == ("每次用量为 0.3 粒，请确认能否分剂量",)


@pytest.mark.requirement("M8.9", "RX-11")
@given(dose=st.decimals("0.0001", "5000", places=4), amount=st.none() | st.decimals("0.0001", "5000", places=4),
       times=st.integers(1, 24), interval=st.none() | st.integers(1, 28), days=st.integers(1, 90),
       pack=st.integers(1, 500), split=st.booleans())
def test_enough_is_dispensed_and_never_a_unit_too_much(dose: Decimal, amount: Decimal | None, times: int,
                                                       interval: int | None, days: int, pack: int,
                                                       split: bool) -> None:
    found = needed(dose=dose, dose_amount=amount, times_per_day=times, interval_days=interval, days=days,
                   pack_size=pack, splittable=split, base_unit="片")
    assert found.quantity == found.quantity.to_integral_value()
    assert found.exact <= found.quantity < found.exact + (1 if split else pack)
    if not split:
        assert found.quantity % pack == 0
    units = dose / amount if amount else dose
    assert any("分剂量" in w for w in found.warnings) == (units != units.to_integral_value())
    assert any("取整" in w for w in found.warnings) <= (not split)


@given(days=st.integers(1, 45), times=st.integers(1, 6), interval=st.integers(1, 7))
def test_more_days_never_need_less(days: int, times: int, interval: int) -> None:
    rhythm = {**TABLET, "times_per_day": times, "interval_days": interval}
    assert needed(**{**rhythm, "days": days}).exact <= needed(**{**rhythm, "days": days + 1}).exact


@pytest.mark.requirement("RX-06")
def test_five_drugs_and_herbs_alone() -> None:
    assert wrong(*(line(f"药{n}") for n in range(5))) == []
    assert wrong(*(line(f"药{n}") for n in range(6))) == [("lines", "每张处方不得超过 5 种药品")]
    assert wrong(*(line("同一种药") for _ in range(6))) == []  # a drug on several lines is one drug
    herbs = [line(f"草药{n}", fiscal_category=rules.HERB) for n in range(12)]
    assert wrong(*herbs) == []
    assert wrong(*herbs, line()) == [("lines", "中药饮片须单独开具处方")]


@pytest.mark.parametrize(("lines", "emergency", "kind"), [
    ([line()], False, "普通"), ([line()], True, "急诊"),
    ([line(control="精二")], True, "精二"), ([line(control="精二"), line(control="精一")], False, "麻精一"),
    ([line(control="麻醉")], True, "麻精一"), ([line(fiscal_category=rules.HERB)], False, "中药")])
def test_which_form_is_used(lines: list[Drugged], emergency: bool, kind: str) -> None:
    assert prescription_kind(lines, emergency=emergency) == kind


@pytest.mark.requirement("M8.9")
@given(quantity=st.integers(1, 5000).map(Decimal), pack=st.integers(1, 500),
       price=st.decimals("0", "9999", places=4))
def test_charging_in_packs_or_singly_keeps_the_quantity(quantity: Decimal, pack: int, price: Decimal) -> None:
    charged = charge_unit(quantity, pack_size=pack, pack_unit="盒", base_unit="片", pack_price=price)
    assert charged.quantity * charged.factor == quantity
    if quantity % pack == 0:
        assert (charged.unit, charged.price) == ("盒", price)
    else:
        assert charged.unit == "片"
        # the share of one unit, rounded to four places: never off by more than half of the last
        assert abs(charged.price * pack - price) <= Decimal("0.00005") * pack


_TESTS = st.lists(st.builds(
    rules.LabTest, st.just(0), st.sampled_from(["WBC", "GLU", "ALT"]), st.sampled_from(["静脉血", "末梢血", "尿"]),
    st.sampled_from(["紫管", "黄管", "无费管"]), st.sampled_from(["", "急"]), st.sampled_from(["采血室", "床旁"])), max_size=8)
TUBES, DRAWING = {"紫管": "T1", "黄管": "T2"}, ("采血费", "采血针费")


def _fees(tests: list[rules.LabTest]) -> list[rules.CollectionFee]:
    return rules.collection_fees(tests, TUBES, DRAWING)


@pytest.mark.requirement("H7")
@given(_TESTS, st.randoms(use_true_random=False))
def test_collection_fees_follow_from_what_is_ordered(given_tests: list[rules.LabTest], chance: random.Random) -> None:
    tests = [replace(test, line_id=n) for n, test in enumerate(given_tests, 1)]
    fees = _fees(tests)
    shuffled = list(tests)
    chance.shuffle(shuffled)
    assert _fees(shuffled) == fees, "the order of the lines decides nothing"
    assert len({fee.key for fee in fees}) == len(fees)
    blood = {test.line_id: test for test in tests if "血" in test.specimen}
    draws = [fee for fee in fees if fee.key.startswith("draw")]
    assert len(draws) == len(DRAWING) * len({test.site for test in blood.values()}), "once per collection site"
    tubes = [fee for fee in fees if fee.key.startswith("tube")]
    inside = [line for fee in tubes for line in fee.covers]
    assert sorted(inside) == sorted(n for n, test in blood.items() if test.container in TUBES), "each in exactly one tube"
    for fee in tubes:
        found = [blood[line] for line in fee.covers]
        assert len({(t.specimen, t.container, t.group) for t in found}) == 1 and fee.item == TUBES[found[0].container]
        assert len({t.item for t in found}) == len(found), "the same test twice never shares a tube"
    most = Counter((t.specimen, t.container, t.group, t.item) for t in blood.values() if t.container in TUBES)
    per_key: dict[tuple[str, str, str], int] = {}
    for (*key, _item), count in most.items():
        per_key[tuple(key)] = max(per_key.get(tuple(key), 0), count)  # type: ignore[arg-type]
    assert len(tubes) == sum(per_key.values()), "no tube more than needed"
