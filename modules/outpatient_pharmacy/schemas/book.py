"""The wire of the controlled-drug book and of the destruction of paper prescriptions."""

from __future__ import annotations

from datetime import date

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Day, Id, QuantityField, QueryId, Text


class BookQuery(Schema):
    """The book of one controlled drug in one store over business days, both included."""

    store_id = QueryId(required=True)
    drug_id = QueryId(required=True)
    start = Day(data_key="from", required=True)
    end = Day(data_key="to", required=True)


class BookRowOut(Schema):
    """An entry: batch, in or out, the batch's and the drug's balance after it, and who had it in hands."""

    id = fields.Integer()
    at = fields.DateTime()
    day = Day()
    document = fields.String()
    number = fields.String()
    lot_no = fields.String()
    expiry = Day()
    incoming = QuantityField(allow_none=True)
    outgoing = QuantityField(allow_none=True)
    balance = QuantityField()
    batch_balance = QuantityField()
    patient = fields.String()
    outpatient_no = fields.String()
    reviewer = fields.String()
    dispenser = fields.String()
    checker = fields.String()
    empties = fields.String()
    line_id = fields.Integer(allow_none=True)
    empties_due = QuantityField()


class BookOut(Schema):
    """The book with what stood before and after it."""

    drug = fields.String()
    unit = fields.String()
    opening = QuantityField()
    closing = QuantityField()
    items = fields.List(fields.Nested(BookRowOut))


class BookDrugsQuery(Schema):
    """Controlled drugs of a store, searched as everywhere."""

    store_id = QueryId(required=True)
    q = Text(load_default="", max=50)


class BookDrugOut(Schema):
    """A controlled drug and how much a store has."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    spec = fields.String()
    control = fields.String()
    on_hand = QuantityField()
    base_unit = fields.String()


class BookDrugsOut(Schema):
    """Controlled drugs."""

    items = fields.List(fields.Nested(BookDrugOut))


class EmptiesIn(Schema):
    """Empty ampoules, used patches or residue of a handed-out line that came back."""

    line_id = Id(required=True)
    kind = Choice("ampoule", "patch", "residue", required=True)
    quantity = QuantityField(required=True, positive=True)
    brought_by = Text(required=True, min=1, max=60)
    witness = Text(required=True, min=1, max=60)


class EmptiesOut(Schema):
    """The receipt for it."""

    id = fields.Integer()
    number = fields.String()


class DestructionIn(Schema):
    """Paper prescriptions of a kind issued up to a day."""

    kind = Choice("普通", "急诊", "儿科", "中药", "精二", "毒性", "麻精一", required=True)
    until = Day(required=True, validate=validate.Range(date(1990, 1, 1), date(2100, 1, 1), error="日期有误"))
    approved_by = Text(required=True, min=1, max=60)
    witness = Text(required=True, min=1, max=60)


class DestructionOut(Schema):
    """A recorded destruction."""

    id = fields.Integer()
    number = fields.String()
    kind = fields.String()
    from_day = Day()
    until_day = Day()
    prescriptions = fields.Integer()
    approved_by = fields.String()
    witness = fields.String()
    done_at = fields.DateTime()
    done_by_name = fields.String()


class DestructionsOut(Schema):
    """Recorded destructions, and up to which day each kind may be destroyed now."""

    items = fields.List(fields.Nested(DestructionOut))
    allowed = fields.Dict(keys=fields.String(), values=Day())
