"""The wire of trace codes."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Day, Id, PageQuery, QuantityField, QueryId, Text, paged


class CodeQuery(Schema):
    """A scanned code."""

    code = Text(required=True, min=1, max=100)


class TraceMoveOut(Schema):
    """What was done with a code."""

    act = fields.String()
    act_name = fields.String()
    quantity = QuantityField()
    document_kind = fields.String()
    document_id = fields.Integer()
    moved_at = fields.DateTime()
    actor_name = fields.String()
    serial = fields.String(allow_none=True)
    upload_state = fields.String(allow_none=True)


class CodeOut(Schema):
    """A code and its life."""

    code = fields.String()
    state = fields.String()
    state_name = fields.String()
    drug_id = fields.Integer()
    name = fields.String()
    spec = fields.String()
    base_unit = fields.String()
    lot_no = fields.String(allow_none=True)
    expiry = Day(allow_none=True)
    store_name = fields.String(allow_none=True)
    quantity = QuantityField()
    remaining = QuantityField()
    moves = fields.List(fields.Nested(TraceMoveOut))


class UncollectIn(Schema):
    """A carton's code that was collected as a box, and why."""

    code = Text(required=True, min=1, max=100)
    reason = Text(required=True, min=2, max=200)


class UncollectedOut(Schema):
    """How many boxes of the carton took its place, and how many are known but found no room in the batch."""

    code = fields.String()
    boxes = fields.Integer()
    left = fields.Integer()


class UploadsQuery(PageQuery):
    """Uploads that aren't accepted, of days up to ``upto``."""

    state = Choice("", "waiting", "refused", "sent", load_default="")
    upto = Day(required=True)


class UploadOut(Schema):
    """An upload."""

    id = fields.Integer()
    serial = fields.String()
    transaction = fields.String()
    act = fields.String()
    act_name = fields.String()
    drug_id = fields.Integer()
    name = fields.String()
    spec = fields.String()
    base_unit = fields.String()
    quantity = QuantityField()
    codes = fields.Integer()
    state = fields.String()
    attempts = fields.Integer()
    message = fields.String()
    business_date = Day()
    created_at = fields.DateTime()


class ResendIn(Schema):
    """Uploads to send again."""

    ids = fields.List(Id(), required=True, validate=validate.Length(1, 500, error="请选择要重新发送的记录"))


class DeleteUploadIn(Schema):
    """Why the platform is to forget an upload."""

    reason = Text(required=True, min=2, max=200)


class CoverageQuery(Schema):
    """A period, of one store or all."""

    start = Day(required=True)
    end = Day(required=True)
    store_id = QueryId(load_default=None)


class CoverageOut(Schema):
    """How much of a drug was dispensed by trace code."""

    drug_id = fields.Integer()
    code = fields.String()
    name = fields.String()
    spec = fields.String()
    lines = fields.Integer()
    coded_lines = fields.Integer()
    quantity = QuantityField()
    coded = QuantityField()
    rate = QuantityField()
    no_code = fields.Boolean()


class CoverageList(Schema):
    """The coverage of a period, and what is unsent at its end."""

    items = fields.List(fields.Nested(CoverageOut))
    lines = fields.Integer()
    coded_lines = fields.Integer()
    exempt_lines = fields.Integer()
    unsent = fields.Integer()


class NoCodeIn(Schema):
    """A drug, or one batch of it, that bears no code."""

    drug_id = Id(required=True)
    batch_id = Id(load_default=None, allow_none=True)
    reason = Text(required=True, min=2, max=200)


class NoCodeOut(Schema):
    """An entry of the no-code list."""

    id = fields.Integer()
    drug_id = fields.Integer()
    code = fields.String()
    name = fields.String()
    spec = fields.String()
    lot_no = fields.String(allow_none=True)
    reason = fields.String()
    made_at = fields.DateTime()
    made_by_name = fields.String()


class IdOut(Schema):
    """A key."""

    id = fields.Integer()


class PackIn(Schema):
    """A scanned code, large or small."""

    code = Text(required=True, min=1, max=100)


class BoxOut(Schema):
    """A box and where it is; ``state`` empty: nobody has received it."""

    code = fields.String()
    drug_id = fields.Integer(allow_none=True)
    state = fields.String()
    text = fields.String()
    store_id = fields.Integer(allow_none=True)


class PackOut(BoxOut):
    """What a scanned code is: a box, a carton with its boxes, or unknown with the reason."""

    kind = fields.String()
    boxes = fields.List(fields.Nested(BoxOut))
    message = fields.String()


class PackingListIn(Schema):
    """A supplier's packing list: CSV with the head 大码,小码."""

    text = Text(required=True, min=1, max=500_000, multiline=True)


class PackingListOut(Schema):
    """What came in; ``received_as_box``: large codes that somebody received as boxes before."""

    cartons = fields.Integer()
    boxes = fields.Integer()
    received_as_box = fields.List(fields.String())


UploadPage = paged(UploadOut)
