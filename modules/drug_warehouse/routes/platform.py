"""Routes of the sunshine-procurement platform (M6.3)."""

from __future__ import annotations

from typing import Any

from his_server.http import Call
from modules.drug_warehouse import queries, schemas
from modules.drug_warehouse.routes import BUY, RECEIVE, VIEW, routes
from modules.drug_warehouse.service import receiving, sunshine


@routes.get("/matches", permission=VIEW, query=schemas.MatchesQuery)
def matches(call: Call) -> dict[str, Any]:
    """阳光采购目录匹配"""
    return {**queries.matches(call.session, **call.query), "counts": queries.match_counts(call.session)}


@routes.get("/drugs/<int:drug_id>/suggestions", permission=VIEW)
def suggestions(call: Call, drug_id: int) -> dict[str, Any]:
    """匹配建议"""
    return {"items": sunshine.suggest(call.session, drug_id)}


@routes.post("/matches", permission=BUY, body=schemas.MatchIn, value=True, status=201)
def match(call: Call) -> dict[str, Any]:
    """确认匹配与换算比例"""
    return {"id": sunshine.match(call.session, call.actor, **call.body).id}


@routes.delete("/matches/<int:match_id>", permission=BUY)
def unmatch(call: Call, match_id: int) -> dict[str, Any]:
    """取消匹配"""
    sunshine.unmatch(call.session, call.actor, match_id)
    return {"id": match_id}


@routes.get("/orders/<int:order_id>/deliveries", permission=VIEW)
def deliveries(call: Call, order_id: int) -> dict[str, Any]:
    """平台配送与上报情况"""
    return queries.deliveries(call.session, order_id)


@routes.post("/orders/<int:order_id>/deliveries", permission=RECEIVE, body=schemas.DeliveryIn, value=True, status=201)
def take_delivery(call: Call, order_id: int) -> dict[str, Any]:
    """按平台配送收货，生成到货验收单"""
    made = sunshine.arrive(call.session, call.actor, order_id, call.body["lines"])
    return receiving.detail(call.session, made.id)


@routes.post("/orders/<int:order_id>/give-back", permission=RECEIVE, body=schemas.GiveBackIn, value=True)
def give_back(call: Call, order_id: int) -> dict[str, Any]:
    """平台退货"""
    sunshine.give_back(call.session, call.actor, order_id, **call.body)
    return queries.deliveries(call.session, order_id)
