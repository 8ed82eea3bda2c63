"""MERGE, DM8's upsert, as a form of INSERT: column defaults, bind types and batches work as for any
INSERT."""

from __future__ import annotations

from typing import Any, Self

from sqlalchemy import Table
from sqlalchemy.sql.dml import Insert
from sqlalchemy.sql.visitors import InternalTraversal


class Merge(Insert):
    """`MERGE INTO table USING DUAL ON (…) WHEN MATCHED THEN UPDATE … WHEN NOT MATCHED THEN INSERT …`.

    Two transactions that merge the same new key at once: the second gets a unique violation, and may repeat.
    """

    inherit_cache = True
    _traverse_internals = [
        *Insert._traverse_internals,
        ("merge_keys", InternalTraversal.dp_plain_obj),
        ("merge_updates", InternalTraversal.dp_plain_obj),
    ]
    stringify_dialect = "dm"
    merge_keys: tuple[str, ...] = ()
    merge_updates: tuple[str, ...] = ()

    def on(self, *key_columns: str) -> Self:
        """Name the columns that decide whether the row is there."""
        self.merge_keys = key_columns
        return self

    def update(self, *columns: str) -> Self:
        """Name the columns to set where the row is there; none leaves it alone."""
        self.merge_updates = columns
        return self


def merge(table: Table) -> Any:
    """A MERGE into `table`; complete it by `.on(…)` and `.update(…)`."""
    return Merge(table).inline()
