"""Several writes in one round trip, where the driver can: PostgreSQL's pipeline mode (psycopg)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, Insert, Table, insert
from sqlalchemy.exc import DBAPIError

Write = tuple[Executable, Mapping[str, Any] | Sequence[Mapping[str, Any]]]
_MOST_ROWS = 20
"""Inserts of more rows go SQLAlchemy's way: a statement is kept for each number of rows."""


def run_together(connection: Connection, writes: Sequence[Write]) -> list[int]:
    """Run statements that need no answer of one another; the row count of each, in order.

    A statement comes with its values, or with rows of values. The count of an INSERT may be -1: only what an UPDATE
    or DELETE changed is promised. Nothing here commits; an error is raised as if the statements ran one by one, and
    what follows the failed one isn't run. Statements that return rows don't belong here.
    """
    if connection.dialect.driver != "psycopg":
        return [connection.execute(statement, values).rowcount for statement, values in writes]
    with _pipeline(connection):
        cursors = [_execute(connection, statement, values) for statement, values in writes]
    # the driver's cursors learn their counts when the pipeline ends, after SQLAlchemy looked
    return [cursor.rowcount for cursor in cursors]


def _execute(connection: Connection, statement: Executable, values: Any) -> Any:
    if isinstance(statement, Insert) and isinstance(values, list) and len(values) <= _MOST_ROWS:
        table: Any = statement.table
        for listener in connection.dispatch.before_execute:  # what others do to inserts (row MACs) is done here too
            statement, values, _ = listener(connection, statement, values, {}, {})
        ready = _ready(connection, table, tuple(values[0]), len(values))
        if ready is not None:
            return ready.run(connection, values)
    return connection.execute(statement, values).context.cursor


@dataclass(frozen=True)
class _Ready:
    """An INSERT of so many rows as the driver takes it, compiled once: no part of SQLAlchemy runs again."""

    sql: str
    binds: tuple[tuple[int, str, str, Callable[[Any], Any] | None], ...]
    """Of each parameter: row, column, name, conversion."""

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Any:
        values = {name: rows[row][column] if convert is None else convert(rows[row][column])
                  for row, column, name, convert in self.binds}
        cursor = connection.connection.cursor()
        for listener in connection.dispatch.before_cursor_execute:
            listener(connection, cursor, self.sql, values, None, False)
        cursor.execute(self.sql, values)
        return cursor


_kept: dict[tuple[Table, tuple[str, ...], int], _Ready | None] = {}


def _ready(connection: Connection, table: Table, columns: tuple[str, ...], count: int) -> _Ready | None:
    """The INSERT for `count` rows of these columns; None where SQLAlchemy must fill columns that are left out."""
    key = (table, columns, count)
    if key not in _kept:
        left_out = [c for c in table.c if c.key not in columns and (c.default is not None or c.autoincrement is True)]
        _kept[key] = None if left_out else _compile(connection, table, columns, count)
    return _kept[key]


def _compile(connection: Connection, table: Table, columns: tuple[str, ...], count: int) -> _Ready:
    compiled = insert(table).values([dict.fromkeys(columns) for _ in range(count)]).compile(dialect=connection.dialect)
    processors: Mapping[str, Any] = compiled._bind_processors
    binds = tuple((row, column, name := f"{column}_m{row}", processors.get(name))
                  for row in range(count) for column in columns)
    if {name for _, _, name, _ in binds} != set(compiled.params):
        raise AssertionError(f"{table.name}: parameters {sorted(compiled.params)}")
    return _Ready(str(compiled), binds)


@contextmanager
def _pipeline(connection: Connection) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection
    module = connection.dialect.loaded_dbapi
    try:
        with driver.pipeline():
            yield
    except module.Error as error:
        # what ends a pipeline is raised outside of SQLAlchemy's hands: give it the shape that everybody expects
        raise DBAPIError.instance(None, None, error, module.Error, dialect=connection.dialect) from error
