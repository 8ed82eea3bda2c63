"""The wire of the infusion room."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Id, MoneyField, PriceField, QuantityField, Text
from modules.infusion.rules import CONDITIONS
from modules.kernel.patients.schemas import PatientOut, ShownOut


class FindQuery(Schema):
    """What was scanned or typed."""

    q = Text(required=True, min=1, max=50)


class CandidateOut(Schema):
    """One of several persons found."""

    id = fields.Integer()
    name = fields.String()
    sex = fields.String()
    age = fields.String(allow_none=True)
    outpatient_no = fields.String()


class LineOut(Schema):
    """A drug of a prescription; ``untested``: why it may not be given yet."""

    id = fields.Integer()
    drug_id = fields.Integer()
    name = fields.String()
    spec = fields.String()
    dose = QuantityField()
    dose_unit = fields.String()
    usage = fields.String()
    frequency = fields.String()
    days = fields.Integer()
    group_no = fields.Integer()
    skin_test = fields.Boolean()
    untested = fields.String()


class PrescriptionOut(Schema):
    """A paid prescription; ``made`` of ``turns`` bottles were received; ``infusion_id`` of today."""

    id = fields.Integer()
    number = fields.String()
    state = fields.String()
    issued_at = fields.DateTime()
    doctor_name = fields.String()
    infusion_id = fields.Integer(allow_none=True)
    made = fields.Integer()
    turns = fields.Integer()
    lines = fields.List(fields.Nested(LineOut))


class FoundOut(Schema):
    """One person with prescriptions, or several persons to choose from."""

    person = fields.Nested(PatientOut, allow_none=True)
    persons = fields.List(fields.Nested(CandidateOut))
    prescriptions = fields.List(fields.Nested(PrescriptionOut))


class ReceiveIn(Schema):
    """Receive this prescription for the patient who is shown."""

    prescription_id = Id(required=True)
    person_id = Id(required=True)


class ReasonIn(Schema):
    """Why."""

    reason = Text(required=True, min=2, max=100)


class WorklistQuery(Schema):
    """Which of today's patients."""

    state = Choice("open", "waiting", "running", "finished", load_default="open")


class WorkOut(ShownOut):
    """A patient of today."""

    id = fields.Integer()
    number = fields.String()
    queue_no = fields.Integer()
    person_id = fields.Integer()
    kind = fields.String()
    doctor_name = fields.String()
    state = fields.String()
    seat = fields.String(allow_none=True)
    bottles = fields.Integer()
    ended = fields.Integer()
    drugs = fields.String()
    running_since = fields.DateTime(allow_none=True)
    looked_at = fields.DateTime(allow_none=True)
    received_at = fields.DateTime()


class CountsOut(Schema):
    """How many of each."""

    open = fields.Integer()
    waiting = fields.Integer()
    running = fields.Integer()
    finished = fields.Integer()


class WorklistOut(Schema):
    """Today's patients."""

    items = fields.List(fields.Nested(WorkOut))
    counts = fields.Nested(CountsOut)


class DrugOut(Schema):
    """A drug in a bottle."""

    id = fields.Integer()
    name = fields.String()
    spec = fields.String()
    dose = QuantityField()
    dose_unit = fields.String()
    skin_test = fields.Boolean()


class BottleOut(Schema):
    """A bottle."""

    id = fields.Integer()
    label_no = fields.String()
    position = fields.Integer()
    turn = fields.Integer()
    usage = fields.String()
    frequency = fields.String()
    state = fields.String()
    speed = fields.Integer(allow_none=True)
    prints = fields.Integer()
    prepared_at = fields.DateTime(allow_none=True)
    prepared_by_name = fields.String()
    started_at = fields.DateTime(allow_none=True)
    started_by_name = fields.String()
    ended_at = fields.DateTime(allow_none=True)
    ended_by_name = fields.String()
    reason = fields.String()
    untested = fields.String()
    drugs = fields.List(fields.Nested(DrugOut))


class RoundOut(Schema):
    """A round."""

    id = fields.Integer()
    label_no = fields.String()
    condition = fields.String()
    speed = fields.Integer(allow_none=True)
    note = fields.String()
    looked_at = fields.DateTime()
    looked_by_name = fields.String()


class InfusionOut(Schema):
    """One patient's infusion, whole."""

    id = fields.Integer()
    number = fields.String()
    queue_no = fields.Integer()
    person_id = fields.Integer()
    encounter_id = fields.Integer()
    prescription_number = fields.String()
    doctor_name = fields.String()
    kind = fields.String()
    state = fields.String()
    seat = fields.String(allow_none=True)
    seat_id = fields.Integer(allow_none=True)
    running_bottle_id = fields.Integer(allow_none=True)
    received_at = fields.DateTime()
    received_by_name = fields.String()
    person = fields.Nested(PatientOut)
    bottles = fields.List(fields.Nested(BottleOut))
    rounds = fields.List(fields.Nested(RoundOut))


_SPEED = validate.Range(1, 300, error="滴速应在 1 至 300 滴/分之间")


class StartIn(Schema):
    """The scanned patient (outpatient number or infusion number) and bottle label; drops per minute."""

    patient_code = Text(required=True, min=1, max=30)
    label_code = Text(required=True, min=1, max=30)
    speed = fields.Integer(load_default=None, allow_none=True, strict=True, validate=_SPEED)


class ChangeIn(StartIn):
    """The next bottle."""

    next_id = Id(required=True)


class RoundIn(Schema):
    """What was seen."""

    condition = Choice(*CONDITIONS, required=True)
    speed = fields.Integer(load_default=None, allow_none=True, strict=True, validate=_SPEED)
    note = Text(load_default="", max=100)


class SitIn(Schema):
    """A seat."""

    seat_id = Id(required=True)


class SeatOut(Schema):
    """A seat of the map."""

    id = fields.Integer()
    code = fields.String()
    area = fields.String()
    kind = fields.String()
    infusion_id = fields.Integer(allow_none=True)
    name = fields.String(allow_none=True)
    state = fields.String(allow_none=True)
    bottles = fields.Integer()
    ended = fields.Integer()
    drugs = fields.String()
    running_since = fields.DateTime(allow_none=True)
    looked_at = fields.DateTime(allow_none=True)


class SeatsOut(Schema):
    """The map of seats."""

    items = fields.List(fields.Nested(SeatOut))


class TestsQuery(Schema):
    """Which skin tests: to begin, running or read, confirmed today."""

    state = Choice("waiting", "open", "confirmed", load_default="open")


class TestOut(ShownOut):
    """A skin test, or a line that needs one (``id`` empty)."""

    id = fields.Integer(allow_none=True)
    person_id = fields.Integer()
    prescription_line_id = fields.Integer()
    prescription_number = fields.String()
    drug_id = fields.Integer()
    drug_name = fields.String()
    lot_no = fields.String()
    state = fields.String()
    result = fields.String()
    note = fields.String()
    department = fields.String()
    issued_at = fields.DateTime()
    started_at = fields.DateTime()
    started_by_name = fields.String()
    due_at = fields.DateTime()
    read_at = fields.DateTime(allow_none=True)
    read_by_name = fields.String()
    confirmed_at = fields.DateTime(allow_none=True)
    confirmed_by_name = fields.String()
    valid_until = fields.DateTime(allow_none=True)


class TestCounts(Schema):
    """How many."""

    open = fields.Integer()
    confirmed = fields.Integer()


class TestsOut(Schema):
    """Skin tests; ``server_time`` is what their timers count against."""

    items = fields.List(fields.Nested(TestOut))
    counts = fields.Nested(TestCounts)
    server_time = fields.DateTime()


class StartTestIn(Schema):
    """Begin the test of a line for the patient who is shown."""

    person_id = Id(required=True)
    prescription_line_id = Id(required=True)
    lot_no = Text(load_default="", max=60)


class ResultIn(Schema):
    """阴性 or 阳性."""

    result = Choice("阴性", "阳性", required=True)
    note = Text(load_default="", max=100)


class ConfirmIn(Schema):
    """The second person's own reading."""

    result = Choice("阴性", "阳性", required=True)


class ChargeLineIn(Schema):
    """An item to charge."""

    item_id = Id(required=True)
    quantity = QuantityField(required=True, positive=True)


class ChargeIn(Schema):
    """Items to charge to the visit."""

    performing_department_id = Id(required=True)
    lines = fields.List(fields.Nested(ChargeLineIn), required=True, validate=validate.Length(1, 50, error="请录入 1 至 50 行"))


class ChargedOut(Schema):
    """Lines that were added."""

    line_ids = fields.List(fields.Integer())


class OpenChargeOut(Schema):
    """A supplementary charge that is not paid yet."""

    id = fields.Integer()
    code = fields.String()
    name = fields.String()
    unit = fields.String()
    price = PriceField()
    quantity = QuantityField()
    amount = MoneyField()


class OpenChargesOut(Schema):
    """Supplementary charges of the visit."""

    items = fields.List(fields.Nested(OpenChargeOut))


class SeatIn(Schema):
    """A new seat."""

    code = Text(required=True, min=1, max=10)
    area = Text(required=True, min=1, max=20)
    kind = Choice("椅", "床", load_default="椅")


class ScreenItemOut(Schema):
    """Somebody on the screen on the wall, masked."""

    queue_no = fields.Integer()
    state = fields.String()
    name = fields.String()
    seat = fields.String(allow_none=True)


class ScreenOut(Schema):
    """The screen on the wall."""

    items = fields.List(fields.Nested(ScreenItemOut))


