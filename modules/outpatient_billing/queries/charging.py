"""Reads of the cashier's screens; each list pages by key and has its index."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.clock import day_bounds
from his_server.db import today
from his_server.errors import NotFound
from his_server.money import ZERO
from modules.kernel.charging.models import (
    ChargeLine,
    ChargeLineState,
    Intent,
    Payment,
    PaymentState,
    PrintRecord,
    Receipt,
    RefundApproval,
    Settlement,
    Shift,
)
from modules.kernel.charging.service import insured_refunds
from modules.kernel.dispensing import queries as dispensing
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata.models import Department, Staff
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name


def unpaid(session: Session, person_id: int) -> dict[str, Any]:
    """A person's open lines with what they belong to; one query."""
    rows = session.execute(
        select(ChargeLine.id, ChargeLine.encounter_id, ChargeLine.source, ChargeLine.source_id, ChargeLine.kind,
               ChargeLine.code, ChargeLine.name, ChargeLine.spec, ChargeLine.unit, ChargeLine.price,
               ChargeLine.quantity, ChargeLine.amount, ChargeLine.fiscal_category, ChargeLine.insurance_level,
               ChargeLine.created_at, Encounter.visit_no, Department.name.label("department"),
               Staff.name.label("doctor"))
        .join(Encounter, Encounter.id == ChargeLine.encounter_id)
        .outerjoin(Department, Department.id == ChargeLine.ordering_department_id)
        .outerjoin(Staff, Staff.id == ChargeLine.ordering_staff_id)
        .where(ChargeLine.person_id == person_id, ChargeLine.state == "open")
        .order_by(ChargeLine.encounter_id, ChargeLine.source, ChargeLine.source_id, ChargeLine.id)).all()
    return {"lines": [dict(r._mapping) for r in rows], "total": sum((r.amount for r in rows), ZERO)}


OWING = 200


def owing(session: Session) -> dict[str, Any]:
    """Who was ordered something today and hasn't paid it, newest first, names masked; one query over today's lines.

    A registration's fee doesn't count: it is paid where the number is taken, an appointment's on its day.
    ``more``: there are further ones than the list holds.
    """
    since = func.max(ChargeLine.created_at).label("since")
    rows = session.execute(
        select(ChargeLine.person_id, Person.name, Person.sex, Person.birth_date, Person.outpatient_no,
               func.count().label("lines"), func.sum(ChargeLine.amount).label("total"), since)
        .join(Person, Person.id == ChargeLine.person_id)
        .where(ChargeLine.created_at >= day_bounds(today(session))[0], ChargeLine.state == "open",
               ChargeLine.source != "registration")
        .group_by(ChargeLine.person_id, Person.name, Person.sex, Person.birth_date, Person.outpatient_no)
        .order_by(since.desc(), ChargeLine.person_id).limit(OWING + 1)).all()
    return {"items": [{**row._mapping, "id": row.person_id, "name": mask_name(row.name)} for row in rows[:OWING]],
            "more": len(rows) > OWING}


def settlements(session: Session, *, person_id: int | None, shift_id: int | None, day: date | None, number: str,
                limit: int, after: str | None) -> dict[str, Any]:
    """Settlements and refunds, newest first; one query."""
    statement: Any = select(Settlement.id, Settlement.number, Settlement.kind, Settlement.total, Settlement.channel,
                       Settlement.cashier_name, Settlement.settled_at, Settlement.reverses_id, Settlement.person_id,
                       Settlement.reason, Person.name, Person.outpatient_no).join(
                           Person, Person.id == Settlement.person_id)
    if person_id is not None:
        statement = statement.where(Settlement.person_id == person_id)
    if shift_id is not None:
        statement = statement.where(Settlement.shift_id == shift_id)
    if day is not None:
        statement = statement.where(Settlement.business_date == day)
    if number:
        statement = statement.where(Settlement.number == number)
    cursor = portable.decode_cursor(after) if after else None
    rows = session.execute(portable.keyset(
        statement, [(Settlement.settled_at, "desc"), (Settlement.id, "desc")], cursor, limit + 1)).all()
    more = len(rows) > limit
    items = [{**r._mapping, "name": mask_name(r.name)} for r in rows[:limit]]
    last = rows[limit - 1] if more else None
    return {"items": items, "next": portable.encode_cursor((last.settled_at, last.id)) if last else None}


def settlement(session: Session, settlement_id: int) -> dict[str, Any]:
    """A settlement with lines (and what of them can be refunded), receipts, payments, prints, where its
    drugs are fetched, what of them came back and whether the insurer pays today; nine queries."""
    head = session.execute(
        select(Settlement, Person.name, Person.sex, Person.birth_date, Person.outpatient_no)
        .join(Person, Person.id == Settlement.person_id).where(Settlement.id == settlement_id)).first()
    if head is None:
        raise NotFound("charging.settlement", "没有这次结算，请核对结算号")
    found: Settlement = head.Settlement
    state = ChargeLineState
    lines = session.execute(
        select(ChargeLine, state.performed, state.refunded, Department.name.label("department"))
        .outerjoin(state, state.line_id == ChargeLine.id)
        .outerjoin(Department, Department.id == ChargeLine.performing_department_id)
        .where(ChargeLine.settlement_id == settlement_id).order_by(ChargeLine.id)).all()
    receipts = session.scalars(select(Receipt).where(Receipt.settlement_id == settlement_id).order_by(Receipt.id)).all()
    payments = session.execute(
        select(Payment, PaymentState.returned, PaymentState.covered, Intent.state.label("intent_state"),
               Intent.message)
        .outerjoin(PaymentState, PaymentState.payment_id == Payment.id)
        .outerjoin(Intent, Intent.id == Payment.intent_id)
        .where(Payment.settlement_id == settlement_id).order_by(Payment.id)).all()
    refunds = session.execute(
        select(Settlement.id, Settlement.number, Settlement.kind, Settlement.total, Settlement.settled_at,
               Settlement.cashier_name, Settlement.reason)
        .where(Settlement.reverses_id == settlement_id).order_by(Settlement.settled_at, Settlement.id)).all()
    prints = session.scalar(select(func.count()).select_from(PrintRecord).where(
        PrintRecord.document == "settlement", PrintRecord.document_id == settlement_id))
    return {
        **{c: getattr(found, c) for c in ("id", "number", "kind", "total", "channel", "cashier_name", "settled_at",
                                          "business_date", "reverses_id", "reason", "person_id", "shift_id")},
        "person": {"id": found.person_id, "name": head.name, "sex": head.sex, "birth_date": head.birth_date,
                   "outpatient_no": head.outpatient_no},
        "lines": [_line(line, performed, refunded, department) for line, performed, refunded, department in lines],
        "receipts": receipts,
        "payments": [{"id": p.id, "method": p.method, "amount": p.amount, "tendered": p.tendered,
                      "intent_id": p.intent_id, "intent_state": intent, "message": message,
                      "left": None if covered is None else covered - returned}
                     for p, returned, covered, intent, message in payments],
        "refunds": [dict(r._mapping) for r in refunds],
        "prints": prints,
        "insured": insured_refunds.active_claim(session, settlement_id) is not None,
        "pickups": dispensing.pickups(session, settlement_id),
        "drug_returns": dispensing.returns_of_settlement(session, found.reverses_id or settlement_id),
    }


_OF = bindparam("b_settlement")
_VOUCHER = (
    select(Settlement.number, Settlement.kind, Settlement.total, Settlement.settled_at, Settlement.cashier_name,
           Settlement.reason, Person.name, Person.sex, Person.outpatient_no)
    .join(Person, Person.id == Settlement.person_id).where(Settlement.id == _OF))
_VOUCHER_PARTS = {
    "lines": select(ChargeLine.name, ChargeLine.spec, ChargeLine.unit, ChargeLine.price, ChargeLine.quantity,
                    ChargeLine.amount).where(ChargeLine.settlement_id == _OF).order_by(ChargeLine.id),
    "receipts": select(Receipt.number, Receipt.colour, Receipt.title, Receipt.amount)
    .where(Receipt.settlement_id == _OF).order_by(Receipt.id),
    "payments": select(Payment.method, Payment.amount).where(Payment.settlement_id == _OF).order_by(Payment.id),
}


def voucher(session: Session, settlement_id: int) -> dict[str, Any]:
    """What is printed of a settlement; five queries. :raises NotFound: there is none."""
    session.flush()
    connection, asked = session.connection(), {"b_settlement": settlement_id}
    head = next(iter(portable.fetch(connection, _VOUCHER, asked)), None)
    if head is None:
        raise NotFound("charging.settlement", "没有这次结算，请核对结算号")
    return {**head._asdict(),
            **{part: [row._asdict() for row in portable.fetch(connection, statement, asked)]
               for part, statement in _VOUCHER_PARTS.items()},
            "pickups": dispensing.pickups(session, settlement_id)}


def _line(line: ChargeLine, performed: Any, refunded: Any, department: str | None) -> Mapping[str, Any]:
    columns = ("id", "source", "source_id", "kind", "code", "name", "spec", "unit", "price", "quantity", "amount",
               "fiscal_category", "receipt_id", "reverses_line_id")
    known = performed is not None
    return {**{c: getattr(line, c) for c in columns}, "department": department, "performed": performed,
            "refunded": refunded, "refundable": line.quantity - performed - refunded if known else None}


def shifts(session: Session, *, cashier_id: int | None, state: str | None, limit: int = 60) -> list[Shift]:
    """Shifts, newest first; one query."""
    statement = select(Shift).order_by(Shift.opened_at.desc()).limit(limit)
    if cashier_id is not None:
        statement = statement.where(Shift.cashier_id == cashier_id)
    if state:
        statement = statement.where(Shift.state == state)
    return list(session.scalars(statement))


def approvals(session: Session, state: str) -> list[dict[str, Any]]:
    """Refund approvals in a state with their settlement; one query."""
    return _approvals(session, _APPROVALS.where(RefundApproval.state == state).order_by(RefundApproval.requested_at))


def approvals_of(session: Session, user_id: int) -> list[dict[str, Any]]:
    """What somebody asked for in the last seven days and hasn't refunded yet, newest first; one query."""
    return _approvals(session, _APPROVALS.where(
        RefundApproval.state.in_(("requested", "approved", "declined")), RefundApproval.requested_by == user_id,
        RefundApproval.requested_at >= day_bounds(today(session))[0] - timedelta(days=6))
        .order_by(RefundApproval.requested_at.desc(), RefundApproval.id.desc()))


_APPROVALS = (select(RefundApproval, Settlement.number, Settlement.total)
              .join(Settlement, Settlement.id == RefundApproval.settlement_id).limit(200))
_APPROVAL = ("id", "settlement_id", "amount", "reason", "state", "requested_by_name", "requested_at", "decided_by_name",
             "decided_at", "decision_note")


def _approvals(session: Session, statement: Any) -> list[dict[str, Any]]:
    return [{**{c: getattr(a, c) for c in _APPROVAL}, "number": number, "total": total}
            for a, number, total in session.execute(statement)]


def open_intents(session: Session, person_id: int) -> list[Intent]:
    """A person's scan payments that no settlement used: on their way, unknown, or taken; one query."""
    return list(session.scalars(select(Intent).where(
        Intent.person_id == person_id, Intent.purpose == "pay",
        Intent.state.in_(("created", "calling", "unknown", "confirmed")))
        .order_by(Intent.created_at, Intent.id).limit(50)))


def returns_of_registration(session: Session, registration_id: int) -> list[int]:
    """The electronic returns of a cancelled registration's fee; one query. :raises NotFound: there are none."""
    fee = select(ChargeLine.settlement_id).where(
        ChargeLine.source == "registration", ChargeLine.source_id == registration_id,
        ChargeLine.reverses_line_id.is_not(None))
    found = list(session.scalars(select(Intent.id).where(
        Intent.settlement_id.in_(fee), Intent.purpose == "refund").order_by(Intent.id)))
    if not found:
        raise NotFound("registration.no_return", "这次退号没有电子退款，请核对")
    return found
