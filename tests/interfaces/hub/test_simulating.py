"""The simulators' host: each fault as told, over a real connection and in process, shared by all processes."""

from __future__ import annotations

import http.client
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from his_server.clock import Clock
from his_server.messaging.outbox import LostAnswer
from his_server.settings import Settings
from interfaces.hub import control, simulating, transport
from interfaces.hub.manifests import all_manifests
from interfaces.hub.simulating import Faults, Faulty, Rule, UnknownSimulator
from interfaces.hub.transport import Line, line
from tests.simulators import serving

SERVER = """
import sys
from pathlib import Path
from his_server.cli.serving import serve
from tests.interfaces.hub.test_simulating import books
serve(lambda: books(Path(sys.argv[1])), bind="127.0.0.1:0", workers=2, threads=4, timeout=30,
      when_ready=lambda server: print(server.LISTENERS[0].sock.getsockname()[1], flush=True))
"""


def books(folder: Path) -> Faulty:
    """A stand-in that writes down each body, and answers how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "books.db"
    with sqlite3.connect(path, timeout=30) as made:
        made.execute("CREATE TABLE IF NOT EXISTS heard (body TEXT, at TEXT)")
    made.close()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
        with sqlite3.connect(path, timeout=30) as kept:
            kept.execute("INSERT INTO heard VALUES (?, ?)", (body, simulating.now(environ).isoformat()))
            [count] = kept.execute("SELECT count(*) FROM heard").fetchone()
        kept.close()
        answer = json.dumps({"count": count, "body": body}).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]

    return Faulty(app, Faults(folder), simulating.last_of_path)


def heard(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "books.db") as kept:
        found = [row[0] for row in kept.execute("SELECT body FROM heard ORDER BY rowid")]
    kept.close()
    return found


@pytest.fixture(params=["in process", "werkzeug", "gunicorn"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Line]:
    """A line to the stand-in: without a socket, to a server in a thread, to two server processes."""
    folder = tmp_path / "books"
    if request.param == "in process":
        yield Line("scan_payment", transport._InProcess(books(folder), Clock()), timeout=10)
    elif request.param == "werkzeug":
        with serving(books(folder)) as base:
            yield to(base)
    else:
        with subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                yield to(f"http://127.0.0.1:{int(server.stdout.readline())}")
            finally:
                server.send_signal(signal.SIGTERM)


def to(base: str, seconds: int = 3) -> Line:
    found = line(Settings(extra={"scan_payment": {"url": base, "timeout_seconds": seconds}}), "scan_payment")
    assert found is not None
    return found


@pytest.fixture
def faults(tmp_path: Path) -> Faults:
    """The rules as another process would change them."""
    return Faults(tmp_path / "books")


def say(way: Line, text: str, timeout: int | None = None) -> Any:
    return way.exchange("POST", "/pay", text.encode(), {"Content-Type": "application/json"}, timeout).json()


def test_each_fault_does_to_the_line_what_it_says(way: Line, faults: Faults, tmp_path: Path) -> None:
    folder = tmp_path / "books"
    assert say(way, "0") == {"count": 1, "body": "0"}

    faults.write([Rule("drop_before", count=1)])
    with pytest.raises(LostAnswer):
        say(way, "1")
    assert heard(folder) == ["0"]

    faults.write([Rule("drop_after", count=1)])
    with pytest.raises(LostAnswer):
        say(way, "2")
    assert heard(folder) == ["0", "2"]

    faults.write([Rule("short", count=1)])
    with pytest.raises(LostAnswer):
        say(way, "3")
    assert heard(folder)[-1] == "3"

    faults.write([Rule("garbage", count=1)])
    with pytest.raises(LostAnswer, match="JSON"):
        say(way, "4")
    assert heard(folder)[-1] == "4"

    faults.write([Rule("duplicate", count=1)])
    assert say(way, "5") == {"count": 6, "body": "5"}
    assert heard(folder)[-2:] == ["5", "5"]

    faults.write([Rule("refuse", count=1)])
    assert way.exchange("POST", "/pay", b"6").status == 503
    assert heard(folder)[-1] == "5"

    faults.write([Rule("slow", count=1, milliseconds=1500)])
    with pytest.raises(LostAnswer):
        say(way, "7", timeout=1)
    assert faults.read() == [Rule("slow", count=0, milliseconds=1500)]
    assert say(way, "8")["body"] == "8", "spent: the line is well again"


def test_a_request_is_overtaken_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    with serving(books(folder)) as base, ThreadPoolExecutor(2) as two:
        Faults(folder).write([Rule("reorder", where="late", milliseconds=5000)])
        way = to(base, seconds=30)
        first = two.submit(way.exchange, "POST", "/late", b"first")
        while not way._carry._idle and not first.running():  # type: ignore[attr-defined]
            pass
        second = two.submit(say, way, "second")
        assert second.result(10)["body"] == "second"
        assert first.result(10).status == 200
    assert sorted(heard(folder)) == ["first", "second"] and heard(folder)[-1] == "first"


def test_rules_meet_a_transaction_a_path_or_everything(tmp_path: Path) -> None:
    faults = Faults(tmp_path)
    faults.write([Rule("refuse", "2207"), Rule("garbage", "/fsi/"), Rule("slow", chance=0)])
    for transaction, path, fault in (("2207", "/x", "refuse"), ("2206", "/fsi/2206", "garbage"), ("2206", "/x", None)):
        drawn = faults.draw(transaction, path)
        assert (drawn and drawn.fault) == fault


def test_a_count_is_shared_by_all_who_draw(tmp_path: Path) -> None:
    faults = Faults(tmp_path)
    faults.write([Rule("refuse", count=20)])
    with ThreadPoolExecutor(4) as several:
        drawn = list(several.map(lambda _: Faults(tmp_path).draw("pay", "/pay"), range(60)))
    assert sum(one is not None for one in drawn) == 20


def test_the_in_process_simulator_reads_the_callers_clock(tmp_path: Path, clock: Any) -> None:
    say(Line("scan_payment", transport._InProcess(books(tmp_path), clock), timeout=5), "1")
    with sqlite3.connect(tmp_path / "books.db") as kept:
        assert kept.execute("SELECT at FROM heard").fetchone()[0] == clock.now().isoformat()
    kept.close()


def test_a_name_that_is_no_simulator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownSimulator):
        simulating.host(tmp_path, ["hub"])


# The control page

def test_the_control_page_shows_adds_and_removes(tmp_path: Path) -> None:
    faults = Faults(tmp_path)
    client = control.create({"scan_payment": faults}).test_client()
    added = client.post("/_control/scan_payment/add", data={"fault": "drop_after", "where": "pay", "chance": "30",
                                                            "count": "5", "milliseconds": ""})
    assert added.status_code == 303 and faults.read() == [Rule("drop_after", "pay", 30, 5)]
    page = client.get("/_control").get_data(as_text=True)
    assert all_manifests()["scan_payment"].name in page and "处理后断开（应答丢失）" in page and "<td>30" in page
    refused = client.post("/_control/scan_payment/add", data={"fault": "drop_after", "chance": "300"})
    assert refused.status_code == 400 and "0 至 100" in refused.get_data(as_text=True)
    client.post("/_control/scan_payment/remove/0")
    assert faults.read() == []


def test_the_control_json_sets_and_clears(tmp_path: Path) -> None:
    faults = Faults(tmp_path)
    client = control.create({"scan_payment": faults}).test_client()
    assert client.put("/_control/faults/scan_payment", json=[{"fault": "slow", "milliseconds": 20}]).status_code == 200
    assert client.get("/_control/faults").json == {"scan_payment": [
        {"fault": "slow", "where": "", "chance": 100, "count": None, "milliseconds": 20}]}
    for wrong in ([{"fault": "flood"}], [{"fault": "slow", "chance": "7"}], {"fault": "slow"}, [3]):
        assert client.put("/_control/faults/scan_payment", json=wrong).status_code == 400
    assert len(faults.read()) == 1
    assert client.delete("/_control/faults/scan_payment").json == [] == faults.read()
    assert client.get("/_control/faults/nobody").status_code == 404


def test_the_command_serves_and_ends_when_told(tmp_path: Path) -> None:
    """``his-server simulate`` as a process: the control page answers, SIGTERM ends it."""
    command = [sys.executable, "-m", "his_server", "simulate", "--bind", "127.0.0.1:0", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            told = server.stderr.readline()
            port = int(told.partition("127.0.0.1:")[2].partition("/")[0])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/_control")
            answer = connection.getresponse()
            assert answer.status == 200 and "模拟器控制台" in answer.read().decode()
            connection.close()
        finally:
            server.terminate()
        assert server.wait(30) == 0
