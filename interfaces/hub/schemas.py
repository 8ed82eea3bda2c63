"""The wire of the log page."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Moment, MoneyField, PageQuery, Revision, Text, paged

OUTCOMES = ("ok", "refused", "unknown", "failed")


class CallsQuery(PageQuery):
    """The search box and the filters."""

    q = Text(max=60, load_default="")
    interface = Text(max=40, load_default=None)
    operation = Text(max=40, load_default=None)
    outcome = Choice(*OUTCOMES, load_default=None)
    direction = Choice("in", "out", load_default=None)
    start = Moment(load_default=None)
    end = Moment(load_default=None)


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
    delays = fields.List(fields.Integer(allow_none=True))


class StatisticsOut(Schema):
    """Figures per interface; ``hours`` are the columns' names."""

    hours = fields.List(fields.String())
    interfaces = fields.List(fields.Nested(Figures))


class ManifestOut(Schema):
    """An interface of the registry; ``line`` ok, silent, resting or empty; ``waiting`` and ``stuck`` messages to it."""

    line = fields.String()
    last_at = fields.DateTime(allow_none=True)
    waiting = fields.Integer()
    stuck = fields.Integer()

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


class UnknownsQuery(PageQuery):
    """Which of them."""

    kind = Choice("intent", "delivery", load_default=None)


class UnknownItem(Schema):
    """Something without a clear outcome."""

    key = fields.String()
    kind = fields.String()
    id = fields.Integer()
    at = fields.DateTime()
    interface = fields.String()
    what = fields.String()
    number = fields.String()
    amount = MoneyField(allow_none=True)
    state = fields.String()
    state_name = fields.String()
    tries = fields.Integer()
    changed_at = fields.DateTime(allow_none=True)
    next_at = fields.DateTime(allow_none=True)
    owner = fields.String()
    message = fields.String()
    way_on = fields.String()


class TriedItem(Schema):
    """One try; ``call_id`` leads to its bodies."""

    at = fields.DateTime()
    what = fields.String()
    outcome = fields.String()
    message = fields.String()
    by = fields.String()
    call_id = fields.Integer(allow_none=True)


class UnknownOut(UnknownItem):
    """One of them with all that was tried."""

    tried = fields.List(fields.Nested(TriedItem))


UnknownsOut = paged(UnknownItem)


class GrantItem(Schema):
    """A use case and the fields of its answer that leave."""

    use_case = Text(min=1, max=40, required=True)
    fields_ = fields.List(Text(min=1, max=60), required=True, data_key="fields", attribute="fields",
                          validate=validate.Length(max=200, error="最多 200 个字段"))


class GrantsIn(Schema):
    """All that a partner may, in place of what it might before."""

    revision = Revision(required=True)
    grants = fields.List(fields.Nested(GrantItem), required=True, validate=validate.Length(max=200, error="最多 200 项"))


class PartnerBase(Schema):
    """What is registered of a partner."""

    name = Text(min=1, max=60, required=True)
    owner = Text(min=1, max=60, required=True)
    contact = Text(max=100, load_default="")
    addresses = Text(max=400, load_default="")
    per_minute = fields.Integer(required=True, strict=True, validate=validate.Range(1, 100_000, error="每分钟 1 至 100000 次"))


class PartnerIn(PartnerBase):
    """A new partner."""

    code = Text(min=2, max=39, required=True)


class PartnerChange(PartnerBase):
    """A changed one."""

    revision = Revision(required=True)
    active = fields.Boolean(required=True)


class PartnerKeyOut(Schema):
    """A key of a partner; ``state`` active, revoked or altered."""

    key_id = fields.String()
    state = fields.String()
    not_after = fields.DateTime()


class GrantOut(Schema):
    """What a partner may, since when; ``sound`` false: altered in the database, so it doesn't count."""

    use_case = fields.String()
    fields_ = fields.List(fields.String(), data_key="fields", attribute="fields")
    granted_at = fields.DateTime()
    granted_by_name = fields.String()
    sound = fields.Boolean()


class PartnerOut(Schema):
    """A partner with its keys, grants and calls of the last seven days."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    owner = fields.String()
    contact = fields.String()
    addresses = fields.String()
    per_minute = fields.Integer()
    active = fields.Boolean()
    revision = fields.Integer()
    created_at = fields.DateTime()
    created_by_name = fields.String()
    sound = fields.Boolean()
    keys = fields.List(fields.Nested(PartnerKeyOut))
    grants = fields.List(fields.Nested(GrantOut))
    calls = fields.Integer()
    refused = fields.Integer()
    last_at = fields.DateTime(allow_none=True)


class PartnersOut(Schema):
    """All partners."""

    items = fields.List(fields.Nested(PartnerOut))


class CaseField(Schema):
    """A field of an answer."""

    name = fields.String()
    title = fields.String()
    personal = fields.Boolean()
    key = fields.Boolean()


class UseCaseOut(Schema):
    """What can be granted."""

    code = fields.String()
    title = fields.String()
    interface = fields.String()
    method = fields.String()
    path = fields.String()
    fields_ = fields.List(fields.Nested(CaseField), data_key="fields", attribute="fields")


class UseCasesOut(Schema):
    """All that can be granted."""

    items = fields.List(fields.Nested(UseCaseOut))


class MadeOut(Schema):
    """The row as it is now."""

    id = fields.Integer()
    revision = fields.Integer()
