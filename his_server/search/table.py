"""The search table of one kind of owner, and the one query that searches it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    Select,
    SmallInteger,
    String,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from dialects import portable

from .keys import KINDS, SearchKey
from .text import KEY_LENGTH, classify, normalise

LAST = "\U0010ffff"
"""Sorts after every character in UTF-8 and by code point; itself not a character, so no key contains it."""

WINDOW = 16
"""Keys read per wanted owner: one owner seldom matches a query under more than this many keys."""


def make_search_table(name: str, owner_table: Table, *, owner_key: str = "id") -> Table:
    """A table (owner_id, kind, key, part) beside `owner_table`, in its MetaData; rows go when the owner goes.

    `part` is 1 for keys of kind 'part', 0 for whole ones: leading the index, it lets a search read the first keys of
    either sort without passing the others. The index answers a search without touching the table. The key compares
    by code point on every database (SQLite's BINARY, PostgreSQL's collation "C"), or prefix search could not use the
    index. The database column is `search_key`, because KEY is a reserved word elsewhere.
    """
    text = String(KEY_LENGTH).with_variant(String(KEY_LENGTH, collation="C"), "postgresql")
    integer = BigInteger().with_variant(Integer(), "sqlite")
    table = Table(
        name, owner_table.metadata,
        Column("owner_id", integer, ForeignKey(owner_table.c[owner_key], ondelete="CASCADE"), primary_key=True,
               autoincrement=False),
        Column("kind", String(8), primary_key=True),
        Column("search_key", text, key="key", primary_key=True),
        Column("part", SmallInteger, nullable=False),
    )
    Index(f"ix_{name}_key", table.c.part, table.c.key, table.c.owner_id, table.c.kind)
    return table


def key_rows(owner_id: int, keys: Iterable[SearchKey]) -> list[dict[str, Any]]:
    """Rows for a bulk insert of one owner's keys."""
    return [{"owner_id": owner_id, "kind": k.kind, "key": k.key, "part": int(k.kind == "part")} for k in keys]


def store_keys(session: Session, table: Table, owner_id: int, keys: Iterable[SearchKey]) -> None:
    """Replace all keys of one owner. Runs inside the caller's transaction; two statements."""
    session.execute(delete(table).where(table.c.owner_id == owner_id))
    rows = key_rows(owner_id, keys)
    if rows:
        session.execute(insert(table), rows)


def starts_with(session: Session, column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """The condition `column begins with prefix` in a form that uses an index: a range where text compares by
    code point, LIKE with a constant prefix on Dameng, whose order depends on the character set of the
    instance."""
    if session.get_bind().dialect.name in ("dm", "dameng"):
        return column.startswith(prefix, autoescape=True)
    return and_(column >= prefix, column < prefix + LAST)


def match(
    session: Session,
    table: Table,
    query: str,
    *,
    limit: int = 20,
    kinds: Collection[str] | None = None,
    extra: Sequence[ColumnElement[bool]] = (),
) -> Select[int]:
    """One SELECT of owner ids that a query finds, best first: exact, then prefix, then inside a name.

    `kinds` narrows what may match (a user who types wubi, a field that takes codes); 'name' and 'alias'
    include their substrings. `extra` are conditions on `table.c.owner_id` (for instance an EXISTS on the
    owner: active, in this department); they apply before the limit. An empty query finds nothing. Ties are
    ordered by key, then id. Raises ValueError for an unknown kind or a limit below 1.

    However broad the query, at most limit × WINDOW index entries of each sort are ranked: one letter typed
    into a table of a million keys costs as much as a whole name. (M7.4)
    """
    wanted, text = _wanted(query, limit, kinds)
    if not text or not wanted:
        return select(table.c.owner_id).where(literal(False))
    hit = starts_with(session, table.c.key, text)
    return _ranked(table, frozenset(wanted), kinds is not None, hit, text, limit, extra)


def matching(session: Session, table: Table, query: str, *, limit: int = 20,
             kinds: Collection[str] | None = None) -> list[int]:
    """The owner ids that :func:`match` would find, asked at once by a statement that is built once per sort of query:
    building it takes longer than answering it."""
    wanted, text = _wanted(query, limit, kinds)
    if not text or not wanted:
        return []
    if session.get_bind().dialect.name in ("dm", "dameng"):
        return list(session.scalars(match(session, table, query, limit=limit, kinds=kinds)))
    statement = _prepared(table, frozenset(wanted), kinds is not None)
    session.flush()
    rows = portable.fetch(session.connection(), statement, {
        "text": text, "end": text + LAST, "many": limit, "window": limit * WINDOW})
    return [row.owner_id for row in rows]


def _wanted(query: str, limit: int, kinds: Collection[str] | None) -> tuple[set[str], str]:
    """The kinds of key a query may match, and its normal form. :raises ValueError: unknown kinds, a limit below 1."""
    if limit < 1:
        raise ValueError("limit must be at least 1")
    wanted = set(KINDS) if kinds is None else set(kinds)
    if wanted - set(KINDS):
        raise ValueError(f"unknown kinds of search key: {sorted(wanted - set(KINDS))}")
    possible: set[str] = set(classify(query)) & wanted
    if wanted & {"part"} or possible & {"name", "alias"}:
        possible |= {"part"}
    return possible, normalise(query)


@lru_cache(maxsize=256)
def _prepared(table: Table, possible: frozenset[str], narrowed: bool) -> Select[int]:
    text = bindparam("text", type_=table.c.key.type)
    hit = and_(table.c.key >= text, table.c.key < bindparam("end", type_=table.c.key.type))
    return _ranked(table, possible, narrowed, hit, text, bindparam("many", type_=Integer()), (),
                   bindparam("window", type_=Integer()))


def _ranked(table: Table, possible: frozenset[str], narrowed: bool, hit: ColumnElement[bool], text: Any, limit: Any,
            extra: Sequence[ColumnElement[bool]], window_size: Any = None) -> Select[int]:
    whole = possible - {"part"}
    windows = []
    for part in [0] * bool(whole) + [1] * ("part" in possible):
        conditions = [table.c.part == part, hit, *extra]
        if part == 0 and narrowed:
            conditions.append(table.c.kind.in_(sorted(whole)))
        window = (select(table.c.owner_id, table.c.key, table.c.part).where(*conditions)
                  .order_by(table.c.key, table.c.owner_id)
                  .limit(limit * WINDOW if window_size is None else window_size).subquery())
        windows.append(select(window))
    found = (union_all(*windows) if len(windows) > 1 else windows[0]).subquery("found")
    # 0 whole key, 1 beginning of one, 2 whole part, 3 beginning of one.
    rank = func.min(found.c.part * 2 + case((found.c.key == text, 0), else_=1))
    return (select(found.c.owner_id).group_by(found.c.owner_id)
            .order_by(rank, func.min(found.c.key), found.c.owner_id).limit(limit))
