"""A web server is replaced by a newly started one while people work: nobody meets a refused or broken request (A2)."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from his_server import running
from his_server.settings import Settings
from tests.serving import free_port

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux")


@dataclass
class Server:
    """``his-server run`` on a settings file of its own, and what is needed to call and replace it."""

    folder: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HIS_")}
        self.config = self.folder / "his.toml"
        self.configure()
        self.environment = {**kept, "HIS_CONFIG": str(self.config)}
        self.settings = Settings(data_dir=self.folder / "data")

    def configure(self, more: str = "") -> None:
        """Write the settings file anew."""
        self.config.write_text(f'data_dir = "{self.folder}/data"\nsecure_cookies = false\npassword_rounds = 10000\n{more}')

    def his(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "his_server", *arguments], env=self.environment, capture_output=True,
                              text=True, check=False, timeout=150)

    def start(self) -> None:
        """Start the first server process, which leads the group of all later ones."""
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "his_server", "run", "--bind", f"127.0.0.1:{self.port}"]
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        pause, deadline = threading.Event(), time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.get("/readyz")[0] == 200:
                    return
            except OSError:
                pause.wait(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def get(self, path: str) -> tuple[int, str]:
        """Status, and which process answered; a connection of its own, as the gateway makes."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.getheader("X-His-Release", "")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    assert (done := made.his("init")).returncode == 0, done.stderr
    made.start()
    yield made
    os.killpg(made.process.pid, signal.SIGKILL)  # the masters that were handed over to are of the same group
    made.process.wait()


class Load:
    """Threads that ask without a pause; every answer that isn't the expected one is kept."""

    def __init__(self, server: Server, threads: int = 2) -> None:
        self.server, self.stop, self.asked = server, threading.Event(), 0
        self.wrong: list[tuple[str, object]] = []
        self.answered: set[str] = set()
        """The processes that answered ``/readyz``."""
        self.threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def _ask(self) -> None:
        while not self.stop.is_set():
            for path, wanted in (("/readyz", 200), ("/api/session", 401)):
                found: object
                try:
                    found, who = self.server.get(path)
                    self.answered.update(who.split()[1:])
                except (OSError, http.client.HTTPException) as error:
                    found = repr(error)
                self.asked += 1
                self.stop.wait(0.01)
                if found != wanted:
                    self.wrong.append((path, found))

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.requirement("A2")
def test_a_hand_over_loses_no_request_and_a_failed_one_leaves_the_old(server: Server) -> None:
    old, = running.masters(server.settings)
    with Load(server) as load:
        done = server.his("handover", "--pid", str(old.pid))
        assert done.returncode == 0, done.stderr
        new, = running.masters(server.settings)
        assert new.pid != old.pid and not old.alive
        assert str(new.pid) in done.stdout
        server.configure("no_such_setting = 1\n")  # the next one can't start
        handed = running.Master(new.pid, new.bind, new.version, new.parent)
        with pytest.raises(running.NotTakenOver, match="启动时退出"):
            running.hand_over(server.settings, handed, 60)
        assert [master.pid for master in running.masters(server.settings)] == [new.pid]
        server.configure()
        running.hand_over(server.settings, handed, 60)  # and after the mistake is mended it works again
    assert load.wrong == []
    assert load.asked > 100
    latest, = running.masters(server.settings)
    assert server.get("/readyz")[1].endswith(str(latest.pid))


@pytest.mark.long
@pytest.mark.requirement("A2")
def test_a_process_that_never_gets_ready_answers_nobody(server: Server) -> None:
    """It is tried on a socket of its own: under load, nobody meets its 503 (DESIGN section 10)."""
    old, = running.masters(server.settings)
    good, bad = server.folder / "data" / "his.db", server.folder / "unready.db"
    shutil.copy(good, bad)
    with closing(sqlite3.connect(bad)) as there:
        there.execute("DROP TABLE key_block")  # what /readyz reads
    server.configure(f'database_url = "sqlite:///{bad}"\n')
    with Load(server, threads=4) as load:
        with pytest.raises(running.NotTakenOver, match="就绪检查不通过"):
            running.hand_over(server.settings, old, 60)
        assert [master.pid for master in running.masters(server.settings)] == [old.pid]
    assert load.wrong == []
    assert load.asked > 100 and load.answered == {str(old.pid)}


def test_nothing_runs_nothing_is_handed_over(tmp_path: Path) -> None:
    done = Server(tmp_path).his("handover")
    assert done.returncode == 1 and "没有找到运行中的" in done.stderr
