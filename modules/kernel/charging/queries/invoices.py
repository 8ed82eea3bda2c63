"""The list of electronic invoices: keyset-paged and by index, whatever is asked for (M1.2)."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from modules.kernel.charging.models import ElectronicInvoice, Intent, Settlement, Shift
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name

_COLUMNS = ("id", "settlement_id", "colour", "kind", "state", "amount", "code", "invoice_number", "check_code",
            "original_id", "reason", "cashier_name", "business_date", "made_at", "issued_at", "intent_id")


def invoices(session: Session, *, person_id: int | None, number: str, cashier_id: int | None, start: date | None,
             end: date | None, state: str | None, limit: int, after: str | None) -> dict[str, Any]:
    """Electronic invoices, newest first, without their pictures; one query."""
    row = ElectronicInvoice
    statement: Any = (
        select(row, Person.name, Person.outpatient_no, Settlement.number, Intent.state.label("intent_state"),
               Intent.message)
        .join(Person, Person.id == row.person_id).join(Settlement, Settlement.id == row.settlement_id)
        .join(Intent, Intent.id == row.intent_id))
    if number:
        statement = statement.where(row.invoice_number == number)
    if person_id is not None:
        statement = statement.where(row.person_id == person_id)
    if cashier_id is not None:
        statement = statement.where(row.cashier_id == cashier_id)
    if start is not None:
        statement = statement.where(row.business_date >= start)
    if end is not None:
        statement = statement.where(row.business_date <= end)
    if state is not None:
        statement = statement.where(row.state == state)
    cursor = portable.decode_cursor(after) if after else None
    rows = session.execute(portable.keyset(
        statement, [(row.business_date, "desc"), (row.id, "desc")], cursor, limit + 1)).all()
    more = len(rows) > limit
    last = rows[limit - 1].ElectronicInvoice if more else None
    return {"items": [{**{c: getattr(r.ElectronicInvoice, c) for c in _COLUMNS}, "name": mask_name(r.name),
                       "outpatient_no": r.outpatient_no, "settlement_number": r.number,
                       "intent_state": r.intent_state, "message": r.message} for r in rows[:limit]],
            "next": portable.encode_cursor((last.business_date, last.id)) if last else None}


def cashiers(session: Session) -> list[dict[str, Any]]:
    """Whoever ever had a shift, people and channels, by name: whose invoices one may ask for; one query."""
    rows = session.execute(select(Shift.cashier_id, func.max(Shift.cashier_name).label("name")).group_by(Shift.cashier_id))
    return sorted(({"id": row.cashier_id, "name": row.name} for row in rows), key=lambda one: (one["name"], one["id"]))
