"""Settlement: open lines become settled, split into receipts, paid by several payments; one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, bindparam, select, update
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, numbering, of, today
from his_server.errors import Conflict, Invalid
from his_server.messaging import outbox
from his_server.money import ZERO
from his_server.security import audit, integrity
from modules.kernel.charging import rules
from modules.kernel.charging.models import (
    ChargeLine,
    ChargeLineState,
    Intent,
    Payment,
    PaymentState,
    Receipt,
    Settlement,
)
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.service.shifts import enter_shift

SETTLEMENT_SERIES = numbering.Series("settlement", "结算号", "JS{date:%y%m%d}{n:07d}", per_day=True, block=50)
RECEIPT_SERIES = "receipt"


@dataclass(frozen=True)
class Settled:
    """What a settlement made."""

    id: int
    number: str
    total: Decimal
    receipt_ids: tuple[int, ...]
    receipt_numbers: tuple[str, ...]
    lines: tuple[Row[Any], ...]
    """The settled lines: the columns that followers need (:data:`_LINES`)."""
    change: Decimal


# Statements of the hot path stand here: building one costs ten times as much as running it again.
_LINE = ChargeLine.__table__
_LINES = (select(*(_LINE.c[name] for name in (
    *ChargeLine.__guarded__, "performing_department_id", "state", "row_mac")))
    .where(_LINE.c.id.in_(bindparam("b_ids", expanding=True))).order_by(_LINE.c.id))
_MARK = (update(_LINE)  # type: ignore[arg-type]
         .where(_LINE.c.id.in_(bindparam("b_ids", expanding=True)), _LINE.c.state == "open")
         .values(state="settled", settlement_id=bindparam("b_settlement"), receipt_id=bindparam("b_receipt")))


def settle(session: Session, actor: Actor, *, person_id: int, line_ids: Sequence[int], payments: Sequence[Pay],
           to_jiao: bool = True, expected_total: Decimal | None = None) -> Settled:
    """Settle a person's open lines.

    Guards, in this order: the cashier's shift stays open, every line is still open, intents are still unused.
    A zero total takes no payment and still gets its number and receipt (M1.1). Emits ``ChargeSettled``.

    :raises Conflict: a line was settled or voided by somebody else (named), an intent is used.
    :raises Invalid: payments do not sum to the total.
    """
    shift_id = enter_shift(session, actor)
    wanted = sorted(set(line_ids))
    session.flush()
    lines = portable.fetch(session.connection(), _LINES, {"b_ids": wanted})
    if not wanted or len(lines) != len(wanted) or any(line.person_id != person_id for line in lines):
        raise Invalid("charging.lines", "所选费用不属于该病人或不存在，请刷新费用清单后重试")
    if any(line.state != "open" for line in lines):
        raise _taken(session, wanted)
    if not all(integrity.holds(of(session).sealer, line, ChargeLine) for line in lines):
        raise Conflict("integrity.violation", "费用明细校验未通过，不能收费，请立即联系信息科核查")
    total = sum((line.amount for line in lines), ZERO)
    if expected_total is not None and expected_total != total:
        raise Conflict("charging.total_changed", f"费用合计已变为 {total} 元（原显示 {expected_total} 元），请核对后重新收款")
    try:
        rows = rules.payment_rows(total, payments, to_jiao=to_jiao)
    except rules.RuleError as error:
        raise Invalid(error.code, error.message) from error
    parts = rules.split_receipts([rules.Line(r.id, r.encounter_id, r.source, r.kind, r.performing_department_id,
                                             r.amount) for r in lines])
    at, day = now(session), today(session)
    keys = iter(of(session).keys.take(1 + len(parts) + len(rows)))
    settlement_id = next(keys)
    receipt_ids = tuple(next(keys) for _ in parts)
    number = numbering.take(session, SETTLEMENT_SERIES)
    numbers = numbering.take_from_range(session, RECEIPT_SERIES, actor.user_id, len(parts))
    marks: list[portable.Write] = [(_MARK, {"b_ids": part.line_ids, "b_settlement": settlement_id, "b_receipt": receipt_id})
             for receipt_id, part in zip(receipt_ids, parts, strict=True)]
    # the guard stands alone: who loses the race for a line learns from it by whom, not from a broken key further on
    if sum(portable.run_together(session.connection(), marks)) != len(wanted):
        raise _taken(session, wanted)
    portable.run_together(session.connection(), [
        portable.inserting(ChargeLineState, [
            {"line_id": r.id, "quantity": r.quantity, "performed": Decimal(0), "refunded": Decimal(0)} for r in lines]),
        portable.inserting(Settlement, [{
            "id": settlement_id, "number": number, "kind": "charge", "person_id": person_id, "total": total,
            "channel": actor.channel, "cashier_id": actor.user_id, "cashier_name": actor.name, "shift_id": shift_id,
            "settled_at": at, "business_date": day, "reverses_id": None, "reason": None, "approver_id": None}]),
        portable.inserting(Receipt, [
            {"id": key, "number": receipt_number, "settlement_id": settlement_id, "person_id": person_id,
             "colour": "blue", "title": part.title, "amount": part.amount, "root_id": key, "reverses_receipt_id": None,
             "issued_at": at, "issued_by": actor.user_id}
            for key, receipt_number, part in zip(receipt_ids, numbers, parts, strict=True)]),
        *_payments(settlement_id, rows, list(keys), at)])
    portable.forget(session, [_LINE])
    _use_intents(session, settlement_id, person_id, rows)
    outbox.record(session, "ChargeSettled", number, {
        "settlement_id": settlement_id, "number": number, "person_id": person_id, "channel": actor.channel,
        "line_ids": wanted, "total": str(total)})
    audit.record(session, actor, "charge.settle", "settlement", settlement_id, {"number": number, "total": str(total)})
    cash = next((r for r in rows if r.method == rules.CASH), None)
    change = cash.tendered - cash.amount if cash and cash.tendered is not None else ZERO
    return Settled(settlement_id, number, total, receipt_ids, tuple(numbers), tuple(lines), change)


def _taken(session: Session, line_ids: Sequence[int]) -> Conflict:
    """The 409 that names who settled a line and when."""
    row = session.execute(
        select(Settlement.number, Settlement.cashier_name, Settlement.settled_at, ChargeLine.name)
        .join(ChargeLine, ChargeLine.settlement_id == Settlement.id)
        .where(ChargeLine.id.in_(line_ids)).order_by(Settlement.settled_at.desc())).first()
    if row is None:
        return Conflict("charging.line_void", "部分费用已被作废，请刷新费用清单后重试")
    return Conflict("charging.line_settled",
                    f"{row.name} 已由 {row.cashier_name} 于 {local(row.settled_at):%H:%M} 收取（{row.number}），请刷新后重试")


def _payments(settlement_id: int, rows: Sequence[rules.PaymentRow], keys: Sequence[int], at: datetime
              ) -> list[portable.Write]:
    if not rows:
        return []
    return [
        portable.inserting(Payment, [
            {"id": key, "settlement_id": settlement_id, "method": row.method, "amount": row.amount,
             "intent_id": row.intent_id, "returns_payment_id": None, "tendered": row.tendered, "paid_at": at}
            for key, row in zip(keys, rows, strict=True)]),
        portable.inserting(PaymentState, [
            {"payment_id": key, "covered": row.covers, "returned": ZERO}
            for key, row in zip(keys, rows, strict=True) if row.covers is not None])]


def _use_intents(session: Session, settlement_id: int, person_id: int, rows: Sequence[rules.PaymentRow]) -> None:
    at = now(session)
    intents: dict[tuple[int, str], Decimal] = {}
    for row in rows:
        if row.intent_id is not None:
            intent = row.intent_id, rules.channel_of(row.method)
            intents[intent] = intents.get(intent, ZERO) + row.amount
        elif row.method not in (rules.CASH, rules.ROUNDING):
            raise Invalid("charging.intent_missing", "电子支付须先完成扫码，再提交结算")
    for (intent_id, channel), amount in intents.items():
        used = portable.guarded_update(
            session, Intent,
            (Intent.id == intent_id) & (Intent.state == "confirmed") & Intent.held_by_id.is_(None)
            & (Intent.purpose == ("insure" if channel == rules.INSURER else "pay")) & (Intent.person_id == person_id)
            & (Intent.amount == amount)
            & Intent.channel.in_(rules.INSURERS if channel == rules.INSURER else (channel,)),
            {"state": "used", "settlement_id": settlement_id, "changed_at": at})
        if not used:
            raise Conflict("charging.intent_used", "该笔扫码支付尚未成功、金额不符或已用于其他结算，请查询支付状态后重试")


_PERFORM = (update(ChargeLineState.__table__)  # type: ignore[arg-type]
            .where(ChargeLineState.line_id == bindparam("b_line"),
                   ChargeLineState.performed + bindparam("b_quantity") >= Decimal(0),
                   ChargeLineState.performed + bindparam("b_quantity") + ChargeLineState.refunded
                   <= ChargeLineState.quantity)
            .values(performed=ChargeLineState.performed + bindparam("b_quantity")))


def perform(session: Session, quantities: dict[int, Decimal]) -> None:
    """Mark quantities of settled lines as performed (positive) or not performed any more (negative, a return).

    Only the performing department's act calls this; paying never does (M1.8).
    :raises Conflict: a line was refunded meanwhile, or less is performed than is taken back.
    """
    done = 0
    for line_id in sorted(quantities):
        done += session.connection().execute(
            _PERFORM, {"b_line": line_id, "b_quantity": quantities[line_id]}).rowcount
    if done != len(quantities):
        raise Conflict("charging.not_performable", "部分费用已退费或数量不足，不能执行，请刷新后核对")
