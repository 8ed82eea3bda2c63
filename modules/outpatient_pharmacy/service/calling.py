"""叫号: call, call again, pass; what the waiting room's screen shows follows from it (M7.1)."""

from __future__ import annotations

from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now
from his_server.errors import Conflict
from his_server.messaging import outbox
from his_server.security import audit
from modules.kernel.dispensing import rules
from modules.kernel.dispensing.models import DispensingTask, PickupWindow
from modules.outpatient_pharmacy.service.dispensing import DISPENSE
from modules.outpatient_pharmacy.service.scoping import moved_on, prescription_for, task_of


def call(session: Session, actor: Actor, prescription_id: int, *, window_id: int | None = None) -> DispensingTask:
    """Call the patient to the task's window (or, where it has none, to this one). Again: 重呼.

    :raises Conflict: the prescription left the queue (named), or there is no window to call to.
    """
    found = prescription_for(session, actor, DISPENSE, prescription_id)
    task = task_of(session, actor, found)
    window = session.get(PickupWindow, task.window_id or window_id or 0)
    if window is None or window.store_id != task.store_id:
        raise Conflict("pharmacy.no_window", "该处方还没有分配窗口，请先在“药房设置”开放窗口并选择本机窗口")
    at = now(session)
    if not portable.guarded_update(
            session, DispensingTask, (DispensingTask.id == task.id) & DispensingTask.state.in_(rules.OPEN_STATES),
            {"call_state": "called", "called_at": at, "calls": DispensingTask.calls + 1, "window_id": window.id}):
        raise moved_on(session, task)
    session.refresh(task)
    outbox.record(session, "PatientCalled", found.number, {
        "prescription_id": found.id, "person_id": found.person_id, "store_id": task.store_id, "window": window.number,
        "calls": task.calls})
    audit.record(session, actor, "prescription.call", "prescription", found.id,
                 {"window": window.number, "calls": task.calls})
    return task


def pass_over(session: Session, actor: Actor, prescription_id: int) -> DispensingTask:
    """过号: whoever did not come goes behind those who wait. :raises Conflict: not called, or gone (named)."""
    found = prescription_for(session, actor, DISPENSE, prescription_id)
    task = task_of(session, actor, found)
    if task.state in rules.OPEN_STATES and task.call_state != "called":
        raise Conflict("pharmacy.not_called", "该病人还没有叫号，不能过号")
    if not portable.guarded_update(
            session, DispensingTask, (DispensingTask.id == task.id) & DispensingTask.state.in_(rules.OPEN_STATES)
            & (DispensingTask.call_state == "called"), {"call_state": "passed"}):
        raise moved_on(session, task)
    audit.record(session, actor, "prescription.pass_over", "prescription", found.id, {"number": found.number})
    session.refresh(task)
    return task
