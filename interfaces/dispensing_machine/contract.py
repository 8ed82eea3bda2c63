"""What goes to the machine and what comes back, under the names that public code of the vendor's customers uses.

Fields: facts/clinical_devices.md, section 4. GetPresState, CancelPres and MovePres are our extension
(docs/interfaces/dispensing_machine.md); the vendor installs them, or a person decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow import RAISE, Schema, fields, validate

from modules.kernel.charging.ports import Outcome

PRESCRIPTION_FIELDS = (
    "PresNO", "WindowNO", "FPNO", "MedID", "MedOnlyCode", "MedName", "MedAMT", "MedPack", "MedUnitPack", "Medunit",
    "MedConvercof", "MedFactory", "MedType", "MedUnitPrice", "MedTotalPrice", "MedOutTime", "PatientID", "PatientName",
    "PatientSex", "PatientAge", "PatientBirth", "Diagnosis", "WardNo", "WardName", "MedPerDos", "MedUsage", "MedPerDay",
    "DoctorName", "PresType", "Remark", "MedShelf", "YFcode")
DRUG_FIELDS = ("MedOnlyCode", "MedName", "MedUnit", "MedPack", "MedUnitPack", "MedConvercof", "MedPYCode", "MedFactory",
               "MedUnitPrice", "MedShelf")

UNKNOWN_THERE, ACCEPTED, READY, HANDED, CANCELLED = "0", "1", "2", "3", "9"
"""GetPresState: the machine doesn't know it, has it, has put it out, has handed it out, has cancelled it."""
CANCEL_DONE, CANCEL_UNKNOWN, CANCEL_TOO_LATE = "1", "0", "2"


class _Row(Schema):
    class Meta:
        unknown = RAISE


class PrescriptionRow(_Row):
    """One drug of a prescription (XMLPresInfo); every field is text, quantities and prices as plain decimals."""

    PresNO = fields.String(required=True, validate=validate.Length(1, 32))
    WindowNO = fields.String(required=True, validate=validate.Regexp(r"\d{1,4}\Z"))
    FPNO = fields.String(required=True)
    MedID = fields.String(required=True, validate=validate.Regexp(r"\d+\Z"))
    MedOnlyCode = fields.String(required=True, validate=validate.Length(1))
    MedName = fields.String(required=True, validate=validate.Length(1))
    MedAMT = fields.Decimal(required=True, validate=validate.Range(min=0, min_inclusive=False))
    MedConvercof = fields.Decimal(required=True, validate=validate.Range(min=1))
    MedUnitPrice = fields.Decimal(required=True)
    MedTotalPrice = fields.Decimal(required=True)
    PatientID = fields.String(required=True, validate=validate.Length(1))
    PatientName = fields.String(required=True, validate=validate.Length(1))
    YFcode = fields.String(required=True, validate=validate.Length(1))


for _name in PRESCRIPTION_FIELDS:
    PrescriptionRow._declared_fields.setdefault(_name, fields.String(load_default=""))


class DrugRow(_Row):
    """A drug of the dictionary (XMLMedInfo)."""

    MedOnlyCode = fields.String(required=True, validate=validate.Length(1))
    MedName = fields.String(required=True, validate=validate.Length(1))
    MedUnit = fields.String(required=True, validate=validate.Length(1))
    MedConvercof = fields.Decimal(required=True, validate=validate.Range(min=1))
    MedUnitPrice = fields.Decimal(required=True)


for _name in DRUG_FIELDS:
    DrugRow._declared_fields.setdefault(_name, fields.String(load_default=""))


class FeedbackIn(_Row):
    """The machine's feedback to us: ``ready`` put out (700, 750 上屏), ``handed`` handed out (800, 801, 550 下屏)."""

    step = fields.String(required=True, validate=validate.OneOf(("ready", "handed")))
    window = fields.String(load_default="", validate=validate.Regexp(r"\d{0,4}\Z"))


class FeedbackOut(Schema):
    """What we make of it."""

    pres_no = fields.String()
    step = fields.String()


@dataclass(frozen=True)
class Pushed(Outcome):
    """The machine's answer to a prescription; ``peer_number`` is the window that it says."""


@dataclass(frozen=True)
class There(Outcome):
    """What the machine knows of a prescription: ``known`` or not, ``step`` one of the states above, and its window."""

    known: bool = False
    step: str = UNKNOWN_THERE
    window: str = ""
