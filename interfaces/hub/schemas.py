"""The wire of the log page."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, PageQuery, Text, paged

OUTCOMES = ("ok", "refused", "unknown", "failed")


class CallsQuery(PageQuery):
    """The search box and the filters."""

    q = Text(max=60, load_default="")
    interface = Text(max=40, load_default=None)
    operation = Text(max=40, load_default=None)
    outcome = Choice(*OUTCOMES, load_default=None)
    direction = Choice("in", "out", load_default=None)
    start = fields.AwareDateTime(load_default=None)
    end = fields.AwareDateTime(load_default=None)


class CallItem(Schema):
    """A call in a list."""

    id = fields.Integer()
    started_at = fields.DateTime()
    trace_id = fields.String()
    interface = fields.String()
    interface_name = fields.String()
    operation = fields.String()
    operation_name = fields.String()
    direction = fields.String()
    business_key = fields.String()
    person_id = fields.Integer(allow_none=True)
    actor_name = fields.String()
    outcome = fields.String()
    peer_number = fields.String(allow_none=True)
    message = fields.String()
    duration_ms = fields.Integer()
    request_size = fields.Integer()
    answer_size = fields.Integer()


class CallsOut(paged(CallItem)):  # type: ignore[misc]
    """One page, and what the text was taken for."""

    understood = fields.String()


class CallOut(CallItem):
    """A call with its masked bodies and the other attempts at the same."""

    request = fields.String()
    answer = fields.String()
    attempts = fields.List(fields.Nested(CallItem))


class TimelineItem(Schema):
    """A moment of a business action."""

    at = fields.DateTime()
    kind = fields.String()
    id = fields.Integer(allow_none=True)
    title = fields.String()
    outcome = fields.String()
    duration_ms = fields.Integer(allow_none=True)
    text = fields.String(allow_none=True)


class TimelineOut(Schema):
    """A business action across all systems, in order of time."""

    items = fields.List(fields.Nested(TimelineItem))
    numbers = fields.List(fields.String())


class ReasonIn(Schema):
    """Why."""

    reason = Text(min=2, max=200, required=True)


class BodiesOut(Schema):
    """The whole bodies."""

    request = fields.String()
    answer = fields.String()


class ReplayOut(Schema):
    """What was done."""

    message = fields.String()


class StatisticsQuery(Schema):
    """Over how many hours."""

    hours = fields.Integer(load_default=24, validate=validate.Range(1, 168, error="只能查看 1 至 168 小时"))


class Figures(Schema):
    """One interface's hours."""

    interface = fields.String()
    name = fields.String()
    total = fields.Integer()
    errors = fields.Integer()
    refused = fields.Integer()
    mean_ms = fields.Integer()
    p95 = fields.String()
    calls = fields.List(fields.Integer())
    failures = fields.List(fields.Integer())


class StatisticsOut(Schema):
    """Figures per interface; ``hours`` are the columns' names."""

    hours = fields.List(fields.String())
    interfaces = fields.List(fields.Nested(Figures))


class ManifestOut(Schema):
    """An interface of the registry."""

    package = fields.String()
    id = fields.String()
    name = fields.String()
    owner = fields.String()
    direction = fields.String()
    transport = fields.String()
    version = fields.String()
    timeout_seconds = fields.Integer()
    lost_answer = fields.String()
    quality = fields.String()
    rate_per_second = fields.Integer()
    sensitive = fields.List(fields.String())
    bound = fields.Boolean()


class RegistryOut(Schema):
    """All interfaces."""

    items = fields.List(fields.Nested(ManifestOut))
