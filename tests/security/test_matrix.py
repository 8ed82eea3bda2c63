"""Every route × every standard role × nobody: 401 and 403 exactly where the declaration says so (DB-09, DB-13)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from his_server.actor import Actor
from his_server.db import Database
from his_server.http import PUBLIC, SIGNED_IN, Route
from his_server.registry import Hospital
from his_server.security import rules

UNDECLARED = {"/healthz", "/readyz", "/metrics", "/api/openapi.json", "/", "/<path:path>"}
"""Answered without a session, outside of the declared routes: health, documents, the static front end."""

RESERVED_AREAS = ("patients.", "charging.", "orders.", "stock.", "scheduling.", "encounters.")


def address(route: Route) -> str:
    """The route's path with keys that no row has."""
    text = re.sub(r"<(?:int|QueryId):[^>]+>", "999999999", route.rule)
    return re.sub(r"<[^>]+>", "x-none", text)


def ask(client: FlaskClient, route: Route) -> Any:
    headers = {"Idempotency-Key": "matrix-test-0001"}
    body = {} if route.method == "GET" else {"json": {"nonsense": [1]}}
    return client.open(address(route), method=route.method, headers=headers, query_string={"nonsense": "1"}, **body)


def roles_of(hospital: Hospital) -> list[str]:
    return sorted({*rules.ROLE_TITLES, *hospital.role_permissions()})


def differences(hospital: Hospital, sign_in: Any, client: FlaskClient, roles: list[str]) -> list[str]:
    """Where the answers and the declaration disagree.

    With a wrong body, so that whoever may do it is told 422 or 404 and nothing happens.
    """
    wrong = []
    declared = hospital.role_permissions()
    for route in hospital.routes:
        status = ask(client, route).status_code
        if status in (403, 500) or (status != 401 and route.permission != PUBLIC):
            wrong.append(f"anonymous {route.method} {route.rule}: {status}")
    for role in roles:
        who = sign_in(role, **({"valid_until": client.application.extensions["his_database"].clock.today()
                               + timedelta(days=30)} if role in rules.TEMPORARY else {}))
        held = declared.get(role, set())
        for route in hospital.routes:
            if route.rule == "/api/session" and route.method == "DELETE":
                continue  # would end the session; tested in test_sign_in
            answer = ask(who, route)
            may = route.permission in (PUBLIC, SIGNED_IN) or route.permission in held
            refused = answer.status_code == 403 and answer.get_json()["code"] == "permission.denied"
            lost = answer.status_code == 401 and route.permission != PUBLIC
            if refused is may or answer.status_code == 500 or lost:
                wrong.append(f"{role} {route.method} {route.rule}: {answer.status_code}, may={may}")
    return wrong


@pytest.mark.requirement("DB-09")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_matrix(hospital: Hospital, sign_in: Any, client: FlaskClient) -> None:
    assert len(hospital.routes) > 10
    assert differences(hospital, sign_in, client, roles_of(hospital)) == []


@pytest.mark.requirement("DB-09")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_matrix_finds_a_missing_check(hospital: Hospital, sign_in: Any, client: FlaskClient,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: with the permission check taken out, the comparison says so."""
    monkeypatch.setattr(Actor, "can", lambda self, permission: True)
    found = differences(hospital, sign_in, client, ["cashier"])
    assert any("/api/security/users" in line for line in found)


@pytest.mark.requirement("DB-09")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_every_address_is_declared(app: Flask, hospital: Hospital) -> None:
    declared = {(route.method, route.rule) for route in hospital.routes}
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            known = (method, rule.rule) in declared
            assert known or (method == "GET" and (rule.rule in UNDECLARED or not rule.rule.startswith("/api/"))), rule


@pytest.mark.requirement("DB-09")
def test_every_permission_exists_and_somebody_holds_it(hospital: Hospital) -> None:
    used = {route.permission for route in hospital.routes} - {PUBLIC, SIGNED_IN}
    used |= {item.permission for item in hospital.menu} - {SIGNED_IN}
    used |= {report.permission for report in hospital.reports.values()}
    used |= {topic.permission for topic in hospital.live.values()}
    assert used - set(hospital.permissions) - {SIGNED_IN} == set()
    codes = [permission.code for module in hospital.modules for permission in module.permissions]
    assert len(codes) == len(set(codes)), "declared twice"
    assert [p.code for p in hospital.permissions.values() if not p.roles] == []


@pytest.mark.requirement("DB-09")
def test_only_signing_in_is_public(hospital: Hospital) -> None:
    public = {(route.method, route.rule) for route in hospital.routes if route.permission == PUBLIC}
    assert {rule for _, rule in public if rule.startswith("/api/session")} == {
        "/api/session", "/api/session/challenge", "/api/session/certificate", "/api/session/second-factor",
        "/api/session/password"}
    # what partners call proves itself by a signature, not by a session
    assert [rule for _, rule in public if not rule.startswith(("/api/session", "/api/open/"))] == []


@pytest.mark.requirement("DB-13")
def test_administrators_share_no_power_and_see_no_patient(hospital: Hospital) -> None:
    declared = hospital.role_permissions()
    assert rules.declared_problem(declared) is None
    for admin in rules.ADMINISTRATORS:
        assert [code for code in declared.get(admin, ()) if code.startswith(RESERVED_AREAS)] == []


@pytest.mark.requirement("DB-15")
def test_refused_request_is_audited(app: Flask, db: Database, sign_in: Any) -> None:
    from sqlalchemy import select

    from his_server.security.audit import AuditRow

    client = sign_in("cashier")
    assert client.get("/api/audit").status_code == 403
    with db.begin(write=False) as session:
        row = session.scalars(select(AuditRow).where(AuditRow.event == "permission.denied")).one()
    assert (row.object_id, row.success, row.roles) == ("GET /api/audit", False, "cashier")
    assert row.ip == "127.0.0.1" and len(row.trace_id) >= 8


