"""What keeps a sick peer from making us sick: a circuit breaker and a rate, per interface and process (DESIGN section 7)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from his_server import metrics
from his_server.messaging.outbox import Away
from interfaces.hub.manifests import Manifest

FAILURES = 8
"""So many calls without any answer in a row open the breaker."""
REST_SECONDS = 20
"""How long it stays open; then one call at a time tries."""
TRIAL_SECONDS = 1
"""So long whoever came while that one tries stays away."""


class Gate:
    """``closed`` lets everything pass, ``open`` nothing, ``half open`` one call that decides. Safe for threads."""

    def __init__(self, manifest: Manifest, now: Callable[[], Any] = time.monotonic) -> None:
        self.manifest, self._now = manifest, now
        self._lock = threading.Lock()
        self._failures = 0
        self._until: Any = None
        self._trying = False
        self._spent: list[Any] = []

    @property
    def state(self) -> str:
        """closed, open or half open."""
        with self._lock:
            if self._until is None:
                return "closed"
            return "open" if self._now() < self._until else "half open"

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Around a call. :raises Away: the breaker is open or the rate is spent; surely nothing was sent."""
        self._enter()
        answered = False
        try:
            yield
            answered = True
        finally:
            self._leave(answered)

    def _enter(self) -> None:
        with self._lock:
            now = self._now()
            if self._until is not None and (now < self._until or self._trying):
                raise Away(f"{self.manifest.name}连续无应答，已暂停调用，稍后自动重试", max(self._until - now, TRIAL_SECONDS))
            if rate := self.manifest.rate_per_second:
                self._spent = [at for at in self._spent if now - at < 1]
                if len(self._spent) >= rate:
                    raise Away(f"{self.manifest.name}调用过于频繁（每秒 {rate} 次），稍后自动重试", 1 - (now - self._spent[0]))
                self._spent.append(now)
            self._trying = self._until is not None

    def _leave(self, answered: bool) -> None:
        with self._lock:
            self._trying = False
            self._failures = 0 if answered else self._failures + 1
            if answered:
                self._until = None
            elif self._failures >= FAILURES:
                self._until = self._now() + REST_SECONDS
                metrics.breakers.labels(self.manifest.package).inc()
