"""审方: a pharmacist passes a paid prescription, or gives it back to its doctor, who answers (RX-09, RX-10)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now
from his_server.errors import AppError, Conflict, FieldError, Forbidden, Invalid, NotFound
from his_server.messaging import outbox
from his_server.security import audit
from modules.kernel.dispensing.models import DispensingTask
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.outpatient_pharmacy.service import checking
from modules.outpatient_pharmacy.service.scoping import moved_on, prescription_for, task_of

REVIEW = "outpatient_pharmacy.review"
_LINE = PrescriptionLine.__table__.c
_LINES = (select(_LINE.id, _LINE.drug_id, _LINE.quantity).where(_LINE.prescription_id == bindparam("b_prescription"))
          .order_by(_LINE.id))


def _paid(found: Prescription) -> None:
    if found.state != "charged":
        raise Conflict("pharmacy.not_waiting", f"处方 {found.number} 不在待发药状态（已发药、已退费或尚未收费），"
                       "请刷新后核对")


def review(session: Session, actor: Actor, prescription_id: int, *, note: str = "") -> DispensingTask:
    """Pass a waiting prescription; a machine may begin by ``PrescriptionReviewed``. With alerts, or with a checker that gave
    no answer, the note says why it may go.

    :raises Invalid: alerts and no note. :raises Conflict: somebody reviewed it first (named), or it isn't paid.
    """
    found = prescription_for(session, actor, REVIEW, prescription_id)
    _paid(found)
    task = task_of(session, actor, found)
    checked = checking.look(session, found, task)
    if checked.needs_person and not note:
        raise Invalid("pharmacy.note", f"{checked.why}。确认可以发药请填写审核意见，否则请退回医师",
                      [FieldError("note", "有提示的处方须填写审核意见")])
    at = now(session)
    if not portable.guarded_update(
            session, DispensingTask, (DispensingTask.id == task.id) & (DispensingTask.state == "waiting"),
            {"state": "reviewed", "reviewed_by": actor.user_id, "reviewed_by_name": actor.name, "reviewed_at": at,
             "review_note": note, "changed_at": at, "changed_by_name": actor.name}):
        raise moved_on(session, task)
    audit.record(session, actor, "prescription.review", "prescription", found.id,
                 {"number": found.number, "outcome": checked.outcome, "alerts": len(checked.alerts), "note": note})
    outbox.record(session, "PrescriptionReviewed", found.number, {
        "task_id": task.id, "prescription_id": found.id, "number": found.number, "settlement_id": task.settlement_id,
        "store_id": task.store_id, "lines": [
            {"line_id": line.id, "drug_id": line.drug_id, "quantity": str(line.quantity)}
            for line in portable.fetch(session.connection(), _LINES, {"b_prescription": found.id})]})
    session.refresh(task)
    return task


def review_many(session: Session, actor: Actor, prescription_ids: Sequence[int]) -> dict[int, str]:
    """Pass those that nothing stands against; the others stay, each with the reason why. Never one with alerts."""
    refused: dict[int, str] = {}
    for key in dict.fromkeys(prescription_ids):
        try:
            with session.begin_nested():
                review(session, actor, key)
        except AppError as refusal:
            refused[key] = refusal.message
    return refused


def bounce(session: Session, actor: Actor, prescription_id: int, *, reason: str) -> DispensingTask:
    """退回医师 / 拒绝调剂: nothing is handed out until the doctor has answered; the patient may get a refund instead.

    :raises Conflict: handed out, refunded or given back already (named).
    """
    found = prescription_for(session, actor, REVIEW, prescription_id)
    _paid(found)
    task = task_of(session, actor, found)
    at = now(session)
    if not portable.guarded_update(
            session, DispensingTask, (DispensingTask.id == task.id)
            & DispensingTask.state.in_(("waiting", "reviewed", "picked")),
            {"state": "bounced", "reviewed_by": actor.user_id, "reviewed_by_name": actor.name, "reviewed_at": at,
             "review_note": reason, "picked_by": None, "picked_by_name": "", "picked_at": None, "call_state": "",
             "changed_at": at, "changed_by_name": actor.name}):
        raise moved_on(session, task)
    outbox.record(session, "PrescriptionBounced", found.number, {
        "prescription_id": found.id, "doctor_id": found.doctor_id, "store_id": found.store_id})
    audit.record(session, actor, "prescription.bounce", "prescription", found.id,
                 {"number": found.number, "reason": reason})
    session.refresh(task)
    return task


def answer(session: Session, actor: Actor, prescription_id: int, *, text: str) -> DispensingTask:
    """医师确认: the prescribing doctor stands by a prescription that came back; it waits for review again.

    :raises Forbidden: somebody else's prescription. :raises Conflict: it isn't with the doctor (any more).
    """
    found = session.get(Prescription, prescription_id)
    if found is None:
        raise NotFound("pharmacy.prescription", "没有这张处方，请刷新后重试")
    if actor.staff_id is None or found.doctor_id != actor.staff_id:
        raise Forbidden("pharmacy.not_prescriber", f"该处方由 {found.doctor_name} 开具，须由开方医师本人确认")
    _paid(found)
    task = task_of(session, actor, found)
    at = now(session)
    if not portable.guarded_update(
            session, DispensingTask, (DispensingTask.id == task.id) & (DispensingTask.state == "bounced"),
            {"state": "waiting", "answer": text, "answered_by_name": actor.name, "answered_at": at,
             "changed_at": at, "changed_by_name": actor.name}):
        raise moved_on(session, task)
    audit.record(session, actor, "prescription.answer", "prescription", found.id,
                 {"number": found.number, "answer": text})
    session.refresh(task)
    return task
