"""The pharmacists' screen of the machine: what it was given, and what somebody has to look at."""

from __future__ import annotations

from typing import Any

from dialects import portable
from his_server.clock import local
from his_server.db import now
from his_server.errors import Conflict, NotFound
from his_server.http import Call, Routes
from his_server.security import audit
from interfaces.dispensing_machine import queries, schemas
from interfaces.dispensing_machine.models import MachineOrder

LOOK = "dispensing_machine.look"
routes = Routes("dispensing_machine", "/api/dispensing-machine", tag="dispensing-machine")


@routes.get("/orders", permission=LOOK, query=schemas.OrdersQuery, out=schemas.OrdersOut)
def orders(call: Call) -> dict[str, Any]:
    """发药机处方（需处理的、传送中的、全部）"""
    return queries.orders(call.session, **call.query)


@routes.post("/orders/<int:order_id>/seen", permission=LOOK, body=schemas.SeenIn)
def seen(call: Call, order_id: int) -> dict[str, Any]:
    """已处理发药机报警（写明做了什么，留痕）"""
    found = call.session.get(MachineOrder, order_id)
    if found is None:
        raise NotFound("machine.order", "没有这张发药机处方，请刷新后重试")
    note = f"{call.body['reason']}（{call.actor.name}）"
    if not portable.guarded_update(call.session, MachineOrder, (MachineOrder.id == order_id) & MachineOrder.alarm,
                                   {"alarm": False, "note": note, "changed_at": now(call.session)}):
        when = f"{local(found.changed_at):%m-%d %H:%M}"
        raise Conflict("machine.seen", f"该报警已于 {when} 处理：{found.note or '已恢复'}，请刷新列表")
    audit.record(call.session, call.actor, "machine.seen", "machine_order", order_id,
                 {"number": found.number, "reason": call.body["reason"]})
    return {"id": order_id}
