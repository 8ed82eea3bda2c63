"""Routes of count sheets."""

from __future__ import annotations

from typing import Any

from his_server.http import Call
from his_server.security import scopes
from modules.kernel.stock.queries import sheets as queries
from modules.kernel.stock.routes import ADJUST, COUNT, mine, routes
from modules.kernel.stock.schemas import ReasonIn
from modules.kernel.stock.schemas import sheets as schemas
from modules.kernel.stock.service import stocktake
from modules.kernel.stock.service.stocktake import Count


def _sheet(call: Call, sheet_id: int, permission: str = COUNT) -> None:
    """The sheet is there, and the actor may count its store. One query."""
    scopes.require(call.actor, permission, queries.department_of(call.session, sheet_id))


@routes.get("/sheets", permission=COUNT, query=schemas.SheetsQuery, out=schemas.SheetPage)
def sheets(call: Call) -> dict[str, Any]:
    """盘点单列表"""
    mine(call, call.query["store_id"], COUNT)
    return queries.sheets(call.session, **call.query)


@routes.post("/sheets", permission=COUNT, body=schemas.SheetIn, out=schemas.SheetOut, value=True, status=201)
def make_sheet(call: Call) -> dict[str, Any]:
    """盘点制单"""
    store = mine(call, call.body["store_id"], COUNT)
    made = stocktake.make(call.session, call.actor, store, categories=call.body["classes"], drug_ids=call.body["drug_ids"],
                          controlled=call.body["controlled"], with_empty=call.body["with_empty"])
    return queries.sheet(call.session, made.id)


@routes.get("/sheets/<int:sheet_id>", permission=COUNT, out=schemas.SheetOut)
def sheet(call: Call, sheet_id: int) -> dict[str, Any]:
    """盘点单"""
    _sheet(call, sheet_id)
    return queries.sheet(call.session, sheet_id)


@routes.get("/sheets/<int:sheet_id>/lines", permission=COUNT, query=schemas.LinesQuery)
def sheet_lines(call: Call, sheet_id: int) -> dict[str, Any]:
    """盘点明细（分段读取）"""
    _sheet(call, sheet_id)
    return queries.lines(call.session, sheet_id, **call.query)


@routes.post("/sheets/<int:sheet_id>/counts", permission=COUNT, body=schemas.CountsIn, value=True)
def enter_counts(call: Call, sheet_id: int) -> dict[str, Any]:
    """录入实盘数"""
    _sheet(call, sheet_id)
    counts = [Count(**line) for line in call.body["counts"]]
    return {"items": stocktake.count(call.session, call.actor, sheet_id, counts, again=call.body["again"])}


@routes.post("/sheets/<int:sheet_id>/scans", permission=COUNT, body=schemas.ScansIn, out=schemas.ScannedOut, value=True)
def scan(call: Call, sheet_id: int) -> dict[str, Any]:
    """扫描追溯码或批号清点，一码一个包装；单上没有的、扫过的、账上不在本库的码另行列出"""
    _sheet(call, sheet_id)
    return stocktake.scan(call.session, call.actor, sheet_id, call.body["codes"])


@routes.get("/sheets/<int:sheet_id>/differences", permission=COUNT, query=schemas.PreviewQuery, out=schemas.PreviewOut)
def differences(call: Call, sheet_id: int) -> dict[str, Any]:
    """盘盈盘亏预览"""
    _sheet(call, sheet_id)
    return queries.preview(call.session, sheet_id, **call.query)


@routes.post("/sheets/<int:sheet_id>/post", permission=ADJUST, body=schemas.PostIn, out=schemas.PostedOut, value=True)
def post(call: Call, sheet_id: int) -> dict[str, Any]:
    """盘点过账"""
    _sheet(call, sheet_id, ADJUST)
    return stocktake.post(call.session, call.actor, sheet_id, **call.body)


@routes.post("/sheets/<int:sheet_id>/cancel", permission=COUNT, body=ReasonIn, out=schemas.SheetOut, value=True)
def cancel_sheet(call: Call, sheet_id: int) -> dict[str, Any]:
    """作废盘点单"""
    _sheet(call, sheet_id)
    stocktake.cancel(call.session, call.actor, sheet_id, reason=call.body["reason"])
    return queries.sheet(call.session, sheet_id)


@routes.post("/sheets/<int:sheet_id>/merge", permission=COUNT, body=schemas.MergeIn, out=schemas.LineStatesOut, value=True)
def merge(call: Call, sheet_id: int) -> dict[str, Any]:
    """合并批号（麻醉、精神药品除外）"""
    _sheet(call, sheet_id)
    stocktake.merge(call.session, call.actor, sheet_id, **call.body)
    return {"items": queries.line_states(call.session, sheet_id, [*call.body["positions"], call.body["into"]])}
