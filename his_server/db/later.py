"""Rows that nobody reads before the commit go out together just before it: one round trip for all of them.

Audit rows, events and stored answers are written by nearly every request. Each is checked and complete when it is
recorded; only its INSERT waits. A query through the session sends what waits first, so that it sees its own rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, event
from sqlalchemy.orm import ORMExecuteState, Session

from dialects import portable

_WAITING = "insert_later"


def insert_later(session: Session, table: Table, row: Mapping[str, Any]) -> None:
    """Insert ``row`` before the unit of work commits, after everything that was written until then."""
    if session.in_nested_transaction():
        session.connection().execute(*portable.inserting(table, [row]))  # it goes back with its savepoint
    else:
        session.info.setdefault(_WAITING, {}).setdefault(table, []).append(row)


def send(session: Session) -> None:
    """Send what waits. Called before the commit and before a query; what it raises fails the unit of work."""
    waiting = session.info.pop(_WAITING, None)
    if waiting:
        session.flush()
        portable.run_together(session.connection(), [portable.inserting(table, rows) for table, rows in waiting.items()])


def see_own_rows(session_class: type[Session]) -> None:
    """Let queries of this session class see the rows that wait."""

    @event.listens_for(session_class, "do_orm_execute")
    def _before_reading(state: ORMExecuteState) -> None:
        if state.is_select and _WAITING in state.session.info:
            send(state.session)
