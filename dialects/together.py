"""Hot paths on PostgreSQL: statements compiled once, and several writes in one round trip (psycopg's pipeline mode).

SQLAlchemy works out anew at each execution what can't change: the text, the conversions, the columns of the answer.
For the few statements that every settlement runs this is kept here. Elsewhere, and on the other databases, the same
calls go SQLAlchemy's way; what they do is the same.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
    what follows the failed one isn't run. Statements that return rows don't belong here. UPDATEs stand at the top of a
    module (one is kept for good), with all their values as named bind parameters.
    """
    if connection.dialect.driver != "psycopg":
        return [connection.execute(statement, values).rowcount for statement, values in writes]
    with _driver_errors(connection), connection.connection.driver_connection.pipeline():  # type: ignore[union-attr]
        cursors = [_write(connection, statement, values) for statement, values in writes]
    return [cursor.rowcount for cursor in cursors]


def fetch(connection: Connection, statement: Any, values: Mapping[str, Any]) -> list[Any]:
    """The rows of a SELECT, or of an UPDATE that returns some, that stands at the top of a module.

    All its values are named bind parameters. Rows have their columns as attributes; nothing is flushed first.
    """
    if connection.dialect.driver != "psycopg":
        return list(connection.execute(statement, values))
    with _driver_errors(connection):
        return _ready_statement(connection, statement, values).fetch(connection, values)


def _write(connection: Connection, statement: Any, values: Any) -> Any:
    if not isinstance(values, list):
        return _ready_statement(connection, statement, values).run(connection, values)
    if isinstance(statement, Insert) and len(values) <= _MOST_ROWS:
        table: Any = statement.table
        for listener in connection.dispatch.before_execute:  # what others do to inserts (row MACs) is done here too
            statement, values, _ = listener(connection, statement, values, {}, {})
        ready = _ready_insert(connection, table, tuple(values[0]), len(values))
        if ready is not None:
            return ready.run(connection, values)
    return connection.execute(statement, values).context.cursor


def _send(connection: Connection, sql: str, values: Mapping[str, Any]) -> Any:
    cursor: Any = connection.connection.cursor()
    for listener in connection.dispatch.before_cursor_execute:
        listener(connection, cursor, sql, values, None, False)
    cursor.execute(sql, values)
    return cursor


Convert = Callable[[Any], Any] | None


@dataclass(frozen=True)
class _ReadyInsert:
    """An INSERT of so many rows as the driver takes it."""

    sql: str
    binds: tuple[tuple[int, str, str, Convert], ...]
    """Of each parameter: row, column, name, conversion."""

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Any:
        return _send(connection, self.sql, {
            name: rows[row][column] if convert is None else convert(rows[row][column])
            for row, column, name, convert in self.binds})


@dataclass(frozen=True)
class _ReadyStatement:
    """Another statement as the driver takes it, for lists of certain lengths."""

    sql: str
    constants: Mapping[str, Any]
    binds: tuple[tuple[str, Convert], ...]
    lists: tuple[tuple[str, tuple[str, ...], Convert], ...]
    row: Any
    types: tuple[Any, ...]
    results: list[tuple[int, Callable[[Any], Any]]] = field(default_factory=list)
    """Conversions of the answer's columns; the first answer says which there are."""

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        given = dict(self.constants)
        for name, convert in self.binds:
            given[name] = values[name] if convert is None else convert(values[name])
        for name, names, convert in self.lists:
            given.update(zip(names, values[name] if convert is None else map(convert, values[name]), strict=True))
        return _send(connection, self.sql, given)

    def fetch(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        cursor = self.run(connection, values)
        if not self.results:
            self.results.extend(self._results(connection, cursor.description))
        found = []
        for row in cursor.fetchall():
            columns = list(row)
            for place, convert in self.results:
                columns[place] = convert(columns[place])
            found.append(self.row(*columns))
        cursor.close()
        return found

    def _results(self, connection: Connection, description: Sequence[Any]) -> Iterator[tuple[int, Callable[[Any], Any]]]:
        for place, (kind, column) in enumerate(zip(self.types, description, strict=True)):
            if (convert := kind._cached_result_processor(connection.dialect, column[1])) is not None:
                yield place, convert


_inserts: dict[tuple[Table, tuple[str, ...], int], _ReadyInsert | None] = {}
_statements: dict[tuple[int, tuple[int, ...]], tuple[Any, _ReadyStatement]] = {}
"""By the statement's identity and the lengths of its lists; the statement itself is kept, so that the identity stays its."""


def _ready_insert(connection: Connection, table: Table, columns: tuple[str, ...], count: int) -> _ReadyInsert | None:
    """The INSERT for `count` rows of these columns; None where SQLAlchemy must fill columns that are left out."""
    key = (table, columns, count)
    if key not in _inserts:
        left_out = [c for c in table.c if c.key not in columns and (c.default is not None or c.autoincrement is True)]
        _inserts[key] = None if left_out else _compile_insert(connection, table, columns, count)
    return _inserts[key]


def _compile_insert(connection: Connection, table: Table, columns: tuple[str, ...], count: int) -> _ReadyInsert:
    compiled = insert(table).values([dict.fromkeys(columns) for _ in range(count)]).compile(dialect=connection.dialect)
    processors: Mapping[str, Any] = compiled._bind_processors
    binds = tuple((row, column, name := f"{column}_m{row}", processors.get(name))
                  for row in range(count) for column in columns)
    if {name for _, _, name, _ in binds} != set(compiled.params):
        raise AssertionError(f"{table.name}: parameters {sorted(compiled.params)}")
    return _ReadyInsert(str(compiled), binds)


def _ready_statement(connection: Connection, statement: Any, values: Mapping[str, Any]) -> _ReadyStatement:
    key = (id(statement), tuple(len(value) for value in values.values() if isinstance(value, list | tuple)))
    found = _statements.get(key)
    if found is None:
        found = _statements[key] = statement, _compile(connection, statement, values)
    return found[1]


def _compile(connection: Connection, statement: Any, values: Mapping[str, Any]) -> _ReadyStatement:
    dialect = connection.dialect
    compiled = statement.compile(dialect=dialect)
    state = compiled.construct_expanded_state(dict(values))
    own: Mapping[str, Any] = compiled._bind_processors
    origin = {name: whole for whole, names in state.parameter_expansion.items() for name in names}
    lists = tuple((name, tuple(names), own.get(name)) for name, names in state.parameter_expansion.items() if name in values)
    binds = tuple((name, own.get(name)) for name in values if name not in state.parameter_expansion)
    constants = {}
    for name, value in state.parameters.items():
        if (whole := origin.get(name, name)) not in values:
            convert = own.get(whole)
            constants[name] = value if convert is None else convert(value)
    columns = compiled._result_columns or ()
    row = namedtuple("Row", [column.keyname for column in columns], rename=True) if columns else None
    return _ReadyStatement(state.statement, constants, binds, lists, row, tuple(column.type for column in columns))


@contextmanager
def _driver_errors(connection: Connection) -> Iterator[None]:
    """What the driver raises outside of SQLAlchemy's hands gets the shape that everybody expects."""
    module: Any = connection.dialect.loaded_dbapi
    try:
        yield
    except module.Error as error:
        raise DBAPIError.instance(None, None, error, module.Error, dialect=connection.dialect) from error
