"""The journey's common path on a real Chromium 83, the oldest browser that the pages have to run on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser import steps
from tests.browser.driving import House, new_context, sit_down
from tests.browser.old import FLAGS, OldDesk, Unobtainable, chromium83
from tests.conftest import unavailable

WHO = steps.Newcomer("曾文慧", "32060219850615272X", "1985-06-15", "女")


@pytest.fixture
def old_browser(browser: Browser) -> Iterator[Browser]:
    """Chromium 83, driven by the same Playwright as the new one."""
    try:
        program = chromium83()
    except Unobtainable as error:
        unavailable(str(error), "HIS_REQUIRE_BROWSER")
        raise
    environment: dict[str, str | float | bool] = {**os.environ, "LD_LIBRARY_PATH": str(program.parent / "lib")}
    found = browser.browser_type.launch(executable_path=program, args=FLAGS, env=environment)
    assert found.version.startswith("83.")
    yield found
    found.close()


@pytest.fixture
def old_desk(house: House, old_browser: Browser) -> Iterator[Callable[[str], OldDesk]]:
    """``old_desk(login) -> OldDesk``: a workstation of its own; afterwards its console must be clean."""
    contexts: list[BrowserContext] = []
    desks: list[OldDesk] = []

    def sit(login: str) -> OldDesk:
        contexts.append(new_context(old_browser))
        made = sit_down(contexts[-1], house.base, login, OldDesk)
        assert isinstance(made, OldDesk)
        desks.append(made)
        return made

    yield sit
    for context in contexts:
        context.close()
    assert [problem for one in desks for problem in one.unexpected()] == []


@pytest.mark.requirement("M1.3", "M1.8")
def test_the_common_path_passes_on_chromium_83(house: House, old_desk: Callable[[str], OldDesk]) -> None:
    world = house.world
    cashier = old_desk(house.hire("cashier", name="孙窗口"))
    printer = steps.Printer(cashier)
    assert "Chrome/83." in cashier.page.evaluate("navigator.userAgent")
    steps.make_person(cashier, WHO)
    steps.register(cashier, WHO)
    assert WHO.name in printer.paper()
    person = world.ok(world.get("cashier", f"/api/patients?q={WHO.id_number}"))["items"][0]["id"]
    visit = world.ok(world.get("cashier", f"/api/scheduling/registrations?person_id={person}"))["items"][0]
    number = world.prescribe(visit["encounter_id"], "48")["number"]
    world.request(visit["encounter_id"])

    pharmacist = old_desk(house.login_of("pharmacist"))
    steps.watch_queue(pharmacist, number)
    steps.open_bill(cashier, "zwh", "108.55")  # 曾 is read zēng in a name
    steps.pay_mixed(cashier, scanned="50", cash="58.60", rounding="0.05", given="60", change="1.40")
    paid = world.settlement(steps.settlements_of(house, person)[0]["id"])
    assert steps.paid_by(paid) == {"scan": Decimal("50.00"), "cash": Decimal("58.60"), "rounding": Decimal("-0.05")}
    assert paid["number"] in printer.paper()

    steps.dispense(pharmacist, WHO, number, "2盒")
    steps.take_back(pharmacist, number, "1")
    steps.open_settlement(cashier, paid["number"])
    steps.refund(cashier, "1", "", {"扫码支付原路退回": "24.00"})
    assert "退费凭证" in printer.paper()
    steps.close_shift(cashier, "104.55", "78.60")
    assert "交账报表" in printer.paper()
    assert world.findings() == []
