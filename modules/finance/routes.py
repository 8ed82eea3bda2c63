"""Routes of the payment statements."""

from __future__ import annotations

from typing import Any

from his_server.errors import invalid
from his_server.http import Call, Routes
from modules.finance import queries, schemas, service
from modules.kernel.charging.service import payments

RECONCILE = "finance.reconcile"
routes = Routes("finance", "/api/finance", tag="finance")


@routes.get("/statements", permission=RECONCILE, query=schemas.StatementsQuery, out=schemas.StatementsOut)
def statements(call: Call) -> dict[str, Any]:
    """各渠道各日对账单（含未下载的）"""
    first, last = call.query["start"], call.query["end"]
    if not 0 <= (last - first).days < schemas.MOST_DAYS:
        raise invalid("end", f"日期范围应为 1 至 {schemas.MOST_DAYS} 天")
    return {"items": queries.statements(call.session, payments.open_channels(call.database), first, last)}


@routes.post("/statements/fetch", permission=RECONCILE, body=schemas.FetchIn, effect="manual")
def fetch(call: Call) -> dict[str, Any]:
    """下载对账单并核对（可重复）"""
    return {"id": service.fetch(call.database, call.actor, call.body["channel"], call.body["day"])}


@routes.get("/differences", permission=RECONCILE, query=schemas.DifferencesQuery, out=schemas.DifferencePage)
def differences(call: Call) -> dict[str, Any]:
    """支付对账差异"""
    return queries.differences(call.session, **call.query)


@routes.get("/differences/<int:difference_id>", permission=RECONCILE, out=schemas.DifferenceDetail)
def difference(call: Call, difference_id: int) -> dict[str, Any]:
    """一条差异：账单行与本院尝试记录"""
    return queries.difference(call.session, difference_id)


@routes.post("/differences/<int:difference_id>/settle", permission=RECONCILE, body=schemas.SettleIn,
             out=schemas.DifferenceDetail)
def settle(call: Call, difference_id: int) -> dict[str, Any]:
    """处理差异：写明原因，或按账单改为成功"""
    service.settle(call.session, call.actor, difference_id, **call.body)
    return queries.difference(call.session, difference_id)
