"""At the window: charging, registration, refunds, settlements, payments."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from marshmallow import Schema, fields, validate

from his_server.wire import (
    Choice,
    Day,
    Id,
    MoneyField,
    PageQuery,
    PriceField,
    QuantityField,
    QueryId,
    Text,
    paged,
)
from modules.kernel.charging.ports import CHANNELS
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.schemas import RefundLineIn, ReturnIn
from modules.kernel.charging.service import Returns
from modules.kernel.patients.schemas import WhoOut

METHODS = ("cash", *CHANNELS)
_some = validate.Length(1, 500, error="请选择 1 至 500 项")


class PaymentIn(Schema):
    """A payment: ``covers`` is the part of the bill it pays, before cash is rounded to the jiao."""

    method = Choice(*METHODS, required=True)
    covers = MoneyField(required=True, positive=True)
    intent_id = Id(load_default=None, allow_none=True)
    tendered = MoneyField(load_default=None, allow_none=True, low="0")


class SettleIn(Schema):
    """What to settle and how it is paid; ``expected_total`` is what the screen showed."""

    person_id = Id(required=True)
    line_ids = fields.List(Id(), required=True, validate=_some)
    payments = fields.List(fields.Nested(PaymentIn), load_default=list,
                           validate=validate.Length(max=10, error="最多 10 笔支付"))
    expected_total = MoneyField(required=True, low="0")


def pays(rows: list[dict[str, Any]]) -> list[Pay]:
    """The rules' view of the payments."""
    return [Pay(r["method"], r["covers"], r["intent_id"], r["tendered"]) for r in rows]


class SettledOut(Schema):
    """What a settlement made."""

    id = fields.Integer()
    number = fields.String()
    total = MoneyField()
    receipt_numbers = fields.List(fields.String())
    change = MoneyField()


class UnpaidQuery(Schema):
    """Whose unpaid lines."""

    person_id = QueryId(required=True)


class UnpaidLineOut(Schema):
    """An open charge line."""

    id = fields.Integer()
    encounter_id = fields.Integer()
    visit_no = fields.String()
    source = fields.String()
    source_id = fields.Integer()
    kind = fields.String()
    code = fields.String()
    name = fields.String()
    spec = fields.String(allow_none=True)
    unit = fields.String()
    price = PriceField()
    quantity = QuantityField()
    amount = MoneyField()
    fiscal_category = fields.String()
    insurance_level = fields.String(allow_none=True)
    department = fields.String(allow_none=True)
    doctor = fields.String(allow_none=True)
    created_at = fields.DateTime()


class UnpaidOut(Schema):
    """A person's unpaid lines."""

    lines = fields.List(fields.Nested(UnpaidLineOut))
    total = MoneyField()


class RefundIn(Schema):
    """A refund by line and quantity; without ``returns`` the money goes back the way it came."""

    lines = fields.List(fields.Nested(RefundLineIn), required=True, validate=_some)
    reason = Text(required=True, min=2, max=200)
    returns = fields.List(fields.Nested(ReturnIn), load_default=list,
                          validate=validate.Length(max=10, error="最多 10 笔"))


def returns_of(rows: list[dict[str, Any]]) -> Returns | None:
    """The ledger's view of the returns; None = the way it came."""
    if not rows:
        return None
    amounts: dict[int, Decimal] = {}
    for row in rows:
        amounts[row["payment_id"]] = amounts.get(row["payment_id"], Decimal(0)) + row["amount"]
    return Returns(amounts, frozenset(r["payment_id"] for r in rows if r["as_cash"]))


class RefundPreviewIn(Schema):
    """Quantities of lines that might be refunded."""

    lines = fields.List(fields.Nested(RefundLineIn), required=True, validate=_some)


class RefundPreviewLineOut(Schema):
    """What a line would return."""

    line_id = fields.Integer()
    amount = MoneyField()


class RefundPreviewReturnOut(Schema):
    """What would go back to a payment: ``covers`` of the bill, ``amount`` in money (cash to the jiao)."""

    payment_id = fields.Integer()
    method = fields.String()
    covers = MoneyField()
    amount = MoneyField()


class DeclinedOut(Schema):
    """A refund that was not approved: who said so, when and why."""

    by = fields.String()
    at = fields.DateTime()
    note = fields.String(allow_none=True)


class RefundPreviewOut(Schema):
    """What a refund would come to. ``approval``: not_needed, needed, requested or approved; ``declined``: the latest refusal
    of one. ``insured``: the insurer paid a part, and says only when it has reversed it what goes where."""

    total = MoneyField()
    insured = fields.Boolean()
    approval = fields.String()
    declined = fields.Nested(DeclinedOut, allow_none=True)
    lines = fields.List(fields.Nested(RefundPreviewLineOut))
    returns = fields.List(fields.Nested(RefundPreviewReturnOut))


class RefundedOut(Schema):
    """What a refund made. ``intent_ids`` are electronic returns on their way."""

    id = fields.Integer(allow_none=True)
    number = fields.String(allow_none=True)
    total = MoneyField()
    cash = MoneyField()
    intent_ids = fields.List(fields.Integer())


class SettlementsQuery(PageQuery):
    """Which settlements."""

    person_id = QueryId(load_default=None)
    shift_id = QueryId(load_default=None)
    day = Day(load_default=None)
    number = Text(load_default="", max=32)


class SettlementItemOut(Schema):
    """A settlement in a list."""

    id = fields.Integer()
    number = fields.String()
    kind = fields.String()
    total = MoneyField()
    channel = fields.String()
    cashier_name = fields.String()
    settled_at = fields.DateTime()
    reverses_id = fields.Integer(allow_none=True)
    person_id = fields.Integer()
    name = fields.String()
    outpatient_no = fields.String()
    reason = fields.String(allow_none=True)


SettlementsOut = paged(SettlementItemOut)


class LineOut(Schema):
    """A settled line."""

    id = fields.Integer()
    source = fields.String()
    source_id = fields.Integer()
    kind = fields.String()
    code = fields.String()
    name = fields.String()
    spec = fields.String(allow_none=True)
    unit = fields.String()
    price = PriceField()
    quantity = QuantityField()
    amount = MoneyField()
    fiscal_category = fields.String()
    department = fields.String(allow_none=True)
    receipt_id = fields.Integer()
    reverses_line_id = fields.Integer(allow_none=True)
    performed = QuantityField(allow_none=True)
    refunded = QuantityField(allow_none=True)
    refundable = QuantityField(allow_none=True)


class ReceiptOut(Schema):
    """A receipt."""

    id = fields.Integer()
    number = fields.String()
    colour = fields.String()
    title = fields.String()
    amount = MoneyField()
    reverses_receipt_id = fields.Integer(allow_none=True)
    root_id = fields.Integer()


class PaymentOut(Schema):
    """A payment; ``left`` can still be returned to it."""

    id = fields.Integer()
    method = fields.String()
    amount = MoneyField()
    tendered = MoneyField(allow_none=True)
    left = MoneyField(allow_none=True)
    intent_id = fields.Integer(allow_none=True)
    intent_state = fields.String(allow_none=True)
    message = fields.String(allow_none=True)


class OwingRow(WhoOut):
    """Somebody who owes: how many lines, how much, since when the newest stands."""

    lines = fields.Integer()
    total = MoneyField()
    since = fields.DateTime()


class OwingOut(Schema):
    """Who owes; ``more``: there are further ones."""

    items = fields.List(fields.Nested(OwingRow))
    more = fields.Boolean()


class RefundItemOut(Schema):
    """A refund of a settlement."""

    id = fields.Integer()
    number = fields.String()
    kind = fields.String()
    total = MoneyField()
    settled_at = fields.DateTime()
    cashier_name = fields.String()
    reason = fields.String(allow_none=True)


class PickupOut(Schema):
    """Where a prescription of the settlement is handed out (M7.1)."""

    prescription_id = fields.Integer()
    state = fields.String()
    store = fields.String()
    window = fields.String(allow_none=True)


class DrugReturnBrief(Schema):
    """A return of drugs of the settlement: the pharmacy's document and its one state."""

    id = fields.Integer()
    number = fields.String()
    state = fields.String()
    amount = MoneyField()


class SettlementOut(Schema):
    """A settlement, whole."""

    id = fields.Integer()
    number = fields.String()
    kind = fields.String()
    total = MoneyField()
    channel = fields.String()
    cashier_name = fields.String()
    settled_at = fields.DateTime()
    business_date = Day()
    shift_id = fields.Integer()
    reverses_id = fields.Integer(allow_none=True)
    reason = fields.String(allow_none=True)
    person = fields.Nested(WhoOut)
    lines = fields.List(fields.Nested(LineOut))
    receipts = fields.List(fields.Nested(ReceiptOut))
    payments = fields.List(fields.Nested(PaymentOut))
    refunds = fields.List(fields.Nested(RefundItemOut))
    prints = fields.Integer()
    insured = fields.Boolean()
    pickups = fields.List(fields.Nested(PickupOut))
    drug_returns = fields.List(fields.Nested(DrugReturnBrief))


class SupplementLineIn(Schema):
    """An item to charge without an order."""

    item_id = Id(required=True)
    quantity = QuantityField(required=True, positive=True)


class SupplementIn(Schema):
    """Supplementary charges of a visit."""

    encounter_id = Id(required=True)
    performing_department_id = Id(required=True)
    lines = fields.List(fields.Nested(SupplementLineIn), required=True, validate=_some)


class SupplementOut(Schema):
    """The new lines."""

    line_ids = fields.List(fields.Integer())


class IntentIn(Schema):
    """A payment by the payer's code. The code is never stored or logged."""

    person_id = Id(required=True)
    channel = Choice(*CHANNELS, required=True)
    amount = MoneyField(required=True, positive=True)
    auth_code = fields.String(required=True, validate=validate.Regexp(r"^[0-9]{16,32}\Z", error="付款码应为 16 至 32 位数字"))


class IntentOut(Schema):
    """What became of a payment."""

    id = fields.Integer()
    number = fields.String()
    purpose = fields.String()
    channel = fields.String()
    amount = MoneyField()
    state = fields.String()
    message = fields.String(allow_none=True)
    created_at = fields.DateTime()


class IntentsQuery(Schema):
    """Whose open payments through a channel."""

    person_id = QueryId(required=True)


class IntentsOut(Schema):
    """Payments through a channel that are neither used nor decided."""

    items = fields.List(fields.Nested(IntentOut))
