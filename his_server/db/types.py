"""Column types that mean the same on SQLite, PostgreSQL and Dameng (DESIGN section 3).

Money, Price and Quantity are exact everywhere: NUMERIC where the database has it, a scaled integer on
SQLite, so that ``SUM`` is exact there too. Never multiply two of them in SQL: do it in Python.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Numeric, String, type_coerce
from sqlalchemy.types import TypeDecorator

from dialects import portable
from his_server.money import decimal


class _Exact(TypeDecorator[Decimal]):
    """A Decimal with a fixed number of places; a value that needs more places is refused, not rounded."""

    impl = Numeric
    cache_ok = True
    places = 2
    digits = 18

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(Numeric(self.digits, self.places))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        number = decimal(value)
        scaled = number.scaleb(self.places)
        if scaled != scaled.to_integral_value():
            raise ValueError(f"{number} has more than {self.places} decimal places")
        if abs(scaled) >= 10**self.digits:
            raise ValueError(f"{number} is too large")
        return int(scaled) if dialect.name == "sqlite" else number

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        if dialect.name == "sqlite":
            return Decimal(int(value)).scaleb(-self.places)
        return Decimal(value).quantize(Decimal(1).scaleb(-self.places))

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return self


class Money(_Exact):
    """Yuan to the fen."""

    cache_ok = True
    places = 2


class Price(_Exact):
    """Yuan per unit, four places."""

    cache_ok = True
    places = 4


class Quantity(_Exact):
    """A quantity in the smallest unit, four places (grams of a herb have fractions)."""

    cache_ok = True
    places = 4


class _QuantityText(TypeDecorator[str]):
    impl = String
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """The number with its four places."""
        if value is None:
            return None
        return str(Decimal(int(value)).scaleb(-4) if dialect.name == "sqlite" else Decimal(value).quantize(Decimal("0.0001")))


def quantity_text(column: Any) -> Any:
    """A quantity read as its text, with its name: ten thousand Decimals are half of what a long list costs. PostgreSQL
    writes it."""
    return type_coerce(portable.number_text(column), String().with_variant(_QuantityText(), "sqlite", "dm")).label(column.name)



class Instant(TypeDecorator[datetime]):
    """An aware instant, stored as naive UTC with microseconds; naive input is refused."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("instants are aware datetimes")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)
