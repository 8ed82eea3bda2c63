"""A server that the real dmPython takes for DM8: see README.md. For tests only."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from socket import create_connection
from typing import Any

from sqlalchemy import make_url, text
from sqlalchemy.engine import create_engine

from tests.pg import die_with_parent

_ROOT = Path(__file__).parents[2]


class Standin:
    """A running stand-in: `url` for SQLAlchemy, and orders to misbehave."""

    def __init__(self, process: subprocess.Popen[str], port: int, control: int, schema: str) -> None:
        self.process = process
        self.port = port
        self.url = f"dm+dmpython://{schema}:Standin_2026@127.0.0.1:{port}/"
        self._control = create_connection(("127.0.0.1", control))
        self._stream = self._control.makefile("rw")

    def order(self, **what: Any) -> Any:
        """Give orders (fields of server.Orders; drop_all, sessions, statements, reset); returns the
        answer."""
        self._stream.write(json.dumps(what) + "\n")
        self._stream.flush()
        return json.loads(self._stream.readline())

    def stop(self) -> None:
        """End the process; the driver's connections break."""
        self._stream.close()
        self._control.close()
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def start_standin(
    postgres_url: str, database: str = "standin", schema: str = "HIS", port: int = 0, lock_seconds: int = 1
) -> Standin:
    """Start a stand-in over a database of its own in the PostgreSQL at `postgres_url` (made if missing)."""
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        if not connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": database}):
            connection.execute(text(f'CREATE DATABASE "{database}"'))
    admin.dispose()
    url = make_url(postgres_url)
    conninfo = f"host={url.host} port={url.port} user={url.username} dbname={database}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.dameng_standin.server", "--postgres", conninfo, "--port", str(port),
         "--lock-seconds", str(lock_seconds)],
        stdout=subprocess.PIPE, text=True, cwd=_ROOT, env={**os.environ, "PYTHONPATH": str(_ROOT)},
        preexec_fn=partial(die_with_parent, signal.SIGKILL),
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the stand-in for Dameng didn't start")
    standin = Standin(process, *json.loads(line), schema)
    atexit.register(standin.stop)
    return standin
