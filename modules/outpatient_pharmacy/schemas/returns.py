"""The wire of returns."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Id, MoneyField, QuantityField, QueryId, Text
from modules.outpatient_pharmacy.schemas.counter import CodesBody


class ReturnLineIn(Schema):
    """How much of a line comes back, in smallest units."""

    line_id = Id(required=True)
    quantity = QuantityField(required=True, positive=True)


class ReturnIn(CodesBody):
    """Drugs taken back."""

    lines = fields.List(fields.Nested(ReturnLineIn), required=True,
                        validate=validate.Length(1, 50, error="请选择要退的药品"))
    reason = Text(required=True, min=2, max=200)


class ReturnOut(Schema):
    """A return and where it stands."""

    id = fields.Integer()
    number = fields.String()
    prescription_id = fields.Integer()
    prescription = fields.String()
    store_id = fields.Integer()
    name = fields.String()
    outpatient_no = fields.String()
    state = fields.String()
    reason = fields.String()
    amount = MoneyField()
    controlled = fields.Boolean()
    automatic = fields.Boolean()
    requested_at = fields.DateTime()
    requested_by_name = fields.String()
    reviewed_at = fields.DateTime(allow_none=True)
    reviewed_by_name = fields.String()
    review_note = fields.String()
    accepted_at = fields.DateTime(allow_none=True)
    accepted_by_name = fields.String()
    refunded_at = fields.DateTime(allow_none=True)
    rereviewed_at = fields.DateTime(allow_none=True)
    rereviewed_by_name = fields.String()
    rereview = fields.String()
    rereview_note = fields.String()
    cancel_reason = fields.String(allow_none=True)


class ReturnsQuery(Schema):
    """Which store's returns, in which tab."""

    store_id = QueryId(required=True)
    state = Choice("requested", "approved", "taken", "morning", "done", load_default="requested")


class ReturnCountsOut(Schema):
    """How many stand in each tab."""

    requested = fields.Integer()
    approved = fields.Integer()
    taken = fields.Integer()
    morning = fields.Integer()


class ReturnsOut(Schema):
    """Returns of a store."""

    items = fields.List(fields.Nested(ReturnOut))
    counts = fields.Nested(ReturnCountsOut)


class ReturnLineOut(Schema):
    """A drug of a return."""

    id = fields.Integer()
    prescription_line_id = fields.Integer()
    name = fields.String()
    spec = fields.String(allow_none=True)
    control = fields.String()
    quantity = QuantityField()
    refunded = QuantityField()
    quantity_text = fields.String()


class ReturnDetailOut(ReturnOut):
    """A return with its drugs."""

    lines = fields.List(fields.Nested(ReturnLineOut))


class DecideReturnIn(Schema):
    """Approve or decline; a refusal says why."""

    approve = fields.Boolean(required=True)
    note = Text(load_default="", max=200)


class RereviewIn(Schema):
    """The morning's judgement; an objection says what was found."""

    agree = fields.Boolean(required=True)
    note = Text(load_default="", max=200)


