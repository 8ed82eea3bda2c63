"""Keeping the schedule: levels and their fees, weekly templates, sessions of a day stopped, resumed, widened.

Sessions that are made already never change with their template: people hold places in them.
"""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, today
from his_server.errors import AppError, Conflict, FieldError, Invalid, NotFound, invalid
from his_server.security import audit
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import ChargeItem, Department, Staff
from modules.kernel.masterdata.service.keeping import take_turn
from modules.kernel.scheduling.models import ClinicSession, RegisterLevel, ScheduleTemplate
from modules.kernel.scheduling.service.sessions import open_sessions

MANAGE = "scheduling.manage"
FURTHEST = 31
"""Days that sessions can be made ahead."""
WEEKDAYS = ("", "周一", "周二", "周三", "周四", "周五", "周六", "周日")


def add_level(session: Session, actor: Actor, *, code: str, item_id: int, position: int) -> RegisterLevel:
    """A new kind of registration and the item that is its fee. :raises Invalid: names each bad field."""
    errors = _refused_fee(session, item_id)
    if session.scalar(select(RegisterLevel.id).where(RegisterLevel.code == code)) is not None:
        errors.insert(0, FieldError("code", "已有这个号别"))
    _refuse(errors)
    made = RegisterLevel(code=code, item_id=item_id, position=position, active=True)
    session.add(made)
    session.flush()
    audit.record(session, actor, "register_level.create", "register_level", made.id, {"code": code})
    return made


def change_level(session: Session, actor: Actor, level_id: int, *, revision: int, item_id: int, position: int,
                 active: bool) -> RegisterLevel:
    """Change fee item, place or use of a level. :raises Conflict: somebody was faster."""
    found = session.get(RegisterLevel, level_id)
    if found is None:
        raise NotFound("scheduling.no_level", "没有这个号别，请刷新后重试")
    _refuse(_refused_fee(session, item_id))
    if not active and session.scalar(select(ScheduleTemplate.id).where(
            ScheduleTemplate.level == found.code, ScheduleTemplate.active.is_(True)).limit(1)) is not None:
        raise Conflict("scheduling.level_used", "该号别还有在用的排班，请先停用排班")
    take_turn(session, "号别", found, revision)
    found.item_id, found.position, found.active = item_id, position, active
    session.flush()
    audit.record(session, actor, "register_level.change", "register_level", level_id, {"code": found.code})
    return found


def _refused_fee(session: Session, item_id: int) -> list[FieldError]:
    item = session.get(ChargeItem, item_id)
    if item is None or not item.active:
        return [FieldError("item_id", "没有这个收费项目或已停用，请重新选择")]
    if item_id not in masterdata.item_prices(session, [item_id], today(session)):
        return [FieldError("item_id", f"{item.name} 没有当日有效的价格，请先定价")]
    return []


def add_template(session: Session, actor: Actor, *, department_id: int, doctor_id: int | None, weekday: int,
                 period: str, level: str, capacity: int) -> ScheduleTemplate:
    """A new line of the weekly schedule. :raises Invalid: names each bad field."""
    errors = _refused_place(session, department_id, doctor_id, level)
    same = select(ScheduleTemplate).where(ScheduleTemplate.weekday == weekday, ScheduleTemplate.period == period,
                                          ScheduleTemplate.active.is_(True))
    if not errors and doctor_id is not None:
        elsewhere = session.scalars(same.where(ScheduleTemplate.doctor_id == doctor_id,
                                               ScheduleTemplate.department_id != department_id).limit(1)).first()
        if elsewhere is not None:
            name = masterdata.department(session, elsewhere.department_id).name
            errors.append(FieldError("doctor_id", f"该医生{WEEKDAYS[weekday]}{period}已在{name}出诊"))
    _refuse(errors)
    old = session.scalars(select(ScheduleTemplate).where(
        ScheduleTemplate.weekday == weekday, ScheduleTemplate.period == period, ScheduleTemplate.level == level,
        ScheduleTemplate.department_id == department_id,
        ScheduleTemplate.doctor_id.is_(None) if doctor_id is None else ScheduleTemplate.doctor_id == doctor_id)).first()
    if old is not None:
        state = "在用" if old.active else "已停用，可直接恢复"
        raise Conflict("scheduling.template_there", f"{WEEKDAYS[weekday]}{period}已有同样的排班（{state}），请在列表中修改")
    made = ScheduleTemplate(department_id=department_id, doctor_id=doctor_id, weekday=weekday, period=period,
                            level=level, capacity=capacity, active=True)
    session.add(made)
    session.flush()
    audit.record(session, actor, "schedule.create", "schedule_template", made.id,
                 {"weekday": weekday, "period": period, "level": level, "capacity": capacity})
    return made


def change_template(session: Session, actor: Actor, template_id: int, *, revision: int, capacity: int, active: bool
                    ) -> ScheduleTemplate:
    """Change the number of slots or the use of a template, for sessions made from now on."""
    found = session.get(ScheduleTemplate, template_id)
    if found is None:
        raise NotFound("scheduling.no_template", "没有这条排班，请刷新后重试")
    if active:
        _refuse(_refused_place(session, found.department_id, found.doctor_id, found.level))
    take_turn(session, "排班", found, revision)
    found.capacity, found.active = capacity, active
    session.flush()
    audit.record(session, actor, "schedule.change", "schedule_template", template_id,
                 {"capacity": capacity, "active": active})
    return found


def generate(session: Session, actor: Actor, *, first: date, last: date) -> int:
    """Make the sessions of some days from the weekly schedule; days that have theirs stay. How many are new."""
    day = today(session)
    if first < day:
        raise invalid("first", "起始日期不能早于今天")
    if not first <= last <= day + timedelta(days=FURTHEST):
        raise invalid("last", f"结束日期应在起始日期之后、{FURTHEST} 天以内")
    made = sum(open_sessions(session, first + timedelta(days=n)) for n in range((last - first).days + 1))
    audit.record(session, actor, "sessions.generate", "clinic_session", f"{first}…{last}", {"made": made})
    return made


def add_session(session: Session, actor: Actor, *, day: date, department_id: int, doctor_id: int | None, period: str,
                level: str, capacity: int) -> ClinicSession:
    """A session of one day that the weekly schedule doesn't have (临时出诊). :raises Invalid: names each bad field."""
    errors = _refused_place(session, department_id, doctor_id, level)
    if not today(session) <= day <= today(session) + timedelta(days=FURTHEST):
        errors.insert(0, FieldError("day", f"出诊日期应为今天起 {FURTHEST} 天以内"))
    _refuse(errors)
    same = select(ClinicSession.id).where(
        ClinicSession.day == day, ClinicSession.department_id == department_id, ClinicSession.level == level,
        ClinicSession.period == period,
        ClinicSession.doctor_id.is_(None) if doctor_id is None else ClinicSession.doctor_id == doctor_id)
    if session.scalar(same.limit(1)) is not None:
        raise Conflict("scheduling.session_there", "当日该时段已有同样的号源，可直接加号")
    made = ClinicSession(day=day, template_id=None, department_id=department_id, doctor_id=doctor_id, period=period,
                         level=level, capacity=capacity, extra=0, taken=0, issued=0, state="open",
                         changed_at=now(session), changed_by_name=actor.name)
    session.add(made)
    session.flush()
    audit.record(session, actor, "session.add", "clinic_session", made.id, {"day": str(day), "capacity": capacity})
    return made


def stop_session(session: Session, actor: Actor, session_id: int, reason: str) -> ClinicSession:
    """停诊: nobody can take a place any more; who has one keeps it until the window changes or cancels it."""
    return _move(session, actor, session_id, "open", "stopped", reason)


def resume_session(session: Session, actor: Actor, session_id: int, reason: str) -> ClinicSession:
    """恢复出诊."""
    return _move(session, actor, session_id, "stopped", "open", reason)


def _move(session: Session, actor: Actor, session_id: int, before: str, after: str, reason: str) -> ClinicSession:
    found = _session(session, session_id)
    if not portable.guarded_update(
            session, ClinicSession, (ClinicSession.id == session_id) & (ClinicSession.state == before),
            {"state": after, "reason": reason, "changed_at": now(session), "changed_by_name": actor.name}):
        raise _already(session, found)
    audit.record(session, actor, "session.stop" if after == "stopped" else "session.resume", "clinic_session", session_id,
                 {"reason": reason})
    session.refresh(found)
    return found


def change_capacity(session: Session, actor: Actor, session_id: int, capacity: int) -> ClinicSession:
    """More or fewer places in one session; what doctors added for single persons comes on top.

    :raises Conflict: the session is stopped, or more places are taken already.
    """
    found = _session(session, session_id)
    clinic = ClinicSession
    if not portable.guarded_update(
            session, clinic, (clinic.id == session_id) & (clinic.state == "open")
            & (clinic.taken <= clinic.extra + capacity),
            {"capacity": capacity, "changed_at": now(session), "changed_by_name": actor.name}):
        session.refresh(found)
        if found.state != "open":
            raise _already(session, found)
        raise Conflict("scheduling.slots_taken", f"已挂 {found.taken} 号，号数不能少于 {found.taken - found.extra}，请刷新后核对",
                       [FieldError("capacity", f"不能少于 {found.taken - found.extra}")])
    audit.record(session, actor, "session.capacity", "clinic_session", session_id, {"capacity": capacity})
    session.refresh(found)
    return found


def _session(session: Session, session_id: int) -> ClinicSession:
    found = session.get(ClinicSession, session_id)
    if found is None:
        raise NotFound("registration.session", "没有这个号源，请刷新号源列表")
    if found.day < today(session):
        raise Conflict("registration.past", "该号源日期已过，不能再修改")
    return found


def _already(session: Session, found: ClinicSession) -> AppError:
    session.refresh(found)
    state = "停诊" if found.state == "stopped" else "恢复出诊"
    who = f"{found.changed_by_name} 已于 {local(found.changed_at):%m-%d %H:%M} " if found.changed_at else "已"
    return Conflict("scheduling.state", f"该号源{who}{state}，请刷新后核对")


def _refused_place(session: Session, department_id: int, doctor_id: int | None, level: str) -> list[FieldError]:
    """Field errors: the department sees no outpatients, nobody works there by this key, no such level."""
    errors = []
    department = session.get(Department, department_id)
    if department is None or not department.active or not (department.outpatient or department.emergency):
        errors.append(FieldError("department_id", "没有这个门急诊科室或已停用，请重新选择"))
    if doctor_id is not None:
        doctor = session.get(Staff, doctor_id)
        if doctor is None or not doctor.active or doctor.role != "doctor":
            errors.append(FieldError("doctor_id", "没有这名医生或已停用，请重新选择"))
    if session.scalar(select(RegisterLevel.id).where(RegisterLevel.code == level, RegisterLevel.active.is_(True))) is None:
        errors.append(FieldError("level", "没有这个号别或已停用，请重新选择"))
    return errors


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise Invalid("scheduling.fields", "内容有误，请按提示修改后重新保存", errors)
