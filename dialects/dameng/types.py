# mypy: disable-error-code="no-untyped-call,no-any-return"
# SQLAlchemy leaves its compilers and dialects untyped.
"""Column types on DM8: how each is written in DDL, sent to the driver and read from it.

What the driver takes and gives: facts of dmPython 2.6.1, see docs/dameng.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from sqlalchemy import types as sqltypes
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeEngine

Processor = Callable[[Any], Any] | None


class BIT(sqltypes.TypeEngine[int]):
    """0, 1 or NULL: DM8's column type for Boolean."""

    __visit_name__ = "BIT"


class TINYINT(sqltypes.Integer):
    """A signed byte."""

    __visit_name__ = "TINYINT"


class DamengBoolean(sqltypes.Boolean):
    """Boolean as BIT: sent as 0 or 1, read from the driver's bool."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        check = self._strict_as_bool

        def process(value: Any) -> int | None:
            value = check(value)
            return None if value is None else int(value)

        return process

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        return lambda value: None if value is None else value not in (0, "0")


class DamengString(sqltypes.String):
    """VARCHAR: a Decimal given by mistake would arrive as `12345E-2`, so it's refused here."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        return _text_only


class DamengText(sqltypes.Text):
    """CLOB."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        return _text_only

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        return _read_lob


class DamengUnicodeText(DamengText, sqltypes.UnicodeText):
    """CLOB."""


class DamengEnum(sqltypes.Enum):
    """VARCHAR with the enumeration's names."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        return super().bind_processor(dialect)


class DamengBinary(sqltypes.LargeBinary):
    """BLOB."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        return lambda value: None if value is None else bytes(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        def process(value: Any) -> bytes | None:
            value = _read_lob(value)
            return None if value is None else bytes(value)

        return process


class DamengNumeric(sqltypes.Numeric[Any]):
    """DECIMAL, exact both ways; a float given is taken by its shortest decimal form."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        return _plain_decimal

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        if self.asdecimal:
            if _driver_type(coltype) == "DECIMAL":
                return None
            return lambda value: value if value is None or isinstance(value, Decimal) else Decimal(str(value))
        return lambda value: None if value is None else float(value)


class DamengFloat(sqltypes.Float[Any]):
    """DOUBLE: the driver takes and gives float."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        return lambda value: None if value is None else float(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        if not self.asdecimal:
            return lambda value: None if value is None else float(value)
        places = self._effective_decimal_return_scale
        return lambda value: None if value is None else Decimal(f"{float(value):.{places}f}")


class DamengInteger(sqltypes.Integer):
    """INTEGER and its kin; expressions over DECIMAL come back as Decimal, parameters without a type as
    text."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        if _driver_type(coltype) in ("NUMBER", "BIGINT"):
            return None  # the driver's int as it is
        return lambda value: int(value) if isinstance(value, Decimal | bool | str) else value


class DamengDateTime(sqltypes.DateTime):
    """TIMESTAMP(6) without zone. With `timezone=True` it holds UTC: aware values in, aware UTC out.

    DM8's own TIMESTAMP WITH TIME ZONE comes from the driver as text and can't be indexed by instant.
    """

    def bind_processor(self, dialect: Dialect) -> Processor:
        return _aware_to_utc if self.timezone else _naive_only

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        with_zone = self.timezone

        def process(value: Any) -> datetime | None:
            if value is None:
                return None
            if isinstance(value, str):
                value = datetime.fromisoformat(value.strip())
            elif not isinstance(value, datetime):
                value = datetime(value.year, value.month, value.day)
            if not with_zone:
                return value
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

        return process

    def literal_processor(self, dialect: Dialect) -> Processor:
        convert = _aware_to_utc if self.timezone else _naive_only
        return lambda value: f"TIMESTAMP '{convert(value).isoformat(sep=' ')}'"


class DamengDate(sqltypes.Date):
    """DATE: the day only, unlike Oracle's."""

    def bind_processor(self, dialect: Dialect) -> Processor:
        return lambda value: value.date() if isinstance(value, datetime) else value

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        def process(value: Any) -> date | None:
            if isinstance(value, str):
                return date.fromisoformat(value[:10])
            return value.date() if isinstance(value, datetime) else value

        return process

    def literal_processor(self, dialect: Dialect) -> Processor:
        return lambda value: f"DATE '{value.isoformat()}'"


class DamengTime(sqltypes.Time):
    """TIME(6)."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        return lambda value: time.fromisoformat(value) if isinstance(value, str) else value

    def literal_processor(self, dialect: Dialect) -> Processor:
        return lambda value: f"TIME '{value.isoformat()}'"


class DamengJSON(sqltypes.JSON):
    """JSON text in a CLOB, read and written whole: paths into it aren't offered (they'd need DM8's JSON
    functions)."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        parse = super().result_processor(dialect, coltype)
        if parse is None:
            return _read_lob
        return lambda value: parse(_read_lob(value))


def _driver_type(coltype: object) -> str:
    """The driver's name of a result column's type: NUMBER for INTEGER and SMALLINT, BIGINT, DECIMAL, …"""
    return getattr(coltype, "__name__", "")


def _text_only(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"text expected, not {type(value).__name__}")


def _read_lob(value: Any) -> Any:
    """The whole value of a LOB locator; anything else as it is."""
    read = getattr(value, "read", None)
    return value if read is None else read()


def _plain_decimal(value: Any) -> Any:
    """A Decimal without exponent, which the driver would send as text of the form 1E+3."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    if not exact.is_finite():
        raise ValueError(f"DECIMAL can't hold {value}")
    return Decimal(format(exact, "f"))


def _aware_to_utc(value: Any) -> Any:
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("an aware datetime is needed for DateTime(timezone=True)")
    return value.astimezone(UTC).replace(tzinfo=None)


def _naive_only(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        raise ValueError("a naive datetime is needed for DateTime without timezone")
    return value


COLSPECS: dict[type[TypeEngine[Any]], type[TypeEngine[Any]]] = {
    sqltypes.Boolean: DamengBoolean,
    sqltypes.String: DamengString,
    sqltypes.Text: DamengText,
    sqltypes.UnicodeText: DamengUnicodeText,
    sqltypes.Enum: DamengEnum,
    sqltypes.LargeBinary: DamengBinary,
    sqltypes.Numeric: DamengNumeric,
    sqltypes.Float: DamengFloat,
    sqltypes.Integer: DamengInteger,
    sqltypes.DateTime: DamengDateTime,
    sqltypes.Date: DamengDate,
    sqltypes.Time: DamengTime,
    sqltypes.JSON: DamengJSON,
}

# What DATA_TYPE of ALL_TAB_COLUMNS names, without length
REFLECTED: dict[str, type[TypeEngine[Any]]] = {
    "BIGINT": sqltypes.BIGINT,
    "BINARY": sqltypes.BINARY,
    "BIT": sqltypes.BOOLEAN,
    "BLOB": sqltypes.BLOB,
    "CHAR": sqltypes.CHAR,
    "CHARACTER": sqltypes.CHAR,
    "CLOB": sqltypes.CLOB,
    "DATE": sqltypes.DATE,
    "DATETIME": sqltypes.DATETIME,
    "DEC": sqltypes.DECIMAL,
    "DECIMAL": sqltypes.DECIMAL,
    "DOUBLE": sqltypes.DOUBLE,
    "DOUBLE PRECISION": sqltypes.DOUBLE,
    "FLOAT": sqltypes.FLOAT,
    "IMAGE": sqltypes.BLOB,
    "INT": sqltypes.INTEGER,
    "INTEGER": sqltypes.INTEGER,
    "LONGVARBINARY": sqltypes.BLOB,
    "LONGVARCHAR": sqltypes.CLOB,
    "NUMBER": sqltypes.NUMERIC,
    "NUMERIC": sqltypes.NUMERIC,
    "REAL": sqltypes.REAL,
    "SMALLINT": sqltypes.SMALLINT,
    "TEXT": sqltypes.CLOB,
    "TIME": sqltypes.TIME,
    "TIMESTAMP": sqltypes.TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": sqltypes.TIMESTAMP,
    "DATETIME WITH TIME ZONE": sqltypes.TIMESTAMP,
    "TINYINT": TINYINT,
    "VARBINARY": sqltypes.VARBINARY,
    "VARCHAR": sqltypes.VARCHAR,
    "VARCHAR2": sqltypes.VARCHAR,
}
