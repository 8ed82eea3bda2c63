"""The wire of acting for a ward pharmacy."""

from __future__ import annotations

from marshmallow import Schema, fields

from his_server.wire import Choice, Id, QuantityField, QueryId
from modules.outpatient_pharmacy.schemas.counter import CodesBody


class WardStoreQuery(Schema):
    """From which emergency store one acts."""

    store_id = QueryId(required=True)


class WardReturnsQuery(WardStoreQuery):
    """Slips that wait, or what was taken in today."""

    state = Choice("waiting", "done", load_default="waiting")


class WardReturnOut(Schema):
    """A ward's return slip. ``open``: the ward pharmacy is within its hours; ``moved``: the patient was transferred."""

    id = fields.Integer()
    number = fields.String()
    state = fields.String()
    reason = fields.String()
    name = fields.String()
    stay_number = fields.String()
    bed = fields.String()
    asked_ward = fields.String()
    asked_at = fields.DateTime()
    asked_by_name = fields.String()
    present_ward = fields.String()
    store_id = fields.Integer(allow_none=True)
    store = fields.String()
    moved = fields.Boolean()
    open = fields.Boolean()
    drugs = fields.Integer()
    changed_at = fields.DateTime()
    changed_by_name = fields.String()


class WardCountsOut(Schema):
    """How many stand in each tab."""

    waiting = fields.Integer()
    done = fields.Integer()


class WardReturnsOut(Schema):
    """Slips; ``more``: there are further ones."""

    items = fields.List(fields.Nested(WardReturnOut))
    counts = fields.Nested(WardCountsOut)
    more = fields.Boolean()


class WardLineOut(Schema):
    """A drug that comes back."""

    id = fields.Integer()
    drug_id = fields.Integer()
    name = fields.String()
    spec = fields.String()
    control = fields.String()
    quantity = QuantityField()
    quantity_text = fields.String()


class TransferOut(Schema):
    """转科."""

    ward_from = fields.String()
    ward_to = fields.String()
    moved_at = fields.DateTime()


class WardReturnDetailOut(WardReturnOut):
    """A slip, whole."""

    lines = fields.List(fields.Nested(WardLineOut))
    transfers = fields.List(fields.Nested(TransferOut))
    acted_by_name = fields.String()
    acted_at = fields.DateTime(allow_none=True)


class WardTakeIn(CodesBody):
    """Take it in for the ward pharmacy ``store_id`` that the screen showed; ``line_id`` of the codes is the slip's."""

    acting_store_id = Id(required=True)
    store_id = Id(required=True)
