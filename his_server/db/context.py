"""Which database the running unit of work belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from his_server.db.database import Database

current: ContextVar[Database | None] = ContextVar("his_database", default=None)


def database() -> Database:
    """The database of the running unit of work. :raises RuntimeError: outside of one."""
    found = current.get()
    if found is None:
        raise RuntimeError("no unit of work is open: use Database.begin()")
    return found
