"""Asking for, and consenting to, a look at who prescribes what.

Implements: R7, PR-09
"""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now
from his_server.errors import Conflict, Forbidden, Invalid, NotFound, invalid
from his_server.messaging import outbox
from his_server.security import audit
from modules.discipline.models import StatisticsGrant

GOOD_FOR = timedelta(days=3)
LONGEST = timedelta(days=366)


def ask(session: Session, actor: Actor, *, first_day: date, last_day: date, reason: str, department_id: int | None,
        doctor_id: int | None, drug_id: int | None) -> StatisticsGrant:
    """Ask for the statistics of some days (a year at most). Emits ``DrugStatisticsAsked``."""
    if last_day < first_day:
        raise invalid("last_day", "结束日期不能早于开始日期")
    if last_day - first_day > LONGEST:
        raise invalid("last_day", "一次最多查询一年")
    made = StatisticsGrant(first_day=first_day, last_day=last_day, reason=reason, department_id=department_id,
                           doctor_id=doctor_id, drug_id=drug_id, state="requested", requested_by=actor.user_id,
                           requested_by_name=actor.name, requested_at=now(session))
    session.add(made)
    session.flush()
    audit.record(session, actor, "drug_statistics.ask", "statistics_grant", made.id, {"reason": reason})
    outbox.record(session, "DrugStatisticsAsked", f"statistics:{made.id}", {"grant_id": made.id})
    return made


def decide(session: Session, actor: Actor, grant_id: int, *, approve: bool) -> StatisticsGrant:
    """Consent or decline; never one's own request. Emits ``DrugStatisticsApproved`` when it consents.

    :raises Forbidden: one's own. :raises Conflict: decided already, by whom and when.
    """
    found = session.get(StatisticsGrant, grant_id)
    if found is None:
        raise NotFound("discipline.grant", "没有这条申请，请刷新后重试")
    if found.requested_by == actor.user_id:
        raise Forbidden("discipline.own", "不能审批自己的申请，请由他人审批")
    at = now(session)
    if not portable.guarded_update(
            session, StatisticsGrant, (StatisticsGrant.id == grant_id) & (StatisticsGrant.state == "requested"),
            {"state": "approved" if approve else "declined", "decided_by": actor.user_id,
             "decided_by_name": actor.name, "decided_at": at, "valid_until": at + GOOD_FOR if approve else None}):
        session.refresh(found)
        when = f"{local(found.decided_at):%m-%d %H:%M}" if found.decided_at else ""
        raise Conflict("discipline.decided", f"该申请已由 {found.decided_by_name} 于 {when} 处理，请刷新查看")
    session.refresh(found)
    audit.record(session, actor, "drug_statistics.decide", "statistics_grant", grant_id, {"approve": approve})
    if approve:
        outbox.record(session, "DrugStatisticsApproved", f"statistics:{grant_id}", {"grant_id": grant_id})
    return found


def usable(session: Session, actor: Actor, grant_id: int) -> StatisticsGrant:
    """The consent for a run now, by whoever asked for it. :raises NotFound, Forbidden, Invalid: there is none (any more)."""
    found = session.get(StatisticsGrant, grant_id)
    if found is None:
        raise NotFound("discipline.grant", "没有这条申请，请先提交申请并经审批")
    if found.requested_by != actor.user_id:
        raise Forbidden("discipline.not_yours", "只有申请人可以查看，请自己提交申请")
    if found.state != "approved" or found.valid_until is None:
        raise Invalid("discipline.not_approved", "该申请尚未批准，须经他人审批后才能查看")
    if found.valid_until < now(session):
        raise Invalid("discipline.expired", "该申请的批准已过期，请重新申请")
    return found
