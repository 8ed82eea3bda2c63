"""Idempotency-Key: one effect and one answer, whatever is lost or doubled (M1.7)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from his_server.clock import ManualClock
from his_server.db import Database, idempotency
from tests import processes
from tests.platform import mini

BODY = {"payer": "曾 阿牛", "amount": "12.50"}


def pay(client: FlaskClient, key: str | None = "key-0001", body: Any = None, login: str = "anna") -> Any:
    headers = {"X-Login": login} | ({"Idempotency-Key": key} if key else {})
    return client.post("/api/mini/payments", json=body or BODY, headers=headers)


@pytest.mark.requirement("M1.7")
def test_a_lost_answer_is_given_again(till: FlaskClient, payments: Database) -> None:
    first, second = pay(till), pay(till)
    assert first.status_code == second.status_code == 200
    assert first.json == second.json and first.json["amount"] == "12.50"
    assert second.headers["Idempotent-Replay"] == "true"
    assert mini.count(payments) == 1


@pytest.mark.requirement("M1.7")
def test_the_same_key_with_another_body_is_refused(till: FlaskClient, payments: Database) -> None:
    pay(till)
    answer = pay(till, body={**BODY, "amount": "99.00"})
    assert (answer.status_code, answer.json["code"]) == (409, "idempotency.reused")
    assert mini.count(payments) == 1


@pytest.mark.parametrize("key", [None, "short", "x" * 81])
def test_a_route_that_makes_value_needs_a_key(till: FlaskClient, payments: Database, key: str | None) -> None:
    answer = pay(till, key)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency.missing")
    assert mini.count(payments) == 0


def test_keys_belong_to_accounts(till: FlaskClient, payments: Database) -> None:
    assert pay(till, login="anna").json != pay(till, login="bertha").json
    assert mini.count(payments) == 2


def test_a_refused_request_leaves_its_key_free(till: FlaskClient, payments: Database) -> None:
    assert pay(till, body={**BODY, "amount": "-1"}).status_code == 422
    assert pay(till).status_code == 200
    assert mini.count(payments) == 1


def _double_submit(place: processes.Place, key: str, times: int) -> list[tuple[int, str]]:
    client = mini.make_app(place.open()).test_client()
    answers = [pay(client, f"{key}-{n}") for n in range(times)]
    return [(answer.status_code, answer.get_data(as_text=True)) for answer in answers]


@pytest.mark.requirement("M1.7")
def test_twins_from_several_processes_have_one_effect(payments: Database, keys_dir: Path) -> None:
    place = processes.place_of(payments, keys_dir)
    answers = processes.run_all(_double_submit, [(place, "doubled", 15)] * 4)
    assert all(each == answers[0] for each in answers), "the twins got different answers"
    assert {status for status, _ in answers[0]} == {200}
    assert mini.count(payments) == 15


def test_old_answers_are_forgotten(till: FlaskClient, payments: Database, clock: ManualClock) -> None:
    pay(till)
    clock.move(days=29)
    with payments.begin() as session:
        assert idempotency.purge(session) == 0
    clock.set(clock.now() + timedelta(days=2))
    with payments.begin() as session:
        assert idempotency.purge(session) == 1
