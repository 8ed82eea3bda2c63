"""The wire of count sheets."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from his_server.wire import MAX_ID, Id, MoneyField, PageQuery, QuantityField, QueryId, Rows, Text, paged
from modules.kernel.stock.schemas import CLASSES


class SheetsQuery(PageQuery):
    """Sheets of a store."""

    store_id = QueryId(required=True)


class SheetIn(Schema):
    """A sheet to make; no classes: everything. ``drug_ids``: these drugs only (抽盘); ``controlled``: those under special control
    only (麻精药品逐日清点)."""

    store_id = Id(required=True)
    classes = fields.List(fields.String(validate=validate.OneOf(CLASSES, error="类别有误")), load_default=list)
    drug_ids = fields.List(Id(), load_default=list, validate=validate.Length(max=200, error="最多选 200 种药品"))
    controlled = fields.Boolean(load_default=False)
    with_empty = fields.Boolean(load_default=False)


class SheetOut(Schema):
    """A sheet's head."""

    id = fields.Integer()
    number = fields.String()
    store_id = fields.Integer()
    store_name = fields.String()
    state = fields.String()
    state_name = fields.String()
    scope = fields.String()
    end_reason = fields.String(allow_none=True)
    line_count = fields.Integer()
    counted = fields.Integer()
    merged = fields.Integer()
    made_at = fields.DateTime()
    made_by = fields.Integer()
    made_by_name = fields.String()
    changed_at = fields.DateTime()
    changed_by_name = fields.String()


class LinesQuery(Schema):
    """Lines after a position."""

    after = fields.Integer(load_default=0, validate=validate.Range(0, MAX_ID, error="行号有误"))
    limit = fields.Integer(load_default=2000, validate=validate.Range(1, 5000, error="每次 1 至 5000 行"))


class Position(fields.Integer):
    """A line of a sheet."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(1, 10**6, error="行号有误"), **options)


class CountIn(Schema):
    """A count in smallest units; ``add``: one more scan."""

    position = Position(required=True)
    quantity = QuantityField(required=True, low="0")
    add = fields.Boolean(load_default=False)


class CountsIn(Schema):
    """Counts; ``again``: a recount from the beginning."""

    counts = Rows(CountIn, required=True, validate=validate.Length(1, 500, error="每次 1 至 500 行"))
    again = fields.Boolean(load_default=False)


class ScansIn(Schema):
    """Scanned trace codes or lot numbers, in the order they were scanned; a lot number once for each pack."""

    codes = fields.List(Text(required=True, min=1, max=100), required=True, validate=validate.Length(1, 200))


class LineStateOut(Schema):
    """What counting made of a line."""

    position = fields.Integer()
    counted = QuantityField(allow_none=True)
    expected = QuantityField(allow_none=True)
    first_expected = QuantityField(allow_none=True)
    counted_by_name = fields.String(allow_none=True)
    merged_into = fields.Integer(allow_none=True)


class LineStatesOut(Schema):
    """Lines after counting."""

    items = fields.List(fields.Nested(LineStateOut))


class ElsewhereOut(Schema):
    """A code that by the books isn't in the store that is counted, and where it is."""

    code = fields.String()
    text = fields.String()


class ScannedOut(LineStatesOut):
    """Lines after scanning, and what counted for nothing: not on the sheet, scanned already, elsewhere by the books."""

    not_found = fields.List(fields.String())
    again = fields.List(fields.String())
    elsewhere = fields.List(fields.Nested(ElsewhereOut))


class PostIn(Schema):
    """``missing_is_zero``: what nobody counted isn't there."""

    missing_is_zero = fields.Boolean(load_default=False)


class PreviewQuery(PostIn):
    """The same for the preview."""


class DifferenceOut(Schema):
    """A line that differs."""

    position = fields.Integer()
    name = fields.String()
    lot_no = fields.String()
    counted = QuantityField(allow_none=True)
    expected = QuantityField()
    difference = QuantityField()
    amount = MoneyField()
    disturbed = fields.Boolean()
    strict = fields.Boolean()


class PreviewOut(Schema):
    """What posting would do."""

    items = fields.List(fields.Nested(DifferenceOut))
    gain_amount = MoneyField()
    loss_amount = MoneyField()
    uncounted = fields.Integer()
    codes_found = fields.Integer()
    codes_lost = fields.Integer()


class PostedOut(Schema):
    """What posting did."""

    number = fields.String()
    gain = fields.Integer()
    loss = fields.Integer()
    gain_amount = MoneyField()
    loss_amount = MoneyField()
    codes_found = fields.Integer()
    codes_lost = fields.Integer()
    codes_unclear = fields.Integer()


class MergeIn(Schema):
    """Lots to merge into one of them."""

    positions = fields.List(Position(), required=True, validate=validate.Length(1, 50, error="请选择批号"))
    into = Position(required=True)


SheetPage = paged(SheetOut)
