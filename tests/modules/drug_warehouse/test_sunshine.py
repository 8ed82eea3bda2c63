"""The sunshine platform up to its transport: matching, orders in its units, deliveries, receipts, returns (M6.3)."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from his_server.actor import Actor
from modules.drug_warehouse import rules
from modules.drug_warehouse.models import PlatformCall
from modules.drug_warehouse.ports import Product, Shipment
from modules.drug_warehouse.service import sunshine
from tests.modules.kernel.stock.conftest import House

WAREHOUSE = "drug-warehouse"


def product(number: int, name: str, spec: str, manufacturer: str, **more: Any) -> Product:
    """A product that is sold in boxes of five packs of 24."""
    given = {"code": f"C{number}", "form": "胶囊剂", "pack": "24粒/盒", "unit": "箱", "factor": Decimal(120), "approval_no": "",
             "price": Decimal("45.00"), **more}
    return Product(platform_id=f"P{number}", name=name, spec=spec, manufacturer=manufacturer, **given)


def ours(name: str = "盐酸氨溴索片", spec: str = "30mg×20片", manufacturer: str = "上海示例制药有限公司") -> rules.Described:
    """A drug as we describe it."""
    return rules.Described(name, "片剂", spec, manufacturer, "国药准字H1")


@pytest.mark.requirement("M6.3")
def test_likeness_says_what_speaks_for_a_product() -> None:
    same, why = rules.likeness(ours(), rules.Described("盐酸氨溴索片", "片剂", "0.03g*20片", "上海示例制药股份有限公司"))
    other, _ = rules.likeness(ours(), rules.Described("氨溴索片", "片剂", "30mg*50片", "别处药业"))
    strength, reasons = rules.likeness(ours(), rules.Described("盐酸氨溴索片", "片剂", "15mg*20片", "上海示例制药有限公司"))
    assert same == 100 and why == ["名称一致", "规格一致", "厂家一致", "剂型一致"]
    assert max(other, strength) < same and "含量不同" in reasons
    assert rules.likeness(ours(), rules.Described("阿莫西林胶囊", "胶囊剂", "30mg*20片", "上海示例制药有限公司")) == (0, [])
    assert rules.likeness(ours(), rules.Described("别名", "", "", "", "国药准字H1"))[0] == 100


def owed(house: House) -> str:
    """What is owed and not invoiced yet."""
    return str(house.ok(house.get("finance", f"{WAREHOUSE}/payables"))["items"][0]["uninvoiced"])


@pytest.mark.requirement("M6.3")
def test_matched_ordered_delivered_received_and_sent_back(house: House, supplier: int, actor: Actor) -> None:
    with house.db.begin() as session:
        session.info["actor"] = actor
        name = session.get_one(sunshine.Drug, house.ids["drug"]).name
        sunshine.take_products(session, [product(1, name, "0.25g", "示例制药"), product(2, name, "0.5g", "别家"),
                                         product(3, "头孢拉定胶囊", "0.25g", "示例制药")])
        assert sunshine.take_products(session, [product(1, name, "0.25g", "示例制药", price=Decimal("44.00"))]) == 1
    order = {"supplier_id": supplier, "store_id": house.ids["warehouse"], "channel": "sunshine",
             "lines": [{"drug_id": house.ids["drug"], "quantity": "10", "pack_cost": "8.80"}]}
    refused = house.refused(house.post("keeper", f"{WAREHOUSE}/orders", order), 422, "warehouse.order")
    assert "匹配" in refused["errors"][0]["message"]
    found = house.ok(house.get("keeper", f"{WAREHOUSE}/drugs/{house.ids['drug']}/suggestions"))["items"]
    assert [p["platform_id"] for p in found][:1] == ["P1"] and found[0]["price"] == "44.0000"
    match = {"drug_id": house.ids["drug"], "product_id": found[0]["id"], "ratio": "120"}
    house.refused(house.post("keeper", f"{WAREHOUSE}/matches", {**match, "ratio": "100"}), 422, "sunshine.ratio")
    house.ok(house.post("keeper", f"{WAREHOUSE}/matches", match))
    odd = house.ok(house.post("keeper", f"{WAREHOUSE}/orders", {**order, "lines": [{**order["lines"][0], "quantity": "9"}]}))
    house.refused(house.post("keeper", f"{WAREHOUSE}/orders/{odd['id']}/send"), 422, "sunshine.units")
    made = house.ok(house.post("keeper", f"{WAREHOUSE}/orders", order))
    house.ok(house.post("keeper", f"{WAREHOUSE}/orders/{made['id']}/send"))
    line = made["lines"][0]["id"]
    with house.db.begin() as session:
        session.info["actor"] = actor
        call = session.scalars(select(PlatformCall)).one()
        assert json.loads(call.payload)["lines"] == [
            {"line_key": str(line), "platform_id": "P1", "quantity": "2", "price": "44.0000"}]
        # the interface heard the platform's answer, twice
        assert sunshine.answered(session, call.our_key, done=True, platform_number="YG2026")
        assert not sunshine.answered(session, call.our_key, done=True, platform_number="YG2026")
        sent = Shipment("S1", str(line), Decimal(2), Decimal("44.00"), "K7", date(2027, 12, 31), house.db.clock.now())
        assert sunshine.take_shipments(session, made["id"], [sent]) == 1
        assert sunshine.take_shipments(session, made["id"], [sent]) == 0
    seen = house.ok(house.get("keeper", f"{WAREHOUSE}/orders/{made['id']}"))
    assert (seen["platform_number"], seen["state_name"]) == ("YG2026", "已发送")
    delivery = house.ok(house.get("keeper", f"{WAREHOUSE}/orders/{made['id']}/deliveries"))["items"][0]["id"]
    body = {"lines": [{"delivery_id": delivery, "quantity": "3", "lot_no": "K7", "expiry": "2027-12-31"}]}
    path = f"{WAREHOUSE}/orders/{made['id']}/deliveries"
    house.refused(house.post("keeper", path, body), 409, "sunshine.over")
    body["lines"][0]["quantity"] = "2"
    receipt = house.ok(house.post("keeper", path, body))
    assert [(x["arrived_text"], x["pack_cost"]) for x in receipt["lines"]] == [("10盒", "8.8000")]
    house.ok(house.post("keeper", f"{WAREHOUSE}/receipts/{receipt['id']}/accept"))
    assert ("K7", "10盒") in house.stock("warehouse")
    assert house.ok(house.get("keeper", f"{WAREHOUSE}/orders/{made['id']}"))["state_name"] == "已收齐"
    assert owed(house) == "88.00"
    back = {"delivery_id": delivery, "quantity": "1", "purpose": "近效期", "reason": "近效期"}
    house.ok(house.post("keeper", f"{WAREHOUSE}/orders/{made['id']}/give-back", back))
    # one paper: the stock is out, the bill is less, the platform hears of it
    assert ("K7", "5盒") in house.stock("warehouse") and owed(house) == "44.00"
    house.refused(house.post("keeper", f"{WAREHOUSE}/orders/{made['id']}/give-back", {**back, "quantity": "2"}), 409,
                  "sunshine.return")
    calls = house.ok(house.get("keeper", f"{WAREHOUSE}/orders/{made['id']}/deliveries"))["calls"]
    assert [c["act"] for c in calls] == ["order", "receive", "give_back"]
    assert house.findings() == []
