"""The real thing over HTTP: the server and the worker as processes of their own, and clients of them.

For the fault tests, which kill the processes, and for the benchmarks, which time them. The hospital is made in this
process (:func:`make_house`), on the wall clock, and served by ``python -m his_server run`` from the same data folder.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from flask.testing import FlaskClient

from his_server.app import create_app, open_database
from his_server.db import numbering
from his_server.registry import Hospital
from his_server.settings import Settings
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from tests.factories.hospital import World, make_world
from tests.factories.security import SignedInClient, make_user, signed_in_client

UP = "服务已启动"
START_SECONDS = 300
"""On a machine that is busy with other things."""


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class House:
    """A served hospital: where its data are, its processes, and its people's cookies."""

    data_dir: Path
    world: World
    port: int = field(default_factory=free_port)
    web: subprocess.Popen[bytes] | None = None
    worker: subprocess.Popen[bytes] | None = None
    up: threading.Event = field(default_factory=threading.Event)
    """Set while the server answers, as far as we know."""
    callers: list[Caller] = field(default_factory=list)
    program: Path | None = None
    """The folder whose program is served; None: the one of this process."""

    def environment(self) -> dict[str, str]:
        """What the processes are started with."""
        program = {} if self.program is None else {"PYTHONPATH": str(self.program)}
        return {**os.environ, **program, "HIS_DATA_DIR": str(self.data_dir), "HIS_SECURE_COOKIES": "0",
                "HIS_SIMULATE_PAYMENTS": "1", "HIS_LOG_LEVEL": "ERROR",
                "HIS_DATABASE_URL": self.world.db.url.render_as_string(hide_password=False)}

    def _log(self, name: str) -> Path:
        return self.data_dir / f"{name}.log"

    def start_web(self, processes: int = 2, threads: int = 8) -> None:
        """Start gunicorn and wait until it listens. :raises AssertionError: it didn't (with what it said)."""
        command = [sys.executable, "-m", "his_server", "run", "--bind", f"127.0.0.1:{self.port}", "--workers",
                   str(processes), "--threads", str(threads)]
        web = subprocess.Popen(command, env=self.environment(), cwd=self.program, stderr=subprocess.PIPE,
                               start_new_session=True)
        said = threading.Event()
        threading.Thread(target=self._listen, args=(web, said), daemon=True).start()
        self.web = web
        assert said.wait(START_SECONDS) and web.poll() is None, self._log("web").read_text(errors="replace")[-4000:]
        self.up.set()

    def _listen(self, web: subprocess.Popen[bytes], said: threading.Event) -> None:
        assert web.stderr is not None
        with web.stderr, self._log("web").open("ab", buffering=0) as log:
            for line in web.stderr:
                log.write(line)
                if UP in line.decode(errors="replace"):
                    said.set()
        said.set()  # it ended: don't let anybody wait

    def start_worker(self) -> None:
        """Start the worker."""
        with self._log("worker").open("ab") as log:
            self.worker = subprocess.Popen([sys.executable, "-m", "his_server", "worker"], stderr=log,
                                           env=self.environment(), cwd=self.program, start_new_session=True)

    def children(self) -> list[int]:
        """The gunicorn processes that answer requests."""
        assert self.web is not None
        path = Path(f"/proc/{self.web.pid}/task/{self.web.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def kill_web(self) -> None:
        """kill −9 of the whole server, master and children at once."""
        self.up.clear()
        assert self.web is not None
        os.killpg(self.web.pid, signal.SIGKILL)
        self.web.wait()

    def kill_worker(self) -> None:
        """kill −9 of the worker."""
        assert self.worker is not None
        os.killpg(self.worker.pid, signal.SIGKILL)
        self.worker.wait()

    def stop(self) -> None:
        """End what runs, in order; what doesn't end is killed."""
        self.up.clear()
        for caller in self.callers:
            caller.close()
        for process in (self.web, self.worker):
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(25)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def complaints(self) -> str:
        """What server and worker logged as errors."""
        return "".join(self._log(name).read_text(errors="replace") for name in ("web", "worker")
                       if self._log(name).exists())

    def hire_cashiers(self, count: int) -> list[str]:
        """So many more cashiers, each with receipts of their own; their names in ``world.clients``."""
        names = []
        world = self.world
        for n in range(count):
            with world.db.begin() as session:
                user = make_user(session, "cashier", "registrar", name=f"收费员{n}")
                numbering.grant_range(session, RECEIPT_SERIES, user.id, (n + 100) * 10**6, (n + 101) * 10**6 - 1)
            name = f"cashier:{n}"
            world.clients[name] = signed_in_client(world.app, world.db, user=user)
            names.append(name)
        return names

    def caller(self, who: str) -> Caller:
        """An HTTP client signed in as somebody; closed with the house."""
        made = Caller(self.port, headers_of(self.world, self.world.clients[who]))
        self.callers.append(made)
        return made


def headers_of(world: World, client: FlaskClient) -> dict[str, str]:
    """Cookie and CSRF token of a client, for real requests."""
    assert isinstance(client, SignedInClient)
    name = world.app.extensions["his_security"].cookie
    cookie = client.get_cookie(name)
    assert cookie is not None
    return {"Cookie": f"{name}={cookie.value}", "X-CSRF-Token": client.csrf, "Content-Type": "application/json"}


class Caller:
    """A browser's stand-in: one kept-alive connection, one person's cookie. One thread at a time."""

    def __init__(self, port: int, headers: dict[str, str], timeout: float = 30) -> None:
        self.port, self.headers, self.timeout = port, headers, timeout
        self.connection: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        """One request; status and parsed answer.

        :raises OSError: no connection. :raises http.client.HTTPException: the connection broke: nobody knows.
        """
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        headers = self.headers if method == "GET" else {**self.headers, "Idempotency-Key": key or uuid4().hex}
        try:
            self.connection.request(method, path, None if body is None else json.dumps(body), headers)
            with self.connection.getresponse() as answer:
                text = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        return answer.status, json.loads(text) if answer.headers.get_content_type() == "application/json" else text

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


@contextmanager
def make_house(data_dir: Path, url: str, hospital: Hospital, **options: Any) -> Iterator[House]:
    """A small hospital (:func:`make_world`) in the database of ``url``, ready to be served; stopped at the end."""
    settings = Settings(data_dir=data_dir, database_url=url, secure_cookies=False, password_rounds=10_000,
                        simulate_payments=True, log_level="ERROR")
    database = open_database(settings)
    app = create_app(settings, database=database, hospital=hospital)
    house = House(data_dir, make_world(app, database, **options))
    try:
        yield house
    finally:
        house.stop()
        database.dispose()
