"""Registrations: made, paid, cancelled. A slot is taken by a guarded update: never oversold, under any race.

Implements: M1.5, M1.10, M9.5
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, numbering, today
from his_server.errors import Conflict, NotFound
from his_server.messaging import outbox
from his_server.money import ZERO
from his_server.security import audit
from modules.kernel.charging.models import ChargeLine
from modules.kernel.charging.service import NewLine, Settled, add_lines, followers, void_lines
from modules.kernel.encounters import service as encounters
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import ChargeItem
from modules.kernel.scheduling.models import ClinicSession, RegisterLevel, Registration
from modules.kernel.scheduling.service.counting import count
from modules.kernel.scheduling.service.slots import free_slot, retake_slot, take_slot

REGISTRATION_SERIES = numbering.Series("registration", "挂号单号", "GH{date:%y%m%d}{n:06d}", per_day=True)
EMERGENCY_LEVEL = "急诊"


def register(session: Session, actor: Actor, *, person_id: int, session_id: int, insurance: str = "自费",
             renews: Registration | None = None) -> tuple[Registration, list[int]]:
    """Take a slot, open the encounter and charge the fee (unsettled); returns the registration and its line ids.

    The slot is a free one, else the one that the doctor added for this person (加号). ``renews``: the fee is zero and the
    earlier registration is used up by it (YB-09; the caller has checked that it may). Emits ``RegistrationMade`` when it is
    paid (:func:`mark_paid`), not here.
    :raises Conflict: the session is full, stopped or over; the person already has a place in it.
    """
    clinic = session_of(session, session_id)
    not_twice(session, person_id, session_id)
    queue_no, extra = take_slot(session, session_id, person_id)
    fee = Fee(session, clinic, free=renews is not None)
    encounter = encounters.open_encounter(session, actor, person_id=person_id, kind=kind_of(clinic),
                                          department_id=clinic.department_id, doctor_id=clinic.doctor_id,
                                          insurance=insurance, day=clinic.day)
    registration = Registration(
        number=numbering.take(session, REGISTRATION_SERIES), session_id=session_id, encounter_id=encounter.id,
        person_id=person_id, day=clinic.day, department_id=clinic.department_id, doctor_id=clinic.doctor_id,
        level=clinic.level, queue_no=queue_no, state="booked", channel=actor.channel, registered_at=now(session),
        way=way_of(clinic.day, today(session), extra=extra, renewal=renews is not None),
        renews_id=renews.id if renews else None, registered_by=actor.user_id, registered_by_name=actor.name)
    session.add(registration)
    session.flush()
    lines = add_lines(session, actor, person_id, encounter.id, [fee.line(registration.id)])
    audit.record(session, actor, "registration.make", "registration", registration.id, {"number": registration.number})
    return registration, lines


def session_of(session: Session, session_id: int) -> ClinicSession:
    """The clinic session, today's or a coming one. :raises NotFound, Conflict: there is none, or its day is over."""
    clinic = session.get(ClinicSession, session_id)
    if clinic is None:
        raise NotFound("registration.session", "没有这个号源，请刷新号源列表")
    if clinic.day < today(session):
        raise Conflict("registration.past", "该号源日期已过，请选择今天或以后的号源")
    return clinic


def registration_of(session: Session, registration_id: int) -> Registration:
    """The registration. :raises NotFound: there is none."""
    found = session.get(Registration, registration_id)
    if found is None:
        raise NotFound("registration.not_found", "没有这条挂号记录，请刷新后重试")
    return found


def not_twice(session: Session, person_id: int, session_id: int) -> None:
    """:raises Conflict: the person has a place in this session already."""
    if session.scalar(select(Registration.id).where(
            Registration.person_id == person_id, Registration.session_id == session_id,
            Registration.state != "cancelled").limit(1)) is not None:
        raise Conflict("registration.twice", "该病人已挂过这个号，请核对；如需再挂请选择其他时段")


def way_of(day: date, present: date, *, extra: bool, renewal: bool) -> str:
    """How a registration came about: renewal, extra, appointment or same_day."""
    return "renewal" if renewal else "extra" if extra else "appointment" if day > present else "same_day"


def kind_of(clinic: ClinicSession) -> str:
    """What kind of visit a session's patients have: emergency or outpatient."""
    return "emergency" if clinic.level == EMERGENCY_LEVEL else "outpatient"


class Fee:
    """The fee of a session as a charge line: item and today's price of its register level.

    :raises Conflict: the level has no item, the item no price.
    """

    def __init__(self, session: Session, clinic: ClinicSession, *, free: bool = False) -> None:
        level = session.scalar(select(RegisterLevel).where(RegisterLevel.code == clinic.level))
        item = session.get(ChargeItem, level.item_id) if level else None
        if item is None:
            raise Conflict("registration.no_fee", f"号别 {clinic.level} 没有设置收费项目，请联系信息科")
        price = masterdata.item_prices(session, [item.id], today(session)).get(item.id)
        if price is None:
            raise Conflict("registration.no_fee", f"{item.name} 没有当日有效的价格，请联系物价员")
        self.item, self.clinic = item, clinic
        self.price = ZERO if free else price
        self.name = f"{item.name}（续诊免费）" if free else item.name

    def line(self, registration_id: int) -> NewLine:
        """The line of a registration."""
        item, clinic = self.item, self.clinic
        return NewLine(
            source="registration", source_id=registration_id, source_line_id=registration_id, kind="item",
            item_id=item.id, code=item.code, name=self.name, spec=None, unit=item.unit, price=self.price,
            quantity=Decimal(1), fiscal_category=item.fiscal_category, insurance_level=item.insurance_level,
            ordering_department_id=clinic.department_id, ordering_staff_id=clinic.doctor_id,
            performing_department_id=clinic.department_id)


def mark_paid(session: Session, registration_id: int, settlement_id: int) -> None:
    """``booked`` → ``registered`` when its fee is settled; emits ``RegistrationMade``. Other states are left alone."""
    if portable.guarded_update(session, Registration,
                               (Registration.id == registration_id) & (Registration.state == "booked"),
                               {"state": "registered", "settlement_id": settlement_id}):
        made = session.get(Registration, registration_id)
        assert made is not None
        count(session, made, "made")
        outbox.record(session, "RegistrationMade", made.number, payload(made))


def payload(made: Registration) -> dict[str, object]:
    """What every event of a registration says; no personal data."""
    return {"registration_id": made.id, "number": made.number, "person_id": made.person_id,
            "encounter_id": made.encounter_id, "session_id": made.session_id, "queue_no": made.queue_no,
            "channel": made.channel, "day": made.day, "department_id": made.department_id,
            "doctor_id": made.doctor_id, "level": made.level, "way": made.way}


def cancel(session: Session, actor: Actor, registration_id: int, reason: str, *, no_show: bool = False) -> Registration:
    """Cancel a registration and free its slot; the fee is voided, or must be refunded by the caller first.

    ``no_show``: only while it is unpaid, for the job that releases what nobody took.
    :raises Conflict: it is cancelled already (by whom and when), or the doctor has begun.
    """
    found = registration_of(session, registration_id)
    was = found.state
    live = Registration.state == "booked" if no_show else Registration.state != "cancelled"
    if not portable.guarded_update(
            session, Registration, (Registration.id == registration_id) & live,
            {"state": "cancelled", "cancelled_at": now(session), "cancelled_by_name": actor.name,
             "cancel_reason": reason, "no_show": no_show, "renews_id": None}):
        session.refresh(found)
        if found.state != "cancelled":
            raise Conflict("registration.taken", "该预约已取号，不再释放")
        at = local(found.cancelled_at) if found.cancelled_at else None
        raise Conflict("registration.cancelled", f"该号已由 {found.cancelled_by_name} 于 {at:%m-%d %H:%M} 退号，无需重复操作")
    session.refresh(found)  # it may have moved to another session a moment ago
    encounters.cancel(session, actor, found.encounter_id, reason=reason)
    free_slot(session, found.session_id, extra=found.way == "extra")
    if was == "booked":
        void_lines(session, "registration", registration_id)
    else:
        count(session, found, "cancelled")
    outbox.record(session, "RegistrationCancelled", found.number,
                  {**payload(found), "no_show": no_show, "paid": was == "registered"})
    audit.record(session, actor, "registration.cancel", "registration", found.id, {"reason": reason})
    return found


def follow_settlement(session: Session, _actor: Actor, settled: Settled) -> None:
    """Whose fee was settled is registered, whatever the channel."""
    for line in settled.lines:
        if line.source == "registration":
            mark_paid(session, line.source_id, settled.id)


def reopen(session: Session, actor: Actor, lines: Iterable[tuple[int, Decimal]]) -> None:
    """A cancellation whose fee the insurer would not give back did not take place: place and visit are there again."""
    keys = session.scalars(select(ChargeLine.source_id).where(
        ChargeLine.id.in_([key for key, _ in lines]), ChargeLine.source == "registration"))
    for key in sorted(set(keys)):
        if portable.guarded_update(session, Registration, (Registration.id == key) & (Registration.state == "cancelled"),
                                   {"state": "registered", "cancelled_at": None, "cancelled_by_name": None,
                                    "cancel_reason": None}):
            found = session.get_one(Registration, key)
            retake_slot(session, found.session_id, extra=found.way == "extra")
            count(session, found, "made")
            encounters.uncancel(session, actor, found.encounter_id)
            outbox.record(session, "RegistrationRestored", found.number, payload(found))


followers.SETTLED.append(follow_settlement)
followers.UNREFUNDED.append(reopen)
