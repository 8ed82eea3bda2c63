"""Real processes on one database: for races, and to be killed.

Children come from a fork server (never a fork of the many-threaded test process); what they run is a function
at the top of a test module that takes a :class:`Place` first.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from his_server.clock import Clock, ManualClock
from his_server.db import Database
from his_server.keys import open_sealer
from his_server.settings import Settings


@dataclass(frozen=True)
class Place:
    """Where a child finds the database, the keys and the time (None: the real clock)."""

    url: str
    keys_dir: Path
    instant: datetime | None

    def open(self) -> Database:
        """A database of the child's own."""
        clock = ManualClock(self.instant) if self.instant else Clock()
        return Database(self.url, clock=clock, sealer=open_sealer(Settings(data_dir=self.keys_dir)))


def place_of(database: Database, keys_dir: Path, *, real_time: bool = False) -> Place:
    """The place that a test's ``db`` is at."""
    url = database.url.render_as_string(hide_password=False)
    return Place(url, keys_dir, None if real_time else database.clock.now())


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["his_server.db", "his_server.messaging.worker", "his_server.http"])
    return context


def _child(function: Callable[..., Any], arguments: tuple[Any, ...], answer: Connection) -> None:
    try:
        answer.send((True, function(*arguments)))
    except BaseException:
        answer.send((False, traceback.format_exc()))
        raise SystemExit(1) from None


def start(function: Callable[..., Any], *arguments: Any) -> ForkServerProcess:
    """Start a child and let it run; the caller ends it (``kill``, ``join``)."""
    process = _context().Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def run_all(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], timeout: float = 120) -> list[Any]:
    """Run one child per argument tuple, all at once; their results in order.

    :raises AssertionError: a child failed (with its traceback) or didn't end in ``timeout`` seconds.
    """
    children = []
    for arguments in calls:
        here, there = multiprocessing.Pipe(duplex=False)
        process = _context().Process(target=_child, args=(function, arguments, there), daemon=True)
        process.start()
        there.close()
        children.append((process, here))
    results: list[Any] = []
    try:
        for process, here in children:
            assert wait([here], timeout), f"{process.name} did not answer in {timeout} s"
            good, value = here.recv()
            assert good, value
            results.append(value)
    finally:
        for process, here in children:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
            here.close()
    return results
