"""The wire of sign-in, accounts, roles and audit."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Day, Id, Moment, PageQuery, QueryId, Text


def _hex(longest: int) -> fields.String:
    return fields.String(required=True, validate=validate.And(
        validate.Length(max=longest, error="内容过长"), validate.Regexp(r"^[0-9a-fA-F]*$", error="应为十六进制")))


class Sealed(Schema):
    """A secret sealed in the browser: SM2 C1C3C2 of JSON with the nonce of the challenge, hex."""

    kid = fields.String(required=True, validate=validate.Length(max=16))
    sealed = _hex(4096)


class SignIn(Sealed):
    """First step of signing in."""

    login = fields.String(required=True, validate=validate.Length(1, 80, error="请填写登录名"))


class SecondFactor(Schema):
    """Second step."""

    ticket = fields.String(required=True, validate=validate.Length(max=100))
    code = fields.String(required=True, validate=validate.Length(max=12))


class CertificateAnswer(Schema):
    """The answer to a challenge with an SM2 certificate; ``signature`` is r‖s in hex."""

    login = fields.String(required=True, validate=validate.Length(1, 80, error="请填写登录名"))
    nonce = _hex(400)
    certificate = fields.String(required=True, validate=validate.Length(1, 8000))
    signature = _hex(128)
    ticket = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=100))


class NewPassword(Sealed):
    """Change of one's own password; ``ticket`` when the sign-in asked for it."""

    login = fields.String(load_default="", validate=validate.Length(max=80))
    ticket = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=100))


class UserQuery(PageQuery):
    """Accounts whose login or name begins with ``q``."""

    q = Text(max=40, load_default="")
    state = Choice("active", "disabled", load_default=None)
    role = fields.String(load_default=None, validate=validate.Length(max=40))
    unused_days = fields.Integer(load_default=None, validate=validate.Range(1, 3650))


class Grant(Schema):
    """A role, everywhere or in one department."""

    role = fields.String(required=True, validate=validate.Length(max=40))
    department_id = Id(load_default=None, allow_none=True)


class NewUser(Sealed):
    """A new account; the first password is sealed like a sign-in."""

    login = fields.String(required=True, validate=validate.Length(1, 80))
    name = Text(max=60, min=1, required=True)
    staff_id = Id(load_default=None, allow_none=True)
    department_id = Id(load_default=None, allow_none=True)
    valid_until = Day(load_default=None, allow_none=True)


class ChangedUser(Schema):
    """What a system administrator may change."""

    name = Text(max=60, min=1, required=True)
    department_id = Id(load_default=None, allow_none=True)
    valid_until = Day(load_default=None, allow_none=True)
    active = fields.Boolean(required=True)


class Grants(Schema):
    """All grants of an account."""

    grants = fields.List(fields.Nested(Grant), required=True, validate=validate.Length(max=50))


class ChangedRole(Schema):
    """A role and its permissions."""

    title = Text(max=60, min=1, required=True)
    permissions = fields.List(fields.String(validate=validate.Length(max=80)), required=True,
                              validate=validate.Length(max=1000))
    second_factor = fields.Boolean(load_default=False)
    active = fields.Boolean(load_default=True)


class Certificate(Schema):
    """An SM2 certificate, PEM."""

    certificate = fields.String(required=True, validate=validate.Length(1, 8000))


class AuditQuery(PageQuery):
    """Which audit rows; instants with zone."""

    since = Moment(load_default=None)
    until = Moment(load_default=None)
    user_id = QueryId(load_default=None)
    login = fields.String(load_default=None, validate=validate.Length(max=40))
    event = fields.String(load_default=None, validate=validate.Length(max=60))
    object_type = fields.String(load_default=None, validate=validate.Length(max=60))
    object_id = fields.String(load_default=None, validate=validate.Length(max=80))
    success = fields.Boolean(load_default=None)
