"""Row ids of two processes: each has a block of its own, so an older row may have the higher id."""

from __future__ import annotations

from collections.abc import Callable

from his_server.db import Database
from his_server.db.keys import KeyAllocator


def two_processes(db: Database) -> tuple[Callable[[], None], Callable[[], None]]:
    """To be called when the first, or the second, of two processes goes on; the first one's ids are all lower."""
    first, second = (KeyAllocator(db, now=lambda: 0.0) for _ in range(2))
    for each in (first, second):
        each.top_up()

    def works(keys: KeyAllocator) -> Callable[[], None]:
        return lambda: setattr(db, "keys", keys)

    return works(first), works(second)
