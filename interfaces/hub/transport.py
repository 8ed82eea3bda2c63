"""Lines to peers: one exchange at a time, and a clear word on what is known when no answer came (DESIGN sections 5, 7).

``NotSent``: surely nothing was sent. The name wasn't found, nobody listened, the certificate wasn't theirs, the
connection took too long to open, the breaker rests, or the kernel took no byte of the request. ``LostAnswer``: bytes went
out and no whole answer came back. Nothing is ever sent twice here, not even on a connection that turned out to be dead.

A line leads to the address of ``[module.<interface>] url``; where there is none and ``simulate_payments`` is on, to the
interface's own simulator: in this process, or at ``simulators`` (the address of ``his-server simulate``).
"""

from __future__ import annotations

import http.client
import json
import os
import select
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from his_server.clock import Clock
from his_server.messaging.outbox import LostAnswer, NotSent, Refused
from his_server.settings import Settings, SettingsError
from interfaces.hub import simulating
from interfaces.hub.limits import Gate
from interfaces.hub.manifests import all_manifests
from interfaces.hub.settings import LineSettings
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Outcome

KEEP_SECONDS = 4
"""How long an idle connection is used again: shorter than what common servers wait before they hang up."""
MOST_IDLE = 16
LARGEST = 64 * 1024 * 1024
"""Bytes of an answer; a longer one is none."""
PIECE = 64 * 1024
NOTHING_DONE = (400, 401, 403, 404, 405, 415)
"""Statuses by which a server says that it didn't take the request up."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Answer:
    """What came back, whole. A status of 5xx is an answer too: what it says about the matter, the interface knows."""

    status: int
    headers: Headers
    body: bytes

    def good(self, what: str) -> Answer:
        """Itself, when its status is 200. ``what`` names the transaction.

        :raises Refused: a status that says that nothing was done and nothing will be. :raises LostAnswer: any other.
        """
        if self.status in NOTHING_DONE:
            raise Refused(f"{what}: HTTP {self.status}")
        if self.status != 200:
            raise LostAnswer(f"{what}: HTTP {self.status}")
        return self

    def coded(self, what: str, done: str) -> Outcome:
        """What a JSON answer with ``code`` and ``msg`` says; ``done`` is the code of success. Raises as :meth:`good`."""
        said = self.good(what).json()
        if not isinstance(said, dict) or "code" not in said:
            raise LostAnswer(f"{what}: 应答没有 code")
        return Outcome(CONFIRMED if said["code"] == done else REFUSED, message=str(said.get("msg", "")))

    def json(self) -> Any:
        """The body as JSON. :raises LostAnswer: it is none, so it says nothing about what happened."""
        try:
            return json.loads(self.body.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise LostAnswer(f"应答不是有效的 JSON（HTTP {self.status}，{len(self.body)} 字节）") from error


Carry = Callable[[str, str, bytes, Mapping[str, str], int], Answer]
"""method, path, body, headers, timeout in seconds → the answer, or NotSent or LostAnswer."""


class Line:
    """A line to one peer. Safe for threads and forks."""

    def __init__(self, package: str, carry: Carry, *, timeout: int, gate: Gate | None = None) -> None:
        self.package, self.timeout = package, timeout
        self._carry, self._gate = carry, gate

    def exchange(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None,
                 timeout: int | None = None) -> Answer:
        """Send one request, hear one answer. ``timeout`` in seconds for all of it; the manifest's when not given.

        :raises NotSent: surely nothing was sent. :raises LostAnswer: sent, and no whole answer came.
        """
        if not path.startswith("/"):
            raise ValueError(f"{self.package}: a path begins with /, not {path!r}")
        given = (method, path, body, dict(headers or {}), timeout or self.timeout)
        if self._gate is None:
            return self._carry(*given)
        with self._gate.passing():
            return self._carry(*given)


def line(settings: Settings, package: str, clock: Clock | None = None) -> Line | None:
    """The interface's line as the settings say; None where they name no address and nothing is simulated.

    ``clock`` is what an in-process simulator reads the time from. :raises SettingsError: the address is no good.
    """
    manifest = all_manifests()[package]
    given = LineSettings.of(settings, package)
    timeout = given.timeout_seconds or manifest.timeout_seconds
    if not given.url and settings.simulate_payments and not settings.simulators:
        return in_process(package, settings.data_dir / "simulators", clock)
    url = given.url
    if not url and settings.simulate_payments:
        url = f"{settings.simulators.rstrip('/')}/{package}"
    if not url:
        return None
    gate = Gate(replace(manifest, rate_per_second=0))  # the rate is the port's; a chain of exchanges isn't cut by it
    return Line(package, _Http(package, replace(given, url=url)), timeout=timeout, gate=gate)


def in_process(package: str, folder: Path, clock: Clock | None = None) -> Line:
    """A line to the interface's simulator without a socket; its books and faults are in ``folder/<package>``."""
    @cache
    def made() -> Any:  # only once somebody calls: most of the time nobody does
        return simulating.application(package, folder)

    def app(environ: Any, start_response: Any) -> Any:
        return made()(environ, start_response)

    return Line(package, _InProcess(app, clock or Clock()), timeout=all_manifests()[package].timeout_seconds)


# HTTP

class _Http:
    """Connections to one address, used again while they surely live."""

    def __init__(self, package: str, given: LineSettings) -> None:
        parts = urlsplit(given.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise SettingsError(f"[module.{package}] url: not an address: {given.url!r}")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK and not given.plain_http:
            raise SettingsError(f"[module.{package}] url: {given.url} is not encrypted; use https, or set plain_http = true "
                                "for a peer on the hospital's own closed line that offers nothing else")
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._context = _context(package, given) if parts.scheme == "https" else None
        self._lock = threading.Lock()
        self._idle: list[tuple[_Connection, Any]] = []
        self._process = os.getpid()
        weakref.finalize(self, _hang_up, self._idle)

    def __call__(self, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout: int) -> Answer:
        deadline = time.monotonic() + timeout
        connection = self._take() or self._open(timeout)
        try:
            answer, again = _exchange(connection, method, self._prefix + path, body, headers, deadline)
        except BaseException:
            connection.close()
            raise
        if again:
            self._give_back(connection)
        else:
            connection.close()
        return answer

    def _open(self, timeout: int) -> _Connection:
        kind: Any = _Secure if self._context is not None else _Plain
        more = {"context": self._context} if self._context is not None else {}
        connection: _Connection = kind(self._host, self._port, timeout=timeout, **more)
        try:
            connection.connect()
        except OSError as error:  # DNS, refused, unreachable, TLS, timeout: no byte of the request went out
            connection.close()
            raise NotSent(f"没有连接上对方：{_said(error)}") from error
        return connection

    def _take(self) -> _Connection | None:
        with self._lock:
            if self._process != os.getpid():  # the parent's connections are the parent's
                self._process = os.getpid()
                self._idle.clear()
            while self._idle:
                connection, since = self._idle.pop()
                if time.monotonic() - since < KEEP_SECONDS and not _spoken(connection):
                    return connection
                connection.close()
        return None

    def _give_back(self, connection: _Connection) -> None:
        with self._lock:
            if self._process == os.getpid() and len(self._idle) < MOST_IDLE:
                self._idle.append((connection, time.monotonic()))
                return
        connection.close()


def _hang_up(idle: list[tuple[_Connection, Any]]) -> None:
    for connection, _ in idle:
        connection.close()


class _Connection(http.client.HTTPConnection):
    """Knows how many bytes the kernel took."""

    taken = 0

    def send(self, data: Any) -> None:
        """Send all of it, counting."""
        if self.sock is None:
            raise http.client.NotConnected()
        rest = memoryview(data)
        while rest:
            count = self.sock.send(rest)
            self.taken += count
            rest = rest[count:]


class _Plain(_Connection):
    pass


class _Secure(_Connection, http.client.HTTPSConnection):
    pass


def _exchange(connection: _Connection, method: str, path: str, body: bytes, headers: Mapping[str, str], deadline: Any
              ) -> tuple[Answer, bool]:
    connection.taken = 0
    wire = connection.sock
    try:
        wire.settimeout(_left(deadline))
        connection.request(method, path, body or None, dict(headers))
    except OSError as error:
        if connection.taken == 0:
            raise NotSent(f"没有发出：{_said(error)}") from error
        raise LostAnswer(f"发送中断：{_said(error)}") from error
    try:
        response = connection.getresponse()
        with response:
            content = _read(response, wire, deadline)
    except (OSError, http.client.HTTPException) as error:
        raise LostAnswer(f"已发出，没有收到完整应答：{_said(error)}") from error
    if response.length and method != "HEAD":
        raise LostAnswer(f"应答不完整，还缺 {response.length} 字节")
    return Answer(response.status, Headers(response.getheaders()), content), not response.will_close


def _read(response: http.client.HTTPResponse, wire: Any, deadline: Any) -> bytes:
    pieces, size = [], 0
    while not response.isclosed():
        wire.settimeout(_left(deadline))
        piece = response.read1(PIECE)
        if not piece:
            break
        size += len(piece)
        if size > LARGEST:
            raise LostAnswer(f"应答超过 {LARGEST} 字节")
        pieces.append(piece)
    return b"".join(pieces)


def _left(deadline: Any) -> Any:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _spoken(connection: _Connection) -> bool:
    """Whether an idle peer said something: it hung up, or sent what nobody asked for. Either way it is of no use."""
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(waiting.poll(0))


def _context(package: str, given: LineSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=given.ca_file or None)
        if given.client_certificate:
            context.load_cert_chain(given.client_certificate, given.client_key or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"[module.{package}] ca_file, client_certificate: {_said(error)}") from error
    return context


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


# In this process

class _InProcess:
    """Calls the simulator's application as a server would, its faults included."""

    def __init__(self, app: Any, clock: Clock) -> None:
        self._app, self._clock = app, clock

    def __call__(self, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout: int) -> Answer:
        builder = EnvironBuilder(path, method=method, data=body, headers=dict(headers), base_url="http://127.0.0.1/")
        try:
            environ = builder.get_environ()
        finally:
            builder.close()
        environ |= {simulating.NOW: self._clock.now(), simulating.PATIENCE: timeout * 1000}
        pieces, status, found = run_wsgi_app(self._app, environ, buffered=True)
        return Answer(int(status.partition(" ")[0]), found, b"".join(pieces))
