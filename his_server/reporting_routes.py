"""Reports and live topics of all modules, behind two routes: one description → screen, xlsx, PDF; one topic → events."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Response, current_app, request
from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema
from sqlalchemy.orm import Session

from his_server import reporting
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, numbering, of
from his_server.errors import Forbidden, Invalid, NotFound
from his_server.exports import service as exports
from his_server.http import SIGNED_IN, Call, Routes, dumps, flatten
from his_server.module import Module, ReportSource
from his_server.security import audit
from his_server.wire import Day

routes = Routes("reporting", "/api", tag="reports")
RETRY_MS = 2000
COPIES = "report.copies"
"""Counts how often a report was printed with the same content."""
TYPES = {"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "pdf": "application/pdf"}


@routes.get("/reports", permission=SIGNED_IN)
def list_reports(call: Call) -> dict[str, object]:
    """可用的报表；行数超过 approve_rows 的导出与打印须经他人批准"""
    known = current_app.extensions["his_hospital"].reports
    return {"items": [{"name": r.name, "title": r.title} for r in known.values() if call.actor.can(r.permission)],
            "approve_rows": exports.limit_of(call.session)}


def opened(call: Call, name: str, given: Mapping[str, str]) -> tuple[ReportSource, dict[str, Any]]:
    """A report that the caller may see, and what is asked of it. :raises NotFound: :raises Forbidden: :raises Invalid: named."""
    source = current_app.extensions["his_hospital"].reports.get(name)
    if source is None:
        raise NotFound("report.unknown", "没有这个报表，请从菜单进入")
    if not call.actor.can(source.permission):
        raise Forbidden("permission.denied", "您没有查看该报表的权限，如需使用请联系安全管理员")
    try:
        return source, source.args(unknown=RAISE).load(given)
    except ValidationError as error:
        raise Invalid("input.invalid", "查询条件有误，请按提示修改", flatten(error.messages)) from error


@routes.get("/reports/<name>", permission=SIGNED_IN)
def show_report(call: Call, name: str) -> Response:
    """查看、导出或打印报表（format=json|xlsx|pdf）"""
    given = request.args.to_dict()
    form = given.pop("format", "json")
    if form not in ("json", *TYPES):
        raise Invalid("report.format", "报表格式只能是 json、xlsx、pdf")
    try:
        source, args = opened(call, name, given)
    except Forbidden:
        current_app.extensions["his_security"].denied(call.actor, current_app.extensions["his_hospital"].reports[name])
        raise
    report, rows = source.build(call.session, call.actor, args)
    if form == "json":
        return Response(dumps(reporting.to_json(report, rows)), mimetype="application/json")
    rows = list(rows)
    consent = exports.approval(call.session, call.actor, name, given, len(rows))
    file = io.BytesIO()
    stamp = f"{call.actor.name} {local(now(call.session)):%Y-%m-%d %H:%M}"
    if form == "xlsx":
        count = reporting.to_xlsx(report, rows, file, stamp=stamp)
        digest = hashlib.new("sm3", file.getvalue()).hexdigest()
        audit.record(call.session, call.actor, "report.xlsx", "report", name, {
            "args": given, "rows": count, "sm3": digest, **({"approval": consent.id} if consent else {})})
    else:
        copy = count_print(call.session, call.actor, name, given, reporting.to_json(report, rows))
        reporting.to_pdf(report, rows, file, watermark=stamp, reprint=f"补打 第{copy}次" if copy > 1 else None)
    answer = Response(file.getvalue(), mimetype=TYPES[form])
    disposition = "inline" if form == "pdf" else "attachment"
    answer.headers["Content-Disposition"] = f'{disposition}; filename="{name}.{form}"'
    return answer


def count_print(session: Session, actor: Actor, name: str, given: dict[str, str], content: dict[str, Any]) -> int:
    """Write a printing down and number it: the second paper with the same content is a reprint, whoever prints it (M1.6).

    A report of a day that still runs says something else an hour later: that is no copy. Counted in a transaction of its own,
    since a report only reads; of two who print at once each gets a number of its own.
    """
    digest = hashlib.new("sm3", f"{name}#{dumps(content)}".encode()).hexdigest()[:40]
    with of(session).apart() as counting:
        copy = numbering.count(counting, COPIES, digest)
    audit.record(session, actor, "report.pdf", "report", f"{name}#{digest[:16]}", {"args": given, "copy": copy})
    return copy


@routes.get("/live/<topic>", permission=SIGNED_IN)
def live(call: Call, topic: str) -> Response:
    """实时消息（SSE）：状态变化时推送，随即断开，由浏览器按 retry 重连，不占用线程"""
    found = current_app.extensions["his_hospital"].live.get(topic)
    if found is None:
        raise NotFound("live.unknown", "没有这个实时消息")
    if not call.actor.can(found.permission):
        raise Forbidden("permission.denied", "您没有该实时消息的权限")
    state = json.dumps(found.state(call.session, call.actor, request.args.to_dict()), ensure_ascii=False,
                       sort_keys=True, default=str)
    mark = hashlib.new("sm3", state.encode()).hexdigest()[:16]
    text = f"retry: {RETRY_MS}\n"
    if request.headers.get("Last-Event-ID") != mark:
        text += f"id: {mark}\ndata: {state}\n"
    return Response(text + "\n", mimetype="text/event-stream")


class DayRange(Schema):
    """The usual query of a report: business days ``from`` … ``to``, both included, in order and no more of them than ``longest``:
    nobody waits for a mistyped year."""

    longest, longest_told = timedelta(days=366), "一年"
    start = Day(data_key="from", required=True)
    end = Day(data_key="to", required=True)
    search = fields.String(load_default="", validate=validate.Length(max=50, error="最多 50 个字"))

    @validates_schema
    def check_days(self, data: Mapping[str, Any], **_: Any) -> None:
        """The days are in order and not too many."""
        if "start" not in data or "end" not in data:
            return
        if data["end"] < data["start"]:
            raise ValidationError("结束日期不能早于开始日期", "to")
        if data["end"] - data["start"] > self.longest:
            raise ValidationError(f"一次最多查询{self.longest_told}", "to")


module = Module(name="reporting", title="报表", routes=(routes,))
