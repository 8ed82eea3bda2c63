"""Shared steps of all outputs: subtotals, masks, shown values, JSON."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from his_server.reporting import Column, Report, lines, mask, show, to_json

from .samples import REPORT, rows

GROUPED = Report("g", "分组", [Column("a", "院区"), Column("b", "科室"), Column("m", "金额", "money", total=True)],
                 group_by=["a", "b"])


def test_subtotals_close_from_the_inside_and_the_total_ends() -> None:
    data = [{"a": "东", "b": "内", "m": Decimal(1)}, {"a": "东", "b": "内", "m": Decimal(2)},
            {"a": "东", "b": "外", "m": Decimal(3)}, {"a": "西", "b": "外", "m": Decimal(4)}]
    found = [(x.kind, x.level, x.count, x.cells["m"]) for x in lines(GROUPED, data)]
    assert found == [
        ("row", 0, 1, 1), ("row", 0, 1, 2), ("subtotal", 1, 2, 3), ("row", 0, 1, 3), ("subtotal", 1, 1, 3),
        ("subtotal", 0, 3, 6), ("row", 0, 1, 4), ("subtotal", 1, 1, 4), ("subtotal", 0, 1, 4), ("total", 0, 4, 10)]
    labels = [x.cells for x in lines(GROUPED, data) if x.kind != "row"]
    assert labels[0]["b"] == "内 小计" and labels[2]["a"] == "东 小计" and labels[-1]["a"] == "合计"


@given(st.lists(st.tuples(st.sampled_from("东西"), st.sampled_from("内外"),
                          st.decimals(-9999, 9999, places=2)), max_size=30))
def test_subtotals_add_up_to_the_total(data: list[tuple[str, str, Decimal]]) -> None:
    found = list(lines(GROUPED, [{"a": a, "b": b, "m": m} for a, b, m in data]))
    total = found[-1].cells["m"]
    assert total == sum((m for *_, m in data), Decimal(0))
    for level in (0, 1):
        assert total == sum(x.cells["m"] for x in found if x.kind == "subtotal" and x.level == level)


def test_floats_and_naive_times_are_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        list(lines(GROUPED, [{"a": "东", "b": "内", "m": 0.1}]))
    with pytest.raises(ValueError, match="aware"):
        show(Column("t", "t", "datetime"), datetime(2026, 1, 1))


@pytest.mark.parametrize("make", [
    lambda: Column("a", "a", "text", total=True),
    lambda: Report("r", "r", []),
    lambda: Report("r", "r", [Column("a", "a"), Column("a", "b")]),
    lambda: Report("r", "r", [Column("a", "a")], group_by=["b"])])
def test_a_description_that_makes_no_sense_is_refused(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize(("kind", "value", "shown"), [
    ("money", Decimal("1234567.895"), "1,234,567.90"), ("money", Decimal("-0.005"), "-0.01"), ("money", 3, "3.00"),
    ("price", Decimal("12.3456"), "12.3456"), ("price", Decimal("12"), "12.00"), ("price", Decimal("0.125"), "0.125"),
    ("quantity", Decimal("2.500"), "2.5"), ("quantity", Decimal("1E+3"), "1,000"), ("quantity", Decimal("0"), "0"),
    ("percent", Decimal("0.12345"), "12.35%"), ("int", 1234567, "1,234,567"), ("date", date(2026, 1, 2), "2026-01-02"),
    ("datetime", datetime(2026, 1, 1, 16, 0, tzinfo=UTC), "2026-01-02 00:00:00"),
    ("date", datetime(2026, 1, 1, 16, 0, tzinfo=UTC), "2026-01-02"), ("money", None, ""), ("text", "䶮", "䶮")])
def test_show(kind: Any, value: Any, shown: str) -> None:
    assert show(Column("x", "x", kind), value) == shown


@pytest.mark.requirement("XC-10")
@pytest.mark.parametrize(("value", "masked"), [
    ("张三", "张*"), ("𠮷", "𠮷*"), ("𠮷田一", "𠮷**"), ("13800138000", "138****8000"),
    ("32060119900307123X", "320***********123X"), ("1234567", "1******"), (None, None), ("", ""),
    (date(1990, 3, 7), "199***3-07")])
def test_mask_cuts_by_code_point(value: Any, masked: Any) -> None:
    assert mask(value) == masked


@pytest.mark.requirement("M9.1")
def test_json_is_typed_exact_and_masked() -> None:
    answer = json.loads(json.dumps(to_json(REPORT, rows(3)), ensure_ascii=False))
    first = answer["rows"][0]
    assert first == {"no": "SJ0000000000", "name": "张*", "dept": "第0病区", "count": 1, "quantity": "0.5",
                     "price": "12.3456", "amount": "1234.10", "share": "0.125", "day": "2026-11-01",
                     "at": "2026-11-23T01:05:09+08:00"}
    assert answer["total"] == {"count": 3, "cells": {"no": "合计", "count": 3, "amount": "3705.30"}}
    assert answer["columns"][0] == {"key": "no", "title": "收据号", "kind": "text", "width": None, "align": "left",
                                    "fixed": True, "total": False}
    assert to_json(REPORT, rows(1), unmasked=True)["rows"][0]["name"] == "张三"
    assert to_json(REPORT, [{"no": "1"}])["rows"][0]["amount"] is None


def test_json_places_subtotals_between_the_rows() -> None:
    data = [{"a": "东", "b": "内", "m": Decimal(1)}, {"a": "西", "b": "内", "m": Decimal(2)}]
    answer = to_json(GROUPED, data)
    assert [(s["after"], s["level"], s["cells"]["m"]) for s in answer["subtotals"]] == [
        (1, 1, "1.00"), (1, 0, "1.00"), (2, 1, "2.00"), (2, 0, "2.00")]
