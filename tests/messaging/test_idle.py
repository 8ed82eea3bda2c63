"""A worker with nothing to do: it asks one thing, and one of its threads asks for all."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta

import pytest

from his_server.clock import ManualClock
from his_server.db import Database
from his_server.messaging import lookout
from his_server.messaging import worker as worker_module
from his_server.messaging.outbox import NotSent
from his_server.messaging.worker import Worker
from his_server.module import Handler, Job, Module
from his_server.registry import Hospital
from tests.counting import count_queries
from tests.messaging.test_worker import Peer, hospital_of, make, put


@pytest.mark.requirement("M1.10")
def test_an_idle_look_is_one_statement(db: Database, clock: ManualClock) -> None:
    """Whatever kinds of work there are; the schedule is read again only when a period ends."""
    handler = Handler("Made", "peer", Peer().deliver, network=True, lost_answer="ask", ask=lambda _database, _event: True)
    ran: list[Database] = []
    jobs = (Job("often", "常", ran.append, every=timedelta(seconds=10)), Job("nightly", "夜", ran.append, at="02:30"))
    worker = Worker(db, Hospital((Module(name="test", title="测试", handlers=(handler,), jobs=jobs),)), chance=random.Random(7))
    put(db, 1)
    while worker.step():
        pass
    clock.set(clock.now().replace(second=30, microsecond=0))
    worker.step()
    assert worker.due() == set() and len(ran) == 2
    with count_queries(db) as count:
        for _ in range(9):
            clock.move(seconds=1)
            assert worker.due() == set()
    assert count.total == 9
    clock.move(seconds=1)
    assert worker.due() == {"jobs"}


@pytest.mark.requirement("M1.10")
def test_each_kind_of_work_is_seen(db: Database, clock: ManualClock) -> None:
    """Its turn is known by one look: a new event, one that waits for its time, a dead worker's, a lost answer."""
    peer = Peer()
    peer.failures = [NotSent("away")]
    worker = make(db, peer, network=True, lost_answer="ask", ask=lambda _database, _event: False)
    assert worker.due() == set()
    put(db, 1)
    assert worker.due() == {"new"}
    worker.step()
    assert worker.due() == set(), "it waits for its time"
    clock.move(seconds=2)
    assert worker.due() == {"waiting"}
    worker._hand_over = lambda *_: False  # type: ignore[method-assign]  # it dies with the delivery in hands
    worker.deliver_due()
    assert worker.due() == set()
    clock.move(seconds=61)
    assert worker.due() == {"expired"}
    worker.recover()
    assert worker.due() == {"asked"}


def test_one_thread_of_a_process_looks_for_all(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "POLL_SECONDS", 0.05)
    looks: list[float] = []
    see = Worker.due

    def due(worker: Worker) -> set[str]:
        looks.append(time.monotonic())
        return see(worker)

    monkeypatch.setattr(Worker, "due", due)
    peer, stop = Peer(), threading.Event()
    hospital = hospital_of(Handler("Made", "peer", peer.deliver))
    threads = worker_module.run_threads(db, hospital, hospital, stop, threads=4)
    stop.wait(1)
    put(db, 1)
    until = time.monotonic() + 10
    while not peer.got and time.monotonic() < until:
        stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join(10)
    assert peer.got == [("K1", 1)] and not any(thread.is_alive() for thread in threads)
    # each thread's first look, two after work was found, and one every 50 ms
    assert 4 < len(looks) <= 8 + (looks[-1] - looks[0]) / 0.05


def test_where_nothing_happens_looks_are_rarer_until_something_does() -> None:
    at = [0.0]
    watch = lookout.Lookout(now=lambda: at[0])
    assert watch.pause() == lookout.POLL_SECONDS
    at[0] += lookout.QUIET_AFTER_SECONDS
    assert watch.pause() == lookout.QUIET_POLL_SECONDS > lookout.POLL_SECONDS
    watch.saw({"jobs"})
    assert watch.pause() == lookout.QUIET_POLL_SECONDS, "the schedule comes round whatever happens"
    watch.saw({"jobs", "new"})
    assert watch.pause() == lookout.POLL_SECONDS
