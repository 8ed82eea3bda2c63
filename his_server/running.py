"""The web server processes of this host: who runs, and handing the listening socket from one release to the next.

gunicorn's own hand-over (USR2) is used: the running master starts a new one that inherits the socket. The new one is tried
on a socket of its own (:mod:`his_server.arbiter`); only when it is ready there does it take the shared one too, and the old
one leaves when the new one has answered on it. So no connection is refused, none waits and none is answered by a process
that isn't ready: if the new one doesn't come up, the old one was never told to go (DESIGN section 10).

Implements: A2.
"""

from __future__ import annotations

import fcntl
import http.client
import importlib
import json
import logging
import os
import pkgutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from his_server import __version__
from his_server.settings import Settings

log = logging.getLogger("his.running")

LAZY = ("openpyxl", "xlsxwriter", "reportlab.pdfgen", "reportlab.pdfbase", "reportlab.lib", "pypinyin", "tzdata")
"""Libraries that load parts of themselves when they are first needed."""
NOT_RUNNING = ("his_server.web.dev", "his_server.web.reader", "his_server.db.migrations", "his_server.cli.templates",
               "his_server.reporting.fonts")
"""Parts that are run by themselves or by Alembic."""
ANSWERS = 5
"""So many answers of the new process, without a wrong one between, say that it serves."""


class NotTakenOver(Exception):
    """The new process didn't come up; the text is Chinese. The old one serves on."""


@dataclass(frozen=True)
class Master:
    """A web master process: its number, where it listens, its release, and its parent at the start."""

    pid: int
    bind: str
    version: str
    parent: int

    @property
    def alive(self) -> bool:
        """Whether the process runs (a zombie doesn't)."""
        return _state(self.pid) not in ("Z", "X", "")


def load_whole_program() -> None:
    """Import every part of the program now, so that a process never mixes two releases while its files are replaced."""
    for name in ("his_server", "dialects", "crypto", "modules", "interfaces"):
        package = importlib.import_module(name)
        for entry in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not entry.name.startswith(NOT_RUNNING) and not entry.name.endswith("__main__"):
                importlib.import_module(entry.name)
    for name in LAZY:
        package = importlib.import_module(name)
        for entry in pkgutil.iter_modules(package.__path__, f"{name}."):
            if not entry.ispkg and not entry.name.endswith(("_can_cmap_data", "__main__")):
                importlib.import_module(entry.name)


def folder(settings: Settings) -> Path:
    """Where running masters tell of themselves: systemd's runtime folder, or one beside the data."""
    given = os.environ.get("RUNTIME_DIRECTORY")
    if given:
        return Path(given.split(":")[0])
    packaged = Path("/run/his-server")
    return packaged if settings.data_dir == Path("/var/lib/his-server") and packaged.is_dir() else settings.data_dir / "run"


def trial(pid: int) -> str:
    """Where a master that isn't approved yet answers: a socket without a file (Linux), open to this host alone."""
    return f"\0his-server-trial-{pid}"


def announce(settings: Settings, bind: str) -> None:
    """Tell that this master serves."""
    place = folder(settings)
    place.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(Master(os.getpid(), bind, __version__, os.getppid())))
    temporary = place / f".web-{os.getpid()}.new"
    temporary.write_text(text, encoding="utf-8")
    temporary.rename(place / f"web-{os.getpid()}.json")


def retract(settings: Settings) -> None:
    """This master leaves."""
    (folder(settings) / f"web-{os.getpid()}.json").unlink(missing_ok=True)


def masters(settings: Settings) -> list[Master]:
    """The web masters that run on this host; what killed ones left behind is cleared away."""
    found = []
    for path in sorted(folder(settings).glob("web-*.json")):
        try:
            master = Master(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue  # it left between the listing and the reading
        if master.alive:
            found.append(master)
        else:
            path.unlink(missing_ok=True)
    return found


def unit_of(pid: int) -> str | None:
    """The systemd service of ours that a process belongs to."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    except OSError:
        return None
    parts = [part for line in groups.splitlines() for part in line.split("/")]
    return next((part for part in parts if part.startswith("his-") and part.endswith(".service")), None)


def own_command() -> dict[int | str, object]:
    """What starts this server again: the package's launcher where there is one, else this very command line."""
    launcher = Path(sys.prefix).parent / "bin" / "his-server"
    if launcher.is_file():
        return {"args": [str(launcher), *sys.argv[1:]], 0: str(launcher), "cwd": "/"}
    return {"args": [sys.executable, *sys.orig_argv[1:]], 0: sys.executable}


def hand_over(settings: Settings, old: Master, timeout: int) -> Master:
    """Start a new master beside ``old``; when it is ready, give it the shared socket, let the old one finish and leave.
    Returns the new one.

    :raises NotTakenOver: it didn't come up within ``timeout`` seconds, its readiness check failed (it is ended again), or
        somebody else hands over just now.
    """
    until = time.monotonic() + timeout
    with _alone(settings, old):
        _end_successors(old)  # what a hand-over that was killed has left
        try:
            fresh = _start(settings, old, until)
            _await_answers(fresh, f"unix:{trial(fresh.pid)}", until)
            os.kill(fresh.pid, signal.SIGUSR1)  # approved
            _await_answers(fresh, fresh.bind, until)
        except NotTakenOver:
            _end_successors(old)
            raise
        notify(f"MAINPID={fresh.pid}")
        with suppress(ProcessLookupError):
            os.kill(old.pid, signal.SIGTERM)
        log.info("web master %s (%s) took over from %s (%s)", fresh.pid, fresh.version, old.pid, old.version)
        while old.alive and time.monotonic() < until + 60:
            time.sleep(0.1)
        return fresh


@contextmanager
def _alone(settings: Settings, old: Master) -> Iterator[None]:
    """One hand-over of a master at a time."""
    try:
        with (folder(settings) / f"web-{old.pid}.json").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except FileNotFoundError:
        raise NotTakenOver(f"进程 {old.pid} 已经退出") from None
    except BlockingIOError:
        raise NotTakenOver("另一次交接正在进行，请等它结束") from None


def _start(settings: Settings, old: Master, until: float) -> Master:
    """Let the old master start a new one. :raises NotTakenOver: it ended at once, or didn't listen in time."""
    asked, seen = 0.0, False
    while True:
        if time.monotonic() > until:
            raise NotTakenOver("没有在限定时间内启动")
        fresh = next((master for master in masters(settings) if master.parent == old.pid), None)
        if fresh is not None:
            return fresh
        starting = _successors(old)
        if seen and not starting:
            raise NotTakenOver("启动时退出，原因见日志（journalctl -u his-web）")
        seen = seen or bool(starting)
        if not seen and time.monotonic() > asked + 2:  # one that has just taken over itself doesn't listen at once
            asked = time.monotonic()
            os.kill(old.pid, signal.SIGUSR2)
        time.sleep(0.05)


def _state(pid: int) -> str:
    """The kernel's letter for a process's state; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _successors(old: Master) -> list[int]:
    """The children of a master that aren't its workers: new masters that it has started."""
    found = []
    for child in _children(old.pid):
        try:
            environ = Path(f"/proc/{child}/environ").read_bytes()
        except OSError:
            continue
        if f"GUNICORN_PID={old.pid}".encode() in environ.split(b"\0"):
            found.append(child)
    return found


def _end_successors(old: Master) -> None:
    """End what the old master has started and wait until it has noticed: only then can it start another one."""
    for child in _successors(old):
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
    until = time.monotonic() + 40
    while time.monotonic() < until and old.alive:
        if not _successors(old) and not any(_state(child) == "Z" for child in _children(old.pid)):
            return
        time.sleep(0.05)


def _await_answers(fresh: Master, bind: str, until: float) -> None:
    """:raises NotTakenOver: the new process says there that it isn't ready, or doesn't answer in time."""
    good = 0
    while good < ANSWERS:
        if not fresh.alive:
            raise NotTakenOver("启动后退出，原因见日志（journalctl -u his-web）")
        if time.monotonic() > until:
            raise NotTakenOver("没有在限定时间内就绪")
        try:
            status, who, text = ask(bind, "/readyz")
        except OSError:
            time.sleep(0.1)
            continue
        if who != f"{fresh.version} {fresh.pid}":
            time.sleep(0.02)  # the old one answered: both listen
            continue
        if status != 200:
            raise NotTakenOver(f"就绪检查不通过（{text.strip()}）")
        good += 1


def ask(bind: str, path: str, timeout: float = 10) -> tuple[int, str, str]:
    """Status, who answered (release and master's number), and text of a small GET of our own server."""
    if bind.startswith("unix:"):
        connection = http.client.HTTPConnection("localhost", timeout=timeout)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(timeout)
        connection.sock.connect(bind.removeprefix("unix:"))
    else:
        host, _, port = bind.rpartition(":")
        host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))
        connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.getheader("X-His-Release", ""), answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def notify(state: str) -> None:
    """Tell systemd, where it started us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
        line.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        line.sendall(state.encode())
