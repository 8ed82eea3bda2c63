"""What an audit row holds, that nothing happens without one, how long it is kept (DB-15…19)."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import delete, event, func, select, text
from sqlalchemy.exc import ProgrammingError

from crypto import CryptoError
from his_server.actor import SYSTEM, Actor
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.registry import Hospital
from his_server.security import anchor, archive, audit, bootstrap, sealing, seals
from his_server.security.audit import AuditRow
from his_server.security.models import User
from his_server.security.settings import SecuritySettings
from his_server.settings import SettingsError
from tests.counting import count_queries
from tests.security.conftest import GOOD

NURSE = Actor(user_id=7, login="0107", name="王护士", staff_id=12, roles=("nurse",), ip="2001:db8::17", terminal="W3-2",
              trace_id="trace0001")


def last(db: Database) -> Any:
    with db.begin(write=False) as session:
        return session.scalars(select(AuditRow).order_by(AuditRow.id.desc())).first()


@pytest.mark.requirement("DB-16")
def test_contents_of_a_row(db: Database, clock: ManualClock) -> None:
    clock.move(milliseconds=123)
    with db.begin() as session:
        audit.record(session, NURSE, "patient.view", "person", 4711, {"before": audit.digest(db.sealer, {"a": 1})})
    row = last(db)
    assert row.at == clock.now() and row.at.microsecond == 123000 and row.zone == "+08:00"
    assert (row.user_id, row.login, row.name, row.staff_id, row.roles) == (7, "0107", "王护士", 12, "nurse")
    assert ipaddress.ip_address(row.ip).version == 6 and row.terminal == "W3-2" and row.trace_id == "trace0001"
    assert (row.event, row.object_type, row.object_id, row.success) == ("patient.view", "person", "4711", True)
    assert len(json.loads(row.detail)["before"]) == 16
    assert audit.intact(db.sealer, row)


@pytest.mark.requirement("DB-16")
def test_secrets_and_id_numbers_stay_out(db: Database) -> None:
    number = "110101199003074514"
    detail = {"password": "x1", "new_password": "x2", "totp_secret": "x3", "note": f"证件 {number}，单号 202603021200000123",
              "deep": [{"口令": "x4", "id_no": number}]}
    with db.begin() as session:
        audit.record(session, NURSE, "test", "person", number, detail)
    row = last(db)
    text = row.detail + row.object_id
    assert number not in text and "110***********4514" in text and "202603021200000123" in text
    assert not any(f"x{n}" in text for n in range(1, 5))


@pytest.mark.requirement("DB-15")
def test_reading_is_audited_in_a_transaction_of_its_own(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.begin(write=False) as session:
        audit.record(session, NURSE, "patient.view", "person", 1)
        raise ZeroDivisionError
    assert last(db).event == "patient.view"


@pytest.mark.requirement("DB-19")
def test_what_cannot_be_audited_does_not_happen(client: FlaskClient, enter: Any, make: Any, db: Database,
                                                sign_in: Any) -> None:
    user = make("li")
    system = sign_in("sysadmin")

    def broken(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "INSERT INTO security_audit" in statement:
            raise OSError("disk full")

    event.listen(db.engine, "before_cursor_execute", broken)
    try:
        change = system.put(f"/api/security/users/{user.id}", json={"name": "改名", "active": False})
        assert change.status_code == 500
        assert enter("li", GOOD).status_code == 500
    finally:
        event.remove(db.engine, "before_cursor_execute", broken)
    with db.begin(write=False) as session:
        found = session.get(User, user.id)
        assert found is not None and (found.name, found.state) == ("李明", "active")
    assert client.get("/api/session").status_code == 401
    assert enter("li", GOOD).status_code == 200


@pytest.mark.requirement("DB-15")
def test_each_action_leaves_a_row(client: FlaskClient, enter: Any, make: Any, db: Database, sign_in: Any,
                                  app: Any) -> None:
    user = make("li", roles=["nurse"])
    csrf = enter("li", GOOD).get_json()["csrf"]
    client.delete("/api/session", headers={"X-CSRF-Token": csrf})
    enter("li", "Wrong1+word")
    system, security, auditor = sign_in("sysadmin"), sign_in("secadmin"), sign_in("auditadmin")
    path = f"/api/security/users/{user.id}"
    system.put(path, json={"name": "李明", "active": True})
    system.post(f"{path}/unlock")
    security.put(f"{path}/grants", json={"grants": [{"role": "cashier"}]})
    security.put("/api/security/roles/desk", json={"title": "台", "permissions": []})
    security.post(f"{path}/totp")
    security.delete(f"{path}/factors")
    system.get("/api/audit")
    page = auditor.get("/api/audit?limit=200").get_json()["items"]
    again = auditor.get("/api/audit?limit=200").get_json()["items"]
    assert [r["event"] for r in again][:1] == ["audit.query"]
    seen = {r["event"] for r in page}
    assert seen >= {"user.create", "session.sign_in", "session.sign_out", "session.refused", "user.change",
                    "user.unlock", "grant.change", "role.change", "factor.enrol", "factor.remove", "permission.denied"}
    assert {r["roles"] for r in page if r["event"] == "session.sign_in"} == {"nurse"}
    assert all(r["trace_id"] for r in page if r["login"] not in ("system", "")), "request id"
    assert {r["success"] for r in page if r["event"] in ("session.refused", "permission.denied")} == {False}


@pytest.mark.requirement("DB-15")
def test_refused_attempts_leave_a_row(sign_in: Any, db: Database, make: Any) -> None:
    security, only = sign_in("secadmin"), make("audit1", roles=["auditadmin"])
    path = f"/api/security/users/{only.id}/grants"
    assert security.put(path, json={"grants": []}).status_code == 409
    row = last(db)
    assert (row.event, row.success, row.object_id) == (
        "request.refused", False, "PUT /api/security/users/<int:user_id>/grants")
    assert json.loads(row.detail) == {"code": "security.last_auditor", "path": path}
    assert security.put(path, json={"grants": "x"}).status_code == 422
    assert last(db).id == row.id


@pytest.mark.requirement("DB-15", "DB-17")
def test_querying_and_paging(db: Database, hospital: Hospital, sign_in: Any, clock: ManualClock) -> None:
    auditor = sign_in("auditadmin")
    with db.begin() as session:
        for n in range(7):
            audit.record(session, NURSE, "patient.view", "person", n)
    ids, after = [], ""
    while True:
        page = auditor.get(f"/api/audit?event=patient.view&limit=3{after}").get_json()
        ids += [r["object_id"] for r in page["items"]]
        if not page["next"]:
            break
        after = f"&after={page['next']}"
    assert ids == ["6", "5", "4", "3", "2", "1", "0"]
    assert len(auditor.get("/api/audit?object_type=person&object_id=4").get_json()["items"]) == 1
    assert auditor.get("/api/audit?since=2030-01-01T00:00:00%2B08:00").get_json()["items"] == []
    assert auditor.get("/api/audit?since=2026-01-01").status_code == 422
    kinds = auditor.get("/api/audit/events").get_json()["items"]
    assert {"code": "patient.view", "title": "调阅病人"} in kinds
    assert auditor.post("/api/audit/verify").get_json() == {"findings": [], "count": 0}
    for method in ("put", "delete", "patch"):
        assert getattr(auditor, method)("/api/audit").status_code == 405
        assert getattr(auditor, method)("/api/audit/1").status_code in (404, 405)


@pytest.mark.requirement("DB-17")
def test_the_sealer_touches_only_chains_with_something_new(db: Database, clock: ManualClock) -> None:
    """Nothing new: four statements read for all chains together, nothing written. Something: that chain alone, its checkpoint
    when it is time for one."""
    def waiting() -> list[str]:
        with db.begin(write=False) as session:
            return sealing.waiting(session)

    def checkpoints() -> int:
        with db.begin(write=False) as session:
            return session.scalar(select(func.count()).select_from(seals.SealCheckpoint)) or 0

    assert waiting() == []
    with db.begin() as session:
        audit.record(session, NURSE, "patient.view", "person", 1)
    assert waiting() == ["audit"]
    assert (sealing.seal_due(db), checkpoints(), waiting()) == (1, 1, [])
    clock.move(minutes=1)
    with db.begin() as session:
        audit.record(session, NURSE, "patient.view", "person", 2)
    assert (sealing.seal_due(db), checkpoints(), waiting()) == (1, 1, []), "the last checkpoint is still young"
    clock.move(minutes=4)
    assert waiting() == ["audit"], "its time has come"
    assert (sealing.seal_due(db), checkpoints(), waiting()) == (0, 2, [])
    clock.move(minutes=30)
    with count_queries(db) as count:
        assert sealing.seal_due(db) == 0
    assert count.total == 4 and all(text.startswith("SELECT") for text in count.statements)
    with db.begin(write=False) as session:
        assert seals.verify(session) == []


@pytest.mark.requirement("DB-18")
def test_shorter_retention_than_the_law_is_refused(db: Database, tmp_path: Path) -> None:
    for days in (0, 30, 179):
        with pytest.raises(SettingsError):
            SecuritySettings(audit_days=days)
        with pytest.raises(SettingsError):
            archive.archive(db, tmp_path, days)
    assert SecuritySettings(audit_days=180).audit_days == 180


@pytest.mark.requirement("DB-18")
def test_archive(db: Database, hospital: Hospital, clock: ManualClock, tmp_path: Path) -> None:
    anchor.place(db, tmp_path)
    with db.begin() as session:
        bootstrap(session, hospital)

    def write(first: int) -> None:
        with db.begin() as session:
            for n in range(first, first + 5):
                audit.record(session, NURSE, "patient.view", "person", n)
        seals.seal_all(db)
        seals.checkpoint_now(db)

    write(0)
    clock.move(days=179)
    write(5)
    assert archive.archive(db, tmp_path / "archive", 180) is None
    clock.move(days=2)
    path = archive.archive(db, tmp_path / "archive", 180)
    assert path is not None
    kept = archive.read(db, path)
    assert [r["object_id"] for r in kept if r["event"] == "patient.view"] == ["0", "1", "2", "3", "4"]
    with db.begin(write=False) as session:
        left = session.scalar(select(func.count()).select_from(AuditRow).where(AuditRow.event == "patient.view"))
        assert left == 5
        assert seals.verify(session) == []
    write(10)
    with db.begin(write=False) as session:
        assert seals.verify(session) == []
    with db.engine.begin() as connection:
        connection.execute(delete(seals.SealStart.__table__))
    with db.begin(write=False) as session:
        assert seals.verify(session)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CryptoError):
        archive.read(db, path)


@pytest.mark.requirement("DB-17")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_command_line(db: Database, hospital: Hospital, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from his_server.cli import context
    from his_server.security import cli

    class House:
        everything = hospital
        database = db

    House.settings = settings  # type: ignore[attr-defined]
    monkeypatch.setattr(cli, "house", House)
    assert context.house is not None
    with db.begin() as session:
        bootstrap(session, hospital)
    run = CliRunner().invoke
    sealed = run(cli.audit, ["seal"])
    assert sealed.exit_code == 0 and "已封存" in sealed.output
    assert run(cli.audit, ["verify"]).exit_code == 0
    good = run(cli.integrity, ["verify"])
    assert good.exit_code == 0 and "通过" in good.output
    with db.engine.begin() as connection:
        connection.execute(delete(AuditRow.__table__).where(AuditRow.event == "role.sync"))
    bad = run(cli.audit, ["verify"])
    assert bad.exit_code == 1 and "被删除" in bad.output
    assert run(cli.integrity, ["verify"]).exit_code == 1
    assert run(cli.audit, ["archive", "--folder", str(settings.data_dir), "--days", "30"]).exit_code == 1
    assert run(cli.integrity, ["accept", "--reason", "演练", "--yes"]).exit_code == 0
    assert last(db).event == "integrity.accept"


def test_detail_that_is_too_long_is_a_defect(db: Database) -> None:
    with pytest.raises(ValueError, match="characters"), db.begin() as session:
        audit.record(session, SYSTEM, "test", "x", 1, {"a": "y" * 9000})


@pytest.mark.requirement("MP-14")
def test_nightly_verification(db: Database, hospital: Hospital) -> None:
    with db.begin() as session:
        bootstrap(session, hospital)
    seals.seal_all(db)
    assert seals.verify_daily(db) == 0 and last(db).success
    with db.engine.begin() as connection:
        connection.execute(delete(AuditRow.__table__).where(AuditRow.event == "role.sync"))
    assert seals.verify_daily(db) == 1 and not last(db).success


@pytest.mark.requirement("DB-17")
@pytest.mark.parametrize("db_url", ["postgresql"], indirect=True)
def test_application_account_cannot_change_the_trail(db: Database) -> None:
    from dialects.privileges import append_only
    from his_server.security.cli import APPEND_ONLY

    with db.begin() as session:
        audit.record(session, NURSE, "test", "x", 1)
    with db.engine.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS his_app_test"))
        connection.execute(text("CREATE ROLE his_app_test"))
        connection.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO his_app_test"))
        for line in append_only("postgresql", APPEND_ONLY, "his_app_test"):
            connection.execute(text(line))
    try:
        for table in APPEND_ONLY:
            for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}", f"UPDATE {table} SET {COLUMN[table]} = 'x'"):
                with pytest.raises(ProgrammingError, match="permission denied"), db.engine.begin() as connection:
                    connection.execute(text("SET LOCAL ROLE his_app_test"))
                    connection.execute(text(statement))
        with db.engine.begin() as connection:
            connection.execute(text("SET LOCAL ROLE his_app_test"))
            assert connection.execute(text("SELECT count(*) FROM security_audit")).scalar() == 1
    finally:
        with db.engine.begin() as connection:
            connection.execute(text("DROP OWNED BY his_app_test"))
            connection.execute(text("DROP ROLE his_app_test"))
    for bad in ("his;drop", "", "a b"):
        with pytest.raises(ValueError, match="plain name"):
            append_only("postgresql", APPEND_ONLY, bad)
    with pytest.raises(ValueError, match="no accounts"):
        append_only("sqlite", APPEND_ONLY, "his")


COLUMN = {"security_audit": "name", "security_seal": "mac", "security_seal_checkpoint": "text",
          "security_signature": "signature"}
