"""A request: permission, one error shape, one unit of work, OpenAPI, health."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from his_server import openapi
from his_server.db import Database, history
from his_server.db.history import FieldChange
from his_server.db.keys import key_block
from his_server.logs import JsonFormatter
from tests.platform import mini

ANNA = {"X-Login": "anna", "Idempotency-Key": "key-0001"}
SHAPE = {"code", "status", "message", "errors", "trace_id"}


def assert_error(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status
    assert set(answer.json) == SHAPE
    assert (answer.json["status"], answer.json["code"]) == (status, code)
    assert any("\u4e00" <= char <= "\u9fff" for char in answer.json["message"])
    assert answer.json["trace_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(("method", "path", "headers", "body", "status", "code"), [
    ("GET", "/api/mini/payments", {}, None, 401, "session.required"),
    ("GET", "/api/mini/payments", {"X-Login": "guest"}, None, 403, "permission.denied"),
    ("GET", "/api/mini/payments?limit=0", ANNA, None, 422, "input.invalid"),
    ("GET", "/api/mini/payments?unknown=1", ANNA, None, 422, "input.invalid"),
    ("GET", "/api/nothing", {}, None, 404, "http.404"),
    ("PATCH", "/api/mini/payments", ANNA, None, 405, "http.405"),
    ("POST", "/api/mini/payments", ANNA, b"{", 422, "input.json"),
    ("POST", "/api/mini/payments", ANNA, b'{"amount": NaN}', 422, "input.json"),
    ("POST", "/api/mini/payments", ANNA, b"[" * 100_000, 422, "input.json"),
    ("POST", "/api/mini/payments", ANNA, b"[]", 422, "input.invalid"),
    ("POST", "/api/mini/payments", ANNA, b"\xff\xfe", 422, "input.json"),
    ("POST", "/api/mini/payments", ANNA, b"x" * 5_000_000, 413, "http.413"),
    ("PUT", "/api/mini/payments/99999999999999999999", ANNA, b"{}", 404, "input.path"),
    ("GET", "/api/mini/text/a%00b", {}, None, 404, "input.path"),
])
def test_every_refusal_has_the_one_shape(till: FlaskClient, method: str, path: str, headers: dict[str, str],
                                         body: bytes | None, status: int, code: str) -> None:
    assert_error(till.open(path, method=method, headers=headers, data=body), status, code)


def test_field_errors_name_the_field(till: FlaskClient) -> None:
    answer = till.post("/api/mini/payments", json={"payer": "", "amount": "1.005", "extra": 1}, headers=ANNA)
    assert {e["field"]: e["message"] for e in answer.json["errors"]} == {
        "payer": "必填", "amount": "最多 2 位小数", "extra": "不认识的字段"}


def test_an_error_rolls_everything_back(till: FlaskClient, payments: Database) -> None:
    made = till.post("/api/mini/payments", json={"payer": "甲", "amount": "1.00"}, headers=ANNA).json
    path = f"/api/mini/payments/{made['id']}"
    assert_error(till.put(path, json={"payer": "乙", "amount": "13.00"}, headers=ANNA), 409, "mini.unlucky")
    assert till.get("/api/mini/payments", headers=ANNA).json["items"] == [{**made, "payer": "甲"}]
    assert till.put(path, json={"payer": "丙", "amount": "1.00"}, headers=ANNA).json["payer"] == "丙"
    with payments.begin(write=False) as session:
        [change] = history.timeline(session, "mini_payment", made["id"])
        assert (change.field, change.before, change.after, change.changed_by_name) == ("payer", "甲", "丙", "anna")


def test_a_reading_route_cannot_write(till: FlaskClient, payments: Database, log: StringIO) -> None:
    assert_error(till.get("/api/mini/writes"), 500, "internal")
    assert mini.count(payments) == 0


@pytest.fixture
def log() -> Iterator[StringIO]:
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    house = logging.getLogger("his")
    house.addHandler(handler)
    yield stream
    house.removeHandler(handler)


def test_a_defect_tells_the_user_a_trace_id_and_the_log_everything_but_persons(till: FlaskClient,
                                                                              log: StringIO) -> None:
    answer = till.get("/api/mini/defect", headers={"X-Request-ID": "abcdef0123456789"})
    assert_error(answer, 500, "internal")
    assert "KeyError" not in answer.get_data(as_text=True)
    line = json.loads(log.getvalue().splitlines()[0])
    assert line["trace_id"] == "abcdef0123456789" and "KeyError" in line["exception"]
    assert "19900101" not in log.getvalue()


@pytest.mark.parametrize("given", ["short", "x" * 41, "with space", "注入注入注入注入", "a;b\tc-12345"])
def test_a_foreign_trace_id_is_taken_only_if_harmless(till: FlaskClient, given: str) -> None:
    found = till.get("/healthz", headers={"X-Request-ID": given.encode().decode("latin-1")}).headers["X-Request-ID"]
    assert found != given and len(found) == 16


def test_the_document_is_valid_and_complete(mini_app: Flask, till: FlaskClient) -> None:
    document = till.get("/api/openapi.json").json
    assert document == json.loads(json.dumps(openapi.document(mini_app.extensions["his_hospital"])))
    assert set(document["paths"]) == {"/api/mini/payments", "/api/mini/payments/{payment_id}", "/api/mini/writes",
                                      "/api/mini/defect", "/api/mini/text/{word}"}
    operation = document["paths"]["/api/mini/payments"]["post"]
    assert operation["x-permission"] == "mini.pay" and operation["x-effect"] == "value"
    amount = document["components"]["schemas"]["Pay"]["properties"]["amount"]
    assert amount["type"] == "string"
    schemathesis.openapi.from_dict(document).validate()


def test_health(till: FlaskClient, payments: Database) -> None:
    assert till.get("/healthz").data == b"ok\n"
    assert till.get("/readyz").status_code == 200
    assert b"his_responses" in till.get("/metrics").data
    with payments.engine.begin() as connection:
        key_block.drop(connection)
    try:
        assert till.get("/readyz").status_code == 503
    finally:
        with payments.engine.begin() as connection:
            key_block.create(connection)


def test_untracked_changes_leave_no_history(payments: Database) -> None:
    with payments.begin() as session:
        row = mini.MiniPayment(payer="甲", amount=1, at=payments.clock.now())
        session.add(row)
        session.flush()
        row.amount = 2
        session.flush()
        assert session.scalars(select(FieldChange)).all() == []
