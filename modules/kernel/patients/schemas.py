"""The wire of patients."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Day, Id, PageQuery, Revision, Text, paged
from modules.kernel.patients.service.access import KINDS as PROTECTION_KINDS
from modules.kernel.patients.service.identifiers import KINDS
from modules.kernel.patients.service.recognising import CARD_KINDS
from modules.kernel.patients.service.records import SEALED_FIELDS


class SearchQuery(Schema):
    """What was typed or scanned."""

    q = Text(required=True, min=1, max=60)
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 50, error="每次 1 至 50 人"))


class BriefOut(Schema):
    """A person in a list, masked."""

    id = fields.Integer()
    name = fields.String()
    sex = fields.String()
    age = fields.String(allow_none=True)
    outpatient_no = fields.String()
    masked_id = fields.String(allow_none=True)
    masked_phone = fields.String(allow_none=True)
    unknown = fields.Boolean()
    restricted = fields.Boolean()


class ShownOut(Schema):
    """Who somebody is, in the words of every patient bar and worklist. The one place where that is said on the wire."""

    name = fields.String()
    sex = fields.String()
    birth_date = Day(allow_none=True)
    outpatient_no = fields.String()


class WhoOut(ShownOut):
    """A person with the key of the file."""

    id = fields.Integer()


class PatientOut(WhoOut):
    """A person under treatment: allergies are what whoever gives drugs must see."""

    allergies = fields.String(allow_none=True)


class FoundOut(Schema):
    """Persons found."""

    items = fields.List(fields.Nested(BriefOut))


class RegionOut(Schema):
    """A region as it is today and as it was entered."""

    code = fields.String()
    present_code = fields.String()
    present_name = fields.String()
    original_code = fields.String()
    original_name = fields.String()


class PersonOut(Schema):
    """A person's file, masked."""

    id = fields.Integer()
    revision = fields.Integer()
    name = fields.String()
    sex = fields.String()
    age = fields.String(allow_none=True)
    birth_date = Day(allow_none=True)
    birth_date_known = fields.Boolean()
    id_type = fields.String(allow_none=True)
    masked_id = fields.String(allow_none=True)
    masked_phone = fields.String(allow_none=True)
    masked_insurance_no = fields.String(allow_none=True)
    masked_work_phone = fields.String(allow_none=True)
    masked_contact_phone = fields.String(allow_none=True)
    nationality = fields.String(allow_none=True)
    ethnic = fields.String(allow_none=True)
    marriage = fields.String(allow_none=True)
    occupation = fields.String(allow_none=True)
    allergies = fields.String(allow_none=True)
    outpatient_no = fields.String()
    home_region = fields.Nested(RegionOut, allow_none=True)
    home_address = fields.String(allow_none=True)
    home_postcode = fields.String(allow_none=True)
    household_region = fields.Nested(RegionOut, allow_none=True)
    household_address = fields.String(allow_none=True)
    birth_region = fields.Nested(RegionOut, allow_none=True)
    birth_address = fields.String(allow_none=True)
    native_region = fields.Nested(RegionOut, allow_none=True)
    work_unit = fields.String(allow_none=True)
    work_region = fields.Nested(RegionOut, allow_none=True)
    work_address = fields.String(allow_none=True)
    contact_name = fields.String(allow_none=True)
    contact_relation = fields.String(allow_none=True)
    mother_id = fields.Integer(allow_none=True)
    merged_into_id = fields.Integer(allow_none=True)
    unknown = fields.Boolean()
    created_at = fields.DateTime()


def _code(length: int) -> Text:
    return Text(allow_none=True, max=length)


class PersonFields(Schema):
    """What can be said of a person; anything may be left out or empty, nothing is defaulted."""

    name = Text(max=100)
    sex = _code(1)
    birth_date = Day(allow_none=True)
    birth_date_known = fields.Boolean()
    id_type = _code(2)
    id_no = _code(40)
    phone = _code(30)
    insurance_no = _code(40)
    nationality = _code(3)
    ethnic = _code(2)
    marriage = _code(2)
    occupation = _code(4)
    allergies = Text(allow_none=True, max=200)
    home_region = _code(12)
    home_detail = Text(allow_none=True, max=200)
    home_postcode = _code(6)
    household_region = _code(12)
    household_detail = Text(allow_none=True, max=200)
    birth_region = _code(12)
    birth_detail = Text(allow_none=True, max=200)
    native_region = _code(12)
    work_unit = Text(allow_none=True, max=100)
    work_region = _code(12)
    work_detail = Text(allow_none=True, max=200)
    work_phone = _code(30)
    contact_name = Text(allow_none=True, max=100)
    contact_relation = _code(2)
    contact_phone = _code(30)
    mother_id = Id(allow_none=True)


class CreateIn(PersonFields):
    """A new file. ``confirmed``: the clerk has seen the similar ones; ``unknown``: 无名氏."""

    confirmed = fields.Boolean(load_default=False)
    unknown = fields.Boolean(load_default=False)
    hospital_card = _code(40)
    social_card = _code(40)


class ChangeIn(PersonFields):
    """Changes of a file as it was at ``revision``."""

    revision = Revision(required=True)


class UnmaskIn(Schema):
    """Which sealed fields are to be seen, and why."""

    fields_ = fields.List(fields.String(validate=validate.OneOf(SEALED_FIELDS, error="没有这个项目")), required=True,
                          data_key="fields", validate=validate.Length(1, 20, error="请选择 1 至 20 项"))
    reason = Text(required=True, min=2, max=200)


class ChangeOut(Schema):
    """One changed field."""

    field = fields.String()
    title = fields.String()
    before = fields.String(allow_none=True)
    after = fields.String(allow_none=True)
    changed_at = fields.DateTime()
    changed_by_name = fields.String()
    terminal = fields.String()


class TimelineOut(Schema):
    """All changes, newest first."""

    items = fields.List(fields.Nested(ChangeOut))


class MergeIn(Schema):
    """Which file survives and which is merged into it."""

    survivor_id = Id(required=True)
    merged_id = Id(required=True)
    reason = Text(required=True, min=2, max=200)


class UnmergeIn(Schema):
    """Which merge is undone."""

    merge_id = Id(required=True)
    reason = Text(required=True, min=2, max=200)


class MergeOut(Schema):
    """A merge."""

    id = fields.Integer()
    survivor_id = fields.Integer()
    merged_id = fields.Integer()
    reason = fields.String()
    merged_at = fields.DateTime()
    merged_by_name = fields.String()
    undone_at = fields.DateTime(allow_none=True)
    undone_by_name = fields.String(allow_none=True)


class MergesOut(Schema):
    """Merges of a person."""

    items = fields.List(fields.Nested(MergeOut))


class NumberIn(Schema):
    """One more number of a person."""

    kind = Choice(*KINDS, required=True)
    number = Text(required=True, min=3, max=40)


class NumberOut(Schema):
    """A number, masked."""

    id = fields.Integer()
    kind = fields.String()
    title = fields.String()
    number = fields.String()
    active = fields.Boolean()
    added_at = fields.DateTime()
    ended_at = fields.DateTime(allow_none=True)


class NumbersOut(Schema):
    """All numbers of a person."""

    items = fields.List(fields.Nested(NumberOut))


class EndIn(Schema):
    """Why a number ends."""

    reason = Text(required=True, min=2, max=200)


class RecogniseIn(Schema):
    """What a reader agent read from a card."""

    kind = Choice(*CARD_KINDS, required=True)
    id_no = Text(load_default="", max=40)
    card_no = Text(load_default="", max=40)
    name = Text(load_default="", max=100)
    sex = Text(load_default=None, allow_none=True, max=1)
    birth_date = Day(load_default=None, allow_none=True)
    address = Text(load_default="", max=200)


class RecognisedOut(Schema):
    """Whose card it is, or a prefilled form."""

    items = fields.List(fields.Nested(BriefOut))
    linked = fields.Boolean()
    form = fields.Dict(keys=fields.String())


class ProtectIn(Schema):
    """A decision on a person's protection. ``level`` 1 to 5 (GB/T 39725); ``locked``: 封存."""

    level = fields.Integer(required=True, validate=validate.Range(1, 5, error="级别为 1 至 5 级"))
    kinds = fields.List(Choice(*PROTECTION_KINDS), load_default=list, validate=validate.Length(0, 8, error="最多 8 类"))
    locked = fields.Boolean(load_default=False)
    reason = Text(required=True, min=2, max=200)


class ProtectionOut(Schema):
    """A decision."""

    level = fields.Integer()
    kinds = fields.List(fields.String())
    locked = fields.Boolean()
    reason = fields.String()
    decided_at = fields.DateTime()
    decided_by_name = fields.String()
    in_force = fields.Boolean()


class ProtectionsOut(Schema):
    """All decisions on a person."""

    items = fields.List(fields.Nested(ProtectionOut))


class ProtectedQuery(PageQuery):
    """Which files: sealed ones, those of level 4 and 5, or both."""

    which = Choice("all", "locked", "restricted", load_default="all")


class ProtectedOut(ProtectionOut):
    """A file that isn't open to everybody, and the decision in force."""

    class Meta:
        exclude = ("in_force",)

    id = fields.Integer()
    person_id = fields.Integer()
    outpatient_no = fields.String()
    name = fields.String()
    sex = fields.String()
    age = fields.String(allow_none=True)


ProtectedsOut = paged(ProtectedOut)


class EmergencyIn(Schema):
    """Why a restricted file must be opened now."""

    reason = Text(required=True, min=4, max=200)


class EmergencyOut(Schema):
    """An emergency access."""

    id = fields.Integer()
    person_id = fields.Integer()
    user_name = fields.String()
    reason = fields.String()
    opened_at = fields.DateTime()
    until = fields.DateTime()


class EmergenciesOut(Schema):
    """The latest emergency accesses."""

    items = fields.List(fields.Nested(EmergencyOut))
