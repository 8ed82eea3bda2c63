"""The wire of the pharmacists' screen."""

from __future__ import annotations

from marshmallow import Schema, fields

from his_server.wire import Choice, PageQuery, Text, paged

VIEWS = ("alarm", "open", "all")


class OrdersQuery(PageQuery):
    """Which: those with an alarm, those on their way or refused, or all."""

    view = Choice(*VIEWS, load_default="alarm")


class OrderOut(Schema):
    """A prescription at the machine."""

    id = fields.Integer()
    number = fields.String()
    store = fields.String()
    window = fields.Integer()
    machine_window = fields.String()
    state = fields.String()
    note = fields.String()
    alarm = fields.Boolean()
    name = fields.String()
    outpatient_no = fields.String()
    made_at = fields.DateTime()
    sent_at = fields.DateTime(allow_none=True)
    changed_at = fields.DateTime()


class SeenIn(Schema):
    """What was done about an alarm."""

    reason = Text(required=True, min=2, max=100)


OrdersOut = paged(OrderOut)
