"""Asking for, and approving, a large export; what lets one pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, of
from his_server.errors import Conflict, Forbidden, NotFound
from his_server.exports.models import ExportRequest
from his_server.exports.settings import LIMIT, ROWS
from his_server.security import audit

GOOD_FOR = timedelta(hours=24)
LOOKED_AT = 200
"""Requests of one person for one report that are looked through, the newest first."""


def limit_of(session: Session) -> int:
    """How many rows may leave unasked."""
    return int(of(session).ports.get(LIMIT, ROWS))


def canonical(filters: Mapping[str, str]) -> str:
    """Filters as they are kept and compared: JSON with sorted names, without empty ones."""
    return json.dumps({k: v for k, v in filters.items() if v != ""}, ensure_ascii=False, sort_keys=True)


def approval(session: Session, actor: Actor, report: str, filters: Mapping[str, str], rows: int) -> ExportRequest | None:
    """What lets a file of so many rows out: nothing is needed, or another person's approval of just this.

    :raises Forbidden: it isn't approved (any more): not asked for, waiting, declined; the text says which and what to do.
    """
    limit = limit_of(session)
    if rows <= limit:
        return None
    mine = _newest(session, actor, report, filters)
    at = now(session)
    if mine is not None and mine.state == "approved" and mine.valid_until is not None and mine.valid_until > at:
        return mine
    much = f"本次 {rows} 行，超过 {limit} 行"
    if mine is not None and mine.state == "requested":
        raise Forbidden("exports.waiting", f"{much}，您已于 {local(mine.requested_at):%m-%d %H:%M} 申请，批准后再导出或打印")
    if mine is not None and mine.state == "declined" and mine.decided_at is not None and at - mine.decided_at < GOOD_FOR:
        when = f"{local(mine.decided_at):%m-%d %H:%M}"
        raise Forbidden("exports.declined", f"{much}，您的申请已由 {mine.decided_by_name} 于 {when} 驳回，"
                                            "请缩小查询范围，或与审批人联系后另行申请")
    raise Forbidden("exports.needs_approval", f"{much}，须写明用途、经他人批准后才能导出或打印（按“导出 Excel”提出申请），"
                                              "或缩小查询范围")


def _newest(session: Session, actor: Actor, report: str, filters: Mapping[str, str]) -> ExportRequest | None:
    """One's own newest request for this report with these filters."""
    wanted = canonical(filters)
    rows = session.scalars(
        select(ExportRequest).where(ExportRequest.requested_by == actor.user_id, ExportRequest.report == report)
        .order_by(ExportRequest.requested_at.desc(), ExportRequest.id.desc()).limit(LOOKED_AT))
    return next((row for row in rows if row.filters == wanted), None)


def ask(session: Session, actor: Actor, *, report: str, title: str, filters: Mapping[str, str], rows: int,
        reason: str) -> ExportRequest:
    """Ask to let a large export out. :raises Conflict: it needs no approval, or is asked for or approved already."""
    if rows <= limit_of(session):
        raise Conflict("exports.not_needed", f"共 {rows} 行，不超过 {limit_of(session)} 行，可直接导出")
    mine, at = _newest(session, actor, report, filters), now(session)
    if mine is not None and mine.state == "requested":
        raise Conflict("exports.waiting", f"您已于 {local(mine.requested_at):%m-%d %H:%M} 申请，请等待批准")
    if mine is not None and mine.state == "approved" and mine.valid_until is not None and mine.valid_until > at:
        raise Conflict("exports.approved", f"已由 {mine.decided_by_name} 批准，请直接导出")
    made = ExportRequest(report=report, title=title, filters=canonical(filters), row_count=rows, reason=reason, state="requested",
                         requested_by=actor.user_id, requested_by_name=actor.name, requested_at=at)
    session.add(made)
    session.flush()
    audit.record(session, actor, "export.ask", "export_request", made.id,
                 {"report": report, "filters": dict(filters), "rows": rows, "reason": reason})
    return made


def decide(session: Session, actor: Actor, request_id: int, *, approve: bool) -> ExportRequest:
    """Approve or decline; never one's own request.

    :raises NotFound: there is none. :raises Forbidden: one's own. :raises Conflict: decided already, by whom and when.
    """
    found = session.get(ExportRequest, request_id)
    if found is None:
        raise NotFound("exports.request", "没有这条申请，请刷新后重试")
    if found.requested_by == actor.user_id:
        raise Forbidden("exports.own", "不能审批自己的申请，请由他人审批")
    at = now(session)
    if not portable.guarded_update(
            session, ExportRequest, (ExportRequest.id == request_id) & (ExportRequest.state == "requested"),
            {"state": "approved" if approve else "declined", "decided_by": actor.user_id, "decided_by_name": actor.name,
             "decided_at": at, "valid_until": at + GOOD_FOR if approve else None}):
        session.refresh(found)
        when = f"{local(found.decided_at):%m-%d %H:%M}" if found.decided_at else ""
        raise Conflict("exports.decided", f"该申请已由 {found.decided_by_name} 于 {when} 处理，请刷新查看")
    session.refresh(found)
    audit.record(session, actor, "export.approve" if approve else "export.decline", "export_request", request_id,
                 {"report": found.report, "rows": found.row_count})
    return found


def requests(session: Session, *, state: str | None, limit: int, after: str | None) -> dict[str, Any]:
    """A page of requests, newest first; one query, by index."""
    statement = select(ExportRequest)
    if state:
        statement = statement.where(ExportRequest.state == state)
    rows = list(session.scalars(portable.keyset(
        statement, [(ExportRequest.requested_at, "desc"), (ExportRequest.id, "desc")],
        portable.decode_cursor(after) if after else None, limit + 1)))
    last = rows[limit - 1] if len(rows) > limit else None
    return {"items": rows[:limit], "next": portable.encode_cursor((last.requested_at, last.id)) if last else None}
