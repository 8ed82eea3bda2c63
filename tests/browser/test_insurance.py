"""The insurer at the window, by keyboard alone: a bill becomes insured (N1), an insured number is changed (M1.14)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from playwright.sync_api import Route
from sqlalchemy import select

from modules.kernel.charging.models import Payment, Settlement
from modules.kernel.patients.models import Person, PersonIdentifier
from modules.kernel.scheduling.models import Registration
from tests.browser import steps
from tests.browser.driving import Desk, House
from tests.factories import insured as make
from tests.modules.outpatient_billing.test_insured_registration import hold, pay


@pytest.mark.requirement("N1")
def test_a_bill_becomes_insured_at_the_window(house: House, desk: Callable[[str | dict[str, str]], Desk]) -> None:
    world, number = house.world, make.id_no(3, 7)
    person = make.insured_person(world, number, "江忘卡")
    world.request(world.encounter(world.register(person)), "5")
    paid = world.ok(world.pay_all(person))
    cashier = desk(house.login_of("cashier"))
    steps.open_settlement(cashier, paid["number"])
    cashier.keys("Alt+z")
    cashier.focused("凭证号码")
    cashier.type(f"{number}0000", "Enter")
    cashier.see("请病人核对金额")
    cashier.see("退现金", "[role=dialog]")
    cashier.keys("F8")
    cashier.see("已转为医保")
    cashier.keys("Escape")
    cashier.until("() => !document.querySelector('[role=dialog]')")
    cashier.on_screen(".detail .tag", "医保")
    with world.db.begin(write=False) as session:
        booked = session.scalars(select(Settlement).where(Settlement.person_id == person, Settlement.kind == "convert")).one()
        back = sum(session.scalars(select(Payment.amount).where(
            Payment.settlement_id == booked.id, Payment.method.in_(("cash", "rounding")))), Decimal(0))
    assert Decimal("-302.75") < back < 0


@pytest.mark.long
@pytest.mark.requirement("M1.7", "M1.14", "YB-06")
def test_an_insured_number_is_changed_although_an_answer_is_lost(
        house: House, desk: Callable[[str | dict[str, str]], Desk]) -> None:
    """换号: the insurer gives the old fee back, its answer never arrives, the window asks again under the same key; then the
    new fee is settled with the insurer."""
    world, number = house.world, make.id_no(2, 8)
    person = make.insured_person(world, number, "管换号")
    old = world.ok(hold(world, person))
    world.ok(pay(world, person, old, number))
    at = desk(house.login_of("cashier"))
    at.allow("net::ERR_FAILED")
    asked: list[str] = []

    def lose_the_first(route: Route) -> None:
        asked.append(route.request.headers["idempotency-key"])
        if len(asked) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    at.page.route("**/cancel-insured", lose_the_first)
    at.menu("挂号")
    at.focused("查找病人")
    at.type("ghh", "Enter")
    at.see("管换号", ".patient")
    at.focused("科室或医生")
    at.type("jzk")
    at.see("共 1 个号源")
    at.see("已挂号", ".own")
    at.on_screen(".btn:enabled", "换号")
    at.keys("Alt+x")
    at.see("原号含医保支付", "[role=dialog]")
    at.keys("Alt+1")
    at.on_screen(".btn:enabled", "退原号并换新号")
    at.keys("F8")
    at.focused("凭证号码")
    at.type(f"{number}0000", "Enter")
    at.on_screen("[role=dialog] .btn:enabled", "医保结算")
    at.keys("F8")
    at.see("挂号成功")
    assert len(asked) == 2 and len(set(asked)) == 1
    with world.db.begin(write=False) as session:
        found = session.scalars(select(Registration).where(Registration.person_id == person).order_by(Registration.id))
        assert [(one.id == old["registration_id"], one.state) for one in found] == [(True, "cancelled"), (False, "registered")]


@pytest.mark.requirement("M1.12", "N1")
def test_an_insurance_card_finds_the_file_that_is_there(house: House, desk: Callable[[str | dict[str, str]], Desk]) -> None:
    """The self-pay file has no card number yet: found by the identity on the card, linked if the clerk agrees; a credential
    is asked about and never searched for; nobody gets a second file."""
    world, number = house.world, make.id_no(4, 9)
    person = make.insured_person(world, number, "席自费")
    at = desk(house.hire("cashier", "registrar", name="褚收费"))
    asked: list[str] = []
    at.page.on("request", lambda request: asked.append(request.url))
    at.menu("挂号")
    at.focused("查找病人")
    with steps.card_on_reader(at, {"kind": "insurance", "id_no": number, "card_no": "YB0099887766", "name": "席自费"}):
        at.keys("F3", "F9")
        at.see("已按身份找到", "[role=dialog]")
        at.keys("Enter")
        at.see("席自费", ".patient .name")
        at.keys("F3", "F9")  # linked: no question any more
        at.until("() => !document.querySelector('[role=dialog]')")
        at.see("席自费", ".patient .name")
    at.focused("科室或医生")
    at.keys("F3")
    at.focused("查找病人")
    at.type(f"{number}0000", "Enter")  # as the scanner of electronic credentials types it
    at.see("已按身份找到", "[role=dialog]")
    at.keys("Escape")
    at.see("席自费", ".patient .name")
    at.until("() => !document.querySelector('[role=dialog]')")
    with world.db.begin(write=False) as session:
        assert session.scalars(select(Person.id).where(Person.name == "席自费")).all() == [person]
        cards = session.scalars(select(PersonIdentifier).where(PersonIdentifier.person_id == person)).all()
        assert sorted(card.kind for card in cards) == ["id_no", "insurance_no", "outpatient_no"]
    assert not [url for url in asked if f"{number}0000" in url], "a credential stands in no address"


@pytest.mark.requirement("M1.12")
def test_an_answer_that_nobody_waits_for_picks_nobody(house: House, desk: Callable[[str | dict[str, str]], Desk]) -> None:
    """The insurer is slow, the cashier goes on with the next patient: the late answer doesn't put the first one in his place."""
    world, number = house.world, make.id_no(5, 2)
    make.insured_person(world, number, "慢先来")
    world.person("窦后到")
    at = desk(house.hire("cashier", "registrar", name="卫收费"))
    held: list[Route] = []
    at.page.route("**/insurance/identify", lambda route: held.append(route))
    at.menu("挂号")
    at.focused("查找病人")
    at.keys("F3")
    at.type(f"{number}0000", "Enter")
    at.see("正在读取", "[role=dialog]")
    at.keys("Escape")
    at.until("() => !document.querySelector('[role=dialog]')")
    at.type("dhd", "Enter")
    at.see("窦后到", ".patient .name")
    assert len(held) == 1
    held[0].continue_()
    at.page.wait_for_timeout(1500)
    at.see("窦后到", ".patient .name")
    assert not at.page.locator("[role=dialog]").count()
