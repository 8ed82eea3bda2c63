"""The wire of the outpatient pharmacies."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Id, MoneyField, PriceField, QuantityField, QueryId, Text


class StoreOut(Schema):
    """A pharmacy."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    kind = fields.String()


class StoresOut(Schema):
    """The pharmacies."""

    items = fields.List(fields.Nested(StoreOut))


class QueueQuery(Schema):
    """Which store's queue: ``charged`` wait, ``dispensed`` were served today."""

    store_id = QueryId(required=True)
    state = Choice("charged", "dispensed", load_default="charged")


class QueueItemOut(Schema):
    """A prescription in the queue."""

    id = fields.Integer()
    number = fields.String()
    kind = fields.String()
    state = fields.String()
    name = fields.String()
    sex = fields.String()
    birth_date = fields.Date(allow_none=True)
    outpatient_no = fields.String()
    doctor_name = fields.String()
    lines = fields.Integer()
    charged_at = fields.DateTime(allow_none=True)
    dispensed_at = fields.DateTime(allow_none=True)


class QueueOut(Schema):
    """The queue."""

    items = fields.List(fields.Nested(QueueItemOut))


class FindQuery(Schema):
    """A scanned prescription number."""

    number = Text(required=True, min=1, max=32)


class FoundOut(Schema):
    """The prescription found."""

    id = fields.Integer()


class BatchOut(Schema):
    """A batch to take, or taken (negative: returned)."""

    lot_no = fields.String()
    expiry = fields.Date()
    quantity = QuantityField()


class LineOut(Schema):
    """A drug of a prescription; ``returnable`` and ``refunded`` in smallest units."""

    id = fields.Integer()
    drug_id = fields.Integer()
    name = fields.String()
    spec = fields.String()
    dose = QuantityField()
    dose_unit = fields.String()
    usage = fields.String()
    frequency = fields.String()
    days = fields.Integer()
    quantity = QuantityField()
    base_unit = fields.String()
    pack_unit = fields.String()
    pack_size = fields.Integer()
    unit = fields.String()
    factor = QuantityField()
    amount = MoneyField()
    note = fields.String()
    returnable = QuantityField()
    refunded = QuantityField()
    batches = fields.List(fields.Nested(BatchOut))


class PatientOut(Schema):
    """Whose prescription; allergies are what a pharmacist must see."""

    id = fields.Integer()
    name = fields.String()
    sex = fields.String()
    birth_date = fields.Date(allow_none=True)
    outpatient_no = fields.String()
    allergies = fields.String(allow_none=True)


class PrescriptionOut(Schema):
    """A prescription for the pharmacist."""

    id = fields.Integer()
    number = fields.String()
    kind = fields.String()
    state = fields.String()
    diagnosis = fields.String()
    doctor_name = fields.String()
    store_id = fields.Integer()
    issued_at = fields.DateTime()
    charged_at = fields.DateTime(allow_none=True)
    dispensed_at = fields.DateTime(allow_none=True)
    changed_by_name = fields.String()
    person = fields.Nested(PatientOut)
    lines = fields.List(fields.Nested(LineOut))


class ReturnLineIn(Schema):
    """How much of a line comes back, in smallest units."""

    line_id = Id(required=True)
    quantity = QuantityField(required=True, positive=True)


class ReturnIn(Schema):
    """Drugs taken back."""

    lines = fields.List(fields.Nested(ReturnLineIn), required=True,
                        validate=validate.Length(1, 50, error="请选择要退的药品"))
    reason = Text(required=True, min=2, max=200)


class ReturnOut(Schema):
    """The return document."""

    id = fields.Integer()
    number = fields.String()


class StockQuery(Schema):
    """Which store's stock; ``q`` by name, pinyin, wubi, code."""

    store_id = QueryId(required=True)
    q = Text(load_default="", max=50)


class StockItemOut(Schema):
    """A batch in a store."""

    id = fields.Integer()
    drug_id = fields.Integer()
    code = fields.String()
    name = fields.String()
    spec = fields.String()
    pack_unit = fields.String()
    pack_size = fields.Integer()
    base_unit = fields.String()
    lot_no = fields.String()
    expiry = fields.Date()
    cost = PriceField()
    on_hand = QuantityField()
    reserved = QuantityField()


class StockOut(Schema):
    """Stock of a store."""

    items = fields.List(fields.Nested(StockItemOut))


class StockInLine(Schema):
    """A batch that arrives; quantity in packs, cost per pack."""

    drug_id = Id(required=True)
    lot_no = Text(required=True, min=1, max=40)
    expiry = fields.Date(required=True)
    quantity = QuantityField(required=True, positive=True)
    pack_cost = PriceField(required=True, low="0")
    supplier = Text(load_default=None, allow_none=True, max=100)


class StockInIn(Schema):
    """Batches put into a store."""

    store_id = Id(required=True)
    lines = fields.List(fields.Nested(StockInLine), required=True,
                        validate=validate.Length(1, 500, error="请录入 1 至 500 行"))


class NumberOut(Schema):
    """A document number."""

    number = fields.String()
