"""Catalogues come in whole or not at all, name their bad cells, and a repeat changes nothing (issue 2, item 6)."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from sqlalchemy import func, select

from his_server.actor import SYSTEM, Actor
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.errors import Invalid
from modules.kernel.masterdata import models
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.importing import KINDS, import_file
from modules.kernel.masterdata.service import prices
from modules.kernel.patients.models import Person
from tests.factories.people import load, load_basics

ITEMS = [["编码", "名称", "单位", "单价", "财务分类", "医保等级", "执行类别", "别名"],
         ["JC01", "胸部正位片", "次", 60.55, "03", "02", "检查", "胸片,X光"],
         ["JY01", "血常规", "次", 20, "04", "01", "检验", "CBC"]]
DEPARTMENTS = [["code", "name", "kind", "parent_code", "outpatient"],
               ["1001", "呼吸内科", "临床", "1000", "1"], ["1000", "内科", "临床", "", "0"]]
SETS = [["编码", "名称", "科室编码", "项目编码", "数量", "可选"],
        ["TC1", "入院检查", "1000", "JC01", 1, 0], ["TC1", "入院检查", "1000", "JY01", 2, 1]]


def write(folder: Path, rows: list[list[Any]], form: str = "utf-8", name: str = "table") -> Path:
    """The rows as a file: a CSV in an encoding, or "xlsx" with numbers as numbers."""
    path = folder / f"{name}.{'xlsx' if form == 'xlsx' else 'csv'}"
    if form == "xlsx":
        book = Workbook()
        assert book.active is not None
        for row in rows:
            book.active.append(row)
        book.save(path)
        return path
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path.write_bytes(text.getvalue().encode(form))
    return path


@pytest.fixture
def ready(db: Database) -> Database:
    """A database with the dictionaries."""
    with db.begin() as session:
        session.info["actor"] = SYSTEM
        load_basics(session)
    return db


def bring(db: Database, kind: str, path: Path) -> tuple[int, int, int]:
    """Import in a unit of work of its own: (added, changed, same)."""
    with db.begin() as session:
        session.info["actor"] = SYSTEM
        report = import_file(session, SYSTEM, kind, path)
    return report.added, report.changed, report.same


def refused(db: Database, kind: str, path: Path) -> list[str]:
    """What an import that must fail says of each cell."""
    with pytest.raises(Invalid) as caught:
        bring(db, kind, path)
    return [error.message for error in caught.value.errors]


def contents(db: Database, model: type[Any]) -> list[dict[str, Any]]:
    """All rows without keys and times."""
    with db.begin(write=False) as session:
        return [{c.key: getattr(row, c.key) for c in model.__table__.columns if c.key not in ("id", "item_id")}
                for row in session.scalars(select(model).order_by(model.id))]


@pytest.mark.requirement("M7.4")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_every_form_of_a_file_gives_the_same(ready: Database, tmp_path: Path) -> None:
    rows = [*ITEMS, ["XX09", "䶮氏𠮷检查", "次", "0.0001", "03", "02", "检查", ""]]
    assert bring(ready, "charge_items", write(tmp_path, rows, "gb18030")) == (3, 0, 0)
    first = contents(ready, models.ChargeItem)
    assert first[2]["name"] == "䶮氏𠮷检查"
    for form in ("utf-8", "utf-8-sig", "xlsx"):
        assert bring(ready, "charge_items", write(tmp_path, rows, form)) == (0, 0, 3), form
    assert contents(ready, models.ChargeItem) == first


def test_bad_cells_are_named_and_nothing_is_imported(ready: Database, tmp_path: Path) -> None:
    bad = [ITEMS[0], ITEMS[1], ["JC01", "重复", "次", "1", "03", "02", "检查", ""],
           ["", "无编码", "次", "1", "03", "02", "检查", ""],
           ["JC03", "x" * 121, "", "1.23456", "99", "02", "检查", ""], ["JC04", "负", "次", "-1", "03", "02", "检查", ""],
           ["", "也无编码", "次", "甲", "03", "02", "检查", ""]]
    assert refused(ready, "charge_items", write(tmp_path, bad)) == [
        "第 3 行，编码：与第 2 行重复", "第 4 行，编码：不能为空", "第 5 行，名称：最多 120 个字", "第 5 行，单位：不能为空",
        "第 5 行，单价：最多 4 位小数", "第 5 行，财务分类：字典中没有代码 99", "第 6 行，单价：不能为负",
        "第 7 行，编码：不能为空", "第 7 行，单价：应为数字"]
    assert contents(ready, models.ChargeItem) == contents(ready, models.ChargeItemPrice) == []


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("rows", "why"), [
    ([["编码", "名称", "单位"]], "缺少列"), ([[*ITEMS[0], "颜色"], [*ITEMS[1], "红"]], "不认识的列“颜色”")])
def test_headers_must_be_known(ready: Database, tmp_path: Path, rows: list[list[Any]], why: str) -> None:
    assert any(why in message for message in refused(ready, "charge_items", write(tmp_path, rows)))


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_files_that_are_no_tables_are_refused(ready: Database, tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK no")
    (tmp_path / "b.csv").write_bytes(b"\xff\xff\xff")
    (tmp_path / "c.txt").write_text("code")
    (tmp_path / "d.csv").write_text("")
    (tmp_path / "e.csv").write_text("编码,编码\n1,2\n", "utf-8")
    for name in ["a.xlsx", "b.csv", "c.txt", "d.csv", "e.csv"]:
        with pytest.raises(Invalid):
            bring(ready, "charge_items", tmp_path / name)
    with pytest.raises(Invalid, match="不支持导入"):
        bring(ready, "unicorns", write(tmp_path, ITEMS))


def test_a_department_may_come_before_its_parent_but_never_in_a_circle(ready: Database, tmp_path: Path) -> None:
    assert bring(ready, "departments", write(tmp_path, DEPARTMENTS)) == (2, 0, 0)
    assert bring(ready, "departments", write(tmp_path, DEPARTMENTS)) == (0, 0, 2)
    with ready.begin(write=False) as session:
        child, parent = (masterdata.department_by_code(session, code) for code in ("1001", "1000"))
        assert (child.parent_id, child.outpatient, parent.outpatient) == (parent.id, True, False)
    for circle in ([["1000", "内科", "临床", "1001", ""]],
                   [["1000", "内科", "临床", "2000", ""], ["2000", "新", "临床", "1001", ""]],
                   [["3000", "甲", "临床", "3000", ""]]):
        with pytest.raises(Invalid, match="圈"):
            bring(ready, "departments", write(tmp_path, [DEPARTMENTS[0], *circle]))
    assert "没有编码 9999" in refused(ready, "departments", write(
        tmp_path, [DEPARTMENTS[0], ["4000", "乙", "临床", "9999", ""]]))[0]
    assert len(contents(ready, models.Department)) == 2
    renamed = [["code", "name", "kind"], ["1001", "呼吸与危重症医学科", "临床"]]
    assert bring(ready, "departments", write(tmp_path, renamed)) == (0, 1, 0)
    with ready.begin(write=False) as session:
        again = masterdata.department_by_code(session, "1001")
        assert (again.name, again.parent_id, again.outpatient) == ("呼吸与危重症医学科", parent.id, True)


@pytest.mark.requirement("FN-16")
def test_a_changed_price_opens_a_period_and_old_days_keep_theirs(ready: Database, tmp_path: Path, clock: ManualClock) -> None:
    bring(ready, "charge_items", write(tmp_path, ITEMS))
    before = clock.now().date()
    clock.move(hours=24 * 10)
    dearer = [ITEMS[0], [*ITEMS[1][:3], "66.00", *ITEMS[1][4:]], ITEMS[2]]
    assert bring(ready, "charge_items", write(tmp_path, dearer)) == (0, 1, 1)
    assert bring(ready, "charge_items", write(tmp_path, dearer)) == (0, 0, 2)
    change = date(2026, 3, 12)
    with ready.begin(write=False) as session:
        item = masterdata.item_by_code(session, "JC01").id
        on = {day: masterdata.item_prices(session, [item], day).get(item) for day in
              (before, change - timedelta(1), change, change + timedelta(400))}
    assert list(on.values()) == [Decimal("60.55"), Decimal("60.55"), Decimal("66.00"), Decimal("66.00")]
    # a planned change is not trampled on, and today's file may still be repeated
    with ready.begin() as session:
        prices.change_price(session, SYSTEM, "charge_item", item, price=Decimal("70"), valid_from=change + timedelta(5),
                            reason="物价局文件")
    assert bring(ready, "charge_items", write(tmp_path, dearer)) == (0, 0, 2)
    said = refused(ready, "charge_items", write(tmp_path, ITEMS))
    assert said == ["第 2 行，单价：已有 2026-03-17 起的调价，请在“目录与价格”中处理后再导入"]


@pytest.mark.requirement("M2.2")
def test_a_changed_set_is_a_new_version_and_the_old_one_stays(ready: Database, tmp_path: Path) -> None:
    for kind, rows in (("charge_items", ITEMS), ("departments", DEPARTMENTS), ("item_sets", SETS)):
        bring(ready, kind, write(tmp_path, rows))
    assert bring(ready, "item_sets", write(tmp_path, SETS)) == (0, 0, 1)
    with ready.begin(write=False) as session:
        first = masterdata.current_set(session, "TC1").id
        lines = [(x.quantity, x.optional) for x in masterdata.set_lines(session, [first])[first]]
    assert lines == [(1, False), (2, True)]
    assert bring(ready, "item_sets", write(tmp_path, [*SETS[:2], [*SETS[2][:4], 3, 1]])) == (0, 1, 0)
    with ready.begin(write=False) as session:
        second = masterdata.current_set(session, "TC1")
        assert (second.version, second.id == first) == (2, False)
        kept = masterdata.set_lines(session, [first, second.id])
        assert [[x.quantity for x in kept[key]] for key in (first, second.id)] == [[1, 2], [1, 3]]
        assert session.get_one(models.ItemSet, first).valid_to is not None
    said = refused(ready, "item_sets", write(tmp_path, [*SETS[:2], ["TC1", "另一名", "", "XX", 0, 0]]))
    assert len(said) == 4


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_the_other_kinds(ready: Database, tmp_path: Path) -> None:
    files: dict[str, list[list[Any]]] = {
        "departments": DEPARTMENTS,
        "wards": [["编码", "名称", "科室编码", "床位数"], ["W1", "一病区", "1001", 40]],
        "staff": [["工号", "姓名", "性别", "科室编码", "处方权"], ["0012", "单文渊", "1", "1001", "抗菌限制；麻精"]],
        "drugs": [["编码", "名称", "剂型", "规格", "最小单位", "包装单位", "包装数量", "单价", "财务分类", "医保等级", "可拆零"],
                  ["Y1", "阿莫西林胶囊", "胶囊剂", "0.25g", "粒", "盒", 24, 12.8, "09", "01", "是"]],
        "diagnoses": [["编码", "名称"], ["J20.900", "急性支气管炎"]],
        "frequencies": [["code", "name", "times_per_day", "interval_days"], ["tid", "每日三次", 3, 1]]}
    for kind, rows in files.items():
        path = write(tmp_path, rows, "xlsx" if kind in ("drugs", "staff") else "gb18030")
        assert bring(ready, kind, path) == (len(rows) - 1, 0, 0), kind
        assert bring(ready, kind, path) == (0, 0, len(rows) - 1), kind
    with ready.begin(write=False) as session:
        doctor = masterdata.staff_by_code(session, "0012")
        assert (doctor.right_set, doctor.department_id) == (
            {"抗菌限制", "麻精"}, masterdata.department_by_code(session, "1001").id)
    assert set(KINDS) >= {*files, "regions", "postcodes", "dictionaries", "charge_items"}


@pytest.mark.requirement("M1.4", "HS-06")
def test_a_later_reform_moves_what_led_to_the_ended_region(ready: Database, tmp_path: Path) -> None:
    header = ["code", "name", "level", "parent_code", "valid_from", "valid_to", "successor"]
    reform = [header, ["320613", "崇川区", 3, "320600", "2020-07", "2026-01-01", "320699"],
              ["320699", "新崇川区", 3, "320600", "2026", "", ""]]
    assert bring(ready, "regions", write(tmp_path, reform))[0] == 1
    with ready.begin(write=False) as session:
        found = masterdata.current_regions(session, ["320611", "320602", "320613", "320612"])
    assert {code: region.present_code for code, region in found.items()} == {
        "320611": "320699", "320602": "320699", "320613": "320699", "320612": "320612"}
    said = refused(ready, "regions", write(tmp_path, [header, ["320699", "新", 3, "999999", "", "", "320611"]]))
    assert any("没有地区代码 999999" in message for message in said)
    assert any("圈" in message for message in said)


@pytest.mark.requirement("M1.4", "M3.6")
def test_persons_of_the_former_system(ready: Database, tmp_path: Path) -> None:
    header = ["姓名", "性别", "身份证号", "手机", "就诊卡号", "现住址地区代码", "现住址", "民族"]
    rows = [header, ["周全", "", "320602198001011235", "13800138000", "", "320611", "天生港1号", ""],
            ["曾𠮷祥", "2", "", "", "C009", "", "", "01"]]
    assert bring(ready, "persons", write(tmp_path, rows)) == (2, 0, 0)
    assert bring(ready, "persons", write(tmp_path, rows, "xlsx")) == (0, 0, 2)
    rows[1][3] = "13900139000"
    assert bring(ready, "persons", write(tmp_path, rows)) == (0, 1, 1)
    with ready.begin(write=False) as session:
        first, second = session.scalars(select(Person).order_by(Person.outpatient_no))
        assert (first.home_region, first.home_region_was, first.sex, first.id_type) == ("320613", "320611", "1", "01")
        assert (first.phone, first.home_detail, first.ethnic) == ("13900139000", "天生港1号", None)
        assert (second.birth_date, second.id_type, second.home_region, second.ethnic) == (None, None, None, "01")
    good, wrong = ["新人", "", "", "", "C010", "", "", ""], ["错", "", "320602198001011236", "12", "", "999999", "", "77"]
    said = refused(ready, "persons", write(tmp_path, [header, good, wrong, ["无号", *[""] * 7]]))
    assert said == ["第 4 行，身份证号：请填写证件号码或就诊卡号，否则重复导入时无法认出同一病人"]
    said = refused(ready, "persons", write(tmp_path, [header, good, wrong]))
    assert [message.split("：")[0] for message in said] == [
        f"第 3 行，{title}" for title in ("身份证号", "手机", "民族", "现住址地区代码")]
    with ready.begin(write=False) as session:
        assert session.scalar(select(func.count()).select_from(Person)) == 2


@pytest.mark.requirement("M1.4", "HS-05", "HS-04", "HS-07")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_what_ships_is_right(db: Database, actor: Actor) -> None:
    with db.begin() as session:
        session.info["actor"] = actor
        for kind in ("dictionaries", "frequencies", "regions", "postcodes"):
            load(session, kind, lambda row: True)
        names = {(e.dictionary, e.code): e.name for e in session.scalars(select(models.DictionaryEntry))}
        ethnic = {code for name, code in names if name == "ethnic"}
        assert {f"{n:02d}" for n in range(1, 57)} <= ethnic
        assert [names["ethnic", code] for code in ("01", "03", "09", "56")] == ["汉族", "回族", "布依族", "基诺族"]
        assert {code for name, code in names if name == "sex"} == {"0", "1", "2", "9"}
        assert {code for name, code in names if name == "marriage"} == {"10", "20", "21", "22", "23", "30", "40", "90"}
        assert "居住证" in names["psn_cert_type", "17"]
        assert names["psn_cert_type", "16"] == "中国护照"
        here = masterdata.current_regions(session, ["320611", "320602", "320684", "370802"])
        assert here["320611"].present_name == here["320602"].present_name == "江苏省南通市崇川区"
        assert here["320684"].present_name == "江苏省南通市海门区"
        count = session.scalar(select(func.count()).select_from(models.Region))
        assert count is not None and count > 6000
