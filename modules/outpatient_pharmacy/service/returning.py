"""退药: request → review (by a person, or by the night window) → take back → the cashier refunds (M1.17, TC-04).

One document tells pharmacy and billing where a return stands. What the night window passed is marked and stands on the
next morning's list; while that list holds an earlier night's return, the window passes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, numbering, of, today
from his_server.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from his_server.messaging import outbox
from his_server.money import line_amount
from his_server.security import audit, signatures
from modules.kernel.charging.models import ChargeLine, ChargeLineState
from modules.kernel.charging.service import perform
from modules.kernel.dispensing import rules
from modules.kernel.dispensing import service as kernel
from modules.kernel.dispensing.models import DrugReturn, DrugReturnBatch, DrugReturnLine, StoreRule
from modules.kernel.orders import service as orders
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.orders.service import claiming
from modules.kernel.stock import service as stock
from modules.kernel.stock.service import BatchQuantity
from modules.outpatient_pharmacy.service import codes as tracecodes
from modules.outpatient_pharmacy.service.dispensing import Codes
from modules.outpatient_pharmacy.service.scoping import controls, prescription_for, store_for

TAKE_BACK = "outpatient_pharmacy.take_back"
REVIEW_RETURN = "outpatient_pharmacy.review_return"
RETURN_SERIES = numbering.Series("drug_return", "退药单号", "TY{date:%y%m%d}{n:05d}", per_day=True)
NIGHT = "夜间自动通过"


def request_return(session: Session, actor: Actor, prescription_id: int, *, lines: Mapping[int, Decimal], reason: str
                   ) -> DrugReturn:
    """Ask to give drugs back (prescription line id → smallest units). What was charged in packs comes in whole packs.

    Passes the review at once where the store reviews none, or in its night window up to the amount, never with a
    controlled drug. :raises Invalid: not whole packs. :raises Conflict: more than was handed out and is not asked for
    already, or a part of the prescription still waits to be handed out.
    """
    prescription = prescription_for(session, actor, TAKE_BACK, prescription_id)
    if prescription.state != "dispensed":
        raise _not_dispensed(session, prescription)
    claiming.hold_prescription(session, prescription_id)
    rows = _lines(session, prescription_id, lines)
    _refuse_excess(rows, lines, claiming.asked_back(session, prescription_id), claiming.claimed(session, prescription_id))
    amount = sum((line_amount(rows[k].price, q / rows[k].factor) for k, q in lines.items()), Decimal("0.00"))
    kinds = controls(session, [row.drug_id for row in rows.values()])
    strict = any(rules.controlled(kinds[rows[key].drug_id]) for key in lines)
    rule = kernel.rule_of(session, prescription.store_id)
    at = now(session)
    made = DrugReturn(
        number=numbering.take(session, RETURN_SERIES), prescription_id=prescription_id,
        person_id=prescription.person_id, store_id=prescription.store_id, state="requested", reason=reason,
        amount=amount, controlled=strict, automatic=False, requested_at=at, requested_by=actor.user_id,
        requested_by_name=actor.name, business_date=today(session), reviewed_by_name="", review_note="",
        accepted_by_name="", rereviewed_by_name="", rereview="", rereview_note="", changed_at=at,
        changed_by_name=actor.name)
    if not rule.return_review:
        made.state, made.reviewed_at, made.review_note = "approved", at, "本药房免审"
    elif _night_passes(session, rule, amount, strict):
        made.state, made.reviewed_at, made.reviewed_by_name, made.review_note = "approved", at, "系统", NIGHT
        made.automatic = True
    session.add(made)
    session.flush()
    session.add_all([DrugReturnLine(return_id=made.id, prescription_line_id=key, charge_line_id=rows[key].charge_line_id,
                                    drug_id=rows[key].drug_id, quantity=quantity, refunded=Decimal(0))
                     for key, quantity in sorted(lines.items())])
    audit.record(session, actor, "return.request", "drug_return", made.id,
                 {"number": made.number, "automatic": made.automatic, "amount": str(amount)})
    return made


def _refuse_excess(rows: Mapping[int, Any], lines: Mapping[int, Decimal], asked: Mapping[int, Decimal],
                   claims: Mapping[int, claiming.Claimed]) -> None:
    """:raises Conflict: more than is out and neither asked for already nor claimed by who gives it (named)."""
    left = {key: rows[key].performed * rows[key].factor - asked.get(key, Decimal(0)) for key in lines}
    given = [f"{rows[key].name} 已由 {claims[key].why}" for key, quantity in lines.items()
             if key in claims and left[key] >= quantity > left[key] - claims[key].quantity]
    errors = [FieldError(f"lines.{key}.quantity", f"最多 {max(free, Decimal(0)).normalize():f}")
              for key, quantity in lines.items()
              for free in (left[key] - (claims[key].quantity if key in claims else Decimal(0)),) if quantity > free]
    if given:
        raise Conflict("pharmacy.return_given", f"{'；'.join(given)}，不能退药；未配药的请先在输液室取消接诊或停止该瓶", errors)
    if errors:
        raise Conflict("pharmacy.return_excess", "退药数量超过可退数量（含已申请未收回的），请刷新后核对", errors)


def _not_dispensed(session: Session, prescription: Prescription) -> Exception:
    given = session.scalar(
        select(ChargeLineState.line_id).join(ChargeLine, ChargeLine.id == ChargeLineState.line_id)
        .where(ChargeLine.source == "prescription", ChargeLine.source_id == prescription.id,
               ChargeLineState.performed > 0).limit(1))
    if prescription.state == "charged" and given is not None:
        return Conflict("pharmacy.partly_given", "该处方还有药品未发，请先发完，或由病人退掉余下药品的费用，再办理退药")
    return NotFound("pharmacy.not_dispensed", "没有这张已发药的处方，请核对处方号")


def _lines(session: Session, prescription_id: int, lines: Mapping[int, Decimal]) -> dict[int, Any]:
    rows = {r.id: r for r in session.execute(
        select(PrescriptionLine.id, PrescriptionLine.drug_id, PrescriptionLine.name, PrescriptionLine.charge_line_id,
               ChargeLine.factor, ChargeLine.unit, ChargeLine.price, ChargeLineState.performed)
        .join(ChargeLine, ChargeLine.id == PrescriptionLine.charge_line_id)
        .join(ChargeLineState, ChargeLineState.line_id == ChargeLine.id)
        .where(PrescriptionLine.prescription_id == prescription_id))}
    if not lines or set(lines) - set(rows):
        raise Invalid("pharmacy.return_lines", "所退药品不属于该处方，请刷新后重试")
    errors = [FieldError(f"lines.{key}.quantity", f"{rows[key].name} 须按整{rows[key].unit}退药")
              for key, quantity in lines.items() if quantity <= 0 or quantity % rows[key].factor]
    if errors:
        raise Invalid("pharmacy.return_quantity", "退药数量有误，请按提示修改", errors)
    return rows


def _night_passes(session: Session, rule: StoreRule, amount: Decimal, strict: bool) -> bool:
    """Whether the night window passes this return: its hours, its amount, no controlled drug, no old list (M1.17)."""
    if strict or amount > rule.night_amount or not rules.within(local(now(session)).time(), rule.night_start,
                                                                rule.night_end):
        return False
    # A night has less than a day: what is older belongs to a night whose morning is over.
    left = session.scalar(select(DrugReturn.id).where(
        DrugReturn.store_id == rule.store_id, DrugReturn.automatic, DrugReturn.rereviewed_at.is_(None),
        DrugReturn.requested_at < now(session) - timedelta(hours=16)).limit(1))
    return left is None


def _change(session: Session, actor: Actor, found: DrugReturn, before: Sequence[str], after: Mapping[str, Any]) -> None:
    """The guarded transition. :raises Conflict: somebody was faster (named)."""
    if not portable.guarded_update(
            session, DrugReturn, (DrugReturn.id == found.id) & DrugReturn.state.in_(before),
            {"changed_at": now(session), "changed_by_name": actor.name, **after}):
        session.refresh(found)
        raise Conflict("pharmacy.return_state", f"退药单 {found.number} 已由 {found.changed_by_name} 于 "
                       f"{local(found.changed_at):%m-%d %H:%M} 变为“{rules.RETURN_STATES[found.state]}”，请刷新后核对")
    session.refresh(found)


def _return(session: Session, actor: Actor, permission: str, return_id: int) -> DrugReturn:
    found = session.get(DrugReturn, return_id)
    if found is None:
        raise NotFound("pharmacy.return", "没有这张退药单，请刷新后重试")
    store_for(session, actor, permission, found.store_id)
    return found


def decide_return(session: Session, actor: Actor, return_id: int, *, approve: bool, note: str = "") -> DrugReturn:
    """退药审核: approve or decline; never one's own request. :raises Conflict: decided already (named)."""
    found = _return(session, actor, REVIEW_RETURN, return_id)
    if found.requested_by == actor.user_id:
        raise Forbidden("pharmacy.own_return", "不能审核自己提交的退药，请由他人审核")
    if not approve and len(note) < 2:
        raise Invalid("pharmacy.note", "请填写不同意的原因", [FieldError("note", "至少 2 个字")])
    _change(session, actor, found, ("requested",), {
        "state": "approved" if approve else "declined", "reviewed_at": now(session), "reviewed_by_name": actor.name,
        "review_note": note})
    audit.record(session, actor, "return.approve" if approve else "return.decline", "drug_return", found.id,
                 {"number": found.number, **({"note": note} if note else {})})
    return found


def cancel_return(session: Session, actor: Actor, return_id: int, *, reason: str) -> DrugReturn:
    """Withdraw a return whose drugs have not been taken back. :raises Conflict: they have been."""
    found = _return(session, actor, TAKE_BACK, return_id)
    _change(session, actor, found, ("requested", "approved"), {"state": "cancelled", "cancel_reason": reason})
    audit.record(session, actor, "return.cancel", "drug_return", found.id, {"number": found.number, "reason": reason})
    return found


def accept(session: Session, actor: Actor, return_id: int, *, codes: Codes | None = None) -> DrugReturn:
    """收药: the drugs of an approved return go back into their batches, their trace codes too; the money may go back.

    :raises Conflict: not approved, or taken back already (named).
    """
    found = _return(session, actor, TAKE_BACK, return_id)
    _change(session, actor, found, ("approved",), {
        "state": "taken", "accepted_at": now(session), "accepted_by": actor.user_id, "accepted_by_name": actor.name})
    prescription = session.get(Prescription, found.prescription_id)
    assert prescription is not None
    lines = list(session.scalars(select(DrugReturnLine).where(DrugReturnLine.return_id == found.id)
                                 .order_by(DrugReturnLine.prescription_line_id)))
    claiming.hold_prescription(session, prescription.id)
    wanted = {line.prescription_line_id: line.quantity for line in lines}
    rows = _lines(session, prescription.id, wanted)
    _refuse_excess(rows, wanted, {}, claiming.claimed(session, prescription.id))
    # the guard on the charge lines: of two pharmacists one gets them
    perform(session, {line.charge_line_id: -line.quantity / rows[line.prescription_line_id].factor for line in lines})
    document = orders.document(prescription.id)
    back: list[tuple[int, BatchQuantity]] = []
    for line in lines:
        key = line.prescription_line_id
        back += [(line.id, b) for b in choose_batches(stock.issued_batches(session, document, key), line.quantity,
                                               rows[key].name, key)]
    stock.put_back(session, actor, prescription.store_id, [b for _, b in back], document)
    tracecodes.take_back(session, actor, prescription, lines, codes or {})
    portable.insert_many(session, DrugReturnBatch, [
        {"id": key, "return_line_id": line_id, "batch_id": b.batch_id, "quantity": b.quantity}
        for key, (line_id, b) in zip(of(session).keys.take(len(back)), back, strict=True)])
    session.flush()
    signatures.sign(session, actor, RETURN, found.id, _returned(session, [found.id])[found.id])
    outbox.record(session, "DrugsReturned", prescription.number, {
        "return_id": found.id, "prescription_id": prescription.id,
        "lines": [{"line_id": line.prescription_line_id, "quantity": str(line.quantity)} for line in lines]})
    audit.record(session, actor, "prescription.return", "prescription", prescription.id, {"number": found.number})
    return found


RETURN = "drug_return"
_RETURN = ("number", "prescription_id", "person_id", "store_id", "reason", "accepted_at", "accepted_by",
           "accepted_by_name")


def _returned(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What is signed of taken-back returns (MP-15): which drugs of which lot came back from whom; two queries."""
    found = {row.id: {**{name: getattr(row, name) for name in _RETURN}, "lines": []}
             for row in session.scalars(select(DrugReturn).where(DrugReturn.id.in_(ids)))}
    lines = session.execute(
        select(DrugReturnLine, DrugReturnBatch.batch_id, DrugReturnBatch.quantity, PrescriptionLine.name,
               PrescriptionLine.base_unit)
        .join(DrugReturnBatch, DrugReturnBatch.return_line_id == DrugReturnLine.id)
        .join(PrescriptionLine, PrescriptionLine.id == DrugReturnLine.prescription_line_id)
        .where(DrugReturnLine.return_id.in_(ids)).order_by(DrugReturnLine.id, DrugReturnBatch.id))
    for line, batch_id, quantity, name, unit in lines:
        found[line.return_id]["lines"].append({
            "prescription_line_id": line.prescription_line_id, "drug_id": line.drug_id, "name": name,
            "batch_id": batch_id, "quantity": quantity, "unit": unit})
    return found


signatures.declare(RETURN, "退药单", _returned)


def take_back(session: Session, actor: Actor, prescription_id: int, *, lines: Mapping[int, Decimal], reason: str,
              codes: Codes | None = None) -> DrugReturn:
    """Ask, and take back at once where the review is passed already; else the return waits for its reviewer."""
    made = request_return(session, actor, prescription_id, lines=lines, reason=reason)
    return accept(session, actor, made.id, codes=codes) if made.state == "approved" else made


def choose_batches(issued: Sequence[BatchQuantity], quantity: Decimal, name: str, key: int) -> list[BatchQuantity]:
    """Into which of the batches that were handed out a returned quantity goes. :raises Conflict: not that much is out."""
    chosen = []
    rest = quantity
    for batch in issued:
        part = min(rest, batch.quantity)
        if part > 0:
            chosen.append(BatchQuantity(key, batch.batch_id, batch.drug_id, part))
            rest -= part
    if rest > 0:
        raise Conflict("pharmacy.return_excess", f"{name} 的退药数量超过已发数量，请刷新后核对",
                       [FieldError(f"lines.{key}.quantity", f"最多 {(quantity - rest).normalize():f}")])
    return chosen


def rereview(session: Session, actor: Actor, return_id: int, *, agree: bool, note: str = "") -> DrugReturn:
    """晨间复核 of a return that the night window passed: agreed, or objected to with what was found (M1.17).

    :raises Conflict: it was not automatic, or a colleague was first (named). Never by whoever asked for it.
    """
    found = _return(session, actor, REVIEW_RETURN, return_id)
    if found.requested_by == actor.user_id:
        raise Forbidden("pharmacy.own_return", "不能复核自己提交的退药，请由他人复核")
    if not agree and len(note) < 2:
        raise Invalid("pharmacy.note", "请填写发现的问题", [FieldError("note", "至少 2 个字")])
    if not portable.guarded_update(
            session, DrugReturn, (DrugReturn.id == found.id) & DrugReturn.automatic
            & DrugReturn.rereviewed_at.is_(None),
            {"rereviewed_at": now(session), "rereviewed_by_name": actor.name,
             "rereview": "agreed" if agree else "objected", "rereview_note": note}):
        session.refresh(found)
        if not found.automatic:
            raise Conflict("pharmacy.not_automatic", f"退药单 {found.number} 不是夜间自动通过的，不需要复核")
        assert found.rereviewed_at is not None
        raise Conflict("pharmacy.rereviewed", f"退药单 {found.number} 已由 {found.rereviewed_by_name} 于 "
                       f"{local(found.rereviewed_at):%m-%d %H:%M} 复核，请刷新列表")
    session.refresh(found)
    audit.record(session, actor, "return.rereview", "drug_return", found.id, {"agree": agree, "note": note})
    return found
