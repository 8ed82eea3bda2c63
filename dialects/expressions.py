"""SQL expressions that mean the same on SQLite, PostgreSQL and Dameng."""

from __future__ import annotations

import string
from typing import Any

from sqlalchemy import (
    BinaryExpression,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    String,
    and_,
    bindparam,
    literal_column,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class _LocalDate(FunctionElement[Any]):
    """First day of the period ('day' or 'month') that an instant, stored in UTC, falls into at a fixed
    offset."""

    type = Date()
    inherit_cache = True
    unit = "day"


class _LocalDay(_LocalDate):
    inherit_cache = True
    name = "local_day"


class _LocalMonth(_LocalDate):
    inherit_cache = True
    name = "local_month"
    unit = "month"


def day_trunc(column_utc: Any, tz_offset_hours: int = 8) -> ColumnElement[Any]:
    """The calendar day (Date) of an instant stored in UTC, at `tz_offset_hours`; China has had one offset
    since 1991.

    May be grouped and sorted by. Raises ValueError outside -12…14.
    """
    return _LocalDay(column_utc, _offset(tz_offset_hours))


def month_trunc(column_utc: Any, tz_offset_hours: int = 8) -> ColumnElement[Any]:
    """The first day (Date) of the calendar month of an instant stored in UTC. See `day_trunc`."""
    return _LocalMonth(column_utc, _offset(tz_offset_hours))


class _NumberText(FunctionElement[Any]):
    """See `number_text`."""

    type = String()
    inherit_cache = True
    name = "number_text"


def number_text(column: Any) -> ColumnElement[Any]:
    """A NUMERIC column as PostgreSQL writes it, with all its places, where the driver would build a Decimal of each value;
    on the other databases the column itself."""
    return _NumberText(column)


@compiles(_NumberText)
def _number(element: _NumberText, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses.clauses[0], **kw)


@compiles(_NumberText, "postgresql")
def _number_postgresql(element: _NumberText, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses.clauses[0], **kw)} AS TEXT)"


def _offset(hours: int) -> ColumnElement[Any]:
    if not isinstance(hours, int) or not -12 <= hours <= 14:
        raise ValueError(f"no such offset: {hours!r}")
    # Written out, not bound: PostgreSQL takes two parameters for two expressions, and refuses the GROUP BY.
    return literal_column(str(hours))


def _parts(element: FunctionElement[Any], compiler: SQLCompiler, kw: dict[str, Any]) -> tuple[str, str, bool]:
    column, offset = list(element.clauses)
    kind: TypeEngine[Any] = column.type
    while isinstance(kind, TypeDecorator):
        kind = kind.load_dialect_impl(compiler.dialect)
    with_zone = isinstance(kind, DateTime) and bool(kind.timezone)
    return compiler.process(column, **kw), str(offset), with_zone


@compiles(_LocalDate, "sqlite")
def _sqlite_local_date(element: _LocalDate, compiler: SQLCompiler, **kw: Any) -> str:
    column, hours, _ = _parts(element, compiler, kw)
    month = ", 'start of month'" if element.unit == "month" else ""
    # Only to the second: date() rounds the fraction, and the last half millisecond of a day into the next.
    return f"date(substr({column}, 1, 19), '{int(hours):+d} hours'{month})"


@compiles(_LocalDate, "postgresql")
def _postgresql_local_date(element: _LocalDate, compiler: SQLCompiler, **kw: Any) -> str:
    column, hours, with_zone = _parts(element, compiler, kw)
    utc = f"({column} AT TIME ZONE 'UTC')" if with_zone else column
    local = f"({utc} + interval '{hours} hours')"
    return (
        f"CAST(date_trunc('month', {local}) AS DATE)" if element.unit == "month" else f"CAST({local} AS DATE)"
    )


@compiles(_LocalDate, "dm")
def _dameng_local_date(element: _LocalDate, compiler: SQLCompiler, **kw: Any) -> str:
    column, hours, _ = _parts(element, compiler, kw)
    day = f"CAST(DATEADD(HOUR, {hours}, {column}) AS DATE)"
    return f"TRUNC({day}, 'MM')" if element.unit == "month" else day


class _AsciiLower(FunctionElement[str]):
    """Lower case of A to Z only. What LOWER does beyond ASCII differs between databases, locales and
    builds."""

    type = String()
    inherit_cache = True
    name = "ascii_lower"


@compiles(_AsciiLower, "sqlite")
def _sqlite_lower(element: _AsciiLower, compiler: SQLCompiler, **kw: Any) -> str:
    return f"lower({compiler.process(element.clauses, **kw)})"


@compiles(_AsciiLower, "postgresql")
def _postgresql_lower(element: _AsciiLower, compiler: SQLCompiler, **kw: Any) -> str:
    return f'lower({compiler.process(element.clauses, **kw)} COLLATE "C")'


@compiles(_AsciiLower, "dm")
def _dameng_lower(element: _AsciiLower, compiler: SQLCompiler, **kw: Any) -> str:
    text = compiler.process(element.clauses, **kw)
    return f"TRANSLATE({text}, '{string.ascii_uppercase}', '{string.ascii_lowercase}')"


def ascii_lower(column: Any) -> ColumnElement[str]:
    """`column` with A to Z made small and all else untouched; good for an index on the expression."""
    return _AsciiLower(column)


def iequals(column: Any, text: str) -> ColumnElement[bool]:
    """True where `column` equals `text`, A to Z being the same as a to z; other letters are compared as they
    are."""
    folded = text.translate(str.maketrans(string.ascii_uppercase, string.ascii_lowercase))
    return ascii_lower(column) == folded


def starts_with(column: Any, prefix: str) -> ColumnElement[bool]:
    """True where `column` begins with `prefix`, by code point and case, no character being special.

    A range, so that an index opens: a plain one on SQLite and Dameng, on PostgreSQL one with
    `postgresql_ops={name: "text_pattern_ops"}` (its own order may be a language's). NULL never matches.
    """
    if not prefix:
        return column.is_not(None)  # type: ignore[no-any-return]
    low = _ByCodePoint(column, bindparam(None, prefix, String(), unique=True), operators.ge, type_=Boolean())
    end = _successor(prefix)
    if end is None:
        return low
    high = _ByCodePoint(column, bindparam(None, end, String(), unique=True), operators.lt, type_=Boolean())
    return and_(low, high)


class _ByCodePoint(BinaryExpression[bool]):
    """`>=` or `<` by code point, whatever the collation."""

    inherit_cache = True


@compiles(_ByCodePoint)
def _compare(element: _ByCodePoint, compiler: SQLCompiler, **kw: Any) -> str:
    sign = ">=" if element.operator is operators.ge else "<"
    return f"{compiler.process(element.left, **kw)} {sign} {compiler.process(element.right, **kw)}"


@compiles(_ByCodePoint, "postgresql")
def _postgresql_compare(element: _ByCodePoint, compiler: SQLCompiler, **kw: Any) -> str:
    sign = "~>=~" if element.operator is operators.ge else "~<~"
    return f"{compiler.process(element.left, **kw)} {sign} {compiler.process(element.right, **kw)}"


def _successor(prefix: str) -> str | None:
    """The least text greater than every text that begins with `prefix`, or None if there is none."""
    while prefix:
        code = ord(prefix[-1]) + 1
        if 0xD800 <= code <= 0xDFFF:  # surrogates aren't characters; UTF-8 has no form for them
            code = 0xE000
        if code <= 0x10FFFF:
            return prefix[:-1] + chr(code)
        prefix = prefix[:-1]
    return None
