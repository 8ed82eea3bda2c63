"""Behind the window: shifts, approvals, receipt numbers."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Id, MoneyField, QueryId, Text


class ShiftsQuery(Schema):
    """Which shifts; ``mine`` = the signed-in cashier's."""

    mine = fields.Boolean(load_default=True)
    state = Choice("open", "closed", "handed_over", load_default=None)


class CloseShiftIn(Schema):
    """What lies in the drawer, in yuan; empty when it was not counted."""

    counted_cash = MoneyField(load_default=None, allow_none=True, low="0")


class ShiftOut(Schema):
    """A shift; ``statement`` are its figures, frozen once it is closed."""

    id = fields.Integer()
    number = fields.String()
    cashier_name = fields.String()
    state = fields.String()
    opened_at = fields.DateTime()
    closed_at = fields.DateTime(allow_none=True)
    counted_cash = MoneyField(allow_none=True)
    cash_difference = MoneyField(allow_none=True)
    receiver_name = fields.String(allow_none=True)
    received_at = fields.DateTime(allow_none=True)
    statement = fields.Raw(allow_none=True)


class ShiftsOut(Schema):
    """A list of shifts."""

    items = fields.List(fields.Nested(ShiftOut))


class ApprovalIn(Schema):
    """A refund that needs a second person."""

    settlement_id = Id(required=True)
    amount = MoneyField(required=True, positive=True)
    reason = Text(required=True, min=2, max=200)


class DecideIn(Schema):
    """The second person's decision; a refusal says why."""

    approve = fields.Boolean(required=True)
    note = Text(load_default="", max=200)


class ApprovalOut(Schema):
    """A refund approval."""

    id = fields.Integer()
    settlement_id = fields.Integer()
    number = fields.String()
    total = MoneyField()
    amount = MoneyField()
    reason = fields.String()
    state = fields.String()
    requested_by_name = fields.String()
    requested_at = fields.DateTime()
    decided_by_name = fields.String(allow_none=True)
    decided_at = fields.DateTime(allow_none=True)
    decision_note = fields.String(allow_none=True)


class ApprovalsQuery(Schema):
    """Approvals in a state."""

    state = Choice("requested", "approved", "declined", "used", load_default="requested")


class ApprovalsOut(Schema):
    """A list of approvals."""

    items = fields.List(fields.Nested(ApprovalOut))


class RangeIn(Schema):
    """A run of receipt numbers for a cashier."""

    holder_id = Id(required=True)
    first = Id(required=True)
    last = Id(required=True)
    prefix = fields.String(load_default="", validate=validate.Regexp(r"^[A-Z0-9]{0,8}\Z", error="前缀最多 8 位大写字母或数字"))


class RangesQuery(Schema):
    """Whose runs of receipt numbers (empty: everybody's, for whoever grants them), and in which state."""

    holder_id = QueryId(load_default=None)
    state = Choice("open", "used", "all", load_default="open")


class RangeOut(Schema):
    """A run of receipt numbers, and what became of its numbers: used, void, left."""

    id = fields.Integer()
    holder_id = fields.Integer()
    holder = fields.String()
    prefix = fields.String()
    first = fields.Integer()
    last = fields.Integer()
    next = fields.Integer()
    first_number = fields.String()
    last_number = fields.String()
    next_number = fields.String(allow_none=True)
    count = fields.Integer()
    used = fields.Integer()
    void = fields.Integer()
    left = fields.Integer()
    state = fields.String()
    granted_at = fields.DateTime()


class RangesOut(Schema):
    """Runs of receipt numbers."""

    items = fields.List(fields.Nested(RangeOut))


class GrantedOut(Schema):
    """A run that was granted."""

    id = fields.Integer()
    first = fields.Integer()
    last = fields.Integer()


class HolderOut(Schema):
    """Somebody who may hold receipt numbers."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()


class HoldersOut(Schema):
    """Who may hold receipt numbers."""

    items = fields.List(fields.Nested(HolderOut))


class VoidOut(Schema):
    """A spoilt number."""

    number = fields.String()
    reason = fields.String()
    voided_at = fields.DateTime()
    voided_by_name = fields.String()


class VoidsOut(Schema):
    """Spoilt numbers."""

    items = fields.List(fields.Nested(VoidOut))


class VoidIn(Schema):
    """Why something is void."""

    reason = Text(required=True, min=2, max=200)


class VoidNumbersIn(VoidIn):
    """Why the next forms are spoilt, how many, and the number on the first of them."""

    first = Text(load_default=None, max=20)
    count = fields.Integer(load_default=1, strict=True, validate=validate.Range(
        1, 100, error="一次作废 1 至 100 张"))


class NumbersOut(Schema):
    """Receipt numbers."""

    numbers = fields.List(fields.String())
