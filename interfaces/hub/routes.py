"""Routes of the log page, the registry and the partners' page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, current_app

from his_server.errors import NotFound
from his_server.http import Call, Routes, dumps
from his_server.messaging.queries import counts as messages
from interfaces.hub import partners, queries, schemas, service, unknowns
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
    """接口登记表：版本、负责科室、线路、待发与滞留消息"""
    loaded = {module.name for module in current_app.extensions["his_hospital"].modules}
    lines, open_ones = unknowns.overview(call.session), messages(call.session)["deliveries"]

    def count(package: str, *states: str) -> int:
        return sum(one["count"] for one in open_ones if one["destination"] == package and one["state"] in states)

    return {"items": [{**asdict(manifest), **lines[package], "bound": package in loaded,
                       "waiting": count(package, "waiting", "sending"), "stuck": count(package, "asked", "dead")}
                      for package, manifest in all_manifests().items()]}


# The worklist of what has no clear outcome

@routes.get("/unknowns", permission=VIEW, query=schemas.UnknownsQuery, out=schemas.UnknownsOut)
def list_unknowns(call: Call) -> dict[str, Any]:
    """未明与滞留：没有结果的往来、发不出去的消息"""
    return unknowns.listing(call.session, **call.query)


@routes.get("/unknowns/<string:kind>/<int:row_id>", permission=VIEW, out=schemas.UnknownOut)
def unknown(call: Call, kind: str, row_id: int) -> dict[str, Any]:
    """一笔未明业务的全部尝试"""
    return unknowns.detail(call.session, kind, row_id)


@routes.post("/unknowns/intents/<int:intent_id>/ask", permission=REPLAY, body=schemas.ReasonIn, out=schemas.ReplayOut,
             effect="manual")
def ask(call: Call, intent_id: int) -> dict[str, Any]:
    """向对方查询一笔往来的结果"""
    return {"message": unknowns.ask(call.database, call.actor, intent_id, **call.body)}


@routes.post("/unknowns/deliveries/<int:delivery_id>/<string:decision>", permission=REPLAY, body=schemas.ReasonIn,
             out=schemas.ReplayOut)
def decide_delivery(call: Call, delivery_id: int, decision: str) -> dict[str, Any]:
    """重新发送、确认已收到或放弃一条消息"""
    if decision not in unknowns.DECISIONS:
        raise NotFound("hub.decision", "没有这种处理方式")
    row = unknowns.DECISIONS[decision](call.session, call.actor, delivery_id, **call.body)
    return {"message": unknowns.STATES[row.state]}


# Partners that call us

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
def partner_document(call: Call, partner_id: int) -> Response:
    """该外部系统可用接口的 OpenAPI 文档"""
    found = partners.document(call.session, partner_id)
    return Response(dumps(found), mimetype="application/json", headers={
        "Content-Disposition": f'attachment; filename="openapi-{partners.find(call.session, partner_id).code}.json"'})
