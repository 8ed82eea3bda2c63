"""Reading a backup: first the whole of it, to see that it is true; only then into an empty database; then counted there again."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, inspect, select, update
from sqlalchemy.exc import SQLAlchemyError

from crypto import CryptoError, Provider
from dialects import portable
from his_server.backup import envelope
from his_server.backup.rows import BATCH, Figures, decode, exact_columns, read, sums
from his_server.db import Base, Database, migrate

MADE = ("schema_revision", "key_block")
"""Tables in which making the tables itself writes rows: which revisions there are, the keys' counter."""


class Refused(Exception):
    """The backup or the database isn't fit; the text is Chinese and says what to do. Nothing was changed unless it says so."""


@dataclass
class Contents:
    """What a backup holds, found by reading it to its end."""

    about: dict[str, Any]
    keys: dict[str, bytes] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        return sum(table["rows"] for table in self.tables.values())


def verify(provider: Provider, key: bytes, path: Path, on_row: Callable[[str, list[Any]], None] | None = None) -> Contents:
    """Read a backup to its end and count it. ``on_row(table, values)`` is called for each row.

    :raises Refused: a byte was changed, a part is missing, or the figures don't agree.
    """
    begun = time.monotonic()
    try:
        contents = Contents(envelope.head_of(path))
        reader = _Reader(contents, on_row)
        envelope.unseal(provider, key, path, reader.line)
    except CryptoError as error:
        raise Refused(f"备份文件已损坏、被改动，或密钥不对（{error}）。没有改动任何数据，请换一份备份") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Refused("备份文件内容不完整，没有改动任何数据，请换一份备份") from error
    if reader.end is None:
        raise Refused("备份文件不完整（没有结尾），没有改动任何数据，请换一份备份")
    contents.tables = {name: figures.as_dict() for name, figures in reader.figures.items()}
    if contents.tables != reader.end:
        raise Refused("备份文件内的行数、摘要或合计不一致，没有改动任何数据，请换一份备份")
    contents.seconds = time.monotonic() - begun
    return contents


class _Reader:
    """Takes a backup's lines one by one."""

    def __init__(self, contents: Contents, on_row: Callable[[str, list[Any]], None] | None) -> None:
        self.contents, self.on_row = contents, on_row
        self.figures: dict[str, Figures] = {}
        self.end: dict[str, Any] | None = None
        self._table = ""
        self._exact: list[tuple[int, str]] = []

    def line(self, text: bytes) -> None:
        value = json.loads(text)
        if self.end is not None:
            raise ValueError("something follows the end")
        if isinstance(value, list):
            values = [decode(item) for item in value]
            self.figures[self._table].add(text + b"\n", [(name, values[n]) for n, name in self._exact])
            if self.on_row is not None:
                self.on_row(self._table, values)
        elif "table" in value:
            self._table = value["table"]
            self.contents.columns[self._table] = value["columns"]
            self.figures[self._table] = Figures()
            known = Base.metadata.tables.get(self._table)
            self._exact = [] if known is None else exact_columns(known)
        elif "keys" in value:
            self.contents.keys = {name: base64.b64decode(data) for name, data in value["keys"].items()}
        else:
            self.end = value["end"]


def restore(database: Database, key: bytes, path: Path, told: Callable[[str], None] = lambda _text: None) -> Contents:
    """Read the whole backup, then write it into the empty ``database``, then compare what is there with the backup.

    :raises Refused: the backup doesn't hold, the database isn't empty, the release doesn't fit (nothing was changed); or what
        was written differs from the backup (the database must not be used).
    """
    provider = database.sealer.provider
    contents = verify(provider, key, path)
    told(f"备份文件完整：{len(contents.tables)} 张表，{contents.rows} 行，{contents.seconds:.1f} 秒")
    _fit(database, contents)
    migrate.prepare(database)
    loader = _Loader(database)
    verify(provider, key, path, loader.row)
    loader.finish()
    database.keys.forget()  # what was taken while the tables were made would be taken again
    told("数据已写入，正在逐表核对")
    compare(database, contents)
    return contents


def _fit(database: Database, contents: Contents) -> None:
    """:raises Refused: this release can't take the backup, or the database holds something."""
    revision = contents.about.get("revision")
    if revision not in migrate.phases():
        raise Refused(f"备份来自数据库版本 {revision}（程序 {contents.about.get('version')}），本程序不认识。"
                      "请安装那个版本恢复后再升级")
    ours = {table.name: [column.name for column in table.columns] for table in Base.metadata.sorted_tables}
    if ours != contents.columns:
        odd = sorted(name for name in ours.keys() | contents.columns.keys() if ours.get(name) != contents.columns.get(name))
        raise Refused(f"备份与本程序的表结构不同（{'、'.join(odd[:5])}）。"
                      f"请安装程序 {contents.about.get('version')} 恢复后再升级")
    present = set(inspect(database.engine).get_table_names())
    with database.engine.connect() as connection:
        full = [table.name for table in Base.metadata.sorted_tables
                if table.name in present and table.name not in MADE
                and connection.execute(select(table).limit(1)).first() is not None]
    if full:
        raise Refused(f"目标数据库不是空的（{'、'.join(full[:3])} 等 {len(full)} 张表有数据），没有改动。恢复只写入空库："
                      "请另建一个库（SQLite 换一个文件），核对后再把设置指向它")


class _Loader:
    """Writes rows in batches, one transaction per table. References inside a table are filled in when all its rows are there."""

    def __init__(self, database: Database) -> None:
        self.database, self.table, self.batch = database, None, []  # type: ignore[var-annotated]
        self.inner: list[str] = []
        self.late: list[dict[str, Any]] = []

    def row(self, name: str, values: list[Any]) -> None:
        if self.table is None or self.table.name != name:
            self.finish()
            self.table = Base.metadata.tables[name]
            self.inner = [column.key for column in self.table.columns if column.nullable
                          and any(foreign.column.table is self.table for foreign in column.foreign_keys)]
        row = dict(zip((column.key for column in self.table.columns), values, strict=True))
        if any(row[column] is not None for column in self.inner):
            self.late.append({"row": dict(row)})
            row.update(dict.fromkeys(self.inner))
        self.batch.append(row)
        if len(self.batch) >= BATCH:
            self._write()

    def finish(self) -> None:
        """End a table."""
        self._write()
        if self.late and self.table is not None:
            _fill(self.database, self.table, self.inner, [entry["row"] for entry in self.late])
        self.late = []

    def _write(self) -> None:
        if self.batch and self.table is not None:
            try:
                with self.database.writer(), self.database.engine.begin() as connection:
                    _clear_made(connection, self.table)
                    portable.insert_many(connection, self.table, self.batch)
            except (ValueError, SQLAlchemyError) as error:
                raise Refused(f"写入表 {self.table.name} 时出错（{type(error).__name__}）：目标数据库只写了一部分，请不要使用，"
                              "换一个空库重新恢复") from error
        self.batch = []


def _clear_made(connection: Connection, table: Table) -> None:
    """The rows that making the tables has itself written (revisions, the keys' counter): the backup's take their place."""
    if table.name in MADE:
        connection.execute(table.delete())


def _fill(database: Database, table: Table, columns: list[str], rows: list[dict[str, Any]]) -> None:
    keys = [column.key for column in table.primary_key.columns]
    with database.writer(), database.engine.begin() as connection:
        for row in rows:
            connection.execute(update(table).where(*(table.columns[name] == row[name] for name in keys))
                               .values({name: row[name] for name in columns}))


def compare(database: Database, contents: Contents) -> None:
    """Count every table again where it is now, and let the database add up. :raises Refused: a difference."""
    wrong = []
    with database.engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            figures = Figures()
            for _ in read(connection, table, figures):
                pass
            wanted = contents.tables[table.name]
            if figures.as_dict() != wanted or sums(connection, table) != wanted["totals"]:
                wrong.append(table.name)
        connection.rollback()
    if wrong:
        raise Refused(f"恢复后的数据与备份不一致（{'、'.join(wrong[:5])}），请不要使用这个数据库，换一个空库重新恢复")
