"""What is signed of money that goes back (MP-15): the second person's decision, and each red receipt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from his_server.actor import Actor
from his_server.security import signatures
from modules.kernel.charging.models import ChargeLine, Receipt, RefundApproval, Settlement

APPROVAL, RED = "refund_approval", "red_receipt"
_DECISION = ("settlement_id", "amount", "reason", "requested_by", "requested_by_name", "requested_at", "decided_by",
             "decided_by_name", "decided_at")
_LINE = ("id", "reverses_line_id", "code", "name", "quantity", "unit", "price", "amount")


def sign_decision(session: Session, actor: Actor, approval: RefundApproval, *, approved: bool) -> None:
    """Sign a decision on a refund that was just made."""
    signatures.sign(session, actor, APPROVAL, approval.id, _decision(approval, approved=approved))


def sign_reds(session: Session, actor: Actor, receipt_ids: Sequence[int]) -> None:
    """Sign the red ones of receipts that were just issued; two queries and an INSERT for each."""
    for key, document in _reds(session, receipt_ids).items():
        signatures.sign(session, actor, RED, key, document)


def _decision(approval: RefundApproval, *, approved: bool) -> dict[str, Any]:
    # without a note, what is signed is what was signed before there were notes
    note = {"decision_note": approval.decision_note} if approval.decision_note else {}
    return {**{name: getattr(approval, name) for name in _DECISION}, **note, "approved": approved}


def _decisions(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    found = session.scalars(select(RefundApproval).where(RefundApproval.id.in_(ids)))
    return {row.id: _decision(row, approved=row.state in ("approved", "used")) for row in found}


def _reds(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    cancelled = aliased(Receipt)
    rows = session.execute(
        select(Receipt, Settlement, cancelled.number.label("cancels_number"))
        .join(Settlement, Settlement.id == Receipt.settlement_id)
        .join(cancelled, cancelled.id == Receipt.reverses_receipt_id)
        .where(Receipt.id.in_(ids), Receipt.colour == "red").order_by(Receipt.id)).all()
    lines = defaultdict(list)
    for line in session.execute(select(ChargeLine.receipt_id, *(getattr(ChargeLine, name) for name in _LINE))
                                .where(ChargeLine.settlement_id.in_({row.Settlement.id for row in rows}))
                                .order_by(ChargeLine.id)):
        lines[line.receipt_id].append({name: getattr(line, name) for name in _LINE})
    return {receipt.id: {
        "number": receipt.number, "title": receipt.title, "person_id": receipt.person_id, "amount": receipt.amount,
        "cancels_id": receipt.reverses_receipt_id, "cancels_number": cancels, "issued_at": receipt.issued_at,
        "issued_by": receipt.issued_by, "refund_number": refund.number, "refund_total": refund.total,
        "of_settlement_id": refund.reverses_id, "reason": refund.reason, "approver_id": refund.approver_id,
        "lines": lines[receipt.id]} for receipt, refund, cancels in rows}


signatures.declare(APPROVAL, "退费审批", _decisions)
signatures.declare(RED, "冲红票据", _reds)
