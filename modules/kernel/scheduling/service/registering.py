"""Registrations. A slot is taken by a guarded update: never oversold, under any race."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, numbering, today
from his_server.errors import Conflict, NotFound
from his_server.messaging import outbox
from his_server.security import audit
from modules.kernel.charging.service import NewLine, add_lines, void_lines
from modules.kernel.encounters import service as encounters
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import ChargeItem
from modules.kernel.scheduling.models import ClinicSession, RegisterLevel, Registration

REGISTRATION_SERIES = numbering.Series("registration", "挂号单号", "GH{date:%y%m%d}{n:06d}", per_day=True)
EMERGENCY_LEVEL = "急诊"


def register(session: Session, actor: Actor, *, person_id: int, session_id: int, insurance: str = "自费"
             ) -> tuple[Registration, list[int]]:
    """Take a slot, open the encounter and charge the fee (unsettled); returns the registration and its line ids.

    Emits ``RegistrationMade`` when it is paid (:func:`mark_paid`), not here.
    :raises Conflict: the session is full, stopped or over; the person already has a place in it.
    """
    clinic = session.get(ClinicSession, session_id)
    if clinic is None:
        raise NotFound("registration.session", "没有这个号源，请刷新号源列表")
    if clinic.day < today(session):
        raise Conflict("registration.past", "该号源日期已过，请选择今天或以后的号源")
    if session.scalar(select(Registration.id).where(
            Registration.person_id == person_id, Registration.session_id == session_id,
            Registration.state != "cancelled").limit(1)) is not None:
        raise Conflict("registration.twice", "该病人已挂过这个号，请核对；如需再挂请选择其他时段")
    queue_no = session.execute(
        update(ClinicSession)
        .where(ClinicSession.id == session_id, ClinicSession.state == "open",
               ClinicSession.taken < ClinicSession.capacity + ClinicSession.extra)
        .values(taken=ClinicSession.taken + 1, issued=ClinicSession.issued + 1).returning(ClinicSession.issued)
        .execution_options(synchronize_session=False)).scalar()
    if queue_no is None:
        raise Conflict("registration.full", "该号源已满或已停诊，请选择其他医生或时段，或请医生加号")
    level = session.scalar(select(RegisterLevel).where(RegisterLevel.code == clinic.level))
    item = session.get(ChargeItem, level.item_id) if level else None
    if item is None:
        raise Conflict("registration.no_fee", f"号别 {clinic.level} 没有设置收费项目，请联系信息科")
    price = masterdata.item_prices(session, [item.id], today(session)).get(item.id)
    if price is None:
        raise Conflict("registration.no_fee", f"{item.name} 没有当日有效的价格，请联系物价员")
    kind = "emergency" if clinic.level == EMERGENCY_LEVEL else "outpatient"
    encounter = encounters.open_encounter(session, actor, person_id=person_id, kind=kind,
                                          department_id=clinic.department_id, doctor_id=clinic.doctor_id,
                                          insurance=insurance)
    registration = Registration(
        number=numbering.take(session, REGISTRATION_SERIES), session_id=session_id, encounter_id=encounter.id,
        person_id=person_id, day=clinic.day, department_id=clinic.department_id, doctor_id=clinic.doctor_id,
        level=clinic.level, queue_no=queue_no, state="booked", channel=actor.channel, registered_at=now(session),
        registered_by=actor.user_id, registered_by_name=actor.name)
    session.add(registration)
    session.flush()
    lines = add_lines(session, actor, person_id, encounter.id, [NewLine(
        source="registration", source_id=registration.id, source_line_id=registration.id, kind="item", item_id=item.id,
        code=item.code, name=item.name, spec=None, unit=item.unit, price=price, quantity=Decimal(1),
        fiscal_category=item.fiscal_category, insurance_level=item.insurance_level,
        ordering_department_id=clinic.department_id, ordering_staff_id=clinic.doctor_id,
        performing_department_id=clinic.department_id)])
    audit.record(session, actor, "registration.make", "registration", registration.id, {"number": registration.number})
    return registration, lines


def mark_paid(session: Session, registration_id: int, settlement_id: int) -> None:
    """``booked`` → ``registered`` when its fee is settled; emits ``RegistrationMade``. Other states are left alone."""
    if portable.guarded_update(session, Registration,
                               (Registration.id == registration_id) & (Registration.state == "booked"),
                               {"state": "registered", "settlement_id": settlement_id}):
        made = session.get(Registration, registration_id)
        assert made is not None
        outbox.record(session, "RegistrationMade", made.number, {
            "registration_id": made.id, "number": made.number, "person_id": made.person_id,
            "encounter_id": made.encounter_id, "session_id": made.session_id, "queue_no": made.queue_no,
            "channel": made.channel})


def cancel(session: Session, actor: Actor, registration_id: int, reason: str) -> Registration:
    """Cancel a registration and free its slot; the fee is voided, or must be refunded by the caller first.

    :raises Conflict: it is cancelled already (by whom and when), or the doctor has begun.
    """
    found = session.get(Registration, registration_id)
    if found is None:
        raise NotFound("registration.not_found", "没有这条挂号记录")
    was = found.state
    if not portable.guarded_update(
            session, Registration, (Registration.id == registration_id) & (Registration.state != "cancelled"),
            {"state": "cancelled", "cancelled_at": now(session), "cancelled_by_name": actor.name,
             "cancel_reason": reason}):
        session.refresh(found)
        at = local(found.cancelled_at) if found.cancelled_at else None
        raise Conflict("registration.cancelled", f"该号已由 {found.cancelled_by_name} 于 {at:%m-%d %H:%M} 退号，无需重复操作")
    encounters.cancel(session, actor, found.encounter_id, reason=reason)
    portable.guarded_update(session, ClinicSession, ClinicSession.id == found.session_id,
                            {"taken": ClinicSession.taken - 1})
    if was == "booked":
        void_lines(session, "registration", registration_id)
    outbox.record(session, "RegistrationCancelled", found.number,
                  {"registration_id": found.id, "number": found.number, "person_id": found.person_id})
    audit.record(session, actor, "registration.cancel", "registration", found.id, {"reason": reason})
    session.refresh(found)
    return found
