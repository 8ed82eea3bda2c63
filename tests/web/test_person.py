"""How the browser shows a person: age, sex, allergies; run by Node itself."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest

from tests.web.test_arithmetic import run


@pytest.mark.parametrize(("birth", "on", "age"), [
    ("1980-01-01", "2026-11-23", "46岁"), ("1980-11-23", "2026-11-23", "46岁"), ("1980-11-24", "2026-11-23", "45岁"),
    ("2024-11-23", "2026-11-23", "2岁"), ("2024-08-20", "2026-11-23", "2岁3月"), ("2023-11-23", "2026-11-23", "3岁"),
    ("2026-06-24", "2026-11-23", "4月"), ("2026-11-11", "2026-11-23", "12天"), ("2026-11-23", "2026-11-23", "0天"),
    ("2026-11-24", "2026-11-23", ""), (None, "2026-11-23", ""), ("1952", "2026-11-23", "")])
def test_age_as_people_say_it(birth: str | None, on: str, age: str) -> None:
    assert run("person.ts", [("ageOf", [birth, on])]) == [age]


def test_years_agree_with_the_calendar() -> None:
    chance = random.Random(20261123)
    births = [date(1900, 1, 1) + timedelta(days=chance.randint(0, 46_000)) for _ in range(400)]
    dates = [(birth, birth + timedelta(days=chance.randint(0, 40_000))) for birth in births]
    dates += [(birth, birth.replace(year=2031, day=min(birth.day, 28))) for birth in births]  # on and about birthdays
    found = run("person.ts", [("ageOf", [f"{birth}", f"{on}"]) for birth, on in dates])
    for (birth, on), age in zip(dates, found, strict=True):
        years = on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day))
        assert (age == f"{years}岁") if years >= 3 else age.startswith(f"{years}岁") == (years >= 1)


def test_sex_and_allergies() -> None:
    assert run("person.ts", [("sexName", [code]) for code in ("1", "2", "0", "男", None)]) == ["男", "女", "未知", "男", ""]
    texts = ["青霉素、磺胺", "青霉素,磺胺；海鲜", "无", "否认药物过敏", "无药物过敏史", "无花果", "", None]
    assert run("person.ts", [("allergyList", [text]) for text in texts]) == [
        ["青霉素", "磺胺"], ["青霉素", "磺胺", "海鲜"], [], [], [], ["无花果"], [], []]
    calls = [("namedAllergy", [["磺胺", "青霉素"], name]) for name in ("注射用青霉素钠", "阿莫西林胶囊", None)]
    assert run("person.ts", [*calls, ("namedAllergy", [None, "青霉素V钾片"])]) == ["青霉素", "", "", ""]
