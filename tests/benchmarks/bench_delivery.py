"""The worker hands a queue over to a peer behind HTTP: deliveries per second, against one a step and against bare requests.

``HIS_BENCH_DELIVERIES=200`` is a quick run. The peer is a simulator in a process of its own; each delivery is of another
business key and makes one request. One a step is what a worker did that looked at everything else between two deliveries.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from his_server.clock import Clock
from his_server.db import Base, Database
from his_server.messaging import worker as workers
from his_server.messaging.outbox import Delivery, record
from his_server.messaging.worker import Worker
from his_server.module import Handler, Module
from his_server.registry import Hospital
from interfaces.hub.settings import LineSettings
from interfaces.hub.transport import Line, _Http
from tests import databases
from tests.fault.peers import simulators
from tests.serving import free_port

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
DELIVERIES = int(os.environ.get("HIS_BENCH_DELIVERIES", "1000"))
THREADS = 2
LEAST = 1.3
"""How many times faster than one a step, at least."""


def _line(port: int) -> Line:
    url = f"http://127.0.0.1:{port}/integration_platform"
    return Line("integration_platform", _Http("integration_platform", LineSettings(url=url)), timeout=10)


def _ask(line: Line) -> None:
    assert line.exchange("GET", "/nothing").status == 404


def _timed(work: Callable[[], None]) -> float:
    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return DELIVERIES / (time.perf_counter() - began)


def _drained(database: Database, line: Line, round_: int) -> float:
    with database.begin() as session:
        for n in range(DELIVERIES):
            record(session, "Made", f"K{round_}-{n}", {"n": n})
    hospital = Hospital((Module(name="bench", title="", handlers=(
        Handler("Made", "peer", lambda _database, _event: _ask(line), network=True),)),))
    first = Worker(database, hospital, name="first")
    while first.fan_out():
        pass

    def work() -> None:
        worker = Worker(database, hospital)
        while worker.step():
            pass

    speed = _timed(work)
    with database.begin(write=False) as session:
        assert session.query(Delivery).filter(Delivery.state != "done").count() == 0
    return speed


def test_a_queue_is_handed_over(postgres_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    database = Database(databases.create_postgres(postgres_server, "his_bench_delivery"), clock=Clock())
    Base.metadata.create_all(database.engine)
    line = _line(port)
    with simulators(tmp_path, port):
        left = iter(range(DELIVERIES))
        lock = threading.Lock()

        def bare() -> None:
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                _ask(line)

        floor = _timed(bare)
        drained = _drained(database, line, 1)
        monkeypatch.setattr(workers, "DRAIN_SECONDS", 0.0)
        one_a_step = _drained(database, line, 2)
    database.dispose()
    print(f"\n{DELIVERIES} deliveries, {THREADS} threads: {drained:.0f}/s; one a step {one_a_step:.0f}/s "
          f"(×{drained / one_a_step:.2f}); bare requests {floor:.0f}/s")
    assert drained >= one_a_step * LEAST
