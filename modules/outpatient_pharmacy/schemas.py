"""The wire of the outpatient pharmacies."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

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


class CountsOut(Schema):
    """How many wait, and how many were dispensed today."""

    charged = fields.Integer()
    dispensed = fields.Integer()


class QueueOut(Schema):
    """The queue."""

    items = fields.List(fields.Nested(QueueItemOut))
    counts = fields.Nested(CountsOut)


class FindQuery(Schema):
    """A scanned prescription number."""

    number = Text(required=True, min=1, max=32)


class FoundOut(Schema):
    """The prescription found."""

    id = fields.Integer()


class DispensedQuery(Schema):
    """Dispensed prescriptions: the one with this number, or those of a person."""

    number = Text(load_default=None, min=1, max=32)
    person_id = QueryId(load_default=None)

    @validates_schema
    def _one(self, data: dict[str, Any], **_: Any) -> None:
        if (data["number"] is None) == (data["person_id"] is None):
            raise ValidationError("请输入处方号或选择病人", "number")


class DispensedItemOut(Schema):
    """A dispensed prescription."""

    id = fields.Integer()
    number = fields.String()
    kind = fields.String()
    state = fields.String()
    name = fields.String()
    outpatient_no = fields.String()
    doctor_name = fields.String()
    changed_by_name = fields.String()
    dispensed_at = fields.DateTime()


class DispensedOut(Schema):
    """Dispensed prescriptions, latest first."""

    items = fields.List(fields.Nested(DispensedItemOut))


class BatchOut(Schema):
    """A batch to take, or taken (negative: returned)."""

    lot_no = fields.String()
    expiry = fields.Date()
    quantity = QuantityField()
    quantity_text = fields.String()
    returned = fields.Boolean()


class LineOut(Schema):
    """A drug of a prescription; ``returnable`` and ``refunded`` in smallest units, ``returnable_units`` as charged."""

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
    quantity_text = fields.String()
    returnable = QuantityField()
    returnable_units = QuantityField()
    returnable_text = fields.String()
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
    """Which store's stock; ``q`` by name, pinyin, wubi, code; ``expiring_days`` from today, 0: expired."""

    store_id = QueryId(required=True)
    q = Text(load_default="", max=50)
    expiring_days = fields.Integer(load_default=None, validate=validate.Range(0, 3650, error="天数应在 0 至 3650 之间"))


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
    pack_cost = PriceField()
    on_hand = QuantityField()
    reserved = QuantityField()
    free = QuantityField()
    on_hand_text = fields.String()
    reserved_text = fields.String()
    free_text = fields.String()
    days_left = fields.Integer()


class StockOut(Schema):
    """Stock of a store."""

    items = fields.List(fields.Nested(StockItemOut))
    more = fields.Boolean()


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
