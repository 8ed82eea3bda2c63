"""Bottles, step by step: prepared, started at the patient, looked at, changed, finished. Each step is guarded.

Implements: M10.1
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now
from his_server.errors import Conflict, FieldError, NotFound
from his_server.messaging import outbox
from his_server.security import audit
from modules.infusion.models import Bottle, Infusion, InfusionRound
from modules.infusion.rules import ENDED, STATES
from modules.infusion.service import seats
from modules.infusion.service.receiving import get, holder
from modules.kernel.charging.models import ChargeLineState
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.orders.service import claiming, skin_tests
from modules.kernel.patients.models import Person


def prepare(session: Session, actor: Actor, bottle_id: int) -> Bottle:
    """配药: ``waiting`` → ``prepared``. The drugs were handed out and are still the patient's; skin tests are negative.

    :raises Conflict: a colleague was first (named), not dispensed or returned, or no negative skin test is in force.
    """
    bottle, infusion = _load(session, bottle_id)
    _refuse_missing_drugs(session, bottle, infusion)
    _refuse_untested(session, bottle, infusion)
    _move(session, bottle, ("waiting",), {"state": "prepared", "prepared_at": now(session), "prepared_by_name": actor.name})
    claiming.use(session, actor, holder(bottle.id))
    _touch(session, actor, infusion)
    audit.record(session, actor, "infusion.prepare", "infusion_bottle", bottle.id, {"label": bottle.label_no})
    return bottle


def start(session: Session, actor: Actor, bottle_id: int, *, patient_code: str, label_code: str, speed: int | None) -> Bottle:
    """开始: the scanned patient and label belong together; ``prepared`` → ``running``.

    :raises Conflict: they don't, another bottle runs already, or a colleague was first (named).
    """
    bottle, infusion = _load(session, bottle_id)
    _refuse_mismatch(session, bottle, infusion, patient_code, label_code)
    _refuse_untested(session, bottle, infusion)
    _take(session, actor, bottle, infusion, None)
    return _begin(session, actor, bottle, speed)


def change(session: Session, actor: Actor, bottle_id: int, *, next_id: int, patient_code: str, label_code: str,
           speed: int | None) -> Bottle:
    """换瓶: the running bottle ends and the next one, scanned with the patient, begins, or neither."""
    bottle, infusion = _load(session, bottle_id)
    following, same = _load(session, next_id)
    if same.id != infusion.id:
        raise Conflict("infusion.mismatch", "下一瓶不是这位病人的，请核对瓶签")
    _refuse_mismatch(session, following, infusion, patient_code, label_code)
    _refuse_untested(session, following, infusion)
    _take(session, actor, following, infusion, bottle.id)
    _move(session, bottle, ("running",), {"state": "finished", "ended_at": now(session), "ended_by_name": actor.name})
    return _begin(session, actor, following, speed)


def look(session: Session, actor: Actor, bottle_id: int, *, condition: str, speed: int | None, note: str) -> InfusionRound:
    """巡视 a running bottle."""
    bottle, infusion = _load(session, bottle_id)
    at = now(session)
    _move(session, bottle, ("running",), {"state": "running", **({} if speed is None else {"speed": speed})})
    made = InfusionRound(infusion_id=infusion.id, bottle_id=bottle.id, condition=condition, speed=speed, note=note,
                         looked_at=at, looked_by_name=actor.name)
    session.add(made)
    infusion.looked_at = at
    session.flush()
    audit.record(session, actor, "infusion.round", "infusion_bottle", bottle.id, {"condition": condition})
    return made


def finish(session: Session, actor: Actor, bottle_id: int) -> Bottle:
    """结束 a running bottle; after the last one the infusion is finished and the seat is free."""
    bottle, infusion = _load(session, bottle_id)
    _move(session, bottle, ("running",), {"state": "finished", "ended_at": now(session), "ended_by_name": actor.name})
    _end(session, actor, bottle, infusion)
    audit.record(session, actor, "infusion.finish", "infusion_bottle", bottle.id, {"label": bottle.label_no})
    return bottle


def stop(session: Session, actor: Actor, bottle_id: int, *, reason: str) -> Bottle:
    """停止 a bottle that isn't finished, with the reason (reaction, refusal, spoilt)."""
    bottle, infusion = _load(session, bottle_id)
    _move(session, bottle, ("waiting", "prepared", "running"), {
        "state": "stopped", "ended_at": now(session), "ended_by_name": actor.name, "reason": reason})
    claiming.free(session, actor, [holder(bottle.id)])
    _end(session, actor, bottle, infusion)
    audit.record(session, actor, "infusion.stop", "infusion_bottle", bottle.id, {"label": bottle.label_no, "reason": reason})
    return bottle


def _load(session: Session, bottle_id: int) -> tuple[Bottle, Infusion]:
    bottle = session.scalar(select(Bottle).options(selectinload(Bottle.drugs)).where(Bottle.id == bottle_id)
                            .execution_options(populate_existing=True))
    if bottle is None:
        raise NotFound("infusion.bottle", "没有这一瓶，请刷新后重试")
    return bottle, get(session, bottle.infusion_id)


def _move(session: Session, bottle: Bottle, before: tuple[str, ...], values: dict[str, Any]) -> None:
    moved = portable.guarded_update(session, Bottle, (Bottle.id == bottle.id) & Bottle.state.in_(before), values)
    session.refresh(bottle)
    if moved:
        return
    who, at = next(((name, when) for name, when in (
        (bottle.ended_by_name, bottle.ended_at), (bottle.started_by_name, bottle.started_at),
        (bottle.prepared_by_name, bottle.prepared_at)) if when is not None), ("", None))
    told = f"已由 {who} 于 {local(at):%H:%M} 变为" if at else "当前为"
    raise Conflict("infusion.bottle_state", f"瓶签 {bottle.label_no} {told}“{STATES[bottle.state]}”，请刷新后核对")


def _take(session: Session, actor: Actor, bottle: Bottle, infusion: Infusion, running: int | None) -> None:
    """The infusion's one running bottle becomes this one, if it is ``running`` (None = none) now."""
    free = Infusion.running_bottle_id.is_(None) if running is None else Infusion.running_bottle_id == running
    at = now(session)
    if not portable.guarded_update(
            session, Infusion, (Infusion.id == infusion.id) & free & Infusion.state.in_(("waiting", "running")),
            {"running_bottle_id": bottle.id, "state": "running", "looked_at": at, "changed_at": at,
             "changed_by_name": actor.name}):
        now_ = get(session, infusion.id)
        raise Conflict("infusion.running", f"{now_.changed_by_name} 已于 {local(now_.changed_at):%H:%M} 为该病人"
                       "开始或更换了一瓶，请刷新后核对；正在输的请用“换瓶”")


def _begin(session: Session, actor: Actor, bottle: Bottle, speed: int | None) -> Bottle:
    _move(session, bottle, ("prepared",), {"state": "running", "started_at": now(session), "started_by_name": actor.name,
                                           "speed": speed})
    audit.record(session, actor, "infusion.start", "infusion_bottle", bottle.id, {"label": bottle.label_no})
    return bottle


def _end(session: Session, actor: Actor, bottle: Bottle, infusion: Infusion) -> None:
    """The infusion after a bottle has ended."""
    at = now(session)
    portable.guarded_update(session, Infusion, (Infusion.id == infusion.id) & (Infusion.running_bottle_id == bottle.id),
                            {"running_bottle_id": None})
    _touch(session, actor, infusion)
    left = session.scalar(select(Bottle.id).where(Bottle.infusion_id == infusion.id, Bottle.state.not_in(ENDED)).limit(1))
    if left is None and portable.guarded_update(
            session, Infusion, (Infusion.id == infusion.id) & Infusion.state.in_(("waiting", "running")),
            {"state": "finished", "changed_at": at, "changed_by_name": actor.name}):
        seats.leave(session, actor, infusion.id)
        outbox.record(session, "InfusionFinished", infusion.number, {"infusion_id": infusion.id})


def _touch(session: Session, actor: Actor, infusion: Infusion) -> None:
    portable.guarded_update(session, Infusion, Infusion.id == infusion.id,
                            {"changed_at": now(session), "changed_by_name": actor.name})


def _refuse_missing_drugs(session: Session, bottle: Bottle, infusion: Infusion) -> None:
    rows = session.execute(
        select(PrescriptionLine.name, ChargeLineState.performed)
        .join(ChargeLineState, ChargeLineState.line_id == PrescriptionLine.charge_line_id)
        .where(PrescriptionLine.id.in_([drug.line_id for drug in bottle.drugs]))).all()
    state = session.scalar(select(Prescription.state).where(Prescription.id == infusion.prescription_id))
    missing = [row.name for row in rows if row.performed <= 0] or ([] if rows else [bottle.label_no])
    if missing:
        why = "已退药或已退费" if state == "dispensed" else "药房尚未发药"
        raise Conflict("infusion.no_drugs", f"{'、'.join(missing)} {why}，不能配药")


def _refuse_untested(session: Session, bottle: Bottle, infusion: Infusion) -> None:
    wanted = [drug for drug in bottle.drugs if drug.skin_test]
    why = skin_tests.untested(session, infusion.person_id, [drug.drug_id for drug in wanted])
    told = [f"{drug.name} {why[drug.drug_id]}" for drug in wanted if drug.drug_id in why]
    if told:
        raise Conflict("infusion.skin_test", f"{'；'.join(told)}，不能使用，请先完成皮试并复核")


def _refuse_mismatch(session: Session, bottle: Bottle, infusion: Infusion, patient_code: str, label_code: str) -> None:
    person = session.get(Person, infusion.person_id)
    assert person is not None
    errors = []
    if label_code != bottle.label_no:
        errors.append(FieldError("label_code", "扫描的瓶签不是当前这一瓶"))
    if patient_code not in (infusion.number, person.outpatient_no):
        errors.append(FieldError("patient_code", "扫描的病人与瓶签不符"))
    if errors:
        raise Conflict("infusion.mismatch", "病人与瓶签核对不符，不能输液，请重新核对病人和瓶签", errors)
