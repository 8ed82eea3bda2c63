"""Routes of the message page, and what messaging declares of itself.

The declaration stands here and not in ``__init__``: every module imports the outbox, and must not load routes.
"""

from __future__ import annotations

from typing import Any

from his_server.http import Call, Routes
from his_server.messaging import queries, schemas, service
from his_server.messaging.outbox import Delivery
from his_server.module import Job, MenuItem, Module, Permission

MANAGE = "messaging.manage"
routes = Routes("messaging", "/api/messaging", tag="messaging")


@routes.get("/deliveries", permission=MANAGE, query=schemas.DeliveryQuery, out=schemas.DeliveryPage)
def list_deliveries(call: Call) -> dict[str, Any]:
    """接口消息列表"""
    return queries.deliveries(call.session, **call.query)


@routes.get("/overview", permission=MANAGE, out=schemas.Overview)
def overview(call: Call) -> dict[str, Any]:
    """未完成消息与定时任务概况"""
    return queries.counts(call.session)


def _answer(delivery: Delivery) -> dict[str, Any]:
    return {"id": delivery.id, "state": delivery.state, "decision": delivery.decision}


@routes.post("/deliveries/<int:delivery_id>/resend", permission=MANAGE, body=schemas.Reason, out=schemas.DeliveryOut)
def resend(call: Call, delivery_id: int) -> dict[str, Any]:
    """重新发送"""
    return _answer(service.resend(call.session, call.actor, delivery_id, **call.body))


@routes.post("/deliveries/<int:delivery_id>/confirm", permission=MANAGE, body=schemas.Reason,
             out=schemas.DeliveryOut)
def confirm(call: Call, delivery_id: int) -> dict[str, Any]:
    """确认对方已收到"""
    return _answer(service.confirm(call.session, call.actor, delivery_id, **call.body))


@routes.post("/deliveries/<int:delivery_id>/drop", permission=MANAGE, body=schemas.Reason, out=schemas.DeliveryOut)
def drop(call: Call, delivery_id: int) -> dict[str, Any]:
    """放弃发送"""
    return _answer(service.drop(call.session, call.actor, delivery_id, **call.body))


module = Module(
    name="messaging",
    title="接口消息",
    routes=(routes,),
    permissions=(Permission(MANAGE, "查看与处理接口消息", ("sysadmin",)),),
    menu=(MenuItem("系统", "接口消息", "/deliveries", "platform/messaging/deliveries", MANAGE, 96),),
    jobs=(Job("messaging-purge", "清理过期消息", service.purge, at="03:10"),),
)
