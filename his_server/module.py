"""What a module or an interface declares of itself; the composition root reads nothing else (DESIGN section 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from his_server.actor import Actor
    from his_server.db import Database
    from his_server.db.numbering import Series
    from his_server.errors import AppError
    from his_server.http import Routes
    from his_server.settings import Settings


@dataclass(frozen=True)
class Permission:
    """A permission, its Chinese title and the standard roles that hold it in a new installation."""

    code: str
    title: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class MenuItem:
    """A menu entry: shown to whoever holds ``permission``. ``page`` is ``<module>/<file in pages/>``."""

    section: str
    title: str
    path: str
    page: str
    permission: str
    order: int = 50


@dataclass(frozen=True)
class Handler:
    """A subscription to an event.

    ``deliver(session, event)`` runs in the worker, in the unit of work that also marks the delivery done: its
    effect happens exactly once. With ``network=True`` it is ``deliver(database, event)``, called with no unit
    of work open; it may call a peer and says what it knows by :class:`~his_server.messaging.outbox.NotSent`,
    ``LostAnswer`` or ``Refused``. ``lost_answer``: ``retry`` when a repeat does no harm (the peer
    de-duplicates by our key), ``ask`` when a query or a person must decide. ``ask(database, event)`` is that query:
    whether the peer has it (then it is done, else it is sent again); what it raises leaves the question open, to be
    asked again later and to be decided by a person meanwhile.
    """

    event: str
    destination: str
    deliver: Callable[[Any, Any], None]
    lost_answer: Literal["retry", "ask"] = "retry"
    network: bool = False
    ask: Callable[[Any, Any], bool] | None = None


@dataclass(frozen=True)
class Job:
    """A scheduled job: ``run(database)`` at most once per period over all workers. ``at`` = "HH:MM" local, daily."""

    name: str
    title: str
    run: Callable[[Any], object]
    every: timedelta | None = None
    at: str | None = None


@dataclass(frozen=True)
class Finding:
    """A row that breaks an invariant."""

    check: str
    where: str
    message: str


@dataclass(frozen=True)
class Check:
    """An invariant: yields a finding for each row that breaks it (``his-server balance``)."""

    name: str
    title: str
    run: Callable[[Session], Iterator[Finding]]


@dataclass(frozen=True)
class LiveTopic:
    """A live topic: ``state(session, actor, args)`` is a small JSON-able value whose change is pushed to screens."""

    permission: str
    state: Callable[[Session, Actor, Mapping[str, str]], Any]


@dataclass(frozen=True)
class ReportSource:
    """A table report: ``build(session, actor, args)`` returns (Report, rows). ``args`` is a marshmallow schema."""

    name: str
    title: str
    permission: str
    args: Any
    build: Callable[[Session, Actor, Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Module:
    """The declaration of a module or an interface."""

    name: str
    title: str
    routes: tuple[Routes, ...] = ()
    permissions: tuple[Permission, ...] = ()
    menu: tuple[MenuItem, ...] = ()
    handlers: tuple[Handler, ...] = ()
    jobs: tuple[Job, ...] = ()
    checks: tuple[Check, ...] = ()
    numbering: tuple[Series, ...] = ()
    reports: tuple[ReportSource, ...] = ()
    live: Mapping[str, LiveTopic] = field(default_factory=dict)
    ports: Mapping[str, Callable[[Settings, Database], Any]] = field(default_factory=dict)
    """Adapters that an interface offers, by port name (``payment:scan``); bound by the composition root."""
    refusals: Mapping[str, Callable[[AppError], Any]] = field(default_factory=dict)
    """The answer that callers below a path expect to a refusal which none of its views gave: no such path, a wrong method."""
    settings: type | None = None
    cli: Any = None
    first_data: Callable[[Session, Actor], None] | None = None
    """What a new installation holds before anybody works in it (code tables); run by ``setup`` and ``init --code-tables``; it
    adds what is missing and changes nothing."""
