"""The wire of the outpatient pharmacies."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from his_server.wire import Choice, Day, Id, MoneyField, QuantityField, QueryId, Text
from modules.kernel.patients.schemas import PatientOut, ShownOut


class StoreOut(Schema):
    """A pharmacy."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    kind = fields.String()


class StoresQuery(Schema):
    """``wards``: the ward pharmacies too."""

    wards = fields.Boolean(load_default=False)


class StoresOut(Schema):
    """The pharmacies."""

    items = fields.List(fields.Nested(StoreOut))


class QueueQuery(Schema):
    """Which store's queue: ``charged`` all that wait, ``review`` those to review, ``ready`` those reviewed, ``dispensed``
    today's; of one window where it is named."""

    store_id = QueryId(required=True)
    state = Choice("charged", "review", "ready", "dispensed", load_default="charged")
    window_id = QueryId(load_default=None)


class QueueItemOut(ShownOut):
    """A prescription in the queue."""

    id = fields.Integer()
    number = fields.String()
    kind = fields.String()
    state = fields.String()
    doctor_name = fields.String()
    lines = fields.Integer()
    charged_at = fields.DateTime(allow_none=True)
    dispensed_at = fields.DateTime(allow_none=True)
    task_state = fields.String()
    call_state = fields.String()
    calls = fields.Integer()
    window = fields.String()
    insured = fields.Boolean()


class CountsOut(Schema):
    """How many stand in each tab of the queue."""

    charged = fields.Integer()
    review = fields.Integer()
    ready = fields.Integer()
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


class CodeQuery(Schema):
    """A scanned trace code."""

    code = Text(required=True, min=1, max=100)


class CodeOut(Schema):
    """What we know of a pack: whose drug it is, where it is, what is left of it."""

    drug_id = fields.Integer(allow_none=True)
    state = fields.String()
    text = fields.String()
    remaining = QuantityField(allow_none=True)


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
    expiry = Day()
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
    claimed = fields.String()
    returnable_units = QuantityField()
    returnable_text = fields.String()
    refunded = QuantityField()
    left = QuantityField()
    control = fields.String()
    shelf = fields.String()
    codes = fields.List(fields.String())
    batches = fields.List(fields.Nested(BatchOut))


class AlertOut(Schema):
    """Something that stands against a prescription."""

    kind = fields.String()
    text = fields.String()


class CheckOut(Schema):
    """What is known against a prescription; ``outcome`` clear, alerts, down, pending or house."""

    outcome = fields.String()
    needs_person = fields.Boolean()
    why = fields.String()
    alerts = fields.List(fields.Nested(AlertOut))


class TaskOut(Schema):
    """The task: where it stands, who reviewed, picked and checked, where the patient is called to."""

    id = fields.Integer()
    state = fields.String()
    window = fields.String()
    call_state = fields.String()
    calls = fields.Integer()
    called_at = fields.DateTime(allow_none=True)
    review_first = fields.Boolean()
    reviewed_by_name = fields.String()
    reviewed_at = fields.DateTime(allow_none=True)
    review_note = fields.String()
    answered_by_name = fields.String()
    answered_at = fields.DateTime(allow_none=True)
    answer = fields.String()
    picked_by_name = fields.String()
    picked_at = fields.DateTime(allow_none=True)
    checked_by_name = fields.String()
    finished_at = fields.DateTime(allow_none=True)
    check = fields.Nested(CheckOut, allow_none=True)


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
    insured = fields.Boolean()
    task = fields.Nested(TaskOut, allow_none=True)
    person = fields.Nested(PatientOut)
    lines = fields.List(fields.Nested(LineOut))


class CodesIn(Schema):
    """Trace codes scanned for a line."""

    line_id = Id(required=True)
    codes = fields.List(Text(min=1, max=100), required=True, validate=validate.Length(0, 500, error="最多 500 个追溯码"))


class CodesBody(Schema):
    """What was scanned."""

    codes = fields.List(fields.Nested(CodesIn), load_default=list, validate=validate.Length(0, 50, error="最多 50 行"))


class DispenseIn(CodesBody):
    """Hand out everything, or these whole lines; ``boxes``: uncollected codes that a person looked at and calls a box's."""

    boxes = fields.List(Text(min=1, max=100), load_default=list, validate=validate.Length(0, 500, error="最多 500 个追溯码"))

    line_ids = fields.List(Id(), load_default=None, validate=validate.Length(1, 50, error="请选择要发的药品"))


class NoteIn(Schema):
    """A reviewer's opinion; needed where something stands against the prescription."""

    note = Text(load_default="", max=200)


class ReasonIn(Schema):
    """Why a prescription goes back to its doctor, or what the doctor answers."""

    reason = Text(required=True, min=2, max=200)


class ManyIn(Schema):
    """Prescriptions to review in one go."""

    ids = fields.List(Id(), required=True, validate=validate.Length(1, 100, error="请选择 1 至 100 张处方"))


class RefusedOut(Schema):
    """A prescription that was not passed, and why."""

    id = fields.Integer()
    message = fields.String()


class ManyOut(Schema):
    """How many were passed, and which not."""

    passed = fields.Integer()
    refused = fields.List(fields.Nested(RefusedOut))


class CallIn(Schema):
    """The window of this workstation, for a task that has none."""

    window_id = Id(load_default=None, allow_none=True)


class BouncedOut(Schema):
    """A doctor's prescription that the pharmacy gave back."""

    id = fields.Integer()
    number = fields.String()
    name = fields.String()
    outpatient_no = fields.String()
    diagnosis = fields.String()
    reason = fields.String()
    reviewer = fields.String()
    at = fields.DateTime()
    drugs = fields.String()


class BouncedListOut(Schema):
    """A doctor's prescriptions that wait for an answer."""

    items = fields.List(fields.Nested(BouncedOut))
