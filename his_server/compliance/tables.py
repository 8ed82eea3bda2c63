"""The product's tables as an independent account sees them: raw values, no types of the product.

Reading is all that most checks do. What a tamper check changes is put back exactly, also when the check fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from sqlalchemy import (
    ColumnElement,
    MetaData,
    column,
    create_engine,
    delete,
    func,
    insert,
    inspect,
    select,
    table,
    update,
)
from sqlalchemy import types as kinds
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.pool import NullPool

Row = dict[str, Any]


class Tables:
    """The database of ``url``, opened with an account that isn't the application's."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.dialect = self.url.get_backend_name()
        options: dict[str, Any] = {"connect_args": {"timeout": 30}} if self.dialect == "sqlite" else {}
        self.engine: Engine = create_engine(self.url, poolclass=NullPool, **options)

    @cached_property
    def names(self) -> list[str]:
        """Every table."""
        return sorted(name.lower() for name in inspect(self.engine).get_table_names())

    @cached_property
    def columns(self) -> dict[str, list[dict[str, Any]]]:
        """Table → its columns as the database describes them."""
        found = inspect(self.engine)
        return {name: found.get_columns(name) for name in self.names}

    def _table(self, name: str) -> Any:
        return table(name, *[column(each["name"].lower()) for each in self.columns[name]])

    def rows(self, name: str, limit: int | None = None, /, *, newest: bool = False, **where: Any) -> list[Row]:
        """Rows of a table whose columns equal ``where``; ``newest``: by the largest id first."""
        found = self._table(name)
        wanted = select(found).where(*_equal(found, where))
        if newest:
            wanted = wanted.order_by(found.c.id.desc())
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(wanted.limit(limit)).mappings()]

    def count(self, name: str, /, **where: Any) -> int:
        """How many rows."""
        found = self._table(name)
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(found).where(*_equal(found, where))).scalar_one())

    def cells(
        self, kind: type | tuple[type, ...] = (kinds.String, kinds.LargeBinary), limit: int | None = None
    ) -> Iterator[tuple[str, Any]]:
        """Every value that isn't NULL of every column of these kinds, with its place ``table.column``."""
        with self.engine.connect() as connection:
            for name in self.names:
                wanted = [each["name"].lower() for each in self.columns[name] if isinstance(each["type"], kind)]
                if not wanted:
                    continue
                found = self._table(name)
                for row in connection.execution_options(yield_per=1000).execute(
                    select(*[found.c[one] for one in wanted]).limit(limit)
                ):
                    for one, value in zip(wanted, row, strict=True):
                        if value is not None:
                            yield f"{name}.{one}", bytes(value) if isinstance(value, memoryview) else value

    # Behind the product's back

    def change(self, name: str, where: Mapping[str, Any], /, **values: Any) -> int:
        """UPDATE; returns how many rows."""
        found = self._table(name)
        with self.engine.begin() as connection:
            return int(connection.execute(update(found).where(*_equal(found, where)).values(**values)).rowcount)

    def add(self, name: str, *rows: Row) -> None:
        """INSERT."""
        with self.engine.begin() as connection:
            connection.execute(insert(self._table(name)), list(rows))

    def remove(self, name: str, /, **where: Any) -> list[Row]:
        """DELETE; returns what went."""
        gone, found = self.rows(name, **where), self._table(name)
        with self.engine.begin() as connection:
            connection.execute(delete(found).where(*_equal(found, where)))
        return gone

    def clear(self) -> None:
        """DROP every table: only of a database that the assessor gave for it."""
        found = MetaData()
        found.reflect(self.engine)
        found.drop_all(self.engine)

    @contextmanager
    def altered(self, name: str, where: Mapping[str, Any], /, **values: Any) -> Iterator[None]:
        """Rows with other values while the block runs; then as they were."""
        before = self.rows(name, **where)
        if not before:
            raise LookupError(f"{name} has no such row")
        key = [each.lower() for each in inspect(self.engine).get_pk_constraint(name)["constrained_columns"]]
        self.change(name, where, **values)
        try:
            yield
        finally:
            for row in before:
                self.change(name, {one: values.get(one, row[one]) for one in key}, **row)

    @contextmanager
    def removed(self, name: str, /, **where: Any) -> Iterator[None]:
        """Rows gone while the block runs; then back."""
        gone = self.remove(name, **where)
        try:
            yield
        finally:
            if gone:
                self.add(name, *gone)

    @contextmanager
    def added(self, name: str, row: Row, /, **key: Any) -> Iterator[None]:
        """A planted row while the block runs; ``key`` finds it again."""
        self.add(name, row)
        try:
            yield
        finally:
            self.remove(name, **key)


def _equal(found: Any, where: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    return [
        found.c[name].in_(value)
        if isinstance(value, list | tuple | set)
        else found.c[name].is_(None)
        if value is None
        else found.c[name] == value
        for name, value in where.items()
    ]
