"""What a simulator knows, in a file that many processes may share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path


class Books:
    """Tables in ``folder/<name>.db``, made when they are first asked for."""

    def __init__(self, folder: Path, name: str, tables: Sequence[str]) -> None:
        self.path = folder / f"{name}.db"
        folder.mkdir(parents=True, exist_ok=True)
        with self.work() as books:
            for statement in tables:
                books.execute(statement)

    @contextmanager
    def work(self) -> Iterator[sqlite3.Connection]:
        """One transaction, alone: committed when the block ends, undone when it raises."""
        with closing(sqlite3.connect(self.path, timeout=30)) as books, books:
            books.row_factory = sqlite3.Row
            books.execute("BEGIN IMMEDIATE")
            yield books
