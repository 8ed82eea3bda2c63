"""The schedule: each job at most once per period over all workers of all hosts.

One row per job holds the last period that was begun. Beginning a period is a guarded update, so exactly one
worker wins it; a heartbeat keeps the lease of a long run, so that the next period doesn't overlap it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta

from sqlalchemy import Select, String, and_, bindparam, insert, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from dialects import portable
from his_server import metrics
from his_server.clock import local
from his_server.db import Database, now
from his_server.db.base import Base
from his_server.db.database import CommitUnknown
from his_server.db.types import Instant
from his_server.logs import scrub
from his_server.module import Job

log = logging.getLogger("his.schedules")

LEASE = timedelta(seconds=90)
HEARTBEAT_SECONDS = 25.0


class ScheduleRun(Base):
    """A job's last run: ``outcome`` is ``running``, ``done`` or ``failed``; ``waiting`` before the first one."""

    __tablename__ = "schedule_run"
    job: Mapped[str] = mapped_column(String(60), primary_key=True)
    period: Mapped[str] = mapped_column(String(30))
    outcome: Mapped[str] = mapped_column(String(10))
    started_at: Mapped[datetime | None] = mapped_column(Instant)
    finished_at: Mapped[datetime | None] = mapped_column(Instant)
    lease_until: Mapped[datetime | None] = mapped_column(Instant)
    lease_by: Mapped[str | None] = mapped_column(String(60))
    error: Mapped[str | None] = mapped_column(String(500))


_run_of = ScheduleRun.__table__.c
_instant, _until = bindparam("instant", type_=Instant), bindparam("until", type_=Instant)
_mine = and_(_run_of.job == bindparam("name"), _run_of.lease_by == bindparam("worker"))
# what an idle worker sends all day stands ready
_BEGIN = (update(ScheduleRun.__table__)  # type: ignore[arg-type]
          .where(_run_of.job == bindparam("name"), _run_of.period != bindparam("now_on"),
                 or_(_run_of.lease_until.is_(None), _run_of.lease_until < _instant))
          .values(period=bindparam("now_on"), outcome="running", started_at=_instant, finished_at=None, error=None,
                  lease_until=_until, lease_by=bindparam("worker")))
"""A period is begun by whoever changes its row."""
_BEAT = (update(ScheduleRun.__table__)  # type: ignore[arg-type]
         .where(_mine).values(lease_until=_until))
_END = (update(ScheduleRun.__table__)  # type: ignore[arg-type]
        .where(_mine).values(outcome=bindparam("how"), error=bindparam("text"), finished_at=_instant, lease_until=None,
                             lease_by=None))


def period_of(job: Job, instant: datetime) -> str:
    """The name of the job's period that ``instant`` lies in. :raises ValueError: the job has no valid rule."""
    if (job.every is None) == (job.at is None):
        raise ValueError(f"job {job.name}: give either every or at")
    if job.every is not None:
        seconds = int(job.every.total_seconds())
        if seconds < 1:
            raise ValueError(f"job {job.name}: every is at least one second")
        return str(int(instant.timestamp()) // seconds)
    here = local(instant)
    begun = f"{here:%H:%M}" >= str(job.at)
    return (here.date() if begun else here.date() - timedelta(days=1)).isoformat()


def period_ends(job: Job, instant: datetime) -> datetime:
    """When the job's period that ``instant`` lies in is over."""
    if job.every is not None:
        seconds = int(job.every.total_seconds())
        return datetime.fromtimestamp((int(instant.timestamp()) // seconds + 1) * seconds, UTC)
    here = local(instant)
    ends = datetime.combine(here, time.fromisoformat(str(job.at)), here.tzinfo)
    return ends if ends > here else ends + timedelta(days=1)


def due(database: Database, jobs: Sequence[Job]) -> list[Job]:
    """The jobs whose present period nobody has begun."""
    if not jobs:
        return []
    begun = database.run(lambda session: {row.job: row.period for row in session.execute(
        select(ScheduleRun.job, ScheduleRun.period))}, write=False)
    instant = database.clock.now()
    return [job for job in jobs if begun.get(job.name) != period_of(job, instant)]


def run_due(database: Database, jobs: Sequence[Job], worker: str) -> int:
    """Run every job whose present period nobody has begun; returns how many ran."""
    return sum(_run(database, job, worker) for job in due(database, jobs))


def _run(database: Database, job: Job, worker: str) -> bool:
    try:
        mine = database.run(lambda session: _begin(session, job, worker))
    except CommitUnknown:  # if it was saved after all, the period is ours to run
        mine = database.run(lambda session: session.scalar(_held(job)) == worker, write=False)
    if not mine:
        return False
    outcome, text = "done", None
    with _heartbeat(database, job, worker):
        try:
            job.run(database)
        except Exception as error:
            log.exception("job %s failed", job.name)
            outcome, text = "failed", scrub(f"{type(error).__name__}: {error}")[:500]
    database.run(lambda session: portable.change(session, _END, {
        "name": job.name, "worker": worker, "how": outcome, "text": text, "instant": now(session)}), idempotent=True)
    metrics.jobs.labels(job.name, outcome).inc()
    return True


def _begin(session: Session, job: Job, worker: str) -> bool:
    instant = now(session)
    period = period_of(job, instant)
    mine = {"name": job.name, "worker": worker, "now_on": period, "instant": instant, "until": instant + LEASE}
    if portable.change(session, _BEGIN, mine):
        return True
    if session.get(ScheduleRun, job.name) is not None:
        return False
    # A daily job of a new installation waits for its hour; a repeated one starts now.
    first = period if job.at is not None else ""
    try:
        with session.begin_nested():
            session.execute(insert(ScheduleRun).values(job=job.name, period=first, outcome="waiting"))
    except Exception as error:
        if not portable.is_unique_violation(error):
            raise
        return False  # another worker made the row just now
    return portable.change(session, _BEGIN, mine) == 1


def _held(job: Job) -> Select[tuple[str | None]]:
    return select(ScheduleRun.lease_by).where(ScheduleRun.job == job.name)


@contextmanager
def _heartbeat(database: Database, job: Job, worker: str) -> Iterator[None]:
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            try:
                database.run(lambda session: portable.change(session, _BEAT, {
                    "name": job.name, "worker": worker, "until": now(session) + LEASE}), idempotent=True)
            except Exception:
                log.exception("heartbeat of job %s failed", job.name)

    thread = threading.Thread(target=beat, name=f"job-{job.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
