"""Opening, finishing and cancelling visits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, numbering, today
from his_server.errors import Conflict, NotFound, invalid
from modules.kernel.encounters.models import Encounter
from modules.kernel.patients import ports

VISIT_NO = numbering.Series("visit_no", "就诊号", "{date:%Y%m%d}{n:05d}", per_day=True)
KINDS = ("outpatient", "emergency", "inpatient")
STATES = {"waiting": "候诊", "seen": "就诊中", "finished": "已结束", "cancelled": "已取消"}

ports.number_lookups.append(select(Encounter.person_id).where(Encounter.visit_no == bindparam("b_number")))


RELATION_DAYS = 7
"""So long after a visit whoever treated the person may still open the file (PR-04)."""


def _treats(session: Session, actor: Actor, person_ids: Sequence[int]) -> bool:
    """Whether the person visits, or lately visited, the actor or his department."""
    theirs = [Encounter.doctor_id == actor.staff_id] if actor.staff_id else []
    theirs += [Encounter.department_id == actor.department_id] if actor.department_id else []
    if not theirs:
        return False
    since = today(session) - timedelta(days=RELATION_DAYS)
    return session.scalar(select(Encounter.id).where(
        Encounter.person_id.in_(person_ids), Encounter.business_date >= since, Encounter.state != "cancelled",
        or_(*theirs)).limit(1)) is not None


ports.relations.append(_treats)


def open_encounter(session: Session, actor: Actor, *, person_id: int, kind: str, department_id: int,
                   doctor_id: int | None = None, insurance: str = "自费", day: date | None = None) -> Encounter:
    """Open a visit in state ``waiting``, for a later ``day`` if given (an appointment).

    ``kind``: outpatient, emergency or inpatient. :raises Invalid: other kinds.
    """
    if kind not in KINDS:
        raise invalid("kind", "就诊类别只能是门诊、急诊或住院")
    instant = now(session)
    found = Encounter(visit_no=numbering.take(session, VISIT_NO), person_id=person_id, kind=kind,
                      department_id=department_id, doctor_id=doctor_id, state="waiting", insurance=insurance,
                      started_at=instant, business_date=day or today(session), changed_at=instant, changed_by=actor.user_id,
                      changed_by_name=actor.name)
    session.add(found)
    session.flush()
    return found


def get(session: Session, encounter_id: int) -> Encounter:
    """The visit. :raises NotFound: there is none."""
    found = session.get(Encounter, encounter_id)
    if found is None:
        raise NotFound("encounters.none", "没有这次就诊记录，请刷新后重试")
    return found


def start(session: Session, actor: Actor, encounter_id: int, doctor_id: int | None = None) -> Encounter:
    """The doctor has called the patient: waiting → seen. :raises Conflict: it isn't waiting."""
    values = {} if doctor_id is None else {"doctor_id": doctor_id}
    return _move(session, actor, encounter_id, ("waiting",), "seen", **values)


def finish(session: Session, actor: Actor, encounter_id: int) -> Encounter:
    """The visit is over: waiting or seen → finished. :raises Conflict: it is over or cancelled already."""
    return _move(session, actor, encounter_id, ("waiting", "seen"), "finished")


def reopen(session: Session, actor: Actor, encounter_id: int) -> Encounter:
    """The patient comes back the same day, with results: finished → seen. :raises Conflict: another day, or not over."""
    if get(session, encounter_id).business_date != today(session):
        raise Conflict("encounters.past", "只能继续当天的就诊，请重新挂号")
    return _move(session, actor, encounter_id, ("finished",), "seen")


def cancel(session: Session, actor: Actor, encounter_id: int, reason: str) -> Encounter:
    """The visit doesn't take place: waiting → cancelled. :raises Conflict: it has begun, is over or cancelled."""
    return _move(session, actor, encounter_id, ("waiting",), "cancelled", cancel_reason=reason)


def reassign(session: Session, actor: Actor, encounter_id: int, *, kind: str, department_id: int,
             doctor_id: int | None, day: date) -> Encounter:
    """The patient will see another doctor, department or day (换号). :raises Conflict: the visit isn't waiting any more."""
    return _move(session, actor, encounter_id, ("waiting",), "waiting", kind=kind, department_id=department_id,
                 doctor_id=doctor_id, business_date=day)


def uncancel(session: Session, actor: Actor, encounter_id: int) -> Encounter:
    """The cancellation did not take place after all: cancelled → waiting. :raises Conflict: it isn't cancelled."""
    return _move(session, actor, encounter_id, ("cancelled",), "waiting", cancel_reason=None)


def insure(session: Session, encounter_id: int, insurance: str) -> None:
    """How the visit is paid, from now on: an insutype code, or 自费."""
    portable.guarded_update(session, Encounter, Encounter.id == encounter_id, {"insurance": insurance})


def _move(session: Session, actor: Actor, encounter_id: int, before: tuple[str, ...], after: str,
          **values: object) -> Encounter:
    moved = portable.guarded_update(
        session, Encounter, (Encounter.id == encounter_id) & Encounter.state.in_(before),
        {"state": after, "changed_at": now(session), "changed_by": actor.user_id, "changed_by_name": actor.name,
         **values})
    found = get(session, encounter_id)
    if moved != 1:
        raise Conflict("encounters.state", f"{found.changed_by_name} 已于 {local(found.changed_at):%m-%d %H:%M} "
                       f"把本次就诊改为“{STATES[found.state]}”，请刷新后核对")
    return found
