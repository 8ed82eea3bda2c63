"""Routes of the log page and the registry."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import current_app

from his_server.http import Call, Routes
from interfaces.hub import queries, schemas, service
from interfaces.hub.manifests import all_manifests

VIEW = "hub.view"
UNMASK = "hub.unmask"
REPLAY = "hub.replay"
routes = Routes("hub", "/api/hub", tag="hub")


@routes.get("/calls", permission=VIEW, query=schemas.CallsQuery, out=schemas.CallsOut)
def calls(call: Call) -> dict[str, Any]:
    """接口调用查询（一个搜索框：病人、业务号、交易、报错文字）"""
    return queries.search(call.session, call.actor, **call.query)


@routes.get("/calls/<int:call_id>", permission=VIEW, out=schemas.CallOut)
def detail(call: Call, call_id: int) -> dict[str, Any]:
    """接口调用明细（报文脱敏）"""
    return queries.detail(call.session, call_id)


@routes.get("/calls/<int:call_id>/timeline", permission=VIEW, out=schemas.TimelineOut)
def timeline(call: Call, call_id: int) -> dict[str, Any]:
    """一笔业务跨系统的时间线"""
    return queries.timeline(call.session, call_id)


@routes.post("/calls/<int:call_id>/unmask", permission=UNMASK, body=schemas.ReasonIn, out=schemas.BodiesOut)
def unmask(call: Call, call_id: int) -> dict[str, Any]:
    """查看完整报文（须写原因，留痕）"""
    return service.unmask(call.session, call.actor, call_id, **call.body)


@routes.post("/calls/<int:call_id>/replay", permission=REPLAY, body=schemas.ReasonIn, out=schemas.ReplayOut,
             effect="manual")
def replay(call: Call, call_id: int) -> dict[str, Any]:
    """重查或重发"""
    return {"message": service.replay(call.database, call.actor, call_id, **call.body)}


@routes.get("/statistics", permission=VIEW, query=schemas.StatisticsQuery, out=schemas.StatisticsOut)
def statistics(call: Call) -> dict[str, Any]:
    """各接口调用量、错误与耗时"""
    return queries.statistics(call.session, call.query["hours"])


@routes.get("/registry", permission=VIEW, out=schemas.RegistryOut)
def registry(call: Call) -> dict[str, Any]:
    """接口登记表"""
    loaded = {module.name for module in current_app.extensions["his_hospital"].modules}
    return {"items": [{**asdict(manifest), "bound": manifest.package in loaded} for manifest in all_manifests().values()]}
