"""Grants that hold in some departments only (COMPLIANCE DB-10): what a service asks before it shows or changes."""

from __future__ import annotations

from his_server.actor import Actor
from his_server.errors import NotFound


def departments(actor: Actor, permission: str) -> frozenset[int] | None:
    """The departments in which the actor holds the permission; None = everywhere. For the WHERE of a list."""
    return actor.scopes.get(permission)


def require(actor: Actor, permission: str, department_id: int | None) -> None:
    """:raises NotFound: the actor holds the permission, but not in this department: the thing isn't visible."""
    allowed = actor.scopes.get(permission)
    if allowed is not None and department_id not in allowed:
        raise NotFound("permission.scope", "没有这条记录，或不在您的科室范围内")
