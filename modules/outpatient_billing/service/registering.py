"""Registration at the window: same day, appointment, renewal, change, cancellation; fee and slot in one transaction.

Implements: M1.5, M1.14, YB-09
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import today
from his_server.errors import Conflict
from his_server.messaging import outbox
from his_server.money import ZERO, line_amount
from modules.kernel.charging import service as ledger
from modules.kernel.charging.models import ChargeLine
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.service import Refunded, Returns, Settled, insured_refunds
from modules.kernel.scheduling import service as scheduling
from modules.kernel.scheduling.models import Registration
from modules.kernel.scheduling.service.registering import Fee
from modules.outpatient_billing.queries.registrations import renewable
from modules.outpatient_billing.service.charging import settle


def register(session: Session, actor: Actor, *, person_id: int, session_id: int, payments: Sequence[Pay],
             to_jiao: bool, insurance: str = "自费", expected_total: Decimal | None = None
             ) -> tuple[Registration, Settled]:
    """Register and settle the fee in one transaction."""
    registration, line_ids = scheduling.register(session, actor, person_id=person_id, session_id=session_id,
                                                 insurance=insurance)
    return _paid(session, actor, registration, line_ids, payments, to_jiao, expected_total)


def _paid(session: Session, actor: Actor, registration: Registration, line_ids: Sequence[int], payments: Sequence[Pay],
          to_jiao: bool, expected_total: Decimal | None) -> tuple[Registration, Settled]:
    settled = settle(session, actor, person_id=registration.person_id, line_ids=line_ids, payments=payments,
                     to_jiao=to_jiao, expected_total=expected_total)
    session.refresh(registration)
    return registration, settled


def book(session: Session, actor: Actor, *, person_id: int, session_id: int, insurance: str = "自费") -> Registration:
    """预约: a place on a later day; the number is taken and paid by :func:`take_booked`, or released by the job.

    Emits ``RegistrationBooked``. :raises Conflict: it is for today (register and pay), or the person has booked this
    department for that day already.
    """
    clinic = scheduling.session_of(session, session_id)
    if clinic.day <= today(session):
        raise Conflict("registration.book_today", "当日号请直接挂号收费，预约只用于以后的日期")
    if session.scalar(select(Registration.id).where(
            Registration.person_id == person_id, Registration.day == clinic.day, Registration.state == "booked",
            Registration.department_id == clinic.department_id).limit(1)) is not None:
        raise Conflict("registration.booked_twice", "该病人当天已预约本科室，请先取消原预约或换号")
    made, _ = scheduling.register(session, actor, person_id=person_id, session_id=session_id, insurance=insurance)
    outbox.record(session, "RegistrationBooked", made.number, {
        "registration_id": made.id, "number": made.number, "person_id": made.person_id, "session_id": made.session_id,
        "day": made.day, "channel": made.channel})
    return made


def hold_place(session: Session, actor: Actor, *, person_id: int, session_id: int) -> tuple[Registration, list[int]]:
    """占号: the place is taken and its fee stands open, so that the insurer can be asked about it; returns the fee's lines.

    Settling them registers the patient, by whatever window. Nobody's payment for half an hour gives the place back.
    :raises Conflict: as :func:`scheduling.register`.
    """
    made, line_ids = scheduling.register(session, actor, person_id=person_id, session_id=session_id)
    session.flush()
    return made, line_ids


def take_booked(session: Session, actor: Actor, registration_id: int, *, payments: Sequence[Pay], to_jiao: bool,
                expected_total: Decimal | None = None) -> tuple[Registration, Settled]:
    """取号: settle the fee of a booked number. :raises Conflict: taken, cancelled or released, or its day is over."""
    found = scheduling.registration_of(session, registration_id)
    scheduling.may_take(session, found)
    line_ids = list(session.scalars(select(ChargeLine.id).where(
        ChargeLine.source == "registration", ChargeLine.source_id == registration_id, ChargeLine.state == "open")))
    return _paid(session, actor, found, line_ids, payments, to_jiao, expected_total)


def renew(session: Session, actor: Actor, *, person_id: int, session_id: int, days: int) -> tuple[Registration, Settled]:
    """续诊 (YB-09, 一次挂号管三天): a free second visit to the same department while results of the first are pending.

    ``days``: how many natural days the first registration is good for, its own included; 0 = not offered here.
    :raises Conflict: there is no registration that could be renewed, or it was renewed already.
    """
    clinic = scheduling.session_of(session, session_id)
    found = renewable(session, person_id, clinic.day, days, clinic.department_id)
    if not found:
        raise Conflict("registration.not_renewable",
                       f"没有可续诊的挂号：须为同一科室、{days} 日内、检查检验结果未出且未续诊过" if days else "本院未开通续诊")
    registration, line_ids = scheduling.register(session, actor, person_id=person_id, session_id=session_id,
                                                 renews=found[0])
    return _paid(session, actor, registration, line_ids, [], False, ZERO)


def cancel_registration(session: Session, actor: Actor, registration_id: int, *, reason: str, to_jiao: bool,
                        returns: Returns | None = None) -> tuple[Registration, Refunded | None]:
    """退号: cancel the registration, free the slot, refund the fee to where it came from (M1.14)."""
    was_paid = scheduling.registration_of(session, registration_id).state == "registered"
    cancelled = scheduling.cancel(session, actor, registration_id, reason)
    if not was_paid:
        return cancelled, None
    assert cancelled.settlement_id is not None
    lines = {key: quantity for key, quantity in session.execute(
        select(ChargeLine.id, ChargeLine.quantity).where(
            ChargeLine.settlement_id == cancelled.settlement_id, ChargeLine.source == "registration",
            ChargeLine.source_id == registration_id, ChargeLine.reverses_line_id.is_(None)))}
    return cancelled, ledger.refund(session, actor, cancelled.settlement_id, lines, reason=reason, returns=returns,
                                    to_jiao=to_jiao)


@dataclass(frozen=True)
class Changed:
    """A moved registration: what went back and what was charged; both None when the fee stayed as it was."""

    registration: Registration
    refunded: Refunded | None
    settled: Settled | None


def change_registration(session: Session, actor: Actor, registration_id: int, session_id: int, *, reason: str,
                        payments: Sequence[Pay], to_jiao: bool, expected_total: Decimal) -> Changed:
    """换号: the slot moves; where the fee differs, the old one goes back and the new one is charged in this transaction.

    ``payments`` pay the new fee whole (``expected_total``, 0 where nothing is to be paid); the old one returns the way
    it came, so that for cash the two make the difference. :raises Conflict: as :func:`scheduling.move` and ``refund``.
    """
    moved = scheduling.move(session, actor, registration_id, session_id, reason=reason)
    if not moved.old_lines:
        if expected_total or payments:
            raise Conflict("charging.total_changed", "换号后费用不变，无需收款，请刷新后重新提交")
        return Changed(moved.registration, None, None)
    assert moved.old_settlement_id is not None
    refunded = ledger.refund(session, actor, moved.old_settlement_id, moved.old_lines, reason=reason, to_jiao=to_jiao)
    settled = ledger.settle(session, actor, person_id=moved.registration.person_id, line_ids=moved.new_lines,
                            payments=payments, to_jiao=to_jiao, expected_total=expected_total)
    scheduling.repaid(session, registration_id, settled.id)
    session.refresh(moved.registration)
    return Changed(moved.registration, refunded, settled)


def preview_change(session: Session, registration_id: int, session_id: int) -> dict[str, Decimal | bool]:
    """What :func:`change_registration` would refund and charge, in yuan; nothing is written.

    ``insured``: the insurer paid a part of the old fee, so that it goes back by :func:`cancel_insured_registration`.
    """
    found = scheduling.registration_of(session, registration_id)
    clinic = scheduling.session_of(session, session_id)
    fee = Fee(session, clinic, free=found.way == "renewal")
    if found.state != "registered" or found.way == "renewal":
        return {"refund": ZERO, "charge": ZERO, "same": found.way == "renewal" or found.state != "booked",
                "fee": fee.price, "insured": False}
    old = session.scalar(select(ChargeLine).where(
        ChargeLine.settlement_id == found.settlement_id, ChargeLine.source == "registration",
        ChargeLine.source_id == found.id, ChargeLine.reverses_line_id.is_(None)))
    assert old is not None
    same = (old.item_id, old.price, old.ordering_department_id, old.ordering_staff_id) == (
        fee.item.id, fee.price, clinic.department_id, clinic.doctor_id)
    new = fee.line(found.id)
    return {"refund": ZERO if same else old.amount, "charge": ZERO if same else line_amount(new.price, new.quantity),
            "same": same, "fee": fee.price,
            "insured": insured_refunds.active_claim(session, found.settlement_id or 0) is not None}
