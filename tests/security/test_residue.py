"""What stays behind, what is open, what is typed to do harm (COMPLIANCE DB-20, DB-21, DB-27)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from crypto import Sealer
from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.security import accounts, archive, audit, sessions
from his_server.security.models import SignInSession, SpentNonce, User
from tests.factories.hospital import World
from tests.security.conftest import GOOD, sealed

SQLITE = pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)


@pytest.mark.requirement("DB-27")
def test_signing_out_and_closing_an_account_leave_nothing(client: FlaskClient, make: Any, enter: Callable[..., Any],
                                                          db: Database, clock: ManualClock, sealer: Sealer) -> None:
    user = make("li", roles=["nurse"])
    csrf = enter("li", GOOD).get_json()["csrf"]
    answer = client.get("/api/session")
    assert answer.headers["Cache-Control"] == "no-store"
    cookie = client.get_cookie("his_session").value  # type: ignore[union-attr]
    gone = client.delete("/api/session", headers={"X-CSRF-Token": csrf})
    assert gone.status_code == 204 and client.get_cookie("his_session") is None
    client.set_cookie("his_session", cookie)  # whoever kept it has nothing
    assert client.get("/api/session").status_code == 401
    with db.begin() as session:
        assert session.scalars(select(SignInSession)).all() == []
        secret = accounts.enrol_totp(session, SYSTEM, user.id)
    assert enter("li", GOOD).get_json()["second_factor"] is True
    with db.begin() as session:
        accounts.remove_factors(session, SYSTEM, user.id)
    with db.begin(write=False) as session:
        left = session.get(User, user.id)
        assert left is not None and left.totp_sealed is None and left.certificate is None
        assert session.scalars(select(SignInSession)).all() == []  # the half-made sign-in is gone too
        assert session.scalars(select(SpentNonce)).all()
    clock.move(minutes=5)
    sessions.purge(db)
    with db.begin(write=False) as session:
        assert session.scalars(select(SpentNonce)).all() == []
    assert secret


@pytest.mark.requirement("DB-27")
@SQLITE
def test_an_archive_is_never_in_clear_on_the_disk(db: Database, clock: ManualClock, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    from his_server.security import seals

    with db.begin() as session:
        audit.record(session, SYSTEM, "patient.view", "person", 1, {"note": "残留标记"})
    seals.seal_all(db)
    clock.move(days=200)
    with db.begin() as session:
        audit.record(session, SYSTEM, "test", "x", 1)
    seals.seal_all(db)
    written: list[Path] = []
    monkeypatch.setattr(Path, "write_text", lambda self, *_a, **_k: written.append(self))
    path = archive.archive(db, tmp_path / "archive", 180)
    assert path is not None and archive.read(db, path)[0]["detail"] == '{"note":"残留标记"}'
    assert written == [] and [each.name for each in (tmp_path / "archive").iterdir()] == [path.name]
    assert "残留标记".encode() not in path.read_bytes()


@pytest.mark.requirement("DB-27")
@SQLITE
def test_no_password_stays_in_the_process(client: FlaskClient, make: Any, sealer: Sealer, db: Database) -> None:
    """After signing in, no object of ours that lives on holds the password."""
    import gc

    word = base64.b85encode(b"residue").decode() + "#Aq9x"
    make("li", roles=["nurse"], password=word)
    body = {"login": "li", **sealed(client, sealer, password=word)}
    assert client.post("/api/session", json=body).status_code == 200
    gc.collect()
    mine = {id(word)}
    held = [each for each in gc.get_objects() if type(each) in (dict, list, tuple)
            and any(type(one) is str and one == word and id(one) not in mine for one in
                    (each.values() if type(each) is dict else each))]
    assert held == []


@pytest.mark.requirement("DB-20")
def test_nothing_for_developers_is_open(app: Flask, client: FlaskClient) -> None:
    assert app.debug is False and not app.config.get("PROPAGATE_EXCEPTIONS")
    for path in ("/console", "/?__debugger__=yes&cmd=resource&f=debugger.js", "/swagger", "/docs", "/redoc", "/graphql",
                 "/server-status", "/.env", "/.git/config", "/api/../his.db", "/static/../../his.db"):
        with client.get(path) as answer:  # the shell is a file
            text = answer.get_data(as_text=True)
        assert answer.status_code in (200, 401, 404) and "Werkzeug" not in text and "Traceback" not in text, path
        assert answer.status_code != 200 or "<!doctype html>" in text.lower(), path  # the shell's page, nothing else
    assert "Werkzeug" not in str(client.get("/api/session").headers)


HARM = ("'; DROP TABLE person; --", "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "{{7*7}}", "${7*7}",
        "../../etc/passwd", "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "%0d%0aSet-Cookie: x=1", "\u202e张")


@pytest.mark.requirement("DB-21")
def test_what_is_typed_to_do_harm_stays_text(world: World, db: Database) -> None:
    """Each comes back as it was typed (or is refused with its field), is found by a search, and runs nowhere."""
    encounter = world.encounter(world.register(world.person()))
    for text in HARM:
        answer = world.post("cashier", "/api/patients", {"name": text, "confirmed": True})
        if answer.status_code == 422:
            assert answer.json["errors"][0]["field"] == "name", text
            continue
        assert answer.status_code == 201 and answer.headers["Content-Type"].startswith("application/json"), text
        assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.json["name"] == text
        assert world.get("cashier", "/api/patients?" + "q=" + "A" * 20).status_code == 200
        asked = world.ok(world.post("doctor", "/api/orders/requests", {
            "encounter_id": encounter, "diagnosis": text, "performing_department_id": world.ids["radiology"],
            "lines": [{"item_id": world.ids["exam"], "quantity": "1", "note": text}]}))
        assert (asked["diagnosis"], asked["lines"][0]["note"]) == (text, text)
    with db.begin(write=False) as session:
        assert session.scalar(select(User.id).limit(1)) is not None  # no table is gone


@pytest.mark.requirement("DB-21")
@pytest.mark.parametrize("body", [
    b'{"name": NaN}', b'{"name": Infinity}', b'{"level": 1e309}', b"[" * 5000 + b"]" * 5000, b'{"name": "\\ud800"}', b"\xff\xfe",
    b'{"a":' * 2000 + b"1" + b"}" * 2000, b"<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]><x>&y;</x>", b"null", b"7"])
@SQLITE
def test_bodies_that_are_no_good_are_refused(world: World, body: bytes) -> None:
    answer = world.clients["cashier"].post("/api/patients", data=body, content_type="application/json",
                                           headers={"Idempotency-Key": "harmful-body"})
    text = answer.get_data(as_text=True)
    assert answer.status_code in (400, 413, 422), text
    assert "Traceback" not in text and "root:" not in text and json.loads(text)["message"]
