"""The law at the door: validity, long-term, night, overrides, checks, templates and repeats through the API."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from his_server.actor import SYSTEM
from his_server.clock import HOSPITAL_ZONE, ManualClock
from modules.kernel.masterdata.models import Diagnosis, DictionaryEntry, Drug, Staff
from modules.kernel.orders.models import Prescription
from modules.kernel.orders.rules import Warned
from modules.kernel.orders.settings import Settings
from modules.kernel.patients.models import Person
from modules.kernel.stock import service as stock
from modules.kernel.stock.service import Document, Receipt
from tests.factories import masterdata as make
from tests.factories.hospital import World
from tests.factories.security import make_user, signed_in_client

PRESCRIPTIONS = "/api/orders/prescriptions"
DISPENSE = "/api/outpatient-pharmacy/prescriptions/{}/dispense"


@pytest.fixture(autouse=True)
def _diagnoses(world: World) -> None:
    with world.db.begin() as session:
        session.add_all([Diagnosis(code=code, name=name, category="") for code, name in (
            ("A15.000", "肺结核"), ("J18.900", "肺炎"))])


def visit(world: World, session: str = "session") -> tuple[int, int]:
    """A registered person and the visit."""
    person = world.person()
    made = world.ok(world.post("cashier", "/api/outpatient-billing/registrations", {
        "person_id": person, "session_id": world.ids[session], "payments": [{"method": "cash", "covers": "20.00"}],
        "expected_total": "20.00"}))
    return person, world.encounter(made)


def issue(world: World, encounter: int, drug: str = "pill", who: str = "doctor", line: dict[str, Any] | None = None,
          **more: Any) -> Any:
    """The answer to a prescription of one drug for three days."""
    one = {"drug_id": world.ids[drug], "dose": "30", "usage": "口服", "frequency": "qd", "days": 3, **(line or {})}
    return world.post(who, PRESCRIPTIONS, {"encounter_id": encounter, "diagnosis": "急性支气管炎", "lines": [one], **more})


def fields(answer: Any) -> set[str]:
    """The wrong fields of a refusal."""
    assert answer.status_code in (409, 422), answer.get_data(as_text=True)
    return {error["field"] for error in answer.json["errors"]}


def back_to_work(world: World, *who: str) -> None:
    """New sessions of the same people: the clock was moved and the old ones are over."""
    from his_server.security.models import User

    for name in who:
        with world.db.begin(write=False) as session:
            user = session.get(User, world.ids[f"user_{name}"])
            session.expunge_all()
        world.clients[name] = signed_in_client(world.app, world.db, user=user)


def new_drug(world: World, name: str, **values: Any) -> int:
    """A drug that both pharmacies have."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        made = make.make_drug(session, "5.00", name=name, antimicrobial=values.pop("antimicrobial", ""), **values)
        for store in ("store", "emergency_store"):
            stock.receive(session, SYSTEM, world.ids[store], [
                Receipt(made.id, "N1", datetime(2028, 1, 1).date(), Decimal("0.1"), Decimal(made.pack_size * 50))],
                Document("stock_in", made.id))
        world.ids[name] = made.id
        return made.id


def doctor(world: World, who: str, title: str, rights: str) -> int:
    """Another doctor with an account; the staff id."""
    with world.db.begin() as session:
        staff = make.make_staff(session, department_id=world.ids["clinic"], name=who, title=title, rights=rights)
        user = make_user(session, "doctor", name=who, staff_id=staff.id, department_id=world.ids["clinic"])
        world.ids[f"user_{who}"] = user.id
        key: int = staff.id
    world.clients[who] = signed_in_client(world.app, world.db, user=user)
    return key


@pytest.mark.requirement("RX-01")
@pytest.mark.parametrize(("extension", "day", "open_"), [(0, 0, True), (0, 1, False), (3, 3, True), (3, 4, False)])
def test_settlement_and_dispensing_keep_to_the_day(world: World, clock: ManualClock, extension: int, day: int, open_: bool
                                                   ) -> None:
    more = {"extension_days": extension, "extension_reason": "病人住得远"} if extension else {}
    unpaid_person, encounter = visit(world)
    world.ok(issue(world, encounter, **more))
    paid_person, encounter = visit(world)
    made = world.ok(issue(world, encounter, **more))
    world.ok(world.pay_all(paid_person))
    clock.move(days=day)
    back_to_work(world, "cashier", "pharmacist")
    settled, dispensed = world.pay_all(unpaid_person), world.post("pharmacist", DISPENSE.format(made["id"]))
    if open_:
        assert (settled.status_code, dispensed.status_code) == (201, 200)
    else:
        assert (settled.json["code"], dispensed.json["code"]) == ("orders.expired", "orders.expired")
        assert "延长有效期" in settled.json["message"] and "单文渊" in dispensed.json["message"]
    assert world.findings() == []


@pytest.mark.requirement("RX-01")
def test_the_doctor_extends_and_nobody_else(world: World, clock: ManualClock) -> None:
    person, encounter = visit(world)
    made = world.ok(issue(world, encounter))
    world.ok(world.pay_all(person))
    doctor(world, "他医生", "主任医师", "")
    clock.move(days=2)
    back_to_work(world, "doctor", "他医生", "pharmacist")
    path = f"{PRESCRIPTIONS}/{made['id']}/extend"
    assert world.post("他医生", path, {"days": 3, "reason": "代办"}).json["code"] == "orders.not_yours"
    assert world.post("doctor", path, {"days": 1, "reason": "已经过了"}).json["code"] == "orders.extension"
    assert world.post("doctor", path, {"days": 4, "reason": "太久"}).status_code == 422
    assert world.post("pharmacist", DISPENSE.format(made["id"])).status_code == 409
    assert world.ok(world.post("doctor", path, {"days": 2, "reason": "病人住得远"}))["valid_until"] == "2026-03-04"
    world.ok(world.post("pharmacist", DISPENSE.format(made["id"])))
    assert world.post("doctor", path, {"days": 3, "reason": "再延"}).json["code"] == "orders.state"


@pytest.mark.requirement("R3", "RX-03")
def test_a_long_term_prescription_through_the_api(world: World) -> None:
    _, encounter = visit(world)
    new_drug(world, "左氧氟沙星片", antimicrobial="非限制", form="片剂", chronic_infections="结核", pack_size=4)
    long = {"chronic_reason": "慢性病", "long_term": True, "diagnosis": "肺结核"}
    full = {**long, "assessment": "病情稳定", "signed_by": "张小明"}
    for drug in ("pill", "左氧氟沙星片"):
        assert fields(issue(world, encounter, drug, line={"days": 29}, **long)) == {
            "assessment", "signed_by"}
        assert fields(issue(world, encounter, drug, line={"days": 85}, **full)) == {"lines.0.days"}
        made = world.ok(issue(world, encounter, drug, line={"days": 56, "dose": "0.25"}, **full))
        assert (made["long_term"], made["diagnosis_code"]) == (True, "A15.000")
    refused = issue(world, encounter, "左氧氟沙星片", line={"days": 28, "dose": "0.25"}, **{**full, "diagnosis": "肺炎"})
    assert fields(refused) == {"lines.0.drug_id", "lines.0.days"}


@pytest.mark.requirement("M7.8")
def test_at_night_orders_are_temporary_and_go_to_the_emergency_store(world: World, clock: ManualClock) -> None:
    world.app.extensions["his_module_settings"]["kernel.orders"] = Settings(night_begins="22:00", night_ends="06:00")
    _, encounter = visit(world)
    assert world.ok(issue(world, encounter, line={"days": 7}))["store_id"] == world.ids["store"]
    clock.set(datetime(2026, 3, 2, 22, 0, tzinfo=HOSPITAL_ZONE))
    back_to_work(world, "doctor")
    assert world.ok(world.get("doctor", "/api/orders/visits"))["night"] is True
    assert fields(issue(world, encounter, line={"days": 4})) == {"lines.0.days"}
    assert fields(issue(world, encounter, chronic_reason="慢性病")) == {"chronic_reason"}
    made = world.ok(issue(world, encounter))
    assert (made["store_id"], made["kind"], made["at_night"]) == (world.ids["emergency_store"], "急诊", True)
    with world.db.begin() as session:  # what the drug box shows is what the emergency store has
        session.info["actor"] = SYSTEM
        stock.receive(session, SYSTEM, world.ids["emergency_store"], [
            Receipt(world.ids["pill"], "N9", datetime(2028, 1, 1).date(), Decimal("0.1"), Decimal(300))], Document("stock_in", 9))
    found = world.ok(world.get("doctor", f"/api/orders/drugs?q=axsp&encounter_id={encounter}"))["items"]
    assert found[0]["free_text"] == "200盒"
    clock.set(datetime(2026, 3, 3, 6, 0, tzinfo=HOSPITAL_ZONE))
    back_to_work(world, "doctor")
    assert world.ok(world.get("doctor", "/api/orders/visits"))["night"] is False


@pytest.mark.requirement("RX-08")
def test_a_rescue_beyond_the_level_is_completed_by_a_senior_within_a_day(world: World, clock: ManualClock) -> None:
    _, encounter = visit(world, "emergency_session")
    new_drug(world, "注射用美罗培南", antimicrobial="特殊", form="粉针剂")
    doctor(world, "主任", "主任医师", "抗菌特殊")
    with world.db.begin(write=False) as session:
        senior = session.query(Staff).filter_by(name="主任").one().id
    once = {"days": 1, "usage": "静滴", "dose": "0.25"}
    assert fields(issue(world, encounter, "注射用美罗培南", line=once)) == {"lines.0.drug_id", "consultant_id"}
    assert fields(issue(world, encounter, "注射用美罗培南", line=once, consultant_id=world.ids["doctor"])) == {"consultant_id"}
    assert fields(issue(world, encounter, "注射用美罗培南", line={**once, "days": 2}, override_reason="感染性休克")) == {
        "lines.0.days"}
    assert fields(issue(world, encounter, "注射用美罗培南", line=once, consultant_id=senior)) == {"lines.0.drug_id"}
    world.ok(issue(world, encounter, "注射用美罗培南", line=once, override_reason="感染性休克"))
    assert world.ok(world.get("doctor", "/api/orders/overrides?overdue=true"))["items"] == []
    waiting = world.ok(world.get("doctor", "/api/orders/overrides"))["items"]
    assert [(o["level"], o["drugs"], o["late"]) for o in waiting] == [("特殊", "注射用美罗培南", False)]
    clock.move(hours=24, seconds=1)
    back_to_work(world, "doctor", "主任")
    late = world.ok(world.get("doctor", "/api/orders/overrides?overdue=true"))["items"]
    assert [(o["id"], o["late"]) for o in late] == [(waiting[0]["id"], True)]
    path = f"/api/orders/overrides/{waiting[0]['id']}/complete"
    assert world.post("doctor", path, {"note": "我自己补"}).json["code"] == "orders.override_rights"
    world.ok(world.post("主任", path, {"note": "同意使用，指征明确"}))
    assert world.post("主任", path, {"note": "再办"}).json["code"] == "orders.override_done"
    assert world.ok(world.get("doctor", "/api/orders/overrides"))["items"] == []


@pytest.mark.requirement("RX-04", "RX-05")
def test_controlled_drugs_at_the_door(world: World) -> None:
    _, encounter = visit(world)
    new_drug(world, "盐酸哌替啶注射液", control="麻醉", form="注射剂", ingredient="哌替啶")
    new_drug(world, "雄黄", control="毒性", fiscal_category="10", form="饮片", dose_amount=Decimal(1), base_unit="g",
             max_daily=Decimal("0.1"))
    doctor(world, "麻醉医生", "主治医师", "麻精")
    once = {"days": 1, "usage": "肌注", "frequency": "st", "dose": "0.25"}
    assert fields(issue(world, encounter, "盐酸哌替啶注射液", line=once)) == {"lines.0.drug_id"}
    assert fields(issue(world, encounter, "盐酸哌替啶注射液", "麻醉医生", {**once, "frequency": "bid"})) == {"lines.0.days"}
    made = world.ok(issue(world, encounter, "盐酸哌替啶注射液", "麻醉医生", once))
    assert (made["kind"], made["lines"][0]["in_hospital"]) == ("麻精一", True)
    poison = {"usage": "煎服", "dose": "0.1", "days": 2, "quantity": "0.2"}
    assert world.ok(issue(world, encounter, "雄黄", line=poison))["kind"] == "中药"
    assert fields(issue(world, encounter, "雄黄", line={**poison, "quantity": "0.2001"})) == {"lines.0.quantity"}


def test_lines_of_a_group_go_into_one_bottle(world: World) -> None:
    _, encounter = visit(world)
    def body(**second: Any) -> dict[str, Any]:
        one = {"drug_id": world.ids["pill"], "dose": "30", "usage": "静滴", "frequency": "qd", "days": 2, "group_no": 1}
        return {"encounter_id": encounter, "diagnosis": "肺炎",
                "lines": [one, {**one, "drug_id": world.ids["free_drug"], "quantity": "100", **second}]}
    assert fields(world.post("doctor", PRESCRIPTIONS, body(days=3))) == {"lines.1.usage"}
    assert fields(world.post("doctor", PRESCRIPTIONS, body(usage="口服"))) == {"lines.1.group_no"}
    made = world.ok(world.post("doctor", PRESCRIPTIONS, body()))
    assert [(one["group_no"], one["turns"]) for one in made["lines"]] == [(1, 2), (1, 2)]


class Outside:
    """An outside check that can be told to be late."""

    def __init__(self) -> None:
        self.cases: list[Any] = []
        self.answer: list[Warned] | Exception = []

    def check(self, case: Any) -> list[Warned]:
        self.cases.append(case)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.requirement("RX-10")
def test_a_check_that_is_down_is_said_and_never_passed(world: World) -> None:
    outside = Outside()
    world.db.ports["orders.check"] = outside
    _, encounter = visit(world)
    line = {"drug_id": world.ids["pill"], "dose": "30", "usage": "口服", "frequency": "qd", "days": 3}
    ask = {"encounter_id": encounter, "diagnosis": "肺炎", "diagnosis_code": "J18.900", "lines": [line]}

    def check() -> dict[str, Any]:
        found: dict[str, Any] = world.ok(world.post("doctor", "/api/orders/prescriptions/check", ask))
        return found

    passed = check()
    assert (passed["state"], outside.cases[0].diagnosis_code, outside.cases[0].age) == ("passed", "J18.900", 46)
    made = world.ok(issue(world, encounter, check_id=passed["check_id"]))
    assert (made["check_state"], made["check_text"]) == ("passed", "")
    # other lines than those that were checked, and no check at all, are not checked
    for more in ({"check_id": passed["check_id"], "line": {"days": 2}}, {}):
        made = world.ok(issue(world, encounter, **more))
        assert (made["check_state"], "审查没有完成" in made["check_text"]) == ("unavailable", True)
    outside.answer = TimeoutError("no answer in 3 s")
    down = check()
    assert (down["state"], down["findings"][0]["message"][:6]) == ("unavailable", "合理用药审查")
    assert world.ok(issue(world, encounter, check_id=down["check_id"]))["check_state"] == "unavailable"
    outside.answer = [Warned("stop", "interaction", "lines.0.drug_id", "禁忌配伍")]
    stopped = check()
    assert fields(issue(world, encounter, check_id=stopped["check_id"])) == {"lines.0.drug_id", "check_reason"}
    made = world.ok(issue(world, encounter, check_id=stopped["check_id"], check_reason="已权衡利弊"))
    assert (made["check_state"], made["check_text"], made["check_reason"]) == ("warned", "禁忌配伍", "已权衡利弊")


@pytest.mark.requirement("RX-10")
def test_the_hospitals_own_data_are_always_checked(world: World) -> None:
    person, encounter = visit(world)
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        found = session.get(Person, person)
        assert found is not None
        found.allergies = "青霉素"
        drug = session.get(Drug, world.ids["drug"])
        assert drug is not None
        drug.ingredient, drug.drug_class, drug.max_dose = "阿莫西林", "青霉素类", Decimal("1")
        pill = session.get(Drug, world.ids["pill"])
        assert pill is not None
        pill.ingredient = "氨溴索"
        session.add(DictionaryEntry(dictionary="drug_interaction", code="氨溴索+阿莫西林", name="血药浓度升高"))
    assert fields(issue(world, encounter, "drug", line={"dose": "0.5"})) == {"lines.0.drug_id", "check_reason"}
    assert fields(issue(world, encounter, "drug", line={"dose": "1.5"}, check_reason="")) == {
        "lines.0.drug_id", "lines.0.dose", "check_reason"}
    made = world.ok(issue(world, encounter, "drug", line={"dose": "0.5"}, check_reason="脱敏后使用"))
    assert (made["check_state"], made["check_reason"]) == ("warned", "脱敏后使用")
    # who issued in spite of which warning: one list, for those who oversee it
    listed = world.ok(world.get("pharmacist", "/api/orders/warned?from=2026-03-02&to=2026-03-02"))["items"]
    assert [(row["number"], row["doctor_name"], row["check_reason"], "青霉素" in row["check_text"]) for row in listed] == [
        (made["number"], "单文渊", "脱敏后使用", True)]
    assert world.ok(world.get("pharmacist", "/api/orders/warned?from=2026-03-01&to=2026-03-01"))["items"] == []
    assert world.get("cashier", "/api/orders/warned?from=2026-03-02&to=2026-03-02").status_code == 403
    assert world.get("pharmacist", "/api/orders/warned?from=2026-03-02&to=2026-03-01").status_code == 422
    first = world.ok(issue(world, encounter))
    assert first["check_text"] == ""
    assert f"与处方 {first['number']} 的药品成分相同" in world.ok(issue(world, encounter))["check_text"]


def test_templates_belong_to_a_doctor_a_department_or_the_hospital(world: World) -> None:
    doctor(world, "同科主任", "主任医师", "")
    line = {"drug_id": world.ids["pill"], "dose": "30", "usage": "口服", "frequency": "bid", "days": 5}
    def save(who: str, name: str, scope: str) -> Any:
        return world.post(who, "/api/orders/templates", {"name": name, "scope": scope, "lines": [line]})
    own = world.ok(save("doctor", "化痰", "own"))
    world.ok(save("同科主任", "科室化痰", "department"))
    assert save("doctor", "全院", "hospital").json["code"] == "orders.template_scope"
    world.ok(save("同科主任", "全院化痰", "hospital"))
    assert save("doctor", "错的", "own").status_code == 201
    mine = world.ok(world.get("doctor", "/api/orders/templates"))["items"]
    assert [t["name"] for t in mine] == ["化痰", "错的", "科室化痰", "全院化痰"]
    assert (mine[0]["lines"][0]["name"], mine[0]["lines"][0]["days"]) == ("氨溴索片", 5)
    assert [t["name"] for t in world.ok(world.get("同科主任", "/api/orders/templates"))["items"]] == ["科室化痰", "全院化痰"]
    path = f"/api/orders/templates/{own['id']}"
    assert world.clients["同科主任"].delete(path).status_code == 403
    assert world.clients["doctor"].delete(path).status_code == 204
    assert "化痰" not in [t["name"] for t in world.ok(world.get("doctor", "/api/orders/templates"))["items"]]


def test_earlier_prescriptions_come_in_pages(world: World) -> None:
    person, encounter = visit(world)
    made = [world.ok(issue(world, encounter))["number"] for _ in range(3)]
    path = f"/api/orders/persons/{person}/prescriptions?limit=2"
    first = world.ok(world.get("doctor", path))
    assert [p["number"] for p in first["items"]] == made[:0:-1]
    assert (first["items"][0]["department"], first["items"][0]["lines"][0]["name"]) == ("呼吸内科", "氨溴索片")
    rest = world.ok(world.get("doctor", f"{path}&after={first['next']}"))
    assert ([p["number"] for p in rest["items"]], rest["next"]) == (made[:1], None)
    with world.db.begin(write=False) as session:
        assert session.query(Prescription).count() == 3


@pytest.mark.requirement("M6.2")
def test_notices_of_the_warehouse_reach_the_doctor(world: World) -> None:
    from modules.kernel.stock.service import notices

    _, encounter = visit(world)
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        short = notices.publish(session, SYSTEM, kind="shortage", drug_id=world.ids["pill"], reason="厂家停产",
                                substitute="桉柠蒎")
        gone = notices.publish(session, SYSTEM, kind="prohibition", drug_id=world.ids["drug"], reason="召回")
        keys = [gone.id, short.id]
    assert fields(issue(world, encounter, "drug", line={"dose": "0.5"})) == {"lines.0.drug_id"}
    made = world.ok(issue(world, encounter))
    assert (made["check_state"], made["check_text"]) == ("warned", "氨溴索片：缺药通知，厂家停产，可改用 桉柠蒎")
    inbox = world.ok(world.get("doctor", "/api/orders/inbox"))["notices"]
    assert [(n["id"], n["read_at"]) for n in inbox] == [(key, None) for key in keys]
    assert world.ok(world.post("doctor", "/api/orders/notices/read", {"notice_ids": keys[:1]})) == {"read": 1}
    assert [n["id"] for n in world.ok(world.get("doctor", "/api/orders/inbox"))["notices"]] == [keys[1], keys[0]]
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        notices.withdraw_notice(session, SYSTEM, keys[0], "已可用")
    assert world.ok(issue(world, encounter, "drug", line={"dose": "0.5"}))["state"] == "issued"
