"""Signing one's own documents with one's own SM2 certificate (MP-15). The key stays in the UKey or on the workstation."""

from __future__ import annotations

from typing import Any

from flask import current_app
from marshmallow import Schema, fields

from his_server.http import SIGNED_IN, Call, Routes
from his_server.security import signatures
from his_server.wire import Text

routes = Routes("security.signatures", "/api/signatures", tag="security")


class PendingOut(Schema):
    """A document to sign. ``content``: the exact text whose UTF-8 bytes are signed (SM2 with SM3, default identity)."""

    id = fields.Integer()
    kind = fields.String()
    title = fields.String()
    document_id = fields.Integer()
    content = fields.String()


class PendingListOut(Schema):
    """What the signed-in person decided in the last day and hasn't signed with his own certificate."""

    items = fields.List(fields.Nested(PendingOut))


class CountersignIn(Schema):
    """The content as it was given out, the signer's certificate (PEM), r‖s as 128 hex digits."""

    content = fields.String(required=True)
    certificate = Text(required=True, min=1, max=8000, multiline=True)
    signature = Text(required=True, min=128, max=128)


@routes.get("/pending", permission=SIGNED_IN, out=PendingListOut)
def pending(call: Call) -> dict[str, Any]:
    """待本人证书签名的文书"""
    return {"items": signatures.to_countersign(call.session, call.actor)}


@routes.post("/<int:signature_id>/countersign", permission=SIGNED_IN, body=CountersignIn, status=201)
def countersign(call: Call, signature_id: int) -> dict[str, Any]:
    """用本人 SM2 证书签名"""
    settings = current_app.extensions["his_security"].settings
    return {"id": signatures.countersign(call.session, call.actor, settings, signature_id, **call.body)}
