"""Rows are read as marshmallow's nested lists are, errors included; only faster."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import RAISE, Schema, ValidationError, fields, validates_schema

from his_server.wire import Id, QuantityField, Rows


class Row(Schema):
    key = Id(required=True)
    quantity = QuantityField(required=True, low="0")
    add = fields.Boolean(load_default=False)


class Fast(Schema):
    rows = Rows(Row, required=True)


class Plain(Schema):
    rows = fields.Nested(Row, many=True, required=True)


def _read(schema: type[Schema], data: Any) -> Any:
    try:
        return schema(unknown=RAISE).load(data)
    except ValidationError as error:
        return error.messages


good = st.fixed_dictionaries({"key": st.integers(1, 99), "quantity": st.sampled_from(["1", "2.5", 3])},
                             optional={"add": st.booleans()})
value = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=3), st.lists(st.integers(), max_size=1))
bad = st.one_of(value, st.dictionaries(st.sampled_from(["key", "quantity", "add", "other"]), value))


@given(st.one_of(st.lists(good), st.lists(st.one_of(good, bad), max_size=4), value))
def test_rows_read_as_nested_lists_do(rows: Any) -> None:
    assert _read(Fast, {"rows": rows}) == _read(Plain, {"rows": rows})


def test_a_schema_with_rules_of_its_own_is_refused() -> None:
    class Ruled(Row):
        @validates_schema
        def check(self, data: Any, **_: Any) -> None:
            """A rule over the whole row."""

    with pytest.raises(TypeError):
        Rows(Ruled)
