"""Pure rules of charging: receipt splitting, payments, rounding, partial refunds. No session, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from his_server.money import JIAO, ZERO, cash_rounding, round_money
from modules.kernel.charging.ports import Split

CASH = "cash"
ROUNDING = "rounding"
INSURER = "insurance"
"""The channel of intents that the insurer answers for at the window."""
MOBILE = "med_mobile"
"""The insurer's mobile payment: the channel of its intents, and the method by which the payer's own part is paid there."""
INSURERS = (INSURER, MOBILE)
FUND, ACCOUNT, HOSPITAL = "insurance_fund", "insurance_account", "insurance_hospital"
INSURED = (FUND, ACCOUNT, HOSPITAL)
"""Methods of the parts of a bill that don't come from the patient's pocket; HOSPITAL is what the hospital bears."""
RECEIPT_LINES = 40
CLEARING = {"registration": "12", "outpatient": "11", "emergency": "13"}
"""clr_type by the treatment of a bill, where the insurer's answer says none."""


class RuleError(ValueError):
    """A rule is broken: ``code`` and a Chinese message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Line:
    """What the splitting rule needs of a charge line."""

    id: int
    encounter_id: int
    source: str
    kind: str
    performing_department_id: int | None
    amount: Decimal


@dataclass(frozen=True)
class ReceiptPart:
    """One receipt of a settlement."""

    title: str
    line_ids: tuple[int, ...]
    amount: Decimal


def split_receipts(lines: Sequence[Line], limit: int = RECEIPT_LINES) -> list[ReceiptPart]:
    """Split settled lines into receipts: the one rule for every channel (M1.9).

    One receipt per encounter and group — registration, drugs by pharmacy, everything else by performing
    department — of at most ``limit`` lines, in the order of the lines. Every line is on exactly one receipt.
    """
    groups: dict[tuple[int, str, int], list[Line]] = {}
    for line in lines:
        if line.source == "registration":
            group = (line.encounter_id, "挂号费", 0)
        elif line.kind == "drug":
            group = (line.encounter_id, "药费", line.performing_department_id or 0)
        else:
            group = (line.encounter_id, "诊疗费", line.performing_department_id or 0)
        groups.setdefault(group, []).append(line)
    parts = []
    for (_, title, _), members in groups.items():
        for start in range(0, len(members), limit):
            chunk = members[start:start + limit]
            parts.append(ReceiptPart(title, tuple(m.id for m in chunk), sum((m.amount for m in chunk), ZERO)))
    return parts


@dataclass(frozen=True)
class Pay:
    """A payment as offered: ``covers`` is the part of the bill it pays (before rounding cash)."""

    method: str
    covers: Decimal
    intent_id: int | None = None
    tendered: Decimal | None = None


@dataclass(frozen=True)
class PaymentRow:
    """A payment row to write; ``covers`` is None for the rounding beside cash."""

    method: str
    amount: Decimal
    covers: Decimal | None
    intent_id: int | None = None
    tendered: Decimal | None = None


def channel_of(method: str) -> str:
    """Who answers for a payment's intent: the insurer for all of its parts, else the channel of the same name."""
    return INSURER if method in INSURED else method


def check_split(split: Split, total: Decimal) -> None:
    """The identities of every insurance answer, to the fen (COMPLIANCE YB-01).

    :raises RuleError: one does not hold; nothing may be settled by such an answer.
    """
    parts = (split.fund, split.account, split.cash, split.hospital, split.shared_account, split.own_expense,
             split.over_limit, split.self_first, split.in_scope)
    wrong = (
        (split.total != total, f"医保按 {split.total} 元结算，本院费用 {total} 元"),
        (any(part < 0 or part != round_money(part) for part in (*parts, split.total)), "分项金额为负或不是整分"),
        (split.total != split.fund + split.member_part + split.hospital, "总额≠基金＋个人＋医院负担"),
        (split.total != split.own_expense + split.over_limit + split.self_first + split.in_scope,
         "总额≠全自费＋超限价＋先行自付＋符合范围"),
        (split.shared_account > split.account, "共济支付大于个人账户支付"),
        (bool(split.funds) and sum((amount for _, amount in split.funds), ZERO) != split.fund, "各基金之和≠基金支付总额"),
    )
    for broken, message in wrong:
        if broken:
            raise RuleError("insurance.identity", f"医保返回的金额不平（{message}），不能结算，请联系医保办")


def insured_pays(split: Split, intent_id: int) -> list[Pay]:
    """The insurer's parts as payments."""
    return [Pay(method, amount, intent_id) for method, amount in (
        (FUND, split.fund), (ACCOUNT, split.account), (HOSPITAL, split.hospital)) if amount]


def payment_rows(total: Decimal, offered: Sequence[Pay], *, to_jiao: bool) -> list[PaymentRow]:
    """The rows that pay ``total`` exactly. :raises RuleError: the payments do not fit the bill."""
    if any(p.covers <= 0 for p in offered):
        raise RuleError("charging.payment_amount", "每笔支付金额必须大于 0")
    if sum(p.method == CASH for p in offered) > 1:
        raise RuleError("charging.payment_cash_twice", "现金只能录入一笔")
    if (paid := sum((p.covers for p in offered), ZERO)) != total:
        raise RuleError("charging.payment_sum", f"支付合计 {paid} 元，应收 {total} 元，请核对后重新收款")
    rows = []
    for pay in offered:
        if pay.method != CASH:
            rows.append(PaymentRow(pay.method, pay.covers, pay.covers, pay.intent_id))
            continue
        delta = cash_rounding(pay.covers) if to_jiao else ZERO
        cash = pay.covers + delta
        if pay.tendered is not None and pay.tendered < cash:
            raise RuleError("charging.tendered", f"实收 {pay.tendered} 元，不足应收现金 {cash} 元")
        rows.append(PaymentRow(CASH, cash, pay.covers, tendered=pay.tendered))
        if delta:
            rows.append(PaymentRow(ROUNDING, -delta, None))
    return rows


def refund_amount(amount: Decimal, quantity: Decimal, before: Decimal, now: Decimal) -> Decimal:
    """What refunding ``now`` units returns after ``before`` were refunded already.

    Running totals are rounded, so that parts in any order sum to the line's amount (FN-04).
    """
    return round_money(amount * (before + now) / quantity) - round_money(amount * before / quantity)


@dataclass(frozen=True)
class Paid:
    """A payment of the original settlement: what it covered and what of that went back already."""

    payment_id: int
    method: str
    cash: Decimal
    covered: Decimal
    returned: Decimal
    intent_id: int | None

    @property
    def left(self) -> Decimal:
        """What can still be returned."""
        return self.covered - self.returned


@dataclass(frozen=True)
class ReturnRow:
    """A return to one payment: ``covers`` of the bill, of which ``cash`` in money and ``rounding`` beside it."""

    payment_id: int
    method: str
    covers: Decimal
    amount: Decimal
    rounding: Decimal
    intent_id: int | None


def allocate_returns(amount: Decimal, paid: Sequence[Paid], wanted: Mapping[int, Decimal] | None,
                     *, to_jiao: bool, as_cash: frozenset[int] = frozenset()) -> list[ReturnRow]:
    """Which payments get how much back (M1.14, M3.10, FN-11).

    Without ``wanted`` (payment id → amount): back through the channels, electronic ones first, cash last.
    ``as_cash``: payments whose share is handed out in cash instead (a permission guards that).
    :raises RuleError: the wish does not sum up or exceeds what a payment has left.
    """
    by_id = {p.payment_id: p for p in paid}
    if wanted is None:
        shares: dict[int, Decimal] = {}
        rest = amount
        for payment in sorted(paid, key=lambda p: (p.method == CASH, p.payment_id)):
            part = min(rest, payment.left)
            if part > 0:
                shares[payment.payment_id] = part
                rest -= part
        if rest:
            raise RuleError("charging.return_sum", "原支付余额不足以退还，请联系财务核对")
    else:
        shares = {key: value for key, value in wanted.items() if value}
        if any(v < 0 for v in shares.values()) or sum(shares.values(), ZERO) != amount:
            raise RuleError("charging.return_sum", f"各支付退款之和应为 {amount} 元")
        if unknown := set(shares) - set(by_id):
            raise RuleError("charging.return_payment", f"支付 {min(unknown)} 不属于本次结算")
    rows = []
    for key, covers in shares.items():
        payment = by_id[key]
        if covers > payment.left:
            raise RuleError("charging.return_excess", f"该笔支付只剩 {payment.left} 元可退")
        rows.append(_return_row(payment, covers, to_jiao, payment.payment_id in as_cash))
    return rows


def _return_row(payment: Paid, covers: Decimal, to_jiao: bool, as_cash: bool) -> ReturnRow:
    if payment.method != CASH and as_cash:
        cash = covers + (cash_rounding(covers) if to_jiao else ZERO)
        return ReturnRow(payment.payment_id, CASH, covers, cash, covers - cash, None)
    if payment.method != CASH:
        return ReturnRow(payment.payment_id, payment.method, covers, covers, ZERO, payment.intent_id)
    before = _cash_upto(payment, payment.returned, to_jiao)
    cash = _cash_upto(payment, payment.returned + covers, to_jiao) - before
    return ReturnRow(payment.payment_id, CASH, covers, cash, covers - cash, None)


def _cash_upto(payment: Paid, returned: Decimal, to_jiao: bool) -> Decimal:
    """Cash given back once ``returned`` of the covered sum is: all of it at the end, to the jiao before that."""
    if returned == payment.covered:
        return payment.cash
    if not to_jiao:
        return min(returned, payment.cash)
    return min(round_money(returned, JIAO), payment.cash)
