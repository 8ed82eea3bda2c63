"""Every call in or out leaves a row, whatever comes of it (A3).

:func:`observed` stands between a port and its adapter, so that no interface can forget it; an inbound gateway and
clients of their own kind use :func:`logged`. The row is written in a unit of work of its own after the call.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from dialects import portable
from his_server import about
from his_server.clock import local
from his_server.db import Database
from his_server.messaging.outbox import NotSent
from interfaces.hub import queries, rules
from interfaces.hub.limits import Gate
from interfaces.hub.manifests import Manifest, all_manifests
from interfaces.hub.models import CallTerm, InterfaceCall

log = logging.getLogger("his.hub")
OUTCOMES = {"confirmed": "ok", "refused": "refused", "unknown": "unknown"}
"""What a port says → what the log says."""


@dataclass
class Entry:
    """What a call in progress fills in before its row is written."""

    outcome: str = "unknown"
    answer: Any = None
    message: str = ""
    peer_number: str | None = None
    also: Callable[[Session], None] | None = None
    """What else is written with the row, in its unit of work."""


@contextmanager
def logged(database: Database, manifest: Manifest, operation: str, request: Any, *, business_key: str = "",
           direction: str = "out") -> Iterator[Entry]:
    """Around a call: the block sets the entry's outcome; an exception leaves it ``unknown`` with its kind, or ``failed``
    when it says that nothing was sent.

    :raises RuntimeError: a unit of work is open; nobody calls outside while one is (DESIGN section 5).
    """
    if database.write_session() is not None:
        raise RuntimeError(f"{manifest.package}.{operation}: no call outside while a unit of work is open")
    entry, at, began = Entry(), database.clock.now(), time.perf_counter()
    try:
        yield entry
    except NotSent as error:
        entry.outcome, entry.message = "failed", entry.message or str(error)
        raise
    except Exception as error:
        entry.message = entry.message or f"{type(error).__name__}: {error}"
        raise
    finally:
        milliseconds = round((time.perf_counter() - began) * 1000)
        _write(database, manifest, operation, request, entry, at, milliseconds, business_key, direction)


def _write(database: Database, manifest: Manifest, operation: str, request: Any, entry: Entry, at: Any,
           milliseconds: int, business_key: str, direction: str) -> None:
    matter = about.current()
    sealer = database.sealer
    with database.begin() as session:
        key = database.keys.next()
        asked, answered = (rules.body(value, manifest.whole).encode() for value in (request, entry.answer))
        message = rules.scrub(entry.message)[:rules.LONGEST_TEXT]
        portable.insert_many(session, InterfaceCall, [{
            "id": key, "started_at": at, "hour": f"{local(at):%Y%m%d%H}", "trace_id": matter.trace_id[:40],
            "interface": manifest.package, "operation": operation[:40], "direction": direction,
            "business_key": (business_key or matter.business_key)[:60],
            "person_id": matter.person_id or queries.person_of(session, business_key),
            "actor_id": matter.actor.user_id, "actor_name": matter.actor.name[:60], "outcome": entry.outcome,
            "peer_number": (entry.peer_number or "")[:64] or None, "message": message, "duration_ms": milliseconds,
            "request_size": len(asked), "answer_size": len(answered),
            "request_masked": rules.body(request, manifest.masked),
            "answer_masked": rules.body(entry.answer, manifest.masked),
            "request_sealed": sealer.seal("column", asked, place(key, "request")),
            "answer_sealed": sealer.seal("column", answered, place(key, "answer"))}])
        words = set() if entry.outcome == "ok" else rules.terms(message)
        if entry.peer_number:
            words.add(entry.peer_number.lower()[:64])
        portable.insert_many(session, CallTerm, [{"term": word, "call_id": key} for word in sorted(words)])
        if entry.also is not None:
            entry.also(session)


def place(call_id: int, part: str) -> str:
    """Where a sealed body belongs: it opens in its own row only."""
    return f"interface_call.{part}:{call_id}"


class _Observed:
    """An adapter whose every call is written down and held to the interface's limits."""

    def __init__(self, database: Database, manifest: Manifest, adapter: Any) -> None:
        self._database, self._manifest, self._adapter = database, manifest, adapter
        self._gate = Gate(manifest)

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._adapter, name)
        if name.startswith("_") or not callable(inner):
            return inner
        return self._wrapped(name, inner)

    def _wrapped(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(inner)

        def call(*given: Any, **named: Any) -> Any:
            request = dict(signature.bind(*given, **named).arguments)
            with logged(self._database, self._manifest, name, request, business_key=number_of(request)) as entry:
                with self._gate.passing():
                    answer = inner(*given, **named)
                entry.answer = answer
                entry.outcome = OUTCOMES.get(getattr(answer, "state", ""), "ok")
                entry.message = str(getattr(answer, "message", "") or "")
                entry.peer_number = getattr(answer, "peer_number", None)
            return answer

        return call


def number_of(request: dict[str, Any]) -> str:
    """Our number in a request: its ``number``, or that of the bill or paper that it carries."""
    for value in (request, *request.values()):
        found = value.get("number") if isinstance(value, dict) else getattr(value, "number", None)
        if isinstance(found, str) and found and not _hidden(value):
            return found
    return ""


def _hidden(value: Any) -> bool:
    field = getattr(type(value), "__dataclass_fields__", {}).get("number")
    return field is not None and not field.repr


def observed(database: Database, package: str, adapter: Any) -> Any:
    """The adapter of an interface with every call written down. ``package`` is the interface's folder."""
    return _Observed(database, all_manifests()[package], adapter)


def package_of(adapter: Any) -> str:
    """Whose an observed adapter is; empty for none."""
    return adapter._manifest.package if isinstance(adapter, _Observed) else ""
