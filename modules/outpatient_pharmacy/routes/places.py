"""Routes of a store's windows, rule and shelves."""

from __future__ import annotations

from typing import Any

from his_server.http import Call
from modules.kernel.dispensing import service as kernel
from modules.outpatient_pharmacy import schemas
from modules.outpatient_pharmacy.queries import places
from modules.outpatient_pharmacy.routes.base import DISPENSE, SET_UP, STOCK, routes
from modules.outpatient_pharmacy.service import setting_up
from modules.outpatient_pharmacy.service.scoping import store_for


@routes.get("/windows", permission=STOCK, query=schemas.StoreQuery, out=schemas.WindowsOut)
def windows(call: Call) -> dict[str, Any]:
    """取药窗口"""
    store_for(call.session, call.actor, STOCK, call.query["store_id"])
    return {"items": places.windows(call.session, call.query["store_id"])}


@routes.post("/windows", permission=SET_UP, body=schemas.WindowIn, out=schemas.WindowOut, value=True, status=201)
def add_window(call: Call) -> Any:
    """新增取药窗口"""
    body = call.body
    return setting_up.add_window(call.session, call.actor, body["store_id"], number=body["number"], name=body["name"])


@routes.post("/windows/<int:window_id>/state", permission=DISPENSE, body=schemas.WindowStateIn, out=schemas.WindowOut)
def switch_window(call: Call, window_id: int) -> Any:
    """开放、关闭取药窗口"""
    return setting_up.switch_window(call.session, call.actor, window_id, state=call.body["state"], permission=DISPENSE)


@routes.get("/rules/<int:store_id>", permission=STOCK, out=schemas.StoreRuleOut)
def rule(call: Call, store_id: int) -> Any:
    """药房规则"""
    store_for(call.session, call.actor, STOCK, store_id)
    return kernel.rule_of(call.session, store_id)


@routes.put("/rules/<int:store_id>", permission=SET_UP, body=schemas.StoreRuleFields, out=schemas.StoreRuleOut)
def set_rule(call: Call, store_id: int) -> Any:
    """修改药房规则（审方、退药审核、夜间窗口、开放时间）"""
    return setting_up.set_rule(call.session, call.actor, store_id, call.body)


@routes.get("/locations", permission=STOCK, query=schemas.LocationsQuery, out=schemas.LocationsOut)
def locations(call: Call) -> dict[str, Any]:
    """药品货位"""
    store_for(call.session, call.actor, STOCK, call.query["store_id"])
    return places.locations(call.session, call.query["store_id"], call.query["q"], missing=call.query["missing"])


@routes.put("/locations", permission=SET_UP, body=schemas.ShelvesIn, out=schemas.SetOut)
def set_locations(call: Call) -> dict[str, int]:
    """设置药品货位"""
    return {"set": setting_up.set_locations(call.session, call.actor, call.body["store_id"], call.body["items"])}
