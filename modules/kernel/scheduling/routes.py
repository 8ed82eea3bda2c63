"""Routes of scheduling: what every workstation and channel may read."""

from __future__ import annotations

from his_server.db import today
from his_server.http import Call, Routes
from modules.kernel.scheduling import queries, schemas

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
