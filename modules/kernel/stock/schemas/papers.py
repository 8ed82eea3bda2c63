"""The wire of stock papers."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import (
    Choice,
    Day,
    Id,
    MoneyField,
    PageQuery,
    PriceField,
    QuantityField,
    QueryId,
    Revision,
    Text,
    paged,
)
from modules.kernel.stock import rules


class PapersQuery(PageQuery):
    """Papers of a store; ``incoming``: what comes to it or is asked of it."""

    store_id = QueryId(required=True)
    kind = Choice("", *rules.DOCUMENTS, load_default="")
    state = Choice("", *rules.DOCUMENT_STATES, load_default="")
    incoming = fields.Boolean(load_default=False)


class PaperRowOut(Schema):
    """A paper in a list."""

    id = fields.Integer()
    number = fields.String()
    kind = fields.String()
    kind_name = fields.String()
    purpose = fields.String()
    state = fields.String()
    state_name = fields.String()
    store_id = fields.Integer()
    store_name = fields.String()
    other_store_id = fields.Integer(allow_none=True)
    other_store_name = fields.String(allow_none=True)
    reason = fields.String()
    strict = fields.Boolean()
    line_count = fields.Integer()
    made_at = fields.DateTime()
    made_by_name = fields.String()
    changed_at = fields.DateTime()
    changed_by_name = fields.String()


class PaperLineOut(Schema):
    """A line of a paper."""

    id = fields.Integer()
    position = fields.Integer()
    drug_id = fields.Integer()
    batch_id = fields.Integer(allow_none=True)
    code = fields.String()
    name = fields.String()
    spec = fields.String()
    manufacturer = fields.String()
    pack_unit = fields.String()
    base_unit = fields.String()
    pack_size = fields.Integer()
    lot_no = fields.String()
    expiry = Day(allow_none=True)
    pack_cost = PriceField(allow_none=True)
    quantity = QuantityField()
    quantity_text = fields.String()
    done = QuantityField()
    done_text = fields.String()
    amount = MoneyField(allow_none=True)
    supplier = fields.String()
    note = fields.String()
    codes = fields.List(fields.String())
    warnings = fields.List(fields.String())


class PaperOut(PaperRowOut):
    """A paper, whole."""

    origin_id = fields.Integer(allow_none=True)
    revision = fields.Integer()
    end_reason = fields.String(allow_none=True)
    made_by = fields.Integer()
    amount = MoneyField()
    lines = fields.List(fields.Nested(PaperLineOut))


class PaperLineIn(Schema):
    """A line: quantity in smallest units; a drug (in, requisition) or a batch (all others)."""

    drug_id = Id(load_default=None, allow_none=True)
    batch_id = Id(load_default=None, allow_none=True)
    lot_no = Text(load_default="", max=40)
    expiry = Day(load_default=None, allow_none=True)
    pack_cost = PriceField(load_default=None, allow_none=True, low="0")
    quantity = QuantityField(required=True)
    supplier = Text(load_default="", max=100)
    note = Text(load_default="", max=200)
    codes = fields.List(Text(max=100, min=1), load_default=list, validate=validate.Length(0, 2000, error="追溯码过多"))


_LINES = validate.Length(1, 500, error="请录入 1 至 500 行")


class PaperIn(Schema):
    """A paper to draft."""

    kind = Choice(*rules.DOCUMENTS, required=True)
    store_id = Id(required=True)
    other_store_id = Id(load_default=None, allow_none=True)
    purpose = Text(required=True, max=30)
    reason = Text(load_default="", max=200)
    lines = fields.List(fields.Nested(PaperLineIn), required=True, validate=_LINES)


class PaperChange(Schema):
    """New lines of a draft."""

    revision = Revision(required=True)
    reason = Text(load_default="", max=200)
    lines = fields.List(fields.Nested(PaperLineIn), required=True, validate=_LINES)


class ConfirmIn(Schema):
    """``acknowledged``: the warnings about lines were read (M7.7)."""

    acknowledged = fields.Boolean(load_default=False)


class ConfirmBoxesIn(ConfirmIn):
    """``boxes``: trace codes of a stock-in that nobody knows and that a person looked at: each is one box."""

    boxes = fields.List(Text(max=100, min=1), load_default=list, validate=validate.Length(0, 2000, error="追溯码过多"))


class DoneIn(Schema):
    """What was granted, or arrived, of a line; smallest units."""

    line_id = Id(required=True)
    quantity = QuantityField(required=True, low="0")


class ApproveIn(Schema):
    """What is granted; without lines: what there is, up to what was asked."""

    lines = fields.List(fields.Nested(DoneIn), load_default=None, allow_none=True)


class ReceiveIn(ApproveIn):
    """What arrived; without lines: everything. ``refused_codes`` go back."""

    refused_codes = fields.List(Text(max=100), load_default=list)


class ProposalQuery(Schema):
    """What should go back to the warehouse."""

    store_id = QueryId(required=True)
    within_days = fields.Integer(load_default=90, validate=validate.Range(0, 3650, error="天数应在 0 至 3650 之间"))


PaperPage = paged(PaperRowOut)
