"""The simulators' host: finds each interface's ``simulator.create(folder)``, and makes the line to it as bad as told.

A simulator only has to be right. What can go wrong on the way is done here, around it, by rules that stand in
``<folder>/<interface>/faults.json``, so that every process that shares the folder obeys them. ``/_control`` shows and
changes them (page and JSON). In the tests' own process the same faults happen without a socket.
"""

from __future__ import annotations

import errno
import fcntl
import importlib
import importlib.util
import json
import os
import random
import socket
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import run_wsgi_app
from werkzeug.wsgi import get_input_stream

from his_server.clock import Clock
from his_server.messaging.outbox import LostAnswer
from interfaces.hub.manifests import all_manifests

FAULTS = {
    "slow": "变慢", "refuse": "拒绝服务（503，未处理）", "drop_before": "处理前断开", "drop_after": "处理后断开（应答丢失）",
    "short": "应答只到一半", "duplicate": "重复送达（处理两次）", "reorder": "后到先办", "garbage": "应答乱码",
}
NOW = "his.now"
"""environ: the time in the caller's process, when the simulator runs in it."""
PATIENCE = "his.patience"
"""environ: milliseconds after which an in-process caller hears nothing any more."""
OVERTAKEN_MS = 500
"""How long a request that is to be overtaken waits for another one, when the rule doesn't say."""
MOST_RULES = 50


def open_books(path: Path, isolation_level: Literal["DEFERRED"] | None = None) -> sqlite3.Connection:
    """A simulator's books: they outlive a killed process but no power cut, and wait for no disk."""
    books = sqlite3.connect(path, timeout=30, isolation_level=isolation_level)
    books.execute("PRAGMA synchronous=OFF")
    return books


class UnknownSimulator(ValueError):
    """No interface of that name brings a simulator."""


@dataclass(frozen=True)
class Rule:
    """A fault. ``where``: a transaction, or a path when it begins with ``/``; empty is every request. ``chance`` percent;
    ``count``: how many times yet, None is without end; ``milliseconds`` for ``slow`` and ``reorder``."""

    fault: str
    where: str = ""
    chance: int = 100
    count: int | None = None
    milliseconds: int = 0

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"没有这种故障：{self.fault}（可用：{'、'.join(FAULTS)}）")
        whole = (self.chance, self.milliseconds, 0 if self.count is None else self.count)
        if not all(type(value) is int for value in whole) or not isinstance(self.where, str):
            raise ValueError("chance、count、milliseconds 应为整数，where 应为文字")
        if not 0 <= self.chance <= 100 or min(whole) < 0:
            raise ValueError("chance 为 0 至 100；count、milliseconds 不能为负")

    def meets(self, transaction: str, path: str) -> bool:
        """Whether this request is meant."""
        if self.where.startswith("/"):
            return path.startswith(self.where)
        return self.where in ("", transaction)


class Faults:
    """The rules of one interface, kept in its folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._lock = folder / "faults.json", folder / "faults.lock"
        self._chance = random.Random()

    def read(self) -> list[Rule]:
        """The rules as they stand."""
        try:
            return [Rule(**rule) for rule in json.loads(self._path.read_bytes())]
        except FileNotFoundError:
            return []

    def write(self, rules: Sequence[Rule]) -> None:
        """Replace all rules."""
        with self._alone():
            self._put(rules)

    def draw(self, transaction: str, path: str) -> Rule | None:
        """The fault that befalls this request, if any; one time less for it from now on."""
        if not any(rule.meets(transaction, path) for rule in self.read()):
            return None
        with self._alone():
            rules = self.read()
            for place, rule in enumerate(rules):
                if rule.count == 0 or not rule.meets(transaction, path) or self._chance.randrange(100) >= rule.chance:
                    continue
                if rule.count is not None:
                    rules[place] = replace(rule, count=rule.count - 1)
                    self._put(rules)
                return rule
        return None

    def _put(self, rules: Sequence[Rule]) -> None:
        fresh = self._path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        fresh.write_text(json.dumps([asdict(rule) for rule in rules], ensure_ascii=False), encoding="utf-8")
        fresh.replace(self._path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def available() -> dict[str, ModuleType]:
    """Interfaces that bring a simulator behind HTTP, by package."""
    found = {}
    for package in all_manifests():
        name = f"interfaces.{package}.simulator"
        if importlib.util.find_spec(name) is not None and hasattr(module := importlib.import_module(name), "create"):
            found[package] = module
    return found


def application(package: str, folder: Path) -> Faulty:
    """An interface's simulator with its faults around it; books and rules are in ``folder/<package>``.

    :raises UnknownSimulator: it brings none.
    """
    name = f"interfaces.{package}.simulator"
    module = importlib.import_module(name) if package in all_manifests() and importlib.util.find_spec(name) else None
    if module is None or not hasattr(module, "create"):
        raise UnknownSimulator(f"{package} 没有模拟器")
    own = folder / package
    own.mkdir(parents=True, exist_ok=True)
    return Faulty(module.create(own), Faults(own), getattr(module, "transaction", last_of_path))


def host(folder: Path, names: Sequence[str] = ()) -> Any:
    """All simulators (or the named) under ``/<interface>/``, and ``/_control``. :raises UnknownSimulator: a name is none."""
    from interfaces.hub import control

    chosen = {package: application(package, folder) for package in names or available()}
    page = control.create({package: app.faults for package, app in chosen.items()})
    return DispatcherMiddleware(page, {f"/{package}": app for package, app in chosen.items()})


def last_of_path(path: str, _body: bytes) -> str:
    """What a transaction is called where the simulator doesn't say by ``transaction(path, body)``."""
    return path.rstrip("/").rpartition("/")[2]


def now(environ: dict[str, Any]) -> datetime:
    """The time for a simulator: the caller's clock in process, else the system's."""
    found: datetime = environ.get(NOW) or Clock().now()
    return found


class Faulty:
    """WSGI middleware: the simulator, over a line that fails as the rules say."""

    def __init__(self, app: Any, faults: Faults, transaction: Callable[[str, bytes], str]) -> None:
        self.faults = faults
        self._app, self._transaction = app, transaction
        self._overtaking = threading.Condition()
        self._served = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        body = get_input_stream(environ).read()
        path = environ.get("PATH_INFO", "/")
        rule = self.faults.draw(self._transaction(path, body), path)
        if rule is None:
            return self._right(environ, body, start_response)
        return getattr(self, f"_{rule.fault}")(rule, environ, body, start_response)

    def _serve(self, environ: dict[str, Any], body: bytes) -> tuple[str, Any, bytes]:
        given = {**environ, "wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        given.pop("HTTP_TRANSFER_ENCODING", None)
        pieces, status, headers = run_wsgi_app(self._app, given, buffered=True)
        with self._overtaking:
            self._served += 1
            self._overtaking.notify_all()
        return status, headers, b"".join(pieces)

    def _right(self, environ: dict[str, Any], body: bytes, start_response: Any) -> list[bytes]:
        status, headers, answer = self._serve(environ, body)
        start_response(status, list(headers))
        return [answer]

    def _slow(self, rule: Rule, environ: dict[str, Any], body: bytes, start_response: Any) -> list[bytes]:
        if rule.milliseconds >= environ.get(PATIENCE, rule.milliseconds + 1):
            self._serve(environ, body)
            cut(environ)
        _wait(rule.milliseconds)
        return self._right(environ, body, start_response)

    def _refuse(self, _rule: Rule, _environ: dict[str, Any], _body: bytes, start_response: Any) -> list[bytes]:
        answer = b"service unavailable\n"
        start_response("503 Service Unavailable", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
        return [answer]

    def _drop_before(self, _rule: Rule, environ: dict[str, Any], _body: bytes, _start_response: Any) -> list[bytes]:
        return cut(environ)

    def _drop_after(self, _rule: Rule, environ: dict[str, Any], body: bytes, _start_response: Any) -> list[bytes]:
        self._serve(environ, body)
        return cut(environ)

    def _short(self, _rule: Rule, environ: dict[str, Any], body: bytes, start_response: Any) -> Iterator[bytes]:
        status, headers, answer = self._serve(environ, body)
        if PATIENCE in environ:
            cut(environ)
        headers["Content-Length"] = str(len(answer) + 1)
        start_response(status, list(headers))
        yield answer[:max(len(answer) // 2, 1)]
        raise ConnectionResetError(errno.ECONNRESET, "cut by a fault rule")

    def _duplicate(self, _rule: Rule, environ: dict[str, Any], body: bytes, start_response: Any) -> list[bytes]:
        self._serve(environ, body)
        return self._right(environ, body, start_response)

    def _reorder(self, rule: Rule, environ: dict[str, Any], body: bytes, start_response: Any) -> list[bytes]:
        with self._overtaking:
            before = self._served
            until = (rule.milliseconds or OVERTAKEN_MS) / 1000
            self._overtaking.wait_for(lambda: self._served > before, until)
        return self._right(environ, body, start_response)

    def _garbage(self, _rule: Rule, environ: dict[str, Any], body: bytes, start_response: Any) -> list[bytes]:
        self._serve(environ, body)
        answer = b"\xff\xfe{\"\x00garbage"
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]


def cut(environ: dict[str, Any]) -> list[bytes]:
    """End the connection without a word: reset on the wire, LostAnswer in process."""
    if PATIENCE in environ:
        raise LostAnswer("已发出，没有收到应答（模拟断线）")
    wire = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if wire is None:
        raise RuntimeError("this server doesn't hand over its connection: it can't be cut")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionResetError(errno.ECONNRESET, "cut by a fault rule")


def _wait(milliseconds: int) -> None:
    time.sleep(milliseconds / 1000)
