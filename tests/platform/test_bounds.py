"""Whole numbers that come in have a bound: none is larger than the column that is to hold it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from marshmallow import Schema, fields, validate

from his_server.registry import Hospital
from his_server.wire import MAX_ID


def unbounded(field: fields.Field, path: str) -> Iterator[str]:
    """Where a whole number may be as large as it likes."""
    if isinstance(field, fields.Nested):
        for name, inner in field.schema.fields.items():
            yield from unbounded(inner, f"{path}.{name}")
    elif isinstance(field, fields.List):
        yield from unbounded(field.inner, f"{path}[]")
    elif isinstance(field, fields.Integer):
        highest = [check.max for check in field.validators if isinstance(check, validate.Range) and check.max is not None]
        choices = [check for check in field.validators if isinstance(check, validate.OneOf)]
        if not choices and not any(most <= MAX_ID for most in highest):
            yield path


@pytest.mark.requirement("DB-21")
def test_every_whole_number_has_a_bound(hospital: Hospital) -> None:
    found = [where for route in hospital.routes for schema in (route.query, route.body) if schema is not None
             for name, field in schema().fields.items()
             for where in unbounded(field, f"{route.endpoint}: {name}")]
    assert found == []


def test_what_has_none_is_found() -> None:
    class Inner(Schema):
        many = fields.List(fields.Integer())
        few = fields.Integer(validate=validate.Range(0, 9))

    assert list(unbounded(fields.Nested(Inner), "a")) == ["a.many[]"]


@pytest.mark.requirement("DB-21")
def test_a_revision_fits_every_databases_integer(hospital: Hospital) -> None:
    wide = []
    for route in hospital.routes:
        field = route.body().fields.get("revision") if route.body is not None else None
        if field is not None and not any(isinstance(check, validate.Range) and (check.max or MAX_ID) < 2**31
                                         for check in field.validators):
            wide.append(route.endpoint)
    assert wide == []
