"""The keeper of the drug warehouse and the price clerk at their desks, and an insured refund, by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from his_server.actor import SYSTEM
from his_server.db import today
from modules.drug_warehouse.service import suppliers
from modules.kernel.masterdata.models import DrugPrice
from modules.kernel.stock.models import Batch, StockBalance, Store, TraceCode
from tests.browser import steps
from tests.browser.driving import Desk, House
from tests.factories import insured as make
from tests.factories.masterdata import make_department, make_drug

CODES = ("81700000000000000001", "81700000000000000002")
Sit = Callable[[str | dict[str, str]], Desk]


@pytest.mark.requirement("M6.1")
def test_goods_arrive_are_inspected_and_priced(house: House, desk: Sit) -> None:
    with house.world.db.begin() as session:
        session.info["actor"] = SYSTEM
        place = make_department(session, name="药库", kind="药房", outpatient=False)
        store = Store(code="WH", name="药库", kind="warehouse", department_id=place.id, active=True)
        session.add(store)
        seller = suppliers.save(session, SYSTEM, None, code="G001", name="南通医药有限公司", contact="", phone="")
        for kind in ("药品经营许可证", "营业执照"):
            suppliers.add_paper(session, SYSTEM, seller.id, kind=kind, number="苏A1",
                                valid_from=today(session) - timedelta(days=9), valid_to=today(session) + timedelta(days=99))
        drug = make_drug(session, "0.00", name="利福平胶囊", tb=True, antimicrobial="", pack_size=100)  # nobody else's
        session.flush()
        key, drug_id = store.id, drug.id
    at = desk(house.hire("warehouse"))
    at.menu("到货验收")
    at.keys("F4")
    at.focused("供应商")
    at.type("ntyy")
    at.see("南通医药有限公司", ".codebox-list")
    at.keys("Enter")
    at.focused("药品 第 1 行")
    at.type("lfpj")
    at.see("利福平胶囊", ".codebox-list")
    at.keys("Enter")
    at.focused("批号")
    at.type("GH2026", "Enter")
    at.type("20291231", "Enter")
    at.focused("数量")
    at.type("12", "Enter")
    at.type("3.5", "Enter")
    at.see("42.00", ".modal-box tfoot")
    at.keys("F3")  # the cursor stood on the empty second line: the scans are for the first
    at.focused("扫追溯码")
    at.type(CODES[0], "Enter")
    at.type(CODES[1], "Enter")
    at.see("待核 2", "[aria-label=到货明细]")
    at.keys("F8")
    at.see("已登记到货 YS")
    at.see("GH2026", "[aria-label=到货明细]")
    at.keys("F8")  # nobody knows these codes: they aren't boxes before somebody looks
    at.focused("待核追溯码")
    at.keys("Alt+o")
    at.see("是箱码，已从到货单去掉")
    at.see("待核 1 个", ".modal-box")
    at.keys("Alt+y")
    at.see("已确认 1 个盒码")
    at.keys("F8")
    at.see("全部合格", ".modal-box")
    at.keys("Enter")
    at.see("已验收入库")
    with house.world.db.begin(write=False) as session:
        held = session.query(StockBalance).join(Batch, Batch.id == StockBalance.batch_id).filter(
            StockBalance.store_id == key, Batch.lot_no == "GH2026").one()
        assert held.on_hand == 1200
        assert [one.code for one in session.query(TraceCode).filter_by(store_id=key)] == [CODES[1]]
    # a price from today on: the stock is worth something else at once
    at = desk(house.cookie_of("finance"))
    at.menu("调价与限价")
    at.keys("F4")
    at.focused("药品")
    at.type("lfpj")
    at.see("利福平胶囊", ".codebox-list")
    at.keys("Enter", "Enter")
    at.focused("新价格")
    at.type("5.5", "Enter")
    at.focused("起始日期")
    at.type("+0", "Enter")
    at.focused("依据")
    at.type("苏价 2026-1 号", "Enter")
    at.see("已调价")
    at.see("66.00", "[aria-label=调价盈亏]")
    with house.world.db.begin(write=False) as session:
        prices = session.query(DrugPrice).filter_by(drug_id=drug_id, valid_to=None).all()
        assert [price.pack_price for price in prices] == [Decimal("5.5")]
    assert house.world.findings() == []


@pytest.mark.requirement("M1.14")
def test_an_insured_settlement_is_refunded_at_the_window(house: House, desk: Sit) -> None:
    world, number = house.world, make.id_no(4, 7)
    person = make.insured_person(world, number, "参保退费")
    world.request(world.encounter(world.register(person)), "2")
    card = make.show(number)
    done = world.ok(make.settle(world, world.ok(make.preview(world, person, card)), card))
    assert done["state"] == "used"
    at = desk(house.login_of("cashier"))
    steps.open_settlement(at, done["settlement_number"])
    at.keys("F7")
    at.focused("退数量")
    at.see("含医保支付", ".modal-box")
    at.type("1", "Alt+1")
    at.see("60.55", ".modal-box .total")
    at.keys("F8")
    at.see("退费成功")
    at.see("60.55", ".modal-box")
    at.see("医保", ".modal-box .done dl")  # where it went, not only that it did
    path = f"/api/outpatient-billing/settlements?person_id={person}"
    assert world.ok(world.get("cashier", path))["items"][0]["kind"] == "refund"
    assert world.findings() == []
