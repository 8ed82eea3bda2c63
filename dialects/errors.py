"""What went wrong, asked of a database exception in one way for SQLite, PostgreSQL and Dameng.

Every function takes either a SQLAlchemy exception (`sqlalchemy.exc.DBAPIError`) or the driver's own. None of
them imports a driver: the driver is recognised by the module that its exception class comes from.
Codes: PostgreSQL manual appendix A (SQLSTATE); sqlite.org/rescode.html; DM8 manual, appendix of error codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dialects.dameng.codes import (
    DEADLOCK,
    DISCONNECT,
    LOCK_TIMEOUT,
    SESSION_LIMIT,
    UNIQUE,
    VIOLATED_CHECK,
    VIOLATED_FOREIGN_KEY,
    VIOLATED_NOT_NULL,
    error_code,
    says_not_connected,
)

_SQLITE_BUSY, _SQLITE_LOCKED, _SQLITE_BUSY_SNAPSHOT = 5, 6, 517
_SQLITE_UNIQUE = {2067, 1555, 2579}
_SQLITE_CHECK, _SQLITE_FOREIGN_KEY, _SQLITE_NOT_NULL = 275, 787, 1299
_SQLITE_FAILED = re.compile(r"constraint failed: (.+)$")
# The server names a constraint in brackets, e.g. "违反唯一性约束[UQ_T_CODE]" or "violate unique
# constraint[UQ_T_CODE]".
_DAMENG_NAME = re.compile(r"(?:约束|索引|constraint|index)\s*\[([^\[\]]+)\]", re.IGNORECASE)


def chain(exc: BaseException) -> Iterator[BaseException]:
    """The exception, what it wraps (`orig`) and what caused it, each once, outermost first."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [exc]
    while todo:
        current = todo.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        todo += [getattr(current, "orig", None), current.__cause__]


def driver_error(exc: BaseException) -> BaseException | None:
    """The driver's exception inside `exc`, or None if no database driver raised it."""
    for each in chain(exc):
        if not isinstance(each, SQLAlchemyError) and _driver(each):
            return each
    return None


def _driver(exc: BaseException) -> str:
    """'psycopg', 'sqlite3', 'dmPython' or '' by the module of the exception's class or of its bases."""
    for cls in type(exc).__mro__:
        root = cls.__module__.partition(".")[0]
        if root in ("psycopg", "psycopg2", "sqlite3", "dmPython"):
            return "psycopg" if root.startswith("psycopg") else root
    return ""


def _matches(exc: BaseException, sqlstates: set[str], sqlite: set[int], dameng: frozenset[int]) -> bool:
    error = driver_error(exc)
    if error is None:
        return False
    driver = _driver(error)
    if driver == "psycopg":
        return _sqlstate(error) in sqlstates
    if driver == "sqlite3":
        return getattr(error, "sqlite_errorcode", None) in sqlite
    return error_code(error) in dameng


def _sqlstate(error: BaseException) -> str | None:
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def is_unique_violation(exc: BaseException) -> bool:
    """True if a unique or primary key constraint or a unique index refused the row."""
    return _matches(exc, {"23505"}, _SQLITE_UNIQUE, UNIQUE)


def is_foreign_key_violation(exc: BaseException) -> bool:
    """True if a foreign key refused the statement (no parent, or children left)."""
    return _matches(exc, {"23503"}, {_SQLITE_FOREIGN_KEY}, VIOLATED_FOREIGN_KEY)


def is_check_violation(exc: BaseException) -> bool:
    """True if a CHECK constraint refused the row."""
    return _matches(exc, {"23514"}, {_SQLITE_CHECK}, VIOLATED_CHECK)


def is_not_null_violation(exc: BaseException) -> bool:
    """True if a NOT NULL column was given no value."""
    return _matches(exc, {"23502"}, {_SQLITE_NOT_NULL}, VIOLATED_NOT_NULL)


def is_lock_timeout(exc: BaseException) -> bool:
    """True if a lock wasn't granted in time or NOWAIT found it taken; trying again later may succeed."""
    return _matches(exc, {"55P03"}, {_SQLITE_BUSY, _SQLITE_LOCKED}, LOCK_TIMEOUT)


def is_deadlock(exc: BaseException) -> bool:
    """True if the database chose this transaction as a deadlock's victim; the whole transaction must be
    repeated."""
    return _matches(exc, {"40P01"}, set(), DEADLOCK)


def is_serialization_failure(exc: BaseException) -> bool:
    """True if the transaction read what another has changed since; the whole transaction must be repeated."""
    return _matches(exc, {"40001"}, {_SQLITE_BUSY_SNAPSHOT}, frozenset())


def is_session_limit(exc: BaseException) -> bool:
    """True if the server refuses further sessions."""
    return _matches(exc, {"53300"}, set(), SESSION_LIMIT)


def is_disconnect(exc: BaseException) -> bool:
    """True if the connection is gone or was never made. Whether a commit in flight took effect is then
    unknown."""
    if any(isinstance(each, DBAPIError) and each.connection_invalidated for each in chain(exc)):
        return True
    error = driver_error(exc)
    if error is None:
        return False
    driver = _driver(error)
    if driver == "psycopg":
        state = _sqlstate(error)
        if state is None:  # libpq's own errors have no SQLSTATE: refused, reset, "the connection is closed"
            text = str(error).lower()
            return type(error).__name__ in ("OperationalError", "InterfaceError", "AdminShutdown") and any(
                word in text
                for word in ("connection", "server closed", "ssl", "terminat", "could not receive")
            )
        return state.startswith("08") or state in {"57P01", "57P02", "57P03"}
    if driver == "dmPython":
        return error_code(error) in DISCONNECT or says_not_connected(error)
    return False


def is_transient(exc: BaseException) -> bool:
    """True if repeating the whole transaction on a fresh connection may succeed.

    After a disconnect during COMMIT the outcome is unknown: repeat only what is idempotent (see
    `is_disconnect`).
    """
    return any(
        test(exc)
        for test in (is_deadlock, is_serialization_failure, is_lock_timeout, is_session_limit, is_disconnect)
    )


def constraint_name(exc: BaseException) -> str | None:
    """The violated constraint's name where the driver tells, else None.

    PostgreSQL always tells. SQLite tells for CHECK only (`unique_columns` has what it tells for UNIQUE).
    Dameng's message holds it in brackets [?]; a name all in upper case, as unquoted ones are there, is given
    in lower.
    """
    error = driver_error(exc)
    if error is None:
        return None
    driver = _driver(error)
    if driver == "psycopg":
        name: str | None = getattr(getattr(error, "diag", None), "constraint_name", None)
        return name
    if driver == "sqlite3" and is_check_violation(exc):
        found = _SQLITE_FAILED.search(str(error))
        return found.group(1) if found else None
    if driver == "dmPython":
        found = _DAMENG_NAME.search(str(error))
        bare = found.group(1).rpartition(".")[2] if found else None
        return bare.lower() if bare is not None and bare.isupper() else bare
    return None


def unique_columns(exc: BaseException) -> tuple[str, ...]:
    """The columns of the violated unique constraint where the driver tells them (SQLite), else ()."""
    error = driver_error(exc)
    if error is None or _driver(error) != "sqlite3" or not is_unique_violation(exc):
        return ()
    found = _SQLITE_FAILED.search(str(error))
    return tuple(part.strip().rpartition(".")[2] for part in found.group(1).split(",")) if found else ()


def violates(exc: BaseException, constraint: UniqueConstraint | PrimaryKeyConstraint | Index) -> bool:
    """True if `exc` is the violation of just this unique constraint or unique index, on every database."""
    if not is_unique_violation(exc):
        return False
    columns = unique_columns(exc)
    if columns:
        return columns == tuple(column.name for column in constraint.columns)
    name = constraint_name(exc)
    return name is not None and constraint.name is not None and name.lower() == str(constraint.name).lower()
