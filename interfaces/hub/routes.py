"""Routes of the log page, the registry and the partners' page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import current_app

from his_server.http import Call, Routes
from interfaces.hub import partners, queries, schemas, service
from interfaces.hub.manifests import all_manifests

VIEW = "hub.view"
UNMASK = "hub.unmask"
REPLAY = "hub.replay"
PARTNERS = "hub.partners"
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


@routes.get("/partners", permission=PARTNERS, out=schemas.PartnersOut)
def list_partners(call: Call) -> dict[str, Any]:
    """外部系统：密钥、授权、近七日调用"""
    return {"items": partners.listing(call.session)}


@routes.get("/use-cases", permission=PARTNERS, out=schemas.UseCasesOut)
def use_cases(_call: Call) -> dict[str, Any]:
    """可授权的接口与字段"""
    return {"items": partners.use_cases()}


@routes.post("/partners", permission=PARTNERS, body=schemas.PartnerIn, out=schemas.MadeOut, value=True, status=201)
def add_partner(call: Call) -> Any:
    """登记外部系统"""
    return partners.create(call.session, call.actor, **call.body)


@routes.put("/partners/<int:partner_id>", permission=PARTNERS, body=schemas.PartnerChange, out=schemas.MadeOut)
def change_partner(call: Call, partner_id: int) -> Any:
    """修改、停用外部系统"""
    return partners.change(call.session, call.actor, partner_id, **call.body)


@routes.put("/partners/<int:partner_id>/grants", permission=PARTNERS, body=schemas.GrantsIn, out=schemas.MadeOut)
def grant_partner(call: Call, partner_id: int) -> Any:
    """授权接口与字段"""
    return partners.grant(call.session, call.actor, partner_id, **call.body)


@routes.get("/partners/<int:partner_id>/openapi", permission=PARTNERS)
def partner_document(call: Call, partner_id: int) -> dict[str, Any]:
    """该外部系统可用接口的 OpenAPI 文档"""
    return partners.document(call.session, partner_id)
