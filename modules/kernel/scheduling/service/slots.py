"""Places in a clinic session: taken and given back by guarded updates, and those a doctor adds for one person (加号)."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, today
from his_server.errors import Conflict, Forbidden, NotFound
from his_server.security import audit
from modules.kernel.patients.models import Person
from modules.kernel.scheduling.models import ClinicSession, ExtraSlot

ANY_DOCTOR = "scheduling.add_slot_for_others"


def take_slot(session: Session, session_id: int, person_id: int) -> tuple[int, bool]:
    """Take a free place, else the extra one that was added for the person; the queue number and whether it was extra.

    :raises Conflict: the session is full or stopped and nothing was added for the person.
    """
    free = ClinicSession.taken < ClinicSession.capacity + ClinicSession.extra
    queue_no = _take(session, session_id, free, extra=0)
    if queue_no is not None:
        return queue_no, False
    if portable.guarded_update(session, ExtraSlot, (ExtraSlot.session_id == session_id)
                               & (ExtraSlot.person_id == person_id) & (ExtraSlot.state == "granted"), {"state": "used"}):
        queue_no = _take(session, session_id, ClinicSession.id == session_id, extra=1)
        if queue_no is not None:
            return queue_no, True
    raise Conflict("registration.full", "该号源已满或已停诊，请选择其他医生或时段，或请医生加号")


def _take(session: Session, session_id: int, where: ColumnElement[bool], *, extra: int) -> int | None:
    queue_no: int | None = session.execute(
        update(ClinicSession).where(ClinicSession.id == session_id, ClinicSession.state == "open", where)
        .values(taken=ClinicSession.taken + 1, issued=ClinicSession.issued + 1, extra=ClinicSession.extra + extra)
        .returning(ClinicSession.issued).execution_options(synchronize_session=False)).scalar()
    return queue_no


def free_slot(session: Session, session_id: int, *, extra: bool) -> None:
    """Give a place back; an extra one disappears with it. Queue numbers are never issued again."""
    portable.guarded_update(session, ClinicSession, ClinicSession.id == session_id,
                            {"taken": ClinicSession.taken - 1, "extra": ClinicSession.extra - (1 if extra else 0)})


def retake_slot(session: Session, session_id: int, *, extra: bool) -> None:
    """Undo :func:`free_slot`, also where the session is full or stopped by now: the person has their place."""
    portable.guarded_update(session, ClinicSession, ClinicSession.id == session_id,
                            {"taken": ClinicSession.taken + 1, "extra": ClinicSession.extra + (1 if extra else 0)})


def grant_extra(session: Session, actor: Actor, session_id: int, *, person_id: int, reason: str) -> ExtraSlot:
    """加号: the doctor of a session lets one person in beyond its capacity; used by registering, at most once.

    :raises Forbidden: it is another doctor's session. :raises Conflict: granted already, or the session is over or stopped.
    """
    clinic = session.get(ClinicSession, session_id)
    if clinic is None:
        raise NotFound("registration.session", "没有这个号源，请刷新号源列表")
    own = clinic.doctor_id == actor.staff_id if clinic.doctor_id else clinic.department_id == actor.department_id
    if not own and not actor.can(ANY_DOCTOR):
        raise Forbidden("registration.extra_other", "只能给自己出诊的号源加号")
    if clinic.day < today(session) or clinic.state != "open":
        raise Conflict("registration.past", "该号源已过期或已停诊，不能加号")
    if session.get(Person, person_id) is None:
        raise NotFound("patients.none", "没有这个病人，请重新选择")
    values = {"reason": reason, "state": "granted", "granted_at": now(session), "granted_by": actor.user_id,
              "granted_by_name": actor.name}
    mine = (ExtraSlot.session_id == session_id) & (ExtraSlot.person_id == person_id)
    found = session.scalar(select(ExtraSlot).where(mine))
    if found is None:
        found = ExtraSlot(session_id=session_id, person_id=person_id, **values)
        session.add(found)
        session.flush()
    elif not portable.guarded_update(session, ExtraSlot, mine & (ExtraSlot.state != "granted"), values):
        raise Conflict("registration.extra_twice", f"{found.granted_by_name} 已为该病人加过号，请通知病人去挂号")
    audit.record(session, actor, "registration.extra", "clinic_session", session_id,
                 {"person_id": person_id, "reason": reason})
    return found


def withdraw_extra(session: Session, actor: Actor, extra_id: int, reason: str) -> None:
    """Take an unused extra slot back; the audit trail says why. :raises Conflict: it was used or withdrawn."""
    if not portable.guarded_update(session, ExtraSlot, (ExtraSlot.id == extra_id) & (ExtraSlot.state == "granted")
                                   & (ExtraSlot.granted_by == actor.user_id), {"state": "withdrawn"}):
        raise Conflict("registration.extra_used", "该加号已使用、已撤回或不是您加的，请刷新查看")
    audit.record(session, actor, "registration.extra_withdraw", "extra_slot", extra_id, {"reason": reason})
