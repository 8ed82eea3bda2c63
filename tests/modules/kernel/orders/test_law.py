"""The law of prescriptions, pure, at every boundary n / n+1 (COMPLIANCE RX-01 to RX-06, RX-08, RX-10)."""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.kernel.orders import rules
from modules.kernel.orders.rules import Case, Drugged, check_drugs, prescription_errors
from tests.modules.kernel.orders.test_rules import ALL_RIGHTS, line, wrong

TB, PNEUMONIA, CANCER, PAIN, ADHD, MYCOSIS = "A15.000", "J18.900", "C34.900", "R52.200", "F90.000", "B44.100"
LEVOFLOXACIN: dict[str, Any] = {"name": "左氧氟沙星片", "antimicrobial": "非限制", "infections": frozenset({"结核"})}


@pytest.mark.requirement("RX-01")
@pytest.mark.parametrize(("extension", "day", "valid"), [(0, 0, True), (0, 1, False), (1, 1, True), (1, 2, False),
                                                         (3, 3, True), (3, 4, False)])
def test_a_prescription_is_for_its_day_or_three_more(extension: int, day: int, valid: bool) -> None:
    issued = date(2026, 2, 27)
    assert (issued + timedelta(days=day) <= rules.valid_until(issued, extension)) == valid


@pytest.mark.requirement("RX-01")
@given(st.integers(-3, 9))
def test_no_doctor_extends_beyond_three_days(days: int) -> None:
    if 0 <= days <= 3:
        assert (rules.valid_until(date(2026, 1, 1), days) - date(2026, 1, 1)).days == days
    else:
        with pytest.raises(ValueError, match="extended"):
            rules.valid_until(date(2026, 1, 1), days)


# (what, the most days, the line, the case)
LIMITS: list[tuple[str, int, dict[str, Any], dict[str, Any]]] = [
    ("RX-02 普通", 7, {}, {}), ("RX-02 急诊", 3, {}, {"emergency": True}),
    ("RX-02 慢性病", 28, {}, {"reason": "慢性病"}), ("RX-02 急诊有理由", 7, {}, {"emergency": True, "reason": "特殊情况"}),
    ("RX-03 长期", 84, {}, {"reason": "慢性病", "long_term": True, "assessment": "病情稳定", "signed_by": "张小明"}),
    ("RX-03 抗菌药", 7, LEVOFLOXACIN, {"reason": "慢性病", "code": PNEUMONIA}),
    ("RX-03 抗结核", 28, LEVOFLOXACIN, {"reason": "慢性病", "code": TB}),
    ("RX-03 抗结核长期", 84, LEVOFLOXACIN, {"reason": "慢性病", "code": TB, "long_term": True, "assessment": "痰检阴转",
                                        "signed_by": "张小明"}),
    ("RX-03 真菌", 28, {"antimicrobial": "限制", "infections": frozenset({"真菌"})}, {"reason": "慢性病", "code": MYCOSIS}),
    ("RX-03 药不对病", 7, {"antimicrobial": "限制", "infections": frozenset({"真菌"})}, {"reason": "慢性病", "code": TB}),
    ("RX-03 毒性", 7, {"control": "毒性", "amount": Decimal(1), "max_daily": Decimal(9)}, {"reason": "慢性病"}),
    ("RX-03 易制毒", 7, {"control": "易制毒"}, {"reason": "慢性病"}),
    ("RX-03 放射", 7, {"control": "放射"}, {"reason": "慢性病"}),
    ("RX-04 麻醉片剂", 3, {"control": "麻醉", "form": "片剂"}, {}),
    ("RX-04 精一片剂", 3, {"control": "精一", "form": "片剂"}, {}),
    ("RX-04 注射一次", 1, {"control": "麻醉", "form": "注射剂"}, {}),
    ("RX-04 粉针一次", 1, {"control": "麻醉", "form": "粉针剂"}, {}),
    ("RX-04 缓释", 7, {"control": "麻醉", "form": "缓释片", "release": "缓释"}, {}),
    ("RX-04 癌痛注射", 3, {"control": "麻醉", "form": "注射剂"}, {"code": CANCER}),
    ("RX-04 癌痛缓释", 15, {"control": "麻醉", "form": "控释片", "release": "控释"}, {"code": CANCER}),
    ("RX-04 癌痛其他", 7, {"control": "精一", "form": "片剂"}, {"code": CANCER}),
    ("RX-04 慢性疼痛缓释", 15, {"control": "麻醉", "form": "缓释片", "release": "缓释"}, {"code": PAIN}),
    ("RX-04 急诊缓释", 3, {"control": "麻醉", "form": "缓释片", "release": "缓释"}, {"emergency": True}),
    ("RX-04 哌甲酯", 15, {"control": "精一", "form": "缓释片", "release": "缓释", "ingredient": "哌甲酯"}, {"code": ADHD}),
    ("RX-04 哌甲酯无多动症", 7, {"control": "精一", "form": "缓释片", "release": "缓释", "ingredient": "哌甲酯"}, {}),
    ("RX-04 精二", 7, {"control": "精二"}, {}), ("RX-04 精二有理由", 14, {"control": "精二"}, {"reason": "特殊情况"}),
    ("RX-04 住院", 1, {"control": "麻醉", "form": "缓释片", "release": "缓释"}, {"place": "inpatient", "code": CANCER}),
    ("RX-04 哌替啶", 1, {"control": "麻醉", "form": "注射剂", "ingredient": "哌替啶", "usage": "肌注"}, {"code": CANCER}),
    ("RX-04 二氢埃托啡", 1, {"control": "麻醉", "form": "舌下片", "ingredient": "二氢埃托啡", "usage": "舌下"}, {}),
    ("RX-08 越级", 1, {"antimicrobial": "限制"}, {"title": "住院医师", "override": "感染性休克"}),
    ("M7.8 夜间", 3, {}, {"night": True}),
]


@pytest.mark.requirement("R3", "RX-02", "RX-03", "RX-04", "M7.8")
@pytest.mark.parametrize(("most", "one", "case"), [row[1:] for row in LIMITS], ids=[row[0] for row in LIMITS])
def test_n_days_may_be_and_one_more_may_not(most: int, one: dict[str, Any], case: dict[str, Any]) -> None:
    assert wrong(line(days=most, **one), **case) == []
    errors = wrong(line(days=most + 1, **one), **case)
    assert [field for field, _ in errors] == ["lines.0.days"], errors


@pytest.mark.requirement("R3", "RX-02", "RX-03", "RX-04")
@given(row=st.sampled_from(LIMITS), days=st.integers(1, 120))
def test_fewer_days_than_allowed_are_allowed_and_more_never(row: tuple[str, int, dict[str, Any], dict[str, Any]],
                                                            days: int) -> None:
    _, most, one, case = row
    assert (wrong(line(days=days, **one), **case) == []) == (days <= most)


@pytest.mark.requirement("R3", "RX-03")
@pytest.mark.parametrize(("days", "more", "fields"), [
    (28, {}, []), (29, {}, ["assessment", "signed_by"]), (29, {"assessment": "稳定"}, ["signed_by"]),
    (29, {"signed_by": "张小明"}, ["assessment"]), (84, {"assessment": "稳定", "signed_by": "张小明"}, []),
    (85, {"assessment": "稳定", "signed_by": "张小明"}, ["lines.0.days"])])
def test_beyond_four_weeks_there_is_an_evaluation_and_a_signature(days: int, more: dict[str, Any], fields: list[str]) -> None:
    assert [f for f, _ in wrong(line(days=days), reason="慢性病", long_term=True, **more)] == fields


@pytest.mark.requirement("R3", "RX-03")
@pytest.mark.parametrize("one", [{"control": c} for c in ("毒性", "放射", "易制毒", "麻醉", "精一", "精二")] + [LEVOFLOXACIN])
def test_excluded_classes_are_never_long_term(one: dict[str, Any]) -> None:
    given_ = {"amount": Decimal(1), "max_daily": Decimal(9), **one}
    errors = wrong(line(days=1, **given_), reason="慢性病", long_term=True, code=PNEUMONIA)
    assert [(f, "不得开具长期处方" in text) for f, text in errors] == [("lines.0.drug_id", True)]
    assert wrong(line(days=1, **given_), code=PNEUMONIA) == []


@pytest.mark.requirement("R3", "RX-03")
def test_isoniazid_for_eight_weeks_and_levofloxacin_for_pneumonia() -> None:
    long = {"reason": "慢性病", "long_term": True, "assessment": "痰检阴转", "signed_by": "张小明"}
    isoniazid = line("异烟肼片", days=56, infections=frozenset({"结核"}))
    assert wrong(isoniazid, code=TB, **long) == []
    assert wrong(line(days=56, **LEVOFLOXACIN), code=TB, **long) == []
    assert {f for f, _ in wrong(line(days=28, **LEVOFLOXACIN), code=PNEUMONIA, **long)} == {"lines.0.drug_id", "lines.0.days"}


def test_long_term_is_for_the_clinic_and_has_a_reason() -> None:
    assert [f for f, _ in wrong(line(), long_term=True)] == ["chronic_reason"]
    assert [f for f, _ in wrong(line(), long_term=True, reason="慢性病", emergency=True)] == ["long_term"]


@pytest.mark.requirement("M7.8")
def test_at_night_nothing_is_long_term() -> None:
    assert wrong(line(days=3), night=True) == []
    assert [f for f, _ in wrong(line(days=3), night=True, reason="慢性病")] == ["chronic_reason"]


@pytest.mark.requirement("M7.8")
@pytest.mark.parametrize(("at", "night"), [("21:59", False), ("22:00", True), ("00:00", True), ("05:59", True), ("06:00", False)])
def test_when_it_is_night(at: str, night: bool) -> None:
    assert rules.is_night(time.fromisoformat(at), "22:00", "06:00") == night
    assert not rules.is_night(time.fromisoformat(at), "", "")
    assert rules.is_night(time.fromisoformat("12:00"), "11:30", "13:00")


@pytest.mark.requirement("RX-04")
@pytest.mark.parametrize(("one", "case", "field"), [
    ({"ingredient": "哌替啶", "usage": "口服"}, {}, "usage"), ({"ingredient": "二氢埃托啡", "usage": "舌下"}, {"level_2": False},
                                                        "drug_id"),
    ({"ingredient": "哌替啶", "usage": "肌注", "turns": 2}, {}, "days"), ({"form": "注射剂", "turns": 2}, {}, "days"),
    ({}, {"rights": frozenset()}, "drug_id")])
def test_narcotics_are_given_once_in_the_hospital_by_who_may(one: dict[str, Any], case: dict[str, Any], field: str) -> None:
    given_ = {"control": "麻醉", "form": "注射剂", "days": 1, **one}
    assert [f for f, _ in wrong(line(**given_), **case)] == [f"lines.0.{field}"]


@pytest.mark.requirement("RX-05")
@given(daily=st.decimals("0.01", "500", places=2), amount=st.decimals("0.01", "1500", places=2))
def test_poisons_are_at_most_two_of_the_largest_daily_doses(daily: Decimal, amount: Decimal) -> None:
    errors = wrong(line(control="毒性", amount=amount, max_daily=daily, dose_unit="g"))
    assert [f for f, _ in errors] == (["lines.0.quantity"] if amount > 2 * daily else [])
    assert wrong(line(control="毒性", amount=2 * daily, max_daily=daily)) == []
    assert len(wrong(line(control="毒性", amount=2 * daily + Decimal("0.01"), max_daily=daily))) == 1


@pytest.mark.requirement("RX-05")
@pytest.mark.parametrize("unknown", [{"amount": None}, {"max_daily": None}])
def test_a_poison_whose_limit_nobody_knows_is_not_prescribed(unknown: dict[str, Any]) -> None:
    given_ = {"control": "毒性", "amount": Decimal(1), "max_daily": Decimal(1), **unknown}
    assert [f for f, _ in wrong(line(**given_))] == ["lines.0.drug_id"]


TITLES = {"主任医师": 3, "副主任医师": 3, "主治医师": 2, "住院医师": 1, "护师": 0, "": 0}


@pytest.mark.requirement("RX-08")
@pytest.mark.parametrize(("level", "title", "place"), [
    *product(rules.LEVELS, TITLES, ("outpatient", "emergency", "inpatient"))])
def test_level_by_title_by_place(level: str, title: str, place: str) -> None:
    n = rules.LEVELS.index(level) + 1
    one = line(antimicrobial=level, days=1)
    expected = TITLES[title] >= n and not (n == 3 and place == "outpatient")
    assert (wrong(one, title=title, place=place, consulted=True) == []) == expected
    # a title without the granted right is not enough; a right covers the lower levels
    granted = frozenset({f"抗菌{level}"})
    assert (wrong(one, title=title, place=place, consulted=True, rights=granted) == []) == expected
    lower = frozenset({f"抗菌{name}" for name in rules.LEVELS[:n - 1]})
    assert wrong(one, title=title, place=place, consulted=True, rights=lower) != []


@pytest.mark.requirement("RX-08")
@pytest.mark.parametrize("place", ["emergency", "inpatient"])
def test_special_use_needs_consultation_or_a_rescue(place: str) -> None:
    one = line(antimicrobial="特殊", days=1)
    assert [f for f, _ in wrong(one, place=place)] == ["consultant_id"]
    assert wrong(one, place=place, consulted=True) == []
    assert wrong(one, place=place, title="住院医师", override="感染性休克") == []
    assert [f for f, _ in wrong(one, title="住院医师", override="感染性休克")] == ["lines.0.drug_id"]  # never in the clinic
    case = Case(place="emergency", rights=ALL_RIGHTS, title="主治医师")
    assert rules.beyond_level([line(antimicrobial="限制"), one], case) == "特殊"
    assert rules.beyond_level([line(antimicrobial="限制"), line()], case) == ""


LINES = st.lists(
    st.builds(line, st.sampled_from(["甲", "乙", "丙", "丁", "戊", "己"]), fiscal_category=st.sampled_from(["09", "10", "11"]),
              control=st.sampled_from(["普通", "精二", "精一", "麻醉", "毒性"]),
              antimicrobial=st.sampled_from(["", "非限制", "限制", "特殊"]), form=st.sampled_from(["片剂", "注射剂", "缓释片"]),
              release=st.sampled_from(["", "缓释"]), days=st.integers(1, 90), turns=st.integers(1, 3),
              infections=st.sampled_from([frozenset(), frozenset({"结核"})]), amount=st.just(Decimal(1)),
              max_daily=st.sampled_from([None, Decimal(1)])), min_size=1, max_size=8)
CASES = st.builds(Case, place=st.sampled_from(["outpatient", "emergency", "inpatient"]),
                  groups=st.sampled_from([frozenset(), frozenset({"癌症"}), frozenset({"结核"})]),
                  reason=st.sampled_from(["", "慢性病"]), long_term=st.booleans(), assessment=st.sampled_from(["", "稳定"]),
                  signed_by=st.sampled_from(["", "张"]), night=st.booleans(), rights=st.sets(st.sampled_from(
                      sorted(ALL_RIGHTS))).map(frozenset), title=st.sampled_from(["主任医师", "主治医师", "住院医师"]))


@given(LINES, CASES)
def test_what_is_allowed_stays_allowed_with_fewer_lines_fewer_days_and_more_rights(lines: list[Drugged], case: Case) -> None:
    if prescription_errors(lines, case):
        return
    better = Case(**{**case.__dict__, "rights": ALL_RIGHTS, "title": "主任医师"})
    assert prescription_errors(lines, better) == []
    assert prescription_errors(lines[:-1] or lines, case) == []
    assert prescription_errors([Drugged(**{**one.__dict__, "days": 1, "turns": 1}) for one in lines], case) == []


@pytest.mark.requirement("RX-06")
@given(st.integers(0, 8), st.integers(0, 3))
def test_five_drugs_at_most_and_herbs_apart(drugs: int, herbs: int) -> None:
    lines = [line(f"药{n}") for n in range(drugs)] + [line(f"草{n}", fiscal_category=rules.HERB) for n in range(herbs)]
    allowed = (not herbs and drugs <= 5) or not drugs
    assert (wrong(*lines) == []) == allowed


# ---- RX-10: what the hospital's own data say

def found(*lines: Drugged, allergies: str = "", taking: dict[str, str] | None = None,
          interactions: dict[frozenset[str], str] | None = None) -> list[tuple[str, str, str]]:
    """Level, kind and field of what a check finds."""
    return [(w.level, w.kind, w.field) for w in check_drugs(lines, allergies=allergies, taking=taking or {},
                                                            interactions=interactions or {})]


@pytest.mark.requirement("RX-10")
@pytest.mark.parametrize(("allergies", "stopped"), [("青霉素", True), ("对阿莫西林过敏", True), ("青霉素类（皮试阳性）", True),
                                                    ("头孢", False), ("", False)])
def test_an_allergy_stops_the_drug_and_its_class(allergies: str, stopped: bool) -> None:
    one = line(ingredient="阿莫西林", drug_class="青霉素类")
    assert found(one, allergies=allergies) == ([("stop", "allergy", "lines.0.drug_id")] if stopped else [])


@pytest.mark.requirement("RX-10")
@pytest.mark.parametrize(("allergies", "stopped"), [("氨溴索", True), ("海鲜，氨溴索片", True), ("头孢", False),
                                                    ("否认", False), ("片", False)])
def test_where_no_ingredient_is_named_the_drugs_name_tells(allergies: str, stopped: bool) -> None:
    assert bool(found(line("盐酸氨溴索片"), allergies=allergies)) == stopped


@pytest.mark.requirement("RX-10")
def test_repeated_drugs_interactions_and_doses_are_named() -> None:
    warfarin, aspirin = line("华法林钠片", ingredient="华法林"), line("阿司匹林肠溶片", ingredient="阿司匹林")
    pair = {frozenset({"华法林", "阿司匹林"}): "出血风险增加"}
    assert found(warfarin, aspirin, interactions=pair) == [("warn", "interaction", "lines.1.drug_id")]
    assert found(warfarin, interactions=pair) == []
    assert found(warfarin, line("华法林钠片2", ingredient="华法林")) == [("warn", "duplicate", "lines.1.drug_id")]
    assert found(warfarin, taking={"华法林": "CF1"}) == [("warn", "duplicate", "lines.0.drug_id")]
    for dose, daily, kinds in ((3, 9, []), (4, 9, ["dose"]), (3, 10, ["dose"]), (4, 10, ["dose", "dose"])):
        one = line(dose=Decimal(dose), daily=Decimal(daily), max_dose=Decimal(3), max_daily=Decimal(9))
        assert [kind for _, kind, _ in found(one)] == kinds
