"""The controlled-drug book, empties, destruction of paper, shelves, and searching in every way (RX-07, RX-09, M7.4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient

from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.db import today
from his_server.http import Route
from his_server.registry import Hospital
from modules.kernel.masterdata.models import Drug, drug_search
from modules.kernel.stock import service as stock
from modules.kernel.stock.service import Document, Receipt
from modules.outpatient_pharmacy import rules
from tests.factories.hospital import World
from tests.modules.outpatient_pharmacy.helping import PHARMACY, act, paid, stock_drug


def narcotic(world: World) -> dict[str, Any]:
    """A handed-out controlled drug, four eyes."""
    if "calm" not in world.ids:
        stock_drug(world, "地西泮片", "calm", control="精二", base_unit="片", pack_size=24)
    made = paid(world, "24", drug="calm", name="李桂英")
    world.ok(act(world, made, "pick"))
    world.ok(act(world, made, "dispense", who="pharmacist2"))
    return made


def book(world: World, drug: str = "calm", start: str = "2026-03-01", end: str = "2026-03-31") -> dict[str, Any]:
    return world.ok(world.get("pharmacist", f"{PHARMACY}/book?store_id={world.ids['store']}&drug_id={world.ids[drug]}"
                                            f"&from={start}&to={end}"))


def empties(world: World, made: dict[str, Any], **values: Any) -> Any:
    return world.post("pharmacist", f"{PHARMACY}/book/empties", {
        "line_id": made["lines"][0]["id"], "kind": "ampoule", "quantity": "10", "brought_by": "王护士",
        "witness": "吴药师", **values})


@pytest.mark.requirement("RX-09")
def test_the_book_closes_and_names_batch_patient_and_hands(world: World, clock: ManualClock) -> None:
    made = narcotic(world)
    back = act(world, made, "returns", {"lines": [{"line_id": made["lines"][0]["id"], "quantity": "24"}],
                                        "reason": "停药"})
    assert back.status_code == 201
    narcotic(world)
    found = book(world)
    assert [(r["document"], r["incoming"], r["outgoing"], r["balance"], r["lot_no"]) for r in found["items"]] == [
        ("入库", "1200.0000", None, "1200.0000", "N1"), ("发药", None, "24.0000", "1176.0000", "N1"),
        ("退药", "24.0000", None, "1200.0000", "N1"), ("发药", None, "24.0000", "1176.0000", "N1")]
    out = found["items"][1]
    assert (out["number"], out["patient"], out["dispenser"], out["checker"]) == (made["number"], "李桂英", "周药师", "吴药师")
    assert (found["opening"], found["closing"]) == ("0.0000", "1176.0000")
    clock.move(days=1)
    world.sign_in_again()
    later = book(world, start="2026-03-03")
    assert (later["items"], later["opening"], later["closing"]) == ([], "1176.0000", "1176.0000")
    with world.db.begin() as session:  # what else comes in is in the book by itself
        session.info["actor"] = SYSTEM
        stock.receive(session, SYSTEM, world.ids["store"], [
            Receipt(world.ids["calm"], "N2", today(session) + timedelta(days=99), Decimal(20), Decimal(48), None, 24)],
            Document("stock_in", 7))
    assert [(r["lot_no"], r["batch_balance"], r["balance"]) for r in book(world, start="2026-03-03")["items"]] == [
        ("N2", "48.0000", "1224.0000")]


@pytest.mark.requirement("RX-09")
def test_empties_come_back_against_their_batch_with_a_witness_and_no_more_than_went_out(world: World) -> None:
    made = narcotic(world)
    assert empties(world, made, witness="周药师").json["errors"][0]["field"] == "witness"
    world.ok(empties(world, made))
    assert empties(world, made, quantity="15").json["code"] == "pharmacy.empties_excess"
    world.ok(empties(world, made, quantity="14"))
    world.ok(empties(world, made, kind="residue", quantity="0.25"))
    row = book(world)["items"][1]
    assert row["empties_due"] == "0.0000"
    assert "空安瓿 10（周药师/吴药师）" in row["empties"] and "残余液 0.25" in row["empties"]
    plain = paid(world)
    world.ok(act(world, plain, "review", {"note": "可以"}))
    world.ok(act(world, plain, "dispense"))
    assert empties(world, plain).json["code"] == "pharmacy.not_controlled"


def test_only_controlled_drugs_have_a_book(world: World) -> None:
    narcotic(world)
    listed = world.ok(world.get("pharmacist", f"{PHARMACY}/book/drugs?store_id={world.ids['store']}"))["items"]
    assert [(d["name"], d["on_hand"]) for d in listed] == [("地西泮片", "1176.0000")]
    wrong = world.get("pharmacist", f"{PHARMACY}/book?store_id={world.ids['store']}&drug_id={world.ids['drug']}"
                                    "&from=2026-03-01&to=2026-03-31")
    assert wrong.status_code == 422


@pytest.mark.requirement("R7")
def test_no_list_of_the_pharmacies_joins_doctor_drug_and_quantity(world: World, hospital: Hospital) -> None:
    """Lists over drugs name no doctor, lists over prescriptions no quantity; only one prescription has both."""
    made = narcotic(world)
    assert made["doctor_name"] not in str(book(world))
    joined = []

    def names(schema: Any, seen: int = 0) -> set[str]:
        if schema is None or seen > 4 or not hasattr(schema, "_declared_fields"):
            return set()
        found = set(schema._declared_fields)
        for field in schema._declared_fields.values():
            inner = getattr(getattr(field, "inner", field), "nested", None)
            found |= names(inner, seen + 1)
        return found

    routes: list[Route] = [r for r in hospital.routes if r.tag == "outpatient_pharmacy" and r.method == "GET"]
    assert len(routes) > 10
    for route in routes:
        found = names(route.out)
        doctor, drug = bool({"doctor_name", "doctor_id", "doctor"} & found), bool({"drug_id", "drugs", "drug"} & found)
        if doctor and drug and "quantity" in found:
            joined.append(route.rule)
    assert joined == ["/api/outpatient-pharmacy/prescriptions/<int:prescription_id>"]


# ---- RX-07


@pytest.mark.requirement("RX-07")
@pytest.mark.parametrize(("kind", "years"), [("普通", 1), ("急诊", 1), ("儿科", 1), ("毒性", 2), ("精二", 2), ("麻精一", 3)])
def test_paper_is_not_destroyed_before_its_years(world: World, kind: str, years: int) -> None:
    edge = date(2026 - years, 3, 2)
    body = {"kind": kind, "approved_by": "院长", "witness": "保卫科"}
    early = world.post("pharmacist", f"{PHARMACY}/destructions", {**body, "until": str(edge + timedelta(days=1))})
    assert (early.status_code, early.json["code"]) == (409, "pharmacy.keep_longer")
    assert str(edge) in early.json["message"]
    done = world.ok(world.post("pharmacist", f"{PHARMACY}/destructions", {**body, "until": str(edge)}))
    assert (done["prescriptions"], done["until_day"]) == (0, str(edge))
    again = world.post("pharmacist", f"{PHARMACY}/destructions", {**body, "until": str(edge)})
    assert again.json["code"] == "pharmacy.destroyed"
    assert world.ok(world.get("pharmacist", f"{PHARMACY}/destructions"))["allowed"][kind] == str(edge)


@pytest.mark.requirement("RX-07")
def test_a_prescriptions_years_count_from_its_day(world: World, clock: ManualClock, sign_in: Callable[..., FlaskClient]
                                                  ) -> None:
    made = paid(world)
    world.ok(act(world, made, "dispense"))
    clock.move(days=364)
    world.clients["pharmacist"] = sign_in("pharmacist")
    body = {"kind": "普通", "approved_by": "院长", "witness": "保卫科", "until": "2026-03-02"}
    assert world.post("pharmacist", f"{PHARMACY}/destructions", body).status_code == 409
    clock.move(days=1)
    world.clients["pharmacist"] = sign_in("pharmacist")
    assert world.ok(world.post("pharmacist", f"{PHARMACY}/destructions", body))["prescriptions"] == 1
    assert act(world, made, "print").status_code == 200  # the electronic record stays


def test_leap_days_keep_their_years() -> None:
    assert rules.kept_until("普通", date(2024, 2, 29)) == date(2025, 3, 1)
    assert rules.destroyable_until("精二", date(2028, 2, 29)) == date(2026, 2, 28)


# ---- M7.4


@pytest.mark.requirement("M7.4")
@pytest.mark.parametrize("typed", ["地西泮", "西泮", "dxpp", "dixipanpian", "fsih", "CODE", "安定"])
def test_every_search_of_the_pharmacy_finds_by_every_key(world: World, typed: str) -> None:
    """Name, part, initials, full pinyin, wubi, code, alias: stock, shelves and the book alike."""
    from his_server.search import search_keys, store_keys
    from his_server.search.wubi import phrase_code

    narcotic(world)
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        drug = session.get(Drug, world.ids["calm"])
        assert drug is not None
        drug.aliases = "安定"
        store_keys(session, drug_search, drug.id, search_keys(drug.name, person=False, code=drug.code, aliases=["安定"]))
        typed = {"CODE": drug.code, "fsih": (phrase_code("地西泮片") or "").lower()}.get(typed, typed)
    assert typed
    store = world.ids["store"]
    for path, key in ((f"/api/stock/batches?store_id={store}", "drug_id"), (f"{PHARMACY}/locations?store_id={store}", "drug_id"),
                      (f"{PHARMACY}/book/drugs?store_id={store}", "id")):
        found = world.ok(world.get("pharmacist", f"{path}&q={typed}"))["items"]
        assert world.ids["calm"] in {row[key] for row in found}, (path, typed)


@pytest.mark.requirement("M7.3")
def test_the_picking_list_walks_along_the_shelves(world: World) -> None:
    from tests.reading import pdf_text

    person = world.person()
    line = {"dose": "0.5", "usage": "口服", "frequency": "tid", "days": 4}
    made = world.ok(world.post("doctor", "/api/orders/prescriptions", {
        "encounter_id": world.encounter(world.register(person)), "diagnosis": "急性支气管炎",
        "lines": [{**line, "drug_id": world.ids["drug"], "quantity": "24"},
                  {**line, "drug_id": world.ids["pill"], "quantity": "3"}]}))
    world.ok(world.pay_all(person))
    put = world.clients["pharmacist"].put(f"{PHARMACY}/locations", json={"store_id": world.ids["store"], "items": [
        {"drug_id": world.ids["drug"], "shelf": "B02-1"}, {"drug_id": world.ids["pill"], "shelf": "A01-1"}]})
    assert put.json == {"set": 2}
    text = pdf_text(act(world, made, "print").data)
    assert text.index("A01-1") < text.index("B02-1")
    left = world.ok(world.get("pharmacist", f"{PHARMACY}/locations?store_id={world.ids['store']}&missing=true"))["items"]
    assert {row["name"] for row in left} == {"异烟肼片"}
