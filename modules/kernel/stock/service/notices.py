"""Notices to doctors about drugs: shortages warn, prohibitions forbid (M6.2)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, numbering, of, today
from his_server.errors import Conflict, FieldError, Invalid
from his_server.messaging import outbox
from his_server.security import audit
from modules.kernel.masterdata import service as masterdata
from modules.kernel.stock.models import DrugNotice, NoticeRead

NOTICE_SERIES = numbering.Series("drug_notice", "药品通知号", "TZ{date:%y%m%d}{n:04d}", per_day=True)
KINDS = {"shortage": "缺药", "prohibition": "禁药"}


def in_force(day: date) -> tuple[Any, ...]:
    """The conditions that a notice is in force on a day."""
    return (DrugNotice.state == "published", DrugNotice.valid_from <= day,
            or_(DrugNotice.valid_to.is_(None), DrugNotice.valid_to >= day))


def notices_for(session: Session, drug_ids: Iterable[int], on: date) -> dict[int, list[DrugNotice]]:
    """Notices in force on a day, by drug; prohibitions first. One query."""
    wanted = set(drug_ids)
    found: dict[int, list[DrugNotice]] = {}
    if wanted:
        for notice in session.scalars(select(DrugNotice).where(DrugNotice.drug_id.in_(wanted), *in_force(on))
                                      .order_by(DrugNotice.kind, DrugNotice.id)):
            found.setdefault(notice.drug_id, []).append(notice)
    return found


def notice_text(notice: DrugNotice) -> str:
    """A notice as a doctor reads it beside a line."""
    what = "禁用" if notice.kind == "prohibition" else "缺药"
    return (f"药库 {notice.valid_from:%m-%d} 通知{what}：{notice.reason}"
            + (f"，可改用 {notice.substitute}" if notice.substitute else ""))


def prohibited(session: Session, drug_ids: Iterable[int], on: date) -> dict[int, str]:
    """Drugs that may not be prescribed on a day, with the reason as shown. One query."""
    return {drug: notice_text(notices[0]) for drug, notices in notices_for(session, drug_ids, on).items()
            if notices[0].kind == "prohibition"}


def publish(session: Session, actor: Actor, *, kind: str, drug_id: int, reason: str, substitute: str = "",
            valid_from: date | None = None, valid_to: date | None = None) -> DrugNotice:
    """Publish a notice: doctors' pages and the outside hear of it at once.

    :raises Invalid: no such drug, or it ends before it begins. :raises Conflict: the same notice is in force.
    """
    drug = masterdata.drugs(session, [drug_id]).get(drug_id)
    begins = valid_from or today(session)
    if drug is None:
        raise Invalid("notice.drug", "没有这个药品，请重新选择", [FieldError("drug_id", "没有这个药品")])
    if valid_to is not None and valid_to < begins:
        raise Invalid("notice.period", "截止日期早于起始日期，请修改", [FieldError("valid_to", "不能早于起始日期")])
    if any(n.kind == kind for n in notices_for(session, [drug_id], begins).get(drug_id, ())):
        raise Conflict("notice.twice", f"{drug.name} 已有生效中的{KINDS[kind]}通知，请先撤回或等其到期")
    made = DrugNotice(number=numbering.take(session, NOTICE_SERIES), kind=kind, drug_id=drug_id, reason=reason,
                      substitute=substitute, state="published", valid_from=begins, valid_to=valid_to,
                      made_at=now(session), made_by_name=actor.name, ended_at=None, ended_by_name=None, end_reason="")
    session.add(made)
    session.flush()
    outbox.record(session, "DrugNoticePublished", made.number, _payload(made))
    audit.record(session, actor, "drug_notice.publish", "drug_notice", made.id, {"kind": kind, "drug": drug.code})
    return made


def withdraw_notice(session: Session, actor: Actor, notice_id: int, reason: str) -> DrugNotice:
    """Withdraw a notice. :raises Conflict: it was withdrawn already, or never was."""
    if not portable.guarded_update(
            session, DrugNotice, (DrugNotice.id == notice_id) & (DrugNotice.state == "published"),
            {"state": "withdrawn", "ended_at": now(session), "ended_by_name": actor.name, "end_reason": reason}):
        raise Conflict("notice.withdrawn", "通知已被撤回或不存在，请刷新后核对")
    found = session.get(DrugNotice, notice_id, populate_existing=True)
    assert found is not None
    outbox.record(session, "DrugNoticeWithdrawn", found.number, _payload(found))
    audit.record(session, actor, "drug_notice.withdraw", "drug_notice", notice_id, {"reason": reason})
    return found


def read(session: Session, actor: Actor, notice_ids: Iterable[int]) -> int:
    """Note that the actor has read notices; returns for how many that is new."""
    known = set(session.scalars(select(DrugNotice.id).where(DrugNotice.id.in_(set(notice_ids)))))
    at = now(session)
    return portable.upsert(session, NoticeRead, [
        {"id": key, "notice_id": notice, "user_id": actor.user_id, "user_name": actor.name, "read_at": at}
        for key, notice in zip(of(session).keys.take(len(known)), sorted(known), strict=True)],
        ["notice_id", "user_id"], []) if known else 0


def _payload(notice: DrugNotice) -> dict[str, object]:
    return {"notice_id": notice.id, "number": notice.number, "kind": notice.kind, "drug_id": notice.drug_id,
            "state": notice.state, "reason": notice.reason, "substitute": notice.substitute,
            "valid_from": notice.valid_from.isoformat(),
            "valid_to": notice.valid_to.isoformat() if notice.valid_to else None}
