"""What the PACS is told of paid and refunded exams: our contract, docs/interfaces/pacs.md (none is public).

``messageId`` is what the PACS de-duplicates by. A line is known by ``requestNo`` and ``lineNo``; ``quantity`` is what was paid,
or refunded, by this message.
"""

from __future__ import annotations

from marshmallow import RAISE, Schema, fields, validate

DONE = "0"
_some = validate.Length(1)
_positive = validate.Range(min=0, min_inclusive=False)


class LineIn(Schema):
    """An exam of a request."""

    class Meta:
        unknown = RAISE

    lineNo = fields.Integer(required=True)
    itemCode = fields.String(required=True, validate=_some)
    itemName = fields.String(required=True, validate=_some)
    quantity = fields.Decimal(required=True, validate=_positive, as_string=True)


class RequestIn(Schema):
    """A request of which exams were paid (confirm) or refunded (cancel)."""

    class Meta:
        unknown = RAISE

    messageId = fields.String(required=True, validate=_some)
    requestNo = fields.String(required=True, validate=_some)
    settlementNo = fields.String(required=True, validate=_some)
    patientId = fields.String(required=True, validate=_some)
    patientName = fields.String(required=True, validate=_some)
    patientSex = fields.String(required=True)
    diagnosis = fields.String(required=True)
    requestDept = fields.String(required=True)
    requestDoctor = fields.String(required=True)
    performDept = fields.String(required=True, validate=_some)
    lines = fields.List(fields.Nested(LineIn), required=True, validate=_some)
