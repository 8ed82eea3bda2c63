"""From what is short to the shelf: plan, order, goods inspected with trace codes, invoice; licences that end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from his_server.actor import Actor
from his_server.errors import Conflict
from his_server.security.audit import AuditRow
from modules.drug_warehouse.service import receiving
from tests.modules.kernel.stock.conftest import House
from tests.processes import Place, place_of, run_all

WAREHOUSE = "drug-warehouse"


def order(house: House, supplier: int, packs: str = "20") -> dict[str, Any]:
    """An order of 20 packs that was sent."""
    made = house.ok(house.post("keeper", f"{WAREHOUSE}/orders", {
        "supplier_id": supplier, "store_id": house.ids["warehouse"],
        "lines": [{"drug_id": house.ids["drug"], "quantity": packs, "pack_cost": "9.9999"}]}))
    found: dict[str, Any] = house.ok(house.post("keeper", f"{WAREHOUSE}/orders/{made['id']}/send"))
    return found


def arrival(house: House, sent: dict[str, Any], packs: str = "12", lot: str = "C3", codes: int = 0) -> dict[str, Any]:
    """Goods of the order that are here; a person looked at the packs whose codes nobody knows."""
    found: dict[str, Any] = house.ok(house.post("keeper", f"{WAREHOUSE}/receipts", {
        "supplier_id": sent["supplier_id"], "store_id": house.ids["warehouse"], "order_id": sent["id"], "lines": [{
            "drug_id": house.ids["drug"], "order_line_id": sent["lines"][0]["id"], "quantity": packs, "pack_cost": "9.9999",
            "lot_no": lot, "expiry": "2027-12-31", "codes": [f"8{n:019d}" for n in range(codes)]}]}))
    if codes:
        house.ok(house.post("keeper", f"{WAREHOUSE}/receipts/{found['id']}/codes", {
            "codes": [f"8{n:019d}" for n in range(codes)], "boxes": True}))
    return found


@pytest.mark.requirement("R1", "TC-07")
def test_goods_are_stock_after_inspection_only(house: House, supplier: int) -> None:
    sent = order(house, supplier)
    assert sent["amount"] == "200.00"
    here = arrival(house, sent, codes=12)
    assert ("C3", "10盒") not in house.stock("warehouse")
    refused = [{"line_id": here["lines"][0]["id"], "packs": "2", "reason": "包装破损"}]
    path, line = f"{WAREHOUSE}/receipts/{here['id']}/accept", refused[0]
    # twelve codes were scanned, ten packs stay: somebody says which two go back
    for codes, told in (([], "还差 2 个"), ([f"8{0:019d}"], "还差 1 个"), ([f"8{n:019d}" for n in (0, 99)], "不是该行"),
                        ([f"8{n:019d}" for n in (0, 1, 2)], "多于拒收数量")):
        answer = house.refused(house.post("keeper", path, {"rejected": [{**line, "codes": codes}]}), 422,
                               "warehouse.inspection")
        assert answer["errors"][0]["field"] == "lines.0.reject_codes" and told in answer["errors"][0]["message"]
    for wrong, told in (({"packs": "0.5"}, "整包装"), ({"packs": "13"}, "应在 0 至 12 之间"), ({"reason": ""}, "拒收原因")):
        answer = house.refused(house.post("keeper", path, {"rejected": [{**line, **wrong}]}), 422, "warehouse.inspection")
        assert told in answer["errors"][0]["message"]
    refused = [{**line, "codes": [f"8{3:019d}", f"8{7:019d}"]}]
    done = house.ok(house.post("keeper", path, {"rejected": refused}))
    assert (done["state_name"], done["amount"], done["lines"][0]["reject_reason"]) == ("已验收", "100.00", "包装破损")
    assert ("C3", "10盒") in house.stock("warehouse")
    house.refused(house.post("keeper2", f"{WAREHOUSE}/receipts/{here['id']}/accept"), 409, "warehouse.receipt_state")
    assert house.ok(house.get("keeper", "stock/trace-codes", code=f"8{0:019d}"))["state_name"] == "在库"
    assert house.ok(house.get("keeper", "stock/trace-codes", code=f"8{11:019d}"))["state_name"] == "在库"
    for n in (3, 7):  # the packs that went back are not ours
        assert house.get("keeper", "stock/trace-codes", code=f"8{n:019d}").status_code == 404
    seen = house.ok(house.get("keeper", f"{WAREHOUSE}/orders/{sent['id']}"))
    assert (seen["state_name"], seen["lines"][0]["received_text"]) == ("已发送", "10盒")
    more = arrival(house, sent, "11", "C4")
    house.refused(house.post("keeper", f"{WAREHOUSE}/receipts/{more['id']}/accept"), 409, "warehouse.over_order")
    last = [{"line_id": more["lines"][0]["id"], "packs": "1", "reason": "与订单不符"}]
    house.ok(house.post("keeper", f"{WAREHOUSE}/receipts/{more['id']}/accept", {"rejected": last}))
    assert house.ok(house.get("keeper", f"{WAREHOUSE}/orders/{sent['id']}"))["state_name"] == "已收齐"
    assert house.findings() == []


def test_a_supplier_without_living_licences_sells_nothing(house: House, supplier: int, sign_in: Any) -> None:
    ending = house.ok(house.get("keeper", f"{WAREHOUSE}/suppliers"))["ending"]
    assert {(p["kind"], p["days_left"]) for p in ending} == {("药品经营许可证", 30), ("营业执照", 30)}
    house.app.extensions["his_database"].clock.move(days=31)
    house.clients["keeper"] = sign_in("warehouse", name="王库管")  # the old session has ended meanwhile
    answer = house.post("keeper", f"{WAREHOUSE}/orders", {
        "supplier_id": supplier, "store_id": house.ids["warehouse"],
        "lines": [{"drug_id": house.ids["drug"], "quantity": "1", "pack_cost": "9"}]})
    house.refused(answer, 409, "warehouse.licence")


def test_plan_comes_from_levels(house: House, supplier: int) -> None:
    levels = {"store_id": house.ids["warehouse"], "levels": [
        {"drug_id": house.ids["drug"], "least": "500", "most": "1000"}]}
    house.ok(house.clients["keeper"].put("/api/stock/levels", json=levels))
    found = house.ok(house.get("keeper", f"{WAREHOUSE}/plan", store_id=house.ids["warehouse"]))["items"]
    # 480 are there, 1000 are wanted: 520 are 21.67 packs
    assert [(line["packs"], line["quantity"]) for line in found] == [("22", "528")]
    low = house.ok(house.get("keeper", "stock/drugs", store_id=house.ids["warehouse"], view="low"))["items"]
    assert [d["id"] for d in low] == [house.ids["drug"]]


def test_what_is_cancelled_or_closed_says_why(house: House, supplier: int) -> None:
    body = {"supplier_id": supplier, "store_id": house.ids["warehouse"], "lines": [
        {"drug_id": house.ids["drug"], "quantity": "5", "pack_cost": "9"}]}
    draft = house.ok(house.post("keeper", f"{WAREHOUSE}/orders", body))
    sent = order(house, supplier)
    here = arrival(house, sent)
    for path, done, said in (
            (f"orders/{draft['id']}/cancel", "已作废", "end_reason"),
            (f"receipts/{here['id']}/cancel", "已作废", "cancel_reason"),
            (f"orders/{sent['id']}/close", "已关闭", "end_reason")):
        for wrong in ({}, {"reason": "缺"}):
            answer = house.post("keeper", f"{WAREHOUSE}/{path}", wrong)
            assert answer.status_code == 422 and [e["field"] for e in answer.json["errors"]] == ["reason"]
        ended = house.ok(house.post("keeper", f"{WAREHOUSE}/{path}", {"reason": "供应商缺货"}))
        assert (ended["state_name"], ended[said]) == (done, "供应商缺货")
        again = house.post("keeper2", f"{WAREHOUSE}/{path}", {"reason": "供应商缺货"})
        assert again.status_code == 409 and "王库管" in again.json["message"]
    with house.db.begin(write=False) as session:
        rows = session.scalars(select(AuditRow).where(
            AuditRow.event.in_(("purchase.cancelled", "goods.cancel", "purchase.closed"))))
        assert [json.loads(row.detail)["reason"] for row in rows] == ["供应商缺货"] * 3
    half = {**body, "lines": [{**body["lines"][0], "quantity": "0.5", "lot_no": "X", "expiry": "2027-12-31"}]}
    answer = house.refused(house.post("keeper", f"{WAREHOUSE}/receipts", half), 422, "warehouse.arrival")
    assert answer["errors"] == [{"field": "lines.0.quantity", "message": "须为整包装"}]


@pytest.mark.requirement("M6.3", "M7.4")
def test_orders_and_receipts_are_found_by_everything_page_by_page(house: House, supplier: int) -> None:
    sent = order(house, supplier)
    here = arrival(house, sent, lot="XF99")
    for n in range(3):
        order(house, supplier, str(n + 1))
    store = house.ids["warehouse"]
    look = lambda what, **query: house.ok(house.get("keeper", f"{WAREHOUSE}/{what}", store_id=store, **query))  # noqa: E731
    drug = house.ok(house.get("keeper", f"{WAREHOUSE}/orders/{sent['id']}"))["lines"][0]
    for q in ("南通医药", "ntyy", "G001", drug["name"], drug["code"]):
        assert len(look("orders", q=q)["items"]) == 4, q
    assert [one["id"] for one in look("orders", q=sent["number"])["items"]] == [sent["id"]]
    assert len(look("orders", q=sent["number"][:8].lower())["items"]) == 4
    for q in (here["number"], sent["number"], "XF99", "ntyy", drug["name"]):
        assert [one["id"] for one in look("receipts", q=q)["items"]] == [here["id"]], q
    assert look("orders", q="没有这家")["items"] == look("receipts", q="XF9")["items"] == []
    assert look("orders", state="draft")["items"] == [] and len(look("orders", state="sent")["items"]) == 4
    seen: list[int] = []
    page: dict[str, Any] = {"next": None}
    while not seen or page["next"]:
        page = look("orders", limit=3, **({"after": page["next"]} if page["next"] else {}))
        seen += [one["id"] for one in page["items"]]
    assert len(seen) == len(set(seen)) == 4
    assert house.get("keeper", f"{WAREHOUSE}/orders", store_id=store, q="x" * 61).status_code == 422


def test_controlled_goods_are_inspected_by_a_second_person(house: House, supplier: int) -> None:
    here = house.ok(house.post("keeper", f"{WAREHOUSE}/receipts", {
        "supplier_id": supplier, "store_id": house.ids["warehouse"], "lines": [{
            "drug_id": house.ids["narcotic"], "quantity": "1", "pack_cost": "50", "lot_no": "N3", "expiry": "2027-12-31"}]}))
    house.refused(house.post("keeper", f"{WAREHOUSE}/receipts/{here['id']}/accept"), 409, "warehouse.second_person")
    house.ok(house.post("keeper2", f"{WAREHOUSE}/receipts/{here['id']}/accept"))


def test_invoice_is_what_was_received_and_is_paid_once(house: House, supplier: int) -> None:
    here = arrival(house, order(house, supplier))
    house.ok(house.post("keeper", f"{WAREHOUSE}/receipts/{here['id']}/accept"))
    assert house.ok(house.get("finance", f"{WAREHOUSE}/payables"))["items"][0]["uninvoiced"] == "120.00"
    body = {"supplier_id": supplier, "number": "00112233", "amount": "119.00", "invoice_date": "2026-03-02",
            "due_date": "2026-03-01", "receipt_ids": [here["id"]]}
    house.refused(house.post("finance", f"{WAREHOUSE}/invoices", body), 422, "warehouse.invoice_sum")
    made = house.ok(house.post("finance", f"{WAREHOUSE}/invoices", {**body, "amount": "120.00"}))
    twice = house.post("finance", f"{WAREHOUSE}/invoices", {**body, "amount": "120.00", "number": "2"})
    house.refused(twice, 409, "warehouse.invoiced")
    owed = house.ok(house.get("finance", f"{WAREHOUSE}/payables"))["items"][0]
    assert (owed["uninvoiced"], owed["open"], owed["overdue"]) == ("0.00", "120.00", "120.00")
    house.ok(house.post("finance", f"{WAREHOUSE}/invoices/{made['id']}/pay", {"note": "转账 3 月"}))
    again = house.post("finance", f"{WAREHOUSE}/invoices/{made['id']}/pay", {"note": "再付"})
    house.refused(again, 409, "warehouse.invoice_paid")
    assert house.post("keeper", f"{WAREHOUSE}/invoices", body).status_code == 403


def test_what_goes_back_to_a_supplier_takes_off_his_bill_once(house: House, supplier: int) -> None:
    here = arrival(house, order(house, supplier))
    house.ok(house.post("keeper", f"{WAREHOUSE}/receipts/{here['id']}/accept"))
    batch = next(b for b in house.ok(house.get("keeper", "stock/batches", store_id=house.ids["warehouse"]))["items"]
                 if b["lot_no"] == here["lines"][0]["lot_no"])
    paper = {"kind": "supplier_return", "store_id": house.ids["warehouse"], "purpose": "质量问题", "reason": "包装破损"}
    made = house.ok(house.post("keeper", "stock/papers", {**paper, "lines": [
        {"batch_id": batch["batch_id"], "quantity": "48"}]}))
    owed = lambda: house.ok(house.get("finance", f"{WAREHOUSE}/payables"))["items"][0]  # noqa: E731
    assert owed()["uninvoiced"] == "120.00"
    house.ok(house.post("keeper", f"stock/papers/{made['id']}/confirm", {}))
    assert owed()["uninvoiced"] == "100.00"
    house.refused(house.post("keeper", f"stock/papers/{made['id']}/confirm", {}), 409, "stock.document_state")
    open_ = house.ok(house.get("finance", f"{WAREHOUSE}/suppliers/{supplier}/uninvoiced"))["items"]
    assert [(row["kind"], row["amount"]) for row in open_] == [("receipt", "120.00"), ("credit", "-20.00")]
    body = {"supplier_id": supplier, "number": "0099", "invoice_date": "2026-03-02", "due_date": "2026-05-01",
            "receipt_ids": [here["id"]], "credit_ids": [open_[1]["id"]]}
    house.refused(house.post("finance", f"{WAREHOUSE}/invoices", {**body, "amount": "120.00"}), 422, "warehouse.invoice_sum")
    house.ok(house.post("finance", f"{WAREHOUSE}/invoices", {**body, "amount": "100.00"}))
    assert (owed()["uninvoiced"], owed()["open"]) == ("0.00", "100.00")
    # a batch that nobody delivered goes back to nobody
    other = next(b for b in house.ok(house.get("keeper", "stock/batches", store_id=house.ids["warehouse"]))["items"]
                 if b["lot_no"] != here["lines"][0]["lot_no"] and b["control"] == "普通")
    lost = house.ok(house.post("keeper", "stock/papers", {**paper, "lines": [
        {"batch_id": other["batch_id"], "quantity": "24"}]}))
    house.refused(house.post("keeper", f"stock/papers/{lost['id']}/confirm", {}), 409, "warehouse.no_supplier")
    assert house.findings() == []


def _accept(place: Place, actor: Actor, receipt: int) -> str:
    database = place.open()
    try:
        with database.begin() as session:
            session.info["actor"] = actor
            receiving.accept(session, actor, receipt, rejected={})
        return "done"
    except Conflict as refused:
        return refused.code
    finally:
        database.dispose()


def test_two_deliveries_race_for_the_rest_of_an_order(house: House, supplier: int, keys_dir: Path, actor: Actor) -> None:
    sent = order(house, supplier)
    here = [arrival(house, sent, "12", f"C{n}")["id"] for n in range(3)]
    results = run_all(_accept, [(place_of(house.db, keys_dir), actor, key) for key in (*here, here[0])])
    assert sorted(results)[:3].count("done") == 1 and results.count("done") == 1, results
    assert house.findings() == []
