"""Who may open a file: labels, treatment relation, emergencies, sealed files (PR-02, PR-03, PR-04, PR-06, MP-08)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from his_server.clock import ManualClock
from his_server.db import Database
from his_server.security import seals
from his_server.security.audit import AuditRow
from his_server.settings import SettingsError
from modules.kernel.patients import ports
from modules.kernel.patients.models import EmergencyAccess, Person, PersonProtection
from modules.kernel.patients.rules import CONCEALED
from modules.kernel.patients.service import access
from modules.kernel.patients.settings import Settings
from tests.counting import count_queries
from tests.factories.hospital import World
from tests.factories.security import signed_in_client

PHONE = "13800138000"
PARTS = ("", "/timeline", "/identifiers", "/merges")


@pytest.fixture
def chief(world: World) -> Any:
    """Somebody of 医务, and a second doctor who treats nobody."""
    world.clients["chief"] = signed_in_client(world.app, world.db, "medical_affairs", name="钱医务")
    world.clients["other"] = signed_in_client(world.app, world.db, "doctor", name="郑医生")
    world.clients["registrar"] = signed_in_client(world.app, world.db, "registrar", name="孙挂号")
    return world.clients["chief"]


@pytest.fixture
def patient(world: World, chief: Any) -> int:
    """Somebody whom the doctor of the small hospital treats."""
    made = world.ok(world.post("registrar", "/api/patients", {"name": "标记人", "phone": PHONE}))
    world.encounter(world.register(made["id"]))
    return int(made["id"])


def protect(world: World, patient: int, **body: Any) -> None:
    world.ok(world.post("chief", f"/api/patients/{patient}/protection", {"level": 3, "reason": "院内决定", **body}))


def code(answer: Any) -> str:
    return str(answer.json["code"]) if answer.status_code == 403 else str(answer.status_code)


def audited(db: Database, event: str) -> list[AuditRow]:
    with db.begin(write=False) as session:
        return list(session.scalars(select(AuditRow).where(AuditRow.event == event).order_by(AuditRow.at, AuditRow.id)))


@pytest.mark.requirement("PR-02", "PR-03")
def test_a_restricted_file_is_for_those_who_treat(world: World, db: Database, patient: int, clock: ManualClock) -> None:
    assert [world.get("other", f"/api/patients/{patient}{part}").status_code for part in PARTS] == [200] * 4
    protect(world, patient, level=5, kinds=["hiv", "staff"])
    for part in PARTS:
        assert code(world.get("other", f"/api/patients/{patient}{part}")) == "patients.restricted", part
        assert world.get("doctor", f"/api/patients/{patient}{part}").status_code == 200, part
        assert world.get("chief", f"/api/patients/{patient}{part}").status_code == 200, part
    edit = {"revision": 1, "phone": "13700137000"}
    assert code(world.clients["registrar"].put(f"/api/patients/{patient}", json=edit)) == "patients.restricted"
    unmask = {"fields": ["phone"], "reason": "电话随访"}
    assert code(world.post("registrar", f"/api/patients/{patient}/unmask", unmask)) == "patients.restricted"
    found = world.ok(world.get("registrar", f"/api/patients?q={PHONE}"))["items"][0]
    assert (found["restricted"], found["masked_phone"]) == (True, None)
    assert world.ok(world.get("chief", f"/api/patients?q={PHONE}"))["items"][0]["masked_phone"] == "138****8000"
    refused = [json.loads(row.detail) for row in audited(db, "patient.refused")]
    assert [each["part"] for each in refused] == ["file", "timeline", "identifiers", "merges"]
    assert sum(row.success is False for row in audited(db, "request.refused")) == 2  # the changes
    clock.move(days=9)  # treated long ago
    world.clients["doctor"] = signed_in_client(world.app, db, "doctor", name="单文渊")
    assert code(world.get("doctor", f"/api/patients/{patient}")) == "patients.restricted"


@pytest.mark.requirement("PR-02", "PR-04")
def test_an_emergency_opens_it_for_an_hour_and_is_seen(world: World, db: Database, patient: int, clock: ManualClock) -> None:
    protect(world, patient, level=4, kinds=["psychiatric"])
    path = f"/api/patients/{patient}"
    assert world.post("other", f"{path}/break-glass", {"reason": ""}).status_code == 422
    given = world.ok(world.post("other", f"{path}/break-glass", {"reason": "抢救，家属在场"}))
    assert world.get("other", path).status_code == 200
    assert code(world.get("registrar", path)) == "patients.restricted"  # for who asked, nobody else
    seen = world.ok(world.get("chief", "/api/patients/emergencies"))["items"]
    assert [(row["id"], row["user_name"], row["reason"]) for row in seen] == [(given["id"], "郑医生", "抢救，家属在场")]
    assert world.get("other", "/api/patients/emergencies").status_code == 403
    assert audited(db, "patient.break_glass")[0].object_id == str(patient)
    clock.move(minutes=61)
    world.clients["other"] = signed_in_client(world.app, db, "doctor", name="郑医生")
    assert code(world.get("other", path)) == "patients.restricted"
    with db.engine.begin() as connection:  # one that was planted, or made longer, opens nothing
        connection.execute(update(EmergencyAccess.__table__).values(until=clock.now().replace(year=2030)))
    assert code(world.get("other", path)) == "patients.restricted"


@pytest.mark.requirement("PR-06")
def test_a_locked_file_is_for_nobody(world: World, db: Database, patient: int) -> None:
    encounter = world.ok(world.get("doctor", f"/api/orders/visits?department_id={world.ids['clinic']}"))["items"][0]["id"]
    assert world.get("doctor", f"/api/orders/visits/{encounter}").status_code == 200
    protect(world, patient, locked=True, kinds=["dispute"])
    for part in PARTS:
        for who in ("doctor", "registrar", "cashier", "other"):
            assert code(world.get(who, f"/api/patients/{patient}{part}")) == "patients.locked", (who, part)
    assert code(world.get("doctor", f"/api/orders/visits/{encounter}")) == "patients.locked"
    assert code(world.post("doctor", f"/api/patients/{patient}/break-glass", {"reason": "想看一下"})) == "patients.locked"
    assert world.ok(world.get("doctor", f"/api/patients?q={PHONE}"))["items"] == []
    assert world.ok(world.get("doctor", "/api/patients?q=bjr"))["items"] == []
    assert [row["id"] for row in world.ok(world.get("chief", f"/api/patients?q={PHONE}"))["items"]] == [patient]
    assert world.get("chief", f"/api/patients/{patient}").status_code == 200
    parts = {json.loads(row.detail)["part"] for row in audited(db, "patient.refused")}
    assert parts == {"file", "timeline", "identifiers", "merges", "orders", "search"}
    protect(world, patient, locked=False)
    assert world.get("doctor", f"/api/patients/{patient}").status_code == 200
    history = world.ok(world.get("chief", f"/api/patients/{patient}/protection"))["items"]
    assert [(row["locked"], row["kinds"], row["in_force"]) for row in history] == [
        (False, [], True), (True, ["dispute"], False)]
    for who in ("doctor", "registrar"):
        assert world.post(who, f"/api/patients/{patient}/protection", {"level": 1, "reason": "放开"}).status_code == 403


@pytest.mark.requirement("PR-04")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_need_to_know_for_every_file(world: World, db: Database, patient: int) -> None:
    assert world.get("other", f"/api/patients/{patient}").status_code == 200
    db.ports[ports.NEED_TO_KNOW] = "all"
    assert code(world.get("other", f"/api/patients/{patient}")) == "patients.restricted"
    assert world.get("doctor", f"/api/patients/{patient}").status_code == 200
    assert world.get("registrar", f"/api/patients/{patient}").status_code == 200  # who files people
    with pytest.raises(SettingsError):
        Settings(need_to_know="nobody")


@pytest.mark.requirement("MP-08", "PR-02")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_a_label_changed_with_sql_is_found_and_opens_nothing(world: World, db: Database, patient: int, tmp_path: Any) -> None:
    from his_server.security import anchor

    anchor.place(db, tmp_path)
    protect(world, patient, level=5, kinds=["hiv"])
    protect(world, patient, level=4, kinds=["hiv"])
    seals.seal_all(db)
    table = PersonProtection.__table__

    def findings() -> list[str]:
        with db.begin(write=False) as session:
            return [f.check for f in (*seals.verify_all(session), *access.in_force_is_newest(session))]

    assert findings() == []
    with db.engine.begin() as connection:
        connection.execute(update(table).where(table.c.in_force == 1).values(level=1))
    assert code(world.get("other", f"/api/patients/{patient}")) == "integrity.violation"
    assert "person_protection" in findings()
    with db.engine.begin() as connection:
        connection.execute(update(table).where(table.c.in_force == 1).values(level=4))
    assert findings() == []
    with db.engine.begin() as connection:
        connection.execute(update(table).where(table.c.in_force == 1).values(in_force=7))
    assert findings() == ["patients.protection"]
    for who in ("other", "doctor"):  # nor does one that was put out of force
        assert code(world.get(who, f"/api/patients/{patient}")) == "integrity.violation"
    protect(world, patient, level=5, locked=True)  # the next decision is good again
    assert code(world.get("other", f"/api/patients/{patient}")) == "patients.locked"
    with db.engine.begin() as connection:  # a former decision put back in the place of the newest
        connection.execute(delete(table).where(table.c.in_force == 1))
        connection.execute(update(table).where(table.c.in_force == 7).values(in_force=1))
    assert code(world.get("other", f"/api/patients/{patient}")) == "integrity.violation"
    with db.engine.begin() as connection:
        connection.execute(delete(table))
    assert findings().count("person_protection") == 2


@pytest.mark.requirement("PR-02")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_protected_files_are_not_merged_away(world: World, patient: int) -> None:
    other = world.ok(world.post("registrar", "/api/patients", {"name": "另一人"}))["id"]
    protect(world, patient, level=4)
    body = {"survivor_id": other, "merged_id": patient, "reason": "同一人"}
    assert world.post("registrar", "/api/patients/merge", body).json["code"] == "patients.protected"
    assert world.post("registrar", "/api/patients/merge", {**body, "survivor_id": patient, "merged_id": other}).status_code == 201
    assert code(world.get("other", f"/api/patients/{other}")) == "patients.restricted"  # by whichever number
    for bad in ({"level": 6}, {"level": 0}, {"kinds": ["x"]}, {"reason": ""}):
        assert world.post("chief", f"/api/patients/{patient}/protection", {"level": 3, "reason": "院内决定", **bad}
                          ).status_code == 422
    assert world.post("chief", "/api/patients/999999/protection", {"level": 3, "reason": "院内决定"}).status_code == 404


@pytest.mark.requirement("PR-02", "PR-06")
def test_the_office_sees_what_is_sealed_and_restricted(world: World, db: Database, patient: int) -> None:
    others = [world.ok(world.post("registrar", "/api/patients", {"name": f"某人{n}"}))["id"] for n in range(3)]
    protect(world, patient, level=3, locked=True, kinds=["dispute"], reason="医疗纠纷")
    for person, level in zip(others, (3, 4, 5), strict=True):
        protect(world, person, level=level, kinds=["hiv"])
    path = "/api/patients/protected"

    def ids(**query: Any) -> list[int]:
        return [row["person_id"] for row in world.ok(world.clients["chief"].get(path, query_string=query))["items"]]

    assert ids() == [others[2], others[1], patient]  # the newest decision first; level 3 is nothing special
    assert (ids(which="locked"), ids(which="restricted")) == ([patient], [others[2], others[1]])
    page = world.ok(world.clients["chief"].get(path, query_string={"limit": 2}))
    assert page["next"] and ids(limit=2, after=page["next"]) == [patient]
    with count_queries(db) as count:
        assert len(ids()) == 3
    assert sum("person_protection" in statement for statement in count.statements) == 1
    row = world.ok(world.get("chief", f"{path}?which=locked"))["items"][0]
    assert (row["name"], row["level"], row["kinds"], row["reason"], row["decided_by_name"]) == (
        "标**", 3, ["dispute"], "医疗纠纷", "钱医务")
    protect(world, patient, locked=False, reason="已处理完毕")
    protect(world, others[1], level=1)
    assert ids() == [others[2]]
    for who in ("doctor", "registrar", "cashier", "other"):
        assert world.get(who, path).status_code == 403
    assert world.get("chief", f"{path}?after=x").status_code == 422


def shown(world: World, *texts: str) -> set[str]:
    """Where one of the texts stands in an answer to a GET that a role of the small hospital may ask. The list of sealed files
    itself is left out: it is for those who decide on them."""
    found = set()
    paths = world.get("chief", "/api/openapi.json").json["paths"]
    for path, about in paths.items():
        if "get" not in about or "{" in path or path.startswith(("/api/live", "/api/patients/protected")):
            continue
        for who in world.clients:
            text = world.get(who, path).get_data(as_text=True)
            found |= {f"{who} {path}" for one in texts if one in text}
    return found


@pytest.mark.requirement("PR-06")
def test_a_locked_persons_name_is_in_no_list_and_comes_back(world: World, db: Database, patient: int) -> None:
    encounter = world.ok(world.get("doctor", f"/api/orders/visits?department_id={world.ids['clinic']}"))["items"][0]["id"]
    world.prescribe(encounter)
    world.ok(world.pay_all(patient))
    world.clients["both"] = signed_in_client(world.app, db, "medical_affairs", "registrar", name="周全")
    path, card = f"/api/patients/{patient}", {"kind": "id_card", "id_no": "320602198001011235"}
    edit = {"id_type": "01", "id_no": card["id_no"]}
    world.ok(world.clients["registrar"].put(path, json={"revision": world.ok(world.get("both", path))["revision"], **edit}))
    before = world.ok(world.get("registrar", f"{path}/timeline"))["items"]
    names = ("标记人", "标**")
    everywhere = shown(world, *names)
    assert len(everywhere) > 5, everywhere
    protect(world, patient, locked=True, kinds=["dispute"])
    protect(world, patient, locked=True, kinds=["dispute", "vip"])  # decided again: the name is still the name
    assert shown(world, *names) == set()
    assert {place for place in everywhere if "/api/patients" not in place} == shown(world, CONCEALED)  # the rows stay
    assert code(world.post("registrar", "/api/patients/recognise", card)) == "patients.locked"
    file = world.ok(world.get("both", path))
    assert file["name"] == "标记人"
    again = world.clients["both"].put(path, json={"revision": file["revision"], "name": "标记人", "work_unit": "厂"})
    renamed = world.clients["both"].put(path, json={"revision": world.ok(again)["revision"], "name": "别名"})
    assert (renamed.status_code, renamed.json["code"]) == (409, "patients.locked")
    with db.begin(write=False) as session:
        person = session.get_one(Person, patient)
        assert (person.name, person.legal_name) == (CONCEALED, "标记人")
        assert "标记人".encode() not in bytes(person.name_kept_sealed or b"")
    protect(world, patient, locked=False)
    assert shown(world, *names) == everywhere
    after = world.ok(world.get("registrar", f"{path}/timeline"))["items"]
    assert [row["field"] for row in after] == ["work_unit", *(row["field"] for row in before)]  # hiding is no renaming


@pytest.mark.requirement("PR-06", "HS-08")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_a_locked_file_stays_one_with_what_was_merged_into_it(world: World, patient: int) -> None:
    other = world.ok(world.post("registrar", "/api/patients", {"name": "另一人"}))["id"]
    protect(world, patient, locked=True)
    body = {"survivor_id": patient, "merged_id": other, "reason": "同一人"}
    merged = world.ok(world.post("registrar", "/api/patients/merge", body))
    assert "另一人" not in world.get("registrar", f"/api/patients/{other}").get_data(as_text=True)
    undo = {"merge_id": merged["id"], "reason": "不是同一人"}
    assert world.post("registrar", "/api/patients/unmerge", undo).json["code"] == "patients.protected"
    protect(world, patient, locked=False)
    world.ok(world.post("registrar", "/api/patients/unmerge", undo))
    assert world.ok(world.get("registrar", f"/api/patients/{other}"))["name"] == "另一人"
