"""Signing in through HTTP: nonce, lockout, sessions, cookies (MP-05, MP-06, MP-11, DB-02…08)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from crypto import Sealer
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.security.audit import AuditRow
from his_server.security.models import SignInSession, User
from tests.security.conftest import GOOD, sealed

BETTER = "Wenig9+Licht"


@pytest.mark.requirement("MP-11", "DB-07")
def test_sealed_password_signs_in(client: FlaskClient, enter: Any, make: Any) -> None:
    make("li", roles=["cashier"])
    answer = enter("li", GOOD)
    assert answer.status_code == 200
    shown = answer.get_json()
    assert shown["user"]["code"] == "li" and shown["user"]["roles"] == ["cashier"]
    assert shown["user"]["titles"] == ["收费员"]  # what the first page shows
    assert len(shown["csrf"]) == 64 and shown["idle_seconds"] == 1800
    assert client.get("/api/session").get_json() == shown


@pytest.mark.requirement("MP-11")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_a_ciphertext_that_begins_like_a_point_prefix_signs_in_too(client: FlaskClient, make: Any, sealer: Sealer) -> None:
    """The browser sends C1 without its 04: an x coordinate that happens to begin with 04 is not one (1 sign-in of 256)."""
    make("li")
    body = next(body for body in (sealed(client, sealer, password=GOOD) for _ in range(20_000))
                if body["sealed"].startswith("04"))
    assert client.post("/api/session", json={"login": "li", **body}).status_code == 200


@pytest.mark.requirement("MP-05", "MP-11")
def test_nonce_works_once_and_for_a_minute(client: FlaskClient, make: Any, sealer: Sealer, clock: ManualClock) -> None:
    make("li")
    body = {"login": "li", **sealed(client, sealer, password=GOOD)}
    assert client.post("/api/session", json=body).status_code == 200
    replayed = client.post("/api/session", json=body)
    assert replayed.status_code == 401 and replayed.get_json()["code"] == "session.challenge"
    late = {"login": "li", **sealed(client, sealer, password=GOOD)}
    clock.move(seconds=61)
    assert client.post("/api/session", json=late).status_code == 401
    plain = client.post("/api/session", json={"login": "li", "kid": late["kid"], "sealed": GOOD.encode().hex()})
    assert plain.status_code == 401


@pytest.mark.requirement("DB-04")
def test_five_wrong_then_right_is_locked_and_all_refusals_look_alike(
        enter: Any, make: Any, clock: ManualClock, db: Database) -> None:
    user = make("li")
    make("off", roles=["cashier"])
    with db.begin() as session:
        session.get(User, session.scalar(select(User.id).where(User.login == "off"))).state = "disabled"
    wrong = [enter("li", "Wrong1+word") for _ in range(5)]
    locked, unknown, disabled = enter("li", GOOD), enter("nobody", GOOD), enter("off", GOOD)
    bodies = [{k: v for k, v in a.get_json().items() if k != "trace_id"} for a in (*wrong, locked, unknown, disabled)]
    assert all(body == bodies[0] for body in bodies) and bodies[0]["status"] == 401
    clock.move(minutes=29)
    assert enter("li", GOOD).status_code == 401
    clock.move(minutes=2)
    assert enter("li", GOOD).status_code == 200
    with db.begin(write=False) as session:
        refused = session.scalar(select(func.count()).select_from(AuditRow)
                                 .where(AuditRow.event == "session.refused", AuditRow.user_id == user.id))
    assert refused == 7


@pytest.mark.requirement("DB-04")
def test_fifty_at_once_get_five_guesses(app: Flask, make: Any, db: Database, sealer: Sealer,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    make("li")
    from his_server.security import passwords

    looked: list[str] = []
    holds = passwords.holds

    def watched(*given: Any) -> bool:
        looked.append(given[2])
        return holds(*given)

    monkeypatch.setattr(passwords, "holds", watched)
    clients = [app.test_client() for _ in range(50)]
    bodies = [{"login": "li", **sealed(client, sealer, password=f"Wrong{n}+word")}
              for n, client in enumerate(clients)]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda who, body: who.post("/api/session", json=body), clients, bodies))
    assert [a.status_code for a in answers] == [401] * 50
    assert len(looked) == 5
    with db.begin(write=False) as session:
        user = session.scalars(select(User)).one()
        assert user.failures == 5 and user.locked_until is not None
        assert session.scalar(select(func.count()).select_from(AuditRow)
                              .where(AuditRow.event == "session.refused")) == 50


@pytest.mark.requirement("DB-04")
def test_unknown_account_costs_the_same_work(enter: Any, make: Any, sealer: Sealer,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    make("li")
    rounds: list[int] = []
    derive = sealer.provider.pbkdf2_sm3

    def counted(password: bytes, salt: bytes, count: int, length: int = 32) -> bytes:
        rounds.append(count)
        return derive(password, salt, count, length)

    monkeypatch.setattr(sealer.provider, "pbkdf2_sm3", counted)
    for login in ("li", "nobody"):
        enter(login, "Wrong1+word")
    assert rounds == [10_000, 10_000]


@pytest.mark.requirement("DB-05")
def test_idle_session_ends_and_polling_does_not_keep_it(sign_in: Any, clock: ManualClock, db: Database) -> None:
    client = sign_in("cashier")
    for _ in range(3):
        clock.move(minutes=20)
        assert client.get("/api/session").status_code == 200
    for _ in range(2):
        clock.move(minutes=14)
        assert client.get("/api/session", headers={"X-Background": "1"}).status_code == 200
    clock.move(minutes=3)
    assert client.get("/api/session", headers={"X-Background": "1"}).status_code == 401
    with db.begin(write=False) as session:
        assert session.scalar(select(func.count()).select_from(SignInSession)) == 0
    clock.move(minutes=-30)
    assert client.get("/api/session").status_code == 401


@pytest.mark.requirement("DB-05")
def test_session_ends_after_its_lifetime_however_busy(sign_in: Any, clock: ManualClock) -> None:
    client = sign_in("cashier")
    for _ in range(24):
        clock.move(minutes=29)
        assert client.get("/api/session").status_code == 200
    clock.move(minutes=25)
    assert client.get("/api/session").status_code == 401


@pytest.mark.requirement("DB-06")
def test_sign_out_ends_the_session_on_the_server(client: FlaskClient, enter: Any, make: Any, app: Flask) -> None:
    make("li")
    csrf = enter("li", GOOD).get_json()["csrf"]
    kept = client.get_cookie("his_session")
    assert kept is not None
    assert client.delete("/api/session").status_code == 403
    assert client.delete("/api/session", headers={"X-CSRF-Token": csrf}).status_code == 204
    assert client.get_cookie("his_session") is None
    thief = app.test_client()
    thief.set_cookie("his_session", kept.value)
    assert thief.get("/api/session").status_code == 401


@pytest.mark.requirement("DB-06")
def test_signing_in_makes_a_new_session_and_ends_the_old_one(client: FlaskClient, enter: Any, make: Any,
                                                             app: Flask) -> None:
    make("li")
    enter("li", GOOD)
    first = client.get_cookie("his_session").value  # type: ignore[union-attr]
    enter("li", GOOD)
    assert client.get_cookie("his_session").value != first  # type: ignore[union-attr]
    thief = app.test_client()
    thief.set_cookie("his_session", first)
    assert thief.get("/api/session").status_code == 401


@pytest.mark.requirement("DB-06")
def test_cookie_attributes(app: Flask, enter: Any, make: Any) -> None:
    make("li")
    header = enter("li", GOOD).headers["Set-Cookie"]
    assert "HttpOnly" in header and "SameSite=Strict" in header and "Path=/" in header and "Secure" not in header
    assert "Expires" not in header and "Max-Age" not in header


@pytest.mark.requirement("DB-06")
def test_secure_cookie_has_the_host_prefix(settings: Any, db: Database, clock: Any, hospital: Any, make: Any,
                                           sealer: Sealer) -> None:
    from dataclasses import replace

    from his_server.app import create_app

    make("li")
    app = create_app(replace(settings, secure_cookies=True), database=db, clock=clock, hospital=hospital)
    client = app.test_client()
    answer = client.post("/api/session", json={"login": "li", **sealed(client, sealer, password=GOOD)})
    header = answer.headers["Set-Cookie"]
    assert header.startswith("__Host-his=") and "Secure" in header


@pytest.mark.requirement("DB-06")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_no_changed_cookie_opens_a_session(client: FlaskClient, enter: Any, make: Any, app: Flask) -> None:
    make("li")
    enter("li", GOOD)
    good = client.get_cookie("his_session").value  # type: ignore[union-attr]
    for position in range(len(good) - 1):  # the last character carries padding bits
        bad = good[:position] + ("A" if good[position] != "A" else "B") + good[position + 1:]
        other = app.test_client()
        other.set_cookie("his_session", bad)
        assert other.get("/api/session").status_code == 401, position
    for bad in ("", "x" * 500, "%%%", good + "A" * 4, good[:-4]):
        other = app.test_client()
        other.set_cookie("his_session", bad)
        assert other.get("/api/session").status_code == 401


@pytest.mark.requirement("DB-06")
def test_cross_site_requests_are_refused(sign_in: Any) -> None:
    client = sign_in("cashier")
    bad = client.delete("/api/session", headers={"Origin": "https://evil.example"})
    assert bad.status_code == 403 and bad.get_json()["code"] == "csrf.origin"
    assert client.delete("/api/session", headers={"X-CSRF-Token": "0" * 64}).get_json()["code"] == "csrf.token"
    assert client.delete("/api/session", headers={"Origin": "http://localhost"}).status_code == 204


@pytest.mark.requirement("DB-02", "DB-03", "DB-06")
def test_first_password_must_be_changed_and_ends_other_sessions(client: FlaskClient, enter: Any, make: Any, app: Flask,
                                                                sealer: Sealer) -> None:
    make("li", must_change=True)
    answer = enter("li", GOOD).get_json()
    assert answer.keys() == {"must_change_password", "ticket"}
    assert client.get("/api/session").status_code == 401

    def change(new: str, old: str = GOOD, ticket: str | None = None) -> Any:
        return client.post("/api/session/password", json={
            "login": "li", "ticket": ticket, **sealed(client, sealer, old_password=old, new_password=new)})

    ticket = answer["ticket"]
    for weak in ("12345678", "Abcdefgh", "P@ssw0rd123", "Aa1!", GOOD):
        assert change(weak, ticket=ticket).status_code == 422, weak
    assert change(BETTER, old="Wrong1+word", ticket=ticket).status_code == 401
    assert change(BETTER, ticket=ticket).get_json()["user"]["code"] == "li"
    assert change(BETTER, ticket=ticket).status_code == 401  # the ticket is gone
    elsewhere = app.test_client()
    assert enter("li", BETTER, elsewhere).status_code == 200
    assert change("Andres#77wort", old=BETTER).status_code == 200
    assert elsewhere.get("/api/session").status_code == 401
    assert client.get("/api/session").status_code == 200


@pytest.mark.requirement("DB-02")
def test_the_last_five_passwords_are_refused(client: FlaskClient, enter: Any, make: Any, sealer: Sealer) -> None:
    make("li")
    enter("li", GOOD)
    used = [GOOD]

    def change(new: str) -> int:
        return client.post("/api/session/password", json={
            "login": "li", **sealed(client, sealer, old_password=used[-1], new_password=new)}).status_code

    for number in range(5):
        new = f"Wenig{number}+Licht{number}"
        assert change(new) == 200
        used.append(new)
    assert [change(old) for old in used[1:]] == [422] * 5
    assert change(GOOD) == 200  # the sixth last


@pytest.mark.requirement("DB-03")
def test_old_password_must_be_changed_before_anything_else(client: FlaskClient, enter: Any, make: Any,
                                                           clock: ManualClock, sign_in: Any) -> None:
    make("li")
    clock.move(days=84)
    assert "password" in [notice["id"] for notice in enter("li", GOOD).get_json()["notices"]]
    clock.move(days=7)
    assert enter("li", GOOD).get_json()["must_change_password"] is True


@pytest.mark.requirement("DB-12")
def test_expired_account_is_refused(enter: Any, make: Any, clock: ManualClock) -> None:
    make("li", valid_until=clock.today())
    client_answer = enter("li", GOOD)
    assert client_answer.status_code == 200
    clock.move(days=1)
    assert enter("li", GOOD).status_code == 401


@pytest.mark.requirement("DB-12")
def test_session_ends_with_the_account(make: Any, enter: Any, client: FlaskClient, clock: ManualClock) -> None:
    make("li", valid_until=clock.today())
    clock.set(clock.now().replace(hour=15, minute=59))  # 23:59 in Nantong
    assert enter("li", GOOD).status_code == 200
    clock.move(minutes=2)
    assert client.get("/api/session").status_code == 401


@pytest.mark.requirement("DB-08")
def test_administrator_needs_the_second_factor(client: FlaskClient, enter: Any, make: Any, db: Database,
                                               clock: ManualClock, sealer: Sealer) -> None:
    from his_server.actor import SYSTEM
    from his_server.security import accounts, rules

    user = make("boss", roles=["sysadmin"])
    answer = enter("boss", GOOD)
    assert answer.status_code == 403 and answer.get_json()["code"] == "session.no_second_factor"
    with db.begin() as session:
        secret = accounts.enrol_totp(session, SYSTEM, user.id)

    def code(offset: int = 0) -> str:
        return rules.one_time_code(sealer.provider.hmac_sm3, secret, int(clock.now().timestamp()) // 30 + offset)

    def second(ticket: str, given: str) -> Any:
        return client.post("/api/session/second-factor", json={"ticket": ticket, "code": given})

    ticket = enter("boss", GOOD).get_json()["ticket"]
    assert client.get("/api/session").status_code == 401
    used = code()
    assert second(ticket, "000000" if used != "000000" else "000001").status_code == 401
    assert second("A" * 43, used).status_code == 401
    assert second(ticket, used).get_json()["user"]["roles"] == ["sysadmin"]
    assert second(ticket, code(1)).status_code == 401  # the ticket is spent
    again = enter("boss", GOOD).get_json()["ticket"]
    assert second(again, used).status_code == 401  # the code is spent
    clock.move(seconds=30)
    assert second(again, code()).status_code == 200


@pytest.mark.requirement("DB-08", "DB-04")
def test_codes_cannot_be_guessed_by_signing_in_again(client: FlaskClient, enter: Any, make: Any, db: Database) -> None:
    from his_server.actor import SYSTEM
    from his_server.security import accounts

    user = make("boss", roles=["sysadmin"])
    with db.begin() as session:
        accounts.enrol_totp(session, SYSTEM, user.id)
    for _ in range(5):
        ticket = enter("boss", GOOD).get_json()["ticket"]
        assert client.post("/api/session/second-factor", json={"ticket": ticket, "code": "abcdef"}).status_code == 401
    assert enter("boss", GOOD).status_code == 401


@pytest.mark.requirement("MP-06")
def test_stored_passwords(make: Any, db: Database, enter: Callable[..., Any]) -> None:
    first, second = make("li"), make("wang")
    assert first.password != second.password
    name, rounds, salt, mac = first.password.split("$")
    assert name == "pbkdf2-sm3" and int(rounds) >= 10_000 and len(bytes.fromhex(salt)) >= 16 and len(mac) == 64
    with db.begin() as session:  # a verifier moved to another account opens nothing
        session.get(User, second.id).password = first.password
    assert enter("wang", GOOD).status_code == 401


@pytest.mark.requirement("DB-06", "DB-16")
def test_no_secret_in_logs_or_audit(enter: Any, make: Any, db: Database, caplog: pytest.LogCaptureFixture,
                                    client: FlaskClient) -> None:
    caplog.set_level(logging.DEBUG)
    make("li")
    enter("li", GOOD)
    enter("li", BETTER)
    cookie = client.get_cookie("his_session").value  # type: ignore[union-attr]
    with db.begin(write=False) as session:
        rows = session.execute(select(AuditRow.__table__)).all()
    text = caplog.text + repr(rows)
    assert rows and GOOD not in text and BETTER not in text and cookie not in text


@pytest.mark.requirement("DB-03")
def test_password_that_expires_while_signed_in(sign_in: Any, clock: ManualClock) -> None:
    client = sign_in("sysadmin", password_changed_at=clock.now() - timedelta(days=90, minutes=-10))
    assert client.get("/api/security/users").status_code == 200
    clock.move(minutes=11)
    stopped = client.get("/api/security/users")
    assert stopped.status_code == 403 and stopped.get_json()["code"] == "password.change_required"
    assert client.get("/api/session").get_json()["must_change_password"] is True


@pytest.mark.requirement("DB-20")
def test_administrators_only_from_their_network(settings: Any, db: Database, clock: ManualClock, hospital: Any,
                                                make: Any, sealer: Sealer) -> None:
    from dataclasses import replace

    from his_server.app import create_app
    from his_server.settings import SettingsError

    extra = {"security": {"admin_networks": ["10.1.0.0/16", "fd00::/8"]}}
    app = create_app(replace(settings, demo=True, extra=extra), database=db, clock=clock, hospital=hospital)
    make("boss", roles=["sysadmin"])
    make("li", roles=["cashier"])

    def enter(login: str, address: str) -> int:
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = address
        return client.post("/api/session", json={"login": login, **sealed(client, sealer, password=GOOD)}).status_code

    assert [enter("boss", ip) for ip in ("10.1.2.3", "fd00::7", "::ffff:10.1.2.3", "10.2.0.1", "2001:db8::1")] == [
        200, 200, 200, 403, 403]
    assert enter("li", "10.2.0.1") == 200
    client = app.test_client()
    client.environ_base["REMOTE_ADDR"] = "10.1.2.3"
    client.post("/api/session", json={"login": "boss", **sealed(client, sealer, password=GOOD)})
    assert client.get("/api/session").status_code == 200
    client.environ_base["REMOTE_ADDR"] = "10.2.0.1"
    assert client.get("/api/session").status_code == 403
    with pytest.raises(SettingsError):
        create_app(replace(settings, extra={"security": {"admin_networks": ["here"]}}), database=db, hospital=hospital)
