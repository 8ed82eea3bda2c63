"""Reads of drug notices (M6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import today
from modules.kernel.masterdata.models import Drug
from modules.kernel.stock.models import DrugNotice, NoticeRead
from modules.kernel.stock.service.notices import KINDS, in_force


def listed(session: Session, actor: Actor, *, view: str, after: str | None, limit: int) -> dict[str, Any]:
    """Notices, newest first, with whether the actor has read them and how many have. Two queries."""
    mine = select(NoticeRead.id).where(NoticeRead.notice_id == DrugNotice.id, NoticeRead.user_id == actor.user_id).exists()
    day = today(session)
    statement: Any = (select(DrugNotice, Drug.code, Drug.name, Drug.spec, mine.label("seen"))
                      .join(Drug, Drug.id == DrugNotice.drug_id))
    if view == "current":
        statement = statement.where(*in_force(day))
    rows = session.execute(portable.keyset(
        statement, [(DrugNotice.made_at, "desc"), (DrugNotice.id, "desc")],
        portable.decode_cursor(after) if after else None, limit + 1)).all()
    readers = {row[0]: row[1] for row in session.execute(
        select(NoticeRead.notice_id, func.count()).where(NoticeRead.notice_id.in_([r.DrugNotice.id for r in rows]))
        .group_by(NoticeRead.notice_id))} if rows else {}
    columns = ("id", "number", "kind", "drug_id", "reason", "substitute", "state", "valid_from", "valid_to", "made_at",
               "made_by_name", "ended_at", "ended_by_name", "end_reason")
    items = []
    for notice, code, name, spec, seen in rows[:limit]:
        current = notice.state == "published" and notice.valid_from <= day and (
            notice.valid_to is None or notice.valid_to >= day)
        items.append({**{c: getattr(notice, c) for c in columns}, "kind_name": KINDS[notice.kind], "code": code,
                      "name": name, "spec": spec, "in_force": current, "read": bool(seen),
                      "readers": readers.get(notice.id, 0)})
    last = rows[limit - 1].DrugNotice if len(rows) > limit else None
    return {"items": items, "next": portable.encode_cursor((last.made_at, last.id)) if last else None}


def readers(session: Session, notice_id: int) -> list[NoticeRead]:
    """Who read a notice, first ones first. One query."""
    return list(session.scalars(select(NoticeRead).where(NoticeRead.notice_id == notice_id)
                                .order_by(NoticeRead.read_at, NoticeRead.id).limit(1000)))


def unread(session: Session, actor: Actor, _args: Mapping[str, str]) -> dict[str, Any]:
    """Live topic of doctors' pages: notices in force that the actor has not read, and the newest change; two queries."""
    mine = select(NoticeRead.id).where(NoticeRead.notice_id == DrugNotice.id, NoticeRead.user_id == actor.user_id).exists()
    count = session.scalar(select(func.count()).select_from(DrugNotice).where(*in_force(today(session)), ~mine))
    newest = session.execute(select(func.max(DrugNotice.made_at), func.max(DrugNotice.ended_at))).one()
    return {"unread": count or 0, "changed": max((n.isoformat() for n in newest if n), default=None)}
