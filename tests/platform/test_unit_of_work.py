"""Units of work: all or nothing, read-only is read-only, SQLite's writers queue up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from his_server.actor import Actor
from his_server.db import Database, after_commit, context, history
from his_server.db.history import FieldChange
from his_server.db.numbering import NumberCounter
from tests import processes

ONLY_SQLITE = pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)


def counter(db: Database) -> int | None:
    with db.begin(write=False) as session:
        return session.scalar(select(NumberCounter.next).where(NumberCounter.series == "t"))


def put(db: Database, value: int = 1) -> None:
    with db.begin() as session:
        session.add(NumberCounter(series="t", scope="", next=value))


def test_committed_when_it_ends_rolled_back_when_it_raises(db: Database) -> None:
    calls = []
    with pytest.raises(ZeroDivisionError), db.begin() as session:
        session.add(NumberCounter(series="t", scope="", next=1))
        session.flush()
        after_commit(session, lambda: calls.append("no"))
        _ = 1 / 0
    assert counter(db) is None and calls == []
    with db.begin() as session:
        session.add(NumberCounter(series="t", scope="", next=5))
        after_commit(session, lambda: calls.append("yes"))
        assert calls == []
    assert counter(db) == 5 and calls == ["yes"]


def test_read_only_refuses_objects(db: Database) -> None:
    with pytest.raises(RuntimeError, match="read-only"), db.begin(write=False) as session:
        session.add(NumberCounter(series="t", scope="", next=1))
        session.flush()
    assert counter(db) is None


def test_read_only_refuses_statements(db: Database) -> None:
    put(db)
    with pytest.raises((RuntimeError, DBAPIError)), db.begin(write=False) as session:
        session.execute(update(NumberCounter).values(next=99))
    assert counter(db) == 1


def test_a_connection_writes_again_after_reading(db: Database) -> None:
    for value in range(1, 4):
        with db.begin(write=False) as session:
            session.scalars(select(NumberCounter)).all()
        with db.begin() as session:
            session.merge(NumberCounter(series="t", scope="", next=value))
    assert counter(db) == 3


def test_units_of_work_do_not_nest(db: Database) -> None:
    with db.begin(), pytest.raises(RuntimeError, match="open already"), db.begin():
        pass
    with db.begin():  # and the refusal left nothing behind
        pass


def test_outside_of_one_there_is_no_database() -> None:
    with pytest.raises(RuntimeError, match="no unit of work"):
        context.database()


def test_history_of_a_tracked_sealed_change(db: Database, actor: Actor) -> None:
    with db.begin() as session:
        session.info["actor"] = actor
        row = FieldChange(entity="person", entity_id=7, field="name", changed_at=db.clock.now(), changed_by=1,
                          changed_by_name="测试员", terminal="")
        row.before, row.after = None, "单于𠮷"
        session.add(row)
    with db.begin(write=False) as session:
        [found] = history.timeline(session, "person", 7)
        assert (found.before, found.after) == (None, "单于𠮷")
        sealed = session.scalar(select(FieldChange.after_sealed))
        assert sealed is not None and "单于".encode() not in bytes(sealed)


def _client(place: processes.Place, threads: int, turns: int) -> int:
    """Read, then add one, many times in many threads: each turn a unit of work of each kind."""
    database = place.open()

    def work(_thread: int) -> None:
        for _ in range(turns):
            with database.begin(write=False) as session:
                session.scalar(select(NumberCounter.next))
            with database.begin() as session:
                found = session.get_one(NumberCounter, ("t", ""), with_for_update=True)
                found.next += 1

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    return threads * turns


def test_fifty_clients_lose_nothing_and_never_meet_a_locked_database(db: Database, keys_dir: Path) -> None:
    put(db, 0)
    place = processes.place_of(db, keys_dir)
    done = processes.run_all(_client, [(place, 10, 12)] * 5)
    assert counter(db) == sum(done) == 600


@ONLY_SQLITE
def test_a_killed_writer_does_not_stop_the_others(db: Database, keys_dir: Path) -> None:
    put(db, 0)
    place = processes.place_of(db, keys_dir)
    for _ in range(3):
        victims = [processes.start(_client, place, 4, 10_000) for _ in range(2)]
        before = counter(db) or 0
        while (counter(db) or 0) < before + 20:
            pass
        for victim in victims:
            victim.kill()
            victim.join()
    with db.begin() as session:
        session.get_one(NumberCounter, ("t", "")).next += 1


@ONLY_SQLITE
def test_sqlite_in_memory_is_refused(db: Database) -> None:
    with pytest.raises(ValueError, match="file"):
        Database("sqlite://")
