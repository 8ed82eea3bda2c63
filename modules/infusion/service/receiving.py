"""A patient comes with a prescription: received once a day, bottles made for today's turns.

Implements: M10.1, M10.4
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, numbering, of, today
from his_server.errors import Conflict, NotFound
from his_server.security import audit
from modules.infusion import rules
from modules.infusion.models import Bottle, BottleDrug, Infusion
from modules.kernel.charging.service import supplement, void_supplement
from modules.kernel.encounters import service as encounters
from modules.kernel.masterdata.models import Drug, Frequency
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.orders.service import claiming

INFUSION_SERIES = numbering.Series("infusion", "输液单号", "SY{date:%y%m%d}{n:04d}", per_day=True)
BOTTLE_SERIES = numbering.Series("infusion_bottle", "瓶签号", "PQ{date:%y%m%d}{n:05d}", per_day=True)


def receive(session: Session, actor: Actor, prescription_id: int, *, person_id: int) -> Infusion:
    """Receive the patient who is shown for a paid prescription; a second scan of the same day gives the same infusion.

    :raises Conflict: somebody else's prescription, not paid, nothing to give in the room, or all of it was given.
    """
    found = session.scalar(select(Prescription).options(selectinload(Prescription.lines))
                           .where(Prescription.id == prescription_id))
    if found is None:
        raise NotFound("infusion.prescription", "没有这张处方，请核对处方号")
    if found.person_id != person_id:
        raise Conflict("infusion.other_person", "该处方不属于当前显示的病人，请重新扫描")
    if found.state not in ("charged", "dispensed"):
        raise Conflict("infusion.unpaid", f"处方 {found.number} 未收费或已退费，不能接诊")
    day = today(session)
    same = session.scalar(select(Infusion).where(Infusion.prescription_id == prescription_id, Infusion.business_date == day))
    if same is not None:
        if portable.guarded_update(session, Infusion, (Infusion.id == same.id) & (Infusion.state == "cancelled"),
                                   {"state": "waiting", "changed_at": now(session), "changed_by_name": actor.name}):
            _claim(session, actor, same)
        return get(session, same.id)
    groups = rules.groups(found.lines)
    if not groups:
        raise Conflict("infusion.nothing", f"处方 {found.number} 没有在输液室使用的药品")
    made: dict[int, int] = {}
    left: dict[tuple[int, int], int] = {}  # bottles of receptions that were taken back
    for key, group, turn, state in session.execute(
            select(Bottle.id, Bottle.group_key, Bottle.turn, Infusion.state)
            .join(Infusion, Infusion.id == Bottle.infusion_id).where(Bottle.prescription_id == prescription_id)):
        if state == "cancelled":
            left[group, turn] = key
        else:
            made[group] = max(made.get(group, 0), turn)
    per_day: dict[str, int] = {code: times or 1 for code, times in session.execute(
        select(Frequency.code, Frequency.times_per_day)
        .where(Frequency.code.in_({g.lines[0].frequency for g in groups})))}
    due = [(group, turn) for group in groups for turn in rules.turns_today(group, made.get(group.key, 0), per_day)]
    if not due:
        raise Conflict("infusion.done", f"处方 {found.number} 的输液已全部接诊完毕")
    encounter = encounters.get(session, found.encounter_id)
    at = now(session)
    number = numbering.take(session, INFUSION_SERIES)
    infusion = Infusion(
        number=number, queue_no=int(number[-4:]), person_id=found.person_id, encounter_id=found.encounter_id,
        prescription_id=found.id, prescription_number=found.number, department_id=found.department_id,
        kind=encounter.kind, doctor_name=found.doctor_name, business_date=day, state="waiting", received_at=at,
        received_by_name=actor.name, changed_at=at, changed_by_name=actor.name)
    session.add(infusion)
    session.flush()
    for position, (group, turn) in enumerate(due):
        if (again := left.get((group.key, turn))) is not None:
            portable.guarded_update(session, Bottle, (Bottle.id == again) & (Bottle.state == "waiting"),
                                    {"infusion_id": infusion.id, "position": position})
    _make_bottles(session, infusion, [(position, group, turn) for position, (group, turn) in enumerate(due)
                                      if (group.key, turn) not in left])
    _claim(session, actor, infusion)
    audit.record(session, actor, "infusion.receive", "infusion", infusion.id, {"number": number})
    return infusion


def _claim(session: Session, actor: Actor, infusion: Infusion) -> None:
    """The drugs of the bottles that wait belong to them now: the pharmacy doesn't take them back. Two queries and the claim.

    :raises Conflict: they were given back, or somebody asks to give them back.
    """
    rows = session.execute(
        select(Bottle.id, BottleDrug.line_id, BottleDrug.dose, Drug.dose_amount, PrescriptionLine.quantity,
               PrescriptionLine.turns)
        .join(BottleDrug, BottleDrug.bottle_id == Bottle.id).join(Drug, Drug.id == BottleDrug.drug_id)
        .join(PrescriptionLine, PrescriptionLine.id == BottleDrug.line_id)
        .where(Bottle.infusion_id == infusion.id, Bottle.state == "waiting").order_by(Bottle.id, BottleDrug.id))
    needs: dict[str, dict[int, Decimal]] = {}
    for row in rows:
        needs.setdefault(holder(row.id), {})[row.line_id] = rules.units(row.dose, row.dose_amount, row.quantity, row.turns)
    if needs:
        claiming.claim(session, actor, infusion.prescription_id, needs, told=f"输液单 {infusion.number}")


def holder(bottle_id: int) -> str:
    """A bottle's name in the claims of drugs."""
    return f"infusion_bottle:{bottle_id}"


def _make_bottles(session: Session, infusion: Infusion, due: Sequence[tuple[int, rules.Group, int]]) -> None:
    keys = list(of(session).keys.take(len(due))) if due else []
    portable.insert_many(session, Bottle, [
        {"id": key, "infusion_id": infusion.id, "prescription_id": infusion.prescription_id, "group_key": group.key,
         "turn": turn, "position": position, "label_no": numbering.take(session, BOTTLE_SERIES),
         "usage": group.lines[0].usage, "frequency": group.lines[0].frequency, "state": "waiting", "prints": 0}
        for key, (position, group, turn) in zip(keys, due, strict=True)])
    drugs: list[tuple[int, Any]] = [(key, line) for key, (_, group, _) in zip(keys, due, strict=True) for line in group.lines]
    portable.insert_many(session, BottleDrug, [
        {"id": own, "bottle_id": key, "line_id": line.id, "drug_id": line.drug_id, "name": line.name, "spec": line.spec,
         "dose": line.dose, "dose_unit": line.dose_unit, "skin_test": line.skin_test}
        for own, (key, line) in zip(of(session).keys.take(len(drugs)) if drugs else (), drugs, strict=True)])


def cancel(session: Session, actor: Actor, infusion_id: int, *, reason: str) -> Infusion:
    """Take a reception back while nothing was prepared: its bottles wait for the next reception."""
    found = get(session, infusion_id)
    begun = session.scalar(select(Bottle.id).where(Bottle.infusion_id == infusion_id, Bottle.state != "waiting").limit(1))
    if begun is not None or not portable.guarded_update(
            session, Infusion, (Infusion.id == infusion_id) & (Infusion.state == "waiting") & Infusion.seat_id.is_(None),
            {"state": "cancelled", "changed_at": now(session), "changed_by_name": actor.name}):
        raise Conflict("infusion.begun", f"{found.changed_by_name} 已于 {local(found.changed_at):%H:%M} 配药或安排座位，"
                       "不能取消接诊，请先释放座位或停止各瓶")
    claiming.free(session, actor, [holder(key) for key in session.scalars(
        select(Bottle.id).where(Bottle.infusion_id == infusion_id))])
    audit.record(session, actor, "infusion.cancel", "infusion", infusion_id, {"number": found.number, "reason": reason})
    return get(session, infusion_id)


def get(session: Session, infusion_id: int) -> Infusion:
    """The infusion as it is now. :raises NotFound: there is none."""
    found = session.get(Infusion, infusion_id, populate_existing=True)
    if found is None:
        raise NotFound("infusion.none", "没有这条输液记录，请刷新后重试")
    return found


def charge(session: Session, actor: Actor, infusion_id: int, *, performing_department_id: int,
           lines: Sequence[Mapping[str, object]]) -> list[int]:
    """Charge further items to the visit of this infusion, without leaving the page (M10.4). Returns the lines' ids."""
    found = get(session, infusion_id)
    return supplement(session, actor, encounter_id=found.encounter_id, performing_department_id=performing_department_id,
                      lines=lines)


def void_charge(session: Session, actor: Actor, infusion_id: int, line_id: int, reason: str) -> None:
    """Take an unpaid charge of this infusion's visit back. :raises Conflict: it is paid, void, or another visit's."""
    void_supplement(session, actor, line_id, reason, encounter_id=get(session, infusion_id).encounter_id)
