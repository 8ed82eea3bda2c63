"""Orders through the API: issued, charged, performed, cancelled, refunded; every way between, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from his_server.actor import SYSTEM
from his_server.security.audit import AuditRow
from modules.kernel.orders.models import Prescription, Request
from tests.counting import QueryCount
from tests.factories.hospital import World
from tests.factories.security import signed_in_client
from tests.threads import at_once

MOST = 12


def visit(world: World, name: str = "张小明") -> tuple[int, int]:
    """A registered person and the visit."""
    person = world.person(name)
    return person, world.encounter(world.register(person))


def state(world: World, model: type[Prescription] | type[Request], key: int) -> str:
    """A document's state in the database."""
    with world.db.begin(write=False) as session:
        found = session.get(model, key)
        assert found is not None
        return found.state


def refund_all(world: World, settled: dict[str, Any]) -> Any:
    """Refund every line of a settlement."""
    lines = [{"line_id": line["id"], "quantity": line["refundable"]} for line in world.settlement(settled["id"])["lines"]]
    return world.post("cashier", f"/api/outpatient-billing/settlements/{settled['id']}/refunds",
                      {"lines": lines, "reason": "病人要求"})


# what a prescription can be brought to from each state, and by which act
PRESCRIPTION = {
    "issued": {"cancel": "cancelled", "pay": "charged"},
    "charged": {"dispense": "dispensed", "refund": "refunded"},
    "dispensed": {}, "cancelled": {}, "refunded": {},
}
REQUEST = {
    "issued": {"cancel": "cancelled", "pay": "charged"},
    "charged": {"perform": "performed", "refund": "refunded"},
    "performed": {"unperform": "charged"}, "cancelled": {}, "refunded": {},
}
WAYS = {"issued": [], "cancelled": ["cancel"], "charged": ["pay"], "dispensed": ["pay", "dispense"],
        "performed": ["pay", "perform"], "refunded": ["pay", "refund"]}


class Walk:
    """One order and everything that can be done to it."""

    def __init__(self, world: World, kind: str) -> None:
        self.world, self.kind = world, kind
        self.person, encounter = visit(world)
        made = world.prescribe(encounter) if kind == "prescription" else world.request(encounter)
        self.key: int = made["id"]
        self.model = Prescription if kind == "prescription" else Request
        self.settled: dict[str, Any] | None = None

    def act(self, what: str) -> int:
        """Do it; the HTTP status."""
        path = f"/api/orders/{self.kind}s/{self.key}"
        if what == "cancel":
            return self.world.post("doctor", f"{path}/cancel", {"reason": "开错重开"}).status_code
        if what in ("perform", "unperform"):
            return self.world.post("technician", f"{path}/{what}").status_code
        if what == "dispense":
            return self.world.post(
                "pharmacist", f"/api/outpatient-pharmacy/prescriptions/{self.key}/dispense").status_code
        if what == "pay":
            if not self.world.unpaid(self.person)["lines"]:
                return 409  # nothing is owed: there is nothing that could be paid
            answer = self.world.pay_all(self.person)
            self.settled = answer.json
            return answer.status_code
        return refund_all(self.world, self.settled).status_code if self.settled else 409

    @property
    def state(self) -> str:
        return state(self.world, self.model, self.key)


@pytest.mark.requirement("M1.8", "M8.4")
@pytest.mark.parametrize(("kind", "start"), [("prescription", s) for s in PRESCRIPTION] + [("request", s) for s in REQUEST])
def test_every_transition_and_no_other(world: World, kind: str, start: str) -> None:
    table = PRESCRIPTION if kind == "prescription" else REQUEST
    acts = sorted({act for ways in table.values() for act in ways})
    for what in acts:
        walk = Walk(world, kind)
        for step in WAYS[start]:
            assert walk.act(step) < 300
        assert walk.state == start
        status = walk.act(what)
        if what in table[start]:
            assert status < 300, f"{what} from {start}"
            assert walk.state == table[start][what]
        else:
            assert status in (409, 422), f"{what} from {start}"
            assert walk.state == start
    assert world.findings() == []


@pytest.mark.requirement("M8.4")
@pytest.mark.parametrize("kind", ["prescription", "request"])
def test_an_order_is_cancelled_with_a_reason_that_is_kept(world: World, kind: str) -> None:
    walk = Walk(world, kind)
    path = f"/api/orders/{kind}s/{walk.key}/cancel"
    for body in ({}, {"reason": ""}, {"reason": "错"}, {"reason": "长" * 201}):
        refused = world.post("doctor", path, body)
        assert refused.status_code == 422 and [one["field"] for one in refused.json["errors"]] == ["reason"], body
    assert walk.state == "issued"
    assert world.ok(world.post("doctor", path, {"reason": "病人要求"}))["state"] == "cancelled"
    with world.db.begin(write=False) as session:
        row = session.scalars(select(AuditRow).where(AuditRow.event == f"{kind}.cancel")).one()
        assert (row.object_id, json.loads(row.detail)) == (str(walk.key), {"reason": "病人要求"})


@pytest.mark.requirement("M8.4", "RX-12")
@pytest.mark.parametrize("kind", ["prescription", "request"])
def test_of_paying_and_cancelling_at_once_exactly_one_wins(world: World, kind: str) -> None:
    walk = Walk(world, kind)
    owed = world.unpaid(walk.person)
    body = {"person_id": walk.person, "line_ids": [line["id"] for line in owed["lines"]],
            "payments": [{"method": "cash", "covers": owed["total"]}], "expected_total": owed["total"]}
    paid, cancelled = at_once(
        lambda: world.post("cashier", "/api/outpatient-billing/settlements", body).status_code,
        lambda: walk.act("cancel"))
    assert sorted([paid < 300, cancelled < 300]) == [False, True]
    assert walk.state == ("charged" if paid < 300 else "cancelled")
    assert world.findings() == []


@pytest.mark.requirement("M1.8", "M8.4")
def test_of_performing_and_refunding_at_once_exactly_one_wins(world: World) -> None:
    walk = Walk(world, "request")
    walk.act("pay")
    assert walk.settled is not None
    settled = walk.settled
    performed, refunded = at_once(lambda: walk.act("perform"), lambda: refund_all(world, settled).status_code)
    assert sorted([performed < 300, refunded < 300]) == [False, True]
    assert walk.state == ("performed" if performed < 300 else "refunded")
    assert world.findings() == []


@pytest.mark.requirement("M8.9", "RX-11")
def test_the_preview_shows_quantity_amount_and_fractions(world: World) -> None:
    lines = [{"drug_id": world.ids["drug"], "dose": "0.5", "usage": "口服", "frequency": "tid", "days": 4},
             {"drug_id": world.ids["pill"], "dose": "15", "usage": "口服", "frequency": "bid", "days": 2}]
    found = world.ok(world.post("doctor", "/api/orders/prescriptions/preview", {"lines": lines}))
    whole, half = found["lines"]
    assert (whole["quantity_text"], whole["unit"], whole["unit_quantity"], whole["amount"]) == ("1盒", "盒", "1.0000", "24.00")
    assert whole["warnings"] == []
    assert (half["quantity_text"], half["unit"], half["amount"]) == ("2片", "片", "6.67")
    assert half["warnings"] == ["每次用量为 0.5 片，请确认能否分剂量"]
    assert found["total"] == "30.67"
    with world.db.begin(write=False) as session:
        assert session.query(Prescription).count() == 0


def test_a_preview_names_the_wrong_line(world: World) -> None:
    good = {"drug_id": world.ids["drug"], "dose": "0.5", "usage": "口服", "frequency": "tid", "days": 4}
    for wrong, field in (({"drug_id": 9}, "lines.1.drug_id"), ({"frequency": "天天"}, "lines.1.frequency"),
                         ({"days": 0}, "lines.1.days"), ({"dose": "0"}, "lines.1.dose")):
        refused = world.post("doctor", "/api/orders/prescriptions/preview", {"lines": [good, {**good, **wrong}]})
        assert refused.status_code == 422
        assert refused.json["errors"][0]["field"] == field


@pytest.mark.requirement("RX-02", "RX-11")
def test_legal_limits_hold_at_the_door(world: World) -> None:
    _, encounter = visit(world)
    line = {"drug_id": world.ids["pill"], "dose": "30", "usage": "口服", "frequency": "qd", "days": 8}

    def issue(**more: Any) -> Any:
        body = {"encounter_id": encounter, "diagnosis": "咳嗽", "lines": [{**line, **more.pop("line", {})}], **more}
        return world.post("doctor", "/api/orders/prescriptions", body)

    refused = issue()
    assert refused.status_code == 422
    assert refused.json["errors"][0] == {"field": "lines.0.days",
                                         "message": "氨溴索片 最多开 7 日用量；慢性病、老年病或特殊情况须注明理由"}
    assert issue(line={"quantity": "1.5", "days": 3}).json["errors"][0]["field"] == "lines.0.quantity"
    assert world.ok(issue(chronic_reason="慢性病"))["lines"][0]["quantity"] == "8.0000"


def test_only_a_doctor_prescribes_and_only_in_a_visit_that_goes_on(world: World) -> None:
    person = world.person()
    registration = world.register(person)
    encounter = world.encounter(registration)
    line = {"drug_id": world.ids["drug"], "dose": "0.5", "usage": "口服", "frequency": "tid", "days": 4}
    body = {"encounter_id": encounter, "diagnosis": "感冒", "lines": [line]}
    assert world.post("cashier", "/api/orders/prescriptions", body).status_code == 403
    path = f"/api/outpatient-billing/registrations/{registration['registration_id']}/cancel"
    world.ok(world.post("cashier", path, {"reason": "病人不来了"}))
    refused = world.post("doctor", "/api/orders/prescriptions", body)
    assert refused.status_code == 409
    assert refused.json["code"] == "orders.visit_over"


def test_a_request_names_the_item_that_cannot_be_had(world: World) -> None:
    _, encounter = visit(world)
    refused = world.post("doctor", "/api/orders/requests", {
        "encounter_id": encounter, "diagnosis": "咳嗽", "performing_department_id": world.ids["radiology"],
        "lines": [{"item_id": world.ids["exam"], "quantity": "1"}, {"item_id": 7, "quantity": "1"}]})
    assert refused.status_code == 422
    assert refused.json["errors"][0]["field"] == "lines.1.item_id"


@pytest.mark.requirement("M7.4")
@pytest.mark.parametrize("typed", ["阿莫西林", "莫西", "amxl", "amoxilin", "AMXL"])
def test_a_drug_is_found_with_price_and_free_stock(world: World, typed: str) -> None:
    _, encounter = visit(world)
    found = world.ok(world.get("doctor", f"/api/orders/drugs?q={typed}&encounter_id={encounter}"))["items"]
    assert [drug["name"] for drug in found] == ["阿莫西林胶囊"]
    assert (found[0]["price"], found[0]["free"], found[0]["free_text"]) == ("24.0000", "2400.0000", "100盒")


def test_the_stock_hint_counts_what_others_have_paid_for(world: World) -> None:
    person, encounter = visit(world)
    world.prescribe(encounter, "25")
    path = f"/api/orders/drugs?q=amxl&encounter_id={encounter}"
    assert world.ok(world.get("doctor", path))["items"][0]["free_text"] == "100盒"  # not paid: nothing is held
    world.ok(world.pay_all(person))
    assert world.ok(world.get("doctor", path))["items"][0]["free_text"] == "98盒23粒"


def test_items_and_choices_are_found_by_pinyin(world: World) -> None:
    items = world.ok(world.get("doctor", "/api/orders/items?q=xbzwp"))["items"]
    assert [(item["name"], item["price"]) for item in items] == [("胸部正位片", "60.5500")]
    choices = world.ok(world.get("technician", "/api/orders/choices"))
    radiology = next(one for one in choices["departments"] if one["name"] == "放射科")
    assert "fsk" in radiology["keys"]
    assert {one["code"] for one in choices["frequencies"]} == {"qd", "bid", "tid", "st"}


@pytest.mark.requirement("M1.8")
def test_the_worklist_shows_what_is_paid_and_finds_a_request_by_number(world: World, clock: Any) -> None:
    person, encounter = visit(world, "欧阳䶮")
    made = world.request(encounter)
    base = f"/api/orders/requests?department_id={world.ids['radiology']}"
    assert world.ok(world.get("technician", base))["items"] == []  # unpaid is not to be done
    world.ok(world.pay_all(person))
    waiting = world.ok(world.get("technician", base))
    assert [(r["number"], r["name"], r["department"]) for r in waiting["items"]] == [(made["number"], "欧阳䶮", "呼吸内科")]
    assert waiting["counts"] == {"charged": 1, "performed": 0}
    other = world.ok(world.get("technician", f"/api/orders/requests?department_id={world.ids['clinic']}"))
    assert other["items"] == []
    world.ok(world.post("technician", f"/api/orders/requests/{made['id']}/perform"))
    done = world.ok(world.get("technician", f"{base}&state=performed"))
    assert [r["state"] for r in done["items"]] == ["performed"]
    assert done["counts"] == {"charged": 0, "performed": 1}
    clock.move(days=1)
    world.clients["technician"] = signed_in_client(world.app, world.db, "medical_technician")
    assert world.ok(world.get("technician", f"{base}&state=performed"))["items"] == []
    by_number = world.ok(world.get("technician", f"{base}&number={made['number']}"))["items"]
    assert [r["id"] for r in by_number] == [made["id"]]


def test_the_live_topic_of_a_department_changes_with_its_work(world: World) -> None:
    from modules.kernel.orders.queries import perform_state

    def look() -> dict[str, Any]:
        with world.db.begin(write=False) as session:
            return perform_state(session, SYSTEM, {"department": str(world.ids["radiology"])})

    person, encounter = visit(world)
    before = look()
    world.request(encounter)
    assert look() == before == {"waiting": 0, "newest": None}
    world.ok(world.pay_all(person))
    assert look()["waiting"] == 1
    for odd in ("²", "9" * 40, "-1", "x", ""):
        with world.db.begin(write=False) as session:
            assert perform_state(session, SYSTEM, {"department": odd}) == {"waiting": 0, "newest": None}


def test_the_doctors_list_has_own_and_unassigned_visits(world: World) -> None:
    _, encounter = visit(world)
    mine = world.ok(world.get("doctor", f"/api/orders/visits?mine=true&department_id={world.ids['clinic']}"))["items"]
    assert [(v["id"], v["queue_no"], v["department"], v["allergies"]) for v in mine] == [(encounter, 1, "呼吸内科", None)]
    elsewhere = world.ok(world.get("doctor", f"/api/orders/visits?department_id={world.ids['radiology']}"))["items"]
    assert elsewhere == []


@pytest.mark.parametrize(("who", "path"), [
    ("doctor", "/api/orders/visits?mine=true&department_id={clinic}"), ("doctor", "/api/orders/visits/{encounter}"),
    ("doctor", "/api/orders/choices"), ("doctor", "/api/orders/drugs?q=a&encounter_id={encounter}"),
    ("doctor", "/api/orders/items?q=x"), ("technician", "/api/orders/requests?department_id={radiology}")])
def test_reads_need_few_statements(world: World, query_counter: Callable[[], AbstractContextManager[QueryCount]],
                                   who: str, path: str) -> None:
    counts = []
    for _ in range(2):  # as many statements for few rows as for more
        for _ in range(2):
            person, encounter = visit(world)
            world.prescribe(encounter, "3", drug="pill", dose="30")
            world.request(encounter)
            world.ok(world.pay_all(person))
        address = path.format(encounter=encounter, **world.ids)
        world.ok(world.get(who, address))
        with query_counter() as count:
            world.ok(world.get(who, address))
        counts.append(count.total)
    assert counts[0] == counts[1] <= MOST


def test_a_preview_needs_few_statements(world: World,
                                        query_counter: Callable[[], AbstractContextManager[QueryCount]]) -> None:
    lines = [{"drug_id": world.ids[d], "dose": "1", "usage": "口服", "frequency": "tid", "days": 4}
             for d in ("drug", "pill", "free_drug")]
    world.ok(world.post("doctor", "/api/orders/prescriptions/preview", {"lines": lines}))
    with query_counter() as count:
        found = world.ok(world.post("doctor", "/api/orders/prescriptions/preview", {"lines": lines}))
    assert count.total <= MOST
    assert sum((Decimal(line["amount"]) for line in found["lines"]), Decimal(0)) == Decimal(found["total"])
