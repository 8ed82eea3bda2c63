"""Scheduled jobs: at most once per period over all workers, whatever happens to one."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from his_server.clock import HOSPITAL_ZONE, ManualClock
from his_server.db import Database
from his_server.messaging import schedules
from his_server.messaging.outbox import OutboxEvent, record
from his_server.messaging.schedules import ScheduleRun, period_ends, period_of, run_due
from his_server.module import Job
from tests import processes


def _note(database: Database) -> None:
    with database.begin() as session:
        record(session, "JobRan", "job", {})


def runs(db: Database) -> int:
    with db.begin(write=False) as session:
        return len(session.scalars(select(OutboxEvent.id).where(OutboxEvent.type == "JobRan")).all())


EVERY = Job("every-ten", "十分钟", _note, every=timedelta(minutes=10))
NIGHTLY = Job("nightly", "夜间", _note, at="02:30")


def test_once_per_period(db: Database, clock: ManualClock) -> None:
    for _ in range(3):
        run_due(db, [EVERY], "w")
    assert runs(db) == 1
    clock.move(minutes=10)
    run_due(db, [EVERY], "w1")
    run_due(db, [EVERY], "w2")
    assert runs(db) == 2


def test_daily_job_waits_for_its_hour_and_catches_up(db: Database, clock: ManualClock) -> None:
    assert run_due(db, [NIGHTLY], "w") == 0, "a new installation doesn't run last night's job"
    clock.set(datetime(2026, 3, 3, 2, 29, tzinfo=HOSPITAL_ZONE))
    assert run_due(db, [NIGHTLY], "w") == 0
    clock.move(minutes=1)
    assert run_due(db, [NIGHTLY], "w") == 1
    assert run_due(db, [NIGHTLY], "w") == 0
    clock.set(datetime(2026, 3, 5, 11, 0, tzinfo=HOSPITAL_ZONE))  # down for a day: once, not twice
    assert run_due(db, [NIGHTLY], "w") == 1
    assert run_due(db, [NIGHTLY], "w") == 0
    assert runs(db) == 2


def test_a_failure_is_recorded_and_others_run(db: Database) -> None:
    def fail(_database: Database) -> None:
        raise ValueError("no")

    run_due(db, [Job("bad", "坏", fail, every=timedelta(hours=1)), EVERY], "w")
    with db.begin(write=False) as session:
        found = {row.job: (row.outcome, row.error) for row in session.scalars(select(ScheduleRun))}
    assert found == {"bad": ("failed", "ValueError: no"), "every-ten": ("done", None)}


def test_the_next_period_does_not_overlap_a_long_run(db: Database, clock: ManualClock) -> None:
    seen = []

    def long(database: Database) -> None:
        clock.move(seconds=60)
        seen.append(run_due(database, [job], "second"))

    job = Job("long", "长", long, every=timedelta(seconds=60))
    assert run_due(db, [job], "first") == 1
    assert seen == [0]


def test_a_dead_run_does_not_block_the_next_period(db: Database, clock: ManualClock) -> None:
    with db.begin() as session:
        assert schedules._begin(session, EVERY, "dead")
    assert run_due(db, [EVERY], "w") == 0, "at most once in the period"
    clock.move(minutes=10)
    assert run_due(db, [EVERY], "w") == 1


@pytest.mark.parametrize("bad", [
    Job("x", "x", _note), Job("x", "x", _note, every=timedelta(), at=None),
    Job("x", "x", _note, every=timedelta(minutes=1), at="01:00"),
])
def test_a_job_needs_one_rule(bad: Job, clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="job x"):
        period_of(bad, clock.now())


@given(job=st.sampled_from([EVERY, NIGHTLY, Job("midnight", "零点", _note, at="00:00"),
                            Job("fast", "快", _note, every=timedelta(seconds=5))]),
       second=st.integers(0, 20 * 366 * 86400))
def test_a_period_ends_where_the_next_begins(job: Job, second: int) -> None:
    instant = datetime(2020, 1, 1, tzinfo=HOSPITAL_ZONE) + timedelta(seconds=second)
    ends = period_ends(job, instant)
    assert ends > instant
    assert period_of(job, ends - timedelta(microseconds=1)) == period_of(job, instant) != period_of(job, ends)


def _run_in_child(place: processes.Place, name: str) -> int:
    return run_due(place.open(), [EVERY, NIGHTLY], name)


def test_many_processes_run_it_once(db: Database, keys_dir: Path) -> None:
    place = processes.place_of(db, keys_dir)
    assert sum(processes.run_all(_run_in_child, [(place, f"w{n}") for n in range(6)])) == 1
    assert runs(db) == 1
