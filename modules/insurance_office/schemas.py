"""The wire of the insurance office."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Day, Id, MoneyField, PageQuery, Text, paged
from modules.kernel.masterdata.ports import CATALOGS


class StatementsQuery(PageQuery):
    """Which statements; ``state`` deleted shows those that were taken back."""

    monthly = fields.Boolean(load_default=False)
    begin = Day(required=True)
    end = Day(required=True)
    state = Choice("draft", "uploaded", "matched", "diff", "confirmed", "deleted", load_default=None)


class StatementOut(Schema):
    """A statement; ``differences`` are those nobody has settled."""

    id = fields.Integer()
    number = fields.String()
    monthly = fields.Boolean()
    begin_day = Day()
    end_day = Day()
    insurance = fields.String()
    clearing = fields.String()
    agency = fields.String()
    revision = fields.Integer()
    state = fields.String()
    pending = fields.String(allow_none=True)
    entries = fields.Integer()
    refunds = fields.Integer()
    total = MoneyField()
    fund = MoneyField()
    account = MoneyField()
    cash = MoneyField()
    hospital = MoneyField()
    handover_no = fields.String(allow_none=True)
    message = fields.String(allow_none=True)
    changed_at = fields.DateTime()
    changed_by_name = fields.String()
    compared_at = fields.DateTime(allow_none=True)
    confirmed_at = fields.DateTime(allow_none=True)
    differences = fields.Integer()


StatementsOut = paged(StatementOut)


class DifferenceOut(Schema):
    """A row on which the books differ; amounts None: that side hasn't got it."""

    id = fields.Integer()
    statement_id = fields.Integer()
    statement_number = fields.String()
    day = Day()
    kind = fields.String()
    peer_number = fields.String()
    peer_visit = fields.String()
    message_id = fields.String()
    refund = fields.Boolean()
    our_total = MoneyField(allow_none=True)
    our_fund = MoneyField(allow_none=True)
    our_account = MoneyField(allow_none=True)
    their_total = MoneyField(allow_none=True)
    their_fund = MoneyField(allow_none=True)
    their_account = MoneyField(allow_none=True)
    memo = fields.String()
    state = fields.String()
    reason = fields.String(allow_none=True)
    message = fields.String(allow_none=True)
    found_at = fields.DateTime()
    proposed_by_name = fields.String(allow_none=True)
    decided_by_name = fields.String(allow_none=True)
    decided_at = fields.DateTime(allow_none=True)
    name = fields.String(allow_none=True)
    outpatient_no = fields.String(allow_none=True)


class StatementDetailOut(StatementOut):
    """A statement with its differences."""

    items = fields.List(fields.Nested(DifferenceOut))


class BuildIn(Schema):
    """Which day, or any day of which month."""

    day = Day(required=True)
    monthly = fields.Boolean(load_default=False)


class BuiltOut(Schema):
    """The statements that stand for the period now."""

    ids = fields.List(fields.Integer())


class DifferencesQuery(PageQuery):
    """Which differences; ``todo`` = all that nobody has settled."""

    state = Choice("todo", "open", "proposed", "reversing", "settled", "gone", load_default="todo")


DifferencesOut = paged(DifferenceOut)


class ReasonIn(Schema):
    """Why, or how it was settled."""

    reason = Text(required=True, min=4, max=200)


class DifferenceDoneOut(Schema):
    """What became of a difference."""

    id = fields.Integer()
    state = fields.String()
    message = fields.String(allow_none=True)


class FailuresQuery(PageQuery):
    """Which days, which acts, which cause."""

    day = Day(required=True)
    end = Day(load_default=None)
    act = Choice("preview", "settle", "reverse", load_default=None)
    cause = Text(load_default=None, allow_none=True, max=30)


class FailureOut(Schema):
    """A refused or unanswered call."""

    id = fields.Integer()
    at = fields.DateTime()
    act = fields.String()
    outcome = fields.String()
    cause = fields.String()
    cause_name = fields.String()
    message = fields.String(allow_none=True)
    by_name = fields.String()
    intent_id = fields.Integer()
    number = fields.String()
    person_id = fields.Integer()
    name = fields.String()
    outpatient_no = fields.String()
    total = MoneyField()
    insurance = fields.String(allow_none=True)
    now = fields.String()
    retry = fields.Boolean()


FailuresOut = paged(FailureOut)


class RetriedOut(Schema):
    """What came of trying again."""

    state = fields.String()
    message = fields.String()


class MappingsQuery(PageQuery):
    """Which of our drugs and items."""

    kind = Choice("drug", "item", load_default=None)
    state = Choice("unmapped", "draft", "uploaded", "refused", "conflict", load_default=None)
    search = Text(load_default="", max=60)


class MappingOut(Schema):
    """A drug or item of ours with the mapping in force; ``conflict``: the entry ended or its level is another."""

    kind = fields.String()
    code = fields.String()
    name = fields.String()
    spec = fields.String()
    level = fields.String()
    mapping_id = fields.Integer(allow_none=True)
    list_type = fields.String(allow_none=True)
    national = fields.String(allow_none=True)
    national_name = fields.String(allow_none=True)
    national_level = fields.String(allow_none=True)
    valid_from = Day(allow_none=True)
    state = fields.String()
    message = fields.String(allow_none=True)
    changed_at = fields.DateTime(allow_none=True)
    changed_by_name = fields.String(allow_none=True)
    conflict = fields.Boolean()


class MappingsOut(Schema):
    """A page of them, and how many there are in each state."""

    items = fields.List(fields.Nested(MappingOut))
    next = fields.String(allow_none=True)
    counts = fields.Dict(keys=fields.String(), values=fields.Integer())


class EntriesQuery(Schema):
    """A code, or the beginning of a name."""

    q = Text(required=True, min=1, max=60)
    list_type = Choice(*CATALOGS, load_default=None)


class EntryOut(Schema):
    """An entry of the insurer's catalogue."""

    id = fields.Integer()
    list_type = fields.String()
    code = fields.String()
    name = fields.String()
    spec = fields.String()
    unit = fields.String()
    manufacturer = fields.String()
    level = fields.String()
    active = fields.Boolean()


class EntriesOut(Schema):
    """Entries to choose from."""

    items = fields.List(fields.Nested(EntryOut))


class AssignIn(Schema):
    """Which entry a drug or item of ours is."""

    kind = Choice("drug", "item", required=True)
    code = Text(required=True, max=40)
    list_type = Choice(*CATALOGS, required=True)
    national = Text(required=True, max=50)


class AssignedOut(Schema):
    """The mapping."""

    id = fields.Integer()
    state = fields.String()


class UploadMappingsIn(Schema):
    """Which mappings to tell the insurer of."""

    ids = fields.List(Id(), required=True, validate=validate.Length(1, 500, error="请选择 1 至 500 条"))


class UploadedOut(Schema):
    """How many went which way."""

    uploaded = fields.Integer()
    refused = fields.Integer()
    unknown = fields.Integer()


class CatalogueIn(Schema):
    """Which catalogue to fetch."""

    list_type = Choice(*CATALOGS, required=True)


class FetchedOut(Schema):
    """How many entries came."""

    entries = fields.Integer()
