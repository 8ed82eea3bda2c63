"""The first journey in steps, each by keyboard alone: one description for every browser that it has to pass in.

A step begins at a signed-in desk, on whatever page it is, and ends when the screen says that the step is done.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from playwright.sync_api import Route

from his_server.web import reader_simulator
from tests.browser.driving import Desk, House
from tests.reading import pdf_text

CODE = "134567890123456789"
DRUG, EXAM, FREE = "阿莫西林胶囊", "胸部正位片", "异烟肼片"


@dataclass(frozen=True)
class Newcomer:
    """Somebody whom the hospital doesn't know yet."""

    name: str
    id_number: str
    birth: str
    sex: str

    @property
    def card(self) -> dict[str, Any]:
        """As the chip of the ID card has it."""
        return {"kind": "id_card", "id_no": self.id_number, "name": self.name, "sex": self.sex,
                "birth_date": self.birth, "address": "江苏省南通市崇川区人民东路 100 号"}


class Printer:
    """The printer of a desk: keeps what the pages print. ``broken`` is how many prints it refuses from now on."""

    def __init__(self, desk: Desk) -> None:
        self.broken = 0
        self._papers: list[bytes] = []
        desk.page.route("**/print", self._print)

    def _print(self, route: Route) -> None:
        if self.broken:
            self.broken -= 1
            route.fulfill(status=503, json={"code": "print.failed", "status": 503, "errors": [],
                                            "message": "打印机缺纸，请加纸后再打"})
            return
        answer = route.fetch()
        assert (answer.status, answer.headers["content-type"]) == (200, "application/pdf")
        self._papers.append(answer.body())
        route.fulfill(response=answer)

    def paper(self) -> str:
        """The text of the oldest paper not looked at yet, without breaks and blanks."""
        return re.sub(r"\s", "", pdf_text(self._papers.pop(0)))


@contextmanager
def card_on_reader(desk: Desk, card: dict[str, Any]) -> Iterator[None]:
    """The reader agent of this workstation, with a card on it."""
    agent = reader_simulator.serve(reader_simulator.Reader(card, (desk.base,)), 0)
    serving = threading.Thread(target=agent.serve_forever, daemon=True)
    serving.start()
    desk.page.evaluate("address => localStorage.setItem('his.reader', address)",
                       f"http://127.0.0.1:{agent.server_address[1]}")
    try:
        yield
    finally:
        agent.shutdown()
        agent.server_close()
        serving.join(5)


def make_person(at: Desk, who: Newcomer) -> None:
    """挂号: the ID number is typed (as a scanner does), nobody has it, a file is made."""
    at.menu("挂号")
    at.focused("查找病人")
    at.type(who.id_number, "Enter")
    at.see("没有找到这个病人")
    at.keys("F4")
    at.see("新建病人档案")
    at.keys("Enter")
    at.type(who.name, "F8")
    at.see(who.name, ".patient")
    at.see(who.sex, ".patient")


def register(at: Desk, who: Newcomer) -> None:
    """挂号, the person chosen: department, doctor, fee in cash; 50 yuan are given."""
    at.focused("科室或医生")
    at.type("hxnk")
    at.see("呼吸内科", ".pick")
    at.see("单文渊", ".pick")
    at.see("20.00", ".payment .due")
    at.keys("Enter")
    at.focused("现金实付")
    with at.page.expect_response("**/print"):
        at.type("50", "Enter", "Enter")
        at.see("挂号成功")
        at.see("30.00", ".done .good")
        at.see(who.name, ".done")


def choose_visit(at: Desk, name: str) -> None:
    """门诊医生: down the list of the day's patients to this one."""
    at.menu("门诊医生")
    at.focused("今日病人")
    now = "(document.querySelector('.patient .name') || {}).textContent"
    for _ in range(80):
        shown = at.page.evaluate(now)
        if shown == name:
            return
        at.keys("ArrowDown")
        at.until(f"before => {now} !== before", shown)
    raise AssertionError(f"{name} is not on the doctor's list")


def prescribe(at: Desk, drug: str, initials: str, dose: str, days: str, amount: str) -> str:
    """门诊医生, the visit chosen: one drug three times a day for some days. The prescription's number."""
    at.keys("F3")
    at.focused("今日病人")
    at.keys("Enter")
    at.on_screen("[aria-label=诊断]:focus, .entering tbody input:focus")
    if at.page.evaluate("document.activeElement.getAttribute('aria-label')") == "诊断":  # of the first order only
        at.type("jxzqg")
        at.see("J20.900", ".codebox-list")
        at.keys("Enter")
    at.focused("药品 第 1 行")
    at.type(initials)
    at.see(drug, ".codebox-list")
    at.keys("Enter")
    at.focused("每次 第 1 行")
    at.type(dose, "Enter")
    at.focused("用法")
    at.keys("Enter")
    at.focused("频次")
    at.keys("Enter")
    at.focused("天数")
    at.type(days, "Enter")
    at.focused("药品 第 2 行")
    at.see(amount, ".entering tfoot")
    at.keys("F8")
    at.see(drug, ".orders")
    at.focused("药品 第 1 行")
    return str(at.page.evaluate(
        """drug => Array.from(document.querySelectorAll('.orders tbody tr')).map(row => row.textContent)
           .filter(text => text.includes(drug)).map(text => text.match(/[A-Z]{2}\\d{8,}/)[0]).pop()""", drug))


def request_exam(at: Desk) -> None:
    """门诊医生, a visit with a diagnosis chosen: one X-ray."""
    at.keys("F6")
    at.focused("执行科室")
    at.type("fsk")
    at.see("放射科", ".codebox-list")
    at.keys("Enter")
    at.focused("项目 第 1 行")
    at.type("xbzwp")
    at.see(EXAM, ".codebox-list")
    at.keys("Enter", "Enter", "F8")
    at.see(f"{EXAM} ×1", ".orders")


def open_bill(at: Desk, typed: str, due: str) -> None:
    """收费: somebody's bill."""
    at.menu("收费")
    at.focused("查找病人")
    at.type(typed, "Enter")
    at.see(due, ".payment .due")


def pay_mixed(at: Desk, scanned: str, cash: str, rounding: str, given: str, change: str) -> None:
    """收费, a bill open: a part by scanning the payer's code, the rest in cash, rounded to the jiao on a line of its own."""
    at.keys("Alt+s")
    at.focused("扫码金额")
    at.type(scanned, "Tab")
    at.type(CODE)
    at.keys("Alt+c")
    at.focused("现金实付")
    at.see("角分舍入", ".payment")
    at.see(rounding, ".payment .warn")
    at.see(cash, ".payment .facts")
    at.type(given)
    at.see(change, ".payment .change")
    with at.page.expect_response("**/print"):
        at.keys("F8")
        at.see("收费成功")
        at.see(change, ".done .good")


def pay_cash(at: Desk, given: str) -> None:
    """收费, a bill open: all in cash."""
    at.keys("F10")
    at.focused("现金实付")
    with at.page.expect_response("**/print"):
        at.type(given, "Enter", "Enter")
        at.see("收费成功")


def watch_queue(at: Desk, number: str) -> None:
    """发药: the queue is open and doesn't have this prescription yet."""
    at.menu("发药")
    at.focused("发药队列")
    assert number not in at.page.evaluate("document.body.textContent")


def dispense(at: Desk, who: Newcomer, number: str, quantity: str) -> None:
    """发药, the queue in front: the prescription has come by itself; the slip is scanned, the drugs handed out."""
    at.see(number, "[aria-label=发药队列]")
    at.keys("F3")
    at.focused("处方号")
    at.type(number, "Enter")
    at.see(who.name, ".patient .name")
    at.see(quantity, "[aria-label=处方明细]")
    at.see("L1", "[aria-label=处方明细]")  # of the two lots, the one that expires first
    at.keys("F8")
    # The message passes quickly; that the prescription has left the queue stays.
    at.until("number => !document.querySelector('[aria-label=发药队列]').textContent.includes(number)", number)


def take_back(at: Desk, number: str, packs: str) -> None:
    """退药: some packs of a dispensed prescription come back."""
    at.menu("退药")
    at.focused("处方号")
    at.type(number, "Enter")
    at.focused(f"{DRUG} 退药数量")
    at.type(packs, "Enter")
    at.see(f"{DRUG} {packs}盒", ".modal-box")
    at.type("药物过敏", "Enter")
    at.see("到收费处退费", ".next")


def open_settlement(at: Desk, number: str) -> None:
    """退费与补打: one settlement by its number, as from the bar code of the voucher."""
    at.menu("退费与补打")
    at.on_screen(".detail header")  # the day's list has come, its first row is shown: nothing moves the focus any more
    at.keys("Alt+n")
    at.focused("结算号")
    at.type(number, "Enter")
    at.see(number, ".detail header")
    at.focused("结算记录")


def refund(at: Desk, packs: str, exams: str, back: dict[str, str]) -> None:
    """退费与补打, a settlement open: some packs, some exams; ``back`` says what goes where."""
    at.keys("F7")
    at.focused(f"退数量 {DRUG}")
    at.type(packs)
    if exams:
        at.keys("Enter")
        at.focused(f"退数量 {EXAM}")
        at.type(exams)
    at.keys("Alt+1")
    for where, amount in back.items():
        at.see(f"{where}{amount}", ".back li")
    at.keys("F8")
    at.see("退费成功")
    if any("原路退回" in where for where in back):
        at.see("成功", ".done dl")  # the channel has the return
    with at.page.expect_response("**/print"):
        at.keys("F9")
    at.keys("Escape")


def close_shift(at: Desk, net: str, cash: str) -> None:
    """日结交账: the figures, the counted cash, the report."""
    at.menu("日结交账")
    at.see(net, ".tiles")
    at.keys("F8")
    at.focused("清点现金")
    at.type(cash)
    at.see("账实相符", ".modal-box")
    with at.page.expect_response("**/print"):
        at.keys("F8")
        at.see("已结账", ".figures")


def receive_shift(at: Desk, cashier: str, cash: str) -> None:
    """日结交账, as finance: the cashier's closed shift is taken over with its cash."""
    at.menu("日结交账")
    at.focused("班次")
    now = "(document.querySelector('.figures header') || {}).textContent"
    for _ in range(20):
        at.on_screen(".figures header")
        shown = at.page.evaluate(now)
        if cashier in shown:
            break
        at.keys("ArrowDown")
        at.until(f"before => {now} !== before", shown)
    at.keys("Alt+j")
    at.see(f"清点 {cash} 元", ".modal-box")
    at.keys("Enter")
    at.see("已接收交账")


def settlements_of(house: House, person: int) -> list[dict[str, Any]]:
    """A person's settlements, the newest first."""
    found: list[dict[str, Any]] = house.world.ok(
        house.world.get("cashier", f"/api/outpatient-billing/settlements?person_id={person}"))["items"]
    return found


def paid_by(settlement: dict[str, Any]) -> dict[str, Decimal]:
    """What was paid (or given back) how; the rounding of cash is a line like the others."""
    return {one["method"]: Decimal(one["amount"]) for one in settlement["payments"]}
