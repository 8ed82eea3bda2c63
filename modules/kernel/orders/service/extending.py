"""What a doctor does to a prescription afterwards: longer validity, the formalities of an emergency override.

Implements: RX-01, RX-08
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, today
from his_server.errors import Conflict, Forbidden, NotFound, invalid
from his_server.security import audit
from modules.kernel.masterdata import service as masterdata
from modules.kernel.orders import rules
from modules.kernel.orders.models import AntimicrobialOverride, Prescription
from modules.kernel.orders.service.prescribing import not_in_state


def extend(session: Session, actor: Actor, prescription_id: int, *, days: int, reason: str) -> Prescription:
    """Let a prescription be paid and dispensed until ``days`` (1 to 3) after the day it was issued (RX-01).

    :raises Forbidden: somebody else's prescription. :raises Invalid: the new day is past, or no later than it is now.
    :raises Conflict: it is dispensed, cancelled or refunded (named).
    """
    found = session.get(Prescription, prescription_id)
    if found is None:
        raise NotFound("orders.not_found", "没有这张处方，请刷新后重试")
    if found.doctor_id != actor.staff_id:
        raise Forbidden("orders.not_yours", f"只有开方医生 {found.doctor_name} 可以延长有效期，或重新开具处方")
    until = rules.valid_until(found.business_date, days)
    if until < today(session) or until <= found.valid_until:
        most = rules.valid_until(found.business_date, rules.EXTENSION_MOST)
        raise invalid("days", f"处方于 {found.business_date} 开具，有效期最多延长到 {most}，现为 {found.valid_until}",
                      "orders.extension")
    if not portable.guarded_update(
            session, Prescription,
            (Prescription.id == prescription_id) & Prescription.state.in_(("issued", "charged"))
            & (Prescription.valid_until < until),
            {"valid_until": until, "extension_reason": reason, "extended_by_name": actor.name, "changed_at": now(session),
             "changed_by_name": actor.name}):
        raise not_in_state(session, Prescription, prescription_id, "处方")
    audit.record(session, actor, "prescription.extend", "prescription", prescription_id,
                 {"until": until.isoformat(), "reason": reason})
    session.refresh(found)
    return found


def complete_override(session: Session, actor: Actor, override_id: int, *, note: str) -> AntimicrobialOverride:
    """The formalities of an emergency override, by another doctor who has the level: ``open`` → ``done`` (RX-08).

    Late ones can be completed too; the list keeps saying that they were late.
    """
    found = session.get(AntimicrobialOverride, override_id)
    if found is None:
        raise NotFound("orders.override", "没有这条越级使用记录，请刷新后重试")
    doctor = masterdata.staff(session, actor.staff_id) if actor.staff_id is not None else None
    level = rules.LEVELS.index(found.level) + 1
    if doctor is None or doctor.id == found.doctor_id or rules.antimicrobial_level(doctor.right_set, doctor.title) < level:
        raise Forbidden("orders.override_rights", f"补办手续须由另一名有{found.level}使用级处方权的医生办理")
    if not portable.guarded_update(
            session, AntimicrobialOverride,
            (AntimicrobialOverride.id == override_id) & (AntimicrobialOverride.state == "open"),
            {"state": "done", "done_at": now(session), "done_by_name": actor.name}):
        session.refresh(found)
        at = f"{local(found.done_at):%m-%d %H:%M}" if found.done_at else ""
        raise Conflict("orders.override_done", f"已由 {found.done_by_name} 于 {at} 补办，请刷新查看")
    audit.record(session, actor, "antimicrobial.override_done", "prescription", found.prescription_id, {"level": found.level})
    session.refresh(found)
    found.note = note
    session.flush()
    return found
