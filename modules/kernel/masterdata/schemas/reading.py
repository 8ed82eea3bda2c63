"""The wire of master data."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Day, PriceField, QuantityField, QueryId, Text


class SearchQuery(Schema):
    """Name, pinyin, wubi or code; empty = the first by code."""

    q = Text(load_default="", max=60)
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 200, error="每次 1 至 200 行"))


class CatalogueQuery(SearchQuery):
    """Those in use (``active``, what documents may choose), stopped ones, or all."""

    state = Choice("active", "stopped", "all", load_default="active")


class KindQuery(CatalogueQuery):
    """Departments of a kind, items of a performing kind, staff of a role."""

    kind = Text(load_default="", max=20)


class ItemQuery(KindQuery):
    """Charge items."""


class PlaceQuery(CatalogueQuery):
    """Wards, of a department."""

    department_id = QueryId(load_default=None)


class SetQuery(SearchQuery):
    """Item sets of a department."""

    department_id = QueryId(load_default=None)


class RegionQuery(SearchQuery):
    """Regions found, or the children of ``parent`` (empty = provinces)."""

    parent = Text(load_default="", max=12)


class DrugOut(Schema):
    """A drug with its present pack price in yuan."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    form = fields.String()
    spec = fields.String()
    dose_amount = QuantityField(allow_none=True)
    dose_unit = fields.String()
    base_unit = fields.String()
    pack_unit = fields.String()
    pack_size = fields.Integer()
    manufacturer = fields.String()
    fiscal_category = fields.String()
    control = fields.String()
    antimicrobial = fields.String()
    tb = fields.Boolean()
    skin_test = fields.Boolean()
    splittable = fields.Boolean()
    insurance_level = fields.String()
    default_usage = fields.String()
    default_frequency = fields.String()
    active = fields.Boolean()
    price = PriceField(allow_none=True)


class ItemOut(Schema):
    """A charge item with its present price in yuan."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    unit = fields.String()
    fiscal_category = fields.String()
    insurance_level = fields.String()
    performing_kind = fields.String()
    active = fields.Boolean()
    price = PriceField(allow_none=True)


class DiagnosisOut(Schema):
    """A diagnosis."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    category = fields.String()
    active = fields.Boolean()


class DepartmentOut(Schema):
    """A department."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    kind = fields.String()
    outpatient = fields.Boolean()
    emergency = fields.Boolean()
    building = fields.String()
    active = fields.Boolean()


class StaffOut(Schema):
    """A member of staff."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    sex = fields.String()
    title = fields.String()
    role = fields.String()
    department_id = fields.Integer()
    department = fields.String()
    active = fields.Boolean()


class SetLineOut(Schema):
    """An item of a set."""

    item_id = fields.Integer()
    code = fields.String()
    name = fields.String()
    unit = fields.String()
    quantity = QuantityField()
    optional = fields.Boolean()
    price = PriceField(allow_none=True)


class SetOut(Schema):
    """An item set."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    version = fields.Integer()
    department_id = fields.Integer(allow_none=True)
    department = fields.String(allow_none=True)
    lines = fields.List(fields.Nested(SetLineOut))


class RegionOut(Schema):
    """A present region."""

    code = fields.String()
    name = fields.String()
    level = fields.Integer()
    full_name = fields.String()
    parent_code = fields.String()


class PostcodeOut(Schema):
    """A place's postcode and telephone area code."""

    place = fields.String()
    region_code = fields.String()
    full_name = fields.String(allow_none=True)
    postcode = fields.String()
    area_code = fields.String()


class EntryOut(Schema):
    """A dictionary entry."""

    code = fields.String()
    name = fields.String()


class FrequencyOut(Schema):
    """A frequency."""

    code = fields.String()
    name = fields.String()
    times_per_day = fields.Integer(allow_none=True)
    interval_days = fields.Integer(allow_none=True)


def listed(item: type[Schema]) -> type[Schema]:
    """The schema of ``{items: [...]}``."""
    return Schema.from_dict({"items": fields.List(fields.Nested(item))}, name=f"{item.__name__}List")


class PriceIn(Schema):
    """A new price from a day on (today or later)."""

    price = PriceField(required=True, low="0")
    valid_from = Day(required=True)
    reason = Text(required=True, min=2, max=200)


class PriceOut(Schema):
    """A price with its period."""

    price = PriceField()
    valid_from = Day()
    valid_to = Day(allow_none=True)
    reason = fields.String()


class ActiveIn(Schema):
    """Whether something may still be used, and why."""

    active = fields.Boolean(required=True)
    reason = Text(required=True, min=2, max=200)
