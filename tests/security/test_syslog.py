"""The audit trail at a central log server, and whether clocks agree (COMPLIANCE DB-31)."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from his_server.actor import Actor
from his_server.app import bind_ports
from his_server.db import Database
from his_server.registry import Hospital
from his_server.security import audit, cli, seals, syslog, timesync
from his_server.security.audit import AuditRow
from his_server.security.settings import SecuritySettings
from his_server.settings import Settings, SettingsError

pytestmark = pytest.mark.requirement("DB-31")
WHO = Actor(user_id=7, login="0107", name='王"护]士\\', staff_id=12, roles=("nurse",), ip="2001:db8::17", terminal="W3\n2",
            trace_id="trace0001")
LINE = re.compile(
    rb'<(?P<pri>\d{1,3})>1 (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<host>[\x21-\x7e]{1,255}) his-server - '
    rb'(?P<event>[\x21-\x7e]{1,32}) \[audit@32473(?P<data>(?: [a-z]+="(?:[^"\\\]]|\\["\\\]])*")*)\] \xef\xbb\xbf(?P<text>.*)',
    re.S)


class Collector:
    """A log server: takes RFC 6587 frames; ``hang_up`` closes after so many bytes."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port, self.messages, self.hang_up = self.server.getsockname()[1], list[bytes](), False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self.server.accept()
            except OSError:
                return
            with line, line.makefile("rb") as stream:
                taken = []
                while size := self._size(stream):
                    taken.append(stream.read(size))
                    if self.hang_up:  # dies with the batch half read
                        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        break
                else:
                    self.messages += taken

    def _size(self, stream: Any) -> int:
        digits = b""
        while (one := stream.read(1)).isdigit():
            digits += one
        return int(digits or 0)


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.close()


def write(db: Database, *events: str, success: bool = True) -> None:
    with db.begin() as session:
        for event in events:
            audit.record(session, WHO, event, "person", 4711, {"why": "核对]"}, success=success)
    seals.seal_all(db)


def wait(collector: Collector, count: int) -> list[re.Match[bytes]]:
    for _ in range(500):
        if len(collector.messages) >= count:
            break
        threading.Event().wait(0.01)
    found = [LINE.fullmatch(message) for message in collector.messages]
    assert len(found) == count and all(found), collector.messages
    return found  # type: ignore[return-value]


def data(found: re.Match[bytes]) -> dict[str, str]:
    pairs = re.findall(r'([a-z]+)="((?:[^"\\\]]|\\["\\\]])*)"', found["data"].decode())
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in pairs}


def test_every_row_arrives_once_in_order_and_whole(db: Database, collector: Collector, hospital: Hospital) -> None:
    settings = Settings(extra={"security": {"syslog": f"tcp://127.0.0.1:{collector.port}"}})
    bind_ports(db, hospital, settings)
    write(db, "patient.view", "charge.refund")
    write(db, "permission.denied", success=False)
    assert syslog.run(db) == 3
    found = wait(collector, 3)
    assert [f["event"].decode() for f in found] == ["patient.view", "charge.refund", "permission.denied"]
    assert [int(f["pri"]) for f in found] == [110, 110, 108]  # log audit; informational, warning
    first = data(found[0])
    with db.begin(write=False) as session:
        row = session.scalars(select(AuditRow).order_by(AuditRow.id)).first()
        assert row is not None
        assert (first["id"], first["mac"], first["login"]) == (str(row.id), row.row_mac, "0107")
    assert first["name"] == WHO.name and first["ip"] == "2001:db8::17" and first["terminal"] == "W3 2"
    assert (first["seq"], first["object"], first["success"], first["trace"]) == ("1", "4711", "1", "trace0001")
    assert "调阅病人" in found[0]["text"].decode() and "核对]" in found[0]["text"].decode()
    assert found[0]["at"] == b"2026-03-02T00:30:00.000Z"
    assert syslog.run(db) == 0
    write(db, "stock.in")
    assert syslog.run(db) == 1
    assert [data(f)["seq"] for f in wait(collector, 4)] == ["1", "2", "3", "4"]


def test_a_dead_server_loses_nothing(db: Database, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "BATCH", 2)
    write(db, "a.one", "a.two", "a.three")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(OSError):
        syslog.forward(db, f"tcp://127.0.0.1:{port}")
    target = f"tcp://127.0.0.1:{collector.port}"
    collector.hang_up = True
    with pytest.raises(OSError):
        syslog.forward(db, target)
    collector.hang_up = False
    assert syslog.forward(db, target) == 3
    assert [data(f)["seq"] for f in wait(collector, 3)] == ["1", "2", "3"]


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_the_command_writes_the_same_lines(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "the_database", lambda: db)
    write(db, "patient.view", "print")
    done = CliRunner().invoke(cli.audit, ["syslog"])
    lines = done.stdout_bytes.splitlines()
    assert done.exit_code == 0 and len(lines) == 2 and all(LINE.fullmatch(line) for line in lines)
    assert "seq 2" in done.stderr
    assert len(CliRunner().invoke(cli.audit, ["syslog", "--after", "1"]).stdout_bytes.splitlines()) == 1


@pytest.mark.parametrize("target", ["udp://a:1", "tcp://a", "tcp://:5", "a:1", "tcp://a:1/x", "tcp://u@a:1"])
def test_a_wrong_target_is_refused_at_start(target: str) -> None:
    with pytest.raises(SettingsError):
        SecuritySettings(syslog=target)
    assert SecuritySettings(syslog="tcp://log.example:601").syslog


@pytest.mark.parametrize(("status", "error", "good"), [(0, 900_000, True), (0x40, 0, False), (0, 1_500_000, False)])
def test_an_unsynchronised_clock_is_shown(status: int, error: int, good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timesync, "read", lambda: (status, error))
    assert timesync.state()["synchronised"] is good

    def silent() -> Any:
        raise OSError

    monkeypatch.setattr(timesync, "read", silent)
    assert timesync.state() == {"synchronised": None, "error_ms": None}
    monkeypatch.undo()
    assert set(timesync.state()) == {"synchronised", "error_ms"}  # the real call works, whatever it says
