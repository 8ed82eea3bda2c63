"""The simulated centre's books: one SQLite file that any number of processes share."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from his_server.money import ZERO

TABLES = """
CREATE TABLE IF NOT EXISTS member (psn_no TEXT PRIMARY KEY, id_no TEXT, name TEXT, insutype TEXT, balance TEXT,
  deductible TEXT, ending TEXT);
CREATE TABLE IF NOT EXISTS message (msgid TEXT PRIMARY KEY, infno TEXT, void INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS sign (sign_no TEXT PRIMARY KEY, opter TEXT, day TEXT);
CREATE TABLE IF NOT EXISTS visit (mdtrt_id TEXT PRIMARY KEY, psn_no TEXT, otp TEXT, kind TEXT, med_type TEXT, insutype TEXT,
  state TEXT, begntime TEXT, ending TEXT, msgid TEXT);
CREATE INDEX IF NOT EXISTS visit_person ON visit (psn_no);
CREATE TABLE IF NOT EXISTS fee (mdtrt_id TEXT, sn TEXT, batch TEXT, code TEXT, amount TEXT, cnt TEXT, price TEXT,
  init_sn TEXT, setl_id TEXT, at TEXT, own_code TEXT, PRIMARY KEY (mdtrt_id, sn));
CREATE TABLE IF NOT EXISTS preview (mdtrt_id TEXT PRIMARY KEY, batch TEXT, split TEXT);
CREATE TABLE IF NOT EXISTS settlement (setl_id TEXT PRIMARY KEY, mdtrt_id TEXT, psn_no TEXT, msgid TEXT UNIQUE, info TEXT,
  details TEXT, reverses TEXT UNIQUE, void INTEGER DEFAULT 0, used TEXT, setl_time TEXT, insutype TEXT, clr_type TEXT,
  clr_optins TEXT, slow INTEGER DEFAULT 0);
CREATE INDEX IF NOT EXISTS settlement_visit ON settlement (mdtrt_id);
CREATE INDEX IF NOT EXISTS settlement_time ON settlement (setl_time);
CREATE TABLE IF NOT EXISTS file (file_qury_no TEXT PRIMARY KEY, filename TEXT, body BLOB, ready TEXT);
CREATE TABLE IF NOT EXISTS stock (kind TEXT, serial TEXT, body TEXT, PRIMARY KEY (kind, serial));
CREATE TABLE IF NOT EXISTS mapping (list_type TEXT, own TEXT, code TEXT, name TEXT, begndate TEXT, enddate TEXT, updt TEXT,
  PRIMARY KEY (list_type, own));
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, n INTEGER);
"""


class Refusal(ValueError):
    """The centre says no: err_msg."""


class Books:
    """What the centre knows. Amounts are text, so that nothing is ever a float."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "centre.db"
        connection = self._open()
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(TABLES)
        connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    @contextmanager
    def work(self) -> Iterator[sqlite3.Connection]:
        """One transaction, alone: committed when the block ends, undone when it raises."""
        connection = self._open()
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        finally:
            connection.close()

    def rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """Read."""
        connection = self._open()
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def net(self) -> Decimal:
        """What the centre pays by its own books: funds, accounts and hospital's parts of what stands."""
        total = ZERO
        for row in self.rows("SELECT info FROM settlement WHERE void = 0"):
            info = json.loads(row["info"])
            total += sum((Decimal(info[name]) for name in ("fund_pay_sumamt", "acct_pay", "hosp_part_amt")), ZERO)
        return total


def one(books: sqlite3.Connection, statement: str, *values: Any) -> sqlite3.Row | None:
    """The first row, or None."""
    found: sqlite3.Row | None = books.execute(statement, values).fetchone()
    return found


def number(books: sqlite3.Connection, name: str, prefix: str, width: int = 12) -> str:
    """The next number of a series."""
    books.execute("INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET n = n + 1", (name,))
    row = one(books, "SELECT n FROM counter WHERE name = ?", name)
    assert row is not None
    return f"{prefix}{row['n']:0{width}d}"
