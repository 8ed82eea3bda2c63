"""Counting the statements that a block of code sends to the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event

from his_server.db import Database


@dataclass
class QueryCount:
    """The statements seen, without BEGIN, SQLite's PRAGMA and the taking of key blocks (once in 2000 rows)."""

    statements: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return len(self.statements)


@contextmanager
def count_queries(database: Database) -> Iterator[QueryCount]:
    """Count what ``database`` is asked inside the block."""
    count = QueryCount()

    def seen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE", "PRAGMA")) and "key_block" not in statement:
            count.statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", seen)
    try:
        yield count
    finally:
        event.remove(database.engine, "before_cursor_execute", seen)
