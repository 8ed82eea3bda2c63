"""Compile every statement with our dialect and with the vendor's, and print what differs as a table.

Run in an environment that has SQLAlchemy 2.0 and dmSQLAlchemy (it can't be imported on 2.1):
    PYTHONPATH=. python -m tests.dialects.compare_vendor > docs/dameng-sql.md
"""

from __future__ import annotations

import importlib
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.sql.base import DialectKWArgs

import dialects  # noqa: F401
from dialects.dameng.base import DamengDialect
from tests.dialects import statements

WHY = {
    "create table: key without identity, comments": (
        "BIT is DM8's own truth value; TIMESTAMP(6) says its precision; CLOB is SQL's word"
    ),
    "create table: identity, types, constraints": (
        "the integer key is numbered by the server (theirs isn't unless asked); a row that may exceed half a page gets "
        "LONG ROW; CHAR is avoided for the driver's sake; JSON as CLOB is read whole by every version"
    ),
    "create table: identity with options": "the same, in the manual's order",
    "insert with identity": "the new key is asked for (theirs selects it again by ROWID)",
    "limit": "both forms are valid; one for all, also in derived tables",
    "limit and offset": "as above",
    "derived table": "as above",
    "boolean is true": "IS 1 is no SQL",
    "boolean is not false": "IS NOT 0 is no SQL; NULL counts",
    "condition as value": "DM8 has no condition in a select list",
    "exists as value": "DM8 has no condition in a select list",
    "is distinct from": "DECODE takes NULL as equal to NULL, on every version",
    "is not distinct from": "as above",
    "cast": "the same types under SQL's names",
    "arithmetic": "exact with either setting of the server for INT / INT",
    "functions": "microseconds said; CHAR_LENGTH counts characters by its name",
    "sequence": "the same",
    "update with case": "a number given as a parameter in CASE says its type: it would be text",
    "case": "as above",
    "select literal": "a number given as a parameter in a select list says its type: it would be text",
    "recursive cte": "as above",
}


def compiled(statement: Any, dialect: Any) -> str:
    """The statement's SQL on one line, or the error that compiling it raises."""
    try:
        return " ".join(str(statement.compile(dialect=dialect)).split())
    except Exception as error:  # whatever the vendor's dialect raises is its answer
        return f"{type(error).__name__}: {str(error).splitlines()[0][:100]}"


def main() -> None:
    """Print the table."""
    mine = {name: compiled(each, DamengDialect()) for name, each in statements.STATEMENTS.items()}
    # Both are called "dm", and tables remember a dialect's options by its name: build the statements anew
    # for theirs.
    from dmSQLAlchemy.dmpython import DMDialect_dmPython

    DialectKWArgs._kw_registry.clear()
    registry.impls["dm"] = lambda: DMDialect_dmPython
    importlib.reload(statements)
    vendor = DMDialect_dmPython(dbapi=DMDialect_dmPython.import_dbapi())
    rows = [(name, mine[name], compiled(each, vendor)) for name, each in statements.STATEMENTS.items()]
    same = [row for row in rows if row[1] == row[2]]
    print("# Our SQL beside dmSQLAlchemy 2.0.17's\n")
    print(
        f"{len(rows)} statements compiled by both on SQLAlchemy 2.0.58: {len(same)} alike, {len(rows) - len(same)} not."
    )
    print(
        "Made by `PYTHONPATH=. python -m tests.dialects.compare_vendor` in an environment with SQLAlchemy 2.0 and dmSQLAlchemy.\n"
    )
    for name, our_sql, vendor_sql in rows:
        if our_sql != vendor_sql:
            print(
                f"## {name}\n{WHY[name]}.\n\nours:\n```sql\n{our_sql}\n```\nvendor's:\n```sql\n{vendor_sql}\n```"
            )
    print("\n## Alike\n" + ", ".join(row[0] for row in same))


if __name__ == "__main__":
    main()
