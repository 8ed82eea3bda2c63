"""A slow peer, or one that is away, holds up nobody but itself."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select

from his_server.db import Database
from his_server.messaging import worker as worker_module
from his_server.messaging.lanes import Lanes
from his_server.messaging.outbox import Away, Delivery, Event
from his_server.messaging.worker import Worker
from his_server.module import Handler
from tests.messaging.test_worker import Peer, hospital_of, put, states

KEYS = 30


class Hanging:
    """A peer that takes everything and answers when it is told to; how many calls it held at once, at most."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.most = self.now = self.got = 0
        self._lock = threading.Lock()

    def deliver(self, _database: Any, _event: Event) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.answer.wait(60)
        with self._lock:
            self.now -= 1
            self.got += 1


def _until(true: Any) -> bool:
    until = time.monotonic() + 30
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(true())


@pytest.mark.requirement("M1.10")
def test_two_peers_that_hang_hold_up_nobody_else(db: Database) -> None:
    """Each has a queue of its own and threads of the process in it; the other peer, the house and what is new go on."""
    slow, slower, fast, house = Hanging(), Hanging(), Peer(), Peer()
    hospital = hospital_of(Handler("Made", "slow", slow.deliver, network=True),
                           Handler("Made", "slower", slower.deliver, network=True),
                           Handler("Made", "fast", fast.deliver, network=True), Handler("Made", "house", house.deliver))
    stop = threading.Event()
    each = 1 if db.single_writer else 2
    threads = worker_module.run_threads(db, hospital, hospital, stop)
    try:
        for key in range(KEYS):
            put(db, 1, key=f"K{key}")
        assert _until(lambda: slow.now == slower.now == each)
        assert _until(lambda: len(fast.got) == len(house.got) == KEYS), (len(fast.got), len(house.got))
        put(db, 2, key="late")
        assert _until(lambda: ("late", 2) in fast.got and ("late", 2) in house.got)
        assert slow.got == slower.got == 0
        slow.answer.set()
        slower.answer.set()
        assert _until(lambda: set(states(db)) == {"done"})
    finally:
        slow.answer.set()
        slower.answer.set()
        stop.set()
        for thread in threads:
            thread.join(10)
    assert (slow.most, slower.most) == (each, each)
    assert (slow.got, slower.got) == (KEYS + 1, KEYS + 1)
    assert len(fast.got) == KEYS + 1, "nothing twice"


@pytest.mark.requirement("M1.10")
def test_where_nobody_is_let_in_only_one_tries(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The breaker rests: what waits isn't tried through one after the other, and the others go on."""
    monkeypatch.setattr(worker_module, "DRAIN_SECONDS", 60.0)
    seconds = [0.0]
    away, here = Peer(), Peer()
    away.failures = [Away("resting", 20.0)]
    worker = Worker(db, hospital_of(Handler("Made", "away", away.deliver, network=True),
                                    Handler("Made", "here", here.deliver, network=True)),
                    chance=random.Random(7), lanes=Lanes(6, now=lambda: seconds[0]))
    for key in range(12):
        put(db, 1, key=f"K{key}")
    for _ in range(5):
        worker.step()
    assert (away.failures, away.got, len(here.got)) == ([], [], 12)
    with db.begin(write=False) as session:
        tried = Counter(session.scalars(select(Delivery.attempts).where(Delivery.destination == "away")))
    assert tried == {0: 11, 1: 1}
    seconds[0] = 20.0
    worker.step()
    assert len(away.got) == 11, "all but the one that waits for its own time"


def test_one_thread_stays_at_home() -> None:
    lanes = Lanes(6)
    with lanes.hand("one") as first, lanes.hand("one") as second, lanes.hand("one") as third:
        assert (first, second, third) == (True, True, False)
        with lanes.hand("two") as first, lanes.hand("two") as second, lanes.hand("three") as third, lanes.hand("four") as last:
            assert (first, second, third, last) == (True, True, True, False)
    with lanes.hand("four") as again:
        assert again and lanes.free("one")
    with Lanes(1).hand("one") as alone:
        assert alone, "one thread does everything"
