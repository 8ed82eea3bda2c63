"""A database that is lost in the midst of a request (DB-26): repeated where nothing was saved, never saved twice, and an
honest 503 where nobody can know. On Dameng's stand-in, which drops the connection at each frame of the request in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.db import Database, database
from his_server.messaging import outbox
from his_server.messaging.outbox import Delivery, OutboxEvent
from his_server.messaging.worker import Worker
from his_server.module import Handler, Job, Module
from his_server.registry import Hospital
from tests.platform import mini
from tests.platform.test_idempotency import BODY, pay

pytestmark = [pytest.mark.requirement("DB-26"), pytest.mark.parametrize("db_url", ["dameng"], indirect=True)]
ANNA = {"X-Login": "anna"}
EVERYTHING = "."
MANY = 60


@pytest.fixture
def order(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Orders to the stand-in."""
    found = request.getfixturevalue("_dameng_house").order
    if found is None:
        pytest.skip("a true DM8 takes no orders: drill the switch-over by hand (docs/dameng.md)")
    return found  # type: ignore[no-any-return]


@pytest.fixture
def warm(till: FlaskClient, payments: Database) -> FlaskClient:
    """A client of a house that has worked before: keys taken, connections open."""
    assert pay(till, "key-first").status_code == 200
    return till


def _pending(order: Callable[..., Any]) -> bool:
    """Whether the order to drop was not used up; it is taken back."""
    left = bool(order(pending=True))
    order(reset=True)
    return left


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_value_is_made_once_wherever_the_connection_breaks(order: Callable[..., Any], warm: FlaskClient,
                                                           payments: Database, after: bool) -> None:
    """``after``: the statement or COMMIT took effect and its answer was lost."""
    for frame in range(MANY):
        order(drop={"match": EVERYTHING, "skip": frame, "after": after})
        answer = pay(warm, f"key-{frame:05}")
        untouched = _pending(order)
        assert answer.status_code == 200, (frame, answer.json)
        assert mini.count(payments) == frame + 2
        assert pay(warm, f"key-{frame:05}").json == answer.json
        if untouched:
            break
    assert 4 < frame < MANY - 1  # each of the request's frames was tried


def test_an_answer_lost_with_the_commit_is_the_stored_one(order: Callable[..., Any], warm: FlaskClient,
                                                         payments: Database) -> None:
    order(drop={"match": "^COMMIT$", "after": True})
    answer = pay(warm)
    assert answer.status_code == 200 and answer.headers["Idempotent-Replay"] == "true"
    assert mini.count(payments) == 2


def test_a_write_without_a_key_says_that_nobody_knows(order: Callable[..., Any], warm: FlaskClient,
                                                     payments: Database) -> None:
    with payments.begin(write=False) as session:
        key = session.scalar(select(mini.MiniPayment.id))
    place = f"/api/mini/payments/{key}"
    order(drop={"match": "UPDATE .*MINI_PAYMENT"})
    assert warm.put(place, json={**BODY, "payer": "甲"}, headers=ANNA).json["payer"] == "甲"  # repeated by the platform
    order(drop={"match": "^COMMIT$", "after": True})
    answer = warm.put(place, json={**BODY, "payer": "乙"}, headers=ANNA)
    assert (answer.status_code, answer.json["code"]) == (503, "database.commit_unknown")
    assert "无法确认" in answer.json["message"] and "没有保存，" not in answer.json["message"]
    with payments.begin(write=False) as session:
        assert session.scalar(select(mini.MiniPayment.payer)) == "乙"  # this time it was saved


def test_reading_is_repeated(order: Callable[..., Any], warm: FlaskClient) -> None:
    for frame in range(MANY):
        order(drop={"match": EVERYTHING, "skip": frame})
        answer = warm.get("/api/mini/payments", headers=ANNA)
        assert answer.status_code == 200 and len(answer.json["items"]) == 1
        if _pending(order):
            break
    assert 0 < frame < MANY - 1


def test_a_database_that_stays_away_is_a_503_that_saved_nothing(order: Callable[..., Any], warm: FlaskClient,
                                                               payments: Database) -> None:
    order(refuse=True, drop_all=True)
    answer = pay(warm)
    order(refuse=False)
    assert (answer.status_code, answer.json["code"]) == (503, "database.unavailable")
    assert mini.count(payments) == 1
    assert pay(warm).status_code == 200 and mini.count(payments) == 2  # back again, by itself


def test_a_commit_whose_outcome_cant_be_asked_is_unknown(order: Callable[..., Any], warm: FlaskClient,
                                                        payments: Database) -> None:
    order(refuse=True, drop={"match": "^COMMIT$", "after": True})
    answer = pay(warm)
    order(refuse=False)
    assert (answer.status_code, answer.json["code"]) == (503, "database.commit_unknown")
    assert pay(warm).headers["Idempotent-Replay"] == "true"
    assert mini.count(payments) == 2


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_the_worker_does_each_thing_once_wherever_the_connection_breaks(
        order: Callable[..., Any], payments: Database, clock: ManualClock, after: bool,
        stride: int) -> None:
    """One destination writes in our database, one is a peer that is told; the job of a period runs once."""
    told: list[str] = []
    ran: list[str] = []

    def write(session: Any, event: Any) -> None:
        session.add(mini.MiniPayment(payer=event.business_key, amount=1, at=event.occurred_at))

    def tell(_database: Any, event: Any) -> None:
        told.append(event.business_key)

    job = Job(name="mini.job", title="小", run=lambda _: ran.append("x"), every=timedelta(hours=1))
    hospital = Hospital((Module(name="mini", title="小", handlers=(
        Handler("Happened", "mini.books", write), Handler("Happened", "mini.peer", tell, network=True, lost_answer="ask"),
    ), jobs=(job,)),))
    worker = Worker(payments, hospital, name="w")
    for frame in range(0, MANY * 2, stride):
        key = f"E{frame}"
        with payments.begin() as session:
            session.info["actor"] = SYSTEM
            outbox.record(session, "Happened", key, {})
        clock.move(hours=1)
        order(drop={"match": EVERYTHING, "skip": frame, "after": after})
        worker.step()
        untouched = _pending(order)
        for _ in range(4):  # what waits for its next try or for a lease to end
            clock.move(seconds=20)
            worker.step()
        with payments.begin(write=False) as session:
            written = list(session.scalars(select(mini.MiniPayment.payer).where(mini.MiniPayment.payer == key)))
            states = dict(session.execute(select(Delivery.destination, Delivery.state).join(
                OutboxEvent, OutboxEvent.id == Delivery.event_id).where(OutboxEvent.business_key == key)).all())
        assert written == [key] and told.count(key) == 1, (frame, written, told)
        assert states == {"mini.books": "done", "mini.peer": "done"}, (frame, states)
        assert len(ran) == frame // stride + 1, frame
        if untouched:
            break
    assert 15 < frame < MANY * 2 - 1


def test_deadlocks_and_lost_connections_are_repeated_by_the_platform_and_nothing_else_is(
        order: Callable[..., Any], payments: Database) -> None:
    tries: list[int] = []

    def work(session: Any) -> int:
        tries.append(1)
        return int(session.scalar(select(func.count()).select_from(mini.MiniPayment)) or 0)

    def tried(code: int, times: int) -> int:
        tries.clear()
        order(reset=True, fail={"match": "MINI_PAYMENT", "code": code, "times": times})
        payments.run(work)
        return len(tries)

    assert tried(-6403, 2) == 3
    with pytest.raises(DBAPIError):
        tried(-6403, database.DEADLOCK_ATTEMPTS)
    with pytest.raises(DBAPIError):
        tried(-6407, 1)  # a lock that wasn't granted in time: somebody is at it, the person decides
    assert len(tries) == 1
    order(reset=True)
