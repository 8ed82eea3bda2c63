"""Picking and handing out: four eyes, trace codes, parts (RX-09, RX-12, TC-02, TC-03, TC-05)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, of
from his_server.errors import Conflict
from his_server.security import audit
from modules.kernel.dispensing import rules
from modules.kernel.dispensing import service as kernel
from modules.kernel.dispensing.models import DispensingTask
from modules.kernel.orders import service as orders
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.outpatient_pharmacy.models import ScannedCode
from modules.outpatient_pharmacy.service import checking
from modules.outpatient_pharmacy.service import codes as tracecodes
from modules.outpatient_pharmacy.service.scoping import controls, moved_on, prescription_for, task_of

DISPENSE = "outpatient_pharmacy.dispense"
_SCANNED = (select(ScannedCode.line_id, ScannedCode.code).where(ScannedCode.task_id == bindparam("b_task"))
            .order_by(ScannedCode.id))
Codes = Mapping[int, Sequence[str]]
"""Prescription line id → trace codes scanned."""


def pick(session: Session, actor: Actor, prescription_id: int, *, codes: Codes | None = None) -> DispensingTask:
    """调配: the drugs lie ready; the codes scanned at it are kept for the handing out.

    Where nobody reviewed before and the store lets that be, who makes ready is named for the review (处方管理办法 33).
    :raises Conflict: not reviewed yet, or somebody has moved it on (named).
    """
    found = prescription_for(session, actor, DISPENSE, prescription_id)
    task = task_of(session, actor, found)
    _reviewed(session, task, found)
    at = now(session)
    review = {} if task.reviewed_by else {"reviewed_by": actor.user_id, "reviewed_by_name": actor.name, "reviewed_at": at}
    if not portable.guarded_update(
            session, DispensingTask, (DispensingTask.id == task.id) & DispensingTask.state.in_(("waiting", "reviewed")),
            {**review, "state": "picked", "picked_by": actor.user_id, "picked_by_name": actor.name, "picked_at": at,
             "changed_at": at, "changed_by_name": actor.name}):
        raise moved_on(session, task)
    _keep(session, task.id, tracecodes.clean(session, found, codes or {}))
    audit.record(session, actor, "prescription.pick", "prescription", found.id, {"number": found.number})
    session.refresh(task)
    return task


def _keep(session: Session, task_id: int, codes: Codes) -> None:
    session.execute(delete(ScannedCode).where(ScannedCode.task_id == task_id))
    rows = [(line, code) for line, scanned in sorted(codes.items()) for code in scanned]
    portable.insert_many(session, ScannedCode, [
        {"id": key, "task_id": task_id, "line_id": line, "code": code}
        for key, (line, code) in zip(of(session).keys.take(len(rows)), rows, strict=True)] if rows else [])


def kept_codes(session: Session, task_id: int) -> dict[int, list[str]]:
    """The codes scanned at picking, by line; one query."""
    kept: dict[int, list[str]] = {}
    session.flush()
    for row in portable.fetch(session.connection(), _SCANNED, {"b_task": task_id}):
        kept.setdefault(row.line_id, []).append(row.code)
    return kept


def dispense(session: Session, actor: Actor, prescription_id: int, *, line_ids: Collection[int] | None = None,
             codes: Codes | None = None, boxes: Collection[str] = ()) -> Prescription:
    """核对发药: hand out a paid prescription (or whole lines of it), earliest expiry first.

    ``boxes``: codes that nobody collected at receipt and of which the person at the window says that each is a box's.

    The order is taken first, so that this and a refund queue up and exactly one wins (RX-12). Whoever did no step of
    his own is named for it: one person alone may review, pick and check ordinary drugs where the store lets him.
    :raises Conflict: dispensed or refunded already (named), not reviewed, one person for a controlled drug (RX-09),
        an insured patient's drug without trace code (TC-03).
    """
    found = prescription_for(session, actor, DISPENSE, prescription_id)
    handed_out = orders.dispense(session, actor, prescription_id, line_ids=line_ids)
    task = task_of(session, actor, found)
    _reviewed(session, task, found)
    lines = list(session.execute(
        select(PrescriptionLine.id, PrescriptionLine.drug_id, PrescriptionLine.name, PrescriptionLine.pack_size)
        .where(PrescriptionLine.prescription_id == prescription_id)))
    lines = [line for line in lines if line_ids is None or line.id in set(line_ids)]
    _four_eyes(session, actor, task, lines)
    given = kept_codes(session, task.id)
    given.update({line: list(scanned) for line, scanned in (codes or {}).items()})
    out = {item.line_id for item in handed_out}
    tracecodes.use(session, actor, found, lines, {k: c for k, c in given.items() if k in out or k in (codes or {})},
                   handed_out, boxes)
    session.refresh(found)
    _finish(session, actor, task, found.dispensed_at if found.state == "dispensed" else None)
    return found


def _reviewed(session: Session, task: DispensingTask, found: Prescription) -> None:
    if task.state == "bounced":
        raise Conflict("pharmacy.bounced", f"该处方已由 {task.reviewed_by_name} 退回医师（{task.review_note}），"
                       "请等医师确认或由病人退费")
    if task.state != "waiting":
        return
    if (held := held_back(session, task, found)) is not None:
        raise Conflict("pharmacy.review_first", f"{held.why}，请药师审核后再发药（F6）")


def held_back(session: Session, task: DispensingTask, found: Prescription) -> checking.Checked | None:
    """What keeps a waiting prescription from being made ready, by a person or a machine: its review, where the store's rule
    wants that of every one, else what was found against it. None: it may be made ready."""
    if kernel.rule_of(session, task.store_id).review_first:
        return checking.Checked("review", ())
    checked = checking.look(session, found, task)
    return checked if checked.needs_person else None


def _four_eyes(session: Session, actor: Actor, task: DispensingTask, lines: Sequence[Any]) -> None:
    kinds = controls(session, [line.drug_id for line in lines])
    strict = [line.name for line in lines if rules.two_persons(kinds[line.drug_id])]
    if not strict:
        return
    if task.picked_by is None:
        raise Conflict("pharmacy.two_persons", f"{strict[0]} 为管制药品，须先由另一名药师完成调配（F4），再由您核对发药")
    if task.picked_by == actor.user_id:
        raise Conflict("pharmacy.two_persons", f"{strict[0]} 为管制药品，由 {task.picked_by_name} 调配，"
                       "调配与核对须为不同的药师")


def _finish(session: Session, actor: Actor, task: DispensingTask, whole_at: datetime | None) -> None:
    """``whole_at``: when the last of it was handed out, which is when the steps were done that nobody did before."""
    at = whole_at or now(session)
    values: dict[str, Any] = {"changed_at": at, "changed_by_name": actor.name, "checked_by": actor.user_id,
                              "checked_by_name": actor.name}
    if task.reviewed_by is None:
        values |= {"reviewed_by": actor.user_id, "reviewed_by_name": actor.name, "reviewed_at": at}
    if task.picked_by is None:
        values |= {"picked_by": actor.user_id, "picked_by_name": actor.name, "picked_at": at}
    values |= {"state": "done", "finished_at": at} if whole_at else {"state": "picked"}
    if not portable.guarded_update(
            session, DispensingTask, (DispensingTask.id == task.id)
            & DispensingTask.state.in_(("waiting", "reviewed", "picked")), values):
        raise moved_on(session, task)
