"""Rows changed with SQL behind our back are noticed (MP-07, MP-14, MP-08's mechanism)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, insert, select, text, update

from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.registry import Hospital
from his_server.security import anchor, audit, bootstrap, grants, integrity, seals
from his_server.security.audit import AuditRow
from his_server.security.models import Role, SignInSession, User, UserRole


def sql(db: Database, *statements: Any) -> None:
    """What a database administrator does, without our code."""
    with db.engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def copy(db: Database, *tables: Any) -> dict[Any, list[dict[str, Any]]]:
    with db.engine.connect() as connection:
        return {t: [dict(r._mapping) for r in connection.execute(select(t.__table__))] for t in tables}


def put_back(db: Database, kept: dict[Any, list[dict[str, Any]]]) -> None:
    for table, rows in kept.items():
        sql(db, delete(table.__table__), *([insert(table.__table__).values(rows)] if rows else []))


def findings(db: Database) -> list[str]:
    with db.begin(write=False) as session:
        return [f.where for f in grants.verify(session)]


def role_id(db: Database, code: str) -> int:
    with db.begin(write=False) as session:
        return session.scalar(select(Role.id).where(Role.code == code)) or 0


def user_of(client: FlaskClient) -> int:
    return client.get("/api/session").get_json()["user"]["id"]


def edit_role(db: Database, cashier: int, nurse: int) -> Any:
    return update(Role).where(Role.code == "cashier").values(permissions="security.grants audit.read")


def edit_grant(db: Database, cashier: int, nurse: int) -> Any:
    return update(UserRole).where(UserRole.user_id == cashier).values(role_id=role_id(db, "secadmin"))


def insert_grant(db: Database, cashier: int, nurse: int) -> Any:
    stolen = copy(db, UserRole)[UserRole][0]
    return insert(UserRole).values({**stolen, "user_id": cashier, "role_id": role_id(db, "sysadmin")})


def delete_grant(db: Database, cashier: int, nurse: int) -> Any:
    return delete(UserRole).where(UserRole.user_id == cashier)


def swap_grants(db: Database, cashier: int, nurse: int) -> Any:
    rows = {r["user_id"]: r for r in copy(db, UserRole)[UserRole]}
    sql(db, delete(UserRole).where(UserRole.user_id.in_([cashier, nurse])))
    return insert(UserRole).values([{**rows[cashier], "user_id": nurse}, {**rows[nurse], "user_id": cashier}])


def edit_state(db: Database, cashier: int, nurse: int) -> Any:
    return update(User).where(User.id == cashier).values(valid_until=None, staff_id=4711)


def delete_set(db: Database, cashier: int, nurse: int) -> Any:
    return delete(integrity.IntegritySet).where(integrity.IntegritySet.owner == f"user:{cashier}")


def edit_head(db: Database, cashier: int, nurse: int) -> Any:
    return update(integrity.IntegrityHead).values(version=integrity.IntegrityHead.version + 1)


def delete_head(db: Database, cashier: int, nurse: int) -> Any:
    return delete(integrity.IntegrityHead)


ATTACKS = [edit_role, edit_grant, insert_grant, delete_grant, swap_grants, edit_state, delete_set, edit_head,
           delete_head]
SEEN_BY_REQUEST = [attack for attack in ATTACKS if attack is not delete_set]  # the set's MAC is in the verified head


@pytest.mark.requirement("MP-07")
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_changed_grants_are_refused_and_reported(attack: Callable[..., Any], sign_in: Any, db: Database,
                                                 app: Flask) -> None:
    client, other = sign_in("cashier"), sign_in("nurse")
    ids = user_of(client), user_of(other)
    assert findings(db) == []
    sql(db, attack(db, *ids))
    assert findings(db)
    if attack in SEEN_BY_REQUEST:
        answer = client.get("/api/session")
        assert answer.status_code == 403 and answer.get_json()["code"] == "integrity.violation"
        with db.begin(write=False) as session:
            alarm = session.scalars(select(AuditRow).where(AuditRow.event == "integrity.violation")).first()
            assert alarm is not None and not alarm.success and alarm.user_id == ids[0]


@pytest.mark.requirement("MP-07")
@pytest.mark.parametrize("everything", [False, True])
def test_old_grants_put_back_are_refused(everything: bool, sign_in: Any, db: Database, app: Flask, settings: Any,
                                         clock: ManualClock, hospital: Hospital, sealer: Any) -> None:
    """Rows, sets and head together: only the outside anchor and the memory of processes know better."""
    client = sign_in("cashier", "registrar")
    user_id = user_of(client)
    tables = [UserRole, integrity.IntegritySet, integrity.IntegrityHead] if everything else [UserRole]
    kept = copy(db, *tables)
    with db.begin() as session:
        grants.set_roles(session, SYSTEM, user_id, [("cashier", None)])
    assert client.get("/api/session").get_json()["user"]["roles"] == ["cashier"]
    put_back(db, kept)
    assert client.get("/api/session").status_code == 403
    restarted = Database(db.url, clock=clock, sealer=sealer)
    try:
        anchor.place(restarted, settings.data_dir)
        with restarted.begin(write=False) as session:
            assert grants.verify(session)
    finally:
        restarted.dispose()


@pytest.mark.requirement("MP-07")
def test_a_changed_set_cannot_be_laundered_by_a_later_grant(sign_in: Any, db: Database) -> None:
    client = sign_in("cashier")
    user_id = user_of(client)
    sql(db, insert_grant(db, user_id, 0))
    from his_server.errors import Forbidden

    with pytest.raises(Forbidden, match="integrity"), db.begin() as session:
        grants.set_roles(session, SYSTEM, user_id, [("nurse", None)])


@pytest.mark.requirement("MP-07")
def test_a_session_cannot_be_pointed_at_another_account(sign_in: Any, db: Database) -> None:
    thief, victim = sign_in("cashier"), sign_in("secadmin")
    ids = user_of(thief), user_of(victim)
    sql(db, update(SignInSession).where(SignInSession.user_id == ids[0]).values(user_id=ids[1]))
    assert thief.get("/api/session").status_code == 403
    assert victim.get("/api/session").status_code == 200


@pytest.mark.requirement("MP-07")
def test_acceptance_after_a_restore_is_on_record(sign_in: Any, db: Database) -> None:
    client = sign_in("cashier", "registrar")
    kept = copy(db, UserRole, integrity.IntegritySet, integrity.IntegrityHead)
    with db.begin() as session:
        grants.set_roles(session, SYSTEM, user_of(client), [("cashier", None)])
    put_back(db, kept)
    assert client.get("/api/session").status_code == 403
    with db.begin() as session:
        grants.accept(session, SYSTEM, "演练恢复")
    assert findings(db) == []
    assert client.get("/api/session").get_json()["user"]["roles"] == ["cashier", "registrar"]
    with db.begin(write=False) as session:
        row = session.scalars(select(AuditRow).where(AuditRow.event == "integrity.accept")).one()
        assert "演练恢复" in row.detail


def test_grant_changes_take_effect_at_once_with_one_query(sign_in: Any, db: Database, query_counter: Any,
                                                          app: Flask) -> None:
    client = sign_in("cashier")
    user_id = user_of(client)
    security = app.extensions["his_security"]
    with app.test_request_context("/api/session", headers={"Cookie": _cookie(client, security)}) as context:
        with query_counter() as count:
            actor = security.authenticate(context.request)
        asked = [s for s in count.statements if not s.startswith("PRAGMA")]
        assert len(asked) == 1 and actor.roles == ("cashier",)
    with db.begin() as session:
        grants.set_roles(session, SYSTEM, user_id, [("nurse", 7), ("cashier", 8)])
    shown = client.get("/api/session").get_json()
    assert shown["user"]["roles"] == ["cashier", "nurse"]


def _cookie(client: FlaskClient, security: Any) -> str:
    found = client.get_cookie(security.cookie)
    assert found is not None
    return f"{security.cookie}={found.value}"


# The audit trail


def write_rows(db: Database, count: int) -> list[int]:
    with db.begin() as session:
        return [audit.record(session, SYSTEM, "test.event", "thing", n, {"n": n}) for n in range(count)]


@pytest.fixture
def trail(db: Database, hospital: Hospital, tmp_path: Path) -> list[int]:
    """Ids of ten sealed rows, three checkpoints in an anchor."""
    anchor.place(db, tmp_path)
    with db.begin() as session:
        bootstrap(session, hospital)
    ids = []
    for count in (4, 3, 3):
        ids += write_rows(db, count)
        seals.seal_all(db)
        seals.checkpoint_now(db)
    assert audit_findings(db) == []
    return ids


def audit_findings(db: Database) -> list[str]:
    with db.begin(write=False) as session:
        return [f"{f.where} {f.message}" for f in seals.verify(session)]


def table(name: str) -> Any:
    return {"rows": AuditRow, "seals": seals.Seal, "points": seals.SealCheckpoint}[name].__table__


@pytest.mark.requirement("MP-14", "DB-17")
@pytest.mark.parametrize("column", [c for c in audit.COLUMNS if c != "id"] + ["row_mac"])
def test_every_column_of_an_audit_row_is_protected(column: str, trail: list[int], db: Database) -> None:
    value: Any = {"at": text("'2026-03-01 00:00:00'"), "success": False, "user_id": 99, "staff_id": 99}.get(column, "x")
    sql(db, update(table("rows")).where(AuditRow.id == trail[4]).values({column: value}))
    assert any(str(trail[4]) in found for found in audit_findings(db))


@pytest.mark.requirement("MP-14", "DB-17")
def test_deleted_middle_row_is_found(trail: list[int], db: Database) -> None:
    sql(db, delete(table("rows")).where(AuditRow.id == trail[4]))
    assert audit_findings(db) == [f"id {trail[4]} 记录被删除（序号 {_seq(db, trail[4])}）"]


@pytest.mark.requirement("MP-14", "DB-17")
def test_deleted_row_with_its_seal_is_found(trail: list[int], db: Database) -> None:
    seq = _seq(db, trail[4])
    sql(db, delete(table("rows")).where(AuditRow.id == trail[4]), delete(table("seals")).where(seals.Seal.seq == seq))
    assert any("缺失" in found for found in audit_findings(db))


@pytest.mark.requirement("MP-14", "DB-17")
def test_renumbered_seals_are_found(trail: list[int], db: Database) -> None:
    seq = _seq(db, trail[4])
    sql(db, delete(table("rows")).where(AuditRow.id == trail[4]), delete(table("seals")).where(seals.Seal.seq == seq))
    with db.engine.begin() as connection:
        for later in connection.execute(select(seals.Seal.seq).where(seals.Seal.seq > seq).order_by(seals.Seal.seq)):
            connection.execute(update(table("seals")).where(seals.Seal.seq == later.seq).values(seq=later.seq - 1))
    assert any("改动" in found for found in audit_findings(db))


@pytest.mark.requirement("MP-14", "DB-17")
def test_inserted_rows_are_found_and_never_sealed(trail: list[int], db: Database) -> None:
    made = {**copy(db, AuditRow)[AuditRow][0], "id": 5, "name": "假"}
    sql(db, insert(table("rows")).values(made))
    assert audit_findings(db) == ["id 5 记录不是由本系统写入，或被改动"]
    assert seals.seal_new(db, seals.AUDIT) == 0
    with db.begin(write=False) as session:
        alarm = session.scalars(select(AuditRow).where(AuditRow.event == "integrity.violation")).one()
        assert alarm.object_id == "5" and not alarm.success


@pytest.mark.requirement("MP-14", "DB-17")
def test_swapped_rows_are_found(trail: list[int], db: Database) -> None:
    rows = {r["id"]: r for r in copy(db, AuditRow)[AuditRow]}
    first, second = rows[trail[2]], rows[trail[6]]
    sql(db, delete(table("rows")).where(AuditRow.id.in_([trail[2], trail[6]])),
        insert(table("rows")).values([{**first, "id": second["id"]}, {**second, "id": first["id"]}]))
    assert len(audit_findings(db)) == 2


@pytest.mark.requirement("MP-14", "DB-17")
@pytest.mark.parametrize("also", [("rows",), ("rows", "seals"), ("rows", "seals", "points")])
def test_cut_tail_is_found(also: tuple[str, ...], trail: list[int], db: Database) -> None:
    seq = _seq(db, trail[7])
    with db.engine.begin() as connection:
        connection.execute(delete(table("rows")).where(AuditRow.id.in_(trail[7:])))
        if "seals" in also:
            connection.execute(delete(table("seals")).where(seals.Seal.seq >= seq))
        if "points" in also:
            connection.execute(delete(table("points")).where(seals.SealCheckpoint.number == 3))
    assert audit_findings(db)


@pytest.mark.requirement("MP-14", "DB-17")
def test_whole_trail_put_back_is_found(trail: list[int], db: Database, clock: ManualClock) -> None:
    kept = copy(db, AuditRow, seals.Seal, seals.SealCheckpoint)
    write_rows(db, 3)
    seals.seal_all(db)
    seals.checkpoint_now(db)
    put_back(db, kept)
    assert any("外部锚" in found for found in audit_findings(db))


@pytest.mark.requirement("MP-14")
def test_forged_checkpoint_and_damaged_anchor_are_found(trail: list[int], db: Database) -> None:
    folder = anchor.folder(db)
    assert folder is not None
    path = folder / "chain-audit.jsonl"
    good = path.read_text()
    path.write_text(good.replace('"seq": ', '"seq": 1', 1))
    assert audit_findings(db)
    path.write_text("{}\n")
    assert any("损坏" in found for found in audit_findings(db))
    path.write_text(good)
    assert audit_findings(db) == []
    kept = copy(db, seals.SealCheckpoint)[seals.SealCheckpoint][-1]
    sql(db, update(table("points")).where(seals.SealCheckpoint.number == kept["number"])
        .values(text=re.sub(r'"seq": \d+', '"seq": 5', kept["text"])))
    assert any("检查点" in found for found in audit_findings(db))


def _seq(db: Database, row_id: int) -> int:
    with db.engine.connect() as connection:
        return connection.execute(select(seals.Seal.seq).where(seals.Seal.row_id == row_id)).scalar_one()


@pytest.mark.requirement("MP-14")
def test_missing_sealer_is_a_finding_after_a_while(trail: list[int], db: Database, clock: ManualClock) -> None:
    write_rows(db, 1)
    assert audit_findings(db) == []
    clock.move(minutes=16)
    assert any("没有封存" in found for found in audit_findings(db))
    seals.seal_all(db)
    assert audit_findings(db) == []


def test_late_commits_get_their_place(trail: list[int], db: Database, clock: ManualClock) -> None:
    """A row written before, committed after a checkpoint."""
    clock.move(minutes=-30)
    late = write_rows(db, 1)
    clock.move(minutes=30)
    assert seals.seal_all(db) == 1
    assert _seq(db, late[0])


def test_two_sealers_make_one_chain(trail: list[int], db: Database) -> None:
    from concurrent.futures import ThreadPoolExecutor

    write_rows(db, 50)
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: seals.seal_new(db, seals.AUDIT), range(4)))
    assert sum(counts) == 50
    assert audit_findings(db) == []




def test_an_anchor_that_cannot_be_written_stops_nothing(sign_in: Any, db: Database, caplog: pytest.LogCaptureFixture,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    client = sign_in("cashier")
    user_id = user_of(client)

    def full(*_: Any) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(anchor.os, "write", full)
    with db.begin() as session:
        grants.set_roles(session, SYSTEM, user_id, [("nurse", None)])
    assert client.get("/api/session").get_json()["user"]["roles"] == ["nurse"]
    assert "can't be written" in caplog.text


def test_a_line_cut_short_by_a_crash_is_passed_over(sign_in: Any, db: Database) -> None:
    client = sign_in("cashier")
    user_id = user_of(client)
    folder = anchor.folder(db)
    assert folder is not None
    path = folder / "head-grants.jsonl"
    before = anchor.newest(db, "head:grants")
    with path.open("a") as file:
        file.write('{"version": 99, "dig')
    assert client.get("/api/session").status_code == 200
    assert anchor.newest(db, "head:grants") == before
    with db.begin() as session:
        grants.set_roles(session, SYSTEM, user_id, [("nurse", None)])
    restarted = anchor._last(path)
    assert restarted is not None and before is not None and restarted[0] == before[0] + 1
