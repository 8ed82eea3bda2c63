"""Invented persons for the demo hospital and for tests: no one here exists.

Names come from the pools of `names`, telephone numbers from 154, a prefix that no carrier has. Identity
numbers are well formed (GB 11643, COMPLIANCE HS-01) and built at random. Their first six digits are the code
that the home county had when the number was given: most people of today's 320613 carry 320602 or 320611
(HS-02).
"""
from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import Any

from demo.names import dotted_name, plain_name, rare_name

#: Nobody is born later, and ages are counted from here; fixed, so that one seed always makes the same people.
REFERENCE_DAY = date(2026, 11, 1)

#: From 1985 on numbers were given; who is older has the code of that time.
FIRST_NUMBERS = date(1985, 1, 1)

#: COMPLIANCE 9.1 as (first day of the code, code), newest first. Two codes: 崇川区 was two districts.
COUNTY_CODES: dict[str, tuple[tuple[date, tuple[str, ...]], ...]] = {
    "320613": ((date(2020, 7, 28), ("320613",)), (date.min, ("320602", "320602", "320611"))),
    "320612": ((date(2009, 1, 1), ("320612",)), (date(1993, 1, 1), ("320683",)), (date.min, ("320624",))),
    "320614": ((date(2020, 7, 28), ("320614",)), (date(1994, 1, 1), ("320684",)), (date.min, ("320625",))),
    "320623": ((date.min, ("320623",)),),
    "320681": ((date(1989, 1, 1), ("320681",)), (date.min, ("320626",))),
    "320682": ((date(1991, 1, 1), ("320682",)), (date.min, ("320622",))),
    "320685": ((date(2018, 1, 1), ("320685",)), (date.min, ("320621",))),
}
_COUNTY_WEIGHTS = (("320613", 52), ("320612", 16), ("320614", 9), ("320623", 8), ("320681", 6), ("320682", 6),
                   ("320685", 5))

#: Counties elsewhere that people came from; their codes have been the same since before 1985.
OTHER_HOMES = (
    "310101", "310104", "310105", "320102", "320106", "330102", "340111", "110105", "120101", "130102",
    "140121", "210102", "220102", "230102", "360102", "370102", "410102", "420102", "430102", "440103",
    "450102", "510121", "520102", "530102", "610102", "620102", "630102", "640104", "650102", "150102",
)
_DOTTED_HOMES = {"05": "653101", "17": "650121", "07": "513401", "43": "650102"}

_ROADS = (
    "人民路", "青年路", "工农路", "跃龙路", "濠北路", "建设路", "解放路", "通扬路", "江海大道",
    "园林路", "钟秀路", "长江路", "中华路", "健康路", "文化路", "新胜路", "洪江路", "永和路",
)
_ESTATES = ("新村", "花园", "家园", "雅苑", "公寓", "小区")
_ESTATE_NAMES = (
    "学田", "虹桥", "濠景", "易家桥", "北濠", "江景", "桃园", "锦绣", "和平", "光明", "阳光", "金色",
    "幸福", "紫琅", "秀山", "祥和", "文华", "绿洲",
)
_VILLAGES = (
    "新河", "双桥", "联合", "红星", "丰收", "前进", "永兴", "太平", "三官殿", "五甲", "新建", "海晏",
    "进鲜", "戴庄",
)

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def id_check_digit(first17: str) -> str:
    """Check digit of an identity number (GB 11643-1999, ISO 7064 MOD 11-2) from its first 17 digits.

    Raises ValueError unless given exactly 17 ASCII digits.
    """
    if len(first17) != 17 or not (first17.isascii() and first17.isdigit()):
        raise ValueError("an identity number's check digit is computed from exactly 17 digits")
    return "10X98765432"[sum(int(digit) * weight for digit, weight in zip(first17, _WEIGHTS, strict=True)) % 11]


def make_people(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """`count` persons, one at a time; the same seed gives the same people, a larger count the same first ones.

    Keys: name; sex (GB/T 2261.1 "1" or "2"); birth_date (date); ethnic (GB/T 3304, "" for a foreigner);
    cert_type (psn_cert_type) and id_number, both "" for one in a hundred; phone; region_code (6 digits, in
    force today) and street_code (9 digits); address (whole, Chinese) and address_detail (below the street).
    No identity number comes twice. Raises ValueError for a negative count.
    """
    if count < 0:
        raise ValueError("count must not be negative")
    given: set[str] = set()
    for index in range(count):
        # String seeds are hashed by random itself with SHA-512, so they don't depend on PYTHONHASHSEED.
        yield _person(random.Random(f"people:{seed}:{index}"), given)


def _person(rng: random.Random, given: set[str]) -> dict[str, Any]:
    sex = rng.choice("12")
    birth = _birth_date(rng)
    ethnic = "01" if rng.random() < 0.985 else rng.choice(("03", "11", "08", "06", "15", "02", "10", "07"))
    home = _choose(rng, _COUNTY_WEIGHTS) if rng.random() < 0.88 else rng.choice(OTHER_HOMES)
    kind = rng.random()
    if kind < 0.02:
        name = rare_name(rng, sex, birth.year)
    elif kind < 0.05:
        name, ethnic = dotted_name(rng, sex)
        home = _DOTTED_HOMES[ethnic]
    else:
        name = plain_name(rng, sex, birth.year)
    cert_type, number = _certificate(rng, home, birth, sex, given)
    if cert_type in ("07", "08"):
        ethnic = ""
    region, street, address, detail = _address(rng, home)
    return {
        "name": name, "sex": sex, "birth_date": birth, "ethnic": ethnic, "cert_type": cert_type,
        "id_number": number, "phone": f"154{rng.randrange(10**8):08d}", "region_code": region,
        "street_code": street, "address": address, "address_detail": detail,
    }


def _birth_date(rng: random.Random) -> date:
    """Ages as in a city hospital: children a tenth, the old more than their share."""
    low, high = _choose(rng, (((0, 14), 10), ((14, 45), 29), ((45, 65), 31), ((65, 80), 24), ((80, 101), 6)))
    return REFERENCE_DAY - timedelta(days=rng.randrange(low * 365, high * 365))


def _certificate(rng: random.Random, home: str, birth: date, sex: str, given: set[str]) -> tuple[str, str]:
    """(psn_cert_type, number): 1 % none, 0.5 % permits of 港澳台, 0.3 % 永居, 0.3 % passports."""
    draw = rng.random()
    if draw < 0.010:
        return "", ""
    if draw < 0.015:
        prefix, cert_type = rng.choice(("810000", "820000", "830000")), "17"
    elif draw < 0.018:
        # The 2023 card: 9, two digits of the province that issued it, three of the nationality.
        prefix, cert_type = "932" + rng.choice(("840", "392", "410", "276", "250")), "07"
    elif draw < 0.021:
        number = f"{rng.choice('EGKLMP')}{rng.randrange(10**8):08d}"
        if number in given:
            return "", ""
        given.add(number)
        return "08", number
    else:
        prefix, cert_type = id_prefix(rng, home, birth), "01"
    # The third digit of the serial is odd for men; on a clash the next serial of that sex is taken.
    serial = rng.randrange(500) * 2 + (1 if sex == "1" else 0)
    while True:
        first17 = f"{prefix}{birth:%Y%m%d}{serial:03d}"
        if first17 not in given:
            given.add(first17)
            return cert_type, first17 + id_check_digit(first17)
        serial = (serial + 2) % 1000


def id_prefix(rng: random.Random, home: str, birth: date) -> str:
    """The code that county `home` (of today) had when someone born on that day was given a number."""
    assigned = max(birth, FIRST_NUMBERS)
    for begin, codes in COUNTY_CODES.get(home, ((date.min, (home,)),)):
        if assigned >= begin:
            return rng.choice(codes)
    raise ValueError(f"no code for {home} on {assigned}")


def _address(rng: random.Random, home: str) -> tuple[str, str, str, str]:
    """(region, street code, whole address, detail). People from elsewhere live in the city now."""
    county = home if home in COUNTY_CODES else "320613"
    street, county_name, street_name = rng.choice(_streets()[county])
    if street_name.endswith("镇"):
        detail = f"{rng.choice(_VILLAGES)}村{rng.randint(1, 32)}组{rng.randint(1, 60)}号"
    elif rng.random() < 0.3:
        detail = f"{rng.choice(_ROADS)}{rng.randint(1, 380)}号"
    else:
        detail = (f"{rng.choice(_ESTATE_NAMES)}{rng.choice(_ESTATES)}{rng.randint(1, 88)}幢"
                  f"{rng.randint(1, 26)}0{rng.randint(1, 4)}室")
    return county, street, f"江苏省南通市{county_name}{street_name}{detail}", detail


@cache
def _streets() -> dict[str, list[tuple[str, str, str]]]:
    """(street code, county name, street name) by county, from data/home_streets.csv."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    table = files("demo") / "data" / "home_streets.csv"
    with table.open("r", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            found.setdefault(row["street_code"][:6], []).append(
                (row["street_code"], row["county"], row["street"]))
    return found


def _choose(rng: random.Random, weighted: tuple[tuple[Any, int], ...]) -> Any:
    return rng.choices([item for item, _ in weighted],
                       cum_weights=list(accumulate(weight for _, weight in weighted)))[0]
