"""A code that nobody knows is no box before a person has looked (待核); a carton that was taken for a box is put right (R1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from his_server.actor import SYSTEM
from his_server.messaging.outbox import OutboxEvent
from his_server.security.audit import AuditRow
from modules.kernel.stock.models import TraceUpload
from modules.kernel.stock.service import packing
from tests.interfaces.trace_platform.test_packing import BOXES, CARTON, arrive
from tests.modules.kernel.stock.conftest import House

WAREHOUSE = "drug-warehouse"
ODD = "81700000000000000001"


def life(house: House, code: str) -> Any:
    return house.get("keeper", "stock/trace-codes", code=code)


def told(house: House) -> None:
    """The supplier's packing list came in."""
    with house.db.begin() as session:
        session.info["actor"] = SYSTEM
        packing.import_list(session, SYSTEM, "大码,小码\n" + "\n".join(f"{CARTON},{code}" for code in BOXES[:3]))


@pytest.mark.requirement("R1", "TC-02")
def test_a_code_that_nobody_knows_waits_until_a_person_looked(house: House, supplier: int) -> None:
    codes = [ODD, CARTON, BOXES[9]]
    here = house.ok(arrive(house, supplier, codes, 2))  # three codes, two packs: none of them is a box yet
    path = f"{WAREHOUSE}/receipts/{here['id']}"
    line = here["lines"][0]
    assert (line["codes"], [one["code"] for one in line["unsure"]]) == ([], codes)
    refused = house.refused(house.post("keeper", f"{path}/accept"), 409, "warehouse.unsure")
    assert "3 个追溯码待核" in refused["message"] and "Alt+Y" in refused["message"]
    assert [e["field"] for e in refused["errors"]] == ["lines.0.codes"] * 3 and ODD in refused["errors"][0]["message"]
    assert house.ok(house.get("keeper", path))["state_name"] == "待验收" and life(house, ODD).status_code == 404
    settle = lambda codes, boxes, who="keeper": house.post(who, f"{path}/codes", {"codes": codes, "boxes": boxes})  # noqa: E731
    house.refused(settle(codes, True), 422, "warehouse.codes")  # three boxes of two
    house.refused(settle([BOXES[0]], True), 422, "warehouse.codes")  # not on this receipt
    assert settle([], True).status_code == 422 and settle([ODD], True, "pharmacist").status_code == 403
    half = house.ok(settle([ODD], True))["lines"][0]
    assert (half["codes"], [one["code"] for one in half["unsure"]]) == ([ODD], [CARTON, BOXES[9]])
    house.ok(settle([CARTON], False))
    house.ok(settle([BOXES[9]], True, "keeper2"))
    assert house.ok(house.post("keeper", f"{path}/accept"))["lines"][0]["codes"] == [ODD, BOXES[9]]
    assert life(house, ODD).json["state_name"] == life(house, BOXES[9]).json["state_name"] == "在库"
    assert life(house, CARTON).status_code == 404
    again = house.refused(arrive(house, supplier, [CARTON], 9, "K2"), 422, "warehouse.arrival")  # what was said is kept
    assert "大码" in again["errors"][0]["message"]
    late = house.refused(settle([ODD], False, "keeper2"), 409, "warehouse.receipt_state")
    assert "王库管" in late["message"]
    with house.db.begin(write=False) as session:
        rows = session.execute(select(AuditRow.event, AuditRow.detail).where(
            AuditRow.event.in_(("trace.box", "trace.large"))).order_by(AuditRow.id)).all()
    assert [(row.event, json.loads(row.detail)["codes"]) for row in rows] == [
        ("trace.box", [ODD]), ("trace.large", [CARTON]), ("trace.box", [BOXES[9]])]
    assert house.findings() == []


@pytest.mark.requirement("R1", "TC-02")
def test_what_goes_back_whole_needs_no_look(house: House, supplier: int) -> None:
    here = house.ok(arrive(house, supplier, [ODD], 2))
    path = f"{WAREHOUSE}/receipts/{here['id']}/accept"
    body = {"line_id": here["lines"][0]["id"], "reason": "包装破损"}
    house.refused(house.post("keeper", path, {"rejected": [{**body, "packs": "1"}]}), 409, "warehouse.unsure")
    assert house.ok(house.post("keeper", path, {"rejected": [{**body, "packs": "2"}]}))["amount"] == "0.00"
    assert life(house, ODD).status_code == 404 and house.findings() == []


@pytest.mark.requirement("R1", "TC-02", "TC-07")
def test_a_carton_that_was_collected_as_a_box_is_put_right(house: House, supplier: int) -> None:
    here = house.ok(arrive(house, supplier, [CARTON, ODD], 3))
    path = f"{WAREHOUSE}/receipts/{here['id']}"
    house.ok(house.post("keeper", f"{path}/codes", {"codes": [CARTON, ODD], "boxes": True}))  # the slip
    house.ok(house.post("keeper", f"{path}/accept"))
    before = house.stock("warehouse")
    right = lambda code, who="keeper", **more: house.post(  # noqa: E731
        who, "stock/trace-codes/uncollect", {"code": code, "reason": "箱码误当盒码", **more})
    told(house)
    assert right(CARTON, reason="x").status_code == 422 and right(CARTON, "doctor").status_code == 403
    missing = house.refused(right(BOXES[9]), 404, "trace.unknown")
    assert "到货验收" in missing["message"]
    # three boxes are in it, and of the lot only two packs have no code: they are not collected by themselves
    assert house.ok(right(CARTON)) == {"code": CARTON, "boxes": 0, "left": 3}
    found = life(house, CARTON).json
    assert (found["state_name"], [m["act_name"] for m in found["moves"]]) == ("已更正为箱码", ["更正为箱码", "入库采集"])
    gone = house.refused(right(CARTON, "keeper2"), 409, "trace.state")
    assert "王库管" in gone["message"] and "已更正为箱码" in gone["message"]
    assert house.stock("warehouse") == before  # the books' quantity is for a count to say
    house.refused(arrive(house, supplier, [CARTON], 3, "K2"), 422, "warehouse.arrival")
    with house.db.begin(write=False) as session:
        [upload] = session.scalars(select(TraceUpload).where(TraceUpload.act == "uncollect"))
        assert (upload.codes, upload.quantity) == (1, 24)
        assert session.scalars(select(OutboxEvent.type).where(OutboxEvent.business_key == upload.serial)).all() == [
            "DrugTraceChanged"]
    assert house.findings() == []


@pytest.mark.requirement("R1", "TC-02")
def test_the_boxes_of_a_carton_take_its_place(house: House, supplier: int) -> None:
    here = house.ok(arrive(house, supplier, [CARTON], 3))
    path = f"{WAREHOUSE}/receipts/{here['id']}"
    house.ok(house.post("keeper", f"{path}/codes", {"codes": [CARTON], "boxes": True}))
    house.ok(house.post("keeper", f"{path}/accept"))
    told(house)
    body = {"code": CARTON, "reason": "装箱文件已到"}
    key = "the same press"
    first = house.ok(house.post("keeper", "stock/trace-codes/uncollect", body, key))
    assert first == {"code": CARTON, "boxes": 3, "left": 0}
    assert house.ok(house.post("keeper", "stock/trace-codes/uncollect", body, key)) == first  # its answer was lost
    for code in BOXES[:3]:
        one = life(house, code).json
        assert (one["state_name"], one["lot_no"], len(one["moves"])) == ("在库", "K1", 1)
    refused = house.refused(house.post("keeper", "stock/trace-codes/uncollect", {**body, "code": BOXES[0]}), 409,
                            "trace.known_box")
    assert "小码" in refused["message"]
    assert house.findings() == []
