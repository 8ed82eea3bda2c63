"""Registration messages (M1.10): none for what was rolled back, none lost by a crash, resent by hand where one sees them."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from his_server.clock import ManualClock
from his_server.db import Database
from his_server.messaging.outbox import Event, NotSent, OutboxEvent, Refused
from his_server.messaging.worker import LEASE, Worker
from his_server.module import Handler, Module
from his_server.registry import Hospital
from tests.factories.hospital import World

BASE = "/api/outpatient-billing"
EVENTS = ("RegistrationMade", "RegistrationCancelled")


class Partner:
    """The regional platform: keeps the registrations it was told, fails as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.failures: list[Exception] = []

    def deliver(self, _database: Database, event: Event) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.got.append((event.type, event.business_key))


def _worker(world: World, partner: Partner, name: str = "w1") -> Worker:
    handlers = tuple(Handler(event, "platform", partner.deliver, network=True) for event in EVENTS)
    return Worker(world.db, Hospital((Module(name="partner", title="平台", handlers=handlers),)), name=name,
                  chance=random.Random(7))


def _run(worker: Worker) -> None:
    while worker.step():
        pass


def _deliveries(world: World, **query: str) -> list[dict[str, Any]]:
    if "operator" not in world.clients:
        from tests.factories.security import make_user, signed_in_client

        with world.db.begin() as session:
            user = make_user(session, "sysadmin", name="系统员")
            world.ids["user_operator"] = user.id
        world.clients["operator"] = signed_in_client(world.app, world.db, user=user)
    answer = world.clients["operator"].get("/api/messaging/deliveries", query_string=query)
    items: list[dict[str, Any]] = world.ok(answer)["items"]
    return items


@pytest.mark.requirement("M1.10")
def test_a_rolled_back_registration_sends_nothing(world: World) -> None:
    partner = Partner()
    refused = world.post("cashier", f"{BASE}/registrations", {
        "person_id": world.person(), "session_id": world.ids["session"], "expected_total": "20.00",
        "payments": [{"method": "cash", "covers": "19.00"}]})
    assert refused.status_code == 422
    _run(_worker(world, partner))
    assert partner.got == []
    with world.db.begin(write=False) as session:
        assert session.query(OutboxEvent).filter(OutboxEvent.type.in_(EVENTS)).count() == 0
    made = world.register(world.person())
    _run(_worker(world, partner))
    assert partner.got == [("RegistrationMade", made["registration_number"])]


@pytest.mark.requirement("M1.10")
def test_a_worker_that_dies_in_the_middle_loses_nothing(world: World, clock: ManualClock) -> None:
    class Killed(BaseException):
        """What kill −9 is to the worker's code: nothing after it runs."""

    made = world.register(world.person())

    class Dying(Partner):
        def deliver(self, _database: Database, event: Event) -> None:
            raise Killed

    with pytest.raises(Killed):
        _run(_worker(world, Dying()))
    assert [row["state"] for row in _deliveries(world, business_key=made["registration_number"])] == ["sending"]
    partner = Partner()
    other = _worker(world, partner, "w2")
    _run(other)
    assert partner.got == []  # the lease of the dead one still runs
    clock.move(seconds=LEASE.total_seconds() + 1)
    _run(other)
    assert partner.got == [("RegistrationMade", made["registration_number"])]


@pytest.mark.requirement("M1.10")
def test_what_the_partner_refused_is_seen_and_resent_by_hand_in_order(world: World, clock: ManualClock) -> None:
    partner = Partner()
    partner.failures = [NotSent("connection refused"), Refused("医生未对照")]
    made = world.register(world.person())
    clock.move(seconds=1)
    world.ok(world.post("cashier", f"{BASE}/registrations/{made['registration_id']}/cancel", {"reason": "病人要求"}))
    worker = _worker(world, partner)
    _run(worker)
    clock.move(seconds=5)
    _run(worker)  # tried again after the back-off, refused, and the cancellation waits behind it
    seen = _deliveries(world, business_key=made["registration_number"])
    assert [(row["event"], row["state"]) for row in seen] == [
        ("RegistrationCancelled", "waiting"), ("RegistrationMade", "dead")]
    assert "医生未对照" in seen[1]["last_error"]
    assert [row["id"] for row in _deliveries(world, state="dead")] == [seen[1]["id"]]
    path = f"/api/messaging/deliveries/{seen[1]['id']}/resend"
    assert world.post("cashier", path, {"reason": "已对照"}).status_code == 403
    assert world.post("operator", path, {"reason": ""}).status_code == 422
    world.ok(world.post("operator", path, {"reason": "科室已对照"}))
    _run(worker)
    assert partner.got == [(event, made["registration_number"]) for event in EVENTS]
    assert world.post("operator", path, {"reason": "再来一次"}).status_code == 409
    assert timedelta(0) < LEASE


@pytest.mark.requirement("M2.2", "M1.16")
def test_a_set_is_charged_in_one_action_and_later_versions_change_nothing_old(world: World) -> None:
    from decimal import Decimal

    from his_server.actor import SYSTEM
    from his_server.db import now
    from modules.kernel.masterdata.models import ChargeItemPrice, ItemSet, ItemSetLine, item_set_search
    from tests.factories import masterdata as make

    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        extra = make.make_item(session, "8.00", name="耗材包")
        made = ItemSet(code="ZT01", name="清创组套", version=1, valid_from=now(session), valid_to=None)
        session.add(made)
        session.flush()
        session.add_all([ItemSetLine(set_id=made.id, position=1, item_id=world.ids["exam"], quantity=Decimal(2), optional=False),
                         ItemSetLine(set_id=made.id, position=2, item_id=extra.id, quantity=Decimal(1), optional=True)])
        from his_server.search import search_keys, store_keys

        store_keys(session, item_set_search, made.id, search_keys("清创组套", person=False, code="ZT01"))
        first = made.id
    person = world.person()
    visit = world.encounter(world.register(person))
    found, = world.ok(world.get("cashier", "/api/masterdata/item-sets?q=qczt"))["items"]
    assert [(line["name"], line["quantity"], line["optional"]) for line in found["lines"]] == [
        ("胸部正位片", "2.0000", False), ("耗材包", "1.0000", True)]
    body = {"encounter_id": visit, "performing_department_id": world.ids["radiology"],
            "lines": [{"item_id": line["item_id"], "quantity": line["quantity"]} for line in found["lines"]]}
    added = world.ok(world.post("cashier", f"{BASE}/supplements", body))["line_ids"]
    assert len(added) == 2
    wrong = world.post("cashier", f"{BASE}/supplements", {**body, "lines": [body["lines"][0], {"item_id": 1, "quantity": "1"}]})
    assert wrong.status_code == 422 and wrong.json["errors"][0]["field"] == "lines.1.item_id"
    settled = world.ok(world.pay_all(person))
    assert settled["total"] == "129.10"
    with world.db.begin() as session:
        old = session.get(ItemSet, first)
        assert old is not None
        old.valid_to = now(session)
        session.query(ChargeItemPrice).filter_by(item_id=world.ids["exam"]).one().price = Decimal("99.00")
    assert world.settlement(settled["id"])["lines"][0]["amount"] == "121.10"
    assert world.findings() == []
