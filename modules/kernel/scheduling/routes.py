"""Routes of scheduling: what every workstation and channel may read."""

from __future__ import annotations

from his_server.db import today
from his_server.http import Call, Routes
from modules.kernel.scheduling import queries, schemas, service

routes = Routes("kernel.scheduling", "/api/scheduling", tag="scheduling")


@routes.get("/sessions", permission="scheduling.view", query=schemas.SessionQuery, out=schemas.SessionsOut)
def sessions(call: Call) -> dict[str, object]:
    """号源列表"""
    day = call.query["day"] or today(call.session)
    return {"items": queries.sessions_of(call.session, day, call.query["department_id"])}


@routes.get("/registrations", permission="scheduling.view", query=schemas.RegistrationsQuery,
            out=schemas.RegistrationsOut)
def registrations(call: Call) -> dict[str, object]:
    """挂号记录"""
    day = call.query["day"] or (None if call.query["person_id"] else today(call.session))
    return {"items": queries.registrations_of(call.session, person_id=call.query["person_id"], day=day)}


@routes.get("/extra-slots", permission="scheduling.view", query=schemas.ExtraSlotsQuery, out=schemas.ExtraSlotsOut)
def extra_slots(call: Call) -> dict[str, object]:
    """加号列表"""
    return {"items": queries.extra_slots(call.session, **call.query)}


@routes.post("/sessions/<int:session_id>/extra-slots", permission="scheduling.add_slot", body=schemas.ExtraSlotIn,
             value=True, status=201)
def grant_extra(call: Call, session_id: int) -> dict[str, object]:
    """加号（指定病人）"""
    made = service.grant_extra(call.session, call.actor, session_id, **call.body)
    return {"id": made.id, "state": made.state}


@routes.delete("/extra-slots/<int:extra_id>", permission="scheduling.add_slot", status=204)
def withdraw_extra(call: Call, extra_id: int) -> None:
    """撤回加号"""
    service.withdraw_extra(call.session, call.actor, extra_id)
