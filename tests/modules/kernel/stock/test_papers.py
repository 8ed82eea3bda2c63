"""Stock papers through the API: drafted, warned of, confirmed once, in balance at both ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from his_server.actor import SYSTEM, Actor
from his_server.errors import Conflict
from modules.kernel.masterdata.models import Drug
from modules.kernel.stock.service import documents, transfers
from tests.modules.kernel.stock.conftest import House
from tests.processes import Place, place_of, run_all

CODE = "81234567890123456789"


def paper(house: House, kind: str, lines: list[dict[str, Any]], who: str = "keeper", **more: Any) -> dict[str, Any]:
    """A drafted paper of the warehouse."""
    purposes = {"stock_in": "赠送入库", "stock_out": "科室领用", "loss": "破损", "adjust": "账实不符", "transfer": "调拨",
                "requisition": "日常请领"}
    body = {"kind": kind, "store_id": house.ids["warehouse"], "purpose": purposes[kind], "reason": "核对实物后登记",
            "lines": lines, **more}
    found: dict[str, Any] = house.ok(house.post(who, "stock/papers", body))
    return found


def test_stock_in_moves_only_when_confirmed_and_once(house: House) -> None:
    made = paper(house, "stock_in", [{"drug_id": house.ids["drug"], "lot_no": "C3", "expiry": "2027-12-31",
                                      "pack_cost": "8.8888", "quantity": "48", "codes": [CODE]}])
    assert made["amount"] == "17.78" and ("C3", "2盒") not in house.stock("warehouse")
    path = f"stock/papers/{made['id']}/confirm"
    for boxes in ([], [CODE[:-1] + "0"]):  # nobody knows the code: a person looks whether it is a box's
        asked = house.refused(house.post("keeper", path, {"boxes": boxes}), 409, "trace.uncollected")
        assert [e["message"] for e in asked["errors"]] == [CODE] and ("C3", "2盒") not in house.stock("warehouse")
    house.ok(house.post("keeper", path, {"boxes": [CODE]}))
    assert ("C3", "2盒") in house.stock("warehouse")
    house.refused(house.post("keeper2", path), 409, "stock.document_state")
    life = house.ok(house.get("keeper", "stock/trace-codes", code=CODE))
    assert (life["state_name"], life["lot_no"], life["store_name"]) == ("在库", "C3", "药库")
    assert house.findings() == []


@pytest.mark.requirement("M7.7")
def test_stopped_and_prohibited_drugs_are_named_before_confirming(house: House) -> None:
    with house.db.begin() as session:
        session.info["actor"] = SYSTEM
        session.get_one(Drug, house.ids["drug"]).active = False
    house.ok(house.post("keeper", "drug-warehouse/notices", {
        "kind": "prohibition", "drug_id": house.ids["narcotic"], "reason": "质量召回"}))
    made = paper(house, "stock_in", [
        {"drug_id": house.ids["drug"], "lot_no": "C3", "expiry": "2027-12-31", "pack_cost": "8", "quantity": "24"},
        {"drug_id": house.ids["narcotic"], "lot_no": "C4", "expiry": "2027-12-31", "pack_cost": "8", "quantity": "10"}])
    assert [line["warnings"] for line in made["lines"]] == [["药品已停用"], ["禁药通知：质量召回"]]
    path = f"stock/papers/{made['id']}/confirm"
    refused = house.refused(house.post("keeper2", path), 409, "stock.flagged")
    assert {e["field"]: e["message"] for e in refused["errors"]} == {
        "lines.0.drug_id": "药品已停用", "lines.1.drug_id": "禁药通知：质量召回"}
    assert ("C3", "1盒") not in house.stock("warehouse")
    house.ok(house.post("keeper2", path, {"acknowledged": True}))
    assert ("C3", "1盒") in house.stock("warehouse")


def test_loss_names_its_reason_and_a_controlled_drug_needs_a_second_person(house: House) -> None:
    line = {"batch_id": house.ids["N1"], "quantity": "10"}
    answer = house.post("keeper", "stock/papers", {"kind": "loss", "store_id": house.ids["warehouse"], "purpose": "破损",
                                                   "reason": "", "lines": [line]})
    house.refused(answer, 422, "stock.reason")
    made = paper(house, "loss", [line])
    path = f"stock/papers/{made['id']}/confirm"
    house.refused(house.post("keeper", path), 409, "stock.second_person")
    house.ok(house.post("keeper2", path))
    assert house.stock("warehouse", "narcotic") == [("N1", "4盒"), ("N2", "5盒")]
    ordinary = paper(house, "loss", [{"batch_id": house.ids["A1"], "quantity": "24"}])
    house.ok(house.post("keeper", f"stock/papers/{ordinary['id']}/confirm"))
    too_much = paper(house, "loss", [{"batch_id": house.ids["A1"], "quantity": "2400"}])
    house.refused(house.post("keeper", f"stock/papers/{too_much['id']}/confirm"), 409, "stock.short")
    assert house.stock("warehouse") == [("A1", "9盒"), ("B2", "10盒")]
    assert house.findings() == []


@pytest.mark.requirement("TC-07")
def test_requisition_is_picked_sent_and_received_with_what_is_on_its_way_in_sight(house: House) -> None:
    code = paper(house, "stock_in", [{"drug_id": house.ids["drug"], "lot_no": "A0", "expiry": "2026-08-01",
                                      "pack_cost": "10", "quantity": "24", "codes": [CODE]}])
    house.ok(house.post("keeper", f"stock/papers/{code['id']}/confirm", {"boxes": [CODE]}))
    asked = paper(house, "requisition", [{"drug_id": house.ids["drug"], "quantity": "288"}], "pharmacist",
                  store_id=house.ids["pharmacy"], other_store_id=house.ids["warehouse"])
    house.ok(house.post("pharmacist", f"stock/papers/{asked['id']}/submit"))
    assert house.post("pharmacist", f"stock/papers/{asked['id']}/approve").status_code == 403
    waiting = house.ok(house.get("keeper", "stock/papers", store_id=house.ids["warehouse"], incoming=True))["items"]
    assert [(p["number"], p["state_name"]) for p in waiting] == [(asked["number"], "已提交")]
    sent = house.ok(house.post("keeper", f"stock/papers/{asked['id']}/approve"))
    picked = [(line["lot_no"], line["quantity_text"]) for line in sent["lines"]]
    assert picked == [("A0", "1盒"), ("A1", "10盒"), ("B2", "1盒")]
    lines = [{"batch_id": line["batch_id"], "quantity": line["quantity"],
              "codes": [CODE] if line["lot_no"] == "A0" else []} for line in sent["lines"]]
    changed = house.clients["keeper"].put(f"/api/stock/papers/{sent['id']}", json={"revision": 1, "lines": lines})
    assert house.ok(changed)["revision"] == 2
    stale = house.clients["keeper2"].put(f"/api/stock/papers/{sent['id']}", json={"revision": 1, "lines": lines})
    house.refused(stale, 409, "stock.document_state")
    house.ok(house.post("keeper", f"stock/papers/{sent['id']}/ship"))
    assert house.stock("warehouse") == [("B2", "9盒")] and house.stock("pharmacy") == []
    assert house.ok(house.get("keeper", "stock/trace-codes", code=CODE))["state_name"] == "调拨途中"
    way = house.ok(house.get("pharmacist", "stock/papers", store_id=house.ids["pharmacy"], incoming=True, state="shipped"))
    assert [p["number"] for p in way["items"]] == [sent["number"]]
    assert house.findings() == []
    found = house.ok(house.get("pharmacist", f"stock/papers/{sent['id']}"))
    part = [{"line_id": found["lines"][1]["id"], "quantity": "216"}]
    too_many = [{"line_id": found["lines"][1]["id"], "quantity": "241"}]
    house.refused(house.post("pharmacist", f"stock/papers/{sent['id']}/receive", {"lines": too_many}), 422, "stock.received")
    house.ok(house.post("pharmacist", f"stock/papers/{sent['id']}/receive", {"lines": part}))
    assert house.stock("pharmacy") == [("A0", "1盒"), ("A1", "9盒"), ("B2", "1盒")]
    assert house.stock("warehouse") == [("A1", "1盒"), ("B2", "9盒")]  # what was not taken in went back
    life = house.ok(house.get("keeper", "stock/trace-codes", code=CODE))
    assert (life["state_name"], life["store_name"]) == ("在库", "门诊药房")
    assert [m["act_name"] for m in life["moves"]] == ["调拨接收", "调拨发出", "入库采集"]
    house.refused(house.post("pharmacist", f"stock/papers/{sent['id']}/receive"), 409, "stock.document_state")
    assert house.findings() == []


def test_near_expiry_goes_back_to_the_warehouse(house: House) -> None:
    proposal = house.ok(house.get("keeper", "stock/return-proposal", store_id=house.ids["warehouse"], within_days=300))
    assert [line["batch_id"] for line in proposal["items"]] == [house.ids["A1"]]


def _receive(place: Place, actor: Actor, transfer: int) -> str:
    database = place.open()
    try:
        with database.begin() as session:
            session.info["actor"] = actor
            transfers.receive(session, actor, transfer)
        return "done"
    except Conflict as refused:
        return refused.code
    finally:
        database.dispose()


def test_four_receivers_of_one_transfer(house: House, keys_dir: Path, actor: Actor) -> None:
    with house.db.begin() as session:
        session.info["actor"] = actor
        made = documents.draft(session, actor, kind="transfer", store_id=house.ids["warehouse"], purpose="调拨",
                               other_store_id=house.ids["pharmacy"],
                               lines=[{"batch_id": house.ids["A1"], "quantity": 240}]).id
        transfers.ship(session, actor, made)
    results = run_all(_receive, [(place_of(house.db, keys_dir), actor, made)] * 4)
    assert sorted(results) == ["done"] + ["stock.document_state"] * 3
    assert house.stock("pharmacy") == [("A1", "10盒")] and house.findings() == []


def _lose(place: Place, actor: Actor, store: int, batch: int) -> int:
    database = place.open()
    lost = 0
    for _ in range(5):
        try:
            with database.begin() as session:
                session.info["actor"] = actor
                made = documents.draft(session, actor, kind="loss", store_id=store, purpose="破损", reason="破损",
                                       lines=[{"batch_id": batch, "quantity": 20}])
                documents.confirm(session, actor, made.id)
            lost += 20
        except Conflict as refused:
            assert refused.code == "stock.short"
    database.dispose()
    return lost


@pytest.mark.requirement("FN-17")
def test_stock_never_goes_below_zero(house: House, keys_dir: Path, actor: Actor) -> None:
    calls = [(place_of(house.db, keys_dir), actor, house.ids["warehouse"], house.ids["A1"])] * 4
    assert sum(run_all(_lose, calls)) == 240
    assert house.stock("warehouse") == [("B2", "10盒")] and house.findings() == []


@pytest.mark.requirement("TC-07")
def test_a_paper_is_cancelled_or_refused_with_a_reason_that_stays(house: House) -> None:
    made = paper(house, "stock_in", [{"drug_id": house.ids["drug"], "lot_no": "C3", "expiry": "2027-12-31",
                                      "pack_cost": "8", "quantity": "24"}])
    path = f"stock/papers/{made['id']}/cancel"
    for wrong in ({}, {"reason": ""}, {"reason": "x"}, {"reason": "长" * 201}):
        answer = house.post("keeper", path, wrong)
        assert answer.status_code == 422 and answer.json["errors"][0]["field"] == "reason", wrong
    gone = house.ok(house.post("keeper2", path, {"reason": "录入错误"}))
    assert (gone["state_name"], gone["end_reason"], gone["changed_by_name"]) == ("已作废", "录入错误", "李库管")
    house.refused(house.post("keeper", path, {"reason": "录入错误"}), 409, "stock.document_state")
    asked = paper(house, "requisition", [{"drug_id": house.ids["drug"], "quantity": "24"}], "pharmacist",
                  store_id=house.ids["pharmacy"], other_store_id=house.ids["warehouse"], reason="门诊量大")
    house.ok(house.post("pharmacist", f"stock/papers/{asked['id']}/submit"))
    assert house.post("keeper", f"stock/papers/{asked['id']}/refuse", {}).status_code == 422
    house.ok(house.post("keeper", f"stock/papers/{asked['id']}/refuse", {"reason": "药库缺货"}))
    shown = house.ok(house.get("pharmacist", f"stock/papers/{asked['id']}"))
    assert (shown["reason"], shown["end_reason"], shown["changed_by_name"]) == ("门诊量大", "药库缺货", "王库管")
    assert house.findings() == []
