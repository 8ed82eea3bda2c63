"""Large exports over the wire: asked for by who may see the report, decided on by somebody else."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from his_server.exports import service
from his_server.exports.models import ExportRequest
from his_server.exports.settings import LIMIT, Settings
from his_server.http import SIGNED_IN, Call, Routes
from his_server.module import MenuItem, Module, Permission
from his_server.registry import module_settings
from his_server.reporting_routes import opened
from his_server.security.events import name_events
from his_server.wire import Choice, PageQuery, Text, paged

routes = Routes("exports", "/api/exports", tag="exports")
APPROVE = "exports.approve"
name_events({"export.ask": "申请大量导出", "export.approve": "批准大量导出", "export.decline": "驳回大量导出"})


class AskIn(Schema):
    """Which report, with the filters of the screen, and what for."""

    report = Text(required=True, min=1, max=60)
    filters = fields.Dict(keys=Text(max=40), values=Text(max=200), required=True)
    reason = Text(required=True, min=2, max=200)


class DecideIn(Schema):
    """The second person's decision."""

    approve = fields.Boolean(required=True)


class RequestsQuery(PageQuery):
    """Requests in a state; without one all."""

    state = Choice("requested", "approved", "declined", load_default=None)


class RequestOut(Schema):
    """A request and what became of it."""

    id = fields.Integer()
    report = fields.String()
    title = fields.String()
    filters = fields.String()
    row_count = fields.Integer()
    reason = fields.String()
    state = fields.String()
    mine = fields.Boolean()
    requested_by_name = fields.String()
    requested_at = fields.DateTime()
    decided_by_name = fields.String(allow_none=True)
    decided_at = fields.DateTime(allow_none=True)
    valid_until = fields.DateTime(allow_none=True)


RequestsOut = paged(RequestOut)


@routes.get("", permission=APPROVE, query=RequestsQuery, out=RequestsOut)
def requests(call: Call) -> dict[str, Any]:
    """大量导出的申请，新的在前"""
    page = service.requests(call.session, **call.query)
    return {**page, "items": [_shown(call, one) for one in page["items"]]}


def _shown(call: Call, one: ExportRequest) -> dict[str, Any]:
    return {**{name: getattr(one, name) for name in RequestOut._declared_fields if name != "mine"},
            "mine": one.requested_by == call.actor.user_id}


@routes.post("", permission=SIGNED_IN, body=AskIn, value=True, status=201)
def ask(call: Call) -> dict[str, Any]:
    """申请导出或打印行数超过限额的报表"""
    source, args = opened(call, call.body["report"], call.body["filters"])
    report, rows = source.build(call.session, call.actor, args)
    made = service.ask(call.session, call.actor, report=source.name, title=report.title, filters=call.body["filters"],
                       rows=sum(1 for _ in rows), reason=call.body["reason"])
    return {"id": made.id, "state": made.state}


@routes.post("/<int:request_id>/decide", permission=APPROVE, body=DecideIn)
def decide(call: Call, request_id: int) -> dict[str, Any]:
    """审批大量导出（不能审批自己的申请）"""
    found = service.decide(call.session, call.actor, request_id, approve=call.body["approve"])
    return {"id": found.id, "state": found.state}


module = Module(
    name="exports",
    title="导出审批",
    routes=(routes,),
    permissions=(Permission(APPROVE, "审批大量导出", ("medical_affairs", "finance")),),
    menu=(MenuItem("系统", "导出审批", "/exports", "platform/exports/approvals", APPROVE, 85),),
    settings=Settings,
    ports={LIMIT: lambda house, _database: module_settings(module, house).approve_rows},
)
