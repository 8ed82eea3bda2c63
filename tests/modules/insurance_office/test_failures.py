"""The daily report of what failed with the insurer, and trying again from the row (M5.3)."""

from __future__ import annotations

from typing import Any

import pytest

from his_server.clock import ManualClock
from modules.insurance_office import queries
from modules.kernel.charging.service import insured
from tests.counting import count_queries
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.modules.insurance_office.test_statements import office

API = "/api/insurance-office/failures"
__all__ = ["office"]


def _owing(world: World, day: int) -> tuple[int, str]:
    number = make.id_no(day)
    person = make.insured_person(world, number, f"病人{day}")
    world.request(world.encounter(world.register(person)), "2")
    return person, number


def _report(world: World, clock: ManualClock, **query: Any) -> list[dict[str, Any]]:
    text = "".join(f"&{name}={value}" for name, value in query.items())
    return world.ok(world.get("office", f"{API}?day={clock.today().isoformat()}{text}"))["items"]


@pytest.mark.requirement("M5.3")
def test_each_failure_is_a_row_with_patient_cause_and_what_became_of_it(office: World, clock: ManualClock) -> None:
    refused, number = _owing(office, 3)
    claim = office.ok(make.preview(office, refused, make.show(number, "0001")))
    office.ok(make.settle(office, claim, make.show(number, "0001")))
    lost, other = _owing(office, 5)
    assert make.preview(office, lost, make.show(other, "0005")).status_code == 409
    fine, third = _owing(office, 7)
    done = office.ok(make.preview(office, fine, make.show(third)))
    office.ok(make.settle(office, done, make.show(third)))
    rows = _report(office, clock)
    assert [(row["act"], row["outcome"]) for row in rows] == [("preview", "unknown"), ("settle", "refused")], "newest first"
    preview, settle = rows
    assert settle["name"].startswith("病") and "*" in settle["name"]
    assert (settle["total"], settle["insurance"]) == ("121.10", "390")
    assert settle["message"] and settle["cause_name"] == "其他拒绝" and settle["now"] == "费用待缴" and not settle["retry"]
    assert preview["total"] == "121.10", "also where the insurer never told a split"
    assert preview["cause_name"] == "对方没有应答" and preview["by_name"] == "李收费"
    office.ok(office.pay_all(refused))
    assert _report(office, clock, act="settle")[0]["now"] == "已收费"
    assert _report(office, clock, cause="unknown") == [preview]
    clock.move(days=1)
    office.sign_in_again()
    assert _report(office, clock) == []
    assert office.get("cashier", f"{API}?day={clock.today().isoformat()}").status_code == 403


@pytest.mark.requirement("M5.3")
def test_a_row_is_tried_again(office: World, clock: ManualClock) -> None:
    """A refused pre-settlement by the patient's own number; an unanswered settlement by asking."""
    person, number = _owing(office, 3)
    assert make.preview(office, person, make.show(number, "0012")).status_code == 409  # suspended: never got to a claim
    make_again = office.ok(make.preview(office, person, make.show(number, "0000")))
    office.ok(office.post("cashier", f"{make.API}/claims/{make_again['id']}/withdraw"))
    lost, other = _owing(office, 5)
    claim = office.ok(make.preview(office, lost, make.show(other, "0002")))
    office.ok(make.settle(office, claim, make.show(other, "0002")))
    (row,) = _report(office, clock, act="settle")
    assert (row["now"], row["retry"]) == ("结果未明", True)
    asked = office.ok(office.post("office", f"{API}/{row['intent_id']}/retry"))
    assert asked["state"] == "used"
    assert _report(office, clock, act="settle")[0]["now"] == "已医保结算"
    again = office.post("office", f"{API}/{row['intent_id']}/retry")
    assert (again.status_code, again.json["code"]) == (409, "failure.done")


@pytest.mark.requirement("M5.3")
def test_a_refused_pre_settlement_passes_the_second_time(office: World, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
                                                        ) -> None:
    person, number = _owing(office, 3)
    insurer = office.db.ports["insurance"]
    target = getattr(insurer, "_adapter", insurer)
    with monkeypatch.context() as patch:
        from modules.kernel.charging.ports import REFUSED, Settlement
        patch.setattr(type(target), "preview", lambda *_: Settlement(REFUSED, message="目录未对照", cause="nhsa.unmapped"))
        assert make.preview(office, person, make.show(number)).status_code == 409
    (row,) = _report(office, clock)
    assert (row["cause"], row["cause_name"], row["retry"], row["now"]) == ("nhsa.unmapped", "目录未对照", True, "费用待缴")
    done = office.ok(office.post("office", f"{API}/{row['intent_id']}/retry"))
    assert "预结算已通过" in done["message"]
    assert office.unpaid(person)["lines"], "nothing is settled without the patient"
    clock.move(minutes=20)
    insured.recover(office.db)
    assert office.findings() == []
    office.ok(office.pay_all(person))
    settled = office.post("office", f"{API}/{row['intent_id']}/retry")
    assert (settled.status_code, settled.json["code"]) == (409, "failure.settled")


@pytest.mark.requirement("M5.3")
def test_the_report_costs_two_queries(office: World, clock: ManualClock) -> None:
    for day in (3, 5, 7):
        person, number = _owing(office, day)
        assert make.preview(office, person, make.show(number, "0005")).status_code == 409
    with office.db.begin(write=False) as session, count_queries(office.db) as seen:
        found = queries.failures(session, day=clock.today(), end=clock.today(), act=None, cause=None, limit=2, after=None)
        assert len(found["items"]) == 2
    assert seen.total == 2
    rest = office.ok(office.get("office", f"{API}?day={clock.today().isoformat()}&limit=2&after={found['next']}"))
    assert len(rest["items"]) == 1 and rest["next"] is None
