"""The whole first journey in a real browser, by keyboard alone: every hand that a patient passes through."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.browser import steps
from tests.browser.driving import Desk, House

Sit = Callable[[str | dict[str, str]], Desk]
WHO = steps.Newcomer("解䶮明", "320602198811204135", "1988-11-20", "男")
PRINT = "**/print"


@pytest.mark.requirement("M1.3", "M1.6", "M1.7", "M1.8", "M7.3", "M7.4")
def test_the_first_journey(house: House, desk: Sit, diagnoses: None) -> None:
    world = house.world
    cashier = desk(house.hire("cashier", name="钱日结"))
    printer = steps.Printer(cashier)
    steps.make_person(cashier, WHO)
    steps.register(cashier, WHO)
    registration = printer.paper()
    assert "解䶮明" in registration and "20.00" in registration
    person = world.ok(world.get("cashier", f"/api/patients?q={WHO.id_number}"))["items"][0]["id"]

    doctor = desk(house.login_of("doctor"))
    steps.choose_visit(doctor, WHO.name)
    number = steps.prescribe(doctor, steps.DRUG, "amxl", "1", "4", "48.00")
    steps.request_exam(doctor)

    pharmacist = desk(house.login_of("pharmacist"))
    steps.watch_queue(pharmacist, number)

    # The window finds the person by the card on the reader; the first print fails.
    with steps.card_on_reader(cashier, WHO.card):
        cashier.menu("收费")
        cashier.focused("查找病人")
        cashier.keys("F3", "F9")
        cashier.see("108.55", ".payment .due")
    printer.broken = 1
    cashier.allow("503")
    steps.pay_mixed(cashier, scanned="50", cash="58.60", rounding="0.05", given="100", change="41.40")
    cashier.see("没有打印出来")
    settled = steps.settlements_of(house, person)
    assert [one["total"] for one in settled] == ["108.55", "20.00"]  # the charge stands, once
    paid = world.settlement(settled[0]["id"])
    assert steps.paid_by(paid) == {"scan": Decimal("50.00"), "cash": Decimal("58.60"), "rounding": Decimal("-0.05")}
    assert [Decimal(line["performed"]) for line in paid["lines"]] == [0, 0]  # paid isn't performed
    cashier.see(paid["number"], ".done")
    cashier.see(paid["receipts"][0]["number"], ".done")
    with cashier.page.expect_response(PRINT):
        cashier.keys("F9")
    voucher = printer.paper()
    for text in ("收费凭证", "解䶮明", steps.DRUG, steps.EXAM, "108.55", "扫码支付：50.00元",
                 "现金：58.60元", "现金舍入：-0.05元", paid["number"]):
        assert text in voucher
    assert "补打" not in voucher
    assert len(steps.settlements_of(house, person)) == 2

    steps.dispense(pharmacist, WHO, number, "2盒")
    steps.take_back(pharmacist, number, "1")

    steps.open_settlement(cashier, paid["number"])
    steps.refund(cashier, "1", "1", {"扫码支付原路退回": "50.00", "退现金": "34.60"})
    slip = printer.paper()
    assert "退费凭证" in slip and "-84.55" in slip
    returned = world.settlement(steps.settlements_of(house, person)[0]["id"])
    assert returned["reverses_id"] == paid["id"]
    assert steps.paid_by(returned) == {"scan": Decimal("-50.00"), "cash": Decimal("-34.60"), "rounding": Decimal("0.05")}
    assert [p["intent_state"] for p in returned["payments"] if p["method"] == "scan"] == ["confirmed"]
    with cashier.page.expect_response(PRINT):
        cashier.keys("F9")
    assert "补打" in printer.paper()

    steps.close_shift(cashier, "44.00", "44.00")
    report = printer.paper()
    assert "交账报表" in report and "钱日结" in report
    finance = desk(house.cookie_of("finance"))
    steps.receive_shift(finance, "钱日结", "44.00")
    assert world.findings() == []


@pytest.mark.requirement("M1.1", "M7.4")
def test_a_free_drug_goes_the_whole_way(house: House, desk: Sit, diagnoses: None) -> None:
    world = house.world
    who = steps.Newcomer("仇静安", "", "1980-01-01", "男")
    person = world.person(who.name)
    world.register(person)
    doctor = desk(house.login_of("doctor"))
    steps.choose_visit(doctor, who.name)
    number = steps.prescribe(doctor, steps.FREE, "yyjp", "0.1", "7", "0.00")

    cashier = desk(house.login_of("cashier"))
    printer = steps.Printer(cashier)
    steps.open_bill(cashier, "qja", "0.00")  # 仇 is read qiú in a name
    cashier.see("金额为 0，不需要收款")
    with cashier.page.expect_response(PRINT):
        cashier.keys("F8")
        cashier.see("收费成功")
    voucher = printer.paper()
    assert steps.FREE in voucher and "无需支付" in voucher and "0.00元" in voucher

    pharmacist = desk(house.login_of("pharmacist"))
    pharmacist.menu("发药")
    pharmacist.focused("发药队列")
    steps.dispense(pharmacist, who, number, "21片")
    assert world.findings() == []
