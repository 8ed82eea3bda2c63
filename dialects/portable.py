"""What modules use instead of raw SQL: the same behaviour on SQLite, PostgreSQL and Dameng.

Writes are here; keyset paging, portable expressions and the classification of errors are offered under this
name too. A *target* is a Session or a Connection; a *table* is a Table or a mapped class. Nothing here
commits. With a Session, pending changes are flushed first, and objects already loaded forget the columns
that were written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Table,
    Update,
    and_,
    false,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dialects.dameng.dml import merge
from dialects.each import Each
from dialects.errors import (
    chain,
    constraint_name,
    is_check_violation,
    is_deadlock,
    is_disconnect,
    is_foreign_key_violation,
    is_lock_timeout,
    is_not_null_violation,
    is_serialization_failure,
    is_session_limit,
    is_transient,
    is_unique_violation,
    unique_columns,
    violates,
)
from dialects.expressions import ascii_lower, day_trunc, iequals, month_trunc, number_text, starts_with
from dialects.paging import decode_cursor, encode_cursor, keyset
from dialects.together import Write, fetch, run_together

__all__ = [
    "Each",
    "Write",
    "ascii_lower",
    "chain",
    "change",
    "change_together",
    "claim",
    "constraint_name",
    "day_trunc",
    "decode_cursor",
    "encode_cursor",
    "fetch",
    "forget",
    "guarded_update",
    "iequals",
    "insert_many",
    "inserting",
    "is_check_violation",
    "is_deadlock",
    "is_disconnect",
    "is_foreign_key_violation",
    "is_lock_timeout",
    "is_not_null_violation",
    "is_serialization_failure",
    "is_session_limit",
    "is_transient",
    "is_unique_violation",
    "keyset",
    "month_trunc",
    "number_text",
    "run_together",
    "starts_with",
    "unique_columns",
    "upsert",
    "violates",
]

Target = Session | Connection
_CHUNK_ROWS = 1000
_CLAIM_ROUNDS = 8


def insert_many(target: Target, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert `rows` (all with the same keys, which are column names), a thousand to a round trip.

    Defaults of the columns left out are applied; nothing is returned, so the keys must be in the rows if you
    need them. Raises ValueError if the rows' keys differ, and what the database raises (nothing of the
    failed chunk stays).
    """
    table_, connection = _begin(target, table)
    _check_keys(rows, table_)
    for chunk in _chunks(rows):
        connection.execute(_insert(table_), chunk)


def inserting(table: Any, rows: Sequence[Mapping[str, Any]]) -> Write:
    """The INSERT of `rows` (all with the same keys) for `run_together`. Raises ValueError if the rows' keys differ."""
    table_ = table if isinstance(table, Table) else inspect(table).local_table
    _check_keys(rows, table_)
    return _insert(table_), [dict(row) for row in rows]


@cache
def _insert(table: Table) -> Insert:
    """The table's INSERT, built once: SQLAlchemy takes ten times as long to build a statement as to run it again."""
    return insert(table)


def upsert(
    target: Target,
    table: Any,
    rows: Sequence[Mapping[str, Any]],
    key_columns: Sequence[str],
    update_columns: Sequence[str] | None = None,
) -> int:
    """Insert each row, or where `key_columns` (a unique constraint's) are taken, update the row that is
    there.

    `update_columns` None updates all columns given but the keys; an empty list leaves the row as it is.
    Python-side `onupdate` isn't applied: name such columns in the rows. Returns how many rows were inserted
    or updated. Raises ValueError if rows' keys differ, a key column is missing or None, or two rows have the
    same key.
    """
    table_, connection = _begin(target, table)
    given = _check_keys(rows, table_)
    if not rows:
        return 0
    _check_upsert_keys(rows, key_columns)
    if update_columns is None:
        update_columns = [name for name in given if name not in key_columns]
    statement = _upsert_statement(connection.dialect.name, table_, key_columns, update_columns)
    written = 0
    for chunk in _chunks(rows):
        result = connection.execute(statement, chunk, execution_options={"preserve_rowcount": True})
        written += len(chunk) if update_columns else result.rowcount
    _expire(target, table_, update_columns)
    return written


def _upsert_statement(name: str, table: Table, keys: Sequence[str], updates: Sequence[str]) -> Any:
    if name in ("sqlite", "postgresql"):
        statement = (sqlite if name == "sqlite" else postgresql).insert(table)
        if not updates:
            return statement.on_conflict_do_nothing(index_elements=list(keys))
        return statement.on_conflict_do_update(
            index_elements=list(keys), set_={column: statement.excluded[column] for column in updates}
        )
    if name == "dm":
        return merge(table).on(*keys).update(*updates)
    raise NotImplementedError(f"upsert on {name}")


def claim(
    session: Session,
    table: Any,
    *,
    where: ColumnElement[bool],
    order_by: Any,
    limit: int,
    set_: Mapping[str, Any],
) -> list[Any]:
    """Take up to `limit` rows that match `where`, in `order_by`'s order, by setting `set_`; return their
    primary keys.

    Any number of workers may do so at once: no row is taken twice, and none waits for another's uncommitted
    rows on PostgreSQL. `set_` must make `where` false (state, lease), else the row can be taken again after
    the commit. Raises ValueError for a limit below 1, an empty `set_` or a compound primary key.
    """
    table_, connection = _begin(session, table)
    if limit < 1 or not set_:
        raise ValueError("claim needs a limit of at least 1 and something to set")
    key = _single_key(table_)
    order = order_by if isinstance(order_by, list | tuple) else [order_by]
    candidates = select(key).where(where).order_by(*order).limit(limit)
    if connection.dialect.name == "postgresql":
        ids = list(connection.execute(candidates.with_for_update(skip_locked=True)).scalars())
        if ids:
            connection.execute(update(table_).where(key.in_(ids)).values(dict(set_)))
    elif connection.dialect.name == "sqlite":
        # A write, though of nothing, takes SQLite's one write lock; what is read after it can't change any
        # more.
        connection.execute(update(table_).where(false()).values({key.name: key}))
        ids = list(connection.execute(candidates).scalars())
        if ids:
            connection.execute(update(table_).where(key.in_(ids)).values(dict(set_)))
    else:
        ids = _claim_one_by_one(connection, table_, key, candidates, where, limit, set_)
    _expire(session, table_, list(set_))
    return ids


def _claim_one_by_one(
    connection: Connection,
    table: Table,
    key: ColumnElement[Any],
    candidates: Any,
    where: ColumnElement[bool],
    limit: int,
    set_: Mapping[str, Any],
) -> list[Any]:
    """The claim where LIMIT and FOR UPDATE may not meet (DM8): choose, lock what is free, then set it.

    Each UPDATE checks `where` again and its row count decides. Rows lost to other workers are replaced by
    the next.
    """
    taken: list[Any] = []
    seen: set[Any] = set()
    for _ in range(_CLAIM_ROUNDS):
        query = candidates.where(key.not_in(seen)) if seen else candidates
        chosen = list(connection.execute(query.limit(limit - len(taken))).scalars())
        if not chosen:
            break
        seen.update(chosen)
        free = select(key).where(key.in_(chosen), where).with_for_update(skip_locked=True)
        locked = set(connection.execute(free).scalars())
        for identity in chosen:
            if identity in locked:
                change = update(table).where(and_(key == identity, where)).values(dict(set_))
                taken += [identity] * connection.execute(change).rowcount
        if len(taken) == limit:
            break
    return taken


def guarded_update(session: Target, table: Any, where: ColumnElement[bool], values: Mapping[str, Any]) -> int:
    """UPDATE the rows that still match `where`; returns how many there were (0: someone else was faster).

    Raises ValueError if `values` is empty.
    """
    if not values:
        raise ValueError("nothing to set")
    table_, connection = _begin(session, table)
    changed = connection.execute(update(table_).where(where).values(dict(values))).rowcount
    _expire(session, table_, list(values))
    return changed


def change(session: Session, statement: Update, values: Mapping[str, Any]) -> int:
    """Run an UPDATE that stands at the top of a module, with its bind values; returns how many rows it changed.

    For hot paths: building a statement costs ten times as much as running one that is there. Objects of its table
    that are loaded already forget what they know.
    """
    return change_together(session, [(statement, values)])[0]


def change_together(session: Session, changes: Sequence[tuple[Update, Mapping[str, Any]]]) -> list[int]:
    """Several `change`s that need no answer of one another, in one round trip where the driver can."""
    session.flush()
    counts = run_together(session.connection(), changes)
    forget(session, [statement.table for statement, _ in changes])
    return counts


def forget(session: Session, tables: Iterable[Any]) -> None:
    """Let loaded objects of `tables`, which were written behind the ORM's back, be read again."""
    written = set(tables)
    for entity in list(session.identity_map.values()):
        if not written.isdisjoint(inspect(entity).mapper.tables):
            session.expire(entity)


def _begin(target: Target, table: Any) -> tuple[Table, Connection]:
    table_ = table if isinstance(table, Table) else inspect(table).local_table
    if isinstance(target, Connection):
        return table_, target
    target.flush()
    return table_, target.connection()


def _expire(target: Target, table: Table, columns: Sequence[str]) -> None:
    """Let loaded objects of `table` read the columns written behind the ORM's back again."""
    if isinstance(target, Connection) or not columns:
        return
    for entity in list(target.identity_map.values()):
        mapper = inspect(entity).mapper
        if table in mapper.tables:
            names = [mapper.get_property_by_column(table.c[column]).key for column in columns]
            target.expire(entity, names)


def _check_keys(rows: Sequence[Mapping[str, Any]], table: Table) -> list[str]:
    """The common keys of `rows`, or ValueError: SQLAlchemy would drop keys that the first row hasn't got."""
    if not rows:
        return []
    first = rows[0].keys()
    unknown = [name for name in first if name not in table.c]
    if unknown:
        raise ValueError(f"{table.name} has no column {', '.join(unknown)}")
    for position, row in enumerate(rows):
        if row.keys() != first:
            raise ValueError(f"row {position} of {table.name} has other keys: {sorted(row.keys() ^ first)}")
    return list(first)


def _check_upsert_keys(rows: Sequence[Mapping[str, Any]], key_columns: Sequence[str]) -> None:
    seen = set()
    for row in rows:
        key = tuple(row.get(name) for name in key_columns)
        if not key or None in key:
            raise ValueError(f"upsert needs a value for each of {list(key_columns)}")
        if key in seen:
            raise ValueError(f"two rows with the same key {key}")
        seen.add(key)


def _single_key(table: Table) -> Any:
    columns = list(table.primary_key.columns)
    if len(columns) != 1:
        raise ValueError(f"{table.name} has no single primary key column")
    return columns[0]


def _chunks(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), _CHUNK_ROWS):
        yield [dict(row) for row in rows[start : start + _CHUNK_ROWS]]
