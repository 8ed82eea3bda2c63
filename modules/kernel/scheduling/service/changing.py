"""What becomes of a registration before the visit: moved to another session (换号), or released when nobody came."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import Database, now, today
from his_server.errors import Conflict
from his_server.messaging import outbox
from his_server.security import audit
from modules.kernel.charging.models import ChargeLine
from modules.kernel.charging.service import add_lines, void_lines
from modules.kernel.encounters import service as encounters
from modules.kernel.scheduling.models import ClinicSession, Registration
from modules.kernel.scheduling.ports import hours_of
from modules.kernel.scheduling.service.counting import count
from modules.kernel.scheduling.service.registering import (
    Fee,
    cancel,
    kind_of,
    not_twice,
    payload,
    registration_of,
    session_of,
    way_of,
)
from modules.kernel.scheduling.service.slots import free_slot, take_slot

log = logging.getLogger("his.scheduling")
RELEASE_REASON = "预约逾期未取号"
RELEASE_BATCH = 500
HOLD = timedelta(minutes=30)
"""How long a place of the present day is held for a payment that doesn't come (占号)."""


@dataclass(frozen=True)
class Moved:
    """A moved registration. ``new_lines`` (open) replace the fee that ``old_settlement_id`` settled; none: the fee stays."""

    registration: Registration
    new_lines: tuple[int, ...]
    old_lines: dict[int, Decimal]
    old_settlement_id: int | None


def move(session: Session, actor: Actor, registration_id: int, session_id: int, *, reason: str) -> Moved:
    """换号: another doctor, department, session or day; number and visit stay, the queue number is new.

    An unpaid fee is replaced here. A paid one that differs (item, price, department or doctor) is for the caller: refund
    ``old_lines``, settle ``new_lines``, in the same unit of work. Emits ``RegistrationChanged``.
    :raises Conflict: cancelled, seen already, moved by somebody else meanwhile, or the new session is full.
    """
    found = registration_of(session, registration_id)
    was, old_session, old_way, old_queue = found.state, found.session_id, found.way, found.queue_no
    clinic = session_of(session, session_id)
    if session_id == old_session:
        raise Conflict("registration.same_session", "换的就是现在这个号源，请另选医生或时段")
    if was == "cancelled":
        raise Conflict("registration.cancelled", f"该号已由 {found.cancelled_by_name} 退号，不能换号")
    if found.way == "renewal" and clinic.department_id != found.department_id:
        raise Conflict("registration.renewal_department", "续诊号只能在本科室内换号")
    not_twice(session, found.person_id, session_id)
    if was == "registered":
        count(session, found, "moved_out")
        session.flush()
    old, fee = _fee(session, found), Fee(session, clinic, free=found.way == "renewal")
    taken: tuple[int, bool] | None = None
    for key in sorted((old_session, session_id)):  # both in one order: two who change places don't block each other
        if key == session_id:
            taken = take_slot(session, session_id, found.person_id)
        else:
            free_slot(session, old_session, extra=old_way == "extra")
    assert taken is not None
    way = "renewal" if old_way == "renewal" else way_of(clinic.day, today(session), extra=taken[1], renewal=False)
    if not portable.guarded_update(
            session, Registration, (Registration.id == registration_id) & (Registration.state == was)
            & (Registration.session_id == old_session),
            {"session_id": session_id, "day": clinic.day, "department_id": clinic.department_id, "way": way,
             "doctor_id": clinic.doctor_id, "level": clinic.level, "queue_no": taken[0]}):
        raise Conflict("registration.moved", "该号刚被他人退号或换号，请刷新后重试")
    session.refresh(found)
    encounters.reassign(session, actor, found.encounter_id, kind=kind_of(clinic), day=clinic.day,
                        department_id=clinic.department_id, doctor_id=clinic.doctor_id)
    same = old is not None and (old.item_id, old.price, old.ordering_department_id, old.ordering_staff_id) == (
        fee.item.id, fee.price, clinic.department_id, clinic.doctor_id)
    new_lines: list[int] = []
    if not same and found.way != "renewal":
        if was == "booked":
            void_lines(session, "registration", found.id)
        new_lines = add_lines(session, actor, found.person_id, found.encounter_id, [fee.line(found.id)])
    if was == "registered":
        count(session, found, "moved_in")
    outbox.record(session, "RegistrationChanged", found.number, {
        **payload(found), "old_session_id": old_session, "old_queue_no": old_queue, "paid": was == "registered"})
    audit.record(session, actor, "registration.change", "registration", found.id,
                 {"from": old_session, "to": session_id, "reason": reason})
    paid = was == "registered" and bool(new_lines)
    return Moved(found, tuple(new_lines), {old.id: old.quantity} if old is not None and paid else {},
                 found.settlement_id if paid else None)


def _fee(session: Session, found: Registration) -> ChargeLine | None:
    """The charge line that is the registration's fee now: settled with it, or open."""
    mine = (ChargeLine.source == "registration") & (ChargeLine.source_id == found.id)
    if found.settlement_id is None:
        return session.scalar(select(ChargeLine).where(mine, ChargeLine.state == "open"))
    return session.scalar(select(ChargeLine).where(
        mine, ChargeLine.settlement_id == found.settlement_id, ChargeLine.reverses_line_id.is_(None)))


def repaid(session: Session, registration_id: int, settlement_id: int) -> None:
    """The fee of a moved registration has been settled anew."""
    portable.guarded_update(session, Registration,
                            (Registration.id == registration_id) & (Registration.state == "registered"),
                            {"settlement_id": settlement_id})


def may_take(session: Session, found: Registration) -> None:
    """:raises Conflict: a booked number can't be taken (取号): taken, cancelled, or it is of another day."""
    if found.state == "cancelled":
        why = "逾期未取，已释放" if found.no_show else f"已由 {found.cancelled_by_name} 退号"
        raise Conflict("registration.cancelled", f"该预约{why}，请重新挂号")
    if found.state != "booked":
        raise Conflict("registration.taken", "该预约已取号，无需重复办理")
    if found.day < today(session):
        raise Conflict("registration.past", "该预约的就诊日期已过，请重新挂号")
    if found.day > today(session):
        raise Conflict("registration.not_yet", f"该预约的就诊日期是 {found.day:%m-%d}，请当日取号；要改日期请换号")


def release_no_shows(database: Database) -> int:
    """Release booked numbers that nobody took in time, and places held for a payment that never came (job); returns how
    many. Whoever pays meanwhile keeps his."""
    with database.begin(write=False) as session:
        day, instant = today(session), now(session)
        rows = session.execute(
            select(Registration.id, Registration.day, Registration.way, Registration.registered_at, ClinicSession.period)
            .join(ClinicSession, ClinicSession.id == Registration.session_id)
            .where(Registration.state == "booked", Registration.day <= day, Registration.way != "renewal")
            .order_by(Registration.day, Registration.id).limit(RELEASE_BATCH)).all()
    hours = hours_of(database)
    released = 0
    for row in rows:
        until = hours.take_until(row.day, row.period)
        if row.way != "appointment":
            until = min(until, row.registered_at + HOLD)
        if instant < until:
            continue
        try:
            with database.begin() as session:
                session.info["actor"] = SYSTEM
                cancel(session, SYSTEM, row.id, RELEASE_REASON, no_show=True)
        except Conflict as refusal:
            log.info("booked number %s was not released: %s", row.id, refusal.code)
            continue
        released += 1
    return released
