"""Integer keys in blocks per process (hi/lo) from one counter row (DESIGN section 3).

No RETURNING needed, safe in JavaScript (< 2**53), known before the insert. A block is taken in a
transaction of its own, so a rolled-back unit of work loses numbers but never repeats one.

Ids say nothing of time: what is newest is asked by a time. But so that lists that are paged by id show what is new near
their beginning, a block is used for a few seconds only: further apart in time, ids of all processes are in its order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, String, Table, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dialects import portable
from his_server.db.base import Base

if TYPE_CHECKING:
    from his_server.db.database import Database

key_block = Table(
    "key_block",
    Base.metadata,
    Column("name", String(30), primary_key=True),
    Column("next", BigInteger, nullable=False),
    comment="Counter from which processes take blocks of integer keys",
)
FIRST = 1000
BLOCK = 2000
FRESH_SECONDS = 10.0
"""So long after it was taken a block is begun a unit of work with. A block every ten seconds lasts a thousand processes
fourteen hundred years."""


class KeyAllocator:
    """Hands out keys; thread-safe; forgets its block in a forked child."""

    def __init__(self, database: Database, block: int = BLOCK, now: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._block = block
        self._now = now
        self._lock = threading.Lock()
        self._next = self._end = 0
        self._since = float("-inf")

    def next(self) -> int:
        """One new key."""
        return self.take(1)[0]

    def take(self, count: int) -> range:
        """``count`` new keys, consecutive."""
        with self._lock:
            if self._end - self._next >= count:
                start = self._next
                self._next += count
                return range(start, start + count)
        held = self._database.write_session()
        if held is not None and self._database.single_writer:
            return self._take_inside(held, count)
        size = max(count, self._block)
        start = self._reserve(size)
        with self._lock:
            if size - count > self._end - self._next:
                self._next, self._end = start + count, start + size
        return range(start, start + count)

    def top_up(self) -> None:
        """Take a new block if few keys are left or these are old; called before a unit of work begins."""
        if self._end - self._next < self._block // 4 or self._now() - self._since > FRESH_SECONDS:
            start = self._reserve(self._block)
            with self._lock:
                self._next, self._end, self._since = start, start + self._block, self._now()

    def _take_inside(self, session: Session, count: int) -> range:
        # SQLite has one writer and it is us: the block belongs to this unit of work and dies with it.
        pool = session.info.setdefault("key_pool", [0, 0])
        if pool[1] - pool[0] < count:
            size = max(count, self._block)
            pool[0] = self._advance(session, size)
            pool[1] = pool[0] + size
        start = int(pool[0])
        pool[0] += count
        return range(start, start + count)

    def _reserve(self, size: int) -> int:
        with self._database.apart() as session:
            return self._advance(session, size)

    @staticmethod
    def _advance(session: Session, size: int) -> int:
        move = update(key_block).where(key_block.c.name == "id").values(next=key_block.c.next + size)
        if session.execute(move).rowcount == 0:  # type: ignore[attr-defined]
            try:
                with session.begin_nested():
                    session.execute(insert(key_block).values(name="id", next=FIRST))
            except IntegrityError as error:  # another process made the row first
                if not portable.is_unique_violation(error):
                    raise
            session.execute(move)
        return int(session.execute(select(key_block.c.next).where(key_block.c.name == "id")).scalar_one()) - size

    def forget(self) -> None:
        """Drop the unused rest of the block (in a forked child, whose parent keeps it)."""
        self._lock = threading.Lock()
        self._next = self._end = 0
