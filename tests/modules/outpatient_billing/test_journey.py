"""The first journey through the API: registered, seen, charged, given drugs, partly refunded, the day closed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.factories.hospital import World

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.requirement("M1.18", "FN-12", "FN-13")
def test_the_whole_journey_balances(world: World) -> None:
    person = world.person()
    registration = world.register(person, tendered="50.00")
    assert registration["queue_no"] == 1
    assert registration["change"] == "30.00"
    encounter = world.encounter(registration)
    prescription = world.prescribe(encounter, "48")
    world.request(encounter)
    owed = world.unpaid(person)
    assert owed["total"] == "108.55"
    scanned = world.scan(person, "60.55")
    assert scanned["state"] == "confirmed"
    settled = world.ok(world.pay_all(person, [
        {"method": "scan", "covers": "60.55", "intent_id": scanned["id"]},
        {"method": "cash", "covers": "48.00", "tendered": "50.00"}]))
    assert settled["change"] == "2.00"
    assert len(settled["receipt_numbers"]) == 2

    queue = world.ok(world.get("pharmacist", f"/api/outpatient-pharmacy/queue?store_id={world.ids['store']}"))
    assert [item["number"] for item in queue["items"]] == [prescription["number"]]
    path = f"/api/outpatient-pharmacy/prescriptions/{prescription['id']}"
    world.ok(world.post("pharmacist", f"{path}/dispense"))
    line = world.ok(world.get("pharmacist", path))["lines"][0]
    assert line["returnable"] == "48.0000"
    world.ok(world.post("pharmacist", f"{path}/returns", {
        "lines": [{"line_id": line["id"], "quantity": "24"}], "reason": "病人过敏"}))

    whole = world.settlement(settled["id"])
    drug = next(entry for entry in whole["lines"] if entry["kind"] == "drug")
    assert Decimal(drug["refundable"]) == 1
    refunded = world.ok(world.post("cashier", f"/api/outpatient-billing/settlements/{settled['id']}/refunds", {
        "lines": [{"line_id": drug["id"], "quantity": "1"}], "reason": "退药"}))
    assert refunded["total"] == "24.00"
    assert len(refunded["intent_ids"]) == 1
    sent = world.ok(world.post("cashier", f"/api/outpatient-billing/payment-intents/{refunded['intent_ids'][0]}/send"))
    assert sent["state"] == "confirmed"

    closed = world.ok(world.post("cashier", "/api/outpatient-billing/shifts/close", {"counted_cash": "68.00"}))
    figures = closed["statement"]
    assert figures["net"] == "104.55"
    assert figures["cash"] == "68.00"
    assert closed["cash_difference"] == "0.00"
    assert sum(Decimal(p["net"]) for p in figures["payments"]) == Decimal("104.55")
    assert sum(Decimal(c["amount"]) for c in figures["categories"]) == Decimal("104.55")
    handed = world.ok(world.post("finance", f"/api/outpatient-billing/shifts/{closed['id']}/hand-over"))
    assert handed["state"] == "handed_over"
    assert world.findings() == []
