"""What comes in has bounds: no number is larger than the column that is to hold it, no day ends the calendar."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from marshmallow import Schema, fields, validate

from his_server.registry import Hospital
from his_server.wire import MAX_ID, Day, Moment


def unbounded(field: fields.Field, path: str) -> Iterator[str]:
    """Where a whole number may be as large as it likes, or a day the last one that there is."""
    if isinstance(field, fields.Nested):
        for name, inner in field.schema.fields.items():
            yield from unbounded(inner, f"{path}.{name}")
    elif isinstance(field, fields.List):
        yield from unbounded(field.inner, f"{path}[]")
    elif isinstance(field, fields.Date | fields.DateTime | fields.Time):
        if not isinstance(field, Day | Moment):
            yield path
    elif isinstance(field, fields.Integer):
        highest = [check.max for check in field.validators if isinstance(check, validate.Range) and check.max is not None]
        choices = [check for check in field.validators if isinstance(check, validate.OneOf)]
        if not choices and not any(most <= MAX_ID for most in highest):
            yield path


@pytest.mark.requirement("DB-21")
def test_every_whole_number_and_day_has_a_bound(hospital: Hospital) -> None:
    found = [where for route in hospital.routes for schema in (route.query, route.body) if schema is not None
             for name, field in schema().fields.items()
             for where in unbounded(field, f"{route.endpoint}: {name}")]
    assert found == []


def test_what_has_none_is_found() -> None:
    class Inner(Schema):
        many = fields.List(fields.Integer())
        few = fields.Integer(validate=validate.Range(0, 9))
        any_day = fields.Date()
        day = Day()

    assert list(unbounded(fields.Nested(Inner), "a")) == ["a.many[]", "a.any_day"]


@pytest.mark.requirement("DB-21")
@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "1799-12-31"])
def test_a_day_at_the_end_of_the_calendar_is_bad_input(day: str) -> None:
    class One(Schema):
        day = Day()
        at = Moment()

    problems = One().validate({"day": day, "at": f"{day}T00:00:00+08:00"})
    assert set(problems) == {"day", "at"} and "1800-01-01 至 2199-12-31" in str(problems["day"])


@pytest.mark.requirement("DB-21")
def test_a_revision_fits_every_databases_integer(hospital: Hospital) -> None:
    wide = []
    for route in hospital.routes:
        field = route.body().fields.get("revision") if route.body is not None else None
        if field is not None and not any(isinstance(check, validate.Range) and (check.max or MAX_ID) < 2**31
                                         for check in field.validators):
            wide.append(route.endpoint)
    assert wide == []
