"""Registration in all its ways: same day, appointment, emergency, Shanghai expert, extra slot, renewal, change, cancel."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from his_server.actor import SYSTEM
from his_server.clock import HOSPITAL_ZONE, ManualClock
from his_server.db import today
from his_server.messaging.outbox import OutboxEvent
from his_server.security.audit import AuditRow
from modules.kernel.scheduling import service as scheduling
from modules.kernel.scheduling.models import ClinicSession, RegisterLevel, Registration
from tests.counting import QueryCount
from tests.factories import masterdata as make
from tests.factories.hospital import World

BASE = "/api/outpatient-billing"


@pytest.fixture
def more(world: World) -> World:
    """The small hospital with an expert and a Shanghai expert today, and the clinic again tomorrow."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        day = today(session)
        other = make.make_department(session, name="心血管内科")
        expert = make.make_staff(session, other, name="何主任")
        for level, price in (("专家", "50.00"), ("上海专家", "300.00")):
            session.add(RegisterLevel(code=level, item_id=make.make_item(
                session, price, name=f"{level}诊察费", fiscal_category="02", performing_kind="登记").id))
        for name, level, days, department, doctor, capacity in (
                ("expert", "专家", 0, other.id, expert.id, 1), ("shanghai", "上海专家", 0, other.id, expert.id, 5),
                ("afternoon", "普通", 0, world.ids["clinic"], world.ids["doctor"], 5),
                ("tomorrow", "普通", 1, world.ids["clinic"], world.ids["doctor"], 2)):
            made = ClinicSession(day=day + timedelta(days=days), department_id=department, doctor_id=doctor, level=level,
                                 period="下午" if name == "afternoon" else "上午", capacity=capacity, extra=0, taken=0,
                                 issued=0, state="open")
            session.add(made)
            session.flush()
            world.ids[name] = made.id
    return world


def _register(world: World, person: int, session: str, price: str) -> Any:
    return world.post("cashier", f"{BASE}/registrations", {
        "person_id": person, "session_id": world.ids[session], "expected_total": price,
        "payments": [{"method": "cash", "covers": price}]})


def _row(world: World, registration_id: int) -> Registration:
    with world.db.begin(write=False) as session:
        found = session.get(Registration, registration_id)
        assert found is not None
        session.expunge(found)
        return found


def _slots(world: World, name: str) -> tuple[int, int]:
    with world.db.begin(write=False) as session:
        found = session.get(ClinicSession, world.ids[name])
        assert found is not None
        return found.taken, found.extra


def _events(world: World, number: str) -> list[str]:
    with world.db.begin(write=False) as session:
        return [e.type for e in session.query(OutboxEvent).filter_by(business_key=number)
                .order_by(OutboxEvent.occurred_at)]


@pytest.mark.requirement("M1.8")
def test_the_shanghai_expert_is_paid_but_not_performed_and_can_go_back(more: World) -> None:
    made = more.ok(_register(more, more.person(), "shanghai", "300.00"))
    line = more.settlement(made["id"])["lines"][0]
    assert (line["performed"], line["refundable"]) == ("0.0000", "1.0000")
    back = more.ok(more.post("cashier", f"{BASE}/registrations/{made['registration_id']}/cancel", {"reason": "专家停诊"}))
    assert back["total"] == "300.00"
    assert more.findings() == []


def test_an_emergency_registration_opens_an_emergency_visit(more: World) -> None:
    made = more.ok(_register(more, more.person(), "emergency_session", "20.00"))
    from modules.kernel.encounters.models import Encounter

    with more.db.begin(write=False) as session:
        visit = session.get(Encounter, _row(more, made["registration_id"]).encounter_id)
        assert visit is not None and visit.kind == "emergency"


@pytest.mark.requirement("M1.10")
def test_an_appointment_is_taken_and_paid_on_its_day(more: World, clock: ManualClock) -> None:
    person = more.person()
    body = {"person_id": person, "session_id": more.ids["tomorrow"]}
    booked = more.ok(more.post("cashier", f"{BASE}/bookings", body))
    assert (booked["state"], booked["way"], booked["id"], booked["queue_no"]) == ("booked", "appointment", None, 1)
    assert more.post("cashier", f"{BASE}/bookings", body).json["code"] == "registration.booked_twice"
    today_ = more.post("cashier", f"{BASE}/bookings", {**body, "session_id": more.ids["session"]})
    assert today_.json["code"] == "registration.book_today"
    assert more.ok(more.get("doctor", "/api/orders/visits"))["items"] == []
    pay = {"payments": [{"method": "cash", "covers": "20.00"}], "expected_total": "20.00"}
    path = f"{BASE}/registrations/{booked['registration_id']}/take"
    early = more.post("cashier", path, pay)
    assert early.status_code == 409 and early.json["code"] == "registration.not_yet"
    assert f"{booked['day'][5:]}" in early.json["message"]
    clock.move(days=1)
    more.sign_in_again()
    taken = more.ok(more.post("cashier", path, pay))
    assert (taken["state"], taken["queue_no"], taken["total"]) == ("registered", 1, "20.00")
    assert more.post("cashier", path, pay).json["code"] == "registration.taken"
    seen = more.ok(more.get("doctor", "/api/orders/visits"))["items"]
    assert [visit["queue_no"] for visit in seen] == [1]
    assert _events(more, booked["registration_number"]) == ["RegistrationBooked", "RegistrationMade"]
    assert more.findings() == []


def test_what_nobody_takes_is_released_by_the_job_and_only_then(more: World, clock: ManualClock) -> None:
    late, prompt = more.person("迟到"), more.person("准时")
    body = {"session_id": more.ids["tomorrow"]}
    booked = [more.ok(more.post("cashier", f"{BASE}/bookings", {**body, "person_id": p})) for p in (late, prompt)]
    full = more.post("cashier", f"{BASE}/bookings", {**body, "person_id": more.person("第三人")})
    assert full.json["code"] == "registration.full"
    clock.move(days=1)
    more.sign_in_again()
    more.ok(more.post("cashier", f"{BASE}/registrations/{booked[1]['registration_id']}/take", {
        "payments": [{"method": "cash", "covers": "20.00"}], "expected_total": "20.00"}))
    assert scheduling.release_no_shows(more.db) == 0
    clock.set(datetime.combine(clock.today(), time(11, 1), HOSPITAL_ZONE))
    more.sign_in_again()
    assert scheduling.release_no_shows(more.db) == 1
    assert scheduling.release_no_shows(more.db) == 0
    gone = _row(more, booked[0]["registration_id"])
    assert (gone.state, gone.no_show, gone.cancelled_by_name) == ("cancelled", True, "系统")
    refused = more.post("cashier", f"{BASE}/registrations/{gone.id}/take", {"payments": [], "expected_total": "0.00"})
    assert refused.status_code == 409 and "逾期未取" in refused.json["message"]
    assert more.unpaid(late)["lines"] == []
    assert _slots(more, "tomorrow") == (1, 0)
    assert more.findings() == []


def test_a_doctor_adds_a_slot_for_one_person_and_only_that_person_takes_it(more: World) -> None:
    first, invited, stranger = more.person("甲"), more.person("乙"), more.person("丙")
    more.ok(_register(more, first, "expert", "50.00"))
    grant = {"person_id": invited, "reason": "外地复诊"}
    path = f"/api/scheduling/sessions/{more.ids['expert']}/extra-slots"
    assert more.post("doctor", path, grant).status_code == 403  # another doctor's session
    assert more.post("cashier", path, grant).status_code == 403
    own = f"/api/scheduling/sessions/{more.ids['session']}/extra-slots"
    given = more.ok(more.post("doctor", own, grant))
    assert more.post("doctor", own, grant).json["code"] == "registration.extra_twice"
    with more.db.begin() as session:
        clinic = session.get(ClinicSession, more.ids["session"])
        assert clinic is not None
        clinic.capacity = 0
    assert _register(more, stranger, "session", "20.00").json["code"] == "registration.full"
    made = more.ok(_register(more, invited, "session", "20.00"))
    assert made["way"] == "extra" and _slots(more, "session") == (1, 1)
    withdraw = f"/api/scheduling/extra-slots/{given['id']}/withdraw"
    assert more.post("doctor", withdraw, {"reason": "病人不来了"}).json["code"] == "registration.extra_used"
    more.ok(more.post("cashier", f"{BASE}/registrations/{made['registration_id']}/cancel", {"reason": "病人要求"}))
    assert _slots(more, "session") == (0, 0)
    assert more.findings() == []


def test_an_extra_slot_is_withdrawn_with_a_reason_and_by_whom_gave_it(more: World) -> None:
    path = f"/api/scheduling/sessions/{more.ids['session']}/extra-slots"
    invited = more.person("乙")
    given = more.ok(more.post("doctor", path, {"person_id": invited, "reason": "外地复诊"}))
    withdraw = f"/api/scheduling/extra-slots/{given['id']}/withdraw"
    for body in ({}, {"reason": "错"}):
        refused = more.post("doctor", withdraw, body)
        assert refused.status_code == 422 and [one["field"] for one in refused.json["errors"]] == ["reason"]
    assert more.post("cashier", withdraw, {"reason": "病人不来了"}).status_code == 403
    assert more.post("doctor", withdraw, {"reason": "病人不来了"}).status_code == 204
    assert more.post("doctor", withdraw, {"reason": "病人不来了"}).json["code"] == "registration.extra_used"
    with more.db.begin(write=False) as session:
        row = session.scalars(select(AuditRow).where(AuditRow.event == "registration.extra_withdraw")).one()
        assert (row.object_id, json.loads(row.detail)) == (str(given["id"]), {"reason": "病人不来了"})
    assert more.ok(more.post("doctor", path, {"person_id": invited, "reason": "又来了"}))["id"] == given["id"]


@pytest.mark.requirement("M1.14", "FN-09")
def test_changing_to_the_expert_charges_the_difference_in_one_transaction(more: World) -> None:
    person = more.person()
    made = more.ok(_register(more, person, "session", "20.00"))
    path = f"{BASE}/registrations/{made['registration_id']}"
    said = more.ok(more.post("cashier", f"{path}/change-preview", {"session_id": more.ids["expert"]}))
    assert (said["refund"], said["charge"], said["same"]) == ("20.00", "50.00", False)
    short = more.post("cashier", f"{path}/change", {"session_id": more.ids["expert"], "reason": "要求专家",
                                                    "payments": [{"method": "cash", "covers": "30.00"}],
                                                    "expected_total": "50.00"})
    assert short.status_code == 422
    assert _slots(more, "session") == (1, 0) and _slots(more, "expert") == (0, 0)  # nothing of it stayed
    done = more.ok(more.post("cashier", f"{path}/change", {
        "session_id": more.ids["expert"], "reason": "要求专家", "expected_total": "50.00",
        "payments": [{"method": "cash", "covers": "50.00"}]}))
    assert (done["total"], done["refund"]["total"], done["refund"]["cash"], done["queue_no"]) == (
        "50.00", "20.00", "20.00", 1)
    row = _row(more, made["registration_id"])
    assert (row.number, row.level, row.settlement_id, row.state) == (
        made["registration_number"], "专家", done["id"], "registered")
    assert _slots(more, "session") == (0, 0) and _slots(more, "expert") == (1, 0)
    assert sorted(_events(more, row.number)) == ["RegistrationChanged", "RegistrationMade"]
    back = more.ok(more.post("cashier", f"{path}/cancel", {"reason": "病人要求"}))
    assert back["total"] == "50.00"  # the fee that is his now, not the first one again
    shift = more.ok(more.get("cashier", f"{BASE}/shifts/current"))["statement"]
    assert shift["net"] == "0.00"
    assert more.findings() == []


def test_the_same_fee_stays_where_it_is_and_a_booking_is_moved_unpaid(more: World) -> None:
    made = more.ok(_register(more, more.person(), "session", "20.00"))
    done = more.ok(more.post("cashier", f"{BASE}/registrations/{made['registration_id']}/change", {
        "session_id": more.ids["afternoon"], "reason": "改下午", "payments": [], "expected_total": "0.00"}))
    assert (done["id"], done["refund"]) == (None, None)
    assert _row(more, made["registration_id"]).settlement_id == made["id"]
    person = more.person("预约人")
    booked = more.ok(more.post("cashier", f"{BASE}/bookings", {"person_id": person, "session_id": more.ids["tomorrow"]}))
    more.ok(more.post("cashier", f"{BASE}/registrations/{booked['registration_id']}/change", {
        "session_id": more.ids["shanghai"], "reason": "换专家", "payments": [], "expected_total": "0.00"}))
    assert [line["amount"] for line in more.unpaid(person)["lines"]] == ["300.00"]
    more.ok(more.post("cashier", f"{BASE}/registrations/{booked['registration_id']}/cancel", {"reason": "不来了"}))
    assert more.unpaid(person)["lines"] == []
    assert more.findings() == []


@pytest.mark.requirement("YB-09")
def test_a_registration_is_good_for_three_days_while_results_are_pending(more: World, clock: ManualClock) -> None:
    person = more.person()
    made = more.ok(more.post("cashier", f"{BASE}/registrations", {
        "person_id": person, "session_id": more.ids["session"], "expected_total": "20.00",
        "payments": [{"method": "cash", "covers": "20.00"}]}))
    visit = _row(more, made["registration_id"]).encounter_id
    body = {"person_id": person, "session_id": more.ids["tomorrow"]}
    asked = f"{BASE}/renewals"
    clock.move(days=1)
    more.sign_in_again()
    assert more.ok(more.get("cashier", f"{asked}?person_id={person}"))["items"] == []
    assert more.post("cashier", asked, body).json["code"] == "registration.not_renewable"  # nothing was ordered
    more.request(visit)
    assert more.post("cashier", asked, body).json["code"] == "registration.not_renewable"  # nothing was paid
    more.ok(more.pay_all(person))
    assert [r["id"] for r in more.ok(more.get("cashier", f"{asked}?person_id={person}"))["items"]] == [
        made["registration_id"]]
    renewed = more.ok(more.post("cashier", asked, body))
    assert (renewed["total"], renewed["way"], renewed["state"]) == ("0.00", "renewal", "registered")
    assert more.settlement(renewed["id"])["lines"][0]["name"].endswith("（续诊免费）")
    with more.db.begin() as session:
        third = ClinicSession(day=today(session) + timedelta(days=1), department_id=more.ids["clinic"], doctor_id=None,
                              level="普通", period="上午", capacity=5, extra=0, taken=0, issued=0, state="open")
        fourth = ClinicSession(day=today(session) + timedelta(days=2), department_id=more.ids["clinic"], doctor_id=None,
                               level="普通", period="上午", capacity=5, extra=0, taken=0, issued=0, state="open")
        session.add_all([third, fourth])
        session.flush()
        later, too_late = third.id, fourth.id
    again = more.post("cashier", asked, {**body, "session_id": later})
    assert again.json["code"] == "registration.not_renewable"  # once
    more.ok(more.post("cashier", f"{BASE}/registrations/{renewed['registration_id']}/cancel", {"reason": "改天来"}))
    assert more.post("cashier", asked, {**body, "session_id": too_late}).status_code == 409  # the fourth day
    assert more.ok(more.post("cashier", asked, {**body, "session_id": later}))["way"] == "renewal"
    assert more.findings() == []


@pytest.mark.requirement("M1.5")
def test_registrations_are_found_by_everything_page_by_page(
        more: World, query_counter: Callable[[], AbstractContextManager[QueryCount]]) -> None:
    names = ["王小二", "李四光", "张三丰", "赵云龙", "钱学礼"]
    people = [more.person(name) for name in names]
    made = [more.register(person) for person in people]
    number = _row(more, made[2]["registration_id"]).number
    path = f"{BASE}/registrations"

    def found(**query: Any) -> list[int]:
        answer = more.clients["cashier"].get(path, query_string=query)
        return [row["person_id"] for row in more.ok(answer)["items"]]

    assert found(q=number) == [people[2]]
    assert found(q=made[3]["number"]) == [people[3]]
    assert found(q="zsf") == [people[2]]
    assert found(q="李四光") == [people[1]]
    assert found(q="没有这个人") == []
    day = str(more.db.clock.today())
    with query_counter() as count:
        first = more.ok(more.clients["cashier"].get(path, query_string={"day_from": day, "day_to": day, "limit": 2}))
    assert len([s for s in count.statements if not s.startswith("PRAGMA") and "security_" not in s]) == 1
    with query_counter() as count:
        found(q="wxe", day_from=day)
    assert len([s for s in count.statements if not s.startswith("PRAGMA") and "security_" not in s]) <= 5
    seen, after = [row["id"] for row in first["items"]], first["next"]
    while after:
        page = more.ok(more.clients["cashier"].get(path, query_string={"day_from": day, "limit": 2, "after": after}))
        seen += [row["id"] for row in page["items"]]
        after = page["next"]
    assert sorted(seen) == sorted(row["registration_id"] for row in made) and len(set(seen)) == 5
    more.ok(more.post("cashier", f"{path}/{made[0]['registration_id']}/cancel", {"reason": "病人要求"}))
    assert found(state="cancelled") == [people[0]]
    assert people[0] not in found(state="registered")


@pytest.mark.requirement("M9.5")
def test_people_are_counted_when_it_happens(more: World, clock: ManualClock) -> None:
    """A March registration for April that is cancelled in April counts −1 in April; March stays what it was."""
    clock.set(datetime(2026, 3, 31, 9, tzinfo=HOSPITAL_ZONE))
    more.sign_in_again()
    with more.db.begin() as session:
        coming = ClinicSession(day=clock.today() + timedelta(days=1), department_id=more.ids["clinic"], level="普通",
                               doctor_id=None, period="上午", capacity=9, extra=0, taken=0, issued=0, state="open")
        session.add(coming)
        session.flush()
        more.ids["april"] = coming.id
    made = [more.ok(_register(more, more.person(f"人{n}"), "april", "20.00")) for n in range(2)]

    def counted(start: str, end: str) -> tuple[int, int, int]:
        cells = more.ok(more.get("cashier", f"/api/reports/registration-counts?from={start}&to={end}"))["total"]["cells"]
        return cells["made"], cells["cancelled"], cells["net"]

    assert counted("2026-03-01", "2026-03-31") == (2, 0, 2)
    clock.move(days=1)
    more.sign_in_again()
    for row in made:
        more.ok(more.post("cashier", f"{BASE}/registrations/{row['registration_id']}/cancel", {"reason": "病人要求"}))
    assert counted("2026-04-01", "2026-04-30") == (0, -2, -2)
    assert counted("2026-03-01", "2026-03-31") == (2, 0, 2)
    assert more.findings() == []


def test_a_fee_to_the_fen_survives_a_change_in_cash(more: World) -> None:
    """Rounding of the old and of the new cash stand apart; the drawer holds what was paid in all."""
    with more.db.begin() as session:
        from modules.kernel.masterdata.models import ChargeItemPrice

        item = session.query(RegisterLevel).filter_by(code="专家").one().item_id
        session.query(ChargeItemPrice).filter_by(item_id=item).one().price = Decimal("50.55")
    made = more.ok(_register(more, more.person(), "session", "20.00"))
    done = more.ok(more.post("cashier", f"{BASE}/registrations/{made['registration_id']}/change", {
        "session_id": more.ids["expert"], "reason": "要求专家", "expected_total": "50.55",
        "payments": [{"method": "cash", "covers": "50.55"}]}))
    assert done["total"] == "50.55"
    statement = more.ok(more.get("cashier", f"{BASE}/shifts/current"))["statement"]
    assert statement["net"] == "50.55" and statement["cash"] in ("50.50", "50.60")
    assert more.findings() == []
