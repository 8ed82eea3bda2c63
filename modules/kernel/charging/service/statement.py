"""The figures of a shift, from the ledger's rows alone.

A shift may go over midnight: each settlement's business date is the calendar day in Asia/Shanghai on which it was made;
``days`` says how much of the shift fell on which, so that shifts and days add up to the same.

Implements: FN-12, FN-13, M1.18
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from his_server.db.numbering import NumberVoid
from his_server.money import ZERO
from modules.kernel.charging.models import ChargeLine, Payment, Receipt, Settlement, Shift


def build(session: Session, shift: Shift) -> dict[str, Any]:
    """Totals by kind, day, payment method and fiscal category, the receipts used and spoilt, and what does not balance;
    ten queries, all by index."""
    mine = Settlement.shift_id == shift.id
    kinds: dict[str, tuple[int, Decimal]] = {}
    days: dict[date, tuple[int, Decimal]] = {}
    for kind, day, count, total in session.execute(
            select(Settlement.kind, Settlement.business_date, func.count(), func.sum(Settlement.total)).where(mine)
            .group_by(Settlement.kind, Settlement.business_date).order_by(Settlement.business_date)):
        kinds[kind] = _more(kinds.get(kind), count, total)
        days[day] = _more(days.get(day), count, total)
    methods = session.execute(
        select(Payment.method,
               func.sum(case((Payment.amount > 0, Payment.amount), else_=None)),
               func.sum(case((Payment.amount < 0, Payment.amount), else_=None)),
               func.count())
        .join(Settlement, Settlement.id == Payment.settlement_id).where(mine)
        .group_by(Payment.method).order_by(Payment.method)).all()
    categories = session.execute(
        select(ChargeLine.fiscal_category, func.sum(ChargeLine.amount))
        .join(Settlement, Settlement.id == ChargeLine.settlement_id).where(mine)
        .group_by(ChargeLine.fiscal_category).order_by(ChargeLine.fiscal_category)).all()
    receipts = session.execute(
        select(Receipt.number, Receipt.colour, Receipt.amount)
        .join(Settlement, Settlement.id == Receipt.settlement_id).where(mine).order_by(Receipt.number)).all()
    payments = [{"method": m, "income": _or_zero(i), "refund": _or_zero(r), "net": _or_zero(i) + _or_zero(r),
                 "count": n} for m, i, r, n in methods]
    return {
        "charges": {"count": kinds.get("charge", (0, ZERO))[0], "amount": kinds.get("charge", (0, ZERO))[1]},
        "refunds": {"count": kinds.get("refund", (0, ZERO))[0], "amount": kinds.get("refund", (0, ZERO))[1]},
        **({"conversions": kinds["convert"][0]} if "convert" in kinds else {}),  # absent before there were any
        "net": sum((total for _, total in kinds.values()), ZERO),
        "cash": sum((p["net"] for p in payments if p["method"] == "cash"), ZERO),
        "payments": payments,
        "categories": [{"category": c, "amount": a} for c, a in categories],
        "days": [{"day": day.isoformat(), "count": n, "net": total} for day, (n, total) in days.items()],
        "receipts": {
            "blue": sum(r.colour == "blue" for r in receipts), "red": sum(r.colour == "red" for r in receipts),
            "amount": sum((r.amount for r in receipts), ZERO),
            "ranges": number_ranges([r.number for r in receipts]),
            "reds": [[r.number, r.amount] for r in receipts if r.colour == "red"],
            "voids": _voids(session, shift),
        },
        "unbalanced": _unbalanced(session, mine),
    }


def _voids(session: Session, shift: Shift) -> list[list[str]]:
    """Numbers that the cashier spoilt since the shift before this one was closed, with the reasons."""
    before = session.scalar(select(func.max(Shift.closed_at)).where(
        Shift.cashier_id == shift.cashier_id, Shift.closed_at <= shift.opened_at, Shift.id != shift.id))
    spoilt = select(NumberVoid.number, NumberVoid.reason).where(
        NumberVoid.series == "receipt", NumberVoid.voided_by == shift.cashier_id).order_by(NumberVoid.number)
    if before is not None:
        spoilt = spoilt.where(NumberVoid.voided_at >= before)
    if shift.closed_at is not None:  # at the same instant: the next shift's, so that a closed one never changes
        spoilt = spoilt.where(NumberVoid.voided_at < shift.closed_at)
    return [[number, reason] for number, reason in session.execute(spoilt)]


def _unbalanced(session: Session, mine: Any) -> list[str]:
    """The settlements whose lines, receipts and payments are not its total, with all four sums (M1.18)."""
    sums = [dict(session.execute(
        select(model.settlement_id, func.sum(model.amount)).join(Settlement, Settlement.id == model.settlement_id)
        .where(mine).group_by(model.settlement_id)).all()) for model in (ChargeLine, Receipt, Payment)]
    found = []
    for key, number, total in session.execute(
            select(Settlement.id, Settlement.number, Settlement.total).where(mine).order_by(Settlement.id)):
        lines, receipts, payments = (each.get(key) or ZERO for each in sums)
        if not lines == receipts == payments == total:
            found.append(f"{number}：结算 {total}，费用 {lines}，票据 {receipts}，支付 {payments}")
    return found


def _or_zero(value: Decimal | None) -> Decimal:
    return ZERO if value is None else value


def number_ranges(numbers: Sequence[str]) -> list[tuple[str, str, int]]:
    """Runs of consecutive numbers: (first, last, count), as a handover lists them."""
    runs: list[tuple[str, str, int]] = []
    for number in sorted(numbers):
        if runs and _next(runs[-1][1]) == number:
            runs[-1] = (runs[-1][0], number, runs[-1][2] + 1)
        else:
            runs.append((number, number, 1))
    return runs


def _next(number: str) -> str:
    tail = number[len(number.rstrip("0123456789")):]
    head = number[: len(number) - len(tail)]
    return f"{head}{int(tail) + 1:0{len(tail)}d}" if tail else number


def _more(before: tuple[int, Decimal] | None, count: int, total: Decimal) -> tuple[int, Decimal]:
    return (before[0] + count, before[1] + total) if before else (count, total)
