"""The wire of stock: stores, lists, levels, notices."""

from __future__ import annotations

from typing import Any

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
    Text,
    paged,
)

CLASSES = ("09", "10", "11")


class Classes(fields.Field[tuple[str, ...]]):
    """Fiscal categories joined by commas: 09 western, 10 herbs, 11 Chinese patent; empty = all (M7.6)."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        chosen = tuple(sorted({part for part in str(value).split(",") if part}))
        if set(chosen) - set(CLASSES):
            raise self.make_error("validator_failed")
        return chosen


def listed(item: type[Schema]) -> type[Schema]:
    """``items`` without pages."""
    return Schema.from_dict({"items": fields.List(fields.Nested(item))}, name=f"{item.__name__}List")


class ReasonIn(Schema):
    """Why."""

    reason = Text(required=True, min=2, max=200)


class StoreOut(Schema):
    """A store."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    kind = fields.String()


class BatchesQuery(PageQuery):
    """Batches of a store; ``within_days`` to expiry (0: expired)."""

    store_id = QueryId(required=True)
    q = Text(load_default="", max=50)
    within_days = fields.Integer(load_default=None, validate=validate.Range(0, 3650, error="天数应在 0 至 3650 之间"))
    classes = Classes(load_default=())


class ChoicesQuery(Schema):
    """A code box."""

    q = Text(load_default="", max=50)
    classes = Classes(load_default=())
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100, error="每次 1 至 100 行"))


class BatchChoicesQuery(ChoicesQuery):
    """A code box of a store's batches."""

    store_id = QueryId(required=True)


class DrugOut(Schema):
    """A drug."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    spec = fields.String()
    manufacturer = fields.String()
    pack_unit = fields.String()
    pack_size = fields.Integer()
    base_unit = fields.String()
    control = fields.String()
    fiscal_category = fields.String()
    active = fields.Boolean()


class BatchOut(DrugOut):
    """A batch in a store; quantities in smallest units and as people say them."""

    batch_id = fields.Integer()
    drug_id = fields.Integer()
    lot_no = fields.String()
    expiry = Day()
    days_left = fields.Integer()
    pack_cost = PriceField()
    supplier = fields.String(allow_none=True)
    on_hand = QuantityField()
    reserved = QuantityField()
    free = QuantityField()
    on_hand_text = fields.String()
    reserved_text = fields.String()
    free_text = fields.String()
    amount = MoneyField()


class DrugsQuery(BatchesQuery):
    """Drugs of a store: ``low`` under the least, ``over`` the most, ``dead`` without issue in ``days``."""

    view = Choice("all", "low", "over", "dead", load_default="all")
    days = fields.Integer(load_default=30, validate=validate.Range(1, 366, error="天数应在 1 至 366 之间"))


class HeldOut(DrugOut):
    """A drug of a store with its levels and pace."""

    on_hand = QuantityField()
    free = QuantityField()
    used = QuantityField()
    least = QuantityField(allow_none=True)
    most = QuantityField(allow_none=True)
    wanted = QuantityField()
    wanted_packs = QuantityField()
    least_packs = QuantityField(allow_none=True)
    most_packs = QuantityField(allow_none=True)
    free_text = fields.String()
    used_text = fields.String()
    least_text = fields.String()
    most_text = fields.String()
    stock_days = fields.Integer(allow_none=True)
    amount = MoneyField()


class LevelIn(Schema):
    """Levels of a drug in smallest units."""

    drug_id = Id(required=True)
    least = QuantityField(required=True, low="0")
    most = QuantityField(required=True, low="0")


class LevelsIn(Schema):
    """Levels of a store."""

    store_id = Id(required=True)
    levels = fields.List(fields.Nested(LevelIn), required=True,
                         validate=validate.Length(1, 500, error="请录入 1 至 500 行"))


class CountOut(Schema):
    """How many."""

    count = fields.Integer()


class NoticeOut(Schema):
    """A notice about a drug."""

    id = fields.Integer()
    number = fields.String()
    kind = fields.String()
    kind_name = fields.String()
    drug_id = fields.Integer()
    code = fields.String()
    name = fields.String()
    spec = fields.String()
    reason = fields.String()
    substitute = fields.String()
    state = fields.String()
    in_force = fields.Boolean()
    valid_from = Day()
    valid_to = Day(allow_none=True)
    made_at = fields.DateTime()
    made_by_name = fields.String()
    ended_at = fields.DateTime(allow_none=True)
    ended_by_name = fields.String(allow_none=True)
    end_reason = fields.String()
    read = fields.Boolean()
    readers = fields.Integer()


class NoticesQuery(PageQuery):
    """Notices: in force today, or all."""

    view = Choice("current", "all", load_default="current")


class ReadIn(Schema):
    """Notices that were read."""

    notice_ids = fields.List(Id(), required=True, validate=validate.Length(1, 200, error="请选择通知"))


class ReaderOut(Schema):
    """Who read a notice."""

    user_name = fields.String()
    read_at = fields.DateTime()


BatchPage = paged(BatchOut)
HeldPage = paged(HeldOut)
NoticePage = paged(NoticeOut)
