"""One box finds a person by whatever is typed, scanned or read (M1.3, M3.2, M7.4), and shows only masks (PR-01)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from his_server.actor import SYSTEM
from modules.kernel.encounters import service as encounters
from modules.kernel.patients import service
from tests.factories.people import Window

PERSON = {"name": "单雨桐", "id_type": "01", "id_no": "11010519491231002X", "phone": "13800138000",
          "insurance_no": "320600A0012345", "hospital_card": "C0012345", "social_card": "JA1234567"}
UNMASKED = re.compile(r"(?<![0-9*])[0-9]{17}[0-9Xx](?![0-9])|(?<![0-9*])1[3-9][0-9]{9}(?![0-9])")


def _visit_no(window: Window, person_id: int) -> str:
    with window.db.begin() as session:
        session.info["actor"] = SYSTEM
        return encounters.open_encounter(session, SYSTEM, person_id=person_id, kind="outpatient",
                                         department_id=1).visit_no


@pytest.mark.requirement("M1.3", "M3.2", "HS-08", "MP-13")
def test_every_number_leads_to_the_person(window: Window, query_counter: Callable[..., Any]) -> None:
    person = window.create(**PERSON)
    other = window.create(name="王芳", phone="13900139000")
    window.ok(window.post(f"patients/{person['id']}/identifiers", {"kind": "inpatient_no", "number": "ZY2026-0001"}))
    asked = ["11010519491231002X", "11010519491231002x", "１１０１０５１９４９１２３１００２X", "110105491231002",
             "13800138000", "+86 138 0013 8000", "320600a0012345", "C0012345", "c-0012345", "JA1234567", "ZY20260001",
             person["outpatient_no"], _visit_no(window, person["id"])]
    for q in asked:
        assert window.find(q) == [person["id"]], q
    assert window.find(other["outpatient_no"]) == [other["id"]]
    assert window.find("11010519491231003X") == []
    for q in [*asked, "单雨桐", "shanyutong", "99999999", "x"]:
        with query_counter() as count:
            window.find(q)
        asked_of_db = [s for s in count.statements if s.lstrip("(").startswith("SELECT")]
        assert len(asked_of_db) <= 3 + 1, (q, count.statements)  # and the session


@pytest.mark.requirement("M1.3", "M7.4")
def test_names_are_found_by_pinyin_and_characters(window: Window) -> None:
    names = {
        "单雨桐": ["单雨桐", "雨桐", "单", "syt", "dyt", "shanyutong", "shanyut", "SYT"],
        "曾国强": ["zgq", "cgq", "zengguoqiang", "国强"], "仇小明": ["qxm", "cxm", "qiuxiaoming"],
        "䶮": ["䶮", "yan", "y"], "𠮷田花": ["𠮷田花", "田花", "𠮷"],
        "买买提·吐尔逊": ["买买提", "买买提·吐尔逊", "买买提吐尔逊", "吐尔逊", "mmttex"]}
    ids = {name: window.create(name=name)["id"] for name in names}
    other = window.create(name="欧阳修文")["id"]
    for name, found_by in names.items():
        assert window.show(ids[name])["name"] == name
        for q in found_by:
            found = window.find(q)
            assert ids[name] in found, (name, q)
            assert other not in found
    assert window.find("欧阳") == [other]


@pytest.mark.requirement("M7.4")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_wubi_finds_a_name(window: Window) -> None:
    from his_server.search.wubi import first_letters

    person = window.create(name="王芳")
    code = first_letters("王芳")
    assert len(code) == 2
    assert person["id"] in window.find(code)


@pytest.mark.requirement("M3.2")
def test_old_names_and_numbers_still_find_the_person(window: Window) -> None:
    person = window.create(name="王小花", phone="13800138000", id_type="01",
                           id_no="11010519491231002X")
    window.ok(window.post(f"patients/{person['id']}/identifiers", {"kind": "phone", "number": "13700137000"}))
    changed = window.ok(window.put(f"patients/{person['id']}", {
        "revision": window.show(person["id"])["revision"], "name": "王梦瑶", "phone": "13600136000"}))
    assert changed["name"] == "王梦瑶"
    for q in ("王小花", "wxh", "王梦瑶", "wmy", "13800138000", "13600136000", "13700137000"):
        assert window.find(q) == [person["id"]], q
    numbers = window.ok(window.get(f"patients/{person['id']}/identifiers"))["items"]
    state = {row["number"]: row["active"] for row in numbers if row["kind"] == "phone"}
    assert state == {"138****8000": False, "137****7000": True, "136****6000": True}


@pytest.mark.requirement("PR-01")
def test_no_list_shows_an_id_number_a_phone_or_an_address(window: Window) -> None:
    person = window.create(**PERSON, home_region="320613", home_detail="人民东路100号3幢501室", contact_name="张建国",
                           contact_phone="13700137000", work_phone="13600136000")
    window.ok(window.put(f"patients/{person['id']}", {"revision": 1, "phone": "13912345678", "home_detail": "青年路8号",
                                                      "id_no": "320602198001011235", "birth_date": "1980-01-01", "sex": "1"}))
    key = person["id"]
    paths = [f"patients?q={q}" for q in ("单雨桐", "13912345678", "syt", person["outpatient_no"])]
    paths += [f"patients/{key}", f"patients/{key}/timeline", f"patients/{key}/identifiers", f"patients/{key}/merges"]
    for role in ("registrar", "doctor", "finance", "pharmacist"):
        for path in paths:
            text = json.dumps(window.ok(window.client(role).get(f"/api/{path}")), ensure_ascii=False)
            assert not UNMASKED.search(text), (path, text)
            for secret in ("人民东路", "青年路", "张建国", "320600A0012345", "C0012345"):
                assert secret not in text, (path, secret)
    found = window.ok(window.get("patients", q="13912345678"))["items"][0]
    assert (found["masked_id"], found["masked_phone"]) == ("320*************35", "139****5678")
    assert found["age"] == "46岁" and "birth_date" not in found
    assert window.ok(window.get("patients", "finance", q="13912345678"))["items"][0]["name"] == "单**"
    history = window.ok(window.get(f"patients/{key}/timeline", "finance"))["items"]
    assert {row["title"] for row in history} >= {"手机", "现住址", "证件号码", "性别"}
    refused = window.post("patients", {"name": "又一人", "phone": "13912345678", "id_type": "01",
                                       "id_no": "320602198001011235"})
    assert refused.status_code == 409
    assert not UNMASKED.search(refused.get_data(as_text=True))


@pytest.mark.requirement("PR-03")
def test_a_search_by_number_is_audited_in_its_own_transaction(window: Window, query_counter: Any) -> None:
    from sqlalchemy import select

    from his_server.security.audit import AuditRow

    person = window.create(**PERSON)

    def rows() -> list[AuditRow]:
        with window.db.begin(write=False) as session:
            return list(session.scalars(select(AuditRow).where(AuditRow.event == "patient.search").order_by(AuditRow.at)))

    for q in ("单雨桐", "syt", person["outpatient_no"]):
        assert window.find(q) == [person["id"]]
    assert rows() == []
    with query_counter() as quiet:
        window.find(person["outpatient_no"])
    with query_counter() as count:
        window.find(PERSON["phone"])
    spoken = [[s for s in counted.statements if "PRAGMA" not in s] for counted in (quiet, count)]
    assert len(spoken[1]) == len(spoken[0]) + 1 and sum("INSERT" in s for s in spoken[1]) == 1  # one INSERT, no more
    window.find(PERSON["id_no"])
    window.find("13900001111")  # nobody's: the attempt is worth knowing too
    found = rows()
    assert [(row.object_id, json.loads(row.detail)["by"], json.loads(row.detail)["found"]) for row in found] == [
        (str(person["id"]), "phone", 1), (str(person["id"]), "id_no", 1), ("", "phone", 0)]
    text = "".join(row.detail for row in found)
    assert PERSON["phone"] not in text and PERSON["id_no"] not in text and "13900001111" not in text
    assert len({json.loads(row.detail)["number"] for row in found}) == 3  # keyed digests: an auditor can ask for one


@pytest.mark.requirement("PR-01", "PR-03")
def test_clear_text_needs_a_right_and_a_reason_and_leaves_a_trace(window: Window) -> None:
    from sqlalchemy import select

    from his_server.security.audit import AuditRow

    person = window.create(**PERSON)
    path = f"patients/{person['id']}/unmask"
    assert window.post(path, {"fields": ["phone"], "reason": "电话随访"}, "pharmacist").status_code == 403
    assert window.post(path, {"fields": ["phone"], "reason": ""}).status_code == 422
    assert window.post(path, {"fields": ["name"], "reason": "电话随访"}).status_code == 422
    assert window.ok(window.post(path, {"fields": ["phone", "home_detail"], "reason": "电话随访"})) == {
        "phone": "13800138000", "home_detail": None}
    with window.db.begin(write=False) as session:
        event = session.scalars(select(AuditRow).where(AuditRow.event == "patient.unmask")).one()
        assert "13800138000" not in str(vars(event))


@pytest.mark.requirement("MP-12", "MP-13")
def test_the_database_holds_no_clear_number(window: Window) -> None:
    from sqlalchemy import LargeBinary, String, Text, select
    from sqlalchemy.types import JSON

    from crypto.reference import ReferenceProvider
    from his_server.db import Base

    person = window.create(**PERSON, home_detail="天生港镇某某路77号", contact_phone="13700137000", allergies="青霉素过敏史")
    window.ok(window.put(f"patients/{person['id']}", {"revision": 1, "phone": "13912345678"}))
    window.find("13912345678")
    window.ok(window.post("patients/recognise", {"kind": "id_card", "id_no": PERSON["id_no"]}))
    window.ok(window.post(f"patients/{person['id']}/unmask", {"fields": ["phone"], "reason": "随访"}))
    secrets = [PERSON["id_no"], PERSON["phone"], PERSON["insurance_no"], PERSON["hospital_card"], PERSON["social_card"],
               "13912345678", "13700137000", "天生港镇某某路", "青霉素过敏史"]
    plain = {ReferenceProvider().sm3(text.encode()).hex() for text in secrets}
    looked = 0
    with window.db.begin(write=False) as session:
        for table in Base.metadata.sorted_tables:
            columns = [c for c in table.columns if isinstance(c.type, (String, Text, LargeBinary, JSON))
                       or c.type.__class__.__name__ not in ("Integer", "BigInteger", "Boolean", "Date")]
            if not columns:
                continue
            for row in session.execute(select(*columns)):
                for column, value in zip(columns, row, strict=True):
                    if value is None:
                        continue
                    looked += 1
                    content = bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()
                    hit = [s for s in secrets if s.encode() in content] + [p for p in plain if p.encode() in content]
                    assert not hit, (table.name, column.name, hit)
    assert looked > 200


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_a_search_needs_something_to_look_for_and_a_right(window: Window) -> None:
    assert window.get("patients", q="").status_code == 422
    assert window.get("patients", q="张", limit=51).status_code == 422
    assert window.get("patients", "warehouse", q="张").status_code == 403
    assert window.find("%") == []
    assert window.find("_") == []


@pytest.mark.requirement("HS-08", "M3.2")
def test_two_files_with_one_phone_are_both_found(window: Window) -> None:
    mother = window.create(name="李梅", phone="13800138000")
    child = window.create(name="张豆豆", phone="13800138000", mother_id=mother["id"])
    assert set(window.find("13800138000")) == {mother["id"], child["id"]}
    with window.db.begin(write=False) as session:
        assert service.get(session, child["id"]).mother_id == mother["id"]
