"""Skin tests: begun once, for the patient who is shown; read when due; a second person agrees; positive is an allergy.

Implements: M10.1
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, today
from his_server.errors import Conflict, Forbidden, Invalid, NotFound
from his_server.messaging import outbox
from his_server.security import audit
from modules.kernel.charging.models import ChargeLineState
from modules.kernel.masterdata.models import Drug
from modules.kernel.orders.models import Prescription, PrescriptionLine, SkinTest
from modules.kernel.orders.settings import Settings
from modules.kernel.patients import service as patients

NEGATIVE, POSITIVE = "阴性", "阳性"
STATES = {"running": "观察中", "read": "待复核", "confirmed": "已复核", "cancelled": "已取消"}
ALLERGIES_MOST = 200


def start(session: Session, actor: Actor, *, person_id: int, prescription_line_id: int, lot_no: str, policy: Settings
          ) -> SkinTest:
    """Begin a skin test; a second start of the same nurse gives the same test.

    ``person_id`` is the patient on the screen: a line of anybody else's prescription is refused, so that a click
    can't begin the test of whoever was shown before (M10.1).
    :raises Conflict: another patient's, not paid, begun by a colleague (named), or a negative result still holds.
    """
    found = session.execute(
        select(PrescriptionLine, Prescription, Drug.ingredient)
        .join(Prescription, Prescription.id == PrescriptionLine.prescription_id)
        .join(Drug, Drug.id == PrescriptionLine.drug_id)
        .where(PrescriptionLine.id == prescription_line_id)).first()
    if found is None:
        raise NotFound("skin_test.line", "没有这条医嘱，请刷新后重试")
    line, prescription, ingredient = found
    if prescription.person_id not in patients.family(session, person_id):
        raise Conflict("skin_test.other_person", "该皮试医嘱不属于当前显示的病人，请重新选择病人后再开始")
    if not line.skin_test:
        raise Invalid("skin_test.not_needed", f"{line.name} 不需要皮试")
    if prescription.state not in ("charged", "dispensed"):
        raise Conflict("skin_test.unpaid", f"处方 {prescription.number} 未收费或已退费，不能开始皮试")
    claim = f"{prescription.person_id}:{line.drug_id}"
    if (open_ := session.scalar(select(SkinTest).where(SkinTest.claim == claim))) is not None:
        return _same_or_refused(actor, open_)
    if untested(session, prescription.person_id, [line.drug_id]).get(line.drug_id) is None:
        raise Conflict("skin_test.valid", f"{line.name} 的阴性结果仍在有效期内，不需要重做")
    at = now(session)
    made = SkinTest(person_id=prescription.person_id, encounter_id=prescription.encounter_id,
                    prescription_id=prescription.id, prescription_line_id=line.id,
                    department_id=prescription.department_id, drug_id=line.drug_id, ingredient=ingredient,
                    drug_name=line.name, lot_no=lot_no, claim=claim, state="running", business_date=today(session),
                    started_at=at, started_by=actor.user_id, started_by_name=actor.name,
                    due_at=at + timedelta(minutes=policy.skin_test_minutes))
    try:
        with session.begin_nested():
            session.add(made)
            session.flush()
    except IntegrityError as error:
        if not portable.is_unique_violation(error):
            raise
        twin = session.scalar(select(SkinTest).where(SkinTest.claim == claim))
        if twin is None:
            raise
        return _same_or_refused(actor, twin)
    audit.record(session, actor, "skin_test.start", "skin_test", made.id, {"drug": line.name, "lot": lot_no})
    return made


def _same_or_refused(actor: Actor, found: SkinTest) -> SkinTest:
    if found.started_by == actor.user_id:
        return found
    raise Conflict("skin_test.running", f"{found.drug_name} 的皮试已由 {found.started_by_name} 于 "
                   f"{local(found.started_at):%H:%M} 开始，不能重复开始")


def read(session: Session, actor: Actor, test_id: int, *, result: str, note: str = "") -> SkinTest:
    """Write the result down: ``running`` → ``read``. :raises Conflict: a negative one before the time is over."""
    found = _get(session, test_id)
    at = now(session)
    if found.state == "running" and result == NEGATIVE and at < found.due_at:
        left = -int((at - found.due_at).total_seconds() // 60)
        raise Conflict("skin_test.early", f"未到观察时间，还差 {left} 分钟，不能判为阴性")
    _move(session, found, "running", {"state": "read", "result": result, "note": note, "read_at": at,
                                      "read_by": actor.user_id, "read_by_name": actor.name})
    audit.record(session, actor, "skin_test.read", "skin_test", found.id, {"result": result})
    return found


def confirm(session: Session, actor: Actor, test_id: int, *, result: str, policy: Settings) -> SkinTest:
    """The second person's own reading: the same makes it ``confirmed``, another sends it back to ``running``.

    Positive becomes an allergy of the person's file, with history; negative holds for ``skin_test_hours``.
    :raises Forbidden: whoever read it can't agree with themselves.
    """
    found = _get(session, test_id)
    if found.state == "read" and found.read_by == actor.user_id:
        raise Forbidden("skin_test.same_person", "复核人不能是判读人本人，请另一名护士用自己的账号复核")
    if found.state == "read" and found.result != result:
        _move(session, found, "read", {"state": "running", "result": "", "read_at": None, "read_by": None,
                                       "read_by_name": "", "note": f"{found.read_by_name}判{found.result}、"
                                       f"{actor.name}判{result}，须重新判读"[:100]})
        audit.record(session, actor, "skin_test.disagree", "skin_test", found.id, {"result": result})
        return found
    at = now(session)
    read_at = found.read_at or at
    _move(session, found, "read", {
        "state": "confirmed", "claim": None, "confirmed_at": at, "confirmed_by_name": actor.name,
        "valid_until": read_at + timedelta(hours=policy.skin_test_hours) if result == NEGATIVE else None})
    if result == POSITIVE:
        _write_allergy(session, actor, found)
    outbox.record(session, "SkinTestConfirmed", f"skin_test:{found.id}",
                  {"skin_test_id": found.id, "person_id": found.person_id, "drug_id": found.drug_id, "result": result})
    audit.record(session, actor, "skin_test.confirm", "skin_test", found.id, {"result": result})
    return found


def _write_allergy(session: Session, actor: Actor, test: SkinTest) -> None:
    person = patients.survivor(session, test.person_id)
    told = f"{test.ingredient or test.drug_name}（皮试阳性）"
    before = person.allergies or ""
    if told in before:
        return
    after = f"{before}；{told}" if before else told
    if len(after) > ALLERGIES_MOST:
        raise Conflict("skin_test.allergies", "病人档案的过敏史已写满，请先整理过敏史，再复核本次阳性结果")
    patients.update_person(session, actor, person.id, person.revision, {"allergies": after})


def cancel(session: Session, actor: Actor, test_id: int, *, reason: str) -> SkinTest:
    """End a test that was begun by mistake: ``running`` or ``read`` → ``cancelled``; it can be begun again."""
    found = _get(session, test_id)
    before = "read" if found.state == "read" else "running"
    _move(session, found, before, {"state": "cancelled", "claim": None, "note": reason[:100]})
    audit.record(session, actor, "skin_test.cancel", "skin_test", found.id, {"reason": reason})
    return found


def _get(session: Session, test_id: int) -> SkinTest:
    found = session.get(SkinTest, test_id)
    if found is None:
        raise NotFound("skin_test.none", "没有这次皮试，请刷新后重试")
    return found


def _move(session: Session, test: SkinTest, before: str, values: dict[str, object]) -> None:
    if portable.guarded_update(session, SkinTest, (SkinTest.id == test.id) & (SkinTest.state == before), values):
        session.refresh(test)
        return
    session.refresh(test)
    who, at = ((test.confirmed_by_name, test.confirmed_at) if test.state == "confirmed" else
               (test.read_by_name, test.read_at) if test.state == "read" else (test.started_by_name, test.started_at))
    raise Conflict("skin_test.state", f"该皮试已由 {who} 于 {local(at):%H:%M} 变为“{STATES[test.state]}”，请刷新后核对"
                   if at else f"该皮试已是“{STATES[test.state]}”，请刷新后核对")


def untested(session: Session, person_id: int, drug_ids: Iterable[int]) -> dict[int, str]:
    """Why drugs may not be given to a person yet, by drug; drugs with a negative test in force are left out. One query.

    The newest test of each drug counts: 未做皮试, 皮试观察中, 皮试待复核, 皮试阳性, 皮试结果已过期.
    """
    wanted = set(drug_ids)
    if not wanted:
        return {}
    why = dict.fromkeys(wanted, "未做皮试")
    for test in session.scalars(
            select(SkinTest).where(SkinTest.person_id == person_id, SkinTest.drug_id.in_(wanted),
                                   SkinTest.state != "cancelled").order_by(SkinTest.started_at, SkinTest.id)):
        if test.state != "confirmed":
            why[test.drug_id] = f"皮试{STATES[test.state]}"
        elif test.result == POSITIVE:
            why[test.drug_id] = "皮试阳性"
        else:
            why[test.drug_id] = "" if test.valid_until and now(session) <= test.valid_until else "皮试结果已过期"
    return {drug: text for drug, text in why.items() if text}


def refuse_untested(session: Session, prescription_id: int, line_ids: Collection[int] | None = None) -> None:
    """Of the whole prescription, or of some lines only.

    :raises Conflict: a drug that is still to be handed out needs a skin test and has no negative one in force.
    """
    found = session.execute(
        select(PrescriptionLine.id, PrescriptionLine.drug_id, PrescriptionLine.name, Prescription.person_id)
        .join(Prescription, Prescription.id == PrescriptionLine.prescription_id)
        .join(ChargeLineState, ChargeLineState.line_id == PrescriptionLine.charge_line_id)
        .where(PrescriptionLine.prescription_id == prescription_id, PrescriptionLine.skin_test,
               ChargeLineState.refunded < ChargeLineState.quantity))
    rows = [row for row in found if line_ids is None or row.id in line_ids]
    if not rows:
        return
    why = untested(session, rows[0].person_id, [row.drug_id for row in rows])
    for row in rows:
        if row.drug_id in why:
            raise Conflict("orders.skin_test", f"{row.name} {why[row.drug_id]}，不能发药；请先到输液室完成皮试并复核")
