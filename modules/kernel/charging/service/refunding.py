"""Refunds: negative lines that name what they reverse, red and new blue receipts, money back where it came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, numbering, of, today, unless_taken
from his_server.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from his_server.messaging import outbox
from his_server.money import ZERO
from his_server.security import audit, integrity
from modules.kernel.charging import rules
from modules.kernel.charging.models import (
    ChargeLine,
    ChargeLineState,
    Conversion,
    InsuranceClaim,
    Payment,
    PaymentState,
    Receipt,
    RefundApproval,
    Settlement,
)
from modules.kernel.charging.service import signing
from modules.kernel.charging.service.intents import write_down
from modules.kernel.charging.service.settling import RECEIPT_SERIES, SETTLEMENT_SERIES
from modules.kernel.charging.service.shifts import enter_shift


@dataclass(frozen=True)
class Returns:
    """How the money goes back: payment id → amount; ``as_cash`` payments are paid out in cash instead."""

    amounts: Mapping[int, Decimal] = field(default_factory=dict)
    as_cash: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Refunded:
    """What a refund made. ``intent_ids`` still have to be called."""

    id: int
    number: str
    total: Decimal
    receipt_ids: tuple[int, ...]
    intent_ids: tuple[int, ...]
    lines: tuple[tuple[int, Decimal], ...]
    cash: Decimal


def refund(session: Session, actor: Actor, settlement_id: int, quantities: Mapping[int, Decimal], *, reason: str,
           returns: Returns | None = None, approval_from: Decimal | None = None, to_jiao: bool = True) -> Refunded:
    """Refund quantities of a settlement's lines (line id → quantity in the charged unit).

    Performed quantities can't be refunded; parts in any order return the original exactly. A refund of
    ``approval_from`` yuan or more needs a second person's approval (FN-10). Emits ``RefundMade``.

    :raises Conflict: a line has not that much left, or a receipt is being refunded by somebody else.
    :raises Invalid: lines or returns do not fit the settlement.
    """
    shift_id = enter_shift(session, actor)
    original = session.get(Settlement, settlement_id)
    if original is None or original.kind != "charge":
        raise NotFound("charging.settlement", "没有这次结算，请核对结算号")
    lines = lines_of(session, settlement_id, quantities)
    amounts = take_back(session, lines, quantities)
    _not_insured(session, settlement_id)
    total = sum(amounts.values(), ZERO)
    approver = approved(session, actor, settlement_id, total, approval_from)
    paid = [rules.Paid(p.id, p.method, p.amount, s.covered, s.returned, p.intent_id) for p, s in session.execute(
        select(Payment, PaymentState).join(PaymentState, PaymentState.payment_id == Payment.id)
        .where(Payment.settlement_id == settlement_id).order_by(Payment.id))]
    if returns and returns.as_cash and not actor.can("charging.refund_as_cash"):
        raise Forbidden("charging.refund_as_cash", "电子支付改退现金需要授权，请原路退回或请有权限的人员办理")
    return write(session, actor, shift_id, original, lines, quantities, amounts, reason=reason,
                 approver=approver[1] if approver else None,
                 give_back=lambda refund_id: give_back(session, actor, original.person_id, refund_id, total, paid, returns,
                                                       to_jiao))


def _not_insured(session: Session, settlement_id: int) -> None:
    """Asked once the lines are taken, so that a conversion that took them before is seen.

    :raises Conflict: the insurer pays for it, or is being asked to.
    """
    if session.scalar(select(InsuranceClaim.id).where(InsuranceClaim.settlement_id == settlement_id).limit(1)):
        raise Conflict("charging.insured_refund", "该结算含医保支付，须先撤销医保部分，请用医保退费办理")
    if session.scalar(select(Conversion.id).where(Conversion.settlement_id == settlement_id, Conversion.live == 1)):
        raise Conflict("charging.converting", "该结算正在转医保，请待办完后再退费")


def left_of(settlement_id: int) -> Any:
    """Statement: charged and refunded quantity of each line of a settlement."""
    return (select(ChargeLineState.line_id, ChargeLineState.quantity, ChargeLineState.refunded)
            .join(ChargeLine, ChargeLine.id == ChargeLineState.line_id)
            .where(ChargeLine.settlement_id == settlement_id, ChargeLine.reverses_line_id.is_(None)))


def lines_of(session: Session, settlement_id: int, quantities: Mapping[int, Decimal]) -> dict[int, ChargeLine]:
    """The settlement's lines, when all that are to be refunded are among them and unaltered.

    :raises Invalid: nothing, or lines of another settlement. :raises Conflict: a line was altered behind our back.
    """
    if not quantities:
        raise Invalid("charging.refund_empty", "请选择要退的项目")
    lines = {line.id: line for line in session.scalars(
        select(ChargeLine).where(ChargeLine.settlement_id == settlement_id, ChargeLine.reverses_line_id.is_(None)))}
    if set(quantities) - set(lines):
        raise Invalid("charging.refund_lines", "所选项目不属于这次结算，请刷新后重试")
    if any(not integrity.holds(of(session).sealer, lines[key]) for key in quantities):
        raise Conflict("integrity.violation", "费用明细校验未通过，不能退费，请立即联系信息科核查")
    return lines


def write(session: Session, actor: Actor, shift_id: int, original: Settlement, lines: Mapping[int, ChargeLine],
          quantities: Mapping[int, Decimal], amounts: Mapping[int, Decimal], *, reason: str, approver: int | None,
          give_back: Callable[[int], tuple[list[int], Decimal]]) -> Refunded:
    """Book a refund whose quantities are taken back already; ``give_back`` writes its payments."""
    total = sum(amounts.values(), ZERO)
    at, day = now(session), today(session)
    keys = of(session).keys
    refund_id = keys.next()
    number = numbering.take(session, SETTLEMENT_SERIES)
    reds = _receipts(session, actor, refund_id, lines, amounts)
    new_ids = keys.take(len(amounts))
    portable.insert_many(session, ChargeLine, [
        {**{c: getattr(lines[k], c) for c in _COPIED}, "id": new, "quantity": -quantities[k], "amount": -amounts[k],
         "state": "settled", "settlement_id": refund_id, "receipt_id": reds.red_of[lines[k].receipt_id or 0],
         "reverses_line_id": k, "created_at": at, "created_by": actor.user_id}
        for new, k in zip(new_ids, sorted(amounts), strict=True)])
    session.add(Settlement(id=refund_id, number=number, kind="refund", person_id=original.person_id, total=-total,
                           channel=actor.channel, cashier_id=actor.user_id, cashier_name=actor.name, shift_id=shift_id,
                           settled_at=at, business_date=day, reverses_id=original.id, reason=reason,
                           approver_id=approver))
    intents, cash = give_back(refund_id)
    session.flush()
    signing.sign_reds(session, actor, reds.ids)
    outbox.record(session, "RefundMade", original.number, {
        "refund_id": refund_id, "number": number, "of_settlement_id": original.id, "of_number": original.number,
        "person_id": original.person_id, "total": str(total),
        "lines": [{"line_id": k, "quantity": str(q)} for k, q in sorted(quantities.items())]})
    audit.record(session, actor, "charge.refund", "settlement", refund_id,
                 {"number": number, "of": original.number, "total": str(total), "reason": reason})
    return Refunded(refund_id, number, total, tuple(reds.ids), tuple(intents), tuple(quantities.items()), cash)


_COPIED = ("person_id", "encounter_id", "source", "source_id", "source_line_id", "kind", "item_id", "code", "name",
           "spec", "unit", "price", "factor", "fiscal_category", "insurance_level", "ordering_department_id",
           "ordering_staff_id", "performing_department_id")


def take_back(session: Session, lines: Mapping[int, ChargeLine], quantities: Mapping[int, Decimal]
              ) -> dict[int, Decimal]:
    """Raise ``refunded`` under guard; the amounts that go back."""
    state = ChargeLineState
    amounts = {}
    for key in sorted(quantities):
        quantity = quantities[key]
        if quantity <= 0:
            raise Invalid("charging.refund_quantity", "退费数量必须大于 0")
        taken = portable.guarded_update(
            session, state, (state.line_id == key)
            & (state.performed + state.refunded + quantity <= state.quantity),
            {"refunded": state.refunded + quantity})
        now_refunded, performed = session.execute(
            select(state.refunded, state.performed).where(state.line_id == key)).one()
        line = lines[key]
        if not taken:
            left = line.quantity - performed - now_refunded
            why = "已执行（发药、检查等）的部分须先由执行科室退回" if performed else "可能已被他人退费"
            raise Conflict("charging.not_refundable", f"{line.name} 可退数量为 {left.normalize():f}，{why}",
                           [FieldError(f"lines.{key}.quantity", f"最多 {left.normalize():f}")])
        amounts[key] = rules.refund_amount(line.amount, line.quantity, now_refunded - quantity, quantity)
    return amounts


@dataclass
class _Reds:
    ids: list[int]
    red_of: dict[int, int]


def _receipts(session: Session, actor: Actor, refund_id: int, lines: Mapping[int, ChargeLine],
              amounts: Mapping[int, Decimal]) -> _Reds:
    """Cancel the current blue receipt of every touched chain; issue a new blue one for what remains (FN-09)."""
    by_root: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for key, amount in amounts.items():
        by_root[lines[key].receipt_id or 0] += amount
    left = _quantity_left(session, [line for line in lines.values() if line.receipt_id in by_root])
    made = _Reds([], {})
    rows = []
    at = now(session)
    keys = of(session).keys
    for root in sorted(by_root):
        current = _current_blue(session, root)
        remaining = current.amount - by_root[root]
        again = left[root] > 0
        numbers = numbering.take_from_range(session, RECEIPT_SERIES, actor.user_id, 2 if again else 1)
        common = {"settlement_id": refund_id, "person_id": current.person_id, "title": current.title, "root_id": root,
                  "issued_at": at, "issued_by": actor.user_id}
        red = keys.next()
        made.red_of[root] = red
        made.ids.append(red)
        rows.append({**common, "id": red, "number": numbers[0], "colour": "red", "amount": -current.amount,
                     "reverses_receipt_id": current.id})
        if again:
            blue = keys.next()
            made.ids.append(blue)
            rows.append({**common, "id": blue, "number": numbers[1], "colour": "blue", "amount": remaining,
                         "reverses_receipt_id": None})
    with unless_taken(session, Conflict("charging.receipt_reversed", "该票据正被他人冲红，请刷新后重试")):
        portable.insert_many(session, Receipt, rows)
    return made


def _current_blue(session: Session, root: int) -> Receipt:
    """The blue receipt of the chain that no red one cancels."""
    chain = list(session.scalars(select(Receipt).where(Receipt.root_id == root)))
    cancelled = {r.reverses_receipt_id for r in chain}
    current = [r for r in chain if r.colour == "blue" and r.id not in cancelled]
    if len(current) != 1:
        raise Conflict("charging.receipt_reversed", "该票据已全部冲红，不能再次退费，请刷新后核对")
    return current[0]


def _quantity_left(session: Session, lines: Sequence[ChargeLine]) -> dict[int, Decimal]:
    """Unrefunded quantity per receipt chain."""
    refunded = dict(session.execute(
        select(ChargeLineState.line_id, ChargeLineState.refunded)
        .where(ChargeLineState.line_id.in_([line.id for line in lines]))).all())
    left: dict[int, Decimal] = defaultdict(lambda: Decimal(0))
    for line in lines:
        left[line.receipt_id or 0] += line.quantity - refunded[line.id]
    return left


def approved(session: Session, actor: Actor, settlement_id: int, total: Decimal, approval_from: Decimal | None
             ) -> tuple[int, int | None] | None:
    """Use up the second person's consent that a large refund needs; the approval and who gave it (FN-10).

    :raises Conflict: it needs one and there is none.
    """
    if approval_from is None or total < approval_from:
        return None
    approval = session.scalar(
        select(RefundApproval).where(RefundApproval.settlement_id == settlement_id, RefundApproval.state == "approved",
                                     RefundApproval.amount >= total, RefundApproval.decided_by != actor.user_id)
        .order_by(RefundApproval.requested_at, RefundApproval.id).limit(1))
    if approval is None or not portable.guarded_update(
            session, RefundApproval, (RefundApproval.id == approval.id) & (RefundApproval.state == "approved"),
            {"state": "used"}):
        raise Conflict("charging.approval_needed", f"退费 {total} 元须经他人审批，请先提交退费审批")
    return approval.id, approval.decided_by


def give_back(session: Session, actor: Actor, person_id: int, refund_id: int, total: Decimal,
              paid: Sequence[rules.Paid], returns: Returns | None, to_jiao: bool) -> tuple[list[int], Decimal]:
    """Write the returns to these payments; the electronic ones still have to be sent, the cash goes out now.

    :raises Invalid: the wish does not sum up. :raises Conflict: somebody returned to a payment meanwhile.
    """
    if total == 0:
        return [], ZERO
    try:
        rows = rules.allocate_returns(total, paid, returns.amounts if returns and returns.amounts else None,
                                      to_jiao=to_jiao, as_cash=returns.as_cash if returns else frozenset())
    except rules.RuleError as error:
        raise Invalid(error.code, error.message) from error
    at = now(session)
    intents: list[int] = []
    payments = []
    cash = ZERO
    keys = of(session).keys
    for row in rows:
        if not portable.guarded_update(
                session, PaymentState, (PaymentState.payment_id == row.payment_id)
                & (PaymentState.returned + row.covers <= PaymentState.covered),
                {"returned": PaymentState.returned + row.covers}):
            raise Conflict("charging.return_excess", "该笔支付正被他人退款，请刷新后重试")
        intent = None
        if row.method == rules.CASH:
            cash += row.amount
        else:
            intent = write_down(session, actor, purpose="refund", channel=row.method, person_id=person_id,
                                amount=row.amount, state="created", settlement_id=refund_id,
                                returns_intent_id=row.intent_id)
            intents.append(intent.id)
        common = {"settlement_id": refund_id, "returns_payment_id": row.payment_id, "tendered": None, "paid_at": at}
        payments.append({**common, "id": keys.next(), "method": row.method, "amount": -row.amount,
                         "intent_id": intent.id if intent else None})
        if row.rounding:
            payments.append({**common, "id": keys.next(), "method": rules.ROUNDING, "amount": -row.rounding,
                             "intent_id": None})
    portable.insert_many(session, Payment, payments)
    return intents, cash
