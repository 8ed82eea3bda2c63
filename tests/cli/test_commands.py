"""The commands as an operator types them: in processes of their own, on a data folder of their own."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest

from his_server.cli import COMMANDS, _installed, serving
from his_server.cli.checks import find
from his_server.db import Database
from his_server.db.numbering import NumberCounter
from his_server.module import Check, Finding


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a new installation in ``tmp_path``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HIS_")}
    return {**kept, "HIS_DATA_DIR": str(tmp_path / "data"), "HIS_SECURE_COOKIES": "0", "HIS_PASSWORD_ROUNDS": "10000"}


def his(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "his_server", *arguments], env=environment, capture_output=True,
                          text=True, check=False, timeout=120)


def test_init_makes_three_administrators_once(environment: dict[str, str]) -> None:
    first = his(environment, "init")
    assert first.returncode == 0, first.stderr
    accounts = re.findall(r"^  (\w+) +(\S{16})(?: |$)", first.stdout, re.MULTILINE)
    assert [login for login, _ in accounts] == ["sysadmin", "secadmin", "auditadmin"]
    assert len({password for _, password in accounts}) == 3
    second = his(environment, "init")
    assert second.returncode == 0 and accounts[0][1] not in second.stdout
    data = Path(environment["HIS_DATA_DIR"])
    assert (data / "keys" / "master.key").stat().st_mode & 0o077 == 0
    assert his(environment, "migrate", "--check").returncode == 0
    balanced = his(environment, "balance")
    assert balanced.returncode == 0, balanced.stdout + balanced.stderr
    assert "0 处不平" in balanced.stdout
    assert his(environment, "balance", "--check", "nothing").returncode == 1


def test_a_wrong_setting_is_told_in_one_line(environment: dict[str, str]) -> None:
    done = his({**environment, "HIS_SESSION_IDLE": "soon"}, "init")
    assert done.returncode == 1
    assert "session_idle" in done.stderr and "Traceback" not in done.stderr


def test_help_names_every_command(environment: dict[str, str]) -> None:
    shown = his(environment, "--help").stdout
    for name, place in COMMANDS.items():
        assert (f"\n  {name} " in shown) == _installed(place), name
    assert his(environment, "nonsense").returncode == 2


def test_balance_names_rows(db: Database) -> None:
    def check(session: object) -> Iterator[Finding]:
        yield Finding("x.sum", "settlement 7", "1.00 ≠ 2.00")

    assert find(db, (Check("x.sum", "和", check),)) == [Finding("x.sum", "settlement 7", "1.00 ≠ 2.00")]
    with db.begin() as session:
        session.add(NumberCounter(series="s", scope="", next=1))


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _get(port: int, path: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _wait_ready(port: int, path: str = "/readyz", seconds: float = 40) -> None:
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if _get(port, path)[0] == 200:
                return
        except OSError:
            pause.wait(0.1)
    raise AssertionError("the server didn't become ready")


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _until_children(pid: int, number: int) -> list[int]:
    """The first web process may be ready before the second is forked."""
    pause = threading.Event()
    for _ in range(100):
        if len(children := _children(pid)) >= number:
            break
        pause.wait(0.1)
    assert len(children) == number
    return children


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux")
def test_run_serves_survives_a_killed_process_and_ends_with_its_worker(environment: dict[str, str],
                                                                       tmp_path: Path) -> None:
    assert his(environment, "init").returncode == 0
    port = _free_port()
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "his_server", "run", "--bind", f"127.0.0.1:{port}",
                                   "--with-worker", "--with-simulators"], stdout=log, stderr=log,
                                  env={**environment, "HIS_SIMULATORS": f"http://127.0.0.1:{(simulators := _free_port())}"})
        try:
            _wait_ready(port)
            assert _get(port, "/healthz") == (200, b"ok\n")
            assert _get(port, "/api/session")[0] == 401
            children = _until_children(server.pid, 4)  # two web processes, the worker and the simulators
            web = next(pid for pid in children
                       if not {b"worker", b"simulate"} & set(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")))
            _wait_ready(simulators, "/_control")
            os.kill(web, signal.SIGKILL)
            _wait_ready(port)
            assert b"his_responses_total" in _get(port, "/metrics")[1]
        finally:
            server.terminate()
            assert server.wait(30) == 0, (tmp_path / "log").read_text()
    assert all(not Path(f"/proc/{pid}").exists() for pid in children)


@pytest.mark.requirement("RU-05")
def test_a_port_that_another_program_has_is_told_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(serving.time, "sleep", waited.append)
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(click.ClickException, match=f"{bind} 已被其他程序占用.*--bind"):
            serving.refuse_if_taken(bind)
        assert len(waited) == 4, "who is being restarted gets a moment"
        monkeypatch.setenv("LISTEN_FDS", "1")
        serving.refuse_if_taken(bind)  # systemd hands the socket over
        monkeypatch.delenv("LISTEN_FDS")
    serving.refuse_if_taken(bind)
    with pytest.raises(click.ClickException, match=r"不能监听 192\.0\.2\.1:8000"):
        serving.refuse_if_taken("192.0.2.1:8000")
