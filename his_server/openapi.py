"""The OpenAPI document of every declared route."""

from __future__ import annotations

import re
import warnings
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, fields

from his_server import __version__, wire
from his_server.http import KEYED, PUBLIC, Route
from his_server.registry import Hospital

_CONVERTER = re.compile(r"<(?:(?P<kind>\w+)(?:\([^)]*\))?:)?(?P<name>\w+)>")


class ErrorItem(Schema):
    """One wrong field."""

    field = fields.String()
    message = fields.String()


class Error(Schema):
    """The one error shape."""

    code = fields.String()
    status = fields.Integer()
    message = fields.String()
    errors = fields.List(fields.Nested(ErrorItem))
    trace_id = fields.String()


def document(hospital: Hospital) -> dict[str, Any]:
    """OpenAPI 3.0 of the loaded modules' routes."""
    plugin = MarshmallowPlugin()
    spec = APISpec(title="his-server", version=__version__, openapi_version="3.0.3", plugins=[plugin])
    assert plugin.converter is not None
    plugin.converter.field_mapping[wire.Exact] = ("string", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two roles of one schema (partial, many) share a name
        spec.components.schema("Error", schema=Error)
        for route in hospital.routes:
            spec.path(path=_CONVERTER.sub(r"{\g<name>}", route.rule),
                      operations={route.method.lower(): _operation(route)})
    return spec.to_dict()


def _path_schema(converter: str | None) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": wire.MAX_ID} if converter == "int" else {"type": "string"}


def _operation(route: Route) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"in": "path", "name": m["name"], "required": True, "schema": _path_schema(m["kind"])}
        for m in _CONVERTER.finditer(route.rule)
    ]
    if route.query:
        parameters.append({"in": "query", "schema": route.query})  # the plugin spreads it over its fields
    if route.effect in KEYED:
        parameters.append({"in": "header", "name": "Idempotency-Key", "required": True,
                           "schema": {"type": "string", "minLength": 8, "maxLength": 80}})
    ok: dict[str, Any] = {"description": "完成"}
    if isinstance(route.out, type) and issubclass(route.out, Schema):
        ok["content"] = {"application/json": {"schema": route.out}}
    error = {"content": {"application/json": {"schema": "Error"}}}
    operation: dict[str, Any] = {
        "operationId": f"{route.tag}.{route.endpoint}",
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": parameters,
        "responses": {str(route.status): ok, "default": {"description": "错误", **error}},
        "x-permission": route.permission,
        "x-effect": route.effect,
    }
    if route.body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": route.body}}}
    if route.permission == PUBLIC:
        operation["security"] = []
    return operation
