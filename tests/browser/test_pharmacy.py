"""The doctor, the technician and the pharmacist at their desks, by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import expect

from his_server.actor import SYSTEM
from modules.kernel.patients.models import Person
from modules.kernel.stock.service import tracing
from tests.browser.driving import Desk, House

Sit = Callable[[str], Desk]
PHARMACY = "/api/outpatient-pharmacy"


def _visit(house: House, name: str) -> tuple[int, int]:
    """A registered person: key and visit."""
    person = house.world.person(name)
    return person, house.world.encounter(house.world.register(person))


def _orders(house: House, encounter: int) -> dict[str, Any]:
    found: dict[str, Any] = house.world.ok(house.world.get("doctor", f"/api/orders/visits/{encounter}"))
    return found


def _paid(house: House, name: str, quantity: str = "48") -> dict[str, Any]:
    """A paid prescription; ``settled`` is what paid it."""
    person, encounter = _visit(house, name)
    made = house.world.prescribe(encounter, quantity)
    return {**made, "settled": house.world.ok(house.world.pay_all(person))}


def _choose(desk: Desk, name: str) -> None:
    """Go down the list until the patient bar names this one."""
    bar = desk.page.locator(".patient:visible .name")
    for _ in range(60):
        if bar.count() and bar.inner_text() == name:
            return
        before = bar.inner_text() if bar.count() else ""
        desk.keys("ArrowDown")
        desk.until("before => (document.querySelector('.patient .name') || {}).textContent !== before", before)
    raise AssertionError(f"{name} is not on the list")


def _asked(desk: Desk, text: str) -> None:
    """Wait until a dialog asks this and hears keys."""
    desk.see(text, ".modal-box")
    desk.until("() => document.activeElement.matches('.modal-box footer .btn, .modal-box .input')")


@pytest.mark.requirement("M8.9", "RX-11", "M1.8")
def test_the_doctor_prescribes_requests_and_cancels(house: House, desk: Sit, diagnoses: None) -> None:
    _, encounter = _visit(house, "曾海燕")
    at = desk(house.login_of("doctor"))
    at.menu("门诊医生")
    at.focused("今日病人")
    _choose(at, "曾海燕")
    at.keys("Enter")
    at.focused("诊断")
    at.type("jxzqg")
    at.see("J20.900", ".codebox-list")
    at.keys("Enter")
    at.focused("药品 第 1 行")
    at.type("axsp")
    at.see("100盒", ".codebox-list")  # the pharmacy's stock is a hint
    at.keys("Enter")
    at.focused("每次 第 1 行")
    at.type("15", "Enter")
    at.focused("用法")
    at.keys("Enter")
    at.focused("频次")
    at.keys("Enter")
    at.focused("天数")
    at.type("2", "Enter")
    at.focused("药品 第 2 行")
    at.see("每次用量为 0.5 片，请确认能否分剂量", ".warnings")
    at.see("1盒", ".entering")
    at.see("10.00", ".entering tfoot")
    at.keys("Enter")  # an empty line ends the entry: the prescription is issued
    at.see("待收费", ".orders")
    made = _orders(house, encounter)["prescriptions"]
    assert [(line["name"], Decimal(line["quantity"])) for line in made[0]["lines"]] == [("氨溴索片", 3)]
    assert made[0]["diagnosis"] == "急性支气管炎"

    at.focused("药品 第 1 行")
    at.keys("F6")
    at.focused("执行科室")
    at.type("fsk")
    at.see("放射科", ".codebox-list")
    at.keys("Enter")
    at.focused("项目 第 1 行")
    at.type("xbzwp")
    at.see("胸部正位片", ".codebox-list")
    at.keys("Enter", "Enter", "F8")
    at.see("胸部正位片 ×1", ".orders")
    assert [r["state"] for r in _orders(house, encounter)["requests"]] == ["issued"]

    at.keys("Alt+o")
    at.focused("本次就诊的医嘱")
    at.keys("Home", "F7")
    _asked(at, made[0]["number"])
    at.keys("Enter")
    at.see("请填写，至少 2 个字", ".modal-box")
    at.keys("Alt+1", "Enter")
    at.see("已作废", ".orders")
    assert [p["state"] for p in _orders(house, encounter)["prescriptions"]] == ["cancelled"]

    # a place for one person beyond the session's capacity, given and taken back, both with a reason
    at.menu("加号")
    at.on_screen(".btn:enabled", "加号")
    at.keys("F4")
    at.focused("查找病人")
    at.type("zhy", "Enter")
    at.see("给 曾海燕 加号", ".modal-box")
    at.focused("原因")
    at.keys("Alt+1", "Enter")
    at.see("待挂号", "[aria-label=加号]")
    at.keys("F7")
    at.focused("撤回原因")
    at.keys("Alt+1", "Enter")
    at.see("已撤回", "[aria-label=加号]")


@pytest.mark.requirement("M1.8")
def test_the_technician_confirms_and_takes_back(house: House, desk: Sit) -> None:
    person, encounter = _visit(house, "单文静")
    made = house.world.request(encounter)
    house.world.ok(house.world.pay_all(person))
    at = desk(house.login_of("technician"))
    at.menu("执行确认")
    at.focused("申请列表")
    at.keys("F3")
    at.focused("申请单号")
    at.type(made["number"], "Enter")
    at.see("单文静", ".patient .name")
    at.focused("申请列表")
    at.keys("F8")
    at.see("已确认执行：单文静")
    assert _orders(house, encounter)["requests"][0]["state"] == "performed"
    at.focused("申请列表")
    at.keys("F3")
    at.focused("申请单号")
    at.type(made["number"], "Enter")
    at.see("已执行", "[aria-label=申请明细]")
    at.keys("F7")
    _asked(at, "之后可在收费处退费")
    at.keys("Enter")
    at.see("已取消执行：单文静")
    assert _orders(house, encounter)["requests"][0]["state"] == "charged"


@pytest.mark.requirement("M7.3", "M8.4")
def test_the_pharmacist_dispenses_from_the_live_queue(house: House, desk: Sit) -> None:
    first, second = _paid(house, "欧阳䶮"), _paid(house, "仇伟", "25")
    at = desk(house.login_of("pharmacist"))
    at.menu("发药")
    at.focused("发药队列")
    at.keys("F3")
    at.focused("处方号")
    at.type(first["number"], "Enter")  # as a scanner types it
    at.see("欧阳䶮", ".patient .name")
    at.see("2盒", "[aria-label=处方明细]")
    at.see("L1", "[aria-label=处方明细]")
    with at.page.expect_response(lambda r: r.url.endswith(f"/prescriptions/{first['id']}/print")) as slip:
        at.keys("F9")
    assert (slip.value.status, slip.value.headers["content-type"]) == (200, "application/pdf")
    at.keys("F8")
    at.see(f"已发药：欧阳䶮 {first['number']}")
    at.focused("发药队列")  # on to the next one
    expect(at.page.locator("tr.current").first).to_contain_text(second["number"])
    shown = house.world.ok(house.world.get("pharmacist", f"{PHARMACY}/prescriptions/{first['id']}"))
    assert shown["state"] == "dispensed"

    at.see("仇伟", ".patient .name")
    at.see("1盒1粒", "[aria-label=处方明细]")
    third = _paid(house, "李桂英")
    at.see(third["number"], "[aria-label=发药队列]")  # comes by itself
    assert at.page.locator(".patient .name").inner_text() == "仇伟"  # nothing jumps away under the hand


@pytest.mark.requirement("M8.4")
def test_the_second_pharmacist_is_told_who_was_first(house: House, desk: Sit) -> None:
    made = _paid(house, "王建国")
    at = desk(house.login_of("pharmacist"))
    at.menu("发药")
    at.focused("发药队列")
    at.keys("F3")
    at.type(made["number"], "Enter")
    at.see("王建国", ".patient .name")
    at.see("待发药", "[aria-label=处方明细] header")
    at.allow("409 (CONFLICT)")
    house.world.ok(house.world.post("pharmacist2", f"{PHARMACY}/prescriptions/{made['id']}/dispense"))
    at.keys("F8")
    at.see("已由 吴药师", "[aria-label=处方明细]")
    at.see("已发药", "[aria-label=处方明细] header")


@pytest.mark.requirement("M7.3", "FN-04")
def test_drugs_come_back_and_the_cashier_can_refund(house: House, desk: Sit) -> None:
    made = _paid(house, "张小明")
    house.world.ok(house.world.post("pharmacist", f"{PHARMACY}/prescriptions/{made['id']}/dispense"))
    at = desk(house.login_of("pharmacist"))
    at.menu("退药")
    at.focused("处方号")
    at.type(made["number"], "Enter")
    at.focused("阿莫西林胶囊 退药数量")
    at.type("1", "Enter")
    _asked(at, "阿莫西林胶囊 1盒")
    at.type("药物过敏", "Enter")
    at.see("到收费处退费", ".next")
    at.see("1盒", "[aria-label=退药明细]")
    line = house.world.settlement(made["settled"]["id"])["lines"][0]
    assert Decimal(line["refundable"]) == 1


@pytest.mark.requirement("M7.4")
def test_stock_is_searched_and_put_in(house: House, desk: Sit) -> None:
    at = desk(house.login_of("pharmacist"))
    at.menu("库存")
    at.focused("查找药品")
    at.type("yyjp", "Enter")
    at.see("异烟肼片", "[aria-label=库存]")
    at.menu("出入库单据")
    at.see("没有单据", "[aria-label=单据]")
    at.keys("F4")
    at.focused("药品 第 1 行")
    at.type("yyjp")
    at.see("异烟肼片", ".codebox-list")
    at.keys("Enter")
    at.focused("批号")
    at.type("BT2026", "Enter")
    at.type("20281231", "Enter")
    at.focused("数量")
    at.type("5", "Enter")
    at.type("12.5", "Enter")
    at.focused("药品 第 2 行")
    at.see("62.50", ".modal-box tfoot")
    at.keys("F8")
    at.see("已制单 KR")
    at.see("BT2026", "[aria-label=单据明细]")
    at.keys("F8")
    at.see("确认后库存随之变动", ".modal-box")
    at.keys("Enter")
    at.see("确认完成")
    assert house.world.findings() == []


@pytest.mark.requirement("RX-09", "RX-10", "M7.1", "R1")
def test_the_whole_task_of_a_pharmacist_by_keyboard(house: House, desk: Sit) -> None:
    """审方 with an alert, 叫号, trace codes, 调配, 核对发药: no hand leaves the keyboard."""
    made = _paid(house, "顾晓东")
    world = house.world
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        person = session.get(Person, made["person_id"])
        assert person is not None
        person.allergies = "阿莫西林"
    window = world.ok(world.post("pharmacist", f"{PHARMACY}/windows", {"store_id": world.ids["store"], "number": 7}))
    world.ok(world.post("pharmacist", f"{PHARMACY}/windows/{window['id']}/state", {"state": "open"}))
    at = desk(house.login_of("pharmacist"))
    at.menu("发药")
    at.focused("发药队列")
    at.keys("F3")
    at.focused("处方号")
    at.type(made["number"], "Enter")
    at.see("顾晓东", ".patient .name")
    at.see("病人对阿莫西林过敏", "[aria-label=合理用药]")
    at.focused("发药队列")
    at.keys("F8")  # nothing: it is not reviewed
    at.keys("F6")
    _asked(at, "病人对阿莫西林过敏")
    at.type("既往耐受，已与医师核实", "Enter")
    at.see("审核通过")
    for code in ("81234567890123450011", "81234567890123450012"):
        at.keys("F3")
        at.focused("处方号")
        at.type(code, "Enter")
        at.see(code, "[aria-label=处方明细]")
    at.see("追溯码 2/2", "[aria-label=处方明细]")
    at.keys("Escape")
    at.focused("发药队列")
    at.keys("F4")
    at.see("调配 周药师", "[aria-label=审核调配核对]")
    at.allow("409 (CONFLICT)")
    at.keys("F8")
    # nobody scanned these at receipt: the pharmacist looks whether each is one box, and no scanner's Enter says so
    at.see("81234567890123450012", "[role=dialog]")
    at.keys("Enter")
    at.see("是一盒才能发出", "[role=dialog]")
    at.keys("Alt+y")
    at.see(f"已发药：顾晓东 {made['number']}")
    with world.db.begin(write=False) as session:
        found = tracing.find(session, ["81234567890123450011", "81234567890123450012"])
    assert {code.state for code in found.values()} == {"dispensed"} and len(found) == 2
    shown = world.ok(world.get("pharmacist", f"{PHARMACY}/prescriptions/{made['id']}"))
    assert (shown["state"], shown["task"]["review_note"]) == ("dispensed", "既往耐受，已与医师核实")
