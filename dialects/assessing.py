"""What an assessor does to a database to see how the product bears it. Not used by the product."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.engine import Engine


@contextmanager
def renamed(engine: Engine, table: str, away: str) -> Iterator[None]:
    """A table out of the way while the block runs; the same statement on SQLite, PostgreSQL and Dameng."""
    for one in (table, away):
        if not one.replace("_", "").isalnum():
            raise ValueError(one)
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO {away}"))
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {away} RENAME TO {table}"))
