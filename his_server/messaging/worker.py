"""The worker: fans events out, hands deliveries over, runs the schedule. Any number of them, on any hosts.

All knowledge is in the database, taken by row leases, so a worker may be killed at any instant: what it had
in hands is found again when its lease ends (DESIGN section 6).
"""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from dialects import portable
from his_server import metrics
from his_server.about import about
from his_server.actor import SYSTEM
from his_server.db import Database, now
from his_server.db.database import CommitUnknown
from his_server.logs import scrub
from his_server.messaging import look, schedules
from his_server.messaging.lanes import JOBS, Lanes
from his_server.messaging.lookout import Lookout
from his_server.messaging.outbox import Away, Delivery, Event, LostAnswer, NotSent, OutboxEvent, Refused
from his_server.module import Handler
from his_server.registry import Hospital

log = logging.getLogger("his.worker")

LEASE = timedelta(seconds=60)
THREADS = 6
"""Of a process: with two at a peer at most (:mod:`lanes`), two peers that hang leave one for the others and one at home."""
WITH_ONE_WRITER = 4
"""On SQLite: more would only queue up for its one writer, and push the web processes back. One at a peer then."""
BATCH = 50
DRAIN_SECONDS = 1.0
"""For so long a step hands over, while more is due: as long as anything new may wait to be noticed."""
FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=10)
MAX_ATTEMPTS = 60
"""With the waits above: about eight hours of a silent peer before a delivery becomes a dead letter."""
OPEN_STATES = ("waiting", "sending", "asked", "dead")


class LeaseLost(Exception):
    """Somebody else took the delivery over while we worked: our effect is rolled back."""


def back_off(attempts: int, chance: random.Random) -> timedelta:
    """The wait after ``attempts`` failures: doubled each time up to :data:`LONGEST_WAIT`, ± 20 % jitter."""
    seconds = min(FIRST_WAIT.total_seconds() * 2 ** min(attempts - 1, 30), LONGEST_WAIT.total_seconds())
    return timedelta(seconds=seconds * chance.uniform(0.8, 1.2))


class Worker:
    """One thread's worker. ``everything`` is the whole installation's declaration (fan-out serves all
    destinations), ``hospital`` the part whose destinations and jobs this worker serves; ``lanes`` what it shares with the
    other threads of its process."""

    def __init__(self, database: Database, hospital: Hospital, *, everything: Hospital | None = None, name: str = "",
                 lease: timedelta = LEASE, chance: random.Random | None = None, lanes: Lanes | None = None) -> None:
        self.database = database
        self.hospital = hospital
        self.name = name or f"{socket.gethostname()[:30]}:{os.getpid()}:{threading.get_ident() % 100_000}"
        self.lease = lease
        self.lanes = lanes or Lanes()
        self.chance = chance or random.Random()
        self.subscriptions: dict[str, list[Handler]] = {}
        for handler in (everything or hospital).handlers:
            self.subscriptions.setdefault(handler.event, []).append(handler)
        self.handlers = {(handler.destination, handler.event): handler for handler in hospital.handlers}
        self.destinations = {handler.destination: handler.network for handler in hospital.handlers}
        self.asking: dict[str, list[str]] = {}
        """Destination → events whose lost answers are asked about by a query."""
        for handler in hospital.handlers:
            if handler.ask is not None:
                self.asking.setdefault(handler.destination, []).append(handler.event)
        self.look = look.statement(bool(self.destinations), sorted(self.asking))
        self.settled: tuple[datetime, datetime] | None = None
        """From when until when every job's period is known to have begun."""

    def run(self, stop: threading.Event, lookout: Lookout | None = None) -> None:
        """Work until ``stop`` is set. A database that is away is waited for. ``lookout``: the same for all threads of a
        process, of which one at a time looks for work while they are idle."""
        log.info("worker %s begins, %d destinations", self.name, len(self.destinations))
        lookout, idle = lookout or Lookout(), False
        while not stop.is_set():
            try:
                due = lookout.watch(self.due, stop) if idle else lookout.saw(self.due())
                idle = not self._work(due)
            except Exception:  # a database away, a defect in one job: the others' work goes on
                log.exception("worker step failed")
                stop.wait(2)
        log.info("worker %s ends", self.name)

    def step(self) -> int:
        """Do what is due now; returns how many pieces of work there were."""
        return self._work(self.due())

    def _work(self, due: set[str]) -> int:
        count = self.recover() if "expired" in due else 0
        count += self.fan_out() if "new" in due else 0
        count += self.deliver_due() if due & {"expired", "new", "waiting"} else 0
        count += self.ask_due() if due & {"expired", "asked"} else 0
        count += self._run_jobs() if "jobs" in due else 0
        return count

    def _run_jobs(self) -> int:
        with self.lanes.hand(JOBS) as free:
            return schedules.run_due(self.database, self.hospital.jobs, self.name) if free else 0

    def due(self) -> set[str]:
        """The kinds of work that there may be now (:mod:`look`), and ``jobs``."""
        instant = self.database.clock.now()
        found = set(self.database.look(self.look, {"instant": instant}))
        return found | {"jobs"} if self._jobs_due(instant) else found

    def _jobs_due(self, instant: datetime) -> bool:
        """Whether there is a job whose period nobody has begun; read again when a period ends, not at each look."""
        if self.settled is not None and self.settled[0] <= instant < self.settled[1]:
            return False
        jobs = self.hospital.jobs
        if schedules.due(self.database, jobs):
            return True
        ends = [schedules.period_ends(job, instant) for job in jobs]
        self.settled = instant, min(ends, default=instant + timedelta(days=1))
        return False

    # Fan-out

    def fan_out(self) -> int:
        """Make the delivery rows of new events; returns how many events were taken."""
        return self.database.run(self._fan_out, idempotent=True)

    def _fan_out(self, session: Session) -> int:
        ids = portable.claim(session, OutboxEvent, where=OutboxEvent.fanned_out.is_(False),
                             order_by=[OutboxEvent.occurred_at, OutboxEvent.id], limit=BATCH,
                             set_={"fanned_out": True})
        events = session.scalars(select(OutboxEvent).where(OutboxEvent.id.in_(ids))).all() if ids else []
        for event in events:
            for destination in dict.fromkeys(h.destination for h in self.subscriptions.get(event.type, ())):
                session.add(Delivery(event_id=event.id, destination=destination, state="waiting", attempts=0,
                                     business_key=event.business_key, occurred_at=event.occurred_at,
                                     next_at=now(session)))
        return len(ids)

    # Delivery

    def deliver_due(self) -> int:
        """Hand over what is due, head of line first; returns how many deliveries were tried.

        Destinations take turns, round after round for :data:`DRAIN_SECONDS`, so that a long queue moves and holds no other
        up. One of which something failed waits for the next step: a bad line isn't drained; one where enough threads of
        this process are already is theirs (:mod:`lanes`).
        """
        queues, tried = self._heads(), 0
        until = time.monotonic() + DRAIN_SECONDS
        while queues:
            for name, heads in list(queues.items()):
                # A peer can be slow: one at a time, so that nothing waits leased in our hands.
                some, queues[name] = (heads[:1], heads[1:]) if self.destinations[name] else (heads, [])
                count, well = self._turn(name, some)
                tried += count
                if not queues[name] or not well:
                    del queues[name]
            if time.monotonic() >= until:
                break
        return tried

    def _turn(self, destination: str, ids: Sequence[int]) -> tuple[int, bool]:
        if not self.destinations[destination]:
            return self._deliver_to(destination, ids)
        with self.lanes.hand(destination) as free:
            return self._deliver_to(destination, ids) if free else (0, False)

    def _heads(self) -> dict[str, list[int]]:
        """What may be due where this worker may go, by destination: the oldest of each key; in any order where workers take
        one at a time, so that they don't meet over the same. Whoever claims one looks whether it is (:meth:`_due`)."""
        wanted = sorted(name for name, network in self.destinations.items() if not network or self.lanes.free(name))
        if not wanted:
            return {}
        # one pass over what is open, nothing correlated: a plan made before the queue grew is no worse for it
        in_order = (Delivery.occurred_at, Delivery.event_id)
        line = (select(Delivery.id, Delivery.destination, Delivery.state, Delivery.next_at, *in_order, func.row_number().over(
                    partition_by=(Delivery.destination, Delivery.business_key), order_by=in_order).label("place"))
                .where(Delivery.state.in_(OPEN_STATES), Delivery.destination.in_(wanted)).subquery())
        heads = (select(line.c.id, line.c.destination, func.row_number().over(
                    partition_by=line.c.destination, order_by=(line.c.occurred_at, line.c.event_id)).label("turn"))
                 .where(line.c.place == 1, line.c.state == "waiting", line.c.next_at <= self.database.clock.now()).subquery())
        found: dict[str, list[int]] = {}
        for row in self.database.run(lambda session: session.execute(
                select(heads.c.id, heads.c.destination).where(heads.c.turn <= BATCH).order_by(heads.c.turn)).all(),
                write=False):
            found.setdefault(row.destination, []).append(row.id)
        for name, ids in found.items():
            if self.destinations[name]:
                self.chance.shuffle(ids)
        return found

    @staticmethod
    def _due(session: Session) -> ColumnElement[bool]:
        """Waiting, its time has come, and nothing earlier of the same key is still open or still to come."""
        earlier = aliased(Delivery)
        unseen = aliased(OutboxEvent)
        return and_(
            Delivery.state == "waiting",
            Delivery.next_at <= now(session),
            ~exists().where(
                earlier.destination == Delivery.destination,
                earlier.business_key == Delivery.business_key,
                earlier.state.in_(OPEN_STATES),
                or_(earlier.occurred_at < Delivery.occurred_at,
                    and_(earlier.occurred_at == Delivery.occurred_at, earlier.event_id < Delivery.event_id)),
            ),
            # another worker may be just fanning the earlier event out
            ~exists().where(unseen.business_key == Delivery.business_key, unseen.fanned_out.is_(False),
                            unseen.occurred_at < Delivery.occurred_at),
        )

    def _deliver_to(self, destination: str, ids: Sequence[int]) -> tuple[int, bool]:
        """Claim these, where nobody has yet, and hand them over; how many were tried, and whether all went well."""
        until = self.database.clock.now() + self.lease
        try:
            claimed = self.database.run(lambda session: self._claim(session, ids, until))
        except CommitUnknown:  # if it was saved after all, what we took is ours to hand over
            mine = and_(Delivery.destination == destination, Delivery.state == "sending",
                        Delivery.lease_by == self.name, Delivery.lease_until == until)
            claimed = self.database.run(lambda session: self._taken(session, mine), write=False)
        ends = [self._hand_over(delivery_id, destination, attempts, event) for delivery_id, attempts, event in claimed]
        return len(claimed), all(ends)

    def _claim(self, session: Session, ids: Sequence[int], until: datetime) -> Sequence[Row[Any]]:
        taken = portable.claim(
            session, Delivery, where=and_(Delivery.id.in_(ids), self._due(session)),
            order_by=[Delivery.occurred_at, Delivery.event_id], limit=len(ids),
            set_={"state": "sending", "lease_until": until, "lease_by": self.name, "attempts": Delivery.attempts + 1})
        return self._taken(session, Delivery.id.in_(taken)) if taken else []

    @staticmethod
    def _taken(session: Session, which: ColumnElement[bool]) -> Sequence[Row[Any]]:
        return session.execute(
            select(Delivery.id, Delivery.attempts, OutboxEvent).join(OutboxEvent, OutboxEvent.id == Delivery.event_id)
            .where(which).order_by(Delivery.occurred_at, Delivery.event_id)).all()

    def _hand_over(self, delivery_id: int, destination: str, attempts: int, row: OutboxEvent) -> bool:
        """Whether it went well; where it didn't, why is written down."""
        handler = self.handlers.get((destination, row.type))
        if handler is None:  # subscribed when the event happened, not any more
            self._finish(delivery_id, {"state": "dead", "last_error": f"no handler of {row.type}"}, destination)
            return False
        event = Event(row.id, row.type, row.business_key, json.loads(row.payload), row.occurred_at, row.trace_id)
        try:
            if handler.network:
                with about(actor=SYSTEM, trace_id=row.trace_id, business_key=row.business_key):
                    handler.deliver(self.database, event)
                self._finish(delivery_id, self._done(), destination)
            else:
                self.database.run(lambda session: self._deliver_here(session, handler, event, delivery_id),
                                  actor=SYSTEM, idempotent=True)  # done already: the lease is gone, nothing is saved
                metrics.deliveries.labels(destination, "done").inc()
            return True
        except LeaseLost:
            log.warning("delivery %s to %s was taken over", delivery_id, destination)
        except Exception as error:
            log.warning("delivery %s to %s failed: %s", delivery_id, destination, type(error).__name__)
            self._finish(delivery_id, self._after_failure(handler, attempts, error), destination)
        return False

    def _deliver_here(self, session: Session, handler: Handler, event: Event, delivery_id: int) -> None:
        handler.deliver(session, event)
        self._mark(session, delivery_id, self._done())

    def _done(self) -> dict[str, Any]:
        return {"state": "done", "finished_at": self.database.clock.now(), "last_error": None}

    def _after_failure(self, handler: Handler, attempts: int, error: Exception) -> dict[str, Any]:
        if isinstance(error, Away):
            self.lanes.rest(handler.destination, error.seconds)
        text = scrub(f"{type(error).__name__}: {error}")[:500]
        # An exception that says nothing of the peer is a lost answer, unless all was rolled back.
        doubtful = isinstance(error, LostAnswer) or (handler.network and not isinstance(error, NotSent | Refused))
        if doubtful and handler.lost_answer == "ask":
            state = "asked"
        elif isinstance(error, Refused) or attempts >= MAX_ATTEMPTS:
            state = "dead"
        else:
            state = "waiting"
        wait = back_off(attempts, self.chance)
        return {"state": state, "last_error": text, "next_at": self.database.clock.now() + wait}

    def _finish(self, delivery_id: int, values: dict[str, Any], destination: str) -> None:
        try:
            self.database.run(lambda session: self._mark(session, delivery_id, values), idempotent=True)
        except LeaseLost:
            log.warning("delivery %s to %s was taken over", delivery_id, destination)
            return
        metrics.deliveries.labels(destination, values["state"]).inc()

    def _mark(self, session: Session, delivery_id: int, values: dict[str, Any]) -> None:
        ours = and_(Delivery.id == delivery_id, Delivery.state == "sending", Delivery.lease_by == self.name)
        if not portable.guarded_update(session, Delivery, ours, {**values, "lease_until": None, "lease_by": None}):
            raise LeaseLost

    # Lost answers

    def ask_due(self) -> int:
        """Ask peers about deliveries whose answer was lost: done if they have it, sent again if they don't; returns how
        many were asked about. What can't be answered now is asked again later, longer and longer apart."""
        open_ = and_(Delivery.state == "asked", Delivery.next_at <= self.database.clock.now())
        return sum(self._ask_at(destination, open_) for destination in self.asking)

    def _ask_at(self, destination: str, open_: ColumnElement[bool]) -> int:
        with self.lanes.hand(destination) as free:
            return self._ask_one(destination, open_) if free else 0

    def _ask_one(self, destination: str, open_: ColumnElement[bool]) -> int:
        known = exists().where(OutboxEvent.id == Delivery.event_id, OutboxEvent.type.in_(self.asking[destination]))
        until = self.database.clock.now() + self.lease

        def take(session: Session) -> Sequence[Row[Any]]:
            ids = portable.claim(
                session, Delivery, where=and_(Delivery.destination == destination, open_, known),
                order_by=[Delivery.next_at, Delivery.event_id], limit=1,
                set_={"state": "sending", "lease_until": until, "lease_by": self.name, "attempts": Delivery.attempts + 1})
            return self._taken(session, Delivery.id.in_(ids)) if ids else []

        claimed = self.database.run(take)
        for delivery_id, attempts, event in claimed:
            self._ask(delivery_id, destination, attempts, event)
        return len(claimed)

    def _ask(self, delivery_id: int, destination: str, attempts: int, row: OutboxEvent) -> None:
        handler = self.handlers[destination, row.type]
        assert handler.ask is not None
        event = Event(row.id, row.type, row.business_key, json.loads(row.payload), row.occurred_at, row.trace_id)
        try:
            with about(actor=SYSTEM, trace_id=row.trace_id, business_key=row.business_key):
                arrived = handler.ask(self.database, event)
        except Exception as error:
            log.warning("delivery %s to %s can't be asked about: %s", delivery_id, destination, type(error).__name__)
            self._finish(delivery_id, {**self._after_failure(handler, attempts, error), "state": "asked"}, destination)
        else:
            if arrived:
                self._finish(delivery_id, self._done(), destination)
            else:
                self._hand_over(delivery_id, destination, attempts, row)

    # After a crash

    def recover(self) -> int:
        """Take back what a dead worker had in hands; returns how many deliveries."""
        expired = and_(Delivery.state == "sending", Delivery.lease_until < self.database.clock.now())
        asking = [and_(Delivery.destination == h.destination, OutboxEvent.type == h.event)
                  for handlers in self.subscriptions.values() for h in handlers if h.lost_answer == "ask"]

        def take_back(session: Session) -> int:
            ids = list(session.scalars(select(Delivery.id).where(expired)))
            ask = set(session.scalars(
                select(Delivery.id).join(OutboxEvent, OutboxEvent.id == Delivery.event_id)
                .where(Delivery.id.in_(ids), or_(*asking)))) if asking and ids else set()
            return sum(self._take_back(session, group, expired, state)
                       for group, state in ((ask, "asked"), (set(ids) - ask, "waiting")))

        return self.database.run(take_back, idempotent=True)

    def _take_back(self, session: Session, ids: Iterable[int], expired: ColumnElement[bool], state: str) -> int:
        if not ids:
            return 0
        return portable.guarded_update(
            session, Delivery, and_(Delivery.id.in_(sorted(ids)), expired),
            {"state": state, "lease_until": None, "lease_by": None, "next_at": now(session),
             "last_error": "worker lost while sending"})


def run_threads(database: Database, hospital: Hospital, everything: Hospital, stop: threading.Event,
                threads: int = THREADS) -> list[threading.Thread]:
    """Start ``threads`` workers in this process; they end soon after ``stop`` is set."""
    if database.single_writer:
        threads = min(threads, WITH_ONE_WRITER)
    started, lookout, lanes = [], Lookout(), Lanes(threads)
    for number in range(threads):
        name = f"{socket.gethostname()[:30]}:{os.getpid()}:{number}"
        worker = Worker(database, hospital, everything=everything, name=name, lanes=lanes)
        thread = threading.Thread(target=worker.run, args=(stop, lookout), name=f"worker-{number}", daemon=True)
        thread.start()
        started.append(thread)
    return started
