"""What the calling system is told and tells us, under the names of public code (facts/clinical_devices.md, section 8).

The paths and answer code ``"0"`` are public; the rest of the body is our contract, docs/interfaces/queue_calling.md.
"""

from __future__ import annotations

from marshmallow import RAISE, Schema, fields, validate

from his_server.wire import Day, Moment

DONE = "0"
WAITING, IN_VISIT, PASSED, FINISHED, CANCELLED = "0", "1", "2", "3", "4"
"""callingFlag: 等候, 就诊, 过号, 完成, 取消."""


class _Row(Schema):
    class Meta:
        unknown = RAISE


class DepartmentRow(_Row):
    """syncDept."""

    deptCode = fields.String(required=True, validate=validate.Length(1))
    deptName = fields.String(required=True)
    place = fields.String(required=True)
    active = fields.Boolean(required=True)


class DoctorRow(_Row):
    """syncDoctor."""

    doctorCode = fields.String(required=True, validate=validate.Length(1))
    doctorName = fields.String(required=True)
    title = fields.String(required=True)
    deptCode = fields.String(required=True)
    active = fields.Boolean(required=True)


class SlotRow(_Row):
    """syncDoctorDeptVisit: a session and how many places it has."""

    visitId = fields.String(required=True, validate=validate.Length(1))
    deptCode = fields.String(required=True)
    doctorCode = fields.String(required=True)
    clinicDate = Day(required=True)
    period = fields.String(required=True)
    level = fields.String(required=True)
    capacity = fields.Integer(required=True)
    open = fields.Boolean(required=True)


class RegisteredRow(_Row):
    """syncRegistered. ``version`` grows with every change of a registration: an older one that comes late changes nothing."""

    registrationNo = fields.String(required=True, validate=validate.Length(1))
    version = fields.Integer(required=True)
    queueNum = fields.Integer(required=True)
    patientId = fields.String(required=True, validate=validate.Length(1))
    patientName = fields.String(required=True, validate=validate.Length(1))
    patientSex = fields.String(required=True)
    patientAge = fields.String(required=True)
    visitId = fields.String(required=True)
    deptCode = fields.String(required=True)
    doctorCode = fields.String(required=True)
    clinicDate = Day(required=True)
    level = fields.String(required=True)
    callingFlag = fields.String(required=True, validate=validate.OneOf((WAITING,)))


class ResignRow(_Row):
    """resign: the registration was cancelled."""

    registrationNo = fields.String(required=True, validate=validate.Length(1))
    version = fields.Integer(required=True)


class CallIn(_Row):
    """A call event, from the calling system to us."""

    callingFlag = fields.String(required=True, validate=validate.OneOf((WAITING, IN_VISIT, PASSED, FINISHED)))
    callingTime = Moment(required=True)
    roomCode = fields.String(load_default="", validate=validate.Length(0, 20))


class CallOut(Schema):
    """What we know now."""

    registrationNo = fields.String()
    callingFlag = fields.String()
