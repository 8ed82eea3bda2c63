"""Who of a process is out where: a peer that is slow or away holds up nobody but itself.

The threads of a worker share one of these. One always stays at home, so that events are still fanned out and the house's own work
goes on whatever hangs outside; of the others at most half are at one peer (or in the schedule) at the same time.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

JOBS = "(jobs)"
"""The lane of the schedule: a job may be long, or wait for a peer as well."""


class Lanes:
    """The hands of ``threads`` threads, ``each`` of a lane at most. Safe for threads."""

    def __init__(self, threads: int = 1, now: Callable[[], float] = time.monotonic) -> None:
        self._most, self._now = max(threads - 1, 1), now
        self.each = max(self._most // 2, 1)
        self._lock = threading.Lock()
        self._out: Counter[str] = Counter()
        self._rests: dict[str, float] = {}

    def free(self, lane: str) -> bool:
        """Whether somebody may go there now."""
        with self._lock:
            return self._free(lane)

    def _free(self, lane: str) -> bool:
        return (self._out[lane] < self.each and self._out.total() < self._most
                and self._now() >= self._rests.get(lane, float("-inf")))

    def rest(self, lane: str, seconds: float) -> None:
        """Nobody goes there for so long: it was said that nobody is let in."""
        with self._lock:
            self._rests[lane] = self._now() + seconds

    @contextmanager
    def hand(self, lane: str) -> Iterator[bool]:
        """Whether the lane is ours for the block; False when it was not free."""
        with self._lock:
            if got := self._free(lane):
                self._out[lane] += 1
        try:
            yield got
        finally:
            if got:
                with self._lock:
                    self._out[lane] -= 1
