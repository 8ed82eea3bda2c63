"""Invariants of the charging ledger: lines = receipts = payments, everywhere (M1.18, FN-13)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from his_server.db.numbering import NumberRange, NumberVoid
from his_server.module import Finding
from his_server.money import ZERO
from modules.kernel.charging import rules
from modules.kernel.charging.models import (
    ChargeLine,
    ChargeLineState,
    Conversion,
    ElectronicInvoice,
    InsuranceClaim,
    Intent,
    Payment,
    PaymentState,
    Receipt,
    RefundCase,
    Settlement,
    Shift,
)
from modules.kernel.charging.service import statement


def settlements_balance(session: Session) -> Iterator[Finding]:
    """Per settlement: Σ lines = Σ receipts = Σ payments = total. Three grouped sums, compared in the database."""

    def sums(model: type[ChargeLine] | type[Receipt] | type[Payment], title: str) -> dict[int, Decimal]:
        return dict(session.execute(
            select(model.settlement_id, func.sum(model.amount)).where(model.settlement_id.is_not(None))
            .group_by(model.settlement_id)).all())  # type: ignore[arg-type]

    lines, receipts, payments = sums(ChargeLine, "费用"), sums(Receipt, "票据"), sums(Payment, "支付")
    for key, number, total in session.execute(select(Settlement.id, Settlement.number, Settlement.total)):
        found = lines.pop(key, ZERO), receipts.pop(key, ZERO), payments.pop(key, ZERO)
        if any(value != total for value in found):
            yield Finding("charging.settlement", number,
                          f"结算 {total}，费用 {found[0]}，票据 {found[1]}，支付 {found[2]}")
    for title, rest in (("费用", lines), ("票据", receipts), ("支付", payments)):
        for key, amount in rest.items():
            yield Finding("charging.orphan", f"settlement {key}", f"{title} {amount} 没有对应的结算")


def line_states_agree(session: Session) -> Iterator[Finding]:
    """Per line: refunded = Σ negative lines that name it, and what refunds under way hold; each settled one has a state."""
    reversed_: dict[int, Decimal] = dict(session.execute(
        select(ChargeLine.reverses_line_id, -func.sum(ChargeLine.quantity))
        .where(ChargeLine.reverses_line_id.is_not(None)).group_by(ChargeLine.reverses_line_id)
    ).all())  # type: ignore[arg-type]
    for plan in session.scalars(select(RefundCase.plan).where(RefundCase.open_marker == 1)):
        for held, quantity in json.loads(plan)["lines"].items():
            reversed_[int(held)] = reversed_.get(int(held), Decimal(0)) + Decimal(quantity)
    rows = session.execute(
        select(ChargeLine.id, ChargeLine.quantity, ChargeLineState.quantity, ChargeLineState.refunded)
        .outerjoin(ChargeLineState, ChargeLineState.line_id == ChargeLine.id)
        .where(ChargeLine.state == "settled", ChargeLine.reverses_line_id.is_(None)))
    for key, quantity, tracked, refunded in rows:
        back = reversed_.pop(key, Decimal(0))
        if tracked != quantity or refunded != back:
            yield Finding("charging.line_state", f"line {key}", f"数量 {quantity}/{tracked}，已退 {refunded}，冲销 {back}")
    for key in reversed_:
        yield Finding("charging.line_state", f"line {key}", "冲销了不存在或未结算的费用")


def payment_states_agree(session: Session) -> Iterator[Finding]:
    """Per payment: returned = −Σ returns that name it (rounding included)."""
    back: dict[int, Decimal] = dict(session.execute(
        select(Payment.returns_payment_id, -func.sum(Payment.amount))
        .where(Payment.returns_payment_id.is_not(None)).group_by(Payment.returns_payment_id)
    ).all())  # type: ignore[arg-type]
    for key, returned in session.execute(select(PaymentState.payment_id, PaymentState.returned)):
        if back.get(key, ZERO) != returned:
            yield Finding("charging.payment_state", f"payment {key}", f"已退 {returned}，退款合计 {back.get(key, ZERO)}")


def receipt_chains(session: Session) -> Iterator[Finding]:
    """Per receipt chain: Σ receipts = Σ of the chain's lines; at most one live blue receipt."""
    receipts: dict[int, Decimal] = dict(session.execute(
        select(Receipt.root_id, func.sum(Receipt.amount)).group_by(Receipt.root_id)).all())
    lines: dict[int, Decimal] = dict(session.execute(
        select(Receipt.root_id, func.sum(ChargeLine.amount)).join(ChargeLine, ChargeLine.receipt_id == Receipt.id)
        .group_by(Receipt.root_id)).all())
    for root, amount in receipts.items():
        if lines.get(root, ZERO) != amount:
            yield Finding("charging.receipt_chain", f"receipt {root}", f"票据净额 {amount}，费用净额 {lines.get(root, ZERO)}")


def numbers_complete(session: Session) -> Iterator[Finding]:
    """Every number of a range before its next one is used once or void (FN-07)."""
    spent = case((NumberRange.next > NumberRange.last + 1, NumberRange.last + 1), else_=NumberRange.next)
    for series, prefix, width, first, upto in session.execute(
            select(NumberRange.series, NumberRange.prefix, NumberRange.width, NumberRange.first, spent)
            .where(NumberRange.series == "receipt")):
        low, high = f"{prefix}{first:0{width}d}", f"{prefix}{upto:0{width}d}"
        used = session.scalar(select(func.count()).select_from(Receipt)
                              .where(Receipt.number >= low, Receipt.number < high)) or 0
        void = session.scalar(select(func.count()).select_from(NumberVoid)
                              .where(NumberVoid.series == series, NumberVoid.number >= low, NumberVoid.number < high)) or 0
        if used + void != upto - first:
            yield Finding("charging.numbers", f"{low}…{high}", f"号码 {upto - first} 个，使用 {used}，作废 {void}")


def closed_shifts_frozen(session: Session) -> Iterator[Finding]:
    """A closed shift's frozen statement equals what its rows say now; every settlement is in one shift."""
    for shift in session.scalars(select(Shift).where(Shift.state != "open")):
        figures = json.loads(json.dumps(statement.build(session, shift), ensure_ascii=False, default=str))
        if shift.statement is None or json.loads(shift.statement) != figures:
            yield Finding("charging.shift", shift.number, "班次结账后数据有变化")
    orphans = session.scalars(
        select(Settlement.number).outerjoin(Shift, Shift.id == Settlement.shift_id).where(Shift.id.is_(None)))
    for number in orphans:
        yield Finding("charging.shift", number, "结算不属于任何班次")


def intents_used_once(session: Session) -> Iterator[Finding]:
    """Every used intent stands in the ledger with its amount: a payment once, the insurer's parts together."""
    rows = session.execute(
        select(Intent.number, Intent.amount, Intent.purpose, func.count(Payment.id), func.sum(Payment.amount))
        .outerjoin(Payment, Payment.intent_id == Intent.id)
        .where(Intent.state == "used")
        .group_by(Intent.id, Intent.number, Intent.amount, Intent.purpose))
    for number, amount, purpose, count, paid in rows:
        expected = -amount if purpose == "uninsure" else amount
        if (paid or ZERO) != expected or (purpose == "pay" and count != 1):
            yield Finding("charging.intent", number, f"金额 {expected}，入账 {count} 笔合计 {paid or ZERO}")


def claims_agree(session: Session) -> Iterator[Finding]:
    """Per insured settlement: what the ledger holds of the insurer's, fund, account and hospital apart, is what its one
    claim in force says; a claim's figures keep the insurer's identities (YB-01)."""
    held: dict[tuple[int, str], Decimal] = {}
    of = func.coalesce(Settlement.reverses_id, Settlement.id)
    for key, method, amount in session.execute(
            select(of, Payment.method, func.sum(Payment.amount))
            .join(Settlement, Settlement.id == Payment.settlement_id)
            .where(Payment.method.in_(rules.INSURED)).group_by(of, Payment.method)):
        held[key, method] = amount
    seen: set[int] = set()
    for claim in session.scalars(select(InsuranceClaim).join(Intent, Intent.id == InsuranceClaim.intent_id)
                                 .where(Intent.state == "used")):
        key = claim.settlement_id or 0
        if key in seen:
            yield Finding("charging.claim", f"settlement {key}", "有两笔有效的医保结算")
        seen.add(key)
        for method, amount in zip(rules.INSURED, (claim.fund, claim.account, claim.hospital), strict=True):
            booked = held.pop((key, method), ZERO)
            if booked != amount:
                yield Finding("charging.claim", f"settlement {key}", f"{method} 医保 {amount}，入账 {booked}")
        if (claim.total != claim.fund + claim.account + claim.cash + claim.hospital
                or claim.total != claim.own_expense + claim.over_limit + claim.self_first + claim.in_scope):
            yield Finding("charging.claim", f"settlement {key}", "医保金额不平")
    for (key, method), amount in held.items():
        if amount:
            yield Finding("charging.claim", f"settlement {key}", f"{method} {amount} 没有有效的医保结算")


def conversions_agree(session: Session) -> Iterator[Finding]:
    """Each exchange of payments (kind ``convert``) is of one finished conversion, and what it took of the insurer's is what
    it gave the patient back."""
    done = {c.booked_id: c for c in session.scalars(select(Conversion).where(Conversion.state == "done"))}
    sums: dict[int, dict[bool, Decimal]] = defaultdict(lambda: {True: ZERO, False: ZERO})
    for key, method, amount in session.execute(
            select(Payment.settlement_id, Payment.method, func.sum(Payment.amount))
            .join(Settlement, Settlement.id == Payment.settlement_id).where(Settlement.kind == "convert")
            .group_by(Payment.settlement_id, Payment.method)):
        sums[key][method in rules.INSURED] += amount
    for booked in session.scalars(select(Settlement).where(Settlement.kind == "convert")):
        found = done.pop(booked.id, None)
        if found is None or found.settlement_id != booked.reverses_id or booked.total != ZERO:
            yield Finding("charging.conversion", booked.number, "转医保没有对应的办理记录，或金额不为 0")
        if sums[booked.id][True] != -sums[booked.id][False]:
            yield Finding("charging.conversion", booked.number,
                          f"医保入账 {sums[booked.id][True]}，退还病人 {-sums[booked.id][False]}")
    for left in done.values():
        yield Finding("charging.conversion", f"conversion {left.id}", "已办完但没有入账")


def invoice_chains(session: Session) -> Iterator[Finding]:
    """Per chain of electronic invoices: at most one in force, a red one cancels all of its original, and their net is that
    of the settlements they are of (FN-09)."""
    chains: dict[int, list[ElectronicInvoice]] = defaultdict(list)
    for one in session.scalars(select(ElectronicInvoice).order_by(ElectronicInvoice.root_id)):
        chains[one.root_id].append(one)
    totals: dict[int, Decimal] = dict(session.execute(
        select(Settlement.id, Settlement.total).where(Settlement.id.in_(
            select(ElectronicInvoice.settlement_id)))).all())
    for root, chain in chains.items():
        by_id = {one.id: one for one in chain}
        for one in chain:
            if one.original_id is not None and one.amount != -by_id[one.original_id].amount:
                yield Finding("charging.invoice", f"invoice {one.id}", "红字金额与原票不符")
        cancelled = {one.original_id for one in chain}
        live = [one for one in chain if one.colour == "blue" and one.id not in cancelled]
        if len(live) > 1:
            yield Finding("charging.invoice", f"settlement {root}", f"有 {len(live)} 张有效的电子票据")
        net = sum((totals[key] for key in {one.settlement_id for one in chain}), ZERO)
        if sum((one.amount for one in chain), ZERO) != net:
            yield Finding("charging.invoice", f"settlement {root}", f"电子票据净额与结算净额 {net} 不符")
