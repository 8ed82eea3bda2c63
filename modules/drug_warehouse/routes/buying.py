"""Routes of suppliers, orders and goods receipts."""

from __future__ import annotations

from typing import Any

from his_server.http import Call
from modules.drug_warehouse import queries, schemas
from modules.drug_warehouse.routes import BUY, RECEIVE, VIEW, routes
from modules.drug_warehouse.service import purchasing, receiving, suppliers


@routes.get("/suppliers", permission=VIEW, query=schemas.SearchQuery)
def supplier_list(call: Call) -> dict[str, Any]:
    """供应商与证照"""
    return {"items": queries.suppliers(call.session, **call.query), "ending": suppliers.ending(call.session)}


@routes.post("/suppliers", permission=BUY, body=schemas.SupplierIn, value=True, status=201)
def make_supplier(call: Call) -> dict[str, Any]:
    """登记供应商"""
    return {"id": suppliers.save(call.session, call.actor, None, **call.body).id}


@routes.put("/suppliers/<int:supplier_id>", permission=BUY, body=schemas.SupplierIn)
def change_supplier(call: Call, supplier_id: int) -> dict[str, Any]:
    """修改供应商"""
    suppliers.get(call.session, supplier_id)
    return {"id": suppliers.save(call.session, call.actor, supplier_id, **call.body).id}


@routes.post("/suppliers/<int:supplier_id>/papers", permission=BUY, body=schemas.SupplierPaperIn, value=True, status=201)
def add_paper(call: Call, supplier_id: int) -> dict[str, Any]:
    """登记证照、合同"""
    return {"id": suppliers.add_paper(call.session, call.actor, supplier_id, **call.body).id}


@routes.get("/plan", permission=BUY, query=schemas.StoreQuery)
def plan(call: Call) -> dict[str, Any]:
    """采购计划（低于下限的药品）"""
    return {"items": purchasing.plan(call.session, call.query["store_id"])}


@routes.get("/orders", permission=VIEW, query=schemas.OrdersQuery)
def orders(call: Call) -> dict[str, Any]:
    """采购订单"""
    return queries.orders(call.session, **call.query)


@routes.post("/orders", permission=BUY, body=schemas.OrderIn, value=True, status=201)
def write_order(call: Call) -> dict[str, Any]:
    """制采购订单"""
    return purchasing.detail(call.session, purchasing.write(call.session, call.actor, **call.body).id)


@routes.get("/orders/<int:order_id>", permission=VIEW)
def order(call: Call, order_id: int) -> dict[str, Any]:
    """采购订单明细"""
    return purchasing.detail(call.session, order_id)


@routes.post("/orders/<int:order_id>/send", permission=BUY, value=True)
def send_order(call: Call, order_id: int) -> dict[str, Any]:
    """发送采购订单"""
    purchasing.send(call.session, call.actor, order_id)
    return purchasing.detail(call.session, order_id)


@routes.post("/orders/<int:order_id>/cancel", permission=BUY, body=schemas.ReasonIn, value=True)
def cancel_order(call: Call, order_id: int) -> dict[str, Any]:
    """作废未发送的订单"""
    purchasing.cancel(call.session, call.actor, order_id, **call.body)
    return purchasing.detail(call.session, order_id)


@routes.post("/orders/<int:order_id>/close", permission=BUY, body=schemas.ReasonIn, value=True)
def close_order(call: Call, order_id: int) -> dict[str, Any]:
    """关闭订单，不再等未到部分"""
    purchasing.close(call.session, call.actor, order_id, **call.body)
    return purchasing.detail(call.session, order_id)


@routes.get("/receipts", permission=VIEW, query=schemas.ReceiptsQuery)
def receipts(call: Call) -> dict[str, Any]:
    """到货验收单"""
    return queries.receipts(call.session, **call.query)


@routes.post("/receipts", permission=RECEIVE, body=schemas.ArrivalIn, value=True, status=201)
def arrive(call: Call) -> dict[str, Any]:
    """登记到货（逐批，扫追溯码）"""
    return receiving.detail(call.session, receiving.arrive(call.session, call.actor, **call.body).id)


@routes.get("/receipts/<int:receipt_id>", permission=VIEW)
def receipt(call: Call, receipt_id: int) -> dict[str, Any]:
    """到货验收单明细"""
    return receiving.detail(call.session, receipt_id)


@routes.post("/receipts/<int:receipt_id>/accept", permission=RECEIVE, body=schemas.AcceptIn, value=True)
def accept(call: Call, receipt_id: int) -> dict[str, Any]:
    """验收入库（可部分拒收）"""
    receiving.accept(call.session, call.actor, receipt_id, acknowledged=call.body["acknowledged"], rejected={
        line["line_id"]: receiving.Rejected(line["packs"], line["reason"], frozenset(line["codes"]))
        for line in call.body["rejected"]})
    return receiving.detail(call.session, receipt_id)


@routes.post("/receipts/<int:receipt_id>/codes", permission=RECEIVE, body=schemas.SettleCodesIn, value=True)
def settle_codes(call: Call, receipt_id: int) -> dict[str, Any]:
    """核对待核的追溯码：是一盒，或是箱码"""
    receiving.settle_codes(call.session, call.actor, receipt_id, **call.body)
    return receiving.detail(call.session, receipt_id)


@routes.post("/receipts/<int:receipt_id>/cancel", permission=RECEIVE, body=schemas.ReasonIn, value=True)
def cancel_receipt(call: Call, receipt_id: int) -> dict[str, Any]:
    """作废未验收的到货单"""
    receiving.cancel(call.session, call.actor, receipt_id, **call.body)
    return receiving.detail(call.session, receipt_id)
