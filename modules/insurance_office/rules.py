"""Pure rules of the insurance office: sums of a scope, kinds of differences, what a refusal is called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from his_server.money import ZERO
from modules.kernel.charging.ports import CentreRow, SettledRow, Totals

HOSPITAL_ONLY, CENTRE_ONLY, AMOUNT_DIFF, FLAG_DIFF = "HOSPITAL_ONLY", "CENTRE_ONLY", "AMOUNT_DIFF", "FLAG_DIFF"

CAUSES = {
    "unknown": "对方没有应答", "identity": "金额不平", "nhsa.sign_in": "未签到", "nhsa.gateway": "网关验签未通过",
    "nhsa.suspended": "参保状态不符", "nhsa.unmapped": "目录未对照", "nhsa.quantity": "数量超过已上传",
    "nhsa.same_message": "报文重复", "nhsa.duplicate": "业务重复", "nhsa.amount": "金额不一致", "nhsa.credential": "凭证无效",
    "nhsa.person": "人员信息不符", "nhsa.diagnosis": "诊断不符", "nhsa.staff": "医师、科室未备案", "nhsa.order": "业务状态不符",
    "nhsa.contract": "格式不符", "nhsa.busy": "中心繁忙", "nhsa.other": "其他拒绝", "refused": "医保拒绝",
}
"""What a cause code means in a few characters; codes that aren't here are shown as they are."""


@dataclass(frozen=True)
class Row:
    """A settlement or its refund (negative amounts) on the day the insurer dates it, with the claim it comes from."""

    claim_id: int
    insurance: str
    clearing: str
    agency: str
    day: date
    refund: bool
    total: Decimal
    fund: Decimal
    account: Decimal
    cash: Decimal
    hospital: Decimal
    peer_number: str = ""
    peer_visit: str = ""

    @property
    def scope(self) -> tuple[str, str, str]:
        """By what rows are summed: insutype, clr_type, setl_optins."""
        return self.insurance, self.clearing, self.agency


def totals(rows: Iterable[Row]) -> Totals:
    """Net sums of rows."""
    chosen = list(rows)
    return Totals(**{name: sum((getattr(row, name) for row in chosen), ZERO)
                     for name in ("total", "fund", "account", "cash", "hospital")},
                  count=len(chosen), refunds=sum(row.refund for row in chosen))


def add(parts: Sequence[Totals]) -> Totals:
    """The sum of sums: a month is its confirmed days."""
    return Totals(**{name: sum((getattr(part, name) for part in parts), ZERO)
                     for name in ("total", "fund", "account", "cash", "hospital")},
                  count=sum(part.count for part in parts), refunds=sum(part.refunds for part in parts))


def month_of(day: date) -> tuple[date, date]:
    """First and last day of a day's month."""
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def kind_of(ours: SettledRow | None, theirs: CentreRow) -> str:
    """What sort of difference a row of the centre's result is."""
    if not theirs.peer_number or ours is None:
        return CENTRE_ONLY
    if not theirs.message_id:
        return HOSPITAL_ONLY
    opposite = theirs.total is not None and theirs.total == -ours.total != ZERO
    if theirs.refund != ours.refund or opposite or "标志" in theirs.memo:
        return FLAG_DIFF
    return AMOUNT_DIFF


def cause_name(cause: str | None, outcome: str) -> str:
    """A refusal's cause in a few characters."""
    if outcome == "unknown":
        return CAUSES["unknown"]
    return CAUSES.get(cause or "refused", cause or "")
