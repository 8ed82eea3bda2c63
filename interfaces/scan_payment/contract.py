"""PaymentPort v1, our own contract (docs/interfaces/scan_payment.md): what is sent and answered. Amounts are whole fen."""

from __future__ import annotations

from marshmallow import EXCLUDE, RAISE, Schema, fields, validate

PAID, PENDING, CLOSED, FAILED = "PAID", "PENDING", "CLOSED", "FAILED"
"""What a payment is; a refund is REFUNDED, PROCESSING or FAILED."""
REFUNDED, PROCESSING = "REFUNDED", "PROCESSING"
SUCCESS, NOT_FOUND = "SUCCESS", "NOT_FOUND"
"""``code``: the request was carried out (read ``state``), or there is no such number; anything else is a refusal."""
HEADER = ("交易时间", "商户号", "渠道", "类型", "商户单号", "渠道单号", "原商户单号", "金额（分）", "手续费（分）", "状态")
"""Columns of the statement."""
PAY, REFUND = "支付", "退款"
TOTALS = "合计"

_number = validate.Regexp(r"[A-Za-z0-9]{1,40}\Z")
_fen = validate.Range(min=1)


class _In(Schema):
    class Meta:
        unknown = RAISE


class PaymentIn(_In):
    """``POST /v1/payments``: take a payment by the payer's code."""

    merchant = fields.String(required=True)
    out_trade_no = fields.String(required=True, validate=_number)
    channel = fields.String(required=True, validate=validate.OneOf(("scan", "ecny")))
    scene = fields.String(required=True, validate=validate.OneOf(("barcode",)))
    amount_fen = fields.Integer(required=True, strict=True, validate=_fen)
    auth_code = fields.String(required=True, validate=validate.Regexp(r"[0-9]{10,32}\Z"))
    subject = fields.String(required=True, validate=validate.Length(1, 60))


class RefundIn(_In):
    """``POST /v1/refunds``: return a part of a payment."""

    merchant = fields.String(required=True)
    out_refund_no = fields.String(required=True, validate=_number)
    out_trade_no = fields.String(required=True, validate=_number)
    amount_fen = fields.Integer(required=True, strict=True, validate=_fen)
    reason = fields.String(required=True, validate=validate.Length(1, 80))


class AnswerOut(Schema):
    """Every answer but the statement. What isn't named is a newer version's and means nothing to us."""

    class Meta:
        unknown = EXCLUDE

    code = fields.String(required=True)
    message = fields.String(load_default="")
    merchant = fields.String(load_default="")
    number = fields.String(load_default="")
    """out_trade_no or out_refund_no, ours."""
    transaction_no = fields.String(load_default="")
    amount_fen = fields.Integer(load_default=0)
    state = fields.String(load_default="")
