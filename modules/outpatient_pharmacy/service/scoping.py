"""Which store a person may work in, and the task of a prescription (DB-10)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, of, today
from his_server.errors import Conflict, NotFound
from his_server.security import scopes
from modules.kernel.dispensing import rules
from modules.kernel.dispensing.models import DispensingTask
from modules.kernel.masterdata.models import Drug
from modules.kernel.orders.models import Prescription
from modules.kernel.stock.models import Store

_CONTROLS = select(Drug.id, Drug.control).where(Drug.id.in_(bindparam("b_ids", expanding=True)))


def store_for(session: Session, actor: Actor, permission: str, store_id: int) -> Store:
    """The store, if the actor may do this there. :raises NotFound: there is none, or it isn't in the actor's reach."""
    found = session.get(Store, store_id)
    if found is None:
        raise NotFound("pharmacy.store", "没有这个药房，请刷新后重试")
    scopes.require(actor, permission, found.department_id)
    return found


def prescription_for(session: Session, actor: Actor, permission: str, prescription_id: int) -> Prescription:
    """The prescription, if its store is in the actor's reach."""
    found = session.get(Prescription, prescription_id)
    if found is None:
        raise NotFound("pharmacy.prescription", "没有这张处方，请刷新后重试")
    store_for(session, actor, permission, found.store_id)
    return found


def task_of(session: Session, actor: Actor, found: Prescription) -> DispensingTask:
    """The task of a paid prescription's settlement; made where an older release settled it. Read afresh.

    :raises Conflict: the prescription is not paid.
    """
    mine = select(DispensingTask).where(
        DispensingTask.prescription_id == found.id, DispensingTask.settlement_id == (found.settlement_id or 0)
    ).execution_options(populate_existing=True)
    task = session.scalar(mine)
    if task is not None:
        return task
    if found.settlement_id is None:
        raise Conflict("pharmacy.unpaid", f"处方 {found.number} 尚未收费，请病人先到收费处缴费")
    at = now(session)
    portable.insert_many(session, DispensingTask, [{
        "id": of(session).keys.next(), "prescription_id": found.id, "settlement_id": found.settlement_id,
        "person_id": found.person_id, "store_id": found.store_id, "window_id": None, "state": "waiting",
        "arrived_at": found.charged_at or at, "business_date": today(session), "call_state": "", "calls": 0,
        "reviewed_by_name": "", "review_note": "", "answered_by_name": "", "answer": "", "picked_by_name": "",
        "checked_by_name": "", "changed_at": at, "changed_by_name": actor.name}])
    return session.scalars(mine).one()


def moved_on(session: Session, task: DispensingTask) -> Conflict:
    """The 409 of a lost race on a task: who did what and when."""
    session.refresh(task)
    return Conflict("pharmacy.task_state", f"该处方已由 {task.changed_by_name} 于 {local(task.changed_at):%m-%d %H:%M} "
                    f"变为“{rules.STATES[task.state]}”，请刷新后核对")


def controls(session: Session, drug_ids: Sequence[int]) -> dict[int, str]:
    """Drug id → 管制类别 (普通, 麻醉, …); one query."""
    session.flush()
    return {row.id: row.control for row in portable.fetch(session.connection(), _CONTROLS, {"b_ids": list(drug_ids)})}
