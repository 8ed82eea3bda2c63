"""Charging, refunds, approvals. One path for every channel: kiosk, app and window (H1, M1.9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now
from his_server.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from his_server.money import ZERO
from his_server.security import audit
from modules.kernel.charging import rules
from modules.kernel.charging import service as ledger
from modules.kernel.charging.models import (
    ChargeLine,
    ChargeLineState,
    Payment,
    PaymentState,
    RefundApproval,
    Settlement,
)
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.service import Refunded, Returns, Settled, insured_refunds, signing
from modules.kernel.orders import service as order_service
from modules.kernel.scheduling import service as scheduling_service


def settle(session: Session, actor: Actor, *, person_id: int, line_ids: Sequence[int], payments: Sequence[Pay],
           to_jiao: bool, expected_total: Decimal | None = None) -> Settled:
    """Settle a person's open lines and let what they belong to follow: registrations, prescriptions, requests."""
    settled = ledger.settle(session, actor, person_id=person_id, line_ids=line_ids, payments=payments,
                            to_jiao=to_jiao, expected_total=expected_total)
    order_service.follow_settlement(session, actor, settled)
    for line in settled.lines:
        if line.source == "registration":
            scheduling_service.mark_paid(session, line.source_id, settled.id)
    return settled


def refund(session: Session, actor: Actor, settlement_id: int, *, lines: Mapping[int, Decimal], reason: str,
           approval_from: Decimal, to_jiao: bool, returns: Returns | None = None) -> Refunded:
    """Refund by line and quantity. Registration fees go back by :func:`cancel_registration` only."""
    registration = session.scalar(select(ChargeLine.name).where(
        ChargeLine.id.in_(lines), ChargeLine.source == "registration").limit(1))
    if registration is not None:
        raise Invalid("billing.registration_line", f"{registration} 属于挂号费，请用“退号”办理")
    order_service.hold(session, actor, lines)
    done = ledger.refund(session, actor, settlement_id, lines, reason=reason, returns=returns,
                         approval_from=approval_from, to_jiao=to_jiao)
    order_service.follow_refund(session, actor, done.lines)
    return done


def preview_refund(session: Session, actor: Actor, settlement_id: int, *, lines: Mapping[int, Decimal],
                   approval_from: Decimal, to_jiao: bool) -> dict[str, Any]:
    """What :func:`refund` of these quantities would return, to which payments, and whether it needs a second person.

    By the ledger's own rules, so that the window shows to the fen what will happen; nothing is written; four queries.
    :raises Invalid: a line is not of this settlement. :raises Conflict: a line has not that much left.
    """
    state = ChargeLineState
    rows = session.execute(
        select(ChargeLine.id, ChargeLine.name, ChargeLine.quantity, ChargeLine.amount, state.performed, state.refunded)
        .join(state, state.line_id == ChargeLine.id)
        .where(ChargeLine.settlement_id == settlement_id, ChargeLine.id.in_(lines)).order_by(ChargeLine.id)).all()
    if len(rows) != len(lines):
        raise Invalid("charging.refund_lines", "所选项目不属于这次结算，请刷新后重试")
    amounts = {}
    for row in rows:
        left = row.quantity - row.performed - row.refunded
        if lines[row.id] > left:
            raise Conflict("charging.not_refundable", f"{row.name} 可退数量为 {left.normalize():f}，请刷新后核对",
                           [FieldError(f"lines.{row.id}.quantity", f"最多 {left.normalize():f}")])
        amounts[row.id] = rules.refund_amount(row.amount, row.quantity, row.refunded, lines[row.id])
    total = sum(amounts.values(), ZERO)
    paid = [rules.Paid(p.id, p.method, p.amount, s.covered, s.returned, p.intent_id) for p, s in session.execute(
        select(Payment, PaymentState).join(PaymentState, PaymentState.payment_id == Payment.id)
        .where(Payment.settlement_id == settlement_id).order_by(Payment.id))]
    try:
        # what the insurer paid goes back whole and the rest is settled anew: only the insurer knows the figures
        insured = insured_refunds.active_claim(session, settlement_id) is not None
        returns = rules.allocate_returns(total, paid, None, to_jiao=to_jiao) if total and not insured else []
    except rules.RuleError as error:
        raise Invalid(error.code, error.message) from error
    approval = _approval_of(session, actor, settlement_id, total, approval_from)
    return {"total": total, "approval": approval,
            "declined": _declined(session, settlement_id) if approval == "needed" else None, "insured": insured,
            "lines": [{"line_id": key, "amount": amount} for key, amount in amounts.items()],
            "returns": [{"payment_id": r.payment_id, "method": r.method, "covers": r.covers, "amount": r.amount}
                        for r in returns]}


def _approval_of(session: Session, actor: Actor, settlement_id: int, total: Decimal, approval_from: Decimal) -> str:
    if total < approval_from:
        return "not_needed"
    states = {row.state for row in session.execute(
        select(RefundApproval.state, RefundApproval.decided_by).where(
            RefundApproval.settlement_id == settlement_id, RefundApproval.amount >= total,
            RefundApproval.state.in_(("requested", "approved"))))
        if row.state == "requested" or row.decided_by != actor.user_id}
    return "approved" if "approved" in states else "requested" if states else "needed"


def _declined(session: Session, settlement_id: int) -> dict[str, Any] | None:
    """The latest refusal of a refund of this settlement: who, when, why."""
    found = session.execute(
        select(RefundApproval.decided_by_name.label("by"), RefundApproval.decided_at.label("at"),
               RefundApproval.decision_note.label("note"))
        .where(RefundApproval.settlement_id == settlement_id, RefundApproval.state == "declined")
        .order_by(RefundApproval.decided_at.desc()).limit(1)).first()
    return dict(found._mapping) if found else None


def request_approval(session: Session, actor: Actor, settlement_id: int, *, amount: Decimal, reason: str
                     ) -> RefundApproval:
    """Ask for a second person's consent to a refund. :raises Conflict: that was asked for already (who, when)."""
    settlement = session.get(Settlement, settlement_id)
    if settlement is None or settlement.kind != "charge":
        raise NotFound("charging.settlement", "没有这次结算，请核对结算号")
    if not 0 < amount <= settlement.total:
        raise Invalid("billing.approval_amount", "审批金额须大于 0 且不超过结算金额",
                      [FieldError("amount", f"不超过 {settlement.total} 元")])
    _wait_for_turn(session, settlement_id)
    asked = session.scalar(select(RefundApproval).where(
        RefundApproval.settlement_id == settlement_id, RefundApproval.state == "requested").limit(1))
    if asked is not None:
        raise Conflict("billing.approval_asked", f"{asked.requested_by_name} 已于 {local(asked.requested_at):%m-%d %H:%M} "
                       f"对这次结算申请退费 {asked.amount} 元，请等待审批")
    made = RefundApproval(settlement_id=settlement_id, amount=amount, reason=reason, state="requested",
                          requested_by=actor.user_id, requested_by_name=actor.name, requested_at=now(session))
    session.add(made)
    session.flush()
    audit.record(session, actor, "refund.request_approval", "settlement", settlement_id, {"amount": str(amount)})
    return made


def _wait_for_turn(session: Session, settlement_id: int) -> None:
    """Whoever asks about a settlement takes its first line, so that two who ask at once see each other: at most one request
    is open. What is read afterwards is what whoever was faster has committed. The line stays as it is."""
    first = select(func.min(ChargeLine.id)).where(ChargeLine.settlement_id == settlement_id).scalar_subquery()
    portable.guarded_update(session, ChargeLineState, ChargeLineState.line_id == first,
                            {"refunded": ChargeLineState.refunded})


def decide_approval(session: Session, actor: Actor, approval_id: int, *, approve: bool, note: str = "") -> RefundApproval:
    """Approve or decline; never one's own request (FN-10). Whoever is declined reads in ``note`` why.

    :raises Invalid: declined without a reason. :raises Conflict: decided already (who, when).
    """
    found = session.get(RefundApproval, approval_id)
    if found is None:
        raise NotFound("billing.approval", "没有这条退费审批，请刷新后重试")
    if found.requested_by == actor.user_id:
        raise Forbidden("billing.own_approval", "不能审批自己提交的退费，请由他人审批")
    if not approve and len(note) < 2:
        raise Invalid("billing.decline_reason", "请填写不批准的原因，收费员会看到", [FieldError("note", "至少 2 个字")])
    if not portable.guarded_update(
            session, RefundApproval, (RefundApproval.id == approval_id) & (RefundApproval.state == "requested"),
            {"state": "approved" if approve else "declined", "decided_by": actor.user_id,
             "decided_by_name": actor.name, "decided_at": now(session), "decision_note": note or None}):
        session.refresh(found)
        at = f"{local(found.decided_at):%H:%M}" if found.decided_at else ""
        raise Conflict("billing.approval_decided", f"该退费已由 {found.decided_by_name} 于 {at} 处理，请刷新查看")
    audit.record(session, actor, "refund.approve" if approve else "refund.decline", "settlement", found.settlement_id,
                 {"amount": str(found.amount), **({"note": note} if note else {})})
    session.refresh(found)
    signing.sign_decision(session, actor, found, approved=approve)
    return found
