"""A person's own preferences over the wire."""

from __future__ import annotations

import re

from marshmallow import Schema, fields

from his_server.errors import NotFound
from his_server.http import SIGNED_IN, Call, Routes
from his_server.module import Module
from his_server.preferences import service
from his_server.preferences.models import LONGEST
from his_server.wire import Text

routes = Routes("preferences", "/api/preferences", tag="preferences")
NAME = re.compile(r"[a-z][a-z0-9_.-]{0,59}")


class PreferencesOut(Schema):
    """Everything the person chose, by name."""

    items = fields.Dict(keys=fields.String(), values=fields.String())


class PreferenceIn(Schema):
    """A choice; empty: forget it."""

    chosen = Text(required=True, max=LONGEST)


@routes.get("", permission=SIGNED_IN, out=PreferencesOut)
def mine(call: Call) -> dict[str, dict[str, str]]:
    """我的个人设置"""
    return {"items": service.of_actor(call.session, call.actor)}


@routes.put("/<name>", permission=SIGNED_IN, body=PreferenceIn, out=PreferencesOut)
def keep(call: Call, name: str) -> dict[str, dict[str, str]]:
    """记住个人设置"""
    if not NAME.fullmatch(name):
        raise NotFound("preferences.name", "没有这个设置项")
    service.keep(call.session, call.actor, name, call.body["chosen"])
    return {"items": service.of_actor(call.session, call.actor)}


module = Module(name="preferences", title="个人设置", routes=(routes,))
