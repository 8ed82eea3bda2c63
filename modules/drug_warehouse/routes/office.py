"""Routes of invoices, prices, notices and what a head of department looks at."""

from __future__ import annotations

from typing import Any

from his_server.http import Call
from modules.drug_warehouse import queries, schemas
from modules.drug_warehouse.routes import NOTICE, PAY, PRICE, REPORT, VIEW, routes
from modules.drug_warehouse.service import money
from modules.kernel.masterdata.service import prices
from modules.kernel.stock.queries import movement
from modules.kernel.stock.queries import notices as notice_queries
from modules.kernel.stock.service import documents, notices


@routes.get("/payables", permission=PAY)
def payables(call: Call) -> dict[str, Any]:
    """应付账款"""
    return {"items": money.payables(call.session)}


@routes.get("/suppliers/<int:supplier_id>/uninvoiced", permission=PAY)
def uninvoiced(call: Call, supplier_id: int) -> dict[str, Any]:
    """未开票的入库单"""
    return {"items": queries.uninvoiced(call.session, supplier_id)}


@routes.get("/invoices", permission=PAY, query=schemas.InvoicesQuery)
def invoices(call: Call) -> dict[str, Any]:
    """供应商发票"""
    return queries.invoices(call.session, **call.query)


@routes.post("/invoices", permission=PAY, body=schemas.InvoiceIn, value=True, status=201)
def enter_invoice(call: Call) -> dict[str, Any]:
    """登记发票"""
    return {"id": money.enter_invoice(call.session, call.actor, **call.body).id}


@routes.post("/invoices/<int:invoice_id>/pay", permission=PAY, body=schemas.PayIn, value=True)
def pay_invoice(call: Call, invoice_id: int) -> dict[str, Any]:
    """登记付款"""
    money.pay_invoice(call.session, call.actor, invoice_id, call.body["note"])
    return {"id": invoice_id}


@routes.get("/price-changes", permission=VIEW, query=schemas.PageQuery)
def price_changes(call: Call) -> dict[str, Any]:
    """调价单"""
    return queries.price_changes(call.session, **call.query)


@routes.post("/price-changes", permission=PRICE, body=schemas.PriceIn, value=True, status=201)
def change_price(call: Call) -> dict[str, Any]:
    """调价（生效日自动计算库存调价盈亏）"""
    made = money.change_price(call.session, call.actor, **call.body)
    return {"id": made.id, "number": made.number, "state": made.state, "amount": made.amount}


@routes.get("/price-changes/<int:change_id>/revaluation", permission=VIEW)
def revaluation(call: Call, change_id: int) -> dict[str, Any]:
    """调价盈亏明细"""
    return {"items": queries.revaluation(call.session, change_id)}


@routes.post("/price-limits", permission=PRICE, body=schemas.LimitIn, value=True, status=201)
def set_limit(call: Call) -> dict[str, Any]:
    """登记限价"""
    body = dict(call.body)
    return {"id": prices.set_drug_limit(call.session, call.actor, body.pop("drug_id"), **body).id}


@routes.post("/notices", permission=NOTICE, body=schemas.NoticeIn, value=True, status=201)
def publish_notice(call: Call) -> dict[str, Any]:
    """发布缺药、禁药通知"""
    made = notices.publish(call.session, call.actor, **call.body)
    return {"id": made.id, "number": made.number}


@routes.post("/notices/<int:notice_id>/withdraw", permission=NOTICE, body=schemas.ReasonIn, value=True)
def withdraw_notice(call: Call, notice_id: int) -> dict[str, Any]:
    """撤回通知"""
    return {"id": notices.withdraw_notice(call.session, call.actor, notice_id, call.body["reason"]).id}


@routes.get("/notices/<int:notice_id>/readers", permission=NOTICE)
def readers(call: Call, notice_id: int) -> dict[str, Any]:
    """通知阅读情况"""
    return {"items": [{"user_name": r.user_name, "read_at": r.read_at}
                      for r in notice_queries.readers(call.session, notice_id)]}


@routes.get("/value", permission=REPORT, query=schemas.StoreQuery)
def value(call: Call) -> dict[str, Any]:
    """库存金额按类别"""
    documents.store(call.session, call.query["store_id"])
    return {"items": movement.value_by_class(call.session, [call.query["store_id"]])}
