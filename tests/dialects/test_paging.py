"""Keyset paging sees each row once; a cursor comes back as it went or not at all."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from dialects.portable import decode_cursor, encode_cursor, insert_many, keyset

from .tables import drug

ROWS = [{"id": n, "code": f"c{n}", "name": f"n{n % 4}", "price": Decimal(n % 3)} for n in range(1, 38)]


@pytest.mark.parametrize(
    "directions", [("asc", "asc", "asc"), ("desc", "asc", "desc"), ("asc", "desc", "asc")]
)
def test_pages_join_to_the_whole_sorted_list(engine: Engine, directions: tuple[Any, Any, Any]) -> None:
    columns = list(zip((drug.c.name, drug.c.price, drug.c.id), directions, strict=True))
    with engine.begin() as connection:
        insert_many(connection, drug, ROWS)
        seen: list[tuple[Any, ...]] = []
        after = None
        while True:
            page = connection.execute(
                keyset(select(drug.c.name, drug.c.price, drug.c.id), columns, after, 5)
            ).all()
            if not page:
                break
            seen += [tuple(row) for row in page]
            after = decode_cursor(encode_cursor(tuple(page[-1])))
    expected: list[Any] = [(row["name"], row["price"], row["id"]) for row in ROWS]
    for position in (2, 1, 0):
        expected.sort(key=lambda row: row[position], reverse=directions[position] == "desc")
    assert seen == expected


def test_keyset_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="direction"):
        keyset(select(drug.c.id), [(drug.c.id, "up")], None, 5)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least one"):
        keyset(select(drug.c.id), [], None, 5)
    for wrong in [(), (1, 2), (None,)]:
        with pytest.raises(ValueError, match="doesn't fit"):
            keyset(select(drug.c.id), [(drug.c.id, "asc")], wrong, 5)


values = st.one_of(
    st.integers(),
    st.text(),
    st.booleans(),
    st.dates(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=8))])),
    st.datetimes(),
)


@given(st.lists(values).map(tuple), st.binary(max_size=32))
def test_a_cursor_comes_back_exactly(row: tuple[Any, ...], key: bytes) -> None:
    back = decode_cursor(encode_cursor(row, key), key)
    assert back == row and [type(item) for item in back] == [type(item) for item in row]
    assert all(str(a) == str(b) for a, b in zip(back, row, strict=True))


@given(st.data())
def test_a_changed_cursor_is_refused(data: st.DataObject) -> None:
    cursor = encode_cursor((date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), "阿莫", 7))
    position = data.draw(st.integers(0, len(cursor) - 1))
    replacement = data.draw(st.characters().filter(lambda c: c != cursor[position]))
    with pytest.raises(ValueError, match="not a cursor"):
        decode_cursor(cursor[:position] + replacement + cursor[position + 1 :])


@pytest.mark.parametrize("text", ["", "x", "AAAA", "====", "é", "A" * 200])
def test_what_was_never_a_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        decode_cursor(text)


def test_another_key_refuses_the_cursor() -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        decode_cursor(encode_cursor((1,), b"ours"), b"theirs")
    with pytest.raises(ValueError, match="can't hold"):
        encode_cursor((1.5,))
