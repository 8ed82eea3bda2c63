"""The wire of the message page."""

from __future__ import annotations

from marshmallow import Schema, fields

from his_server.wire import Choice, Id, PageQuery, Text, paged

STATES = ("waiting", "sending", "done", "dead", "asked", "dropped")


class DeliveryQuery(PageQuery):
    """Filters of the list."""

    state = Choice(*STATES)
    destination = Text(max=60)
    business_key = Text(max=60)


class DeliveryOut(Schema):
    """A delivery."""

    id = Id()
    event_id = Id()
    event = fields.String()
    destination = fields.String()
    business_key = fields.String()
    occurred_at = fields.DateTime()
    state = fields.String()
    attempts = fields.Integer()
    next_at = fields.DateTime()
    last_error = fields.String(allow_none=True)
    finished_at = fields.DateTime(allow_none=True)
    decision = fields.String(allow_none=True)
    trace_id = fields.String()


DeliveryPage = paged(DeliveryOut)


class Reason(Schema):
    """Why a person decides so."""

    reason = Text(required=True, min=1, max=200)


class JobOut(Schema):
    """A scheduled job's last run."""

    job = fields.String()
    outcome = fields.String()
    started_at = fields.DateTime(allow_none=True)
    finished_at = fields.DateTime(allow_none=True)
    error = fields.String(allow_none=True)


class Count(Schema):
    """Open deliveries of a destination in a state."""

    destination = fields.String()
    state = fields.String()
    count = fields.Integer()


class Overview(Schema):
    """What the operator looks at first."""

    deliveries = fields.List(fields.Nested(Count))
    jobs = fields.List(fields.Nested(JobOut))
