"""The wire of orders."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Day, Id, MoneyField, PriceField, QuantityField, QueryId, Text
from modules.kernel.patients.schemas import ShownOut


class PrescriptionLineIn(Schema):
    """A drug as prescribed; ``quantity`` (smallest units) is worked out where it is not given."""

    drug_id = Id(required=True)
    dose = QuantityField(required=True, positive=True)
    usage = Text(required=True, min=1, max=20)
    frequency = Text(required=True, min=1, max=20)
    days = fields.Integer(required=True, strict=True, validate=validate.Range(1, 90, error="天数应在 1 至 90 之间"))
    quantity = QuantityField(load_default=None, allow_none=True, positive=True)
    note = Text(load_default="", max=100)
    group_no = fields.Integer(load_default=0, strict=True, validate=validate.Range(0, 20, error="组号应在 0 至 20 之间"))


_lines = validate.Length(1, 50, error="请录入 1 至 50 行")


class PreviewIn(Schema):
    """Lines to work out without issuing them."""

    lines = fields.List(fields.Nested(PrescriptionLineIn), required=True, validate=_lines)


class PrescriptionIn(PreviewIn):
    """A prescription to issue."""

    encounter_id = Id(required=True)
    diagnosis = Text(required=True, min=1, max=200)
    diagnosis_code = Text(load_default="", max=40)
    chronic_reason = Text(load_default="", max=100)
    extension_days = fields.Integer(load_default=0, strict=True, validate=validate.Range(0, 3, error="有效期最多延长 3 天"))
    extension_reason = Text(load_default="", max=100)
    long_term = fields.Boolean(load_default=False)
    assessment = Text(load_default="", max=300)
    signed_by = Text(load_default="", max=60)
    consultant_id = Id(load_default=None, allow_none=True)
    override_reason = Text(load_default="", max=200)
    check_id = Id(load_default=None, allow_none=True)
    check_reason = Text(load_default="", max=200)


class PreviewLineOut(Schema):
    """A worked-out line."""

    drug_id = fields.Integer(attribute="drug.id")
    name = fields.String(attribute="drug.name")
    spec = fields.String(attribute="drug.spec")
    quantity = QuantityField()
    suggested = QuantityField()
    base_unit = fields.String(attribute="drug.base_unit")
    quantity_text = fields.String()
    unit = fields.String(attribute="charged.unit")
    unit_quantity = QuantityField(attribute="charged.quantity")
    price = PriceField(attribute="charged.price")
    amount = MoneyField()
    warnings = fields.List(fields.String())


class PreviewOut(Schema):
    """What the lines come to."""

    lines = fields.List(fields.Nested(PreviewLineOut))
    total = MoneyField()


class PrescriptionLineOut(Schema):
    """A drug of a prescription."""

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
    price = PriceField()
    note = fields.String()
    charge_line_id = fields.Integer()
    group_no = fields.Integer()
    turns = fields.Integer()
    skin_test = fields.Boolean()
    in_hospital = fields.Boolean()


class PrescriptionOut(Schema):
    """A prescription with its lines."""

    id = fields.Integer()
    number = fields.String()
    kind = fields.String()
    person_id = fields.Integer()
    encounter_id = fields.Integer()
    doctor_name = fields.String()
    store_id = fields.Integer()
    diagnosis = fields.String()
    diagnosis_code = fields.String()
    state = fields.String()
    issued_at = fields.DateTime()
    valid_until = Day()
    extension_reason = fields.String()
    chronic_reason = fields.String()
    long_term = fields.Boolean()
    at_night = fields.Boolean()
    override_reason = fields.String()
    consultant_name = fields.String()
    check_state = fields.String()
    check_text = fields.String()
    check_reason = fields.String()
    changed_at = fields.DateTime()
    changed_by_name = fields.String()
    lines = fields.List(fields.Nested(PrescriptionLineOut))


class RequestLineIn(Schema):
    """An item of a request."""

    item_id = Id(required=True)
    quantity = QuantityField(required=True, positive=True)
    note = Text(load_default="", max=100)


class RequestIn(Schema):
    """A request to issue."""

    encounter_id = Id(required=True)
    diagnosis = Text(required=True, min=1, max=200)
    performing_department_id = Id(required=True)
    lines = fields.List(fields.Nested(RequestLineIn), required=True, validate=_lines)


class RequestLineOut(Schema):
    """An item of a request."""

    id = fields.Integer()
    item_id = fields.Integer()
    name = fields.String()
    unit = fields.String()
    quantity = QuantityField()
    price = PriceField()
    note = fields.String()
    charge_line_id = fields.Integer()


class RequestOut(Schema):
    """A request with its lines."""

    id = fields.Integer()
    number = fields.String()
    person_id = fields.Integer()
    encounter_id = fields.Integer()
    doctor_name = fields.String()
    performing_department_id = fields.Integer()
    diagnosis = fields.String()
    state = fields.String()
    issued_at = fields.DateTime()
    changed_at = fields.DateTime()
    changed_by_name = fields.String()
    lines = fields.List(fields.Nested(RequestLineOut))


class VisitsQuery(Schema):
    """Which department's visits of today; ``mine`` = the signed-in doctor's only; ``finished`` = those that are over."""

    department_id = QueryId(load_default=None)
    mine = fields.Boolean(load_default=False)
    finished = fields.Boolean(load_default=False)


class VisitOut(ShownOut):
    """A visit on the doctor's list."""

    id = fields.Integer()
    visit_no = fields.String()
    kind = fields.String()
    state = fields.String()
    queue_no = fields.Integer(allow_none=True)
    level = fields.String(allow_none=True)
    person_id = fields.Integer()
    allergies = fields.String(allow_none=True)
    department = fields.String()
    doctor = fields.String(allow_none=True)


class VisitStateOut(Schema):
    """How far a visit is."""

    id = fields.Integer()
    visit_no = fields.String()
    state = fields.String()
    changed_at = fields.DateTime()
    changed_by_name = fields.String()


class VisitsOut(Schema):
    """The doctor's list; ``night``: prescriptions are temporary and go to the emergency pharmacy now (M7.8)."""

    items = fields.List(fields.Nested(VisitOut))
    night = fields.Boolean()


class VisitOrdersOut(Schema):
    """All orders of a visit."""

    prescriptions = fields.List(fields.Nested(PrescriptionOut))
    requests = fields.List(fields.Nested(RequestOut))


class WorklistQuery(Schema):
    """Requests for a performing department in a state, or the one with this ``number``."""

    department_id = QueryId(required=True)
    state = fields.String(load_default="charged", validate=validate.OneOf(
        ("issued", "charged", "performed"), error="状态只能是 issued、charged、performed"))
    number = Text(load_default=None, min=1, max=32)


class WorklistItemOut(ShownOut, RequestOut):
    """A request on a worklist, with whom it is for and which department asks."""

    department = fields.String()


class WorklistCounts(Schema):
    """How many wait, and how many were performed today."""

    charged = fields.Integer()
    performed = fields.Integer()


class RequestsOut(Schema):
    """A worklist of requests."""

    items = fields.List(fields.Nested(WorklistItemOut))
    counts = fields.Nested(WorklistCounts)


class ChoiceOut(Schema):
    """A usage. ``keys``: what it is found by (code, pinyin, initials, wubi, parts of the name), in small letters."""

    code = fields.String()
    name = fields.String()
    keys = fields.List(fields.String())


class FrequencyOut(ChoiceOut):
    """A frequency: ``times_per_day`` on days ``interval_days`` apart; both empty for single doses."""

    times_per_day = fields.Integer(allow_none=True)
    interval_days = fields.Integer(allow_none=True)


class DepartmentOut(ChoiceOut):
    """A department to perform a request."""

    id = fields.Integer()
    kind = fields.String()


class ChoicesOut(Schema):
    """What the order pages choose from."""

    usages = fields.List(fields.Nested(ChoiceOut))
    frequencies = fields.List(fields.Nested(FrequencyOut))
    departments = fields.List(fields.Nested(DepartmentOut))


class ItemQuery(Schema):
    """A search by name, pinyin, wubi or code."""

    q = Text(required=True, min=1, max=50)


class DrugQuery(ItemQuery):
    """A search among drugs; the visit says which pharmacy's stock is meant."""

    encounter_id = QueryId(required=True)


class ItemOptionOut(Schema):
    """A charge item to order; ``price`` is today's, empty where there is none."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    unit = fields.String()
    fiscal_category = fields.String()
    performing_kind = fields.String()
    price = PriceField(allow_none=True)


class DrugOptionOut(Schema):
    """A drug to prescribe. ``price`` per pack, ``free`` in smallest units, ``free_text`` in packs (2盒1片)."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    spec = fields.String()
    form = fields.String()
    manufacturer = fields.String()
    dose_amount = QuantityField(allow_none=True)
    dose_unit = fields.String()
    base_unit = fields.String()
    pack_unit = fields.String()
    pack_size = fields.Integer()
    control = fields.String()
    antimicrobial = fields.String()
    skin_test = fields.Boolean()
    splittable = fields.Boolean()
    default_usage = fields.String()
    default_frequency = fields.String()
    price = PriceField(allow_none=True)
    free = QuantityField()
    free_text = fields.String()


class DrugOptionsOut(Schema):
    """Drugs found."""

    items = fields.List(fields.Nested(DrugOptionOut))


class ItemOptionsOut(Schema):
    """Charge items found."""

    items = fields.List(fields.Nested(ItemOptionOut))


class ReasonIn(Schema):
    """Why an order is cancelled."""

    reason = Text(required=True, min=2, max=200)
