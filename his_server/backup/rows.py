"""Rows as lines: the same text for the same row, whichever database it was read from."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Table, func, select

from his_server.db.types import _Exact

BATCH = 2000


def encode(value: Any) -> Any:
    """A value as JSON; what JSON hasn't is a list of its kind and its text."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, Decimal):
        return ["d", str(value)]
    if isinstance(value, datetime):
        return ["t", value.isoformat()]
    if isinstance(value, date):
        return ["y", value.isoformat()]
    if isinstance(value, (bytes, memoryview, bytearray)):
        return ["b", base64.b64encode(bytes(value)).decode()]
    raise TypeError(f"a column of {type(value).__name__} can't be backed up")


def decode(value: Any) -> Any:
    """Inverse of :func:`encode`."""
    if not isinstance(value, list):
        return value
    kind, text = value
    return {"d": Decimal, "t": datetime.fromisoformat, "y": date.fromisoformat, "b": base64.b64decode}[kind](text)


def line(values: Iterable[Any]) -> bytes:
    """One row as a line."""
    return json.dumps([encode(value) for value in values], ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@dataclass
class Figures:
    """What is known of a table's rows: how many, the digest over their lines in key order, the sums of exact numbers."""

    rows: int = 0
    digest: Any = field(default_factory=lambda: hashlib.new("sm3"))
    totals: dict[str, Decimal] = field(default_factory=dict)

    def add(self, text: bytes, exact: Iterable[tuple[str, Decimal | None]]) -> None:
        """Count one row."""
        self.rows += 1
        self.digest.update(text)
        for name, value in exact:
            if value is not None:
                self.totals[name] = self.totals.get(name, Decimal(0)) + value

    def as_dict(self) -> dict[str, Any]:
        """For the file and for comparing."""
        return {"rows": self.rows, "sm3": self.digest.hexdigest(),
                "totals": {name: str(value) for name, value in sorted(self.totals.items()) if value}}


def exact_columns(table: Table) -> list[tuple[int, str]]:
    """Place and name of a table's money, price and quantity columns."""
    return [(n, column.key) for n, column in enumerate(table.columns) if isinstance(column.type, _Exact)]


def read(connection: Connection, table: Table, figures: Figures) -> Iterator[bytes]:
    """The lines of a table in key order, counted into ``figures`` on the way."""
    exact = exact_columns(table)
    found = connection.execution_options(stream_results=True, yield_per=BATCH).execute(
        select(table).order_by(*table.primary_key.columns))
    for row in found:
        text = line(row)
        figures.add(text, [(name, row[n]) for n, name in exact])
        yield text


def sums(connection: Connection, table: Table) -> dict[str, str]:
    """The control totals as the database itself adds them up."""
    columns = [table.columns[name] for _, name in exact_columns(table)]
    if not columns:
        return {}
    row = connection.execute(select(*(func.sum(column, type_=column.type) for column in columns))).one()
    return {column.key: str(value) for column, value in sorted(zip(columns, row, strict=True), key=lambda pair: pair[0].key)
            if value}
