"""Shortage and prohibition notices: at once, until they end, with who has read them; price changes and limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from his_server.clock import ManualClock
from his_server.messaging.outbox import OutboxEvent
from modules.drug_warehouse.service import money
from modules.kernel.stock.service import notices
from tests.factories.hospital import World
from tests.factories.security import signed_in_client
from tests.modules.kernel.stock.conftest import House

WAREHOUSE = "drug-warehouse"


def publish(house: House, kind: str, **more: Any) -> dict[str, Any]:
    """A notice about the drug."""
    found: dict[str, Any] = house.ok(house.post("keeper", f"{WAREHOUSE}/notices", {
        "kind": kind, "drug_id": house.ids["drug"], "reason": "厂家停产", "substitute": "头孢拉定胶囊", **more}))
    return found


@pytest.mark.requirement("M6.2")
def test_doctor_sees_a_notice_at_once_until_it_ends_and_reading_is_known(house: House, clock: ManualClock) -> None:
    made = publish(house, "shortage", valid_to="2026-03-02")
    [seen] = house.ok(house.get("doctor", "stock/notices"))["items"]
    assert (seen["kind_name"], seen["name"], seen["substitute"], seen["read"]) == (
        "缺药", seen["name"], "头孢拉定胶囊", False)
    live = house.clients["doctor"].get("/api/live/drug-notices", buffered=False)
    first = next(live.response).decode()  # the state at the start of the stream
    assert '"unread":1' in first.replace(" ", "")
    live.close()
    house.ok(house.post("doctor", "stock/notices/read", {"notice_ids": [made["id"]]}))
    house.ok(house.post("doctor", "stock/notices/read", {"notice_ids": [made["id"]]}))
    assert house.ok(house.get("doctor", "stock/notices"))["items"][0]["read"] is True
    readers = house.ok(house.get("keeper", f"{WAREHOUSE}/notices/{made['id']}/readers"))["items"]
    assert [r["user_name"] for r in readers] == ["单文渊"]
    with house.db.begin(write=False) as session:
        event = session.scalars(select(OutboxEvent).where(OutboxEvent.type == "DrugNoticePublished")).one()
        assert json.loads(event.payload)["number"] == made["number"]
        assert notices.notices_for(session, [house.ids["drug"]], clock.today())
    house.refused(house.post("doctor", f"{WAREHOUSE}/notices", {}), 403, "permission.denied")
    clock.move(days=1)
    with house.db.begin(write=False) as session:
        assert notices.notices_for(session, [house.ids["drug"]], clock.today()) == {}


@pytest.mark.requirement("M6.2")
def test_withdrawn_once_with_a_reason(house: House, clock: ManualClock) -> None:
    made = publish(house, "prohibition")
    house.refused(house.post("keeper", f"{WAREHOUSE}/notices", {
        "kind": "prohibition", "drug_id": house.ids["drug"], "reason": "又一条"}), 409, "notice.twice")
    with house.db.begin(write=False) as session:
        assert "厂家停产" in notices.prohibited(session, [house.ids["drug"]], clock.today())[house.ids["drug"]]
    path = f"{WAREHOUSE}/notices/{made['id']}/withdraw"
    house.ok(house.post("keeper", path, {"reason": "恢复供应"}))
    house.refused(house.post("keeper2", path, {"reason": "恢复供应"}), 409, "notice.withdrawn")
    assert house.ok(house.get("doctor", "stock/notices"))["items"] == []
    [row] = house.ok(house.get("doctor", "stock/notices", view="all"))["items"]
    assert (row["state"], row["end_reason"]) == ("withdrawn", "恢复供应")
    with house.db.begin(write=False) as session:
        assert notices.prohibited(session, [house.ids["drug"]], clock.today()) == {}


@pytest.mark.requirement("M6.2")
def test_prohibited_drug_is_not_prescribed(world: World) -> None:
    keeper = signed_in_client(world.app, world.db, "warehouse", name="王库管")
    world.clients["keeper"] = keeper
    made = world.ok(world.post("keeper", "/api/drug-warehouse/notices", {
        "kind": "prohibition", "drug_id": world.ids["drug"], "reason": "质量召回"}))
    visit = world.encounter(world.register(world.person()))
    body = {"encounter_id": visit, "diagnosis": "急性支气管炎", "lines": [{
        "drug_id": world.ids["drug"], "dose": "0.5", "usage": "口服", "frequency": "tid", "days": 4, "quantity": "24"}]}
    refused = world.post("doctor", "/api/orders/prescriptions", body)
    assert refused.status_code == 422 and "质量召回" in refused.get_data(as_text=True)
    world.ok(world.post("keeper", f"/api/drug-warehouse/notices/{made['id']}/withdraw", {"reason": "解除召回"}))
    world.ok(world.post("doctor", "/api/orders/prescriptions", body))


@pytest.mark.requirement("FN-16")
def test_price_change_leaves_old_bills_alone_and_revalues_the_stock(world: World, clock: ManualClock) -> None:
    world.clients["keeper"] = signed_in_client(world.app, world.db, "warehouse", name="王库管")
    person = world.person()
    visit = world.encounter(world.register(person))
    world.prescribe(visit)
    old = world.ok(world.pay_all(person))
    before = world.settlement(old["id"])
    body = {"drug_id": world.ids["drug"], "price": "20.00", "valid_from": "2026-03-03", "reason": "集采降价"}
    made = world.ok(world.post("keeper", "/api/drug-warehouse/price-changes", body))
    assert (made["state"], made["amount"]) == ("planned", None)
    limit = {"drug_id": world.ids["drug"], "limit": "19.00", "valid_from": "2026-03-03", "reason": "医保支付标准"}
    assert world.post("keeper", "/api/drug-warehouse/price-limits", limit).json["code"] == "masterdata.above_limit"
    world.ok(world.post("keeper", "/api/drug-warehouse/price-limits", {**limit, "limit": "20.00", "valid_from": "2026-03-04"}))
    over = world.post("keeper", "/api/drug-warehouse/price-changes", {**body, "price": "20.01", "valid_from": "2026-03-05"})
    assert (over.status_code, over.json["code"]) == (422, "masterdata.price_limit")
    assert money.revalue_due(world.db) == 0
    clock.move(hours=16)  # the day has come
    assert money.revalue_due(world.db) == 1 and money.revalue_due(world.db) == 0
    with world.db.begin(write=False) as session:
        change = session.get_one(money.PriceChange, made["id"])
        # two stores with 100 packs each, one pack was dispensed to nobody yet: 200 × (20 − 24)
        assert (change.state, str(change.amount)) == ("done", "-800.00")
    world.clients["cashier"] = signed_in_client(world.app, world.db, "cashier")  # the other session has ended meanwhile
    assert world.settlement(old["id"]) == before
