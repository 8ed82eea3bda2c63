"""The wire of what the law asks of prescriptions, of templates and of a person's earlier prescriptions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from his_server.wire import Choice, Day, Id, PageQuery, QuantityField, Text, paged
from modules.kernel.orders.schemas import PrescriptionLineIn, PrescriptionOut


class CheckIn(Schema):
    """Lines to check before they are issued."""

    encounter_id = Id(required=True)
    diagnosis = Text(required=True, min=1, max=200)
    diagnosis_code = Text(load_default="", max=40)
    lines = fields.List(fields.Nested(PrescriptionLineIn), required=True,
                        validate=validate.Length(1, 50, error="请录入 1 至 50 行"))


class FindingOut(Schema):
    """What a check found. ``level`` stop or warn; ``field`` names the line."""

    level = fields.String()
    kind = fields.String()
    field = fields.String()
    message = fields.String()


class CheckOut(Schema):
    """What the check came to; ``check_id`` goes with the prescription, empty where there is no outside check."""

    check_id = fields.Integer(allow_none=True)
    state = fields.String()
    findings = fields.List(fields.Nested(FindingOut))


class ExtendIn(Schema):
    """Valid for so many days after the day of issue."""

    days = fields.Integer(required=True, strict=True, validate=validate.Range(1, 3, error="有效期最多延长 3 天"))
    reason = Text(required=True, min=1, max=100)


class OverridesQuery(PageQuery):
    """Emergency overrides that wait; ``overdue``: those past their 24 hours only."""

    overdue = fields.Boolean(load_default=False)


class OverrideOut(Schema):
    """An emergency override; ``late``: not completed, or completed, after its 24 hours."""

    id = fields.Integer()
    number = fields.String()
    level = fields.String()
    reason = fields.String()
    doctor_name = fields.String()
    made_at = fields.DateTime()
    due_at = fields.DateTime()
    state = fields.String()
    done_by_name = fields.String()
    late = fields.Boolean()
    drugs = fields.String()


OverridesOut = paged(OverrideOut)


class WarnedQuery(PageQuery):
    """Days of issue, both included; at most a year."""

    start = Day(required=True, data_key="from")
    end = Day(required=True, data_key="to")

    @validates_schema
    def check_days(self, data: Mapping[str, Any], **_: Any) -> None:
        """The days are in order and not too many."""
        if "start" in data and "end" in data and not timedelta() <= data["end"] - data["start"] <= timedelta(days=366):
            raise ValidationError("结束日期不能早于开始日期，一次最多查询一年", "to")


class WarnedRow(Schema):
    """A prescription that was issued in spite of a serious warning."""

    id = fields.Integer()
    number = fields.String()
    issued_at = fields.DateTime()
    department = fields.String()
    doctor_name = fields.String()
    state = fields.String()
    check_text = fields.String()
    check_reason = fields.String()


WarnedOut = paged(WarnedRow)


class CompleteIn(Schema):
    """The formalities: what the second doctor writes."""

    note = Text(required=True, min=1, max=200)


class HistoryOut(PrescriptionOut):
    """An earlier prescription with its department."""

    department = fields.String()


HistoriesOut = paged(HistoryOut)


class TemplateLineIn(Schema):
    """A drug of a template."""

    drug_id = Id(required=True)
    dose = QuantityField(required=True, positive=True)
    usage = Text(required=True, min=1, max=20)
    frequency = Text(required=True, min=1, max=20)
    days = fields.Integer(required=True, strict=True, validate=validate.Range(1, 90, error="天数应在 1 至 90 之间"))
    group_no = fields.Integer(load_default=0, strict=True, validate=validate.Range(0, 20, error="组号应在 0 至 20 之间"))


class TemplateIn(Schema):
    """A template to keep."""

    name = Text(required=True, min=1, max=60)
    scope = Choice("own", "department", "hospital", load_default="own")
    lines = fields.List(fields.Nested(TemplateLineIn), required=True,
                        validate=validate.Length(1, 50, error="请录入 1 至 50 行"))


class TemplateLineOut(Schema):
    """A drug of a template as it is today; ``active`` False: it can't be prescribed any more."""

    drug_id = fields.Integer()
    name = fields.String()
    spec = fields.String()
    dose = QuantityField()
    dose_unit = fields.String()
    base_unit = fields.String()
    usage = fields.String()
    frequency = fields.String()
    days = fields.Integer()
    group_no = fields.Integer()
    active = fields.Boolean()


class TemplateOut(Schema):
    """A template."""

    id = fields.Integer()
    name = fields.String()
    scope = fields.String()
    staff_id = fields.Integer()
    staff_name = fields.String()
    lines = fields.List(fields.Nested(TemplateLineOut))


class TemplatesOut(Schema):
    """The doctor's templates: own first, then the department's, then the hospital's."""

    items = fields.List(fields.Nested(TemplateOut))


class NoticeOut(Schema):
    """A notice of the warehouse; ``read_at`` empty: this doctor has not read it."""

    id = fields.Integer()
    number = fields.String()
    kind = fields.String()
    drug_id = fields.Integer()
    name = fields.String()
    spec = fields.String()
    reason = fields.String()
    substitute = fields.String()
    valid_from = Day()
    valid_to = Day(allow_none=True)
    made_at = fields.DateTime()
    made_by_name = fields.String()
    read_at = fields.DateTime(allow_none=True)


class ReturnedOut(Schema):
    """A prescription that the pharmacy's review sent back."""

    id = fields.Integer()
    prescription_id = fields.Integer()
    encounter_id = fields.Integer()
    number = fields.String()
    name = fields.String()
    review_note = fields.String()
    reviewed_by_name = fields.String()
    reviewed_at = fields.DateTime(allow_none=True)


class InboxOut(Schema):
    """What waits for a doctor's attention."""

    notices = fields.List(fields.Nested(NoticeOut))
    returned = fields.List(fields.Nested(ReturnedOut))


class ReadIn(Schema):
    """Notices that were read."""

    notice_ids = fields.List(Id(), required=True, validate=validate.Length(1, 200, error="请选择 1 至 200 条通知"))
