"""Windows, calls, review, four eyes, parts: what happens between the cashier and the patient's hands."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.messaging.outbox import OutboxEvent
from modules.kernel.charging.models import ChargeLine
from modules.kernel.dispensing.models import DispensingTask
from modules.kernel.masterdata.models import Staff
from modules.kernel.orders.models import Prescription
from modules.kernel.patients.models import Person
from modules.kernel.stock.models import Reservation, Store
from modules.outpatient_pharmacy.queries.places import screen
from tests.factories.hospital import World
from tests.factories.masterdata import make_department
from tests.factories.security import signed_in_client
from tests.modules.outpatient_pharmacy.helping import (
    PHARMACY,
    act,
    give_back,
    look,
    open_windows,
    paid,
    set_rule,
    stock_drug,
)
from tests.reading import pdf_text
from tests.threads import at_once


def queue(world: World, state: str = "charged", store: str = "store", **more: Any) -> dict[str, Any]:
    extra = "".join(f"&{k}={v}" for k, v in more.items())
    return world.ok(world.get("pharmacist", f"{PHARMACY}/queue?store_id={world.ids[store]}&state={state}{extra}"))


def windows(world: World) -> dict[int, dict[str, Any]]:
    found = world.ok(world.get("pharmacist", f"{PHARMACY}/windows?store_id={world.ids['store']}"))["items"]
    return {w["number"]: w for w in found}


# ---- windows and calls


@pytest.mark.requirement("M7.1")
def test_windows_are_chosen_inside_the_store_least_loaded_and_sticky(world: World) -> None:
    open_windows(world, 1, 2)
    open_windows(world, 9, store="emergency_store")
    first, second, third = paid(world, name="张小明"), paid(world, name="李桂英"), paid(world, name="王建国")
    assert [look(world, m)["task"]["window"] for m in (first, second, third)] == ["1号窗口", "2号窗口", "1号窗口"]
    again = paid(world, drug="pill", quantity="3", again=second)  # window 2 has as many as 1, but is hers
    also = paid(world, drug="pill", quantity="3", again=first)
    assert look(world, again)["task"]["window"] == "2号窗口"
    assert look(world, also)["task"]["window"] == "1号窗口"
    assert {n: w["waiting"] for n, w in windows(world).items()} == {1: 3, 2: 2}
    assert [p["id"] for p in queue(world, window_id=windows(world)[2]["id"])["items"]] == [second["id"], again["id"]]
    assert queue(world, store="emergency_store")["items"] == []
    paper = pdf_text(world.post("cashier", f"/api/outpatient-billing/settlements/{second['settled']['id']}/print").data)
    assert "2号窗口" in paper and "门诊药房" in paper


@pytest.mark.requirement("M7.1")
def test_one_settlement_of_two_stores_sends_each_to_a_window_of_its_own(world: World) -> None:
    day = open_windows(world, 3)
    night = open_windows(world, 1, store="emergency_store")  # the lower number: nobody of the other store goes there
    person = world.person()
    emergency = world.ok(world.post("cashier", "/api/outpatient-billing/registrations", {
        "person_id": person, "session_id": world.ids["emergency_session"], "expected_total": "20.00",
        "payments": [{"method": "cash", "covers": "20.00"}]}))
    made = [world.prescribe(world.encounter(world.register(person))),
            world.prescribe(world.encounter(emergency), drug="pill", quantity="3", days=3, dose="30")]
    world.ok(world.pay_all(person))
    with world.db.begin(write=False) as session:
        found = {task.prescription_id: task.window_id for task in session.scalars(select(DispensingTask))}
    assert found == {made[0]["id"]: day[3], made[1]["id"]: night[1]}


@pytest.mark.requirement("M7.1")
def test_a_closing_window_hands_its_people_to_others_of_the_same_store(world: World) -> None:
    keys = open_windows(world, 1, 2)
    open_windows(world, 9, store="emergency_store")
    made = paid(world)
    assert look(world, made)["task"]["window"] == "1号窗口"
    closed = world.post("pharmacist2", f"{PHARMACY}/windows/{keys[1]}/state", {"state": "closed"})
    assert closed.status_code == 200
    assert look(world, made)["task"]["window"] == "2号窗口"
    last = world.post("pharmacist", f"{PHARMACY}/windows/{keys[2]}/state", {"state": "closed"})
    assert (last.status_code, last.json["code"]) == (409, "pharmacy.last_window")
    twice = world.post("pharmacist", f"{PHARMACY}/windows/{keys[1]}/state", {"state": "closed"})
    assert twice.status_code == 409 and "吴药师" in twice.json["message"]


@pytest.mark.requirement("M7.1")
def test_the_store_is_fixed_at_settlement_and_never_jumps(world: World, clock: ManualClock) -> None:
    """Written by day, paid at night: the open emergency store has it, and keeps it when the day comes."""
    set_rule(world, opens="07:30", closes="17:30")
    with world.db.begin() as session:
        own = make_department(session, name="急诊药房", kind="药房", outpatient=False).id
        session.get_one(Store, world.ids["emergency_store"]).department_id = own
    person = world.person()
    made = world.prescribe(world.encounter(world.register(person)))
    clock.move(hours=11)
    world.sign_in_again()
    world.ok(world.pay_all(person))
    assert [p["id"] for p in queue(world, store="emergency_store")["items"]] == [made["id"]]
    clock.move(hours=13)
    world.sign_in_again()
    assert queue(world)["items"] == []
    assert look(world, made)["store_id"] == world.ids["emergency_store"]
    with world.db.begin(write=False) as session:
        assert {r.store_id for r in session.scalars(select(Reservation))} == {world.ids["emergency_store"]}
        lines = session.scalars(select(ChargeLine).where(ChargeLine.source == "prescription"))
        assert {line.performing_department_id for line in lines} == {own}
    assert world.findings() == []


@pytest.mark.requirement("M7.8")
def test_at_night_doctors_prescribe_from_the_emergency_store(world: World, clock: ManualClock) -> None:
    set_rule(world, opens="07:30", closes="17:30")
    encounter = world.encounter(world.register(world.person()))
    by_day = world.prescribe(encounter)
    clock.move(hours=10)
    world.sign_in_again()
    at_night = world.prescribe(encounter, drug="pill", quantity="3", days=3)
    with world.db.begin(write=False) as session:
        stores = {p.id: p.store_id for p in session.scalars(select(Prescription))}
    assert stores == {by_day["id"]: world.ids["store"], at_night["id"]: world.ids["emergency_store"]}
    # what is written while every outpatient pharmacy is closed is a night order, and temporary
    assert (at_night["at_night"], at_night["kind"], by_day["at_night"]) == (True, "急诊", False)
    long = world.post("doctor", "/api/orders/prescriptions", {
        "encounter_id": encounter, "diagnosis": "急性支气管炎", "lines": [{
            "drug_id": world.ids["pill"], "dose": "30", "usage": "口服", "frequency": "tid", "days": 4}]})
    assert long.status_code == 422


@pytest.mark.requirement("M7.1")
def test_call_call_again_and_pass(world: World) -> None:
    open_windows(world, 3)
    first, second = paid(world, name="欧阳䶮"), paid(world, name="李桂英")
    assert act(world, first, "pass").json["code"] == "pharmacy.not_called"
    for _ in range(2):
        world.ok(act(world, first, "call"))

    def shown() -> dict[str, Any]:
        with world.db.begin(write=False) as session:
            return screen(session, SYSTEM, {"store": str(world.ids["store"])})

    seen = shown()
    assert [(c["window"], c["calls"], c["number"]) for c in seen["called"]] == [("3号窗口", 2, first["number"][-4:])]
    assert "䶮" not in str(seen) and "桂英" not in str(seen)
    assert [len(w["waiting"]) for w in seen["windows"]] == [1]
    passed = world.ok(act(world, first, "pass"))
    assert passed["task"]["call_state"] == "passed"
    assert shown()["called"] == []
    assert [p["id"] for p in queue(world)["items"]] == [second["id"], first["id"]]  # behind those who wait
    world.ok(act(world, first, "dispense"))
    late = act(world, first, "call")
    assert late.status_code == 409 and "周药师" in late.json["message"] and "已发药" in late.json["message"]


# ---- the machine's events


@pytest.mark.requirement("M7.2", "M7.3")
def test_one_event_per_prescription_and_settlement_with_its_own_lines_only(world: World) -> None:
    open_windows(world, 4)
    person = world.person()
    encounter = world.encounter(world.register(person))
    first = world.prescribe(encounter)
    key = "pay-by-phone-01"
    owed = world.unpaid(person)
    body = {"person_id": person, "line_ids": [line["id"] for line in owed["lines"]], "expected_total": owed["total"],
            "payments": [{"method": "cash", "covers": owed["total"]}]}
    answers = [world.post("cashier", "/api/outpatient-billing/settlements", body, key=key) for _ in range(3)]
    assert {a.status_code for a in answers} == {201}  # the callback came three times
    assert world.post("cashier", "/api/outpatient-billing/settlements", body).status_code == 409
    second = world.prescribe(encounter, drug="pill", quantity="3")
    third = world.prescribe(encounter, drug="free_drug", quantity="100")
    world.ok(world.pay_all(person))  # two prescriptions in one bill: two pushes, each with its own lines
    import json

    with world.db.begin(write=False) as session:
        events = [json.loads(e.payload) for e in session.scalars(
            select(OutboxEvent).where(OutboxEvent.type == "PrescriptionReady").order_by(OutboxEvent.id))]
    assert sorted((e["prescription_id"], [line["line_id"] for line in e["lines"]]) for e in events) == sorted(
        (m["id"], [m["lines"][0]["id"]]) for m in (first, second, third))
    assert {e["window"] for e in events} == {4}


@pytest.mark.requirement("M7.2")
def test_the_machine_is_told_of_a_refund_before_it_hands_out(world: World) -> None:
    made = paid(world, "48")
    line = world.settlement(made["settled"]["id"])["lines"][0]["id"]
    path = f"/api/outpatient-billing/settlements/{made['settled']['id']}/refunds"
    for _ in range(2):
        world.ok(world.post("cashier", path, {"lines": [{"line_id": line, "quantity": "1"}], "reason": "病人要求"}))
    with world.db.begin(write=False) as session:
        told = [e.type for e in session.scalars(
            select(OutboxEvent).where(OutboxEvent.business_key == made["number"]).order_by(OutboxEvent.id))]
        task = session.scalars(select(DispensingTask)).one()
        assert task.state == "withdrawn"
    assert told == ["PrescriptionReady", "PrescriptionChanged", "PrescriptionWithdrawn"]
    assert queue(world)["items"] == []
    assert world.findings() == []


# ---- review and four eyes


@pytest.mark.requirement("RX-09")
def test_nothing_goes_out_unreviewed_and_the_four_eyes_are_named(world: World) -> None:
    set_rule(world, review_first=True)
    made = paid(world)
    assert act(world, made, "dispense").json["code"] == "pharmacy.review_first"
    assert act(world, made, "pick").json["code"] == "pharmacy.review_first"
    assert queue(world, "ready")["items"] == []
    world.ok(act(world, made, "review", {}, "pharmacist2"))
    late = act(world, made, "review", {})
    assert late.status_code == 409 and "吴药师" in late.json["message"]
    assert [p["id"] for p in queue(world, "ready")["items"]] == [made["id"]]
    world.ok(act(world, made, "pick", {}, "pharmacist2"))
    done = world.ok(act(world, made, "dispense"))["task"]
    assert [done[k] for k in ("reviewed_by_name", "picked_by_name", "checked_by_name")] == ["吴药师", "吴药师", "周药师"]
    paper = pdf_text(act(world, made, "print").data)
    assert all(text in paper for text in ("审核", "调配", "核对", "吴药师", "周药师"))


@pytest.mark.requirement("RX-09", "GR-01")
def test_the_steps_times_are_in_their_order_whoever_did_them(world: World, clock: ManualClock) -> None:
    picked, alone = paid(world), paid(world)
    clock.move(seconds=5)
    world.ok(act(world, picked, "pick"))
    clock.move(seconds=5)
    for made, reviewer in ((picked, "周药师"), (alone, "吴药师")):
        done = world.ok(act(world, made, "dispense", who="pharmacist2"))
        task = done["task"]
        times = [done["charged_at"], task["reviewed_at"], task["picked_at"], task["finished_at"]]
        assert times == sorted(times) and done["dispensed_at"] == task["finished_at"]
        assert (task["reviewed_by_name"], task["picked_by_name"], task["checked_by_name"]) == (reviewer, reviewer, "吴药师")


@pytest.mark.requirement("RX-09")
def test_one_person_may_not_pick_and_check_a_controlled_drug(world: World) -> None:
    stock_drug(world, "地西泮片", "calm", control="精二")
    made = paid(world, "24", drug="calm")
    alone = act(world, made, "dispense")
    assert (alone.status_code, alone.json["code"]) == (409, "pharmacy.two_persons")
    world.ok(act(world, made, "pick"))
    same = act(world, made, "dispense")
    assert same.json["code"] == "pharmacy.two_persons" and "周药师" in same.json["message"]
    assert look(world, made)["state"] == "charged"  # nothing moved
    assert world.ok(act(world, made, "dispense", who="pharmacist2"))["task"]["checked_by_name"] == "吴药师"
    assert world.findings() == []


@pytest.mark.requirement("RX-09")
def test_a_prescription_goes_back_to_its_doctor_who_answers(world: World) -> None:
    made = paid(world)
    back = world.ok(act(world, made, "bounce", {"reason": "剂量过大，请确认"}))
    assert back["task"]["state"] == "bounced"
    refused = act(world, made, "dispense")
    assert refused.json["code"] == "pharmacy.bounced" and "剂量过大" in refused.json["message"]
    mine = world.ok(world.get("doctor", f"{PHARMACY}/bounced"))["items"]
    assert [(b["number"], b["reason"], b["drugs"]) for b in mine] == [(made["number"], "剂量过大，请确认", "阿莫西林胶囊")]
    world.ok(act(world, made, "answer", {"reason": "按体重计算，剂量无误"}, "doctor"))
    assert look(world, made)["task"]["answer"] == "按体重计算，剂量无误"
    assert world.ok(world.get("doctor", f"{PHARMACY}/bounced"))["items"] == []
    assert act(world, made, "answer", {"reason": "再次确认"}, "doctor").status_code == 409
    world.ok(act(world, made, "dispense"))
    assert act(world, made, "bounce", {"reason": "太晚了"}).status_code == 409


def test_only_the_prescriber_answers(world: World) -> None:
    made = paid(world)
    world.ok(act(world, made, "bounce", {"reason": "请确认"}))
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        other = Staff(code="X9", name="别人", sex="1", department_id=world.ids["clinic"])
        session.add(other)
        session.flush()
        key = other.id
    world.clients["doctor9"] = signed_in_client(world.app, world.db, "doctor", staff_id=key)
    assert act(world, made, "answer", {"reason": "可以"}, "doctor9").status_code == 403


def test_many_are_reviewed_at_once_but_none_with_alerts(world: World) -> None:
    fine, also = paid(world, name="李桂英"), paid(world, name="王建国")
    warned = paid(world)
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        person = session.get(Person, warned["person_id"])
        assert person is not None
        person.allergies = "阿莫西林"
    answer = world.ok(world.post("pharmacist", f"{PHARMACY}/reviews", {"ids": [m["id"] for m in (fine, warned, also)]}))
    assert answer["passed"] == 2
    assert [r["id"] for r in answer["refused"]] == [warned["id"]]
    assert [look(world, m)["task"]["state"] for m in (fine, warned, also)] == ["reviewed", "waiting", "reviewed"]


# ---- RX-10


# ---- parts


@pytest.mark.requirement("RX-12")
@pytest.mark.parametrize("rest", ["dispensed", "refunded"])
def test_a_part_is_handed_out_and_the_rest_later_or_refunded(world: World, rest: str) -> None:
    made, settled = world.two_drugs()
    first, second = (line["id"] for line in made["lines"])
    half = world.ok(act(world, made, "dispense", {"line_ids": [first]}))
    assert half["state"] == "charged"
    assert {line["id"]: Decimal(line["left"]) for line in half["lines"]} == {first: 0, second: 3}
    assert act(world, made, "dispense", {"line_ids": [first]}).json["code"] == "orders.line_gone"
    assert give_back(world, made).json["code"] == "pharmacy.partly_given"
    assert world.findings() == []
    if rest == "dispensed":
        world.ok(act(world, made, "dispense"))
    else:
        charged = next(line for line in world.settlement(settled["id"])["lines"] if line["name"] == "氨溴索片")
        world.ok(world.post("cashier", f"/api/outpatient-billing/settlements/{settled['id']}/refunds", {
            "lines": [{"line_id": charged["id"], "quantity": charged["quantity"]}], "reason": "缺药"}))
    done = look(world, made)
    assert (done["state"], done["task"]["state"]) == ("dispensed", "done")
    assert give_back(world, made).status_code == 201
    assert world.findings() == []


@pytest.mark.requirement("RX-12", "M8.4")
def test_of_review_bounce_and_dispense_at_once_the_losers_are_told(world: World) -> None:
    for _ in range(3):
        made = paid(world)
        given, back = at_once(lambda m=made: act(world, m, "dispense"),
                              lambda m=made: act(world, m, "bounce", {"reason": "请确认"}, "pharmacist2"))
        assert sorted([given.status_code, back.status_code]) == [200, 409]
        state = look(world, made)
        assert (state["state"], state["task"]["state"]) == (
            ("dispensed", "done") if given.status_code == 200 else ("charged", "bounced"))
    assert world.findings() == []


# ---- whose store


@pytest.mark.requirement("DB-10")
def test_a_pharmacist_of_one_store_sees_and_does_nothing_in_another(world: World, sign_in: Callable[..., FlaskClient]
                                                                    ) -> None:
    open_windows(world, 1)
    made = paid(world)
    world.ok(act(world, made, "dispense"))
    waiting = paid(world, name="李桂英")
    asked = world.ok(give_back(world, made))
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        elsewhere = make_department(session, name="急诊药房", kind="药房", outpatient=False)
        store = session.get(Store, world.ids["emergency_store"])
        assert store is not None
        store.department_id = elsewhere.id
        key = elsewhere.id
    world.clients["other"] = sign_in(("pharmacist", key))
    assert {s["name"] for s in world.ok(world.get("other", f"{PHARMACY}/stores"))["items"]} == {"急诊药房"}
    ours = world.ids["store"]
    for path in (f"/queue?store_id={ours}", f"/prescriptions/{waiting['id']}", f"/prescriptions?number={waiting['number']}",
                 f"/windows?store_id={ours}", f"/rules/{ours}", f"/locations?store_id={ours}", f"/stock?store_id={ours}",
                 f"/returns?store_id={ours}", f"/returns/{asked['id']}", f"/book/drugs?store_id={ours}"):
        assert world.get("other", PHARMACY + path).status_code == 404, path
    assert world.ok(world.get("other", f"{PHARMACY}/dispensed?number={made['number']}"))["items"] == []
    for verb, body in (("dispense", {}), ("pick", {}), ("review", {}), ("bounce", {"reason": "请确认"}), ("call", {}),
                       ("pass", {}), ("check", {}), ("print", {})):
        assert act(world, waiting, verb, body, "other").status_code == 404, verb
    assert give_back(world, made, who="other").status_code == 404
    with world.db.begin(write=False) as session:
        from his_server.actor import Actor

        scoped = Actor(user_id=1, login="x", name="x", permissions=frozenset({"outpatient_pharmacy.dispense"}),
                       scopes={"outpatient_pharmacy.dispense": frozenset({key})})
        assert screen(session, scoped, {"store": str(ours)})["store"] == ""
    assert look(world, waiting)["state"] == "charged"
