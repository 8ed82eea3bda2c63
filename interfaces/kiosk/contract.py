"""What kiosks send and get, version 1 (N2; facts: our-contracts, C3). Amounts go by the insurer's own names."""

from __future__ import annotations

from marshmallow import Schema, fields

from his_server.wire import Choice, Id, MoneyField, Text


class CredentialIn(Schema):
    """What the patient shows: an electronic credential, a card (with ``card_sn``), or the ID number. Never stored."""

    cert_type = Choice("ecode", "card", "id_no", required=True)
    cert_no = Text(required=True, min=6, max=64)
    card_sn = Text(load_default="", max=32)
    name = Text(load_default="", max=50)


class QuoteIn(Schema):
    """Which settlement (the number on the voucher), and whose credential."""

    settlement_no = Text(required=True, max=32)
    credential = fields.Nested(CredentialIn, required=True)
    acct_used_flag = fields.Boolean(load_default=True)


class ConvertIn(Schema):
    """The patient agreed to ``return_amount`` as it was shown."""

    conversion_id = Id(required=True)
    return_amount = MoneyField(required=True, low="0")
    credential = fields.Nested(CredentialIn, required=True)


class ReturnOut(Schema):
    """What goes back to a payment of the patient's: ``state`` planned, created, calling, unknown, confirmed, refused."""

    method = fields.String()
    amount = MoneyField()
    state = fields.String()


class ConversionOut(Schema):
    """A conversion: ``state`` quoted, settling (ask again later), done, ended (the bill stays self-paid)."""

    conversion_id = fields.Integer()
    settlement_no = fields.String()
    state = fields.String()
    message = fields.String(allow_none=True)
    insutype = fields.String()
    medfee_sumamt = MoneyField()
    fund_pay_sumamt = MoneyField()
    acct_pay = MoneyField()
    psn_cash_pay = MoneyField()
    hosp_part_amt = MoneyField()
    balc = MoneyField(allow_none=True)
    return_amount = MoneyField()
    returns = fields.List(fields.Nested(ReturnOut))
    receipt_numbers = fields.List(fields.String())
