"""A settled prescription arrives in its store: task, window and machine event, once, inside the settlement.

Implements: M7.1, M7.2, M7.3
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import insert_later, now, of, today
from his_server.messaging import outbox
from modules.kernel.dispensing import rules
from modules.kernel.dispensing.models import DispensingTask, PickupWindow


@dataclass(frozen=True)
class Arrival:
    """A prescription and its lines of one settlement: line id → (drug id, quantity in smallest units)."""

    prescription_id: int
    number: str
    person_id: int
    store_id: int
    lines: Mapping[int, tuple[int, Decimal]]


# Statements of the hot path stand here: building one costs ten times as much as running it again.
_WINDOW = PickupWindow.__table__.c
_TASK = DispensingTask.__table__.c
_LOAD = (select(func.count()).where(
    _TASK.store_id == _WINDOW.store_id, _TASK.window_id == _WINDOW.id, _TASK.state.in_(rules.OPEN_STATES),
    _TASK.business_date == bindparam("b_day")).correlate(PickupWindow.__table__).scalar_subquery())
_WINDOWS = (select(_WINDOW.id, _WINDOW.store_id, _WINDOW.number, _LOAD.label("waiting"))
            .where(_WINDOW.store_id.in_(bindparam("b_stores", expanding=True)), _WINDOW.state == "open"))
_BEFORE = (select(_TASK.store_id, _TASK.window_id)
           .where(_TASK.person_id.in_(bindparam("b_persons", expanding=True)), _TASK.business_date == bindparam("b_day"),
                  _TASK.window_id.is_not(None)).order_by(_TASK.arrived_at, _TASK.id))


def arrive(session: Session, actor: Actor, settlement_id: int, arrivals: Sequence[Arrival]) -> None:
    """Make the tasks of a settlement's prescriptions and one ``PrescriptionReady`` event each.

    The event holds this settlement's lines and no other. The database refuses a second task of the same prescription
    and settlement, so that no channel, retry or double callback pushes twice. Two reads, one insert.
    """
    if not arrivals:
        return
    stores = sorted({a.store_id for a in arrivals})
    day, at = today(session), now(session)
    session.flush()
    connection = session.connection()
    windows = portable.fetch(connection, _WINDOWS, {"b_stores": stores, "b_day": day})
    load: dict[int, int] = {w.id: w.waiting for w in windows}
    before: dict[int, int] = {}
    if windows:
        before = {row.store_id: row.window_id for row in portable.fetch(
            connection, _BEFORE, {"b_persons": sorted({a.person_id for a in arrivals}), "b_day": day})}
    rows: list[dict[str, Any]] = []
    for key, one in zip(of(session).keys.take(len(arrivals)), arrivals, strict=True):
        chosen = rules.choose_window([(w.id, w.number) for w in windows if w.store_id == one.store_id], load,
                                     before.get(one.store_id))
        if chosen is not None:
            before[one.store_id] = chosen
            load[chosen] = load.get(chosen, 0) + 1
        rows.append({"id": key, "prescription_id": one.prescription_id, "settlement_id": settlement_id,
                     "person_id": one.person_id, "store_id": one.store_id, "window_id": chosen, "state": "waiting",
                     "arrived_at": at, "business_date": day, "call_state": "", "calls": 0, "reviewed_by_name": "",
                     "review_note": "", "answered_by_name": "", "answer": "", "picked_by_name": "",
                     "checked_by_name": "", "changed_at": at, "changed_by_name": actor.name})
    for row in rows:
        insert_later(session, DispensingTask.__table__, row)  # type: ignore[arg-type]
    numbers = {w.id: w.number for w in windows}
    for row, one in zip(rows, arrivals, strict=True):
        outbox.record(session, "PrescriptionReady", one.number, {
            "task_id": row["id"], "prescription_id": one.prescription_id, "number": one.number,
            "settlement_id": settlement_id, "store_id": one.store_id, "window": numbers.get(row["window_id"] or 0),
            "lines": _lines(one.lines)})


def rest_changed(session: Session, actor: Actor, arrival: Arrival, *, something_given: bool = False) -> None:
    """A refund left these lines to hand out. With none left the task ends: ``withdrawn``, or ``done`` if a part was
    handed out before. Tells the machine by ``PrescriptionChanged`` or ``PrescriptionWithdrawn``.
    """
    at = now(session)
    end: dict[str, Any] = {"changed_at": at, "changed_by_name": actor.name}
    if not arrival.lines:
        end |= {"state": "done" if something_given else "withdrawn", "finished_at": at}
    portable.guarded_update(
        session, DispensingTask, (DispensingTask.prescription_id == arrival.prescription_id)
        & DispensingTask.state.in_(rules.OPEN_STATES), end)
    outbox.record(session, "PrescriptionChanged" if arrival.lines else "PrescriptionWithdrawn", arrival.number, {
        "prescription_id": arrival.prescription_id, "number": arrival.number, "store_id": arrival.store_id,
        "lines": _lines(arrival.lines)})


def _lines(lines: Mapping[int, tuple[int, Decimal]]) -> list[dict[str, Any]]:
    return [{"line_id": key, "drug_id": drug, "quantity": str(quantity)}
            for key, (drug, quantity) in sorted(lines.items())]
