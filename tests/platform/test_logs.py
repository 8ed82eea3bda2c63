"""Logs carry no personal data (MP-15 and issue 2)."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from his_server.logs import JsonFormatter, scrub


@pytest.mark.parametrize(("text", "scrubbed"), [
    ("id 320602199001011234.", "id 320602********1234."),
    ("id 32060219900101123X", "id 320602********123X"),
    ("call 13812345678 now", "call 138****5678 now"),
    ("number 1234567890123456789012 stays", "number 1234567890123456789012 stays"),
    ("R00000012 2026-03-02", "R00000012 2026-03-02"),
])
def test_scrub(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed


@given(st.from_regex(r"\A[1-9]\d{16}[\dX]\Z"), st.text(st.characters(exclude_categories=["Nd", "Cs"]), max_size=5))
def test_no_identity_number_survives(number: str, around: str) -> None:
    assert number not in scrub(f"{around}{number}{around}")


def test_a_line_is_json_with_its_exception() -> None:
    try:
        raise ValueError("phone 13812345678")
    except ValueError:
        import sys

        record = logging.LogRecord("his.x", logging.ERROR, "f", 1, "bad %s", ("13812345678",), sys.exc_info())
    line = json.loads(JsonFormatter().format(record))
    assert line["level"] == "ERROR" and line["logger"] == "his.x"
    assert "13812345678" not in json.dumps(line)
    assert "ValueError" in line["exception"]
