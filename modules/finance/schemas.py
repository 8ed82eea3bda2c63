"""The wire of statements and differences."""

from __future__ import annotations

from marshmallow import Schema, fields

from his_server.wire import Choice, Day, MoneyField, PageQuery, Text, paged
from modules.finance.rules import KINDS
from modules.finance.service import STATE_NAMES
from modules.kernel.charging.ports import CHANNELS


class StatementsQuery(Schema):
    """From which day to which, 31 days at most."""

    start = Day(required=True)
    end = Day(required=True)


class StatementOut(Schema):
    """A channel's day; without ``fetched`` its statement is missing."""

    id = fields.String()
    channel = fields.String()
    channel_name = fields.String()
    day = Day()
    fetched = fields.Boolean()
    row_count = fields.Integer(allow_none=True)
    paid = MoneyField(allow_none=True)
    returned = MoneyField(allow_none=True)
    fees = MoneyField(allow_none=True)
    matched = fields.Integer(allow_none=True)
    open = fields.Integer()
    fetched_at = fields.DateTime(allow_none=True)
    fetched_by_name = fields.String(allow_none=True)


class StatementsOut(Schema):
    """Days and channels."""

    items = fields.List(fields.Nested(StatementOut))


class FetchIn(Schema):
    """Which statement to download."""

    channel = Choice(*CHANNELS, required=True)
    day = Day(required=True)


class DifferencesQuery(PageQuery):
    """Which differences."""

    state = Choice(*STATE_NAMES, load_default=None, allow_none=True)
    channel = Choice(*CHANNELS, load_default=None, allow_none=True)
    kind = Choice(*KINDS, load_default=None, allow_none=True)


class DifferenceOut(Schema):
    """A difference."""

    id = fields.Integer()
    channel = fields.String()
    number = fields.String()
    kind = fields.String()
    act = fields.String()
    day = Day()
    ours = MoneyField(allow_none=True)
    theirs = MoneyField(allow_none=True)
    our_state = fields.String()
    state = fields.String()
    name = fields.String()
    outpatient_no = fields.String()
    begun_at = fields.DateTime(allow_none=True)
    found_at = fields.DateTime()
    decision = fields.String()
    reason = fields.String()
    settled_by_name = fields.String()
    settled_at = fields.DateTime(allow_none=True)


class RowOut(Schema):
    """A row of a statement."""

    kind = fields.String()
    peer_number = fields.String()
    amount = MoneyField()
    happened_at = fields.DateTime()
    day = Day()


class AttemptOut(Schema):
    """What was tried."""

    act = fields.String()
    at = fields.DateTime()
    outcome = fields.String()
    message = fields.String(allow_none=True)
    by_name = fields.String()


class DifferenceDetail(DifferenceOut):
    """With both sides' rows."""

    rows = fields.List(fields.Nested(RowOut))
    attempts = fields.List(fields.Nested(AttemptOut))


class SettleIn(Schema):
    """What a person found out."""

    decision = Choice("explain", "adopt", required=True)
    reason = Text(required=True, min=2, max=200)


DifferencePage = paged(DifferenceOut)
MOST_DAYS = 31
