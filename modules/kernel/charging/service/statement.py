"""The figures of a shift, from the ledger's rows alone (FN-12, FN-13, M1.18)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from his_server.money import ZERO
from modules.kernel.charging.models import ChargeLine, Payment, Receipt, Settlement, Shift


def build(session: Session, shift: Shift) -> dict[str, Any]:
    """Totals by kind, payment method, fiscal category, and the receipts used; six queries, all by index."""
    mine = Settlement.shift_id == shift.id
    kinds = {kind: (count, total) for kind, count, total in session.execute(
        select(Settlement.kind, func.count(), func.sum(Settlement.total)).where(mine).group_by(Settlement.kind))}
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
        "net": sum((total for _, total in kinds.values()), ZERO),
        "cash": sum((p["net"] for p in payments if p["method"] == "cash"), ZERO),
        "payments": payments,
        "categories": [{"category": c, "amount": a} for c, a in categories],
        "receipts": {
            "blue": sum(r.colour == "blue" for r in receipts), "red": sum(r.colour == "red" for r in receipts),
            "amount": sum((r.amount for r in receipts), ZERO),
            "ranges": number_ranges([r.number for r in receipts]),
        },
    }


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
