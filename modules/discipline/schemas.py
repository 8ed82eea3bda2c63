"""The wire of the discipline office."""

from __future__ import annotations

from marshmallow import Schema, fields

from his_server.wire import Choice, Day, Id, Text


class GrantIn(Schema):
    """Which days, narrowed to whom or what, and why."""

    first_day = Day(required=True)
    last_day = Day(required=True)
    reason = Text(required=True, min=4, max=200)
    department_id = Id(load_default=None, allow_none=True)
    doctor_id = Id(load_default=None, allow_none=True)
    drug_id = Id(load_default=None, allow_none=True)


class DecideIn(Schema):
    """The second person's decision."""

    approve = fields.Boolean(required=True)


class GrantsQuery(Schema):
    """Requests in a state."""

    state = Choice("requested", "approved", "declined", load_default=None)


class GrantOut(Schema):
    """A request and what became of it."""

    id = fields.Integer()
    first_day = Day()
    last_day = Day()
    department = fields.String(allow_none=True)
    doctor = fields.String(allow_none=True)
    drug = fields.String(allow_none=True)
    reason = fields.String()
    state = fields.String()
    mine = fields.Boolean()
    requested_by_name = fields.String()
    requested_at = fields.DateTime()
    decided_by_name = fields.String(allow_none=True)
    decided_at = fields.DateTime(allow_none=True)
    valid_until = fields.DateTime(allow_none=True)


class GrantsOut(Schema):
    """A list of requests."""

    items = fields.List(fields.Nested(GrantOut))
