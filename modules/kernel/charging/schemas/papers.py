"""Wire of paper exchange and of the reconciliation of electronic invoices."""

from __future__ import annotations

from marshmallow import Schema, fields

from his_server.wire import Choice, Day, MoneyField, PageQuery, Text, paged


class VoidPaperIn(Schema):
    """Why a paper is taken back."""

    reason = Text(required=True, min=1, max=100)


class PaperOut(Schema):
    """A paper that an electronic invoice was exchanged for."""

    id = fields.Integer()
    invoice_id = fields.Integer()
    state = fields.String()
    code = fields.String()
    paper_number = fields.String()
    message = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)
    made_by_name = fields.String()
    made_at = fields.DateTime()
    voided_by_name = fields.String(allow_none=True)
    voided_at = fields.DateTime(allow_none=True)


class PapersOut(Schema):
    """All papers of an invoice, newest first."""

    items = fields.List(fields.Nested(PaperOut))


class CheckIn(Schema):
    """Which business day to compare with the platform."""

    day = Day(required=True)


class ChecksQuery(PageQuery):
    """Compared days, newest first."""


class CheckOut(Schema):
    """A business day's invoices, ours beside the platform's."""

    id = fields.Integer()
    day = Day()
    state = fields.String()
    message = fields.String(allow_none=True)
    ours_issued = fields.Integer()
    ours_amount = MoneyField()
    ours_red = fields.Integer()
    ours_red_amount = MoneyField()
    theirs_issued = fields.Integer()
    theirs_amount = MoneyField()
    theirs_red = fields.Integer()
    theirs_red_amount = MoneyField()
    open = fields.Integer(metadata={"description": "differences that nobody has settled"})
    checked_at = fields.DateTime()


ChecksOut = paged(CheckOut)


class DifferencesQuery(PageQuery):
    """Differences of a day, or all open ones."""

    day = Day(load_default=None)
    state = Choice("open", "settled", load_default=None)


class DifferenceOut(Schema):
    """An invoice that one side has, or has otherwise."""

    id = fields.Integer()
    day = Day()
    kind = fields.String()
    colour = fields.String()
    invoice_id = fields.Integer(allow_none=True)
    bus_no = fields.String()
    code = fields.String()
    invoice_number = fields.String()
    ours = MoneyField(allow_none=True)
    theirs = MoneyField(allow_none=True)
    state = fields.String()
    decision = fields.String(allow_none=True)
    decided_by_name = fields.String(allow_none=True)
    decided_at = fields.DateTime(allow_none=True)


DifferencesOut = paged(DifferenceOut)


class SettleDifferenceIn(Schema):
    """What was found out, or that the platform shall be asked (``ask``)."""

    ask = fields.Boolean(load_default=False)
    reason = Text(load_default="", max=200)
