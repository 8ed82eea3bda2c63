"""Seats: taken, changed, left. A seat has one patient and a patient one seat, whoever is faster."""

from __future__ import annotations

from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now
from his_server.errors import Conflict, NotFound
from his_server.security import audit
from modules.infusion.models import Infusion, InfusionSeat
from modules.infusion.service.receiving import get


def sit(session: Session, actor: Actor, infusion_id: int, seat_id: int) -> Infusion:
    """Give a patient a free seat; whoever has one already moves. :raises Conflict: it is taken (named)."""
    infusion = get(session, infusion_id)
    if infusion.state not in ("waiting", "running"):
        raise Conflict("infusion.over", "该病人的输液已结束，不需要座位")
    if session.get(InfusionSeat, seat_id) is None:
        raise NotFound("infusion.seat", "没有这个座位，请刷新后重试")
    if infusion.seat_id == seat_id:
        return infusion
    leave(session, actor, infusion_id)
    at = now(session)
    if not portable.guarded_update(
            session, InfusionSeat,
            (InfusionSeat.id == seat_id) & InfusionSeat.infusion_id.is_(None) & InfusionSeat.active,
            {"infusion_id": infusion_id, "changed_at": at, "changed_by_name": actor.name}):
        seat = session.get(InfusionSeat, seat_id, populate_existing=True)
        assert seat is not None
        raise Conflict("infusion.seat_taken", f"座位 {seat.code} 已由 {seat.changed_by_name} 于 {local(seat.changed_at):%H:%M} "
                       "安排给他人或停用，请另选座位")
    portable.guarded_update(session, Infusion, Infusion.id == infusion_id,
                            {"seat_id": seat_id, "changed_at": at, "changed_by_name": actor.name})
    audit.record(session, actor, "infusion.sit", "infusion", infusion_id, {"seat": seat_id})
    return get(session, infusion_id)


def release(session: Session, actor: Actor, infusion_id: int) -> Infusion:
    """The patient leaves the seat. :raises Conflict: a bottle is running."""
    infusion = get(session, infusion_id)
    if infusion.running_bottle_id is not None:
        raise Conflict("infusion.running", "该病人正在输液，不能释放座位；换座请直接选择新座位")
    leave(session, actor, infusion_id)
    audit.record(session, actor, "infusion.release", "infusion", infusion_id)
    return get(session, infusion_id)


def leave(session: Session, actor: Actor, infusion_id: int) -> None:
    """Free whatever seat an infusion has."""
    at = now(session)
    if portable.guarded_update(session, InfusionSeat, InfusionSeat.infusion_id == infusion_id,
                               {"infusion_id": None, "changed_at": at, "changed_by_name": actor.name}):
        portable.guarded_update(session, Infusion, Infusion.id == infusion_id,
                                {"seat_id": None, "changed_at": at, "changed_by_name": actor.name})
