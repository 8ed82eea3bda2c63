"""The contract of daily and monthly statements, version 1 (facts: our-contracts, C2): messages and their signature.

Nothing public describes the city's 日结、月结 interface. Names of fields are the insurer's own (3201) where it has any.
"""

from __future__ import annotations

import hashlib
import hmac

from marshmallow import EXCLUDE, Schema, fields, validate

from his_server.wire import Day

VERSION = "1"
STATES = ("UPLOADED", "CONFIRMED", "DELETED")
H_APP, H_TIME, H_NONCE, H_SIGNATURE = "X-App-Id", "X-Timestamp", "X-Nonce", "X-Signature"


def signature(secret: str, method: str, path: str, timestamp: str, nonce: str, body: bytes) -> str:
    """HMAC-SM3 in hex over method, path, timestamp (seconds), nonce and SM3 of the body, a line each."""
    text = "\n".join((method, path, timestamp, nonce, hashlib.new("sm3", body).hexdigest()))
    return hmac.new(secret.encode(), text.encode(), lambda: hashlib.new("sm3")).hexdigest()


class Amount(fields.Decimal):
    """NUMERIC(16,2) as text."""

    def __init__(self, **more: object) -> None:
        super().__init__(places=2, as_string=True, required=True, **more)  # type: ignore[arg-type]


class StatementIn(Schema):
    """A statement as it is handed in. Counts: settlements and refunds, each one row; sums are net."""

    schema_version = fields.String(required=True, validate=validate.Equal(VERSION))
    statement_no = fields.String(required=True, validate=validate.Length(1, 40))
    statement_type = fields.String(required=True, validate=validate.OneOf(("day", "month")))
    fixmedins_code = fields.String(required=True, validate=validate.Length(equal=12))
    insutype = fields.String(required=True, validate=validate.Length(1, 6))
    clr_type = fields.String(required=True, validate=validate.Length(1, 6))
    setl_optins = fields.String(required=True, validate=validate.Length(1, 6))
    stmt_begndate = Day(required=True)
    stmt_enddate = Day(required=True)
    fixmedins_setl_cnt = fields.Integer(required=True, validate=validate.Range(0))
    refd_setl_cnt = fields.Integer(required=True, validate=validate.Range(0))
    medfee_sumamt = Amount()
    fund_pay_sumamt = Amount()
    acct_pay = Amount()
    psn_cash_pay = Amount()
    hosp_part_amt = Amount()


class StatementOut(Schema):
    """What the centre says of a statement."""

    class Meta:
        unknown = EXCLUDE

    statement_no = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    handover_no = fields.String(required=True, allow_none=True)


class Refusal(Schema):
    """Why the centre refuses."""

    class Meta:
        unknown = EXCLUDE

    code = fields.String(required=True)
    message = fields.String(required=True)
