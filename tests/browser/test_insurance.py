"""From self-paid to insured at the window, by keyboard alone (N1)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from sqlalchemy import select

from modules.kernel.charging.models import Payment, Settlement
from tests.browser import steps
from tests.browser.driving import Desk, House
from tests.factories import insured as make


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
