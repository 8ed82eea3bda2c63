"""The wire of scheduling."""

from __future__ import annotations

from marshmallow import Schema, fields

from his_server.wire import Id, PriceField, QueryId, Text


class SessionQuery(Schema):
    """Which day's sessions (default today), of which department."""

    day = fields.Date(load_default=None)
    department_id = QueryId(load_default=None)


class ClinicSessionOut(Schema):
    """A session with its free slots and fee; ``keys``: what department and doctor are found by while typing."""

    id = fields.Integer()
    day = fields.Date()
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
    state = fields.String()
    price = PriceField(allow_none=True)
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
    day = fields.Date()
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
    day = fields.Date(load_default=None)


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
    day = fields.Date()
    period = fields.String()
    reason = fields.String()
    state = fields.String()
    granted_at = fields.DateTime()
    granted_by_name = fields.String()


class ExtraSlotsOut(Schema):
    """Extra slots from today on."""

    items = fields.List(fields.Nested(ExtraSlotOut))
