"""The search table of one kind of owner, and the one query that searches it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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
    case,
    delete,
    func,
    insert,
    literal,
    select,
    union_all,
)
from sqlalchemy.orm import Session

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
    if limit < 1:
        raise ValueError("limit must be at least 1")
    wanted = set(KINDS) if kinds is None else set(kinds)
    if wanted - set(KINDS):
        raise ValueError(f"unknown kinds of search key: {sorted(wanted - set(KINDS))}")
    text = normalise(query)
    possible = classify(query) & wanted
    if wanted & {"part"} or possible & {"name", "alias"}:
        possible |= {"part"}
    if not text or not possible:
        return select(table.c.owner_id).where(literal(False))
    hit = starts_with(session, table.c.key, text)
    whole = possible - {"part"}
    windows = []
    for part in [0] * bool(whole) + [1] * ("part" in possible):
        conditions = [table.c.part == part, hit, *extra]
        if part == 0 and kinds is not None:
            conditions.append(table.c.kind.in_(sorted(whole)))
        window = (select(table.c.owner_id, table.c.key, table.c.part).where(*conditions)
                  .order_by(table.c.key, table.c.owner_id).limit(limit * WINDOW).subquery())
        windows.append(select(window))
    found = (union_all(*windows) if len(windows) > 1 else windows[0]).subquery("found")
    # 0 whole key, 1 beginning of one, 2 whole part, 3 beginning of one.
    rank = func.min(found.c.part * 2 + case((found.c.key == text, 0), else_=1))
    return (select(found.c.owner_id).group_by(found.c.owner_id)
            .order_by(rank, func.min(found.c.key), found.c.owner_id).limit(limit))
