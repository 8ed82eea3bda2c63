"""Reads of the pharmacists' screen."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.errors import invalid
from interfaces.dispensing_machine.models import MachineOrder
from modules.kernel.orders.models import Prescription
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name
from modules.kernel.stock.models import Store

UNSETTLED = ("new", "sending", "refused")
_SHOWN = ("id", "number", "window", "machine_window", "state", "note", "alarm", "made_at", "sent_at", "changed_at")


def orders(session: Session, *, view: str, limit: int, after: str | None) -> dict[str, Any]:
    """Prescriptions at the machine, newest change first; one query. :raises Invalid: a foreign cursor."""
    row = MachineOrder
    statement: Any = (select(row, Person.name, Person.outpatient_no, Store.name.label("store"))
                      .join(Prescription, Prescription.id == row.prescription_id)
                      .join(Person, Person.id == Prescription.person_id).join(Store, Store.id == row.store_id))
    if view == "alarm":
        statement = statement.where(row.alarm)
    elif view == "open":
        statement = statement.where(row.state.in_(UNSETTLED))
    try:
        cursor = portable.decode_cursor(after) if after else None
        page = portable.keyset(statement, [(row.changed_at, "desc"), (row.id, "desc")], cursor, limit + 1)
    except ValueError as error:
        raise invalid("after", "翻页标记有误，请从第一页重新查询") from error
    rows = session.execute(page).all()
    last = rows[limit - 1].MachineOrder if len(rows) > limit else None
    return {"items": [{**{name: getattr(one.MachineOrder, name) for name in _SHOWN}, "store": one.store,
                       "name": mask_name(one.name), "outpatient_no": one.outpatient_no} for one in rows[:limit]],
            "next": portable.encode_cursor((last.changed_at, last.id)) if last else None}
