"""Accounts, three administrators, password rules (DB-01, DB-02, DB-08, DB-12, DB-13)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from crypto import Sealer, pem
from crypto.ca import CertificateAuthority
from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.errors import Conflict, Forbidden, Invalid
from his_server.registry import Hospital
from his_server.security import accounts, bootstrap, certificates, create_user, grants, rules
from his_server.security.audit import AuditRow
from his_server.security.models import Role, User
from tests.security.conftest import GOOD, sealed


def events(db: Database, *names: str) -> int:
    with db.begin(write=False) as session:
        return session.scalar(select(func.count()).select_from(AuditRow).where(AuditRow.event.in_(names))) or 0


@pytest.mark.requirement("DB-01")
@pytest.mark.parametrize("again", ["a1", "A1", " a1 ", "a\u200b1", "ａ１", "Ａ1", "a 1"])
def test_a_login_is_given_once(again: str, make: Any) -> None:
    make("a1")
    with pytest.raises(Conflict):
        make(again)


@pytest.mark.requirement("DB-01")
@pytest.mark.parametrize("bad", ["", "a", "а1", "管理员", "a/b", "-a", "x" * 41, "a\u202eb/", "a'--"])
def test_look_alikes_and_odd_logins_are_refused(bad: str, make: Any) -> None:
    with pytest.raises(Invalid):
        make(bad)


@pytest.mark.requirement("DB-01", "DB-12")
def test_a_disabled_login_is_not_given_again_and_one_account_a_person(make: Any, db: Database) -> None:
    user = make("a1", staff_id=77)
    with db.begin() as session:
        accounts.change_user(session, SYSTEM_BUT(1), user.id, name="李明", department_id=None, valid_until=None,
                             active=False)
    with pytest.raises(Conflict, match=r"security\.account_exists"):
        make("a1")
    with pytest.raises(Conflict, match=r"security\.account_exists"):
        make("b1", staff_id=77)


def SYSTEM_BUT(user_id: int) -> Any:
    from dataclasses import replace

    return replace(SYSTEM, user_id=user_id)


WEAK = ["12345678", "Abcdefgh", "abcd1234", "Aa1!aa", "P@ssw0rd", "P@ssw0rd123!", "Admin@2026", "Qwerty123!", "Woaini520!",
        "Aa123456!", "Zhang@123", "Nantong2026!", "1qaz2wsxA", "Aaaaaaa1!", "Abc1Abc1", "Sysdba@2026", "LiMing12!x"]


@pytest.mark.requirement("DB-02")
@pytest.mark.parametrize("password", WEAK)
def test_weak_passwords(password: str) -> None:
    assert rules.password_problems(password, "liming")


@pytest.mark.requirement("DB-02")
@pytest.mark.parametrize("password", [GOOD, "Wenig9+Licht", "晨光Kaffee-88", "vUx8!mnoPa", "T4sse.Wolke"])
def test_good_passwords(password: str) -> None:
    assert rules.password_problems(password, "liming") == []
    short = [] if len(password) >= 10 else ["至少 10 位"]
    assert rules.password_problems(password, "liming", administrator=True) == short


@pytest.mark.requirement("DB-02")
def test_the_first_password_is_checked_too(make: Any) -> None:
    with pytest.raises(Invalid, match=r"security\.weak_password"):
        make("a1", password="12345678")
    with pytest.raises(Invalid, match=r"security\.weak_password"):
        make("boss", password="T4sse.Wo", roles=["sysadmin"])


@pytest.mark.requirement("DB-13")
@pytest.mark.parametrize("held", [("sysadmin", "secadmin"), ("secadmin", "auditadmin"), ("sysadmin", "auditadmin"),
                                  ("sysadmin", "cashier"), ("auditadmin", "doctor")])
def test_administrators_exclude_each_other_and_hospital_work(held: tuple[str, ...], sign_in: Any, make: Any) -> None:
    user = make("li")
    boss = sign_in("secadmin")
    answer = boss.put(f"/api/security/users/{user.id}/grants", json={"grants": [{"role": r} for r in held]})
    assert answer.status_code == 422 and answer.get_json()["code"] == "security.separation"


@pytest.mark.requirement("DB-13")
def test_who_creates_cannot_grant_and_who_grants_cannot_create(sign_in: Any, sealer: Sealer, db: Database) -> None:
    system, security = sign_in("sysadmin"), sign_in("secadmin")
    body = {"login": "new", "name": "新人", **sealed(system, sealer, password=GOOD)}
    assert security.post("/api/security/users", json=body).status_code == 403
    made = system.post("/api/security/users", json={"login": "new", "name": "新人", **sealed(system, sealer, password=GOOD)})
    assert made.status_code == 201
    path = f"/api/security/users/{made.get_json()['id']}"
    wanted = {"grants": [{"role": "cashier", "department_id": 12}, {"role": "registrar"}]}
    assert system.put(f"{path}/grants", json=wanted).status_code == 403
    assert security.put(f"{path}/grants", json=wanted).status_code == 200
    listed = security.get("/api/security/users?q=NEW").get_json()["items"]
    assert sorted((g["role"], g["department_id"]) for g in listed[0]["grants"]) == [("cashier", 12), ("registrar", None)]
    with pytest.raises(Forbidden, match=r"security\.separation"), db.begin() as session:
        create_user(session, SYSTEM_BUT(5), login="sly", name="x", password=GOOD, roles=["sysadmin"])


@pytest.mark.requirement("DB-13")
def test_nobody_serves_himself(sign_in: Any, db: Database, sealer: Sealer) -> None:
    security, system = sign_in("secadmin"), sign_in("sysadmin")
    me, he = (c.get("/api/session").get_json()["user"]["id"] for c in (security, system))
    assert security.put(f"/api/security/users/{me}/grants", json={"grants": [{"role": "auditadmin"}]}).status_code == 403
    assert security.post(f"/api/security/users/{me}/totp").status_code == 403
    assert security.delete(f"/api/security/users/{me}/factors").status_code == 403
    assert system.put(f"/api/security/users/{he}", json={"name": "x", "active": True}).status_code == 403
    reset = system.post(f"/api/security/users/{he}/password", json=sealed(system, sealer, password=GOOD + "1"))
    assert reset.status_code == 403


@pytest.mark.requirement("DB-13")
def test_last_audit_administrator_stays(sign_in: Any, make: Any, clock: ManualClock) -> None:
    security, system = sign_in("secadmin"), sign_in("sysadmin")
    first, second = make("audit1", roles=["auditadmin"]), make("audit2", roles=["auditadmin"])

    def revoke(user: User) -> int:
        return security.put(f"/api/security/users/{user.id}/grants", json={"grants": []}).status_code

    def change(user: User, **values: Any) -> int:
        body = {"name": "审计", "active": True, **values}
        return system.put(f"/api/security/users/{user.id}", json=body).status_code

    assert change(first, active=False) == 200
    assert revoke(second) == 409 and change(second, active=False) == 409
    assert change(second, valid_until="2026-01-01") == 409
    assert change(first) == 200
    assert revoke(second) == 200
    assert revoke(first) == 409


@pytest.mark.requirement("DB-13")
def test_custom_roles_cannot_take_administrators_powers(sign_in: Any, hospital: Hospital, db: Database) -> None:
    boss = sign_in("secadmin")

    def save(code: str, *permissions: str) -> Any:
        return boss.put(f"/api/security/roles/{code}", json={"title": "自定义", "permissions": list(permissions)})

    business = sorted(hospital.role_permissions()["cashier"])[0]
    assert save("window", business).status_code == 200
    assert save("window", business, "security.grants").status_code == 422
    assert save("window", "audit.read").status_code == 422
    assert save("window", "no.such").status_code == 422
    assert [save(admin, business).status_code for admin in rules.ADMINISTRATORS] == [403] * 3
    worker = sign_in("window")
    assert worker.get("/api/session").get_json()["permissions"] == [business]
    assert save("window").status_code == 200
    assert worker.get("/api/session").get_json()["permissions"] == []


@pytest.mark.requirement("DB-13")
def test_declarations_that_mix_administrators_stop_the_start(db: Database) -> None:
    from his_server.module import Module, Permission

    mixed = Hospital((Module("x", "x", permissions=(Permission("x.y", "", ("sysadmin", "auditadmin")),)),))
    with pytest.raises(ValueError, match=r"x\.y"), db.begin() as session:
        bootstrap(session, mixed)


def test_bootstrap_keeps_what_the_hospital_chose(db: Database) -> None:
    from his_server.module import Module, Permission

    def hospital(*codes: str) -> Hospital:
        return Hospital((Module("x", "x", permissions=tuple(Permission(c, "", ("cashier",)) for c in codes)),))

    def held() -> str:
        with db.begin(write=False) as session:
            return session.scalars(select(Role.permissions).where(Role.code == "cashier")).one()

    with db.begin() as session:
        bootstrap(session, hospital("a", "b"))
    with db.begin() as session:
        grants.save_role(session, SYSTEM_BUT(1), hospital("a", "b", "c"), "cashier", title="收费员", permissions=["b", "c"],
                         second_factor=False)
    for _ in range(2):
        with db.begin() as session:
            bootstrap(session, hospital("a", "b", "d"))
    assert held() == "b c d"
    with db.begin() as session:
        bootstrap(session, hospital("d"))
    assert held() == "c d"
    with db.begin(write=False) as session:
        assert grants.verify(session) == []
        assert session.scalar(select(func.count()).select_from(Role)) == len(rules.ROLE_TITLES)


@pytest.mark.requirement("DB-03", "DB-04", "DB-15")
def test_reset_and_unlock(sign_in: Any, make: Any, enter: Any, sealer: Sealer, db: Database) -> None:
    user, system = make("li"), sign_in("sysadmin")
    for _ in range(5):
        enter("li", "Wrong1+word")
    assert enter("li", GOOD).status_code == 401
    assert system.post(f"/api/security/users/{user.id}/unlock").status_code == 200
    assert enter("li", GOOD).status_code == 200
    new = "Andres#77wort"
    assert system.post(f"/api/security/users/{user.id}/password", json=sealed(system, sealer, password="123")).status_code == 422
    body = sealed(system, sealer, password=new)
    assert system.post(f"/api/security/users/{user.id}/password", json=body).status_code == 200
    assert system.post(f"/api/security/users/{user.id}/password", json=body).status_code == 401  # nonce used up
    assert enter("li", GOOD).status_code == 401
    assert enter("li", new).get_json()["must_change_password"] is True
    assert events(db, "user.unlock", "user.password_reset") == 2


@pytest.mark.requirement("DB-12")
def test_disabling_ends_the_session_and_unused_accounts_are_listed(sign_in: Any, make: Any, enter: Any,
                                                                   client: FlaskClient, clock: ManualClock) -> None:
    user, system = make("li"), sign_in("sysadmin")
    assert enter("li", GOOD).status_code == 200
    assert system.put(f"/api/security/users/{user.id}", json={"name": "李明", "active": False}).status_code == 200
    assert client.get("/api/session").status_code == 401
    clock.move(days=91)
    fresh = sign_in("sysadmin")
    listed = fresh.get("/api/security/users?unused_days=90").get_json()["items"]
    assert "li" in [u["login"] for u in listed]
    assert fresh.get("/api/security/users?limit=1").get_json()["next"]
    assert fresh.get("/api/security/users?after=junk").status_code == 422


@pytest.mark.requirement("DB-08")
def test_factors_are_bound_by_the_security_administrator(sign_in: Any, make: Any, db: Database) -> None:
    user = make("li")
    system, security = sign_in("sysadmin"), sign_in("secadmin")
    assert system.post(f"/api/security/users/{user.id}/totp").status_code == 403
    made = security.post(f"/api/security/users/{user.id}/totp").get_json()
    assert "algorithm=SM3" in made["uri"] and len(made["secret"]) == 52
    assert security.delete(f"/api/security/users/{user.id}/factors").status_code == 200
    assert events(db, "factor.enrol", "factor.remove") == 2
    with db.begin(write=False) as session:
        rows = session.scalars(select(AuditRow.detail)).all()
    assert made["secret"] not in repr(rows)


@pytest.fixture
def authority(settings: Any, sealer: Sealer, clock: ManualClock, tmp_path: Path) -> Any:
    """A CA that the product trusts, and a function that issues (private key, PEM)."""
    ca = CertificateAuthority.create(tmp_path / "ca", sealer.provider, {"CN": "测试 CA"}, clock.now())
    trust = settings.data_dir / "trust"
    trust.mkdir(exist_ok=True)
    (trust / "test.pem").write_text(pem.encode("CERTIFICATE", ca.certificate.der))
    yield ca, trust
    for path in trust.iterdir():
        path.unlink()


@pytest.mark.requirement("MP-05", "DB-08")
def test_certificate_sign_in(authority: Any, sign_in: Any, make: Any, client: FlaskClient, sealer: Sealer, settings: Any,
                             clock: ManualClock, enter: Any, db: Database, tmp_path: Path) -> None:
    ca, trust = authority
    private, public = sealer.provider.sm2_generate()
    issued = ca.issue({"CN": "李明"}, public, clock.now(), days=30)
    text = pem.encode("CERTIFICATE", issued.der)
    user, security = make("boss", roles=["sysadmin"]), sign_in("secadmin")
    assert security.post(f"/api/security/users/{user.id}/certificate", json={"certificate": "junk"}).status_code == 422
    assert security.post(f"/api/security/users/{user.id}/certificate", json={"certificate": text}).status_code == 200

    def answer(login: str = "boss", key: bytes = private, shown: str = text, **more: Any) -> dict[str, Any]:
        nonce = client.get("/api/session/challenge").get_json()["nonce"]
        signed = certificates.signed_text(settings.hospital_code, "boss", nonce)
        return {"login": login, "nonce": nonce, "certificate": shown,
                "signature": sealer.provider.sm2_sign(key, signed).hex(), **more}

    def post(body: dict[str, Any]) -> int:
        return client.post("/api/session/certificate", json=body).status_code

    good = answer()
    assert post(good) == 200
    assert post(good) == 401  # replay
    make("other")
    assert post(answer(login="other")) == 401
    stranger, _ = sealer.provider.sm2_generate()
    assert post(answer(key=stranger)) == 401
    second = pem.encode("CERTIFICATE", ca.issue({"CN": "李明"}, public, clock.now()).der)
    assert post(answer(shown=second)) == 401  # same key, but not the certificate that is bound
    ticket = enter("boss", GOOD).get_json()["ticket"]
    assert post(answer(ticket=ticket)) == 200  # as second step after the password
    assert events(db, "session.refused") >= 4
    late = answer()
    clock.move(seconds=61)
    assert post(late) == 401
    (trust / "list.crl").write_bytes(ca.revoke(issued.serial, clock.now()).der)
    clock.move(seconds=1)
    assert post(answer()) == 401  # revoked
    (trust / "list.crl").unlink()
    assert post(answer()) == 200
    clock.move(days=31)
    assert post(answer()) == 401  # expired


def test_scopes_follow_the_departments(sign_in: Any, app: Any, hospital: Hospital) -> None:
    from his_server.security.sessions import effective_of

    class Row:
        def __init__(self, role_id: int, code: str, permissions: str, granted_in: int, active: bool = True) -> None:
            self.role_id, self.code, self.permissions, self.granted_in = role_id, code, permissions, granted_in
            self.role_active, self.role_factor = active, False

    found = effective_of([Row(1, "a", "x y", 5), Row(1, "a", "x y", 6), Row(2, "b", "y z", 0), Row(3, "c", "w", 0, False)])
    assert found.roles == ("a", "b") and found.permissions == {"x", "y", "z"}
    assert found.scopes == {"x": frozenset({5, 6})}


@pytest.mark.requirement("DB-10")
def test_scope_helpers() -> None:
    from his_server.actor import Actor
    from his_server.errors import NotFound
    from his_server.security import scopes

    actor = Actor(user_id=1, login="a", name="b", permissions=frozenset({"x", "y"}), scopes={"x": frozenset({5})})
    assert scopes.departments(actor, "x") == {5} and scopes.departments(actor, "y") is None
    scopes.require(actor, "x", 5)
    scopes.require(actor, "y", 6)
    for other in (6, None):
        with pytest.raises(NotFound):
            scopes.require(actor, "x", other)


@pytest.mark.requirement("PR-05")
def test_interns_trainees_and_vendors_have_a_last_day(make: Any, sign_in: Any, client: FlaskClient, enter: Any,
                                                      clock: ManualClock) -> None:
    user, system, security = make("shixi"), sign_in("sysadmin"), sign_in("secadmin")
    path = f"/api/security/users/{user.id}"

    def change(until: str | None) -> Any:
        return system.put(path, json={"name": "李明", "active": True, "valid_until": until})

    def grant(*roles: str) -> Any:
        return security.put(f"{path}/grants", json={"grants": [{"role": role} for role in roles]})

    for mark in ("intern", "trainee", "vendor"):
        refused = grant("nurse", mark)
        assert (refused.status_code, refused.get_json()["code"]) == (409, "security.end_date"), mark
    assert change("2028-01-01").status_code == 200
    assert grant("nurse", "intern").status_code == 409  # more than a year
    assert change("2026-03-20").status_code == 200
    assert grant("nurse", "intern").status_code == 200
    for until in (None, "2028-01-01"):  # and it stays: the other administrator can't lift it either
        longer = change(until)
        assert longer.status_code == 422 and longer.get_json()["errors"][0]["field"] == "valid_until", until
    clock.move(days=18)
    assert enter("shixi", GOOD).status_code == 200  # the last day
    clock.move(hours=10)
    assert enter("shixi", GOOD).status_code == 200
    clock.move(hours=8)
    assert client.get("/api/session").status_code == 401  # signed in, and over all the same
    assert enter("shixi", GOOD).status_code == 401
