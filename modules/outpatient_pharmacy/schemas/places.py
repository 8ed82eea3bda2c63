"""The wire of windows, rules and shelves."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Id, MoneyField, QueryId, Text

_TIME = validate.Regexp(r"^(([01]\d|2[0-3]):[0-5]\d)?$", error="时间格式应为 21:00")


class StoreQuery(Schema):
    """Which store."""

    store_id = QueryId(required=True)


class WindowOut(Schema):
    """A window and how many wait at it today."""

    id = fields.Integer()
    number = fields.Integer()
    name = fields.String()
    state = fields.String()
    waiting = fields.Integer()
    changed_at = fields.DateTime()
    changed_by_name = fields.String()


class WindowsOut(Schema):
    """A store's windows."""

    items = fields.List(fields.Nested(WindowOut))


class WindowIn(Schema):
    """A new window; without a name it is called by its number."""

    store_id = Id(required=True)
    number = fields.Integer(required=True, strict=True, validate=validate.Range(1, 99, error="窗口号应在 1 至 99 之间"))
    name = Text(load_default="", max=40)


class WindowStateIn(Schema):
    """Open or close."""

    state = Choice("open", "closed", required=True)


class StoreRuleFields(Schema):
    """How a store works (times as 21:00, both empty: none)."""

    review_first = fields.Boolean(required=True)
    return_review = fields.Boolean(required=True)
    night_start = Text(required=True, max=5, validate=_TIME)
    night_end = Text(required=True, max=5, validate=_TIME)
    night_amount = MoneyField(required=True, low="0")
    opens = Text(required=True, max=5, validate=_TIME)
    closes = Text(required=True, max=5, validate=_TIME)


class StoreRuleOut(StoreRuleFields):
    """A store's rule and who last changed it."""

    changed_at = fields.DateTime()
    changed_by_name = fields.String()


class LocationsQuery(StoreQuery):
    """Which drugs' shelves; ``q`` as everywhere, ``missing``: those without one."""

    q = Text(load_default="", max=50)
    missing = fields.Boolean(load_default=False)


class LocationOut(Schema):
    """A drug and its shelf in a store."""

    drug_id = fields.Integer()
    code = fields.String()
    name = fields.String()
    spec = fields.String()
    manufacturer = fields.String()
    shelf = fields.String()


class LocationsOut(Schema):
    """Drugs and shelves; ``more``: there are further ones."""

    items = fields.List(fields.Nested(LocationOut))
    more = fields.Boolean()


class ShelfIn(Schema):
    """A drug's shelf; empty: none."""

    drug_id = Id(required=True)
    shelf = Text(required=True, max=20)


class ShelvesIn(Schema):
    """Shelves of drugs in a store."""

    store_id = Id(required=True)
    items = fields.List(fields.Nested(ShelfIn), required=True,
                        validate=validate.Length(1, 500, error="请填写 1 至 500 个货位"))


class SetOut(Schema):
    """How many were set."""

    set = fields.Integer()
