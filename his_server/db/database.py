"""Engines and the unit of work (DESIGN sections 3, 10).

SQLite runs in WAL mode behind one writer queue: a write unit of work takes a file lock that all
processes share before ``BEGIN IMMEDIATE``, so nobody meets "database is locked".
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, Executable, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from dialects import portable
from his_server.clock import Clock
from his_server.db import context, later
from his_server.db.keys import KeyAllocator
from his_server.errors import Unavailable

SQLITE_BUSY_MS = 30_000
DEADLOCK_ATTEMPTS = 3
LOST_ATTEMPTS = 2
"""How often a unit of work is tried whose connection was lost before its commit began: once more, on a new one."""
PREPARED = 400
"""Prepared statements that a connection to PostgreSQL keeps: more than there are hot ones."""
T = TypeVar("T")
_databases: weakref.WeakSet[Database] = weakref.WeakSet()


class CommitUnknown(Unavailable):
    """The connection was lost during COMMIT: nobody knows yet whether the unit of work was saved."""

    def __init__(self) -> None:
        super().__init__("database.commit_unknown",
                         "保存时与数据库的连接中断，无法确认本次操作是否已经保存。请先刷新页面核对，确认没有保存后再重做，"
                         "不要直接重复提交")


def may_repeat(error: BaseException, attempt: int) -> bool:
    """Whether a unit of work whose ``attempt``-th try (from 1) failed so is to be tried again, whole.

    Only where it certainly left nothing: it was a deadlock's victim, or the connection was lost (a switch to the
    standby) before COMMIT was sent. Never after :class:`CommitUnknown`.
    """
    if isinstance(error, CommitUnknown):
        return False
    if portable.is_deadlock(error) or portable.is_serialization_failure(error):
        return attempt < DEADLOCK_ATTEMPTS
    return portable.is_disconnect(error) and attempt < LOST_ATTEMPTS


class Database:
    """One database with its engine, keys, clock and sealer. Units of work come from :meth:`begin`."""

    def __init__(self, url: str | URL, *, clock: Clock | None = None, sealer: Any = None, pool_size: int = 10) -> None:
        self.url = make_url(url)
        self.clock = clock or Clock()
        self.sealer = sealer
        self.single_writer = self.url.get_backend_name() == "sqlite"
        self.dameng = self.url.get_backend_name() == "dm"
        self.ports: dict[str, Any] = {}
        self._local = threading.local()
        self._lock_path = _lock_path(self.url) if self.single_writer else None
        self._thread_lock = threading.Lock()
        self.engine = self._engine(pool_size)
        # one round trip instead of three
        self._looking = (self.engine.execution_options(isolation_level="AUTOCOMMIT")
                         if self.url.get_backend_name() == "postgresql" else self.engine)
        self.keys = KeyAllocator(self)
        self.number_blocks: dict[tuple[str, str], Iterator[int]] = {}
        """Business numbers taken ahead, by series and scope (:mod:`his_server.db.numbering`)."""
        self.blocks_lock = threading.Lock()
        _databases.add(self)

    def _engine(self, pool_size: int) -> Engine:
        if not self.single_writer:
            # Dameng switches to its standby under us: a ping finds out before work that can't be repeated begins
            engine = create_engine(self.url, pool_size=pool_size, max_overflow=pool_size, pool_recycle=1800,
                                   pool_pre_ping=self.dameng)
            if self.dameng:
                event.listen(engine, "before_cursor_execute", _refuse_writing)
            elif engine.dialect.driver == "psycopg":
                event.listen(engine, "connect", _prepare_what_is_asked)
            return engine
        engine = create_engine(self.url, poolclass=QueuePool, pool_size=pool_size, max_overflow=-1,
                               connect_args={"timeout": SQLITE_BUSY_MS / 1000, "check_same_thread": False})
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", self._begin_sqlite)
        return engine

    def _after_fork(self) -> None:
        self._local = threading.local()
        self._thread_lock = threading.Lock()
        self.number_blocks = {}  # the parent goes on using its own
        self.blocks_lock = threading.Lock()
        self.keys.forget()
        self.engine.dispose(close=False)

    def _begin_sqlite(self, connection: Any) -> None:
        reading = getattr(self._local, "reading", False)
        if connection.info.get("query_only", False) != reading:
            connection.exec_driver_sql(f"PRAGMA query_only={int(reading)}")
            connection.info["query_only"] = reading
        writing = getattr(self._local, "writing", False) and not reading
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    @contextmanager
    def writer(self) -> Iterator[None]:
        """The writer queue of SQLite: one thread of one process at a time."""
        if self._lock_path is None:
            yield
            return
        with self._thread_lock:
            handle = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                self._local.writing = True
                yield
            finally:
                self._local.writing = False
                os.close(handle)

    def write_session(self) -> Session | None:
        """The write unit of work that this thread has open, if any."""
        found: Session | None = getattr(self._local, "session", None)
        return found

    @contextmanager
    def begin(self, *, write: bool = True) -> Iterator[Session]:
        """A unit of work: committed when the block ends, rolled back when it raises.

        Read-only ones (``write=False``) refuse to write. Units of work do not nest in one thread.

        :raises CommitUnknown: the connection was lost during COMMIT. See :meth:`run` for the platform's repeating.
        """
        if write and self.write_session() is not None:
            raise RuntimeError("a unit of work is open already in this thread")
        token = context.current.set(self)
        try:
            if write:
                self.keys.top_up()
                with self.writer(), self._session() as session:
                    self._local.session = session
                    try:
                        yield session
                        _commit(session)
                    finally:
                        self._local.session = None
                for call in session.info.get("after_commit", ()):
                    call()
            else:
                with self._session() as session:
                    session.info["read_only"] = True
                    self._begin_reading(session)
                    yield session
                    _refuse_read_only_writes(session)  # what nobody flushed would be lost without a word
                    _end_reading(session)
        finally:
            context.current.reset(token)

    def run(self, work: Callable[[Session], T], *, write: bool = True, actor: Any = None,
            idempotent: bool = False) -> T:
        """``work(session)`` in a unit of work, once more on a new connection where the first one was lost before its
        commit began, up to thrice after deadlocks. So ``work`` does nothing outside of its session.

        ``idempotent``: doing it twice is as good as once, so it is repeated also when the commit's outcome is unknown.

        :raises CommitUnknown: the connection was lost during COMMIT, and it isn't idempotent.
        """
        attempt = 1
        while True:
            try:
                with self.begin(write=write) as session:
                    if actor is not None:
                        session.info["actor"] = actor
                    return work(session)
            except Exception as error:
                unknown = idempotent and isinstance(error, CommitUnknown) and attempt < LOST_ATTEMPTS
                if not unknown and not may_repeat(error, attempt):
                    raise
            attempt += 1

    def look(self, statement: Executable, parameters: Mapping[str, Any]) -> list[Any]:
        """The first column of what one reading statement finds, outside of any unit of work: for what is asked all the time.
        On a new connection where the first one was lost."""
        attempt = 1
        while True:
            try:
                with self._looking.connect() as connection:
                    return list(connection.execute(statement, parameters).scalars())
            except DBAPIError as error:
                if not may_repeat(error, attempt):
                    raise
            attempt += 1

    def _begin_reading(self, session: Session) -> None:
        """Let the database itself refuse writes, where it can."""
        if self.single_writer:
            self._local.reading = True
            try:
                session.connection()
            finally:
                self._local.reading = False
        elif self.url.get_backend_name() == "postgresql":
            session.connection(execution_options={"postgresql_readonly": True})
        elif self.dameng:
            session.connection(execution_options={"his_reading": True})

    @contextmanager
    def apart(self) -> Iterator[Session]:
        """A short transaction of its own, besides whatever this thread has open (not on SQLite then)."""
        if self.single_writer and self.write_session() is not None:
            raise RuntimeError("SQLite has one writer: no second transaction inside a unit of work")
        with self.writer(), self._session() as session:
            yield session
            later.send(session)
            session.commit()

    def _session(self) -> Session:
        session = UnitOfWork(self.engine, expire_on_commit=False, autoflush=True)
        session.info["database"] = self
        return session

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


class UnitOfWork(Session):
    """Our session class; platform listeners attach to it."""


later.see_own_rows(UnitOfWork)


@event.listens_for(UnitOfWork, "before_flush")
def _refuse_read_only_writes(session: Session, *_: Any) -> None:
    if session.info.get("read_only") and (session.new or session.dirty or session.deleted):
        raise RuntimeError("this unit of work is read-only")


def _commit(session: Session) -> None:
    """Commit. What fails before COMMIT is sent certainly left nothing. :raises CommitUnknown: the answer was lost."""
    later.send(session)
    session.flush()
    try:
        session.commit()
    except DBAPIError as error:
        if portable.is_disconnect(error):
            raise CommitUnknown from error
        raise


def _end_reading(session: Session) -> None:
    """By a commit: with a rollback psycopg forgets what it prepared, and every read would be planned anew. A connection that
    is lost here takes nothing with it."""
    try:
        session.commit()
    except DBAPIError as error:
        if not portable.is_disconnect(error):
            raise


def _prepare_what_is_asked(connection: Any, _record: Any) -> None:
    """psycopg prepares what says so (:mod:`dialects.together`) and nothing else: a plan made without the values is right for
    a look-up by an index, and may be far off for a report over a year."""
    connection.prepare_threshold, connection.prepared_max = sys.maxsize, PREPARED


def _refuse_writing(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    """Dameng's own read-only transactions cost a round trip each, so we look at the statement."""
    if connection.get_execution_options().get("his_reading") and not statement.lstrip(" \n(").upper().startswith(
            ("SELECT", "WITH")):
        raise RuntimeError("this unit of work is read-only")


def _after_fork() -> None:
    for database in list(_databases):
        database._after_fork()


os.register_at_fork(after_in_child=_after_fork)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we emit BEGIN ourselves
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={SQLITE_BUSY_MS}",
                   "cache_size=-32000", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _lock_path(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise ValueError("SQLite needs a file: several connections share the database")
    return Path(url.database + ".writer")


def of(session: Session) -> Database:
    """The database a session belongs to."""
    database: Database = session.info["database"]
    return database


def now(session: Session) -> datetime:
    """The injected clock's instant, aware UTC."""
    return of(session).clock.now()


def today(session: Session) -> date:
    """The injected clock's business date."""
    return of(session).clock.today()


def after_commit(session: Session, call: Callable[[], None]) -> None:
    """Run ``call`` once the unit of work is committed; not at all if it is rolled back."""
    session.info.setdefault("after_commit", []).append(call)
