"""Yuan ↔ fen, answers ↔ outcomes, and the statement's lines. Pure."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from io import StringIO
from typing import Any

from his_server.clock import HOSPITAL_ZONE
from interfaces.scan_payment import contract
from interfaces.scan_payment.contract import CLOSED, FAILED, PAID, PENDING, PROCESSING, REFUNDED
from modules.kernel.charging.ports import CONFIRMED, REFUSED, UNKNOWN, Outcome, StatementRow

STATES = {PAID: CONFIRMED, REFUNDED: CONFIRMED, PENDING: UNKNOWN, PROCESSING: UNKNOWN, CLOSED: REFUSED, FAILED: REFUSED}


class Garbled(ValueError):
    """What came isn't what the contract promises; it says nothing about what happened."""


def to_fen(amount: Decimal) -> int:
    """Yuan as whole fen. :raises ValueError: it has parts of a fen."""
    fen = amount * 100
    if fen != fen.to_integral_value():
        raise ValueError(f"{amount} 元不是整分")
    return int(fen)


def to_yuan(fen: int | str) -> Decimal:
    """Whole fen as yuan."""
    return Decimal(int(fen)).scaleb(-2)


def outcome(answer: Mapping[str, Any], merchant: str, number: str, amount: Decimal | None, missing: str) -> Outcome:
    """What an answer says about our number. ``missing``: the words where there is none.

    :raises Garbled: another merchant, number or amount than ours, or a state that nobody agreed.
    """
    if answer["code"] == contract.NOT_FOUND:
        return Outcome(REFUSED, message=missing)
    if answer["code"] != contract.SUCCESS:
        return Outcome(REFUSED, message=(answer["message"] or f"渠道拒绝（{answer['code']}）")[:200])
    if answer["merchant"] != merchant or answer["number"] != number:
        raise Garbled("应答的商户或单号不是本笔")
    if amount is not None and to_yuan(answer["amount_fen"]) != amount:
        raise Garbled(f"应答金额 {to_yuan(answer['amount_fen'])} 元与本笔 {amount} 元不符")
    state = STATES.get(answer["state"])
    if state is None:
        raise Garbled(f"未约定的状态 {answer['state']!r}")
    return Outcome(state, answer["transaction_no"] or None, answer["message"][:200])


def statement(text: str, merchant: str) -> tuple[StatementRow, ...]:
    """The rows of a day's statement, checked against its own totals line.

    Values may begin with a back-quote, so that spreadsheets leave long numbers alone.
    :raises Garbled: a column is missing, a value is none, another merchant's row, or the totals don't agree.
    """
    lines = [[value.strip().lstrip("`") for value in line] for line in csv.reader(StringIO(text.lstrip("\ufeff"))) if line]
    if len(lines) < 2 or tuple(lines[0]) != contract.HEADER or lines[-1][0] != contract.TOTALS:
        raise Garbled("对账单缺少表头或合计行")
    try:
        rows = tuple(_row(dict(zip(contract.HEADER, line, strict=True)), merchant) for line in lines[1:-1])
        count, paid, returned = (int(value) for value in lines[-1][1:4])
    except ValueError as error:
        raise Garbled(f"对账单内容有误：{error}") from error
    sums = {kind: sum(to_fen(row.amount) for row in rows if row.kind == kind) for kind in ("pay", "refund")}
    if (len(rows), sums["pay"], sums["refund"]) != (count, paid, returned):
        raise Garbled(f"对账单合计不符：{len(rows)} 笔，支付 {sums['pay']} 分、退款 {sums['refund']} 分，"
                      f"合计行为 {count} 笔、{paid} 分、{returned} 分")
    return rows


def _row(given: Mapping[str, str], merchant: str) -> StatementRow:
    kinds = {contract.PAY: "pay", contract.REFUND: "refund"}
    if given["商户号"] != merchant or given["类型"] not in kinds or given["状态"] != contract.SUCCESS:
        raise ValueError(f"{given['商户单号']}：商户号、类型或状态不符")
    at = datetime.strptime(given["交易时间"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=HOSPITAL_ZONE)
    if not given["商户单号"] or int(given["金额（分）"]) <= 0:
        raise ValueError("单号或金额为空")
    return StatementRow(kinds[given["类型"]], given["商户单号"], given["渠道单号"], to_yuan(given["金额（分）"]), at,
                        given["原商户单号"], to_yuan(given["手续费（分）"]))
