"""Hot paths on PostgreSQL: statements compiled once, and several writes in one round trip (psycopg's pipeline mode).

SQLAlchemy works out anew at each execution what can't change: the text, the conversions, the columns of the answer.
For the few statements that every settlement runs this is kept here. Elsewhere, and on the other databases, the same
calls go SQLAlchemy's way; what they do is the same.
"""

from __future__ import annotations

import itertools
import re
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
PREPARE_AFTER = 5
"""From so many times on a statement is prepared: the server plans it once per connection, not each time."""


def run_together(connection: Connection, writes: Sequence[Write]) -> list[int]:
    """Run statements that need no answer of one another; the row count of each, in order.

    A statement comes with its values, or with rows of values. The count of an INSERT may be -1: only what an UPDATE
    or DELETE changed is promised. Nothing here commits; an error is raised as if the statements ran one by one, and
    what follows the failed one isn't run. Statements that return rows don't belong here. UPDATEs stand at the top of a
    module (one is kept for good), with all their values as named bind parameters.
    """
    if connection.dialect.driver != "psycopg":
        return [connection.execute(statement, values).rowcount for statement, values in writes]
    counts: list[Any] = []
    inserts: list[_Inserting] = []
    values: Any
    with _driver_errors(connection), connection.connection.driver_connection.pipeline():  # type: ignore[union-attr]
        for statement, values in writes:
            if (ready := _insert_of(connection, statement, values)) is not None:
                inserts.append(ready)
                counts.append(-1)
                continue
            _insert_all(connection, inserts)
            counts.append(connection.execute(statement, values).context.cursor if isinstance(values, list)
                          else _ready_statement(connection, statement, values).run(connection, values))
        _insert_all(connection, inserts)
    return [found if isinstance(found, int) else found.rowcount for found in counts]


def fetch(connection: Connection, statement: Any, values: Mapping[str, Any]) -> list[Any]:
    """The rows of a SELECT, or of an UPDATE that returns some, that stands at the top of a module.

    All its values are named bind parameters. Rows have their columns as attributes; nothing is flushed first.
    """
    if connection.dialect.driver != "psycopg":
        return list(connection.execute(statement, values))
    with _driver_errors(connection):
        return _ready_statement(connection, statement, values).fetch(connection, values)


_Inserting = tuple[tuple[Table, tuple[str, ...], int], Sequence[Mapping[str, Any]]]
"""Which INSERT (table, columns, number of rows), and its rows."""


def _insert_of(connection: Connection, statement: Any, values: Any) -> _Inserting | None:
    """An INSERT whose text can be kept; None where SQLAlchemy has something to fill in, or for too many rows."""
    if not isinstance(values, list) or type(statement) is not Insert or len(values) > _MOST_ROWS:
        return None
    table: Any = statement.table
    for listener in connection.dispatch.before_execute:  # what others do to inserts (row MACs) is done here too
        statement, values, _ = listener(connection, statement, values, {}, {})
    columns = tuple(values[0])
    whole = _whole.get((table, columns))
    if whole is None:
        whole = _whole[table, columns] = not any(
            c.key not in columns and (c.default is not None or c.autoincrement is True) for c in table.c)
    return ((table, columns, len(values)), values) if whole else None


def _insert_all(connection: Connection, inserts: list[_Inserting]) -> None:
    """Send neighbouring INSERTs as one statement (``WITH a AS (INSERT …) INSERT …``): foreign keys are checked at its end."""
    if not inserts:
        return
    keys = tuple(key for key, _ in inserts)
    ready = _inserts.get(keys)
    if ready is None:
        ready = _inserts[keys] = _compile_inserts(connection, keys)
    _send(connection, ready.sql, [
        inserts[place][1][row][column] if convert is None else convert(inserts[place][1][row][column])
        for place, row, column, convert in ready.binds])
    inserts.clear()


def _send(connection: Connection, sql: str, values: Sequence[Any], prepare: bool | None = None) -> Any:
    module: Any = connection.dialect.loaded_dbapi
    cursor = module.RawCursor(connection.connection.driver_connection)
    for listener in connection.dispatch.before_cursor_execute:
        listener(connection, cursor, sql, values, None, False)
    cursor.execute(sql, values, prepare=prepare)
    return cursor


def _numbered(sql: str) -> tuple[str, list[str]]:
    """The statement with ``$1`` for its first parameter, and so on; the names of the parameters in that order."""
    names: list[str] = []

    def place(found: re.Match[str]) -> str:
        if found[1] is None:
            return "%"
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    return re.sub(r"%(?:%|\((.+?)\)s)", place, sql), names


Convert = Callable[[Any], Any] | None


@dataclass(frozen=True)
class _ReadyInserts:
    """INSERTs of so many rows as the driver takes them, in one statement."""

    sql: str
    binds: tuple[tuple[int, int, str, Convert], ...]
    """Of each parameter: which INSERT, row, column, conversion."""


@dataclass(frozen=True)
class _ReadyStatement:
    """Another statement as the driver takes it, for lists of certain lengths."""

    sql: str
    names: Sequence[str]
    constants: Mapping[str, Any]
    binds: tuple[tuple[str, Convert], ...]
    lists: tuple[tuple[str, tuple[str, ...], Convert], ...]
    row: Any
    types: tuple[Any, ...]
    results: list[tuple[int, Callable[[Any], Any]]] = field(default_factory=list)
    """Conversions of the answer's columns; the first answer says which there are."""
    sent: Iterator[int] = field(default_factory=itertools.count)
    """How often it was sent yet."""

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        given = dict(self.constants)
        for name, convert in self.binds:
            given[name] = values[name] if convert is None else convert(values[name])
        for name, names, convert in self.lists:
            given.update(zip(names, values[name] if convert is None else map(convert, values[name]), strict=True))
        often = next(self.sent) >= PREPARE_AFTER
        return _send(connection, self.sql, [given[name] for name in self.names], often or None)

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
        return found

    def _results(self, connection: Connection, description: Sequence[Any]) -> Iterator[tuple[int, Callable[[Any], Any]]]:
        for place, (kind, column) in enumerate(zip(self.types, description, strict=True)):
            if (convert := kind._cached_result_processor(connection.dialect, column[1])) is not None:
                yield place, convert


_inserts: dict[tuple[tuple[Table, tuple[str, ...], int], ...], _ReadyInserts] = {}
_whole: dict[tuple[Table, tuple[str, ...]], bool] = {}
"""Whether these columns are all that an INSERT into a table has to give."""
_statements: dict[tuple[int, tuple[int, ...]], tuple[Any, _ReadyStatement]] = {}
"""By the statement's identity and the lengths of its lists; the statement itself is kept, so that the identity stays its."""


def _compile_inserts(connection: Connection, keys: Sequence[tuple[Table, tuple[str, ...], int]]) -> _ReadyInserts:
    texts: list[str] = []
    binds: dict[str, tuple[int, int, str, Convert]] = {}
    for place, (table, columns, count) in enumerate(keys):
        compiled = insert(table).values([dict.fromkeys(columns) for _ in range(count)]).compile(dialect=connection.dialect)
        processors: Mapping[str, Any] = compiled._bind_processors
        names = {f"{column}_m{row}": (row, column) for row in range(count) for column in columns}
        if set(names) != set(compiled.params):
            raise AssertionError(f"{table.name}: parameters {sorted(compiled.params)}")
        texts.append(str(compiled).replace("%(", f"%(i{place}_"))
        binds.update({f"i{place}_{name}": (place, row, column, processors.get(name))
                      for name, (row, column) in names.items()})
    others = ", ".join(f"i{place} AS ({text})" for place, text in enumerate(texts[:-1]))
    sql, order = _numbered(f"WITH {others} {texts[-1]}" if others else texts[-1])
    return _ReadyInserts(sql, tuple(binds[name] for name in order))


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
    return _ReadyStatement(*_numbered(state.statement), constants, binds, lists, row,
                           tuple(column.type for column in columns))


@contextmanager
def _driver_errors(connection: Connection) -> Iterator[None]:
    """What the driver raises outside of SQLAlchemy's hands gets the shape that everybody expects; a lost connection goes."""
    module: Any = connection.dialect.loaded_dbapi
    try:
        yield
    except module.Error as error:
        lost = connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(None, None, error, module.Error, connection_invalidated=lost,
                                  dialect=connection.dialect) from error
