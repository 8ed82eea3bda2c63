"""Which thread of a worker process looks for work while they are idle, and how often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

POLL_SECONDS = 0.2
"""Between two looks while there is something going on in the hospital: so long an event waits at most to be noticed."""
QUIET_POLL_SECONDS = 0.5
"""The same where nothing has happened for :data:`QUIET_AFTER_SECONDS`: looking took most of what an idle worker used."""
QUIET_AFTER_SECONDS = 60.0
ROUTINE = {"jobs"}
"""What comes round by the clock and says nothing of the hospital."""


class Lookout:
    """The same for all threads of a process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._lock, self._now = threading.Lock(), now
        self._busy = now()

    def watch(self, due: Callable[[], set[str]], stop: threading.Event) -> set[str]:
        """Wait for one's turn, then look until there is work or ``stop`` is set; the kinds of work."""
        with self._lock:
            while not stop.wait(self.pause()):
                if found := due():
                    return self.saw(found)
        return set()

    def saw(self, found: set[str]) -> set[str]:
        """The same kinds of work, remembered."""
        if found - ROUTINE:
            self._busy = self._now()
        return found

    def pause(self) -> float:
        """Seconds to the next look."""
        return POLL_SECONDS if self._now() - self._busy < QUIET_AFTER_SECONDS else QUIET_POLL_SECONDS
