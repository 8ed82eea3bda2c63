"""Statements that take the right to change append-only tables from the application's database account.

Printed for the database administrator, who runs them as the tables' owner (COMPLIANCE DB-17).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def append_only(dialect: str, tables: Sequence[str], account: str) -> list[str]:
    """Statements after which `account` may only read and insert into `tables`.

    dialect: "postgresql" or "dm". Raises ValueError for a name that isn't a plain identifier, or a database
    without accounts (SQLite).
    """
    for name in (*tables, account):
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"not a plain name: {name!r}")
    if dialect not in ("postgresql", "dm"):
        raise ValueError(f"{dialect} has no accounts")
    rights = "UPDATE, DELETE, TRUNCATE" if dialect == "postgresql" else "UPDATE, DELETE"
    return [
        line
        for table in tables
        for line in (
            f"REVOKE {rights} ON {table} FROM {account}",
            f"GRANT SELECT, INSERT ON {table} TO {account}",
        )
    ]
