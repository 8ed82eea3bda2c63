"""What the keepers of the catalogues send and see."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, post_load, validate

from his_server.wire import Choice, Day, Id, PriceField, QuantityField, Text

CODE = validate.Regexp(r"^[0-9A-Za-z][0-9A-Za-z._/+-]*\Z", error="编码只能用字母、数字和 . _ - / +，以字母或数字开头")
CONTROLS = ("普通", "麻醉", "精一", "精二", "毒性", "放射", "易制毒")
ANTIMICROBIALS = ("", "非限制", "限制", "特殊")
DEPARTMENT_KINDS = ("临床", "医技", "药房", "行政", "收费")


class _Aliases(Text):
    """Other names, joined by commas of either width; stored with the narrow one."""

    def __init__(self) -> None:
        super().__init__(load_default="", max=200)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs).replace("，", ",").replace("、", ",")
        return ",".join(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _code(limit: int) -> Text:
    return Text(required=True, min=1, max=limit, validate=CODE)


def _name(limit: int) -> Text:
    return Text(required=True, min=1, max=limit)


def _dictionary(*, needed: bool = True) -> Text:
    return Text(required=True, min=1, max=20) if needed else Text(load_default="", max=20)


class DrugFields(Schema):
    """A drug as it is kept; ``dose_amount`` ``dose_unit`` in one base unit, ``pack_size`` base units in a pack."""

    name = _name(120)
    form = _name(40)
    spec = _name(80)
    dose_amount = QuantityField(load_default=None, allow_none=True, positive=True, high="99999999")
    dose_unit = Text(load_default="", max=20)
    base_unit = _name(20)
    pack_unit = _name(20)
    pack_size = fields.Integer(required=True, strict=True, validate=validate.Range(1, 100_000, error="应为 1 至 100000"))
    manufacturer = Text(load_default="", max=120)
    fiscal_category = Choice("09", "10", "11", required=True)
    control = Choice(*CONTROLS, load_default="普通")
    antimicrobial = Choice(*ANTIMICROBIALS, load_default="")
    tb = fields.Boolean(load_default=False)
    skin_test = fields.Boolean(load_default=False)
    splittable = fields.Boolean(load_default=False)
    insurance_level = _dictionary()
    default_usage = _dictionary(needed=False)
    default_frequency = _dictionary(needed=False)
    otc = fields.Boolean(load_default=False)
    aliases = _Aliases()


class ItemFields(Schema):
    """A charge item as it is kept."""

    name = _name(120)
    unit = _name(20)
    fiscal_category = _dictionary()
    insurance_level = _dictionary()
    performing_kind = Text(required=True, min=1, max=10)
    aliases = _Aliases()


class DiagnosisFields(Schema):
    """A diagnosis as it is kept."""

    name = _name(120)
    category = Text(load_default="", max=60)
    aliases = _Aliases()


class DepartmentFields(Schema):
    """A department as it is kept."""

    name = _name(60)
    kind = Choice(*DEPARTMENT_KINDS, required=True)
    parent_id = Id(load_default=None, allow_none=True)
    outpatient = fields.Boolean(load_default=False)
    emergency = fields.Boolean(load_default=False)
    building = Text(load_default="", max=40)


class WardFields(Schema):
    """A ward as it is kept."""

    name = _name(60)
    department_id = Id(required=True)
    beds = fields.Integer(required=True, strict=True, validate=validate.Range(0, 500, error="应为 0 至 500"))


class StaffFields(Schema):
    """A member of staff as it is kept; ``rights`` are prescribing_right codes."""

    name = _name(60)
    sex = _dictionary()
    department_id = Id(required=True)
    title = Text(load_default="", max=30)
    role = Text(load_default="", max=30)
    rights = fields.List(Text(min=1, max=20), load_default=list, validate=validate.Length(max=10, error="最多 10 项"))

    @post_load
    def _join(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**data, "rights": ",".join(dict.fromkeys(data["rights"]))}


def new(kept: type[Schema], limit: int, *, priced: bool = False) -> type[Schema]:
    """The schema of a new row: the kept fields, its code and, where it is sold, what it costs from today on."""
    more: dict[str, fields.Field[Any]] = {"code": _code(limit)}
    if priced:
        more["price"] = PriceField(required=True, low="0")
    return type(f"{kept.__name__.removesuffix('Fields')}New", (kept,), more)


def changed(kept: type[Schema]) -> type[Schema]:
    """The schema of a change: the kept fields and the revision that was looked at."""
    return type(f"{kept.__name__.removesuffix('Fields')}Change", (kept,),
                {"revision": fields.Integer(required=True, strict=True, validate=validate.Range(1, 2**31 - 1))})


def shown(kept: type[Schema]) -> type[Schema]:
    """The schema of a row for its form: the kept fields, what is never changed, the names of its references."""
    return type(f"{kept.__name__.removesuffix('Fields')}Kept", (kept,), {
        "id": fields.Integer(), "code": fields.String(), "active": fields.Boolean(), "revision": fields.Integer(),
        "labels": fields.Dict(keys=fields.String(), values=fields.String())})


class StopIn(Schema):
    """Why something is stopped."""

    reason = Text(required=True, min=2, max=200)


class SetLineIn(Schema):
    """An item of a set."""

    item_id = Id(required=True)
    quantity = QuantityField(required=True, positive=True)
    optional = fields.Boolean(load_default=False)


class SetChange(Schema):
    """The content of a set's next version."""

    name = _name(80)
    department_id = Id(load_default=None, allow_none=True)
    lines = fields.List(fields.Nested(SetLineIn), required=True,
                        validate=validate.Length(1, 100, error="请录入 1 至 100 个项目"))


class SetNew(SetChange):
    """A new set."""

    code = _code(40)


class EntryFields(Schema):
    """A dictionary entry; empty days mean open."""

    name = _name(80)
    position = fields.Integer(load_default=0, strict=True, validate=validate.Range(0, 9999, error="应为 0 至 9999"))
    valid_from = Day(load_default=None, allow_none=True)
    valid_to = Day(load_default=None, allow_none=True)


class EntryNew(EntryFields):
    """A new dictionary entry; national codes are taken as they are."""

    code = Text(required=True, min=1, max=30)


class EntryChange(EntryFields):
    """A change of a dictionary entry."""

    revision = fields.Integer(required=True, strict=True, validate=validate.Range(1, 2**31 - 1))


class EntryKept(EntryFields):
    """A dictionary entry as its keeper sees it."""

    id = fields.Integer()
    code = fields.String()
    revision = fields.Integer()


class DictionaryOut(Schema):
    """A dictionary with the number of its entries."""

    code = fields.String()
    name = fields.String()
    entries = fields.Integer()


class ChangeOut(Schema):
    """One change of one field, as people read it."""

    field = fields.String()
    title = fields.String()
    before = fields.String(allow_none=True)
    after = fields.String(allow_none=True)
    changed_at = fields.DateTime()
    changed_by_name = fields.String()
    terminal = fields.String(allow_none=True)


class WardOut(Schema):
    """A ward in a list."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    department_id = fields.Integer()
    department = fields.String()
    beds = fields.Integer()
    active = fields.Boolean()


class SetVersionOut(Schema):
    """A version of a set."""

    id = fields.Integer()
    version = fields.Integer()
    name = fields.String()
    valid_from = fields.DateTime()
    valid_to = fields.DateTime(allow_none=True)
    changed_by_name = fields.String()
    content = fields.String()
