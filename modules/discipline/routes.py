"""Routes of the discipline office."""

from __future__ import annotations

from typing import Any

from his_server.http import Call, Routes
from modules.discipline import queries, schemas, service
from modules.discipline.reports import STATISTICS

routes = Routes("discipline", "/api/discipline", tag="discipline")
APPROVE = "discipline.approve_statistics"


@routes.get("/grants", permission=STATISTICS, query=schemas.GrantsQuery, out=schemas.GrantsOut)
def grants(call: Call) -> dict[str, Any]:
    """医生用药统计申请列表"""
    me = call.actor.user_id
    return {"items": [{**row, "mine": row["requested_by"] == me}
                      for row in queries.grants(call.session, call.query["state"])]}


@routes.post("/grants", permission=STATISTICS, body=schemas.GrantIn, value=True, status=201)
def ask(call: Call) -> dict[str, Any]:
    """申请查看医生用药统计"""
    made = service.ask(call.session, call.actor, **call.body)
    return {"id": made.id, "state": made.state}


@routes.post("/grants/<int:grant_id>/decide", permission=APPROVE, body=schemas.DecideIn)
def decide(call: Call, grant_id: int) -> dict[str, Any]:
    """审批医生用药统计申请"""
    found = service.decide(call.session, call.actor, grant_id, approve=call.body["approve"])
    return {"id": found.id, "state": found.state}
