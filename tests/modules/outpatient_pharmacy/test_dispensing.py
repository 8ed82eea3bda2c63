"""The dispensing window through the API: queue, lots, races, slip, what comes back, stock."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from his_server.actor import SYSTEM
from his_server.db import today
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import StockBalance
from modules.kernel.stock.service import Document, Receipt
from tests.counting import QueryCount
from tests.factories.hospital import World
from tests.factories.security import signed_in_client
from tests.reading import pdf_text
from tests.threads import at_once

PHARMACY = "/api/outpatient-pharmacy"
MOST = 22


def paid(world: World, quantity: str = "24", drug: str = "drug", name: str = "张小明", **more: Any) -> dict[str, Any]:
    """A paid prescription; ``settled`` is what paid it."""
    person = world.person(name)
    made = world.prescribe(world.encounter(world.register(person)), quantity, drug=drug, **more)
    return {**made, "settled": world.ok(world.pay_all(person))}


def look(world: World, made: dict[str, Any]) -> dict[str, Any]:
    """A prescription as the pharmacist sees it."""
    return world.ok(world.get("pharmacist", f"{PHARMACY}/prescriptions/{made['id']}"))


def dispense(world: World, made: dict[str, Any], who: str = "pharmacist", **more: Any) -> Any:
    """Hand it out."""
    return world.post(who, f"{PHARMACY}/prescriptions/{made['id']}/dispense", **more)


def give_back(world: World, made: dict[str, Any], quantity: str, who: str = "pharmacist", line: int | None = None) -> Any:
    """Take back of the first line, or of ``line``."""
    return world.post(who, f"{PHARMACY}/prescriptions/{made['id']}/returns", {
        "lines": [{"line_id": line or made["lines"][0]["id"], "quantity": quantity}], "reason": "药物过敏"})


def queue(world: World, state: str = "charged", store: str = "store") -> dict[str, Any]:
    """The queue of a store."""
    return world.ok(world.get("pharmacist", f"{PHARMACY}/queue?store_id={world.ids[store]}&state={state}"))


def balances(world: World, drug: str, store: str = "store") -> list[tuple[Decimal, Decimal]]:
    """On hand and reserved per batch, earliest expiry first."""
    with world.db.begin(write=False) as session:
        return [(b.on_hand, b.reserved) for b in session.scalars(
            select(StockBalance).where(StockBalance.store_id == world.ids[store], StockBalance.drug_id == world.ids[drug])
            .order_by(StockBalance.expiry))]


def test_the_queue_is_in_order_of_payment_and_empties_itself(world: World) -> None:
    first, second = paid(world, name="张小明"), paid(world, name="欧阳䶮")
    waiting = queue(world)
    assert [p["id"] for p in waiting["items"]] == [first["id"], second["id"]]
    assert waiting["counts"] == {"charged": 2, "review": 2, "ready": 0, "dispensed": 0}
    assert "䶮" not in waiting["items"][1]["name"]  # the list that stands open on the desk is masked
    assert world.ok(dispense(world, first))["state"] == "dispensed"
    assert [p["id"] for p in queue(world)["items"]] == [second["id"]]
    done = queue(world, "dispensed")
    assert [p["id"] for p in done["items"]] == [first["id"]]
    assert done["counts"] == {"charged": 1, "review": 1, "ready": 0, "dispensed": 1}


@pytest.mark.requirement("M7.3", "M7.8")
def test_a_store_sees_its_own_prescriptions_only(world: World) -> None:
    paid(world)
    assert queue(world, store="emergency_store")["items"] == []


def test_an_unpaid_prescription_is_not_in_the_queue_and_cannot_be_dispensed(world: World) -> None:
    made = world.prescribe(world.encounter(world.register(world.person())))
    assert queue(world)["items"] == []
    refused = dispense(world, made)
    assert refused.status_code == 409
    assert "待收费" in refused.json["message"]
    assert give_back(world, made, "24").status_code == 404
    assert world.findings() == []


@pytest.mark.requirement("M7.3", "RX-11")
def test_lots_are_taken_earliest_expiry_first_and_shown_in_packs(world: World) -> None:
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        day = today(session)
        stock.receive(session, SYSTEM, world.ids["store"], [
            Receipt(world.ids["drug"], "SOON", day + timedelta(days=20), Decimal("0.5"), Decimal(30)),
            Receipt(world.ids["drug"], "GONE", day, Decimal("0.5"), Decimal(500))], Document("stock_in", 2))
    made = paid(world, "49")
    line = look(world, made)["lines"][0]
    assert line["quantity_text"] == "2盒1粒"
    assert [(b["lot_no"], b["quantity_text"]) for b in line["batches"]] == [("SOON", "1盒6粒"), ("L1", "19粒")]
    world.ok(dispense(world, made))
    given = look(world, made)["lines"][0]["batches"]
    assert [(b["lot_no"], b["quantity"], b["returned"]) for b in given] == [("SOON", "30.0000", False), ("L1", "19.0000", False)]
    assert balances(world, "drug") == [(500, 0), (0, 0), (1200 - 19, 0), (1200, 0)]  # GONE, SOON, L1, L2
    assert world.findings() == []


@pytest.mark.requirement("M8.4", "RX-12")
def test_of_two_pharmacists_one_hands_out_and_the_other_is_told_who(world: World) -> None:
    for _ in range(3):
        made = paid(world)
        before = balances(world, "drug")
        answers = at_once(lambda m=made: dispense(world, m), lambda m=made: dispense(world, m, "pharmacist2"))
        assert sorted(a.status_code for a in answers) == [200, 409]
        winner = "周药师" if answers[0].status_code == 200 else "吴药师"
        told = next(a for a in answers if a.status_code == 409).json
        assert told["code"] == "orders.state"
        assert winner in told["message"]
        assert "已发药" in told["message"]
        assert sum(h for h, _ in before) - sum(h for h, _ in balances(world, "drug")) == 24
    assert world.findings() == []


@pytest.mark.requirement("M8.4", "RX-12")
def test_of_dispensing_and_refunding_at_once_exactly_one_happens(world: World) -> None:
    for _ in range(3):
        made = paid(world)
        line = world.settlement(made["settled"]["id"])["lines"][0]["id"]
        path = f"/api/outpatient-billing/settlements/{made['settled']['id']}/refunds"
        handed, refunded = at_once(
            lambda m=made: dispense(world, m).status_code,
            lambda p=path, n=line: world.post("cashier", p, {"lines": [{"line_id": n, "quantity": "1"}],
                                                           "reason": "病人要求"}).status_code)
        assert sorted([handed < 300, refunded < 300]) == [False, True]
        assert look(world, made)["state"] == ("dispensed" if handed < 300 else "refunded")
    assert world.findings() == []


@pytest.mark.requirement("M8.4")
def test_the_last_packs_are_sold_once(world: World) -> None:
    makers = []
    for name in ("张小明", "李桂英"):
        person = world.person(name)
        world.prescribe(world.encounter(world.register(person)), "1400")
        owed = world.unpaid(person)
        makers.append({"person_id": person, "line_ids": [line["id"] for line in owed["lines"]],
                       "payments": [{"method": "cash", "covers": owed["total"]}], "expected_total": owed["total"]})
    answers = at_once(*(lambda w=who, b=body: world.post(w, "/api/outpatient-billing/settlements", b)
                        for who, body in zip(("cashier", "cashier2"), makers, strict=True)))
    assert sorted(a.status_code for a in answers) == [201, 409]
    assert next(a for a in answers if a.status_code == 409).json["code"] == "stock.short"
    assert world.findings() == []


@pytest.mark.requirement("M1.7", "M7.2")
def test_dispensing_twice_with_one_key_is_one_dispensing(world: World) -> None:
    made = paid(world)
    first = dispense(world, made, key="same-key-0001")
    again = dispense(world, made, key="same-key-0001")
    assert first.status_code == again.status_code == 200
    assert first.json == again.json
    assert sum(h for h, _ in balances(world, "drug")) == 2400 - 24
    assert world.findings() == []


@pytest.mark.requirement("M1.6")
def test_the_slip_names_patient_drug_lot_and_allergy_and_marks_the_reprint(world: World) -> None:
    made = paid(world, "49", name="欧阳䶮", note="饭后")
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        from modules.kernel.patients.models import Person

        person = session.get(Person, made["person_id"])
        assert person is not None
        person.allergies = "青霉素"
    path = f"{PHARMACY}/prescriptions/{made['id']}/print"
    before = pdf_text(world.post("pharmacist", path).data)
    for text in ("发药单", "欧阳䶮", made["number"], "阿莫西林胶囊", "2盒1粒", "L1", "青霉素", "每次0.5g tid 共4日 饭后"):
        assert text in before, text
    assert "补打" not in before
    world.ok(dispense(world, made))
    after = pdf_text(world.post("pharmacist", path).data)
    assert "补打" in after
    assert "周药师" in after
    assert world.post("cashier", path).status_code == 403
    assert world.post("pharmacist", f"{PHARMACY}/prescriptions/77/print").status_code == 404


def test_a_scanned_number_finds_its_prescription(world: World) -> None:
    made = paid(world)
    assert world.ok(world.get("pharmacist", f"{PHARMACY}/prescriptions?number={made['number']}")) == {"id": made["id"]}
    unknown = world.get("pharmacist", f"{PHARMACY}/prescriptions?number=CF0")
    assert unknown.status_code == 404
    assert "处方号" in unknown.json["message"]


def test_the_live_topic_changes_when_somebody_pays(world: World) -> None:
    from modules.outpatient_pharmacy.queries import queue_state

    def state(store: str) -> dict[str, Any]:
        with world.db.begin(write=False) as session:
            return queue_state(session, SYSTEM, {"store": str(world.ids[store])})

    assert state("store") == {"waiting": 0, "newest": None, "calls": 0}
    made = paid(world)
    assert state("store")["waiting"] == 1
    assert state("emergency_store")["waiting"] == 0
    world.ok(dispense(world, made))
    assert state("store")["waiting"] == 0
    with world.db.begin(write=False) as session:
        for odd in ("²", "9" * 40, "-1", "x", ""):
            assert queue_state(session, SYSTEM, {"store": odd})["waiting"] == 0


# ---- what comes back


@pytest.mark.requirement("M7.3", "FN-04")
def test_a_partial_return_goes_back_into_its_own_lots_and_opens_the_refund(world: World) -> None:
    made = paid(world, "1224")  # 1200 of the first lot, 24 of the second
    world.ok(dispense(world, made))
    drug = world.settlement(made["settled"]["id"])["lines"][0]
    assert Decimal(drug["refundable"]) == 0
    answer = give_back(world, made, "48")
    assert answer.status_code == 201
    assert answer.json["number"].startswith("TY")
    line = look(world, made)["lines"][0]
    assert (line["returnable_units"], line["returnable_text"], line["returnable"]) == ("49.0000", "49盒", "1176.0000")
    returned = [(b["lot_no"], b["quantity"]) for b in line["batches"] if b["returned"]]
    assert sorted(returned) == [("L1", "-24.0000"), ("L2", "-24.0000")]  # the latest expiry first
    assert balances(world, "drug") == [(24, 0), (1200, 0)]
    assert Decimal(world.settlement(made["settled"]["id"])["lines"][0]["refundable"]) == 2
    assert world.findings() == []


@pytest.mark.parametrize(("quantity", "status", "code"), [
    ("25", 422, "pharmacy.return_quantity"), ("0.5", 422, "pharmacy.return_quantity"), ("0", 422, "input.invalid"),
    ("72", 409, "pharmacy.return_excess"), ("48", 201, None)])
def test_whole_packs_and_no_more_than_was_handed_out(world: World, quantity: str, status: int, code: str | None) -> None:
    made = paid(world, "48")
    world.ok(dispense(world, made))
    answer = give_back(world, made, quantity)
    assert answer.status_code == status, answer.json
    if code and status != 422:
        assert answer.json["code"] == code
    assert sum(h for h, _ in balances(world, "drug")) == (2400 if status == 201 else 2400 - 48)
    assert world.findings() == []


def test_what_was_charged_singly_comes_back_singly(world: World) -> None:
    made = paid(world, "10", drug="pill", dose="30")
    world.ok(dispense(world, made))
    assert give_back(world, made, "1").status_code == 201
    assert look(world, made)["lines"][0]["returnable_text"] == "3盒"
    assert world.findings() == []


def test_a_line_of_another_prescription_is_refused(world: World) -> None:
    made, other = paid(world), paid(world)
    world.ok(dispense(world, made))
    refused = give_back(world, made, "24", line=other["lines"][0]["id"])
    assert refused.status_code == 422
    assert refused.json["code"] == "pharmacy.return_lines"


@pytest.mark.requirement("M8.4")
def test_of_two_returns_at_once_only_what_was_handed_out_comes_back(world: World) -> None:
    made = paid(world)
    world.ok(dispense(world, made))
    answers = at_once(lambda: give_back(world, made, "24"), lambda: give_back(world, made, "24", "pharmacist2"))
    assert sorted(a.status_code for a in answers) == [201, 409]
    assert sum(h for h, _ in balances(world, "drug")) == 2400
    assert world.findings() == []


def test_dispensed_prescriptions_are_found_by_number_or_person(world: World) -> None:
    waiting, made = paid(world), paid(world, name="欧阳䶮")
    world.ok(dispense(world, made))
    by_number = world.ok(world.get("pharmacist", f"{PHARMACY}/dispensed?number={made['number']}"))["items"]
    assert [(p["id"], p["name"]) for p in by_number] == [(made["id"], "欧阳䶮")]
    assert world.ok(world.get("pharmacist", f"{PHARMACY}/dispensed?number={waiting['number']}"))["items"] == []
    by_person = world.ok(world.get("pharmacist", f"{PHARMACY}/dispensed?person_id={made['person_id']}"))["items"]
    assert [p["id"] for p in by_person] == [made["id"]]
    for query in ("", "?number=CF1&person_id=1"):
        assert world.get("pharmacist", f"{PHARMACY}/dispensed{query}").status_code == 422


# ---- stock


@pytest.mark.requirement("M7.4")
def test_stock_is_shown_in_packs_with_what_is_held_for_whom_has_paid(world: World) -> None:
    paid(world, "25")
    path = f"/api/stock/batches?store_id={world.ids['store']}"
    for typed in ("阿莫西林", "amxl", "胶囊"):
        found = world.ok(world.get("pharmacist", f"{path}&q={typed}"))
        assert found["next"] is None
        assert [(b["lot_no"], b["on_hand_text"], b["reserved_text"], b["free_text"], b["days_left"]) for b in found["items"]
                ] == [("L1", "50盒", "1盒1粒", "48盒23粒", 100), ("L2", "50盒", "", "50盒", 200)]
        assert found["items"][0]["pack_cost"] == "12.0000"
    assert world.ok(world.get("pharmacist", f"{path}&q=没有这个药"))["items"] == []


@pytest.mark.parametrize(("days", "lots"), [(0, 0), (99, 0), (100, 3), (200, 6)])
def test_what_expires_soon_can_be_picked_out(world: World, days: int, lots: int) -> None:
    found = world.ok(world.get("pharmacist", f"/api/stock/batches?store_id={world.ids['store']}&within_days={days}"))
    assert len(found["items"]) == lots


def test_the_warehouse_sees_stock_but_does_not_dispense(world: World) -> None:
    made = paid(world)
    world.clients["warehouse"] = signed_in_client(world.app, world.db, "warehouse")
    stores = world.ok(world.get("warehouse", f"{PHARMACY}/stores"))["items"]
    assert {s["name"] for s in stores} == {"门诊药房", "急诊药房"}
    assert world.get("warehouse", f"/api/stock/batches?store_id={world.ids['store']}").status_code == 200
    assert dispense(world, made, "warehouse").status_code == 403
    assert world.get("warehouse", f"{PHARMACY}/queue?store_id={world.ids['store']}").status_code == 403


# ---- pages


@pytest.mark.parametrize("path", [
    "/stores", "/queue?store_id={store}", "/queue?store_id={store}&state=dispensed", "/prescriptions?number={number}",
    "/prescriptions/{id}", "/dispensed?person_id={person_id}"])
def test_reads_need_few_statements(world: World, query_counter: Callable[[], AbstractContextManager[QueryCount]],
                                   path: str) -> None:
    counts = []
    for _ in range(2):  # as many statements for few rows as for more
        for _ in range(2):
            made = paid(world, "25")
            world.ok(dispense(world, paid(world, "25")))
        address = PHARMACY + path.format(**{**world.ids, **made})
        world.ok(world.get("pharmacist", address))
        with query_counter() as count:
            world.ok(world.get("pharmacist", address))
        counts.append(count.total)
    assert counts[0] == counts[1] <= MOST
