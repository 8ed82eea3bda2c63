"""Files of persons: made once, nothing invented, nobody twice, merged and taken apart (M1.4, M3.2, M3.5, M3.6, M3.14)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from his_server.actor import SYSTEM
from his_server.errors import Conflict
from modules.kernel.masterdata.models import Region
from modules.kernel.patients import service
from modules.kernel.patients.models import Person
from tests.factories.people import Window, id_number

PLACES = ("home", "household", "birth", "native", "work")


def _row(window: Window, person_id: int) -> dict[str, Any]:
    with window.db.begin(write=False) as session:
        person = session.get_one(Person, person_id)
        return {column.key: getattr(person, column.key) for column in Person.__table__.columns}


def _field(answer: Any, name: str) -> str:
    found: list[str] = [error["message"] for error in answer.json["errors"] if error["field"] == name]
    assert found, answer.get_data(as_text=True)
    return found[0]


@pytest.mark.requirement("M3.5", "M3.6", "HS-06")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("given", [
    {"work_unit": "南通纺织厂", "work_region": "320613", "work_detail": "工农路1号"},
    {"home_region": "320612", "home_detail": "金沙街道1号"}, {"household_region": "320681"}, {"birth_region": "320682"},
    {"native_region": "370800"}, {"id_type": "01", "id_no": "320611198001011231"},
    {"id_type": "01", "id_no": id_number("37080219800101123")}])
def test_nothing_is_invented_or_copied(window: Window, given: dict[str, str]) -> None:
    person = window.create(name="周全", **given)
    row, shown = _row(window, person["id"]), window.show(person["id"])
    for place in PLACES:
        for part in (f"{place}_region", f"{place}_detail_sealed"):
            if part in row and part.removesuffix("_sealed") not in given:
                assert row[part] is None, part
        if f"{place}_region" not in given:
            assert shown[f"{place}_region"] is None
    expected = {"id_no", "sex", "birth_date"} if "id_no" in given else set()
    for field in ("ethnic", "marriage", "occupation", "nationality", "home_postcode", "contact_name", "contact_relation"):
        assert row[field] is None, field
    assert (row["birth_date"] is not None) == bool(expected)
    assert row["sex"] == ("1" if expected else "0")
    assert "济宁" not in str([row[f"{p}_region"] for p in PLACES if f"{p}_region" not in given])


@pytest.mark.requirement("HS-02", "HS-01")
def test_a_number_of_an_old_district_is_right_and_says_nothing_of_the_home(window: Window) -> None:
    person = window.create(name="顾海", id_type="01", id_no="320611198001011231", home_region="320613")
    shown = window.show(person["id"])
    assert (shown["birth_date"], shown["sex"], shown["home_region"]["code"]) == ("1980-01-01", "1", "320613")
    wrong = window.post("patients", {"name": "顾海", "id_type": "01", "id_no": "320602198001011235", "sex": "2"})
    assert "性别" in _field(wrong, "sex")
    wrong = window.post("patients", {"name": "顾海", "id_no": "320602198001011235"})
    assert "证件类型" in _field(wrong, "id_type")
    wrong = window.post("patients", {"name": "顾海", "id_type": "01", "id_no": "919840199001011237"})
    assert "永久居留" in _field(wrong, "id_no")


@pytest.mark.requirement("HS-03")
def test_strangers_and_newborns_need_no_number(window: Window) -> None:
    unknown = window.create(name="", unknown=True)
    assert unknown["name"] == f"无名氏{unknown['outpatient_no']}"
    assert window.show(unknown["id"])["birth_date"] is None
    assert window.post("patients", {"name": ""}).status_code == 422
    foreigner = window.create(name="Anna Müller", id_type="08", id_no="C01X00T47", nationality=None)
    assert window.find("c01x00t47") == [foreigner["id"]]
    mother = window.create(name="李梅")
    child = window.create(name="李梅之女", mother_id=mother["id"], birth_date="2026-03-02", sex="2")
    assert window.show(child["id"])["mother_id"] == mother["id"]
    assert "母亲" in _field(window.post("patients", {"name": "弃婴", "mother_id": 1}), "mother_id")


@pytest.mark.requirement("HS-04", "HS-05", "HS-07")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("field", "good", "bad"), [
    ("sex", ["0", "1", "2", "9"], ["3", "男"]), ("marriage", ["10", "20", "21", "22", "23", "30", "40", "90"], ["1", "50"]),
    ("ethnic", [f"{n:02d}" for n in range(1, 57)], ["00", "99", "58"]), ("id_type", [], ["18", "92"]),
    ("contact_relation", ["0", "8"], ["9"])])
def test_codes_outside_the_dictionary_are_refused(window: Window, field: str, good: list[str], bad: list[str]) -> None:
    for code in bad:
        assert window.post("patients", {"name": "周全", field: code}).status_code == 422, code
    with window.db.begin() as session:
        session.info["actor"] = SYSTEM
        for n, code in enumerate(good):
            found = service.create_person(session, SYSTEM, name=f"周全{n}", **{field: code})
            assert getattr(found, field) == code


@pytest.mark.requirement("HS-08", "M3.2")
def test_a_known_number_makes_no_second_file(window: Window) -> None:
    first = window.create(name="王建国", id_type="01", id_no="11010519491231002X", phone="13800138000", hospital_card="C001")
    for again in ({"id_type": "01", "id_no": "11010519491231002x"}, {"id_type": "01", "id_no": "110105491231002"},
                  {"hospital_card": "c-001"}, {"id_type": "17", "id_no": "810000199001011230", "hospital_card": "C001"}):
        refused = window.post("patients", {"name": "王建国", "confirmed": True, **again})
        assert (refused.status_code, refused.json["code"]) == (409, "patients.exists"), again
        candidate = next(e for e in refused.json["errors"] if e["field"] == f"candidates.{first['id']}")
        assert "110*************2X" in candidate["message"]
        assert "王**" in candidate["message"]
    assert window.find("王建国") == [first["id"]]
    same_phone = window.create(name="王小明", phone="13800138000")
    assert same_phone["id"] != first["id"]


@pytest.mark.requirement("HS-08")
def test_a_namesake_is_asked_about_first(window: Window) -> None:
    first = window.create(name="王芳", sex="2", birth_date="1990-05-06")
    body = {"name": "王芳", "sex": "2", "birth_date": "1990-05-06"}
    asked = window.post("patients", body)
    assert (asked.status_code, asked.json["code"]) == (409, "patients.similar")
    assert [e["field"] for e in asked.json["errors"]] == [f"candidates.{first['id']}"]
    second = window.create(**body, confirmed=True)
    assert set(window.find("王芳")) == {first["id"], second["id"]}
    window.create(name="王芳", sex="2", birth_date="1990-05-07")


@pytest.mark.requirement("HS-08")
def test_two_windows_cannot_give_one_card_to_two_persons(window: Window) -> None:
    first, second = window.create(name="甲"), window.create(name="乙")
    path = "patients/{}/identifiers"
    window.ok(window.post(path.format(first["id"]), {"kind": "hospital_card", "number": "C900"}))
    again = window.post(path.format(second["id"]), {"kind": "hospital_card", "number": "C900"})
    assert (again.status_code, again.json["code"]) == (409, "patients.exists")
    same = window.ok(window.post(path.format(first["id"]), {"kind": "hospital_card", "number": "c900"}))
    window.ok(window.post(f"patients/identifiers/{same['id']}/end", {"reason": "挂失"}))
    assert window.post(f"patients/identifiers/{same['id']}/end", {"reason": "挂失"}).status_code == 409
    window.ok(window.post(path.format(second["id"]), {"kind": "hospital_card", "number": "C900"}))
    assert set(window.find("C900")) == {first["id"], second["id"]}
    assert window.post(path.format(first["id"]), {"kind": "id_no", "number": "12345"}).status_code == 422
    assert window.post(path.format(7), {"kind": "hospital_card", "number": "C901"}).status_code == 404


@pytest.mark.requirement("M3.14")
def test_one_record_with_history_and_no_lost_edits(window: Window) -> None:
    person = window.create(name="周全")
    path = f"patients/{person['id']}"
    changed = window.ok(window.put(path, {"revision": 1, "marriage": "20", "home_region": "320613", "home_detail": "某路1号"}))
    assert (changed["revision"], changed["home_address"]) == (2, "江苏省南通市崇川区***")
    late = window.put(path, {"revision": 1, "marriage": "40"}, "cashier")
    assert (late.status_code, late.json["code"]) == (409, "patients.changed")
    window.ok(window.put(path, {"revision": 2, "marriage": "40", "ethnic": "01"}, "cashier"))
    for role in ("registrar", "cashier", "doctor"):
        shown = window.ok(window.get(path, role))
        assert (shown["marriage"], shown["ethnic"]) == ("40", "01")
    history = window.ok(window.get(f"{path}/timeline"))["items"]
    marriage = [(row["before"], row["after"], row["changed_by_name"]) for row in history if row["field"] == "marriage"]
    assert marriage == [("已婚", "离婚", "cashier员"), (None, "已婚", "registrar员")]
    assert next(row for row in history if row["field"] == "home_region")["after"] == "江苏省南通市崇川区"
    assert window.put(path, {"revision": 3, "name": ""}).status_code == 422
    assert window.put(path, {"revision": 3, "outpatient_no": "1"}).status_code == 422
    assert window.put("patients/9", {"revision": 1, "marriage": "20"}).status_code == 404


@pytest.mark.requirement("M3.2", "HS-08")
def test_a_merge_and_its_undoing_leave_everything_as_it_was(window: Window) -> None:
    kept = window.create(name="陈静", phone="13800138000", hospital_card="C001")
    twice = window.create(name="陈靖", id_type="01", id_no="320602198001011235", hospital_card="C002")
    older = window.create(name="陈青", hospital_card="C003")
    ids = [kept["id"], twice["id"], older["id"]]
    window.ok(window.post("patients/merge", {"survivor_id": ids[1], "merged_id": ids[2], "reason": "同一人"}))
    before = {key: _row(window, key) for key in ids}
    merge = window.ok(window.post("patients/merge", {"survivor_id": ids[0], "merged_id": ids[1], "reason": "同一人"}))
    for q in ("C001", "C002", "C003", "320602198001011235", "13800138000", "陈靖", "chenqing", twice["outpatient_no"]):
        assert window.find(q) == [ids[0]], q
    numbers = window.ok(window.get(f"patients/{ids[0]}/identifiers"))["items"]
    assert len(numbers) == 8
    with window.db.begin(write=False) as session:
        assert service.family(session, ids[2]) == [ids[0], ids[1], ids[2]]
    refused = window.put(f"patients/{ids[1]}", {"revision": before[ids[1]]["revision"] + 1, "marriage": "20"})
    assert (refused.status_code, refused.json["code"]) == (409, "patients.merged")
    assert window.post("patients/merge", {"survivor_id": ids[1], "merged_id": ids[0], "reason": "同一人"}).status_code == 409
    assert window.post("patients/merge", {"survivor_id": ids[0], "merged_id": ids[0], "reason": "同一人"}).status_code == 422
    shown = window.ok(window.get(f"patients/{ids[0]}/merges"))["items"]
    assert [(m["merged_id"], m["undone_at"]) for m in shown] == [(ids[1], None)]
    window.ok(window.post("patients/unmerge", {"merge_id": merge["id"], "reason": "弄错了"}))
    after = {key: _row(window, key) for key in ids}
    for row in (*before.values(), *after.values()):
        row.pop("revision")
    assert after == before
    assert window.find("C001") == [ids[0]]
    assert window.find("C003") == window.find("陈靖") == [ids[1]]
    again = window.post("patients/unmerge", {"merge_id": merge["id"], "reason": "弄错了"})
    assert again.status_code == 409
    assert "registrar员" in again.json["message"]


@pytest.mark.requirement("M3.2")
def test_an_undoing_takes_along_only_what_came_with_it(window: Window) -> None:
    a, b, c = (window.create(name=name)["id"] for name in ("甲一", "乙二", "丙三"))
    with window.db.begin() as session:
        session.info["actor"] = SYSTEM
        first = service.merge(session, SYSTEM, b, c, "同一人")
        second = service.merge(session, SYSTEM, a, b, "同一人")
        service.unmerge(session, SYSTEM, first.id, "弄错了")
        service.merge(session, SYSTEM, a, c, "又认出来")
        service.unmerge(session, SYSTEM, second.id, "弄错了")
        session.expire_all()
        assert service.family(session, a) == [a, c]
        assert service.family(session, b) == [b]
        with pytest.raises(Conflict):
            service.merge(session, SYSTEM, b, c, "已并入别处")


@pytest.mark.requirement("M1.4", "HS-06")
def test_new_files_refuse_ended_regions_and_name_the_successor(window: Window) -> None:
    for code, to in (("320611", "崇川区"), ("320602", "崇川区"), ("320684", "海门区"), ("320683", "通州区")):
        refused = window.post("patients", {"name": "周全", "home_region": code})
        assert to in _field(refused, "home_region")
        assert "已撤销" in _field(refused, "home_region")
    assert "没有这个地区" in _field(window.post("patients", {"name": "周全", "home_region": "999999"}), "home_region")
    for q in ("崇川", "cc", "320611", "港闸", "gangzha"):
        found = window.ok(window.get("masterdata/regions", q=q))["items"]
        assert "320613" in [row["code"] for row in found], q
        assert not {"320602", "320611"} & {row["code"] for row in found}
    offered = window.ok(window.get("masterdata/regions", parent="320600"))["items"]
    assert "320613" in {row["code"] for row in offered}
    assert not {"320602", "320611", "320684"} & {row["code"] for row in offered}


@pytest.mark.requirement("M1.4", "HS-06")
def test_old_files_show_the_present_region_and_one_command_migrates(window: Window) -> None:
    person = window.create(name="周全", native_region="320613")["id"]
    with window.db.begin() as session:
        session.info["actor"] = SYSTEM
        old = session.get_one(Person, person)
        old.home_region, old.work_region, old.birth_region, old.household_region = "320611", "320602", "320611", "123456"
    shown = window.show(person)
    assert (shown["home_region"]["present_code"], shown["home_region"]["present_name"]) == ("320613", "江苏省南通市崇川区")
    assert (shown["home_region"]["original_code"], shown["home_region"]["original_name"]) == ("320611", "江苏省南通市港闸区")
    assert shown["household_region"]["code"] == "123456"
    kept = window.ok(window.put(f"patients/{person}", {"revision": shown["revision"], "home_region": "320611", "marriage": "10"}))
    assert kept["home_region"]["code"] == "320611"  # what is there may stay
    with window.db.begin() as session:
        session.info["actor"] = SYSTEM
        planned = service.migrate_regions(session, SYSTEM, dry_run=True)
        assert session.get_one(Person, person).home_region == "320611"
        done = service.migrate_regions(session, SYSTEM)
        assert planned == done
        assert {(m.field, m.code, m.present_code, m.persons) for m in done.moved} == {
            ("home_region", "320611", "320613", 1), ("work_region", "320602", "320613", 1)}
        assert done.unknown == (("household_region", "123456", 1),)
        assert done.persons == 2
    with window.db.begin() as session:
        session.info["actor"] = SYSTEM
        assert service.migrate_regions(session, SYSTEM).moved == ()
    shown = window.show(person)
    assert (shown["home_region"]["code"], shown["home_region"]["original_code"]) == ("320613", "320611")
    assert shown["birth_region"]["code"] == "320611"  # a birth place is called what it was called


@pytest.mark.requirement("HS-06")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_regions_lead_to_what_they_are_today(window: Window) -> None:
    expected = {"320602": "320613", "320611": "320613", "320613": "320613", "320621": "320685", "320683": "320612",
                "320684": "320614", "320624": "320612", "320625": "320614", "320626": "320681", "320622": "320682"}
    with window.db.begin(write=False) as session:
        found = {row.code: row.present_code for row in session.execute(select(Region.code, Region.present_code))}
    assert {code: found[code] for code in expected} == expected


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_who_may_do_what(window: Window) -> None:
    person = window.create(name="周全")["id"]
    assert window.post("patients", {"name": "某某"}, "doctor").status_code == 403
    assert window.put(f"patients/{person}", {"revision": 1}, "finance").status_code == 403
    assert window.post("patients/merge", {"survivor_id": 1, "merged_id": 2, "reason": "同一人"}, "cashier").status_code == 403
    assert window.post("patients/recognise", {"kind": "id_card", "id_no": "x"}, "warehouse").status_code == 403
    assert window.get(f"patients/{person}", "warehouse").status_code == 403
    assert window.get("patients/99").status_code == 404


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ["𫖯", "𬭎", "㛃", "龴", "𰻝", "\U0002ebf0", "古丽·买买提" * 8])
def test_rare_names_are_kept_as_they_are(window: Window, name: str) -> None:
    assert window.create(name=name)["name"] == name


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("field", "value"), [
    ("name", "张\u202e三"), ("phone", "abc"), ("phone", "12"), ("home_postcode", "22600"), ("birth_date", "2026-03-03"),
    ("birth_date", "1849-12-31"), ("name", "张" * 101), ("secret", "x")])
def test_bad_values_are_named(window: Window, field: str, value: str) -> None:
    refused = window.post("patients", {"name": "周全", field: value})
    assert refused.status_code == 422
    assert field in {error["field"] for error in refused.json["errors"]}
