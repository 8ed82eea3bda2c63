"""The inbound gateway: who may, what leaves, once only, one envelope, everything written down (X1, PR-13, A3)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from marshmallow import Schema, fields
from sqlalchemy import func, select, update

from crypto import requests as contract
from his_server.app import create_app
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.errors import Conflict
from his_server.http import Call, Routes
from his_server.module import Module
from his_server.registry import Hospital
from his_server.security.audit import AuditRow
from his_server.settings import Settings
from his_server.wire import Text
from interfaces.hub import gateway as hub_gateway
from interfaces.hub.gateway import PREFIX, Gateway
from interfaces.hub.models import InterfaceCall, OpenGrant, OpenPartner, OpenUse
from modules.kernel.masterdata.models import DictionaryEntry
from tests.interfaces.hub.opening import Partner, make_partner
from tests.interfaces.hub.test_calls import rows


class NoteIn(Schema):
    name = Text(min=1, max=20, required=True)


class NoteOut(Schema):
    id = fields.Integer()
    name = fields.String()
    phone = fields.String()


@pytest.fixture
def app(settings: Settings, db: Database, clock: ManualClock, hospital: Hospital) -> Iterator[Flask]:
    """The application with a use case that writes and one that fails."""
    gate = Gateway("read_views")
    gate.routes = Routes("open.notes", f"{PREFIX}/<partner>", tag="open")

    @gate.use_case("notes.write", "POST", "/notes", title="记一笔", body=NoteIn, out=NoteOut, personal=("phone",), keys=("id",))
    def write(call: Call) -> dict[str, Any]:
        if call.body["name"] == "满":
            raise Conflict("notes.full", "已满，请改日再试")
        row = DictionaryEntry(dictionary="note", code=call.body["name"], name=call.actor.name, position=1)
        call.session.add(row)
        call.session.flush()
        return {"id": row.id, "name": call.body["name"], "phone": "13912345678"}

    @gate.use_case("notes.break", "GET", "/notes/<name>", title="出错", out=NoteOut)
    def broken(call: Call, name: str) -> dict[str, Any]:
        raise RuntimeError(name)

    more = Module(name="notes", title="试验", routes=(gate.routes,))
    app = create_app(settings, database=db, clock=clock, hospital=Hospital((*hospital.modules, more)))
    app.testing = False
    hub_gateway._pace.__init__()  # type: ignore[misc]
    yield app
    for code in ("notes.write", "notes.break"):
        del hub_gateway.USE_CASES[code], hub_gateway.ROUTES[code]


@pytest.fixture
def partner(app: Flask, db: Database) -> Partner:
    return make_partner(db, app.test_client(), cases=("notes.write", "notes.break"), fields=("id", "name"))


def test_a_write_happens_once_per_key_and_the_stored_answer_is_signed_anew(partner: Partner, db: Database) -> None:
    first = partner.send("POST", "/notes", {"name": "甲"}, key="note-0001")
    again = partner.send("POST", "/notes", {"name": "甲"}, key="note-0001")
    assert first.status_code == again.status_code == 200 and first.data == again.data
    assert again.headers["Idempotent-Replay"] == "true"
    other = partner.send("POST", "/notes", {"name": "乙"}, key="note-0001")
    assert (other.status_code, other.get_json()["code"]) == (409, "idempotency.reused")
    missing = partner.send("POST", "/notes", {"name": "乙"})
    assert (missing.status_code, missing.get_json()["code"]) == (422, "idempotency.missing")
    with db.begin(write=False) as session:
        assert session.scalar(select(func.count()).where(DictionaryEntry.dictionary == "note")) == 1


def test_a_new_key_of_the_same_partner_is_the_same_caller(partner: Partner, app: Flask, db: Database) -> None:
    """A partner changes its signing key while an answer was lost: the repeat is still a repeat."""
    partner.send("POST", "/notes", {"name": "甲"}, key="note-0001")
    second = make_partner(db, app.test_client(), "kiosk", permission="open.queue")
    renewed = Partner(db, app.test_client(), "queue", second.private, partner.id, second.key_id)
    assert renewed.send("POST", "/notes", {"name": "甲"}, key="note-0001").headers["Idempotent-Replay"] == "true"


@pytest.mark.requirement("PR-13")
def test_only_granted_fields_leave_in_the_first_answer_and_the_stored_one(partner: Partner, db: Database) -> None:
    for _ in range(2):
        assert set(partner.send("POST", "/notes", {"name": "甲"}, key="note-0001").get_json()) == {"id", "name"}
    with db.begin(write=False) as session:
        logged = session.scalars(select(InterfaceCall.answer_masked)).all()
    assert all("139" not in text for text in logged)


def test_refusals_come_in_one_envelope_signed_and_written_down(partner: Partner, db: Database) -> None:
    full = partner.send("POST", "/notes", {"name": "满"}, key="note-0001")
    wrong = partner.send("POST", "/notes", {"name": "", "more": 1}, key="note-0002")
    defect = partner.send("GET", "/notes/x")
    for answer in (full, wrong, defect):
        body = answer.get_json()
        assert set(body) == {"code", "message", "detail", "trace_id", "retryable"} and body["retryable"] is False
    assert [one.status_code for one in (full, wrong, defect)] == [409, 422, 500]
    assert {one["field"] for one in wrong.get_json()["detail"]} == {"name", "more"}
    calls = rows(db)
    assert [(one.direction, one.operation, one.outcome, one.actor_name) for one in calls] == [
        ("in", "notes.write", "refused", "queue"), ("in", "notes.write", "refused", "queue"),
        ("in", "notes.break", "failed", "queue")]
    assert "notes.full 已满" in calls[0].message and calls[0].business_key == "note-0001"
    assert calls[0].trace_id == full.get_json()["trace_id"]
    with db.begin(write=False) as session:
        use = {row.use_case: (row.calls, row.refused) for row in session.scalars(select(OpenUse))}
    assert use == {"notes.write": (2, 2), "notes.break": (1, 1)}


@pytest.mark.parametrize(("method", "path", "status", "code"), [
    ("GET", "/notes/a%00b", 404, "input.path"), ("GET", "/notes/%0Aa", 404, "input.path"),
    ("GET", "/no-such-thing", 404, "http.404"), ("GET", "/notes/a/b", 404, "http.404"), ("DELETE", "/notes", 405, "http.405"),
])
def test_a_path_that_cannot_be_is_refused_in_the_same_envelope(partner: Partner, method: str, path: str, status: int,
                                                               code: str) -> None:
    answer = partner.send(method, path)
    body = answer.get_json()
    assert set(body) == {"code", "message", "detail", "trace_id", "retryable"} and body["trace_id"]
    assert (answer.status_code, body["code"], body["retryable"]) == (status, code, False)


@pytest.mark.parametrize(("path", "status", "code"), [
    ("/notes/%FF", 401, "partner.refused"), (f"/notes/{'x' * 100_000}", 401, "partner.refused"),
    ("/notes/%00", 404, "input.path"), ("/%00", 404, "http.404")])
def test_so_it_is_to_whoever_signed_something_else(partner: Partner, db: Database, path: str, status: int, code: str) -> None:
    """No UTF-8, endless, or of nobody: never the shape that our own pages get, never a 500, and audited where a key was used."""
    made = contract.sign_request(db.sealer.provider, partner.private, partner.key_id, "GET", f"{PREFIX}/queue/notes/x", "", b"",
                                 db.clock.now())
    answer = partner.client.get(f"{PREFIX}/queue{path}", headers=made)
    assert (answer.status_code, answer.get_json()["code"]) == (status, code)
    assert set(answer.get_json()) == {"code", "message", "detail", "trace_id", "retryable"}
    with db.begin(write=False) as session:
        assert session.scalar(select(func.count()).where(AuditRow.event == "partner.refused")) == (status == 401)


@pytest.mark.requirement("PR-13")
def test_nobody_gets_what_is_not_theirs(partner: Partner, app: Flask, db: Database) -> None:
    other = make_partner(db, app.test_client(), "blood", cases=("departments.list",))
    for answer, code in (
            (other.send("POST", "/notes", {"name": "甲"}, key="note-0001"), "open.not_granted"),
            (other.send("POST", "/notes", {"name": "甲"}, key="note-0001", code="queue"), "open.not_yours"),
            (other.send("GET", "/departments", code="nobody"), "open.not_yours")):
        assert (answer.status_code, answer.get_json()["code"]) == (403, code)
    with db.begin(write=False) as session:
        denied = [json.loads(text)["code"] for text in session.scalars(
            select(AuditRow.detail).where(AuditRow.event == "open.denied").order_by(AuditRow.id))]
    assert sorted(denied) == ["open.not_granted", "open.not_yours", "open.not_yours"]
    assert [one.outcome for one in rows(db)] == ["refused"] * 3


def test_a_stopped_partner_an_address_outside_and_a_spent_minute_are_refused(app: Flask, db: Database) -> None:
    inside = make_partner(db, app.test_client(), "inside", cases=("notes.write",), addresses="10.1.2.0/24", per_minute=2)
    away = inside.send("POST", "/notes", {"name": "甲"}, key="note-0001")
    assert (away.status_code, away.get_json()["code"]) == (403, "open.address")
    near = {"environ_base": {"REMOTE_ADDR": "10.1.2.7"}}
    for number in (1, 2):
        assert inside.send("POST", "/notes", {"name": f"甲{number}"}, key=f"note-000{number}", **near).status_code == 200
    spent = inside.send("POST", "/notes", {"name": "丙"}, key="note-0003", **near)
    assert spent.status_code == 429 and spent.get_json()["retryable"] is True and spent.headers["Retry-After"]
    with db.begin() as session:
        row = session.get(OpenPartner, inside.id)
        assert row is not None
        row.active = False
    stopped = inside.send("POST", "/notes", {"name": "丁"}, key="note-0004", **near)
    assert stopped.get_json()["code"] == "open.stopped"


def test_rows_altered_in_the_database_count_for_nothing(partner: Partner, db: Database) -> None:
    with db.begin() as session:
        session.execute(update(OpenGrant).where(OpenGrant.use_case == "notes.write").values(allowed="id name phone"))
    assert partner.send("POST", "/notes", {"name": "甲"}, key="note-0001").get_json()["code"] == "open.not_granted"
    with db.begin() as session:
        session.execute(update(OpenPartner).values(per_minute=99999))
    assert partner.send("POST", "/notes", {"name": "甲"}, key="note-0001").get_json()["code"] == "open.not_yours"


def test_unsigned_calls_are_refused_and_written_down_but_a_flood_is_not(app: Flask, db: Database) -> None:
    client = app.test_client()
    for _ in range(hub_gateway.UNSIGNED_PER_MINUTE + 5):
        answer = client.post(f"{PREFIX}/queue/notes", json={"name": "甲"})
        assert answer.status_code == 401 and answer.get_json()["code"] == "partner.refused"
    found = rows(db)
    assert len(found) == hub_gateway.UNSIGNED_PER_MINUTE and {one.outcome for one in found} == {"refused"}
    assert found[0].actor_name == "未验明的调用方"


def test_a_get_that_is_known_already_is_304(app: Flask, db: Database, world: Any) -> None:
    partner = make_partner(db, app.test_client(), "blood", cases=("departments.list",))
    first = partner.send("GET", "/departments")
    again = partner.send("GET", "/departments", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code, again.data) == (200, 304, b"")


# The partners' page

def test_the_integration_role_registers_grants_and_sees_calls(app: Flask, db: Database, sign_in: Any) -> None:
    keeper, nobody = sign_in("integration"), sign_in("cashier")
    given = {"code": "blood", "name": "输血系统", "owner": "输血科", "addresses": "10.1.2.3, 10.2.0.0/16", "per_minute": 60}
    headers = {"Idempotency-Key": "partner-0001"}
    assert nobody.post("/api/hub/partners", json=given, headers=headers).status_code == 403
    made = keeper.post("/api/hub/partners", json=given, headers=headers)
    assert made.status_code == 201, made.get_data(as_text=True)
    path = f"/api/hub/partners/{made.get_json()['id']}"
    taken = keeper.post("/api/hub/partners", json=given, headers={"Idempotency-Key": "partner-0002"})
    assert taken.status_code == 409 and "输血系统" in taken.get_json()["message"]
    assert keeper.post("/api/hub/partners", json={**given, "code": "x2", "addresses": "300.1.1.1"},
                       headers={"Idempotency-Key": "partner-0003"}).get_json()["errors"][0]["field"] == "addresses"
    wrong = keeper.put(f"{path}/grants", json={"revision": 1, "grants": [{"use_case": "staff.list", "fields": ["salary"]}]})
    assert wrong.get_json()["errors"] == [{"field": "grants.0.fields", "message": "没有这些字段：salary"}]
    granted = keeper.put(f"{path}/grants", json={"revision": 1, "grants": [{"use_case": "staff.list", "fields": ["title"]}]})
    assert granted.get_json()["revision"] == 2
    late = keeper.put(f"{path}/grants", json={"revision": 1, "grants": []})
    assert late.status_code == 409
    [row] = [one for one in keeper.get("/api/hub/partners").get_json()["items"] if one["code"] == "blood"]
    assert row["addresses"] == "10.1.2.3/32 10.2.0.0/16" and row["sound"] and row["keys"] == []
    assert row["grants"][0]["fields"] == ["deleted", "code", "title"], "what identifies a row always leaves"
    document = keeper.get(f"{path}/openapi").get_json()
    assert list(document["paths"]) == ["/api/open/v1/blood/staff"]
    shown = json.dumps(document)
    assert '"title"' in shown and "department_code" not in shown and "retryable" in shown
    stopped = keeper.put(path, json={**{k: v for k, v in given.items() if k != "code"}, "revision": 2, "active": False})
    assert stopped.status_code == 200
    assert {one["code"] for one in keeper.get("/api/hub/use-cases").get_json()["items"]} >= {"staff.list", "slots.list"}
