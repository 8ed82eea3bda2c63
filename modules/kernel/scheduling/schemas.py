"""The wire of scheduling."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Day, Id, PriceField, QueryId, Text

PERIODS = ("上午", "下午", "夜间", "全天")


def _capacity() -> fields.Integer:
    return fields.Integer(required=True, strict=True, validate=validate.Range(1, 500, error="号数应为 1 至 500"))


def _revision() -> fields.Integer:
    return fields.Integer(required=True, strict=True, validate=validate.Range(1, 2**31 - 1))


def _position() -> fields.Integer:
    return fields.Integer(load_default=0, strict=True, validate=validate.Range(0, 9999, error="应为 0 至 9999"))


class SessionQuery(Schema):
    """Which day's sessions (default today), of which department."""

    day = Day(load_default=None)
    department_id = QueryId(load_default=None)


class ClinicSessionOut(Schema):
    """A session with its free slots and fee; ``over``: its period has ended; ``keys``: what department and doctor are found
    by while typing."""

    id = fields.Integer()
    day = Day()
    period = fields.String()
    level = fields.String()
    department_id = fields.Integer()
    department = fields.String()
    department_code = fields.String()
    doctor_id = fields.Integer(allow_none=True)
    doctor = fields.String(allow_none=True)
    title = fields.String(allow_none=True)
    capacity = fields.Integer()
    extra = fields.Integer()
    taken = fields.Integer()
    free = fields.Integer()
    over = fields.Boolean()
    state = fields.String()
    price = PriceField(allow_none=True)
    template_id = fields.Integer(allow_none=True)
    reason = fields.String(allow_none=True)
    changed_at = fields.DateTime(allow_none=True)
    changed_by_name = fields.String(allow_none=True)
    keys = fields.List(fields.String())


class SessionsOut(Schema):
    """All sessions of the day."""

    items = fields.List(fields.Nested(ClinicSessionOut))


class RegistrationOut(Schema):
    """A registration as lists show it."""

    id = fields.Integer()
    number = fields.String()
    person_id = fields.Integer()
    encounter_id = fields.Integer()
    day = Day()
    period = fields.String()
    department = fields.String()
    doctor = fields.String(allow_none=True)
    level = fields.String()
    queue_no = fields.Integer()
    state = fields.String()
    way = fields.String()
    no_show = fields.Boolean()
    settlement_id = fields.Integer(allow_none=True)
    registered_at = fields.DateTime()
    registered_by_name = fields.String()


class RegistrationsQuery(Schema):
    """Registrations of a person or a day."""

    person_id = QueryId(load_default=None)
    day = Day(load_default=None)


class RegistrationsOut(Schema):
    """A list of registrations."""

    items = fields.List(fields.Nested(RegistrationOut))


class ExtraSlotsQuery(Schema):
    """Extra slots of a session or for a person."""

    session_id = QueryId(load_default=None)
    person_id = QueryId(load_default=None)


class ExtraSlotIn(Schema):
    """Whom the doctor lets in beyond the capacity, and why."""

    person_id = Id(required=True)
    reason = Text(required=True, min=2, max=200)


class ExtraSlotOut(Schema):
    """An extra slot."""

    id = fields.Integer()
    session_id = fields.Integer()
    person_id = fields.Integer()
    name = fields.String()
    outpatient_no = fields.String()
    department = fields.String()
    day = Day()
    period = fields.String()
    reason = fields.String()
    state = fields.String()
    granted_at = fields.DateTime()
    granted_by_name = fields.String()


class ExtraSlotsOut(Schema):
    """Extra slots from today on."""

    items = fields.List(fields.Nested(ExtraSlotOut))


class LevelIn(Schema):
    """A new kind of registration and its fee."""

    code = Text(required=True, min=1, max=20)
    item_id = Id(required=True)
    position = _position()


class LevelChange(Schema):
    """A change of a kind of registration."""

    item_id = Id(required=True)
    position = _position()
    active = fields.Boolean(required=True)
    revision = _revision()


class LevelOut(Schema):
    """A kind of registration with its fee of today in yuan."""

    id = fields.Integer()
    code = fields.String()
    item_id = fields.Integer()
    item_code = fields.String()
    item = fields.String()
    price = PriceField(allow_none=True)
    position = fields.Integer()
    active = fields.Boolean()
    revision = fields.Integer()


class LevelsOut(Schema):
    """All kinds of registration."""

    items = fields.List(fields.Nested(LevelOut))


class TemplatesQuery(Schema):
    """Which lines of the weekly schedule."""

    department_id = QueryId(load_default=None)
    doctor_id = QueryId(load_default=None)
    weekday = fields.Integer(load_default=None, validate=validate.Range(1, 7, error="星期应为 1 至 7"))
    state = Choice("active", "stopped", "all", load_default="active")


class TemplateIn(Schema):
    """A line of the weekly schedule; no doctor = the department."""

    department_id = Id(required=True)
    doctor_id = Id(load_default=None, allow_none=True)
    weekday = fields.Integer(required=True, strict=True, validate=validate.Range(1, 7, error="星期应为 1 至 7"))
    period = Choice(*PERIODS, required=True)
    level = Text(required=True, min=1, max=20)
    capacity = _capacity()


class TemplateChange(Schema):
    """What can change in a line of the weekly schedule."""

    capacity = _capacity()
    active = fields.Boolean(required=True)
    revision = _revision()


class TemplateOut(Schema):
    """A line of the weekly schedule."""

    id = fields.Integer()
    department_id = fields.Integer()
    department = fields.String()
    doctor_id = fields.Integer(allow_none=True)
    doctor = fields.String(allow_none=True)
    title = fields.String(allow_none=True)
    weekday = fields.Integer()
    period = fields.String()
    level = fields.String()
    capacity = fields.Integer()
    active = fields.Boolean()
    revision = fields.Integer()


class TemplatesOut(Schema):
    """Lines of the weekly schedule."""

    items = fields.List(fields.Nested(TemplateOut))


class GenerateIn(Schema):
    """The days to make sessions for, both included."""

    first = Day(required=True)
    last = Day(required=True)


class GeneratedOut(Schema):
    """How many sessions are new."""

    made = fields.Integer()


class SessionIn(Schema):
    """A session of one day beside the weekly schedule."""

    day = Day(required=True)
    department_id = Id(required=True)
    doctor_id = Id(load_default=None, allow_none=True)
    period = Choice(*PERIODS, required=True)
    level = Text(required=True, min=1, max=20)
    capacity = _capacity()


class ReasonIn(Schema):
    """Why a session is stopped or resumed."""

    reason = Text(required=True, min=2, max=200)


class CapacityIn(Schema):
    """How many places a session has."""

    capacity = _capacity()


class SessionStateOut(Schema):
    """A session after it was changed."""

    id = fields.Integer()
    day = Day()
    capacity = fields.Integer()
    extra = fields.Integer()
    taken = fields.Integer()
    state = fields.String()
    reason = fields.String(allow_none=True)
    changed_at = fields.DateTime(allow_none=True)
    changed_by_name = fields.String(allow_none=True)
