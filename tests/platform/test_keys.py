"""Block-allocated keys: never the same twice, whatever forks, rolls back or runs at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from his_server.db import Database
from his_server.db.keys import BLOCK, FRESH_SECONDS, KeyAllocator
from tests import processes

SAFE_IN_JAVASCRIPT = 2**53


def _take(place: processes.Place, count: int) -> list[int]:
    database = place.open()
    return [database.keys.next() for _ in range(count)]


def test_processes_never_collide(db: Database, keys_dir: Path) -> None:
    place = processes.place_of(db, keys_dir)
    taken = [key for keys in processes.run_all(_take, [(place, BLOCK + 50)] * 4) for key in keys]
    assert len(taken) == len(set(taken)) == 4 * (BLOCK + 50)
    assert min(taken) > 0 and max(taken) < SAFE_IN_JAVASCRIPT


def _after_fork(place: processes.Place) -> tuple[list[int], list[int]]:
    """Take a block, fork as gunicorn does, take in parent and child."""
    database = place.open()
    with database.begin():
        database.keys.next()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        keys = [database.keys.next() for _ in range(20)]
        os.write(writing, ",".join(map(str, keys)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = [int(key) for key in os.read(reading, 10_000).decode().split(",")]
    return theirs, [database.keys.next() for _ in range(20)]


def test_a_forked_child_forgets_its_parents_block(db: Database, keys_dir: Path) -> None:
    [(theirs, ours)] = processes.run_all(_after_fork, [(processes.place_of(db, keys_dir),)])
    assert len(theirs) == len(ours) == 20
    assert not set(theirs) & set(ours)


def test_rollback_never_repeats_a_committed_key(db: Database) -> None:
    seen: set[int] = set()
    for _ in range(3):
        with pytest.raises(RuntimeError), db.begin():
            db.keys.take(BLOCK * 2)
            raise RuntimeError
        with db.begin():
            keys = [*db.keys.take(BLOCK + 1), db.keys.next()]
        assert not seen & set(keys)
        seen |= set(keys)
    assert len(seen) == 3 * (BLOCK + 2)


def test_threads_never_collide(db: Database) -> None:
    with ThreadPoolExecutor(16) as pool:
        ranges = list(pool.map(db.keys.take, [1, 7, 300] * 40))
    keys = [key for each in ranges for key in each]
    assert len(keys) == len(set(keys)) == 308 * 40


def test_ids_of_two_processes_follow_time_but_for_seconds(db: Database) -> None:
    """A process with little to do doesn't go on for hours with ids that others have long left behind."""
    seconds = [0.0]
    idle, busy = (KeyAllocator(db, now=lambda: seconds[0]) for _ in range(2))
    for each in (idle, busy):
        each.top_up()
    assert idle.next() < busy.next()
    seconds[0] = FRESH_SECONDS
    idle.top_up()
    assert idle.next() < busy.next(), "a block isn't taken for each unit of work"
    seconds[0] = FRESH_SECONDS + 1
    idle.top_up()
    assert idle.next() > busy.next()


def test_a_block_larger_than_the_usual_is_consecutive(db: Database) -> None:
    taken = db.keys.take(BLOCK * 3)
    assert list(taken) == list(range(taken[0], taken[0] + BLOCK * 3))
