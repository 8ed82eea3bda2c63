"""What the windows ask before they act: refunds worked out beforehand, open scan payments, who may look."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from his_server.clock import ManualClock
from modules.kernel.charging.settings import Settings
from tests.factories.hospital import World


def _preview(world: World, settlement_id: int, lines: dict[int, str]) -> Any:
    return world.post("cashier", f"/api/outpatient-billing/settlements/{settlement_id}/refund-preview", {
        "lines": [{"line_id": k, "quantity": q} for k, q in lines.items()]})


@pytest.mark.requirement("M1.14", "FN-04")
def test_a_refund_returns_what_its_preview_said(world: World) -> None:
    person = world.person()
    world.prescribe(world.encounter(world.register(person)), "10", drug="pill", dose="30")
    scanned = world.scan(person, "20.00")
    settled = world.ok(world.pay_all(person, [{"method": "scan", "covers": "20.00", "intent_id": scanned["id"]},
                                              {"method": "cash", "covers": "13.33"}]))
    line = world.settlement(settled["id"])["lines"][0]["id"]
    for quantity in ("3", "4", "3"):
        said = world.ok(_preview(world, settled["id"], {line: quantity}))
        assert said["approval"] == "not_needed"
        done = world.ok(world.post("cashier", f"/api/outpatient-billing/settlements/{settled['id']}/refunds", {
            "lines": [{"line_id": line, "quantity": quantity}], "reason": "病人要求"}))
        assert said["total"] == done["total"] == said["lines"][0]["amount"]
        cash = sum((Decimal(r["amount"]) for r in said["returns"] if r["method"] == "cash"), Decimal(0))
        assert cash == Decimal(done["cash"])
    refused = _preview(world, settled["id"], {line: "1"})
    assert refused.status_code == 409
    assert refused.json["errors"][0]["field"] == f"lines.{line}.quantity"
    assert _preview(world, settled["id"], {1: "1"}).status_code == 422


@pytest.mark.requirement("FN-10")
def test_the_preview_says_where_the_approval_stands(world: World) -> None:
    person = world.person()
    world.request(world.encounter(world.register(person)), "10")
    settled = world.ok(world.pay_all(person))
    line = world.settlement(settled["id"])["lines"][0]["id"]
    seen = [world.ok(_preview(world, settled["id"], {line: "10"}))["approval"]]
    asked = world.ok(world.post("cashier", "/api/outpatient-billing/approvals", {
        "settlement_id": settled["id"], "amount": "605.50", "reason": "检查取消"}))
    seen.append(world.ok(_preview(world, settled["id"], {line: "10"}))["approval"])
    world.ok(world.post("finance", f"/api/outpatient-billing/approvals/{asked['id']}/decide", {"approve": True}))
    seen.append(world.ok(_preview(world, settled["id"], {line: "10"}))["approval"])
    assert seen == ["needed", "requested", "approved"]


@pytest.mark.requirement("M1.7")
def test_a_scan_payment_whose_answer_was_lost_is_found_again(world: World) -> None:
    person = world.person()
    path = f"/api/outpatient-billing/payment-intents?person_id={person}"
    unknown = world.scan(person, "20.00", "134567890123450002")
    assert [(i["id"], i["state"]) for i in world.ok(world.get("cashier", path))["items"]] == [(unknown["id"], "unknown")]
    world.ok(world.post("cashier", f"/api/outpatient-billing/payment-intents/{unknown['id']}/query"))
    assert world.ok(world.get("cashier", path))["items"][0]["state"] == "confirmed"
    world.register(person, method="scan", intent_id=unknown["id"])
    assert world.ok(world.get("cashier", path))["items"] == []


def test_finance_looks_at_settlements_and_everybodys_shifts_but_charges_nothing(world: World) -> None:
    registration = world.register(world.person())
    assert world.get("finance", f"/api/outpatient-billing/settlements/{registration['id']}").status_code == 200
    shifts = world.ok(world.get("finance", "/api/outpatient-billing/shifts?mine=false"))["items"]
    assert [shift["cashier_name"] for shift in shifts] == ["李收费"]
    figures = world.ok(world.get("finance", f"/api/outpatient-billing/shifts/{shifts[0]['id']}"))["statement"]
    assert figures["net"] == "20.00"
    assert world.get("finance", "/api/outpatient-billing/unpaid?person_id=1").status_code == 403


def test_sessions_are_found_by_pinyin_of_department_and_doctor(world: World) -> None:
    sessions = world.ok(world.get("cashier", "/api/scheduling/sessions"))["items"]
    clinic = next(s for s in sessions if s["department"] == "呼吸内科")
    assert {"hxnk", "huxineike", "swy"} <= set(clinic["keys"])


@pytest.mark.requirement("M1.18")
def test_the_reports_say_the_same_sum(world: World) -> None:
    person = world.person()
    world.request(world.encounter(world.register(person, tendered="50.00")))
    world.ok(world.pay_all(person))
    totals = {name: world.ok(world.get("cashier", f"/api/reports/{name}?from=2026-03-02&to=2026-03-02"))["total"]["cells"]
              for name in ("cashier-summary", "income-by-category", "registrations-by-department")}
    assert totals["cashier-summary"]["net"] == totals["income-by-category"]["net"] == "80.55"
    assert totals["registrations-by-department"]["live"] == 1


@pytest.mark.requirement("M1.14", "M1.9")
def test_a_registrar_cancels_a_scanned_registration_and_the_money_goes_back_at_once(world: World) -> None:
    from his_server.db import numbering
    from modules.kernel.charging.service.settling import RECEIPT_SERIES
    from tests.factories.security import make_user, signed_in_client

    with world.db.begin() as session:
        user = make_user(session, "registrar", name="丁挂号")
        numbering.grant_range(session, RECEIPT_SERIES, user.id, 90_000_001, 90_000_100)
    world.clients["registrar"] = signed_in_client(world.app, world.db, user=user)
    path = "/api/outpatient-billing/registrations"
    person = world.person()

    def register(who: int, **payment: Any) -> Any:
        return world.ok(world.post("registrar", path, {
            "person_id": who, "session_id": world.ids["session"], "expected_total": "20.00",
            "payments": [{"covers": "20.00", **payment}]}))

    paid = world.ok(world.post("registrar", "/api/outpatient-billing/payment-intents", {
        "person_id": person, "channel": "scan", "amount": "20.00", "auth_code": "134567890123456789"}))
    by_scan = register(person, method="scan", intent_id=paid["id"])
    channel = world.db.ports["payment:scan"]
    assert channel.net() == Decimal("20.00")
    key = by_scan["registration_id"]
    assert world.post("registrar", f"{path}/{key}/send-returns").status_code == 404  # nothing to send yet
    back = world.ok(world.post("registrar", f"{path}/{key}/cancel", {"reason": "病人要求"}))
    assert world.post("registrar", f"/api/outpatient-billing/payment-intents/{back['intent_ids'][0]}/send").status_code == 403
    for _ in range(2):  # again does no harm: the channel gives back once
        sent = world.ok(world.post("registrar", f"{path}/{key}/send-returns"))["items"]
        assert [(i["id"], i["state"], i["amount"]) for i in sent] == [(back["intent_ids"][0], "confirmed", "20.00")]
        assert channel.net() == 0
    in_cash = register(world.person(), method="cash")
    world.ok(world.post("registrar", f"{path}/{in_cash['registration_id']}/cancel", {"reason": "病人要求"}))
    assert world.post("registrar", f"{path}/{in_cash['registration_id']}/send-returns").status_code == 404
    assert world.findings() == []


@pytest.mark.requirement("FN-07")
def test_receipt_numbers_are_granted_used_void_or_left(world: World) -> None:
    path = "/api/outpatient-billing/receipt-ranges"
    told = world.ok(world.get("finance", "/api/outpatient-billing/receipt-holders"))["items"]
    holders = {one["name"]: one["id"] for one in told}
    assert set(holders) == {"李收费", "赵收费"}
    wanted = {"holder_id": holders["赵收费"], "first": 5_000_001, "last": 5_000_100, "prefix": "B"}
    for wrong, field in (({"holder_id": world.ids["user_doctor"]}, "holder_id"), ({"last": 5_000_000}, "last"),
                         ({"last": 9_000_000}, "last"), ({"prefix": "b-1"}, "prefix"), ({"first": 0}, "first")):
        refused = world.post("finance", path, {**wanted, **wrong})
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, field)
    made = world.ok(world.post("finance", path, wanted))
    overlap = world.post("finance", path, {**wanted, "holder_id": holders["李收费"], "first": 5_000_100, "last": 5_000_200})
    assert overlap.status_code == 409 and "赵收费 的号段 B0005000001" in overlap.json["message"]
    assert world.post("cashier", path, wanted).status_code == 403

    def mine(who: str, **query: str) -> list[dict[str, Any]]:
        return world.ok(world.clients[who].get(path, query_string=query))["items"]

    world.register(world.person())
    void = world.ok(world.post("cashier", f"{path}/void-next", {"reason": "打印机卡纸"}))
    assert void == {"numbers": ["0000000002"]}
    assert world.post("cashier", f"{path}/void-next", {"reason": ""}).json["errors"][0]["field"] == "reason"
    torn = {"reason": "整叠受潮", "first": "0000000003", "count": 3}
    assert world.post("cashier", f"{path}/void-next", {**torn, "count": 101}).json["errors"][0]["field"] == "count"
    moved = world.post("cashier", f"{path}/void-next", {**torn, "first": "0000000002"})
    assert moved.status_code == 409 and "下一张票据是 0000000003" in moved.json["message"]
    assert world.ok(world.post("cashier", f"{path}/void-next", torn))["numbers"] == [f"{n:010d}" for n in (3, 4, 5)]
    [own] = mine("cashier")
    assert (own["holder"], own["used"], own["void"], own["left"], own["next_number"]) == (
        "李收费", 1, 4, 999_995, "0000000006")
    assert own["used"] + own["void"] + own["left"] == own["count"]
    spoilt, *strip = world.ok(world.get("cashier", f"{path}/{own['id']}/voids"))["items"]
    assert {one["reason"] for one in strip} == {"整叠受潮"} and len(strip) == 3
    assert (spoilt["number"], spoilt["reason"], spoilt["voided_by_name"]) == ("0000000002", "打印机卡纸", "李收费")
    assert world.ok(world.get("cashier2", f"{path}/{own['id']}/voids"))["items"] == []
    assert {one["holder"] for one in mine("cashier", holder_id=str(holders["赵收费"]))} == {"李收费"}
    seen = mine("finance")
    assert [(one["holder"], one["left"]) for one in seen] == [
        ("赵收费", 100), ("赵收费", 1_000_000), ("李收费", 999_995)]
    assert seen[0]["id"] == made["id"]
    assert [one["id"] for one in mine("finance", holder_id=str(holders["李收费"]))] == [own["id"]]
    world.register(world.person("李四"))
    assert mine("cashier")[0]["used"] == 2
    assert world.findings() == []


def test_whoever_owes_today_is_on_the_cashiers_list_until_he_pays(world: World, clock: ManualClock) -> None:
    path = "/api/outpatient-billing/owing"
    first, second = world.person("张小明"), world.person("李小红")
    for person in (first, second):
        visit = world.encounter(world.register(person))
        clock.move(seconds=1)
        world.prescribe(visit, "24")
        world.request(visit)
    listed = world.ok(world.get("cashier", path))
    assert [(row["id"], row["name"], row["lines"], row["total"]) for row in listed["items"]] == [
        (second, "李**", 2, "84.55"), (first, "张**", 2, "84.55")]
    world.ok(world.pay_all(second))
    assert [row["id"] for row in world.ok(world.get("cashier", path))["items"]] == [first]
    clock.move(days=1)
    world.sign_in_again()
    assert world.ok(world.get("cashier", path))["items"] == []
    assert world.get("doctor", path).status_code == 403


@pytest.mark.requirement("FN-10")
def test_one_setting_says_from_how_much_a_refund_needs_a_second_person(world: World) -> None:
    world.app.extensions["his_module_settings"]["kernel.charging"] = Settings(refund_approval_from="60.55")  # type: ignore[arg-type]
    person = world.person()
    world.request(world.encounter(world.register(person)), "2")
    settled = world.ok(world.pay_all(person))
    line = world.settlement(settled["id"])["lines"][0]["id"]
    assert [world.ok(_preview(world, settled["id"], {line: quantity}))["approval"] for quantity in ("1", "2")] == [
        "needed", "needed"]
    refused = world.post("cashier", f"/api/outpatient-billing/settlements/{settled['id']}/refunds", {
        "lines": [{"line_id": line, "quantity": "1"}], "reason": "病人要求"})
    assert refused.status_code in (403, 409)
    world.app.extensions["his_module_settings"]["kernel.charging"] = Settings()
    assert world.ok(_preview(world, settled["id"], {line: "2"}))["approval"] == "not_needed"


def test_registrations_by_the_hour(world: World, clock: ManualClock) -> None:
    for minutes in (0, 20, 25):
        clock.move(minutes=minutes)
        world.register(world.person())
    world.sign_in_again()
    found = world.ok(world.get("finance", "/api/reports/registrations-by-hour?from=2026-03-02&to=2026-03-03"))
    assert [(row["hour"], row["made"], row["average"]) for row in found["rows"]] == [
        ("08:00–09:00", 2, "1"), ("09:00–10:00", 1, "0.5")]
    assert found["chart"]["category"] == "hour"
