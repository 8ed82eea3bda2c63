"""The region table: whole, with history, and Nantong's changes as COMPLIANCE 9.1 has them."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest

from demo.make_regions import NANTONG, PLACEHOLDERS, area_code, level_of, renamed, stem

MASTER = Path(__file__).resolve().parents[2] / "modules" / "kernel" / "masterdata" / "data"

Row = dict[str, str]


def read(name: str) -> list[Row]:
    with (MASTER / name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


ROWS = read("regions.csv")
REGIONS = {row["code"]: row for row in ROWS}


def valid_on(row: Row, day: date) -> bool:
    return row["valid_from"] <= day.isoformat() and (not row["valid_to"] or day.isoformat() < row["valid_to"])


def test_the_whole_country_is_there() -> None:
    now = [row for row in ROWS if not row["valid_to"]]
    levels = [sum(row["level"] == level for row in now) for level in "123"]
    assert levels[0] == 34
    assert 330 <= levels[1] <= 340
    assert 2840 <= levels[2] <= 2860
    assert len(REGIONS) == len(ROWS)


def test_every_row_is_well_formed_and_has_its_parent() -> None:
    for row in ROWS:
        code = row["code"]
        assert code.isdigit() and int(row["level"]) == level_of(code), row
        assert row["name"] and row["name"] not in PLACEHOLDERS, row
        if row["level"] == "1":
            assert not row["parent_code"]
        else:
            assert int(REGIONS[row["parent_code"]]["level"]) < int(row["level"]), row
            assert code.startswith(row["parent_code"].rstrip("0")), row
        for column in ("valid_from", "valid_to"):
            assert not row[column] or date.fromisoformat(row[column])
        assert not (row["valid_from"] and row["valid_to"]) or row["valid_from"] < row["valid_to"], row


def test_successors_exist_and_lead_to_an_end() -> None:
    for row in ROWS:
        assert not row["successor"] or row["valid_to"], row
        seen = {row["code"]}
        while row["successor"]:
            row = REGIONS[row["successor"]]
            assert row["code"] not in seen, seen
            seen.add(row["code"])


@pytest.mark.requirement("HS-02", "HS-06", "M1.4")
def test_nantong_changed_as_the_state_said() -> None:
    for code, (name, begin, end, successor) in NANTONG.items():
        row = REGIONS[code]
        assert (row["name"], row["valid_from"], row["valid_to"], row["successor"]) == (name, begin, end, successor)
        assert row["parent_code"] == "320600"
    counties = {row["code"] for row in ROWS if row["parent_code"] == "320600"}
    assert counties == set(NANTONG)
    in_2019 = {code for code in counties if valid_on(REGIONS[code], date(2019, 6, 30))}
    in_2021 = {code for code in counties if valid_on(REGIONS[code], date(2021, 6, 30))}
    assert in_2019 == {"320602", "320611", "320612", "320623", "320681", "320682", "320684", "320685"}
    assert in_2021 == {"320612", "320613", "320614", "320623", "320681", "320682", "320685"}
    assert REGIONS["320602"]["former_names"] == "城中区,城区"


def test_the_streets_of_chongchuan() -> None:
    streets = {row["code"]: row["name"] for row in ROWS if row["parent_code"] == "320613"}
    assert len(streets) == 19
    assert streets["320613001"] == "城东街道" and streets["320613017"] == "唐闸镇街道"
    assert streets["320613021"] == "幸福街道" and "320613403" in streets


@pytest.mark.parametrize("code, name, postcode, area", [
    ("320613", "崇川区", "226001", "0513"), ("320612", "通州区", "226300", "0513"),
    ("320682", "如皋市", "226500", "0513"),
    ("320583", "昆山市", "215300", "0512"), ("320106", "鼓楼区", "", "025"), ("310000", "", "", ""),
    ("110101", "东城区", "100010", "010"), ("430300", "湘潭市", "", "0731"),
])
def test_postcodes_and_area_codes(code: str, name: str, postcode: str, area: str) -> None:
    found = {row["region_code"]: row for row in read("postcodes.csv")}
    if not name:
        assert code not in found
        return
    row = found[code]
    assert (row["name"], row["area_code"]) == (name, area)
    if postcode:
        assert row["postcode"] == postcode


def test_every_county_of_jiangsu_has_a_postcode_and_an_area_code() -> None:
    found = {row["region_code"]: row for row in read("postcodes.csv")}
    for row in ROWS:
        if row["code"].startswith("32") and row["level"] == "3" and not row["valid_to"]:
            entry = found[row["code"]]
            assert len(entry["postcode"]) == 6 and entry["area_code"].startswith("0"), entry
    for entry in found.values():
        assert not REGIONS[entry["region_code"]]["valid_to"]


def test_a_change_of_rank_names_the_successor_but_a_split_does_not() -> None:
    spans = {"610322": ("凤翔县", "", "2021-01-01"), "610305": ("凤翔区", "2021-01-01", ""),
             "610401": ("甲乙县", "", "2000-01-01"), "610402": ("甲乙区", "2000-01-01", ""),
             "610403": ("甲乙市", "2000-01-01", "")}
    assert list(renamed(spans)) == [("610322", "610305")]
    assert stem("如东县") == "如东" and stem("丰县") == "丰县"


def test_an_ambiguous_area_code_stays_empty() -> None:
    prefixes = [("0354", "山西省晋中市、吕梁市"), ("0358", "山西省晋中市、吕梁市"), ("0513", "江苏省南通市"),
                ("0856", "贵州省铜仁地区")]
    assert area_code(prefixes, "山西省", "吕梁市") == ""
    assert area_code(prefixes, "江苏省", "南通市") == "0513"
    assert area_code(prefixes, "贵州省", "铜仁市") == "0856"
