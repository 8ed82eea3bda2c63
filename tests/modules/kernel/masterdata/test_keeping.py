"""Keeping the catalogues over HTTP: new rows are found at once, changes are history, old documents keep what they say."""

from __future__ import annotations

from typing import Any

import pytest

from his_server.db import Database
from tests.factories.hospital import World
from tests.factories.people import Window, load
from tests.factories.security import make_user, signed_in_client

DICTIONARIES = {"sex", "prescribing_right", "usage", "med_chrgitm_type", "chrgitm_lv", "performing_kind"}
DRUG = {"code": "Y-0001", "name": "盐酸左氧氟沙星片", "form": "片剂", "spec": "0.5g×4片", "dose_amount": "0.5",
        "dose_unit": "g", "base_unit": "片", "pack_unit": "盒", "pack_size": 4, "manufacturer": "示例制药",
        "fiscal_category": "09", "antimicrobial": "限制", "insurance_level": "02", "default_usage": "口服",
        "default_frequency": "qd", "splittable": True, "aliases": "可乐必妥，来立信", "price": "28.6500"}
ITEM = {"code": "JC-01", "name": "肺功能检查", "unit": "次", "fiscal_category": "03", "insurance_level": "02",
        "performing_kind": "检查", "price": "180"}
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "drugs": ("drug", DRUG), "charge-items": ("charge_item", ITEM),
    "diagnoses": ("diagnosis", {"code": "J45.900", "name": "支气管哮喘", "category": "呼吸系统疾病"}),
    "departments": ("department", {"code": "1188", "name": "睡眠中心", "kind": "临床", "outpatient": True}),
}


@pytest.fixture
def office(window: Window) -> Window:
    """A window with the dictionaries and frequencies that catalogues are made of."""
    with window.db.begin() as session:
        load(session, "dictionaries", lambda row: row["dictionary"] in DICTIONARIES)
        load(session, "frequencies", lambda row: row["code"] in ("qd", "tid"))
    return window


def fields_of(answer: Any) -> set[str]:
    assert answer.status_code == 422, answer.get_data(as_text=True)
    return {error["field"] for error in answer.json["errors"]}


@pytest.mark.requirement("M7.4")
def test_a_new_drug_is_found_by_all_its_names_and_costs_what_was_said(office: Window) -> None:
    made = office.ok(office.post("masterdata/drugs", DRUG, "catalogue"))
    assert (made["aliases"], made["revision"], made["labels"]["insurance_level"]) == ("可乐必妥,来立信", 1, "乙类")
    for q in ("yszyfsxp", "可乐必妥", "klbt", "y-0001"):
        [found] = office.ok(office.get("masterdata/drugs", q=q, role="doctor"))["items"]
        assert (found["id"], found["price"], found["pack_size"]) == (made["id"], "28.6500", 4)
    changed = {key: value for key, value in DRUG.items() if key not in ("code", "price")}
    office.ok(office.put(f"masterdata/drugs/{made['id']}", {**changed, "name": "左氧氟沙星片", "aliases": "", "revision": 1},
                         "catalogue"))
    assert office.ok(office.get("masterdata/drugs", q="klbt", role="doctor"))["items"] == []
    assert office.ok(office.get("masterdata/drugs", q="zyfsxp", role="doctor"))["items"][0]["id"] == made["id"]


@pytest.mark.parametrize("path", ROWS)
def test_rows_are_made_changed_with_history_stopped_and_resumed(office: Window, path: str) -> None:
    kind, row = ROWS[path]
    made = office.ok(office.post(f"masterdata/{path}", row, "catalogue"))
    again = office.post(f"masterdata/{path}", row, "catalogue")
    assert fields_of(again) == {"code"} and row["name"] in again.json["errors"][0]["message"]
    address = f"masterdata/{path}/{made['id']}"
    body = {key: value for key, value in row.items() if key not in ("code", "price")}
    office.ok(office.put(address, {**body, "name": f"{row['name']}（改）", "revision": 1}, "catalogue"))
    late = office.put(address, {**body, "name": "别的名字", "revision": 1}, "catalogue")
    assert (late.status_code, late.json["code"]) == (409, "masterdata.changed")
    assert "catalogue员 已于" in late.json["message"]
    [change] = office.ok(office.get(f"{address}/changes", role="doctor"))["items"]
    assert (change["title"], change["before"], change["after"]) == ("名称", row["name"], f"{row['name']}（改）")
    assert change["changed_by_name"] == "catalogue员"
    office.ok(office.post(f"{address}/active", {"active": False, "reason": "不再使用"}, "catalogue"))
    twice = office.post(f"{address}/active", {"active": False, "reason": "不再使用"}, "catalogue")
    assert twice.status_code == 409
    assert office.ok(office.get(f"masterdata/{path}", q=row["code"], role="doctor"))["items"] == []
    found = office.ok(office.get(f"masterdata/{path}", q=row["code"], state="stopped", role="doctor"))["items"]
    assert [one["id"] for one in found] == [made["id"]]
    office.ok(office.post(f"{address}/active", {"active": True, "reason": "恢复"}, "catalogue"))
    shown = office.ok(office.get(address, role="doctor"))
    assert (shown["active"], shown["code"], kind) == (True, row["code"], kind)
    titles = [one["after"] for one in office.ok(office.get(f"{address}/changes", role="doctor"))["items"]]
    assert titles == ["在用", "停用", f"{row['name']}（改）"]


def test_bad_input_names_the_field_and_nothing_is_made(office: Window) -> None:
    wrong = {"code": "有空格 ", "pack_size": 0, "price": "-1", "control": "很严", "name": " "}
    assert fields_of(office.post("masterdata/drugs", {**DRUG, **wrong}, "catalogue")) == set(wrong)
    codes = {"insurance_level": "99", "default_usage": "闻", "default_frequency": "随便", "dose_unit": ""}
    assert fields_of(office.post("masterdata/drugs", {**DRUG, **codes}, "catalogue")) == set(codes)
    assert fields_of(office.post("masterdata/charge-items", {**ITEM, "performing_kind": "观望", "unit": ""}, "catalogue")
                     ) == {"unit"}
    assert fields_of(office.post("masterdata/charge-items", {**ITEM, "performing_kind": "观望"}, "catalogue")
                     ) == {"performing_kind"}
    place = {"code": "W01", "name": "一病区", "department_id": 999_999, "beds": 501}
    assert fields_of(office.post("masterdata/wards", place, "catalogue")) == {"beds"}
    assert fields_of(office.post("masterdata/wards", {**place, "beds": 40}, "catalogue")) == {"department_id"}
    assert fields_of(office.post("masterdata/departments", {**ROWS["departments"][1], "kind": "后勤"}, "catalogue")
                     ) == {"kind"}
    assert office.ok(office.get("masterdata/drugs", role="doctor"))["items"] == []


def test_departments_wards_and_staff_belong_together(office: Window) -> None:
    def department(code: str, name: str, parent: int | None = None) -> int:
        return office.ok(office.post("masterdata/departments", {
            "code": code, "name": name, "kind": "临床", "parent_id": parent}, "catalogue"))["id"]

    upper = department("20", "内科系统")
    lower = department("21", "呼吸科", upper)
    circle = office.put(f"masterdata/departments/{upper}", {"name": "内科系统", "kind": "临床", "parent_id": lower,
                                                            "revision": 1}, "catalogue")
    assert fields_of(circle) == {"parent_id"}
    ward = office.ok(office.post("masterdata/wards", {"code": "B21", "name": "呼吸病区", "department_id": lower, "beds": 42},
                                 "catalogue"))
    assert ward["labels"] == {"department_id": "呼吸科"}
    person = {"code": "G-7", "name": "单𠮷文", "sex": "1", "department_id": lower, "title": "主治医师", "role": "doctor",
              "rights": ["抗菌限制", "抗菌限制", "抗菌非限制"]}
    member = office.ok(office.post("masterdata/staff", person, "catalogue"))
    assert member["rights"] == ["抗菌限制", "抗菌非限制"]
    assert fields_of(office.post("masterdata/staff", {**person, "code": "G-8", "rights": ["随便开"]}, "catalogue")) == {"rights"}
    [found] = office.ok(office.get("masterdata/staff", q="单𠮷", role="doctor"))["items"]
    assert (found["id"], found["department"]) == (member["id"], "呼吸科")
    refused = office.post(f"masterdata/departments/{lower}/active", {"active": False, "reason": "撤并"}, "catalogue")
    assert refused.status_code == 409 and "单𠮷文" in refused.json["message"]
    office.ok(office.put(f"masterdata/staff/{member['id']}", {**{k: v for k, v in person.items() if k != "code"},
                                                              "rights": ["抗菌非限制"], "revision": 1}, "catalogue"))
    [change] = office.ok(office.get(f"masterdata/staff/{member['id']}/changes", role="doctor"))["items"]
    assert (change["title"], change["after"]) == ("处方权", "非限制使用级抗菌药物处方权")
    for path, key in (("staff", member["id"]), ("wards", ward["id"]), ("departments", lower)):
        office.ok(office.post(f"masterdata/{path}/{key}/active", {"active": False, "reason": "撤并"}, "catalogue"))
    [stopped] = office.ok(office.get("masterdata/wards", state="stopped", role="doctor"))["items"]
    assert (stopped["code"], stopped["department"]) == ("B21", "呼吸科")


def test_who_may_keep_what(office: Window) -> None:
    for role, expected in (("doctor", (403, 403, 403)), ("finance", (201, 403, 403)), ("catalogue", (422, 201, 404))):
        answers = (office.post("masterdata/charge-items", ITEM, role),
                   office.post("masterdata/departments", ROWS["departments"][1], role),
                   office.post("masterdata/dictionaries/none/entries", {"code": "1", "name": "一"}, role))
        assert tuple(answer.status_code for answer in answers) == expected, role


def test_dictionary_entries_begin_and_end_and_old_documents_stay_readable(office: Window) -> None:
    path = "masterdata/dictionaries/usage/entries"
    made = office.ok(office.post(path, {"code": "鼻冲", "name": "鼻腔冲洗治疗", "position": 5}, "catalogue"))
    assert "鼻冲" in [one["code"] for one in office.ok(office.get("masterdata/dictionaries/usage"))["items"]]
    assert fields_of(office.post(path, {"code": "鼻冲", "name": "又一个"}, "catalogue")) == {"code"}
    period = {"valid_from": "2026-03-05", "valid_to": "2026-03-05"}
    assert fields_of(office.post(path, {"code": "新", "name": "新", **period}, "catalogue")) == {"valid_to"}
    address = f"masterdata/dictionary-entries/{made['id']}"
    ended = {"name": "鼻腔冲洗治疗", "position": 5, "valid_to": "2026-03-01"}
    office.ok(office.put(address, {**ended, "revision": 1}, "catalogue"))
    assert office.put(address, {**ended, "revision": 1}, "catalogue").status_code == 409
    assert "鼻冲" not in [one["code"] for one in office.ok(office.get("masterdata/dictionaries/usage"))["items"]]
    kept = {one["code"]: one for one in office.ok(office.get(path, role="catalogue"))["items"]}
    assert kept["鼻冲"]["valid_to"] == "2026-03-01"
    [change] = office.ok(office.get(f"{address}/changes", role="catalogue"))["items"]
    assert (change["title"], change["before"], change["after"]) == ("停用日期", None, "2026-03-01")
    listed = {one["code"]: one for one in office.ok(office.get("masterdata/dictionaries", role="catalogue"))["items"]}
    assert listed["usage"]["name"] == "用法" and listed["usage"]["entries"] == len(kept)


@pytest.mark.requirement("M2.2")
def test_a_changed_set_is_a_new_version_and_old_charges_stay(world: World) -> None:
    with world.db.begin() as session:
        user = make_user(session, "catalogue", name="目录员")
    world.clients["keeper"] = signed_in_client(world.app, world.db, user=user)
    path = "/api/masterdata/item-sets"
    exam = world.ids["exam"]
    first = world.ok(world.post("keeper", path, {
        "code": "TC-1", "name": "胸痛套餐", "department_id": world.ids["clinic"],
        "lines": [{"item_id": exam, "quantity": "1"}]}))
    assert (first["version"], first["content"]) == (1, "胸部正位片×1")
    person = world.person()
    encounter = world.encounter(world.register(person))
    world.ok(world.post("cashier", "/api/outpatient-billing/supplements", {
        "encounter_id": encounter, "performing_department_id": world.ids["radiology"],
        "lines": [{"item_id": exam, "quantity": "1"}]}))
    settled = world.ok(world.pay_all(person))
    before = world.settlement(settled["id"])["lines"]
    body = {"name": "胸痛套餐", "department_id": world.ids["clinic"],
            "lines": [{"item_id": exam, "quantity": "2", "optional": True}]}
    second = world.ok(world.post("keeper", f"{path}/{first['id']}/versions", body))
    assert (second["version"], second["content"]) == (2, "胸部正位片×2（可选）")
    late = world.post("keeper", f"{path}/{first['id']}/versions", {**body, "name": "另一个"})
    assert late.status_code == 409 and "目录员 已于" in late.json["message"]
    assert world.post("keeper", f"{path}/{second['id']}/versions", body).json["code"] == "item_set.same"
    wrong = world.post("keeper", f"{path}/{second['id']}/versions", {**body, "lines": [
        {"item_id": exam, "quantity": "1"}, {"item_id": exam, "quantity": "1"}, {"item_id": 999_999, "quantity": "1"}]})
    assert fields_of(wrong) == {"lines.1.item_id", "lines.2.item_id"}
    [shown] = world.ok(world.get("keeper", f"{path}?q=xttc"))["items"]
    assert (shown["id"], shown["version"], shown["department"]) == (second["id"], 2, "呼吸内科")
    assert world.settlement(settled["id"])["lines"] == before
    versions = world.ok(world.get("keeper", f"{path}/{second['id']}/versions"))["items"]
    assert [(one["version"], one["valid_to"] is None) for one in versions] == [(2, True), (1, False)]
    world.ok(world.post("keeper", f"{path}/{second['id']}/stop", {"reason": "停止开展"}))
    assert world.post("keeper", f"{path}/{second['id']}/stop", {"reason": "停止开展"}).status_code == 409
    assert world.ok(world.get("keeper", f"{path}?q=xttc"))["items"] == []
    assert world.findings() == []


def test_reading_and_saving_a_row_ask_little(office: Window, db: Database, query_counter: Any) -> None:
    made = office.ok(office.post("masterdata/drugs", DRUG, "catalogue"))
    body = {key: value for key, value in DRUG.items() if key not in ("code", "price")}
    office.ok(office.put(f"masterdata/drugs/{made['id']}", {**body, "revision": 1, "name": "氧氟沙星"}, "catalogue"))
    for path, most in ((f"masterdata/drugs/{made['id']}", 6), (f"masterdata/drugs/{made['id']}/changes", 8),
                       ("masterdata/dictionaries", 5), ("masterdata/item-sets", 8)):
        with query_counter() as count:
            office.ok(office.get(path, role="catalogue"))
        assert count.total <= most, (path, count.statements)
