"""Daily and monthly statements: from the ledger, handed in, compared to the row, confirmed (N4, YB-03)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from his_server.actor import SYSTEM, Actor
from his_server.clock import ManualClock
from his_server.errors import Forbidden
from interfaces.hub import simulating
from interfaces.hub.simulating import Rule
from interfaces.insurance_statement import simulator
from modules.insurance_office import rules, service
from modules.insurance_office.models import Statement
from modules.kernel.charging.ports import CentreRow, SettledRow
from modules.kernel.charging.service import insured_refunds
from tests.counting import count_queries
from tests.factories import insured as make
from tests.factories.centre import Centre
from tests.factories.hospital import World
from tests.factories.security import make_user, signed_in_client

API = "/api/insurance-office"
ZERO = Decimal("0.00")


@pytest.fixture
def office(world: World) -> World:
    """The world with somebody in the insurance office."""
    for who in ("office", "office2"):
        with world.db.begin() as session:
            session.info["actor"] = SYSTEM
            user = make_user(session, "insurance", name="钱医保")
            world.ids[f"user_{who}"] = user.id
        world.clients[who] = signed_in_client(world.app, world.db, user=user)
    return world


def _visit(world: World, day: int) -> tuple[str, int, int]:
    """Somebody born on that day of a month, at the doctor's."""
    number = make.id_no(day)
    person = make.insured_person(world, number, f"病人{day}")
    return number, person, world.encounter(world.register(person))


def _settled(world: World, day: int, quantity: str = "5", visit: tuple[str, int, int] | None = None) -> dict[str, Any]:
    """A bill settled with the insurer."""
    number, person, encounter = visit or _visit(world, day)
    world.request(encounter, quantity)
    claim = world.ok(make.preview(world, person, make.show(number)))
    return world.ok(make.settle(world, claim, make.show(number)))


def _a_day(world: World, clock: ManualClock) -> date:
    """A day with two settlements of residents, one of an employee, one whole refund; it is the next day now."""
    _settled(world, 3)
    _settled(world, 2)
    done = _settled(world, 5, "3")
    line = world.settlement(done["settlement_id"])["lines"][0]["id"]
    case = world.ok(world.post("cashier", f"{make.API}/refunds", {
        "settlement_id": done["settlement_id"], "reason": "检查取消", "lines": [{"line_id": line, "quantity": "3"}]}))
    assert case["state"] == "done"
    day = clock.today()
    clock.move(days=1)
    world.sign_in_again()
    return day


def _build(world: World, day: date, **more: Any) -> list[dict[str, Any]]:
    made = world.ok(world.post("office", f"{API}/statements", {"day": day.isoformat(), **more}))["ids"]
    return [world.ok(world.get("office", f"{API}/statements/{key}")) for key in made]


def _do(world: World, statement: int, act: str) -> Any:
    return world.post("office", f"{API}/statements/{statement}/{act}")


@pytest.mark.requirement("N4", "YB-03")
def test_a_day_is_summed_uploaded_compared_and_confirmed(office: World, clock: ManualClock) -> None:
    day = _a_day(office, clock)
    residents, employees = sorted(_build(office, day), key=lambda one: one["insurance"], reverse=True)
    assert (residents["insurance"], residents["entries"], residents["refunds"]) == ("390", 3, 1)
    assert (employees["insurance"], employees["entries"], employees["total"]) == ("310", 1, "302.75")
    assert residents["total"] == "302.75", "a refund is a row with negative amounts"
    for one in (residents, employees):
        assert Decimal(one["total"]) == sum(Decimal(one[n]) for n in ("fund", "account", "cash", "hospital"))
    assert _do(office, employees["id"], "confirm").json["code"] == "statement.state", "not before it was compared"
    up = office.ok(_do(office, employees["id"], "upload"))
    assert (up["state"], up["handover_no"]) == ("uploaded", f"JJ{up['number']}")
    centre = Centre.like_ours(office.db, day)
    centre.rows = {key: row for key, row in centre.rows.items() if row.total == Decimal("302.75") and row.account > 0}
    office.db.ports["insurance:reconciliation"] = centre
    even = office.ok(_do(office, employees["id"], "compare"))
    assert even["state"] == "matched" and centre.asked == ["totals"], "details are asked for only when sums differ"
    assert office.ok(_do(office, employees["id"], "confirm"))["state"] == "confirmed"
    assert _do(office, employees["id"], "delete").json["code"] == "statement.state", "confirmed is for good"
    assert office.findings() == []
    with office.db.begin() as session:  # somebody alters what was confirmed: the balance says so
        session.get_one(Statement, employees["id"]).fund += Decimal("0.01")
    assert any("insurance_office.statement" in finding for finding in office.findings())


@pytest.mark.requirement("N4", "YB-03")
def test_one_extra_one_missing_one_changed_amount_and_flag_are_each_found(office: World, clock: ManualClock) -> None:
    for n in (3, 5, 7, 9):
        _settled(office, n)
    day = clock.today()
    clock.move(days=1)
    office.sign_in_again()
    (made,) = _build(office, day)
    assert office.ok(_do(office, made["id"], "upload"))["message"] is None
    centre = Centre.like_ours(office.db, day)
    missing, changed, flagged, _ = sorted(centre.rows)
    gone = centre.rows.pop(missing)
    centre.alter(changed, fund=centre.rows[changed].fund - Decimal("0.01"))
    centre.alter(flagged, refund=True)
    centre.rows["STRAY"] = SettledRow("S-OTHER", "V-OTHER", gone.member_no, False, Decimal("88.00"), Decimal("8.00"), ZERO)
    office.db.ports["insurance:reconciliation"] = centre
    found = office.ok(_do(office, made["id"], "compare"))
    assert found["state"] == "diff" and found["differences"] == 4
    kinds = {row["kind"]: row for row in found["items"]}
    assert set(kinds) == {"HOSPITAL_ONLY", "CENTRE_ONLY", "AMOUNT_DIFF", "FLAG_DIFF"}
    assert kinds["HOSPITAL_ONLY"]["peer_number"] == gone.peer_number and kinds["HOSPITAL_ONLY"]["their_total"] is None
    assert kinds["HOSPITAL_ONLY"]["name"].startswith("病"), "whose it is, masked"
    assert kinds["CENTRE_ONLY"]["message_id"] == "STRAY" and kinds["CENTRE_ONLY"]["our_total"] is None
    assert Decimal(kinds["AMOUNT_DIFF"]["our_fund"]) - Decimal(kinds["AMOUNT_DIFF"]["their_fund"]) == Decimal("0.01")
    again = office.ok(_do(office, made["id"], "compare"))
    assert [row["id"] for row in again["items"]] == [row["id"] for row in found["items"]], "found once, not anew"
    assert _do(office, made["id"], "confirm").json["code"] == "statement.differences"
    with office.db.begin(write=False) as session, count_queries(office.db) as seen:
        from modules.insurance_office import queries
        assert len(queries.differences(session, state="todo", limit=50, after=None)["items"]) == 4
    assert seen.total == 3, "however many there are"


@pytest.mark.requirement("N4", "YB-02")
def test_what_only_the_centre_has_is_reversed_by_two_people(office: World, clock: ManualClock) -> None:
    _settled(office, 3)
    day = clock.today()
    clock.move(days=1)
    office.sign_in_again()
    (made,) = _build(office, day)
    assert office.ok(_do(office, made["id"], "upload"))["message"] is None
    centre = Centre.like_ours(office.db, day)
    member = next(iter(centre.rows.values())).member_no
    centre.rows["STRAY"] = SettledRow("S9", "V9", member, False, Decimal("88.00"), Decimal("8.00"), ZERO)
    office.db.ports["insurance:reconciliation"] = centre
    (row,) = office.ok(_do(office, made["id"], "compare"))["items"]
    path = f"{API}/differences/{row['id']}"
    assert office.post("office", f"{path}/approve").status_code == 403
    assert office.post("finance", f"{path}/approve").json["code"] == "difference.state", "nobody proposed it"
    office.ok(office.post("office", f"{path}/propose", {"reason": "医院无此结算，疑为超时"}))
    assert office.post("office2", f"{path}/propose", {"reason": "医院无此结算"}).status_code == 409
    assert [one["id"] for one in office.ok(office.get("finance", f"{API}/reversals?state=proposed"))["items"]] == [row["id"]]
    with pytest.raises(Forbidden), office.db.begin() as session:  # with both permissions: still not by whoever proposed it
        service.open_approval(session, Actor(user_id=office.ids["user_office"], login="office", name="钱医保"), row["id"])
    centre.lost = 1
    lost = office.ok(office.post("finance", f"{path}/approve"))
    assert lost["state"] == "reversing" and "没有应答" in lost["message"]
    done = office.ok(office.post("finance", f"{path}/approve"))
    assert done["state"] == "settled" and len(centre.undone) == 1, "a repeat undoes nothing twice"
    assert office.ok(_do(office, made["id"], "compare"))["state"] == "matched"
    assert office.ok(_do(office, made["id"], "confirm"))["state"] == "confirmed"


@pytest.mark.requirement("N4")
@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "garbage", "refuse"])
def test_a_lost_answer_of_the_centre_is_asked_for(office: World, clock: ManualClock, fault: str, tmp_path: Path) -> None:
    day = _a_day(office, clock)
    made = _build(office, day)[0]
    folder = tmp_path / "simulators" / "insurance_statement"
    faults = simulating.Faults(folder)
    faults.write([Rule(fault, "statement", count=1)])
    first = office.ok(_do(office, made["id"], "upload"))
    assert (first["state"], first["pending"]) == ("draft", "upload")
    second = _do(office, made["id"], "upload")
    assert (second.status_code, second.json["code"]) == (409, "statement.pending"), "who is at it, and since when"
    clock.move(minutes=2)
    assert service.recover(office.db) == 1
    found = office.ok(office.get("office", f"{API}/statements/{made['id']}"))
    arrived = fault in ("drop_after", "garbage")
    assert (found["state"], found["pending"]) == ("uploaded" if arrived else "draft", None)
    if not arrived:
        assert office.ok(_do(office, made["id"], "upload"))["state"] == "uploaded"
    assert simulator.held(folder) == [(made["number"], "UPLOADED")]


@pytest.mark.requirement("N4")
def test_deleted_and_made_anew_and_the_month_is_its_confirmed_days(office: World, clock: ManualClock) -> None:
    later = _visit(office, 4)
    first = _a_day(office, clock)
    _settled(office, 4, visit=later)
    second = clock.today()
    clock.set(clock.now() + timedelta(days=40))
    office.sign_in_again()
    early = office.post("office", f"{API}/statements", {"day": first.isoformat(), "monthly": True})
    assert (early.status_code, early.json["code"]) == (409, "statement.days_missing")
    assert f"{second:%m-%d}" in early.json["message"]
    days = [*_build(office, first), *_build(office, second)]
    gone = days[0]
    office.ok(_do(office, gone["id"], "upload"))
    assert office.ok(_do(office, gone["id"], "delete"))["state"] == "deleted"
    days[0] = next(one for one in _build(office, first) if one["insurance"] == gone["insurance"])
    assert (days[0]["revision"], days[0]["state"]) == (2, "draft")
    for one in days:
        office.db.ports["insurance:reconciliation"] = _Agreeing()
        for act in ("upload", "compare", "confirm"):
            answer = office.ok(_do(office, one["id"], act))
        assert answer["state"] == "confirmed"
    months = _build(office, first, monthly=True)
    for month in months:
        parts = [day for day in days if day["insurance"] == month["insurance"]]
        for name in ("total", "fund", "account", "cash", "hospital"):
            assert Decimal(month[name]) == sum(Decimal(part[name]) for part in parts)
        assert month["entries"] == sum(part["entries"] for part in parts)
        assert office.ok(_do(office, month["id"], "upload"))["state"] == "uploaded"
    assert {month["insurance"] for month in months} == {"310", "390"}
    today = office.post("office", f"{API}/statements", {"day": clock.today().isoformat()})
    assert (today.status_code, today.json["code"]) == (422, "statement.day")


class _Agreeing(Centre):
    """Books that agree with whatever they are told."""

    def totals(self, scope: Any, totals: Any) -> Any:
        self.rows = {"M": SettledRow("S", "V", "P", False, totals.total, totals.fund, totals.account)}
        return super().totals(scope, rules.Totals(totals.total, totals.fund, totals.account, totals.cash, totals.hospital, 1, 0))


@pytest.mark.requirement("N4")
def test_a_refund_of_another_day_stands_on_its_own_day(office: World, clock: ManualClock) -> None:
    done = _settled(office, 3)
    first = clock.today()
    clock.move(days=1)
    office.sign_in_again()
    line = office.settlement(done["settlement_id"])["lines"][0]["id"]
    office.ok(office.post("cashier", f"{make.API}/refunds", {
        "settlement_id": done["settlement_id"], "reason": "检查取消", "lines": [{"line_id": line, "quantity": "2"}]}))
    insured_refunds.recover(office.db)
    clock.move(days=1)
    office.sign_in_again()
    (before,), (after,) = _build(office, first), _build(office, first + timedelta(days=1))
    assert (before["entries"], before["total"]) == (1, "302.75")
    assert (after["entries"], after["refunds"], after["total"]) == (2, 1, "-121.10"), "reversed whole, the rest settled anew"


@pytest.mark.requirement("YB-03")
def test_kinds_of_differences() -> None:
    ours = SettledRow("S1", "V1", "P", False, Decimal("10.00"), Decimal("5.00"), ZERO)

    def row(**more: Any) -> CentreRow:
        return CentreRow(**{"result": "1", "message_id": "M", "member_no": "P", "peer_number": "S1", "peer_visit": "V1",
                            "total": Decimal("10.00"), "fund": Decimal("5.00"), "account": ZERO, **more})

    assert rules.kind_of(ours, row(fund=Decimal("4.00"))) == rules.AMOUNT_DIFF
    assert rules.kind_of(ours, row(refund=True)) == rules.FLAG_DIFF
    assert rules.kind_of(ours, row(total=Decimal("-10.00"))) == rules.FLAG_DIFF
    assert rules.kind_of(ours, row(message_id="")) == rules.HOSPITAL_ONLY
    assert rules.kind_of(None, row(peer_number="")) == rules.CENTRE_ONLY
