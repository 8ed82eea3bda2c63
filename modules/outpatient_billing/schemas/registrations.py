"""The wire of the registration and cancellation windows."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Day, Id, MoneyField, PageQuery, PriceField, QueryId, Text, paged
from modules.outpatient_billing.schemas.window import PaymentIn, RefundedOut, ReturnIn, SettledOut

_payments = validate.Length(max=10, error="最多 10 笔支付")


class BookIn(Schema):
    """Whom to book into which session of a later day."""

    person_id = Id(required=True)
    session_id = Id(required=True)
    insurance = Text(load_default="自费", max=20)


class HoldIn(Schema):
    """Whom to hold a place for, in which session."""

    person_id = Id(required=True)
    session_id = Id(required=True)


class TakeIn(Schema):
    """How the fee is paid; ``expected_total`` is what the screen showed."""

    payments = fields.List(fields.Nested(PaymentIn), load_default=list, validate=_payments)
    expected_total = MoneyField(required=True, low="0")


class RegisterIn(BookIn, TakeIn):
    """A registration and how its fee is paid."""


class RenewIn(Schema):
    """Whom to register again, free of charge, in which session."""

    person_id = Id(required=True)
    session_id = Id(required=True)


class RegisteredOut(SettledOut):
    """What a registration made; without a settlement while it is only booked."""

    id = fields.Integer(allow_none=True)
    number = fields.String(allow_none=True)
    registration_id = fields.Integer()
    registration_number = fields.String()
    queue_no = fields.Integer()
    day = Day()
    state = fields.String()
    way = fields.String()


class HeldOut(RegisteredOut):
    """A held place and the lines of its fee, which stand open."""

    line_ids = fields.List(fields.Integer())
    fee = MoneyField()


class CancelRegistrationIn(Schema):
    """Why a registration is cancelled."""

    reason = Text(required=True, min=2, max=200)
    returns = fields.List(fields.Nested(ReturnIn), load_default=list,
                          validate=validate.Length(max=10, error="最多 10 笔"))


class ChangePreviewIn(Schema):
    """Where the registration would move to."""

    session_id = Id(required=True)


class ChangePreviewOut(Schema):
    """What would go back and what would be charged; ``same``: the fee stays as it is."""

    refund = MoneyField()
    charge = MoneyField()
    same = fields.Boolean()
    fee = PriceField()
    insured = fields.Boolean()


class ChangeIn(TakeIn):
    """Where a registration moves to and why; payments pay the new fee whole, the old one goes back the way it came."""

    session_id = Id(required=True)
    reason = Text(required=True, min=2, max=200)


class ChangedOut(RegisteredOut):
    """A moved registration and what went back."""

    refund = fields.Nested(RefundedOut, allow_none=True)


class RegistrationsQuery(PageQuery):
    """``q``: registration, settlement or visit number, any number, name or pinyin of the person."""

    q = Text(load_default="", max=60)
    day_from = Day(load_default=None)
    day_to = Day(load_default=None)
    state = Choice("booked", "registered", "cancelled", load_default=None)
    department_id = QueryId(load_default=None)
    doctor_id = QueryId(load_default=None)


class RegistrationItemOut(Schema):
    """A registration in a list; the name masked for whoever may not see names."""

    id = fields.Integer()
    number = fields.String()
    person_id = fields.Integer()
    encounter_id = fields.Integer()
    visit_no = fields.String()
    visit_state = fields.String()
    name = fields.String()
    outpatient_no = fields.String()
    day = Day()
    period = fields.String()
    department = fields.String()
    doctor = fields.String(allow_none=True)
    level = fields.String()
    queue_no = fields.Integer()
    state = fields.String()
    way = fields.String()
    no_show = fields.Boolean()
    channel = fields.String()
    settlement_id = fields.Integer(allow_none=True)
    registered_at = fields.DateTime()
    registered_by_name = fields.String()
    cancelled_at = fields.DateTime(allow_none=True)
    cancelled_by_name = fields.String(allow_none=True)
    cancel_reason = fields.String(allow_none=True)


RegistrationsOut = paged(RegistrationItemOut)


class RenewalOut(Schema):
    """A registration that a free second visit could use."""

    id = fields.Integer()
    number = fields.String()
    day = Day()
    department_id = fields.Integer()
    level = fields.String()


class RenewalsOut(Schema):
    """Registrations that can be renewed today."""

    items = fields.List(fields.Nested(RenewalOut))
