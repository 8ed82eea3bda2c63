"""Invented persons: deterministic, lazily made, with numbers that could be real and regions that exist."""

from __future__ import annotations

import csv
import json
from datetime import date
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.people import FIRST_NUMBERS, REFERENCE_DAY, id_check_digit, make_people

ROOT = Path(__file__).resolve().parents[2]
MASTER = ROOT / "modules" / "kernel" / "masterdata" / "data"
PEOPLE = list(make_people(7, 6000))
with (MASTER / "regions.csv").open(encoding="utf-8", newline="") as _handle:
    REGIONS = {row["code"]: row for row in csv.DictReader(_handle)}


def share(condition: list[bool]) -> float:
    return sum(condition) / len(condition)


@pytest.mark.requirement("HS-01")
@pytest.mark.parametrize("number", [
    "320602198001011235", "320611198001011231", "320613202101011230", "11010519491231002X", "440524188001010014",
    "810000199001011230", "820000199001011232", "830000199001011234", "919840199001011237",
])
def test_check_digit_of_known_numbers(number: str) -> None:
    assert id_check_digit(number[:17]) == number[17]


@pytest.mark.parametrize("bad", ["", "3206021980010112", "32060219800101123X", "３２０６０２１９８００１０１１２３"])
def test_check_digit_refuses_what_is_not_17_digits(bad: str) -> None:
    with pytest.raises(ValueError, match="17 digits"):
        id_check_digit(bad)


@given(st.text("0123456789", min_size=17, max_size=17), st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_always_changes_the_check_digit(first17: str, place: int, by: int) -> None:
    wrong = first17[:place] + str((int(first17[place]) + by) % 10) + first17[place + 1:]
    assert id_check_digit(wrong) != id_check_digit(first17)


def test_same_seed_same_people_and_more_of_them_begin_alike() -> None:
    assert list(make_people(7, 300)) == PEOPLE[:300]
    assert list(make_people(8, 300)) != PEOPLE[:300]


def test_people_are_made_one_at_a_time() -> None:
    assert len(list(islice(make_people(7, 10**12), 3))) == 3
    with pytest.raises(ValueError, match="negative"):
        next(make_people(1, -1))


@pytest.mark.requirement("HS-01", "HS-02", "HS-03")
def test_numbers_agree_with_the_person() -> None:
    numbers = [person["id_number"] for person in PEOPLE if person["id_number"]]
    assert len(set(numbers)) == len(numbers)
    for person in PEOPLE:
        number, birth = person["id_number"], person["birth_date"]
        assert (number == "") == (person["cert_type"] == "")
        if person["cert_type"] in ("01", "07", "17"):
            assert len(number) == 18 and id_check_digit(number[:17]) == number[17]
            assert number[6:14] == f"{birth:%Y%m%d}"
            assert int(number[16]) % 2 == (person["sex"] == "1")
        if person["cert_type"] == "17":
            assert number[:6] in ("810000", "820000", "830000")
        if person["cert_type"] == "07":
            assert number[0] == "9"
        if person["cert_type"] == "01":
            region = REGIONS[number[:6]]
            assigned = max(birth, FIRST_NUMBERS).isoformat()
            assert region["level"] == "3", number
            assert region["valid_from"] <= assigned, number
            assert not region["valid_to"] or assigned < region["valid_to"], number


@pytest.mark.requirement("HS-02", "HS-06")
def test_people_live_in_regions_of_today() -> None:
    for person in PEOPLE:
        county, street = REGIONS[person["region_code"]], REGIONS[person["street_code"]]
        assert not county["valid_to"] and street["parent_code"] == county["code"]
        head = f"江苏省南通市{county['name']}{street['name']}"
        assert person["address"] == head + person["address_detail"] and person["address_detail"]
    prefixes = {person["id_number"][:6] for person in PEOPLE if person["region_code"] == "320613"}
    assert {"320602", "320611", "320613"} <= prefixes


def test_shares_are_what_they_should_be() -> None:
    assert 0.005 < share([not person["id_number"] for person in PEOPLE]) < 0.02
    assert {person["cert_type"] for person in PEOPLE} == {"", "01", "07", "08", "17"}
    rare = [any(character in person["name"] for character in "䶮㛃𠮷𬭎𫖯𬀩𬍛𬱖𬘭𬭚") for person in PEOPLE]
    assert 0.01 < share(rare) < 0.03
    assert 0.02 < share(["·" in person["name"] for person in PEOPLE]) < 0.045
    compound = ("欧阳", "上官", "诸葛", "司马", "尉迟", "令狐", "司徒", "皇甫", "慕容", "夏侯")
    assert 0.002 < share([person["name"].startswith(compound) for person in PEOPLE]) < 0.012
    assert 0.05 < share([person["name"][0] == "王" for person in PEOPLE]) < 0.09
    assert len({person["name"] for person in PEOPLE}) > 4500
    for person in PEOPLE:
        assert 2 <= len(person["name"]) <= 15
        assert REFERENCE_DAY > person["birth_date"] > date(1925, 1, 1)
        assert person["phone"].startswith("154") and len(person["phone"]) == 11


@pytest.mark.requirement("HS-04", "HS-05", "HS-07")
def test_codes_are_of_the_dictionaries() -> None:
    codes: dict[str, set[str]] = {}
    with (MASTER / "dictionaries.csv").open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            codes.setdefault(row["dictionary"], set()).add(row["code"])
    assert {person["sex"] for person in PEOPLE} == {"1", "2"} <= codes["sex"]
    assert {person["ethnic"] for person in PEOPLE} - {""} <= codes["ethnic"]
    assert {person["cert_type"] for person in PEOPLE} - {""} <= codes["psn_cert_type"]


def test_people_are_plain_data() -> None:
    json.dumps([{**person, "birth_date": person["birth_date"].isoformat()} for person in PEOPLE[:50]])
