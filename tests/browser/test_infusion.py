"""A nurse of the infusion room, by keyboard alone: from the scan of a prescription to the last bottle."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.driving import Desk, House
from tests.modules.infusion.room import Room


@pytest.mark.requirement("M10.1", "M10.4")
def test_a_nurse_receives_seats_prepares_starts_looks_and_finishes(house: House, desk: Callable[[str], Desk]) -> None:
    room = Room(house.world)
    paid = room.paid("许静怡")
    at = desk(house.login_of("nurse"))
    at.menu("输液室")
    at.focused("今日输液")
    at.keys("F3")
    at.focused("扫码接诊")
    at.type(paid["number"], "Enter")
    at.focused("可接诊的处方")
    at.see("氯化钠注射液", ".modal-box")
    at.keys("Enter")
    at.see("许静怡", ".patient .name")
    at.see("待配药", "[aria-label=瓶]")
    at.focused("今日输液")
    label = room.ok("nurse", "get", "/worklist")["items"][0]
    bottle = room.ok("nurse", "get", f"/infusions/{label['id']}")["bottles"][0]["label_no"]
    at.keys("Alt+z")
    at.focused("座位号")
    at.keys("Control+a")
    at.type("Z99", "Enter")
    at.see("没有座位 Z99", ".modal-box .field")
    at.keys("Control+a")
    at.type("a01", "Enter")
    at.see("座位 A01", ".patient")
    # charged in this page, and taken back with a reason
    at.keys("F10")
    at.focused("收费项目 第 1 行")
    at.type("xbzw")
    at.see("胸部正位片", ".codebox-list")
    at.keys("Enter")
    at.focused("数量 第 1 行")
    at.keys("F8")
    at.see("胸部正位片 ×1", "[aria-label=未缴费的补费]")
    at.focused("收费项目 第 1 行")
    at.until("() => document.querySelector('[aria-label^=\"数量 第 1 行\"]').value === ''")
    assert house.world.unpaid(paid["person"])["total"] == "60.55"
    at.page.locator("[aria-label='作废 胸部正位片']").focus()
    at.keys("Enter")
    at.focused("作废原因")
    # the question lies on top of the dialog that asks it
    at.until("""() => {
      const question = document.activeElement.closest('.modal-box'), place = question.getBoundingClientRect()
      return question.contains(document.elementFromPoint(place.left + place.width / 2, place.bottom - 20))
    }""")
    at.keys("Alt+1", "Enter")
    at.until("() => !document.querySelector('[aria-label=未缴费的补费]')")
    assert house.world.unpaid(paid["person"])["lines"] == []
    at.keys("Escape")
    at.until("() => !document.querySelector('.modal-box')")
    at.keys("F8")
    at.see("已配药", "[aria-label=瓶]")
    at.keys("F8")
    at.focused("扫描病人")
    at.type("00000000", "Enter")  # a wrong patient is refused
    at.focused("扫描瓶签")
    at.type(bottle, "Enter")
    at.focused("滴速")
    at.keys("Enter")
    at.allow("409 (CONFLICT)")
    at.see("扫描的病人与瓶签不符", ".modal-box")
    at.keys("Escape", "F8")
    at.focused("扫描病人")
    at.type(paid["code"], "Enter")
    at.focused("扫描瓶签")
    at.type(bottle, "Enter")
    at.focused("滴速")
    at.keys("Enter")
    at.see("输液中", "[aria-label=瓶]")
    at.until("() => !document.querySelector('.modal-box')")
    at.keys("F6")
    at.focused("观察")
    at.keys("F8")
    at.see("正常", "[aria-label=巡视记录]")
    at.until("() => !document.querySelector('.modal-box')")
    at.keys("F8")
    at.see("结束本瓶", ".modal-box")
    at.keys("Enter")
    at.see("已结束", "[aria-label=瓶]")
    found = room.ok("nurse", "get", f"/infusions/{label['id']}")
    assert (found["state"], found["seat"], [b["state"] for b in found["bottles"]]) == ("finished", None, ["finished"])
