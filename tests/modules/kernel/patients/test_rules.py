"""Identity numbers and masking (COMPLIANCE 9.2, HS-01 to HS-03, PR-01)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.kernel.patients import rules

TODAY = date(2026, 3, 2)
VECTORS = [("320602198001011235", "01"), ("320611198001011231", "01"), ("320613202101011230", "01"),
           ("11010519491231002X", "01"), ("440524188001010014", "01"), ("810000199001011230", "17"),
           ("820000199001011232", "17"), ("830000199001011234", "17"), ("919840199001011237", "07")]
prefixes = st.sampled_from(["320602", "320611", "320613", "110105", "440524", "650102"])
days = st.dates(date(1850, 1, 1), TODAY)


@pytest.mark.requirement("HS-01", "HS-03")
@pytest.mark.parametrize(("number", "id_type"), VECTORS)
def test_every_vector_is_right_under_its_type_and_wrong_with_any_other_check_digit(number: str, id_type: str) -> None:
    facts = rules.check_id(id_type, number, TODAY)
    assert facts.number == number
    assert facts.birth_date == date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    for digit in set("0123456789X") - {number[-1]}:
        with pytest.raises(rules.IdNumberError, match="校验码"):
            rules.check_id(id_type, number[:-1] + digit, TODAY)


@pytest.mark.requirement("HS-03")
@pytest.mark.parametrize(("number", "id_type"), VECTORS[5:])
def test_other_residents_are_sent_to_their_type(number: str, id_type: str) -> None:
    with pytest.raises(rules.IdNumberError, match="证件类型改为"):
        rules.check_id("01", number, TODAY)
    assert rules.type_of(number) == id_type
    assert rules.type_of("320602198001011235") == "01"


@pytest.mark.requirement("HS-03")
@pytest.mark.parametrize(("id_type", "good", "bad"), [
    ("07", "USA123456789012", "US1234567890123"), ("06", "12345678", "1234567"), ("08", "E12345678", "E1"),
    ("04", "H12345678", "港12345"), ("06", "0123456789(B)", "0123456789(%)")])
def test_other_papers_have_forms_of_their_own(id_type: str, good: str, bad: str) -> None:
    assert rules.check_id(id_type, good, TODAY).number == good
    with pytest.raises(rules.IdNumberError):
        rules.check_id(id_type, bad, TODAY)


@pytest.mark.requirement("HS-01", "HS-02")
@given(prefixes, days, st.integers(1, 999))
def test_any_well_made_number_says_its_day_and_sex(prefix: str, born: date, serial: int) -> None:
    number = f"{prefix}{born:%Y%m%d}{serial:03d}"
    number += rules.check_digit(number)
    facts = rules.check_id("01", f" {number.lower()} ", TODAY)
    assert facts == rules.IdFacts(number, born, "1" if serial % 2 else "2")
    assert rules.normalise_number(number.lower()) == number


@pytest.mark.requirement("HS-01")
@given(prefixes, st.dates(date(1900, 1, 1), date(1999, 12, 31)), st.integers(1, 999))
def test_the_old_number_of_15_digits_is_the_same_person(prefix: str, born: date, serial: int) -> None:
    old = f"{prefix}{born:%y%m%d}{serial:03d}"
    new = rules.check_id("01", old, TODAY)
    assert rules.normalise_number(old) == new.number
    assert new.birth_date == born


@pytest.mark.requirement("HS-01")
@given(prefixes, days, st.integers(0, 999), st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_is_always_noticed(prefix: str, born: date, serial: int, at: int, shift: int) -> None:
    number = f"{prefix}{born.year:04d}{born:%m%d}{serial:03d}"
    number += rules.check_digit(number)
    wrong = number[:at] + str((int(number[at]) + shift) % 10) + number[at + 1:]
    with pytest.raises(rules.IdNumberError):
        rules.check_id("01", wrong, TODAY)


@pytest.mark.requirement("HS-01")
@pytest.mark.parametrize(("number", "why"), [
    ("32060219800230123", "18 位"), ("320602198002301231", "校验码|不存在"), ("3206021980010112X5", "只有末位"),
    ("０", "18 位"), ("", "不能为空"), ("990602800101123", "15 位"), ("320602801301123", "15 位")])
def test_a_refusal_says_why(number: str, why: str) -> None:
    with pytest.raises(rules.IdNumberError, match=why):
        rules.check_id("01", number, TODAY)


@pytest.mark.requirement("HS-01")
def test_leap_days_tomorrow_and_impossible_days() -> None:
    def number(digits: str) -> str:
        return digits + rules.check_digit(digits)

    assert rules.check_id("01", number("32060220000229001"), TODAY).birth_date == date(2000, 2, 29)
    for digits in ("32060219000229001", "32060220010229001", "32060218491231001", f"320602{TODAY + timedelta(1):%Y%m%d}001"):
        with pytest.raises(rules.IdNumberError, match="出生日期"):
            rules.check_id("01", number(digits), TODAY)
    with pytest.raises(rules.IdNumberError, match="省份"):
        rules.check_id("01", number("17060219800101123"), TODAY)


@pytest.mark.requirement("PR-01")
@pytest.mark.parametrize(("name", "masked"), [("张三", "张*"), ("欧阳修文", "欧***"), ("𠮷", "𠮷"), ("𠮷田", "𠮷*"),
                                              ("䶮", "䶮"), ("买买提·吐尔逊江", "买***")])
def test_names_are_cut_by_character(name: str, masked: str) -> None:
    assert rules.mask_name(name) == masked


@pytest.mark.requirement("PR-01")
@given(st.text(st.characters(categories=["Nd", "Lu"], max_codepoint=127), min_size=1, max_size=40))
def test_a_masked_number_never_shows_most_of_itself(number: str) -> None:
    masked = rules.mask_number(number)
    assert len(masked) == len(number)
    shown = sum(c != "*" for c in masked)
    assert shown <= max(5 if len(number) >= 15 else 7 if len(number) == 11 else len(number) / 2, 0)
    assert "*" in masked
    assert rules.mask_number("320602198001011235") == "320*************35"
    assert rules.mask_number("13800138000") == "138****8000"


WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


@pytest.mark.requirement("PR-01")
def test_a_mask_leaves_the_number_open_even_beside_the_birth_date() -> None:
    """Who knows region, birth date and mask is left with several numbers; with the age, as lists show it, with many."""
    masked = rules.mask_number("320602198001011235")

    def open_(dates: list[str]) -> int:
        return sum(fits(f"320602{day}{n:03d}") for day in dates for n in range(1000))

    def fits(body: str) -> bool:
        number = body + "10X98765432"[sum(int(d) * w for d, w in zip(body, WEIGHTS, strict=True)) % 11]
        return all(c in ("*", d) for c, d in zip(masked, number, strict=True))

    assert open_(["19800101"]) >= 8
    assert open_([f"{date(1979, 3, 3) + timedelta(days=n):%Y%m%d}" for n in range(365)]) > 3000


@pytest.mark.requirement("PR-03")
@pytest.mark.parametrize(("number", "kind"), [
    ("320602198001011235", "id_no"), ("11010519491231002X", "id_no"), ("320602800101123", "id_no"), ("E12345678", "id_no"),
    ("13800138000", "phone"), ("+8613800138000", "phone"), ("051388887777", "phone"),
    ("00001234", None), ("2026030200001", None), ("C0012345", "id_no"), ("ZHANG", None), ("1380013", None)])
def test_which_searches_are_for_a_personal_number(number: str, kind: str | None) -> None:
    assert rules.personal_number(number) == kind


@pytest.mark.parametrize(("born", "shown"), [(date(2026, 3, 2), "0天"), (date(2026, 2, 3), "27天"), (date(2026, 2, 2), "1月"),
                                             (date(2024, 3, 3), "23月"), (date(2024, 3, 2), "2岁"), (date(1980, 3, 3), "45岁")])
def test_ages(born: date, shown: str) -> None:
    assert rules.age(born, TODAY) == shown


@pytest.mark.parametrize(("typed", "same"), [
    ("+86 138-0013-8000", "13800138000"), ("１３８００１３８０００", "13800138000"), ("(0513) 8511 1111", "051385111111"),
    ("0513-85111111", "051385111111"), ("11010519491231002x", "11010519491231002X")])
def test_numbers_are_compared_in_one_form(typed: str, same: str) -> None:
    assert rules.normalise_number(typed) == same
