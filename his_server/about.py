"""What the running work is about: told by whoever knows, read by whoever writes it down (call log, events).

A request's trace id follows its events into the worker and from there into the calls that they cause, so that one
business action is one chain across all systems (A3).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from flask import g, has_request_context

from his_server.actor import SYSTEM, Actor


@dataclass(frozen=True)
class About:
    """``business_key``: the number people know the matter by; ``person_id``: whose it is, where that is known."""

    actor: Actor = SYSTEM
    trace_id: str = ""
    business_key: str = ""
    person_id: int | None = None


_running: ContextVar[About | None] = ContextVar("about", default=None)


def current() -> About:
    """What was told, or what the request in hand says."""
    found = _running.get()
    if found is not None:
        return found
    if has_request_context():
        return About(g.get("actor") or SYSTEM, g.get("trace_id", ""))
    return About()


@contextmanager
def about(**known: Any) -> Iterator[None]:
    """Tell what the work inside is about; what isn't named stays as it was."""
    token = _running.set(replace(current(), **known))
    try:
        yield
    finally:
        _running.reset(token)
