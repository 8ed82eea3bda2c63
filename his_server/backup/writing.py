"""Making a backup: one snapshot, all tables, one sealed file."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from his_server import __version__
from his_server.backup import envelope
from his_server.backup.rows import Figures, read
from his_server.db import Base, Database, migrate

SNAPSHOT = {"postgresql": "REPEATABLE READ", "dm": "SERIALIZABLE"}
"""The isolation under which a database shows one state to all statements of a transaction; SQLite's transactions do anyway."""


@dataclass(frozen=True)
class Summary:
    """What was written: bytes, seconds, and per table its figures."""

    path: Path
    size: int
    seconds: float
    tables: dict[str, dict[str, Any]]

    @property
    def rows(self) -> int:
        return sum(table["rows"] for table in self.tables.values())


def create(database: Database, target: Path, keys: dict[str, Path], recovery: bytes | None) -> Summary:
    """Write a backup of ``database`` and of the key files to ``target``.

    ``keys``: name → file that a new server needs to read the data (ring, master key); a master key in a device is named only.
    ``recovery``: the offline recovery key's public half (64 bytes).

    :raises CryptoError: the keys can't be used.
    :raises OSError: the file can't be written; nothing is left under its name.
    """
    begun = time.monotonic()
    figures: dict[str, Figures] = {}
    about = {"version": __version__, "created": database.clock.now().isoformat(), "revision": migrate.current(database),
             "database": database.engine.dialect.name}
    engine = database.engine
    if level := SNAPSHOT.get(engine.dialect.name):
        engine = engine.execution_options(isolation_level=level)
    with engine.connect() as connection:
        envelope.seal(database.sealer, recovery, about, _lines(connection, keys, figures), target)
        connection.rollback()
    return Summary(target, target.stat().st_size, time.monotonic() - begun,
                   {name: found.as_dict() for name, found in figures.items()})


def _lines(connection: Connection, keys: dict[str, Path], figures: dict[str, Figures]) -> Iterator[bytes]:
    yield _word({"keys": {name: base64.b64encode(path.read_bytes()).decode() for name, path in keys.items()}})
    for table in Base.metadata.sorted_tables:
        yield _word({"table": table.name, "columns": [column.name for column in table.columns]})
        yield from read(connection, table, figures.setdefault(table.name, Figures()))
    yield _word({"end": {name: found.as_dict() for name, found in figures.items()}})


def _word(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode() + b"\n"
