"""The infusion room through the API: reception, skin tests, bottles, seats, charges; races; who sees what."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.db import history
from modules.infusion import queries
from modules.infusion.models import Bottle, Infusion
from modules.kernel.orders.models import SkinTest
from modules.kernel.orders.settings import Settings
from modules.kernel.patients.models import Person
from tests.counting import QueryCount
from tests.factories.hospital import World
from tests.modules.infusion.room import Room
from tests.reading import pdf_text
from tests.threads import at_once


@pytest.fixture
def room(world: World) -> Room:
    """The room."""
    return Room(world)


def code(answer: Any) -> str:
    """The code of a refusal."""
    assert answer.status_code >= 400, answer.get_data(as_text=True)
    found: str = answer.json["code"]
    return found


def line_of(paid: dict[str, Any]) -> int:
    """The line that needs a skin test."""
    found: int = next(one["id"] for one in paid["lines"] if one["skin_test"])
    return found


@pytest.mark.requirement("M10.1")
def test_a_skin_test_is_begun_once_and_for_the_patient_who_is_shown(room: Room, clock: ManualClock) -> None:
    mine, other = room.paid("张小明", dispensed=False, penicillin=True), room.paid("李小红", dispensed=False, penicillin=True)
    body = {"person_id": mine["person"], "prescription_line_id": line_of(mine), "lot_no": "P26"}
    shown_other = {**body, "prescription_line_id": line_of(other)}
    assert code(room.ask("nurse", "post", "/skin-tests", shown_other)) == "skin_test.other_person"
    first, second = (room.ok("nurse", "post", "/skin-tests", body)["id"] for _ in range(2))  # a double click
    assert first == second
    refused = room.ask("nurse2", "post", "/skin-tests", body)
    assert code(refused) == "skin_test.running" and "罗护士" in refused.json["message"]
    assert code(room.ask("nurse", "post", f"/skin-tests/{first}/read", {"result": "阴性"})) == "skin_test.early"
    clock.move(minutes=20)
    room.ok("nurse", "post", f"/skin-tests/{first}/read", {"result": "阴性"})
    assert code(room.ask("nurse", "post", f"/skin-tests/{first}/confirm", {"result": "阴性"})) == "skin_test.same_person"
    again = room.ok("nurse2", "post", f"/skin-tests/{first}/confirm", {"result": "阳性"})
    assert (again["state"], "须重新判读" in again["note"]) == ("running", True)
    room.ok("nurse2", "post", f"/skin-tests/{first}/read", {"result": "阴性"})
    done = room.ok("nurse", "post", f"/skin-tests/{first}/confirm", {"result": "阴性"})
    assert (done["state"], done["result"], done["read_by_name"], done["confirmed_by_name"]) == (
        "confirmed", "阴性", "朱护士", "罗护士")
    assert code(room.ask("er", "post", f"/skin-tests/{first}/confirm", {"result": "阴性"})) == "skin_test.state"
    assert code(room.ask("nurse", "post", "/skin-tests", body)) == "skin_test.valid"
    with room.world.db.begin(write=False) as session:
        assert session.query(SkinTest).count() == 1


@pytest.mark.requirement("M10.1")
def test_a_positive_test_is_an_allergy_of_the_file_with_history(room: Room, clock: ManualClock) -> None:
    paid = room.paid(dispensed=False, penicillin=True)
    done = room.test(paid, clock, "阳性")
    assert done["valid_until"] is None
    with room.world.db.begin(write=False) as session:
        person = session.get(Person, paid["person"])
        assert person is not None and person.allergies == "青霉素（皮试阳性）"
        assert [row.changed_by for row in history.timeline(session, "person", paid["person"])
                if row.field == "allergies"] == [room.world.ids["user_er"]]
    refused = room.world.post("pharmacist", f"/api/outpatient-pharmacy/prescriptions/{paid['id']}/dispense")
    assert refused.status_code == 409
    assert room.ok("nurse", "get", f"/persons/{paid['person']}")["person"]["allergies"] == "青霉素（皮试阳性）"
    line = {"drug_id": room.world.ids["penicillin"], "dose": "1", "usage": "静滴", "frequency": "qd", "days": 1}
    again = room.world.post("doctor", "/api/orders/prescriptions", {
        "encounter_id": paid["encounter_id"], "diagnosis": "肺炎", "lines": [line]})
    assert [e["field"] for e in again.json["errors"]] == ["lines.0.drug_id", "check_reason"]


@pytest.mark.requirement("M10.1")
@pytest.mark.parametrize(("hours", "after", "allowed"), [(24, 24, True), (24, 25, False), (72, 72, True), (72, 73, False)])
def test_without_a_negative_test_in_force_nothing_is_dispensed(room: Room, clock: ManualClock, hours: int, after: int,
                                                               allowed: bool) -> None:
    from his_server.errors import Conflict
    from modules.kernel.orders.service import skin_tests

    room.world.app.extensions["his_module_settings"]["kernel.orders"] = Settings(skin_test_hours=hours)
    paid = room.paid(dispensed=False, penicillin=True)
    with pytest.raises(Conflict, match="未做皮试"):
        room.dispense(paid["id"])
    room.test(paid, clock)
    clock.move(hours=after)
    with room.world.db.begin(write=False) as session:
        why = skin_tests.untested(session, paid["person"], [room.world.ids["penicillin"]])
    assert why == ({} if allowed else {room.world.ids["penicillin"]: "皮试结果已过期"})


@pytest.mark.requirement("M10.1")
def test_of_two_nurses_one_begins_the_test(room: Room) -> None:
    paid = room.paid(dispensed=False, penicillin=True)
    body = {"person_id": paid["person"], "prescription_line_id": line_of(paid)}
    answers = at_once(*(lambda who=who: room.ask(who, "post", "/skin-tests", body) for who in ("nurse", "nurse2", "er")))
    assert sorted(a.status_code for a in answers) == [201, 409, 409]
    assert {code(a) for a in answers if a.status_code == 409} == {"skin_test.running"}
    with room.world.db.begin(write=False) as session:
        assert session.query(SkinTest).count() == 1


@pytest.mark.requirement("M10.1")
def test_a_patient_from_the_door_to_the_end(room: Room, clock: ManualClock) -> None:
    paid = room.paid(penicillin=False, bottles=2)
    for scanned in (paid["number"], paid["settlement"], paid["code"]):
        found = room.ok("nurse", "get", f"/find?q={scanned}")
        assert (found["person"]["id"], [p["number"] for p in found["prescriptions"]]) == (paid["person"], [paid["number"]])
    infusion = room.receive(paid)
    assert room.receive(paid, "nurse2")["id"] == infusion["id"]  # a second scan is the same patient
    first, second = infusion["bottles"]
    assert [b["state"] for b in infusion["bottles"]] == ["waiting", "waiting"]
    scan = {"patient_code": paid["code"], "label_code": first["label_no"], "speed": 40}
    assert code(room.ask("nurse", "post", f"/bottles/{first['id']}/start", scan)) == "infusion.bottle_state"
    room.ok("nurse", "post", f"/infusions/{infusion['id']}/seat", {"seat_id": room.world.ids["A01"]})
    for bottle in (first, second):
        room.ok("nurse", "post", f"/bottles/{bottle['id']}/prepare")
    paper = room.ask("nurse", "post", f"/bottles/{first['id']}/print")
    assert "张小明" in pdf_text(paper.data) and "补打" not in pdf_text(paper.data)
    assert "补打" in pdf_text(room.ask("nurse", "post", f"/bottles/{first['id']}/print").data)
    for wrong in ({"patient_code": "00000000"}, {"label_code": second["label_no"]}):
        refused = room.ask("nurse", "post", f"/bottles/{first['id']}/start", {**scan, **wrong})
        assert code(refused) == "infusion.mismatch"
        assert [e["field"] for e in refused.json["errors"]] == list(wrong)
    room.ok("nurse", "post", f"/bottles/{first['id']}/start", scan)
    assert code(room.ask("er", "post", f"/bottles/{second['id']}/start", {**scan, "label_code": second["label_no"]})) == (
        "infusion.running")
    clock.move(minutes=15)
    room.ok("er", "post", f"/bottles/{first['id']}/rounds", {"condition": "滴速调整", "speed": 60, "note": "病人诉冷"})
    assert code(room.ask("nurse", "post", f"/infusions/{infusion['id']}/release")) == "infusion.running"
    moved = room.ok("nurse2", "post", f"/bottles/{first['id']}/change", {
        "next_id": second["id"], "patient_code": infusion["number"], "label_code": second["label_no"]})
    assert [b["state"] for b in moved["bottles"]] == ["finished", "running"]
    assert (moved["rounds"][0]["note"], moved["bottles"][0]["speed"]) == ("病人诉冷", 60)
    done = room.ok("nurse", "post", f"/bottles/{second['id']}/finish")
    assert (done["state"], done["seat"], done["running_bottle_id"]) == ("finished", None, None)
    assert all(seat["infusion_id"] is None for seat in room.ok("nurse", "get", "/seats")["items"])
    assert room.ok("nurse", "get", "/worklist?state=finished")["counts"] == {"open": 0, "waiting": 0, "running": 0,
                                                                            "finished": 1}
    assert room.world.findings() == []


@pytest.mark.requirement("M10.1")
def test_nothing_is_infused_that_was_not_dispensed_or_not_tested(room: Room, clock: ManualClock) -> None:
    paid = room.paid(dispensed=False, penicillin=True)
    infusion = room.receive(paid)
    bottle = infusion["bottles"][0]
    assert "未做皮试" in bottle["untested"]
    refused = room.ask("nurse", "post", f"/bottles/{bottle['id']}/prepare")
    assert code(refused) == "infusion.no_drugs" and "尚未发药" in refused.json["message"]
    room.test(paid, clock)
    room.dispense(paid["id"])
    room.ok("nurse", "post", f"/bottles/{bottle['id']}/prepare")
    clock.move(hours=25)
    room.sign_in("nurse")
    scan = {"patient_code": paid["code"], "label_code": bottle["label_no"]}
    assert code(room.ask("nurse", "post", f"/bottles/{bottle['id']}/start", scan)) == "infusion.skin_test"


def test_turns_of_several_days_are_given_once_each(room: Room, clock: ManualClock) -> None:
    paid = room.paid(days=2, frequency="bid")
    first = room.receive(paid)
    assert [b["turn"] for b in first["bottles"]] == [1, 2]
    cancelled = room.ok("nurse", "post", f"/infusions/{first['id']}/cancel", {"reason": "病人走错"})
    assert cancelled["state"] == "cancelled"
    assert room.receive(paid)["state"] == "waiting"
    clock.move(days=1)
    room.sign_in("nurse")
    assert [b["turn"] for b in room.receive(paid)["bottles"]] == [3, 4]
    clock.move(days=1)
    room.sign_in("nurse")
    assert code(room.ask("nurse", "post", "/receptions", {"prescription_id": paid["id"], "person_id": paid["person"]})) == (
        "infusion.done")


def test_bottles_of_a_reception_taken_back_are_used_the_next_day(room: Room, clock: ManualClock) -> None:
    paid = room.paid(days=2)
    first = room.receive(paid)
    room.ok("nurse", "post", f"/infusions/{first['id']}/cancel", {"reason": "明天再来"})
    clock.move(days=1)
    room.sign_in("nurse")
    again = room.receive(paid)
    assert [(b["id"], b["turn"]) for b in again["bottles"]] == [(first["bottles"][0]["id"], 1)]


@pytest.mark.requirement("M10.1")
def test_of_two_nurses_one_starts_the_bottle(room: Room) -> None:
    paid = room.paid(bottles=2)
    infusion = room.receive(paid)
    first, second = infusion["bottles"]
    answers = at_once(*(lambda who=who: room.ask(who, "post", f"/bottles/{first['id']}/prepare") for who in ("nurse", "er")))
    assert sorted(a.status_code for a in answers) == [200, 409]
    room.ok("nurse", "post", f"/bottles/{second['id']}/prepare")
    answers = at_once(*(lambda who=who, b=b: room.ask(who, "post", f"/bottles/{b['id']}/start", {  # type: ignore[misc]
        "patient_code": paid["code"], "label_code": b["label_no"]}) for who, b in (("nurse", first), ("er", second))))
    assert sorted(a.status_code for a in answers) == [200, 409]
    with room.world.db.begin(write=False) as session:
        assert session.query(Bottle).filter_by(state="running").count() == 1
        assert session.query(Infusion).one().running_bottle_id is not None


def test_a_seat_has_one_patient_and_a_patient_one_seat(room: Room) -> None:
    one, two = room.receive(room.paid("张小明")), room.receive(room.paid("李小红"))
    seat = {"seat_id": room.world.ids["A01"]}
    answers = at_once(*(lambda i=i: room.ask("nurse", "post", f"/infusions/{i['id']}/seat", seat) for i in (one, two)))
    assert sorted(a.status_code for a in answers) == [200, 409]
    winner = next(a.json for a in answers if a.status_code == 200)
    moved = room.ok("nurse2", "post", f"/infusions/{winner['id']}/seat", {"seat_id": room.world.ids["A02"]})
    assert moved["seat"] == "A02"
    assert [s["code"] for s in room.ok("nurse", "get", "/seats")["items"] if s["infusion_id"]] == ["A02"]
    assert room.world.clients["nurse"].delete(f"/api/infusion/seats/{room.world.ids['A02']}").status_code == 409
    assert room.ok("nurse", "post", f"/infusions/{winner['id']}/release")["seat"] is None


@pytest.mark.requirement("M10.3")
def test_every_nurse_of_the_room_sees_every_test_and_nobody_else(room: Room, clock: ManualClock) -> None:
    running, _ = (room.paid(name, dispensed=False, penicillin=True) for name in ("张小明", "李小红"))
    body = {"person_id": running["person"], "prescription_line_id": line_of(running)}
    room.ok("nurse", "post", "/skin-tests", body)
    for who in ("nurse", "nurse2", "er"):
        assert [t["name"] for t in room.ok(who, "get", "/skin-tests?state=waiting")["items"]] == ["李小红"]
        found = room.ok(who, "get", "/skin-tests?state=open")
        assert [(t["name"], t["department"], t["state"]) for t in found["items"]] == [("张小明", "呼吸内科", "running")]
        assert found["server_time"] < found["items"][0]["due_at"]
    for who in ("cashier", "technician", "pharmacist"):
        assert room.ask(who, "get", "/skin-tests").status_code == 403


@pytest.mark.requirement("M10.4")
def test_charging_more_inside_the_page(room: Room) -> None:
    paid = room.paid()
    infusion = room.receive(paid)
    path = f"/infusions/{infusion['id']}/charges"
    body = {"performing_department_id": room.world.ids["radiology"],
            "lines": [{"item_id": room.world.ids["exam"], "quantity": "2"}]}
    wrong = room.ask("nurse", "post", path, {**body, "lines": [*body["lines"], {"item_id": 7, "quantity": "1"}]})
    assert [e["field"] for e in wrong.json["errors"]] == ["lines.1.item_id"]
    key = "infusion-charge-1"
    made = [room.world.ok(room.ask("nurse", "post", path, body, key=key))["line_ids"] for _ in range(2)]
    assert made[0] == made[1]
    assert [(c["name"], c["amount"]) for c in room.ok("nurse", "get", path)["items"]] == [("胸部正位片", "121.10")]
    assert room.world.unpaid(paid["person"])["total"] == "121.10"
    other = room.receive(room.paid("李四"))
    for where, body, status in ((infusion, {}, 422), (infusion, {"reason": "错"}, 422), (other, {"reason": "录错项目"}, 409)):
        assert room.ask("nurse", "post", f"/infusions/{where['id']}/charges/{made[0][0]}/void", body).status_code == status
    assert room.ask("nurse", "post", f"{path}/{made[0][0]}/void", {"reason": "录错项目"}).status_code == 204
    assert room.ok("nurse", "get", path)["items"] == []
    assert room.world.findings() == []


def test_the_screen_on_the_wall_shows_masked_names(room: Room) -> None:
    room.receive(room.paid("欧阳小明"))
    shown = room.ok("nurse", "get", "/screen")["items"]
    assert [(one["queue_no"], one["state"], one["seat"]) for one in shown] == [(1, "waiting", None)]
    assert "小明" not in shown[0]["name"] and "*" in shown[0]["name"].replace("＊", "*")


@pytest.mark.requirement("M10.2")
@pytest.mark.parametrize("path", ["/worklist", "/seats", "/skin-tests?state=open", "/skin-tests?state=waiting",
                                  "/skin-tests?state=confirmed", "/screen"])
def test_lists_need_as_many_statements_for_many_as_for_few(
        room: Room, clock: ManualClock, query_counter: Callable[[], AbstractContextManager[QueryCount]], path: str) -> None:
    counts = []
    for n in range(2):
        for name in ("张小明", "李小红")[:n + 1]:
            infusion = room.receive(room.paid(name, bottles=2))
            if n == 0:
                room.ok("nurse", "post", f"/infusions/{infusion['id']}/seat", {"seat_id": room.world.ids["A01"]})
            tested = room.paid(name, dispensed=False, penicillin=True)
            room.ok("nurse", "post", "/skin-tests", {"person_id": tested["person"], "prescription_line_id": line_of(tested)})
            room.paid(name, dispensed=False, penicillin=True)
        room.ok("nurse", "get", path)
        with query_counter() as count:
            room.ok("nurse", "get", path)
        counts.append(count.total)
    assert counts[0] == counts[1] <= 9, count.statements


def test_the_live_topics_change_with_the_work(room: Room, clock: ManualClock) -> None:
    def look() -> tuple[Any, Any]:
        with room.world.db.begin(write=False) as session:
            return queries.state(session, SYSTEM, {}), queries.screen(session, SYSTEM, {})

    before = look()
    paid = room.paid()
    infusion = room.receive(paid)
    received = look()
    assert before[0] != received[0] and len(received[1]["items"]) == 1
    clock.move(seconds=5)
    room.ok("nurse", "post", f"/bottles/{infusion['bottles'][0]['id']}/prepare")
    assert look()[0] != received[0]
