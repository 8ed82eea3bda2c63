"""What else a cashier's day has, by keyboard alone: an appointment, a change, a cancellation found by pinyin, the reports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Route

from his_server.actor import SYSTEM
from modules.kernel.scheduling.models import ClinicSession, Registration
from tests.browser.driving import Desk, House

Sit = Callable[[str | dict[str, str]], Desk]


@pytest.mark.requirement("M1.5", "M1.15")
def test_booked_moved_cancelled_and_counted(house: House, desk: Sit) -> None:
    world = house.world
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        today = world.db.clock.today()
        tomorrow = today + timedelta(days=1)
        for period in ("上午", "下午"):
            session.add(ClinicSession(day=tomorrow, department_id=world.ids["clinic"], doctor_id=world.ids["doctor"],
                                      level="普通", period=period, capacity=9, extra=0, taken=0, issued=0, state="open"))
    person = world.person("邬预约")
    at = desk(house.hire("cashier", "registrar", name="孙收费"))

    at.menu("挂号")
    at.focused("查找病人")
    at.type("wyy", "Enter")
    at.see("邬预约")
    at.focused("科室或医生")
    at.keys("Alt+y")
    at.focused("就诊日期")
    at.keys("Control+a")
    at.type(str(tomorrow), "Enter")
    at.see("共 2 个号源")
    at.see("预约挂号")
    at.focused("科室或医生")
    at.on_screen(".btn:enabled", "预约（取号时收费）")
    at.keys("F8")
    at.see("预约成功")
    with world.db.begin(write=False) as session:
        booked = session.query(Registration).filter_by(person_id=person).one()
        assert (booked.state, booked.way, booked.day) == ("booked", "appointment", tomorrow)
        first = booked.session_id

    at.keys("Alt+d")
    at.focused("科室或医生")
    at.keys("ArrowDown")  # the other half of the day
    at.on_screen(".btn:enabled", "换号")
    at.keys("Alt+x")
    at.see("换号原因")
    at.keys("Alt+1")
    at.on_screen(".btn:enabled", "确认换号")
    at.keys("F8")
    at.see("已换号")
    at.keys("Escape")
    at.until("() => !document.querySelector('[role=dialog]')")
    with world.db.begin(write=False) as session:
        assert session.query(Registration).filter_by(person_id=person).one().session_id != first

    at.keys("F3")
    at.focused("查找病人")
    at.type("wyy", "Enter")
    at.see("待取号", ".own")
    at.on_screen(".own .btn:enabled", "退号")
    at.on_screen(".own .btn:disabled", "取号")  # it is tomorrow's

    at.menu("挂号查询与退号")
    at.focused("查找挂号")
    at.type("wyy", "Enter")
    at.see("待取号", "[aria-label=挂号记录]")
    at.focused("挂号记录")
    at.keys("F3")
    at.focused("查找挂号")
    at.keys("Enter")
    at.focused("挂号记录")
    at.keys("F7")
    at.see("退号原因")
    at.keys("Alt+1")
    at.on_screen(".btn:enabled", "确认退号")
    at.keys("F8")
    at.see("已退号", "[role=dialog]")  # the page's filter has the word too
    at.keys("Escape")
    at.until("() => !document.querySelector('[role=dialog]')")
    with world.db.begin(write=False) as session:
        assert session.query(Registration).filter_by(person_id=person).one().state == "cancelled"

    world.register(world.person("詹就诊"))
    at.keys("Alt+m")
    at.focused("找功能")
    at.type("收费报表", "Enter")
    at.on_screen(".page-head h1", "收费员汇总表")
    at.keys("Alt+u", "Alt+u", "Alt+u")
    at.on_screen(".page-head h1", "科室挂号统计表")
    at.keys("F8")
    at.focused("科室挂号统计表")
    at.keys("Home", "Enter")
    at.on_screen(".page-head h1", "科室已挂号病人明细表")
    at.see("詹**")


def test_nobody_is_led_to_a_period_that_is_over(house: House, desk: Sit) -> None:
    """A session that the server calls over comes last and says so; the first that isn't is chosen."""
    at = desk(house.hire("cashier", "registrar", name="钱收费"))
    said: list[str] = []

    def first_is_over(route: Route) -> None:
        answer = route.fetch()
        items = answer.json()["items"]
        said[:] = [one["department"] for one in items]
        route.fulfill(response=answer, json={"items": [{**one, "over": n == 0} for n, one in enumerate(items)]})

    at.page.route("**/api/scheduling/sessions*", first_is_over)
    at.menu("挂号")
    at.see("时段已过", "[aria-label=今日号源] tbody tr:last-child")
    at.see(said[0], "[aria-label=今日号源] tbody tr:last-child")
    at.see("可挂", "[aria-label=今日号源] tbody tr:first-child")
    at.see(said[1], ".pick dd")
