"""Charging, refunds and printing through the API, row by row of the tender's complaints."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from his_server.security.audit import AuditRow
from tests.factories.hospital import World

BILLING = "/api/outpatient-billing"


def _visit(world: World, **payment: Any) -> tuple[int, int]:
    person = world.person()
    return person, world.encounter(world.register(person, **payment))


def _refund(world: World, settlement_id: int, lines: dict[int, str], who: str = "cashier", **more: Any) -> Any:
    return world.post(who, f"/api/outpatient-billing/settlements/{settlement_id}/refunds", {
        "lines": [{"line_id": k, "quantity": q} for k, q in lines.items()], "reason": "病人要求", **more})


@pytest.mark.requirement("M1.1", "FN-06")
def test_a_free_bill_settles_prints_and_reaches_the_pharmacy(world: World) -> None:
    person, encounter = _visit(world)
    prescription = world.prescribe(encounter, "100", drug="free_drug", dose="0.1")
    settled = world.ok(world.pay_all(person))
    assert settled["total"] == "0.00"
    assert settled["number"] and settled["receipt_numbers"]
    voucher = world.post("cashier", f"/api/outpatient-billing/settlements/{settled['id']}/print")
    assert voucher.data.startswith(b"%PDF")
    queue = world.ok(world.get("pharmacist", f"/api/outpatient-pharmacy/queue?store_id={world.ids['store']}"))
    assert [item["id"] for item in queue["items"]] == [prescription["id"]]
    whole = world.settlement(settled["id"])
    assert whole["payments"] == []
    refunded = world.ok(_refund(world, settled["id"], {whole["lines"][0]["id"]: "1"}))
    assert refunded["total"] == "0.00"
    assert world.findings() == []


@pytest.mark.requirement("M1.7")
def test_a_repeated_submit_returns_the_first_answer(world: World) -> None:
    person, encounter = _visit(world)
    world.prescribe(encounter)
    key = uuid4().hex
    owed = world.unpaid(person)
    body = {"person_id": person, "line_ids": [line["id"] for line in owed["lines"]],
            "payments": [{"method": "cash", "covers": owed["total"]}], "expected_total": owed["total"]}
    first = world.post("cashier", "/api/outpatient-billing/settlements", body, key=key)
    again = world.post("cashier", "/api/outpatient-billing/settlements", body, key=key)
    assert first.status_code == again.status_code == 201
    assert first.json == again.json
    assert again.headers["Idempotent-Replay"] == "true"
    other = world.post("cashier", "/api/outpatient-billing/settlements", {**body, "expected_total": "1.00"}, key=key)
    assert other.status_code == 409
    other_key = world.post("cashier", "/api/outpatient-billing/settlements", body)
    assert other_key.status_code == 409
    assert "李收费" in other_key.json["message"]
    assert world.findings() == []


@pytest.mark.requirement("M1.6", "M1.7")
def test_printing_is_apart_and_every_reprint_is_counted_and_marked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    person, encounter = _visit(world)
    world.prescribe(encounter)
    settled = world.ok(world.pay_all(person))
    path = f"/api/outpatient-billing/settlements/{settled['id']}/print"
    with monkeypatch.context() as broken:
        broken.setattr("modules.outpatient_billing.vouchers.settlement", _broken_printer)
        assert world.post("cashier", path).status_code == 500
    assert world.settlement(settled["id"])["total"] == "24.00"  # the charge stands
    copies = [world.post("cashier", path).data for _ in range(3)]
    assert world.settlement(settled["id"])["prints"] == 3
    assert copies[0] != copies[1]
    assert copies[1] == copies[2]  # reprints differ from the first by the mark alone
    from tests.reading import pdf_text

    assert "补打" not in pdf_text(copies[0])
    assert "补打" in pdf_text(copies[1])
    assert settled["number"] in pdf_text(copies[1])


def _broken_printer(*_: object, **__: object) -> bytes:
    raise OSError("out of paper")


@pytest.mark.requirement("M1.8", "FN-10")
def test_paying_is_not_performing_and_only_the_unperformed_is_refundable(world: World) -> None:
    person, encounter = _visit(world)
    request = world.request(encounter)
    settled = world.ok(world.pay_all(person))
    line = world.settlement(settled["id"])["lines"][0]
    assert (line["performed"], line["refundable"]) == ("0.0000", "1.0000")
    denied = world.post("cashier", f"/api/orders/requests/{request['id']}/perform")
    assert denied.status_code == 403
    performed = world.ok(world.post("technician", f"/api/orders/requests/{request['id']}/perform"))
    assert performed["state"] == "performed"
    refused = _refund(world, settled["id"], {line["id"]: "1"})
    assert refused.status_code == 409
    assert "执行" in refused.json["message"]
    world.ok(world.post("technician", f"/api/orders/requests/{request['id']}/unperform"))
    assert world.ok(_refund(world, settled["id"], {line["id"]: "1"}))["total"] == "60.55"
    again = world.post("technician", f"/api/orders/requests/{request['id']}/perform")
    assert again.status_code == 409
    assert world.findings() == []


@pytest.mark.requirement("FN-04", "FN-05", "FN-09")
def test_a_line_refunded_in_parts_returns_exactly_what_was_paid(world: World) -> None:
    person, encounter = _visit(world)
    world.prescribe(encounter, "10", drug="pill", dose="30")  # 10 tablets of a pack of 3 at 10.00: 33.33
    settled = world.ok(world.pay_all(person))
    assert settled["total"] == "33.33"
    line = world.settlement(settled["id"])["lines"][0]
    total = Decimal(0)
    for quantity in ("3", "3", "1", "3"):
        total += Decimal(world.ok(_refund(world, settled["id"], {line["id"]: quantity}))["total"])
    assert total == Decimal("33.33")
    assert _refund(world, settled["id"], {line["id"]: "1"}).status_code == 409
    whole = world.settlement(settled["id"])
    assert Decimal(whole["payments"][0]["left"]) == 0
    refunds = [world.settlement(r["id"]) for r in whole["refunds"]]
    receipts = whole["receipts"] + [r for refund in refunds for r in refund["receipts"]]
    assert sum(Decimal(r["amount"]) for r in receipts) == 0
    reds = [r for r in receipts if r["colour"] == "red"]
    assert len({r["reverses_receipt_id"] for r in reds}) == len(reds) == 4
    numbers = sorted(r["number"] for r in receipts)
    assert len(set(numbers)) == len(numbers)
    assert world.findings() == []


@pytest.mark.requirement("M1.14", "FN-11")
def test_money_goes_back_through_its_own_channel_unless_permitted(world: World) -> None:
    person, encounter = _visit(world)
    world.request(encounter)
    scanned = world.scan(person, "40.00")
    settled = world.ok(world.pay_all(person, [{"method": "scan", "covers": "40.00", "intent_id": scanned["id"]},
                                              {"method": "cash", "covers": "20.55"}]))
    whole = world.settlement(settled["id"])
    line, scan = whole["lines"][0]["id"], whole["payments"][0]
    as_cash = [{"payment_id": scan["id"], "amount": "40.00", "as_cash": True},
               {"payment_id": whole["payments"][1]["id"], "amount": "20.55"}]
    assert _refund(world, settled["id"], {line: "1"}, returns=as_cash).status_code == 403
    refunded = world.ok(_refund(world, settled["id"], {line: "1"}))
    assert len(refunded["intent_ids"]) == 1
    back = world.settlement(refunded["id"])["payments"]
    assert {(p["method"], p["amount"]) for p in back} >= {("scan", "-40.00"), ("cash", "-20.60")}
    assert world.findings() == []


@pytest.mark.requirement("FN-10")
def test_a_large_refund_needs_a_second_person(world: World) -> None:
    person, encounter = _visit(world)
    world.request(encounter, "10")
    settled = world.ok(world.pay_all(person))
    line = world.settlement(settled["id"])["lines"][0]["id"]
    assert _refund(world, settled["id"], {line: "10"}).json["code"] == "charging.approval_needed"
    asked = world.ok(world.post("cashier", "/api/outpatient-billing/approvals", {
        "settlement_id": settled["id"], "amount": "605.50", "reason": "检查取消"}))
    own = world.post("cashier", f"/api/outpatient-billing/approvals/{asked['id']}/decide", {"approve": True})
    assert own.status_code == 403
    world.ok(world.post("finance", f"/api/outpatient-billing/approvals/{asked['id']}/decide", {"approve": True}))
    assert world.ok(_refund(world, settled["id"], {line: "10"}))["total"] == "605.50"
    assert world.findings() == []


@pytest.mark.requirement("M1.7", "FN-04")
def test_no_amount_below_zero_is_taken_or_given_back(world: World) -> None:
    person, encounter = _visit(world)
    world.request(encounter)
    for pay, field in (({"covers": "-5.00"}, "payments.0.covers"), ({"covers": "0.00"}, "payments.0.covers"),
                       ({"covers": "60.55", "tendered": "-5.00"}, "payments.0.tendered"),
                       ({"covers": "60.555"}, "payments.0.covers"), ({"covers": "一百"}, "payments.0.covers")):
        refused = world.pay_all(person, [{"method": "cash", **pay}])
        assert refused.status_code == 422 and [one["field"] for one in refused.json["errors"]] == [field], pay
    more = world.pay_all(person, [{"method": "cash", "covers": "65.55"}, {"method": "scan", "covers": "-5.00"}])
    assert more.status_code == 422
    assert [line["amount"] for line in world.unpaid(person)["lines"]] == ["60.55"]
    settled = world.ok(world.pay_all(person))
    line = world.settlement(settled["id"])["lines"][0]["id"]
    assert _refund(world, settled["id"], {line: "-1"}).status_code == 422
    assert world.post("cashier", f"{BILLING}/approvals", {
        "settlement_id": settled["id"], "amount": "-60.55", "reason": "病人要求"}).status_code == 422
    assert world.findings() == []


@pytest.mark.requirement("FN-10")
def test_a_refund_that_is_not_approved_says_why_to_whom_asked(world: World) -> None:
    person, encounter = _visit(world)
    world.request(encounter, "10")
    settled = world.ok(world.pay_all(person))
    line = world.settlement(settled["id"])["lines"][0]["id"]
    body = {"settlement_id": settled["id"], "amount": "605.50", "reason": "检查取消"}
    asked = world.ok(world.post("cashier", f"{BILLING}/approvals", body))
    twice = world.post("cashier2", f"{BILLING}/approvals", body)
    assert twice.status_code == 409 and "李收费" in twice.json["message"] and "605.50" in twice.json["message"]
    for note in ({}, {"note": " "}, {"note": "不"}):
        refused = world.post("finance", f"{BILLING}/approvals/{asked['id']}/decide", {"approve": False, **note})
        assert refused.status_code == 422 and refused.json["errors"] == [{"field": "note", "message": "至少 2 个字"}]
    decision = {"approve": False, "note": "检查已做，先由放射科退回"}
    world.ok(world.post("finance", f"{BILLING}/approvals/{asked['id']}/decide", decision))
    again = world.post("finance", f"{BILLING}/approvals/{asked['id']}/decide", {"approve": True})
    assert again.status_code == 409 and "冯财务" in again.json["message"]

    mine = world.ok(world.get("cashier", f"{BILLING}/approvals/mine"))["items"]
    assert [(one["state"], one["decided_by_name"], one["decision_note"]) for one in mine] == [
        ("declined", "冯财务", "检查已做，先由放射科退回")]
    assert world.ok(world.get("cashier2", f"{BILLING}/approvals/mine"))["items"] == []
    assert world.get("finance", f"{BILLING}/approvals/mine").status_code == 403
    told = world.ok(world.post("cashier", f"{BILLING}/settlements/{settled['id']}/refund-preview", {
        "lines": [{"line_id": line, "quantity": "10"}]}))
    assert (told["approval"], told["declined"]["by"], told["declined"]["note"]) == (
        "needed", "冯财务", "检查已做，先由放射科退回")
    assert _refund(world, settled["id"], {line: "10"}).json["code"] == "charging.approval_needed"
    with world.db.begin(write=False) as session:
        row = session.scalars(select(AuditRow).where(AuditRow.event == "refund.decline")).one()
        assert json.loads(row.detail) == {"amount": "605.50", "note": "检查已做，先由放射科退回"}
    # asked again with what was missing, and consented to
    asked = world.ok(world.post("cashier", f"{BILLING}/approvals", {**body, "reason": "放射科已退回"}))
    world.ok(world.post("finance", f"{BILLING}/approvals/{asked['id']}/decide", {"approve": True}))
    assert [one["state"] for one in world.ok(world.get("cashier", f"{BILLING}/approvals/mine"))["items"]] == [
        "approved", "declined"]
    assert world.ok(_refund(world, settled["id"], {line: "10"}))["total"] == "605.50"
    assert world.findings() == []


@pytest.mark.requirement("M1.16")
def test_a_supplementary_line_is_taken_back_with_a_reason_while_it_is_unpaid(world: World) -> None:
    person, encounter = _visit(world)
    order = world.request(encounter)["lines"][0]["charge_line_id"]
    made = world.ok(world.post("cashier", f"{BILLING}/supplements", {
        "encounter_id": encounter, "performing_department_id": world.ids["radiology"],
        "lines": [{"item_id": world.ids["exam"], "quantity": "1"}] * 2}))["line_ids"]
    for body in ({}, {"reason": "错"}):
        refused = world.post("cashier", f"{BILLING}/supplements/{made[0]}/void", body)
        assert refused.status_code == 422 and [one["field"] for one in refused.json["errors"]] == ["reason"]
    why = {"reason": "录错数量"}
    assert world.post("pharmacist", f"{BILLING}/supplements/{made[0]}/void", why).status_code == 403
    assert world.post("cashier", f"{BILLING}/supplements/{made[0]}/void", why).status_code == 204
    for line in (made[0], order):  # twice, and what a doctor ordered
        assert world.post("cashier", f"{BILLING}/supplements/{line}/void", why).json["code"] == "billing.not_voidable"
    assert [line["id"] for line in world.unpaid(person)["lines"]] == [order, made[1]]
    world.ok(world.pay_all(person))
    assert world.post("cashier", f"{BILLING}/supplements/{made[1]}/void", why).json["code"] == "billing.not_voidable"
    with world.db.begin(write=False) as session:
        row = session.scalars(select(AuditRow).where(AuditRow.event == "charge.void")).one()
        assert (row.object_id, json.loads(row.detail)) == (str(made[0]), why)
    assert world.findings() == []


@pytest.mark.requirement("M1.16")
def test_supplementary_charging_names_the_line_and_the_next_attempt_works(world: World) -> None:
    person, encounter = _visit(world)
    good = {"item_id": world.ids["exam"], "quantity": "1"}
    body = {"encounter_id": encounter, "performing_department_id": world.ids["radiology"],
            "lines": [good, {"item_id": 99, "quantity": "1"}]}
    refused = world.post("cashier", "/api/outpatient-billing/supplements", body)
    assert refused.status_code == 422
    assert refused.json["errors"][0]["field"] == "lines.1.item_id"
    assert world.unpaid(person)["lines"] == []
    world.ok(world.post("cashier", "/api/outpatient-billing/supplements", {**body, "lines": [good]}))
    assert world.ok(world.pay_all(person))["total"] == "60.55"


@pytest.mark.requirement("M7.3", "M7.1")
def test_a_second_payment_brings_only_its_own_prescriptions(world: World) -> None:
    person, encounter = _visit(world)
    first = world.prescribe(encounter)
    one = world.ok(world.pay_all(person))
    second = world.prescribe(encounter, "3", drug="pill", dose="30")
    two = world.ok(world.pay_all(person))
    assert {line["name"] for line in world.settlement(one["id"])["lines"]} == {first["lines"][0]["name"]}
    assert {line["name"] for line in world.settlement(two["id"])["lines"]} == {second["lines"][0]["name"]}
    from his_server.messaging.outbox import OutboxEvent

    with world.db.begin(write=False) as session:
        events = session.query(OutboxEvent).filter_by(type="ChargeSettled").all()
    by_number = {e.business_key: e.payload for e in events}
    lines = world.settlement(two["id"])["lines"]
    assert f'"line_ids":[{lines[0]["id"]}]' in by_number[two["number"]]


def test_an_emergency_prescription_goes_to_the_emergency_store(world: World) -> None:
    person = world.person()
    registration = world.ok(world.post("cashier", "/api/outpatient-billing/registrations", {
        "person_id": person, "session_id": world.ids["emergency_session"], "expected_total": "20.00",
        "payments": [{"method": "cash", "covers": "20.00"}]}))
    made = world.prescribe(world.encounter(registration), days=3)
    assert made["store_id"] == world.ids["emergency_store"]


def test_cancelling_a_registration_frees_the_slot_and_refunds(world: World) -> None:
    person = world.person()
    registration = world.register(person)
    path = f"/api/outpatient-billing/registrations/{registration['registration_id']}/cancel"
    assert world.ok(world.post("cashier", path, {"reason": "病人不来了"}))["total"] == "20.00"
    again = world.post("cashier", path, {"reason": "病人不来了"})
    assert again.status_code == 409
    assert "李收费" in again.json["message"]
    assert world.register(person)["queue_no"] == 2  # numbers are not given twice
    assert world.findings() == []


def test_undispensed_drugs_can_be_refunded_and_their_stock_is_free_again(world: World) -> None:
    person, encounter = _visit(world)
    prescription = world.prescribe(encounter, "48")
    settled = world.ok(world.pay_all(person))
    line = world.settlement(settled["id"])["lines"][0]["id"]
    world.ok(_refund(world, settled["id"], {line: "1"}))
    assert world.findings() == []
    path = f"/api/outpatient-pharmacy/prescriptions/{prescription['id']}"
    batches = world.ok(world.get("pharmacist", path))["lines"][0]["batches"]
    assert sum(Decimal(b["quantity"]) for b in batches) == 24
    world.ok(world.post("pharmacist", f"{path}/dispense"))
    second = world.post("pharmacist2", f"{path}/dispense")
    assert second.status_code == 409
    assert "周药师" in second.json["message"]
    assert _refund(world, settled["id"], {line: "1"}).status_code == 409
    assert world.findings() == []


def test_stock_runs_out_with_a_clear_message(world: World) -> None:
    _, encounter = _visit(world)
    short = world.post("doctor", "/api/orders/prescriptions", {
        "encounter_id": encounter, "diagnosis": "感冒", "lines": [
            {"drug_id": world.ids["drug"], "dose": "0.5", "usage": "口服", "frequency": "tid", "days": 7,
             "quantity": "24000"}]})
    assert short.status_code == 409
    assert short.json["errors"][0]["field"] == "lines.0.quantity"


@pytest.mark.parametrize(("code", "states"), [
    ("134567890123450001", ["refused"]), ("134567890123450002", ["unknown", "confirmed"]),
    ("134567890123450003", ["unknown", "refused"]), ("134567890123450004", ["unknown", "unknown", "confirmed"])])
def test_scan_payments_with_every_outcome(world: World, code: str, states: list[str]) -> None:
    person = world.person()
    intent = world.scan(person, "20.00", code)
    seen = [intent["state"]]
    for _ in states[1:]:
        path = f"/api/outpatient-billing/payment-intents/{intent['id']}/query"
        seen.append(world.ok(world.post("cashier", path))["state"])
    assert seen == states
    registered = world.post("cashier", "/api/outpatient-billing/registrations", {
        "person_id": person, "session_id": world.ids["session"], "expected_total": "20.00",
        "payments": [{"method": "scan", "covers": "20.00", "intent_id": intent["id"]}]})
    assert (registered.status_code == 201) == (states[-1] == "confirmed")


def test_an_unused_payment_goes_back_by_itself(world: World, clock: Any) -> None:
    from modules.kernel.charging.service import recover

    person = world.person()
    world.scan(person, "20.00")
    channel = world.db.ports["payment:scan"]
    before = channel.net()
    clock.move(minutes=16)
    recover(world.db)
    assert channel.net() == before - Decimal("20.00")
    assert recover(world.db) == 0
    assert world.findings() == []


def test_the_closed_shift_does_not_change_and_the_next_one_takes_over(world: World) -> None:
    person, encounter = _visit(world)
    closed = world.ok(world.post("cashier", "/api/outpatient-billing/shifts/close"))
    assert world.post("cashier", "/api/outpatient-billing/shifts/close").status_code == 409
    world.prescribe(encounter)
    world.ok(world.pay_all(person))
    same = world.ok(world.get("cashier", f"/api/outpatient-billing/shifts/{closed['id']}"))
    assert same["statement"] == closed["statement"]
    current = world.ok(world.get("cashier", "/api/outpatient-billing/shifts/current"))
    assert current["statement"]["net"] == "24.00"
    assert world.get("cashier2", f"/api/outpatient-billing/shifts/{closed['id']}").status_code == 404
    own = world.post("cashier", f"/api/outpatient-billing/shifts/{closed['id']}/hand-over")
    assert own.status_code == 403
    assert world.findings() == []
