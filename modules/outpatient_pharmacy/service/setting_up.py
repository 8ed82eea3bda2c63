"""How a store works: its windows, its rule, where its drugs lie (M7.1, M1.17, M7.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, of, today
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.messaging import outbox
from his_server.security import audit
from modules.kernel.dispensing import rules
from modules.kernel.dispensing import service as kernel
from modules.kernel.dispensing.models import DispensingTask, PickupWindow, StoreRule
from modules.kernel.masterdata import service as masterdata
from modules.outpatient_pharmacy.models import DrugLocation
from modules.outpatient_pharmacy.service.scoping import store_for

SET_UP = "outpatient_pharmacy.set_up"


def add_window(session: Session, actor: Actor, store_id: int, *, number: int, name: str) -> PickupWindow:
    """A new window, closed. :raises Conflict: the store has one with this number."""
    store_for(session, actor, SET_UP, store_id)
    if session.scalar(select(PickupWindow.id).where(PickupWindow.store_id == store_id, PickupWindow.number == number)):
        raise Conflict("pharmacy.window_exists", f"该药房已有 {number} 号窗口", [FieldError("number", "窗口号重复")])
    made = PickupWindow(store_id=store_id, number=number, name=name or f"{number}号窗口", state="closed",
                        changed_at=now(session), changed_by_name=actor.name)
    session.add(made)
    session.flush()
    audit.record(session, actor, "window.add", "pickup_window", made.id, {"number": number})
    return made


def switch_window(session: Session, actor: Actor, window_id: int, *, state: str, permission: str) -> PickupWindow:
    """Open or close a window. Whoever waits at a closing one goes to the least loaded others of the same store.

    :raises Conflict: it is so already (named), or it is the last open one and people wait at it.
    """
    found = session.get(PickupWindow, window_id)
    if found is None:
        raise NotFound("pharmacy.window", "没有这个窗口，请刷新后重试")
    store_for(session, actor, permission, found.store_id)
    before = "closed" if state == "open" else "open"
    if not portable.guarded_update(
            session, PickupWindow, (PickupWindow.id == window_id) & (PickupWindow.state == before),
            {"state": state, "changed_at": now(session), "changed_by_name": actor.name}):
        session.refresh(found)
        raise Conflict("pharmacy.window_state", f"{found.name} 已由 {found.changed_by_name} "
                       f"{'开放' if found.state == 'open' else '关闭'}，请刷新后核对")
    moved = _move_away(session, found) if state == "closed" else 0
    audit.record(session, actor, f"window.{state}", "pickup_window", window_id, {"moved": moved})
    session.refresh(found)
    return found


def _move_away(session: Session, closing: PickupWindow) -> int:
    waiting = list(session.execute(
        select(DispensingTask.id, DispensingTask.prescription_id).where(
            DispensingTask.store_id == closing.store_id, DispensingTask.window_id == closing.id,
            DispensingTask.state.in_(rules.OPEN_STATES), DispensingTask.business_date == today(session))
        .order_by(DispensingTask.id)))
    if not waiting:
        return 0
    others = [(w.id, w.number) for w in session.scalars(select(PickupWindow).where(
        PickupWindow.store_id == closing.store_id, PickupWindow.state == "open", PickupWindow.id != closing.id))]
    if not others:
        raise Conflict("pharmacy.last_window", f"{closing.name} 是最后一个开放的窗口，还有 {len(waiting)} 张处方在等候，"
                       "请先开放其他窗口")
    load = {row.window_id: row.tasks for row in session.execute(
        select(DispensingTask.window_id, func.count().label("tasks")).where(
            DispensingTask.store_id == closing.store_id, DispensingTask.state.in_(rules.OPEN_STATES),
            DispensingTask.business_date == today(session)).group_by(DispensingTask.window_id))}
    for task in waiting:
        chosen = rules.choose_window(others, load, None)
        assert chosen is not None
        load[chosen] = load.get(chosen, 0) + 1
        portable.guarded_update(session, DispensingTask, DispensingTask.id == task.id,
                                {"window_id": chosen, "call_state": ""})
        outbox.record(session, "PickupMoved", str(task.prescription_id), {
            "prescription_id": task.prescription_id, "store_id": closing.store_id, "window": dict(others)[chosen]})
    return len(waiting)


def set_rule(session: Session, actor: Actor, store_id: int, values: Mapping[str, Any]) -> StoreRule:
    """Declare how a store works; every change is history. :raises Invalid: half a period."""
    store_for(session, actor, SET_UP, store_id)
    for first, last in (("night_start", "night_end"), ("opens", "closes")):
        if bool(values[first]) != bool(values[last]):
            raise Invalid("pharmacy.period", "时段的开始和结束须同时填写或同时留空",
                          [FieldError(first if not values[first] else last, "须同时填写")])
    found = session.scalar(select(StoreRule).where(StoreRule.store_id == store_id))
    if found is None:
        found = kernel.rule_of(session, store_id)
        session.add(found)
    for name, value in values.items():
        setattr(found, name, value)
    found.changed_at, found.changed_by_name = now(session), actor.name
    session.flush()
    audit.record(session, actor, "store.rule", "store", store_id, {k: str(v) for k, v in values.items()})
    return found


def set_locations(session: Session, actor: Actor, store_id: int, shelves: Sequence[Mapping[str, Any]]) -> int:
    """Where drugs lie in a store; an empty shelf forgets it. Returns how many were set. Three statements for any number.

    :raises Invalid: a drug is unknown.
    """
    store_for(session, actor, SET_UP, store_id)
    wanted = {row["drug_id"]: row["shelf"] for row in shelves}
    known = masterdata.drugs(session, wanted)
    errors = [FieldError(f"items.{i}.drug_id", "没有这个药品") for i, row in enumerate(shelves)
              if row["drug_id"] not in known]
    if errors:
        raise Invalid("pharmacy.locations", "货位有误，请按提示修改", errors)
    gone = [key for key, shelf in wanted.items() if not shelf]
    if gone:
        session.execute(delete(DrugLocation).where(DrugLocation.store_id == store_id, DrugLocation.drug_id.in_(gone)))
    kept = [(key, shelf) for key, shelf in wanted.items() if shelf]
    if kept:
        portable.upsert(session, DrugLocation, [
            {"id": key, "store_id": store_id, "drug_id": drug, "shelf": shelf}
            for key, (drug, shelf) in zip(of(session).keys.take(len(kept)), kept, strict=True)],
            ["store_id", "drug_id"], ["shelf"])
    audit.record(session, actor, "store.locations", "store", store_id, {"set": len(kept), "forgotten": len(gone)})
    return len(kept)
