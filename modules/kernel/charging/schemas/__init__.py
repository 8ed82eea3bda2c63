"""The wire of insurance, outside calls and electronic invoices."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Day, Id, MoneyField, PageQuery, QuantityField, QueryId, Text, paged
from modules.kernel.charging.ports import CHANNELS, Credential
from modules.kernel.charging.rules import Pay
from modules.kernel.patients.schemas import BriefOut

_some = validate.Length(1, 500, error="请选择 1 至 500 项")
_ten = validate.Length(max=10, error="最多 10 笔")


class CredentialIn(Schema):
    """What the patient shows; never stored or logged."""

    kind = Choice("ecode", "id_no", "card", "ecard", required=True)
    number = Text(required=True, min=6, max=64)
    serial = Text(load_default="", max=32)
    name = Text(load_default="", max=50)


def credential_of(given: dict[str, Any]) -> Credential:
    """The port's view of it."""
    return Credential(given["kind"], given["number"], given["serial"])


class InsuranceOut(Schema):
    """An insurance of a member."""

    kind = fields.String()
    name = fields.String()
    active = fields.Boolean()
    balance = MoneyField()
    area = fields.String()


class IdentifiedOut(Schema):
    """Whose credential it is: the insurer's view, masked, and our files; or a form for a new one."""

    name = fields.String()
    masked_id = fields.String()
    insurances = fields.List(fields.Nested(InsuranceOut))
    items = fields.List(fields.Nested(BriefOut))
    linked = fields.Boolean()
    form = fields.Dict(keys=fields.String())


class LinkIn(Schema):
    """Link a credential's member number to a person."""

    person_id = Id(required=True)
    credential = fields.Nested(CredentialIn, required=True)


class PreviewIn(Schema):
    """Which lines to work out with the insurer. ``insurance``: one kind of several; empty = the first in force."""

    person_id = Id(required=True)
    line_ids = fields.List(Id(), required=True, validate=_some)
    credential = fields.Nested(CredentialIn, required=True)
    insurance = Text(load_default=None, allow_none=True, max=6)
    use_account = fields.Boolean(load_default=True)


class OwnPaymentIn(Schema):
    """The patient's own payment: ``covers`` is the part of the bill it pays, before cash is rounded to the jiao."""

    method = Choice("cash", *CHANNELS, required=True)
    covers = MoneyField(required=True, positive=True)
    intent_id = Id(load_default=None, allow_none=True)
    tendered = MoneyField(load_default=None, allow_none=True, low="0")


class SettleClaimIn(Schema):
    """Settle a previewed claim; the payments are those of the patient's own part."""

    credential = fields.Nested(CredentialIn, required=True)
    payments = fields.List(fields.Nested(OwnPaymentIn), load_default=list, validate=_ten)


def pays(rows: list[dict[str, Any]]) -> list[Pay]:
    """The rules' view of the payments."""
    return [Pay(r["method"], r["covers"], r["intent_id"], r["tendered"]) for r in rows]


class SplitOut(Schema):
    """Who pays how much."""

    total = MoneyField()
    fund = MoneyField()
    account = MoneyField()
    cash = MoneyField()
    hospital = MoneyField()
    own_expense = MoneyField()
    over_limit = MoneyField()
    self_first = MoneyField()
    in_scope = MoneyField()
    balance = MoneyField(allow_none=True)


class ClaimOut(SplitOut):
    """A claim: who pays how much, and how far it is."""

    id = fields.Integer()
    state = fields.String()
    message = fields.String(allow_none=True)
    number = fields.String()
    insurance = fields.String()
    shared_account = MoneyField()
    settlement_id = fields.Integer(allow_none=True)
    settlement_number = fields.String(allow_none=True)
    receipt_numbers = fields.List(fields.String())
    change = MoneyField(allow_none=True)


class QuoteIn(Schema):
    """A self-paid settlement to be worked out with the insurer (自费转医保), and what its patient shows."""

    settlement_id = Id(required=True)
    credential = fields.Nested(CredentialIn, required=True)
    insurance = Text(load_default=None, allow_none=True, max=6)
    use_account = fields.Boolean(load_default=True)


class ConvertIn(Schema):
    """The patient consents to what was shown."""

    credential = fields.Nested(CredentialIn, required=True)


class ConversionReturnOut(Schema):
    """What goes back to a payment: ``state`` planned, paid (cash), or how far the channel's return is."""

    method = fields.String()
    amount = MoneyField()
    state = fields.String()


class ConversionOut(SplitOut):
    """A conversion: who pays how much, ``back`` what the patient gets back, and how far it is."""

    id = fields.Integer()
    settlement_id = fields.Integer()
    of_number = fields.String()
    state = fields.String()
    message = fields.String(allow_none=True)
    insurance = fields.String()
    back = MoneyField()
    returns = fields.List(fields.Nested(ConversionReturnOut))
    booked_id = fields.Integer(allow_none=True)
    number = fields.String(allow_none=True)
    receipt_numbers = fields.List(fields.String())
    opened_by_name = fields.String()
    opened_at = fields.DateTime()


class MobileOfferIn(PreviewIn):
    """Which lines to put on their payer's phone, whose electronic credential was shown."""


class MobilePayIn(Schema):
    """The payer's authorisation (payAuthNo); it is never stored."""

    authorisation = Text(required=True, min=1, max=40)


class MobileOrderOut(Schema):
    """An order that waits for its payer: ``url`` is the page they pay on."""

    claim_id = fields.Integer()
    number = fields.String()
    state = fields.String()
    total = MoneyField()
    url = fields.String()
    message = fields.String()


class MobileOrdersQuery(PageQuery):
    """Which mobile orders; ``open``: only those not at their end."""

    person_id = QueryId(load_default=None)
    open = fields.Boolean(load_default=False)


class MobileOrderRow(Schema):
    """A mobile order in a list."""

    id = fields.Integer(metadata={"description": "the claim"})
    intent_id = fields.Integer()
    number = fields.String()
    state = fields.String()
    message = fields.String(allow_none=True)
    person_id = fields.Integer()
    name = fields.String()
    outpatient_no = fields.String()
    total = MoneyField()
    fund = MoneyField()
    account = MoneyField()
    cash = MoneyField()
    made_at = fields.DateTime()
    changed_at = fields.DateTime()
    settlement_number = fields.String(allow_none=True)


MobileOrdersOut = paged(MobileOrderRow)


class WorklistQuery(PageQuery):
    """Which undecided calls."""

    purpose = Choice("pay", "refund", "insure", "uninsure", "issue", "red", "paper", "unpaper", load_default=None)
    mine = fields.Boolean(load_default=False)


class IntentItemOut(Schema):
    """A call outside that somebody has to see to."""

    id = fields.Integer()
    number = fields.String()
    purpose = fields.String()
    channel = fields.String()
    amount = MoneyField()
    state = fields.String()
    message = fields.String(allow_none=True)
    tries = fields.Integer()
    person_id = fields.Integer()
    name = fields.String()
    outpatient_no = fields.String()
    created_at = fields.DateTime()
    created_by_name = fields.String()
    owner_name = fields.String(allow_none=True)
    changed_at = fields.DateTime()
    way_on = fields.String()


WorklistOut = paged(IntentItemOut)


class TryOut(Schema):
    """What was tried."""

    act = fields.String()
    at = fields.DateTime()
    outcome = fields.String()
    message = fields.String(allow_none=True)
    by_name = fields.String()


class IntentDetailOut(IntentItemOut):
    """A call with everything that was tried."""

    settlement_id = fields.Integer(allow_none=True)
    peer_number = fields.String(allow_none=True)
    decision = fields.String(allow_none=True)
    decided_by_name = fields.String(allow_none=True)
    decided_at = fields.DateTime(allow_none=True)
    attempts = fields.List(fields.Nested(TryOut))


class DecideIn(Schema):
    """What was found out by other means, and how."""

    outcome = Choice("confirmed", "refused", "again", required=True)
    reason = Text(required=True, min=4, max=200)


class ChannelOut(Schema):
    """A way to pay that is open here."""

    code = fields.String()
    name = fields.String()


class ChannelsOut(Schema):
    """The ways to pay that are open here."""

    items = fields.List(fields.Nested(ChannelOut))
    insurance = fields.Boolean()


class RefundLineIn(Schema):
    """A quantity of a line, in its charged unit."""

    line_id = Id(required=True)
    quantity = QuantityField(required=True, positive=True)


class ReturnIn(Schema):
    """How much goes back to a payment of the patient's own; ``as_cash`` pays it out in cash (needs a permission)."""

    payment_id = Id(required=True)
    amount = MoneyField(required=True, positive=True)
    as_cash = fields.Boolean(load_default=False)


class OpenCaseIn(Schema):
    """A refund of an insured settlement by line and quantity."""

    settlement_id = Id(required=True)
    lines = fields.List(fields.Nested(RefundLineIn), required=True, validate=_some)
    reason = Text(required=True, min=2, max=200)
    returns = fields.List(fields.Nested(ReturnIn), load_default=list, validate=_ten)


class CaseQuery(Schema):
    """Whose refund."""

    settlement_id = QueryId(required=True)


class CollectIn(Schema):
    """The patient pays what the rest costs more than before; ``tendered`` what was handed over."""

    tendered = MoneyField(load_default=None, allow_none=True, low="0")


class CaseOut(Schema):
    """A refund of an insured settlement on its way."""

    id = fields.Integer()
    settlement_id = fields.Integer()
    state = fields.String()
    message = fields.String(allow_none=True)
    due = MoneyField(allow_none=True)
    refund_id = fields.Integer(allow_none=True)
    number = fields.String(allow_none=True)
    total = MoneyField(allow_none=True)
    cash = MoneyField(allow_none=True)
    insurance = MoneyField(allow_none=True)
    intent_ids = fields.List(fields.Integer())
    opened_by_name = fields.String()
    opened_at = fields.DateTime()


class CasesOut(Schema):
    """Refunds of a settlement."""

    items = fields.List(fields.Nested(CaseOut))


class InvoicesQuery(PageQuery):
    """Which electronic invoices."""

    person_id = QueryId(load_default=None)
    number = Text(load_default="", max=20)
    cashier_id = QueryId(load_default=None)
    start = Day(load_default=None)
    end = Day(load_default=None)
    state = Choice("waiting", "issued", "red", "failed", load_default=None)


class InvoiceItemOut(Schema):
    """An electronic invoice in the list; its picture is fetched apart."""

    id = fields.Integer()
    settlement_id = fields.Integer()
    settlement_number = fields.String()
    colour = fields.String()
    kind = fields.String()
    state = fields.String()
    amount = MoneyField()
    code = fields.String(allow_none=True)
    invoice_number = fields.String(allow_none=True)
    check_code = fields.String(allow_none=True)
    original_id = fields.Integer(allow_none=True)
    reason = fields.String(allow_none=True)
    name = fields.String()
    outpatient_no = fields.String()
    cashier_name = fields.String()
    business_date = Day()
    made_at = fields.DateTime()
    issued_at = fields.DateTime(allow_none=True)
    intent_id = fields.Integer()
    intent_state = fields.String()
    message = fields.String(allow_none=True)


InvoicesOut = paged(InvoiceItemOut)


class CashierOut(Schema):
    """Somebody who took money: a person or a channel."""

    id = fields.Integer()
    name = fields.String()


class CashiersOut(Schema):
    """Everybody who took money."""

    items = fields.List(fields.Nested(CashierOut))


class DepositsQuery(PageQuery):
    """Which old deposits."""

    state = Choice("open", "cleared", load_default="open")


class DepositOut(Schema):
    """A balance of the old system."""

    id = fields.Integer()
    source = fields.String()
    source_number = fields.String()
    person_id = fields.Integer()
    name = fields.String()
    outpatient_no = fields.String()
    balance = MoneyField()
    state = fields.String()
    method = fields.String(allow_none=True)
    receiver = fields.String(allow_none=True)
    cleared_by_name = fields.String(allow_none=True)
    cleared_at = fields.DateTime(allow_none=True)


class DepositsOut(Schema):
    """A page of old deposits, and what is left of all of them."""

    items = fields.List(fields.Nested(DepositOut))
    next = fields.String(allow_none=True)
    left = MoneyField()
    count = fields.Integer()


class ClearIn(Schema):
    """How a balance went back to its person."""

    method = Choice("cash", "transfer", required=True)
    receiver = Text(required=True, min=2, max=100)
