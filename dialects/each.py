"""One UPDATE for many rows of parameters: PostgreSQL takes them as arrays, the others run the statement for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Update, bindparam, column, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine


class Each:
    """An UPDATE that stands at the top of a module, with what differs from row to row.

    ``types``: the varying parameters. ``build``: makes the UPDATE from a function that gives the expression of a varying
    parameter; what is the same for all rows are bind parameters of their own. Each row of the table is met by at most one
    row of parameters. On PostgreSQL no order of the changes is promised: where others change the same rows, lock them first.
    ``returning``: columns of the changed rows, told by a database that can in the same statement.
    """

    def __init__(self, types: Mapping[str, TypeEngine[Any]], build: Callable[[Callable[[str], Any]], Update],
                 returning: Sequence[Any] = ()) -> None:
        self.names = tuple(types)
        given: Any = func.unnest(*(bindparam(f"each_{name}", type_=ARRAY(kind)) for name, kind in types.items()))
        rows = given.table_valued(*(column(name, kind) for name, kind in types.items())).render_derived(name="each_row")
        at_once = build(lambda name: rows.c[name])
        self._at_once = at_once.returning(*returning) if returning else at_once
        self._returning = bool(returning)
        self._one_by_one = build(lambda name: bindparam(f"each_{name}", type_=types[name]))

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]], common: Mapping[str, Any]
            ) -> Sequence[Any] | None:
        """Change a row of the table for each row of parameters; nothing is flushed or expired.

        Returns the changed rows, None where they have to be asked for.
        """
        if not rows:
            return []
        if connection.dialect.name == "postgresql":
            done = connection.execute(self._at_once, {
                **common, **{f"each_{name}": [row[name] for row in rows] for name in self.names}})
            return done.all() if self._returning else None
        connection.execute(self._one_by_one, [
            {**common, **{f"each_{name}": row[name] for name in self.names}} for row in rows])
        return None
