"""Machines, platform and acquirer behind bad lines, with web and worker processes killed: each thing arrives once.

The simulators are a process of their own, on HTTP, with every fault of the hub at random. What the line itself sends twice
only goes to peers that promise to de-duplicate; a dispensing machine doesn't.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from his_server.actor import SYSTEM
from his_server.clock import HOSPITAL_ZONE, ManualClock
from his_server.db import Database, now
from his_server.messaging.outbox import Delivery, OutboxEvent
from his_server.registry import Hospital
from interfaces.dispensing_machine.models import MachineOrder
from interfaces.dispensing_machine.simulator import Books
from interfaces.hub import transport
from interfaces.hub.simulating import Faults, Rule
from modules.finance import service as finance
from modules.finance.models import ChannelStatement, StatementDifference
from modules.kernel.dispensing.models import PickupWindow
from modules.kernel.scheduling.models import Registration
from tests.fault import test_kills as kills_of
from tests.serving import House, free_port, make_house

SHORT = """
[module.dispensing_machine]
timeout_seconds = 1
settle_seconds = 4
[module.integration_platform]
timeout_seconds = 2
[module.queue_calling]
timeout_seconds = 2
[module.scan_payment]
timeout_seconds = 4
"""
BAD = (Rule("drop_before", chance=6), Rule("drop_after", chance=6), Rule("short", chance=4), Rule("garbage", chance=4),
       Rule("refuse", chance=4), Rule("slow", chance=6, milliseconds=1500), Rule("reorder", chance=4, milliseconds=300))
PEERS = ("dispensing_machine", "integration_platform", "queue_calling", "scan_payment")


@contextmanager
def _simulators(folder: Path, port: int) -> Iterator[None]:
    """All peers on one port, in a process of their own."""
    process = subprocess.Popen([sys.executable, "-m", "his_server", "simulate", "--bind", f"127.0.0.1:{port}", "--folder",
                                str(folder)], stderr=subprocess.PIPE, env={**os.environ, "HIS_LOG_LEVEL": "ERROR"})
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "模拟器已启动" in line.decode(errors="replace"):
                break
        rest = threading.Thread(target=process.stderr.read, daemon=True)
        rest.start()
        yield
    finally:
        process.kill()
        process.wait()
        rest.join(10)
        process.stderr.close()


def _spoil(folder: Path, *rules: Rule) -> None:
    for package in PEERS:
        twice = (Rule("duplicate", chance=4),) if rules and package != "dispensing_machine" else ()
        Faults(folder / package).write([*rules, *twice])


def _windows(house: House) -> None:
    with house.world.db.begin() as session:
        for number in (1, 2):
            session.add(PickupWindow(store_id=house.world.ids["store"], number=number, name=f"{number}号窗口", state="open",
                                     changed_at=now(session), changed_by_name=""))


def _machine_got_each_once(house: House, folder: Path) -> int:
    """The journal against what was settled (M7.2, M7.3)."""
    journal = Books(folder / "dispensing_machine").journal()
    counted = Counter(number for number, *_ in journal)
    assert set(counted.values()) <= {1}, [number for number, times in counted.items() if times > 1]
    with house.world.db.begin(write=False) as session:
        ready = {told["number"]: told for told in map(json.loads, session.scalars(
            select(OutboxEvent.payload).where(OutboxEvent.type == "PrescriptionReady")))}
        orders = {row.number: row for row in session.scalars(select(MachineOrder))}
        assert set(orders) == set(ready)
        assert {n for n, row in orders.items() if row.state in ("sent", "ready", "handed", "withdrawn")} == set(counted)
        assert {row.state for row in orders.values()} <= {"sent", "handed", "withdrawn", "unsent"}
        assert not any(row.alarm for row in orders.values())
    for number, lines, window, _store in journal:
        assert lines.split() == sorted(str(line["line_id"]) for line in ready[number]["lines"]), number
        assert int(window) == ready[number]["window"], number
    return len(journal)


def _platform_knows_all(house: House, folder: Path) -> int:
    """Each registration is at the platform and in the queue as it is in our books (M1.10)."""
    with house.world.db.begin(write=False) as session:
        ours = {row.number: row.state for row in session.scalars(
            select(Registration).where(Registration.settlement_id.is_not(None)))}
    clock = house.world.db.clock
    there = transport.in_process("integration_platform", folder, clock).exchange("GET", "/registrations").json()
    assert {row["number"]: row["status"] for row in there} == {
        number: "cancelled" if state == "cancelled" else "active" for number, state in ours.items()}
    queue = transport.in_process("queue_calling", folder, clock).exchange("GET", "/queue").json()
    assert {row["number"]: row["flag"] for row in queue} == {
        number: "4" if state == "cancelled" else "0" for number, state in ours.items()}
    return len(ours)


def _statement_agrees(house: House) -> int:
    """Tomorrow's statement of the acquirer has no difference from our books, to the row (N5)."""
    database = house.world.db
    today = database.clock.now().astimezone(HOSPITAL_ZONE).date()
    later = Database(database.url, clock=ManualClock(database.clock.now() + timedelta(days=1)), sealer=database.sealer)
    line = database.ports["payment:scan"]._adapter.line
    line._carry._clock = later.clock
    database.ports["payment:scan"]._adapter.now = later.clock.now
    later.ports.update(database.ports)
    try:
        for day in {today, today - timedelta(days=1)}:  # the test may have gone on over midnight
            finance.fetch(later, SYSTEM, "scan", day)
        with later.begin(write=False) as session:
            wrong = [(d.kind, d.number, d.state) for d in session.scalars(
                select(StatementDifference).where(StatementDifference.state != "cleared"))]
            assert wrong == []
            return session.scalar(select(func.sum(ChannelStatement.matched))) or 0
    finally:
        later.dispose()


def _once(tmp_path: Path, db_url: str, hospital: Hospital, monkeypatch: pytest.MonkeyPatch, *, kills: int, seed: int) -> None:
    config, port, folder = tmp_path / "his.toml", free_port(), tmp_path / "data" / "simulators"
    config.write_text(SHORT, encoding="utf-8")
    monkeypatch.setenv("HIS_CONFIG", str(config))
    with make_house(tmp_path / "data", db_url, hospital, stock_packs=10**6, capacity=10**6) as house, \
            _simulators(folder, port):
        monkeypatch.setenv("HIS_SIMULATORS", f"http://127.0.0.1:{port}")  # for the processes that are started now
        _windows(house)
        _spoil(folder, *BAD)
        walkers = kills_of._day(house, kills, seed)
        _spoil(folder)
        house.kill_worker()
        kills_of._told_is_booked(house.world, walkers)
        kills_of._walk_on(house, walkers)
        kills_of._settle_outside(house, hospital)
        with house.world.db.begin(write=False) as session:
            stuck = session.execute(select(Delivery.destination, Delivery.state, Delivery.last_error)
                                    .where(Delivery.state != "done").limit(5)).all()
        assert stuck == []
        kills_of._nothing_stuck(house)
        pushed, told = _machine_got_each_once(house, folder), _platform_knows_all(house, folder)
        matched = _statement_agrees(house)
        assert house.world.findings() == []
        lost = sum((w.done for w in walkers), Counter[str]())["lost"]
        print(f"{kills} kills: {pushed} pushed once, {told} registrations, {matched} statement rows, {lost} answers lost")
        assert pushed and told and matched


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("db_url", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.requirement("H1", "H9", "H12", "H18", "M1.10", "M7.2", "M7.3", "N5")
def test_each_thing_arrives_once(tmp_path: Path, db_url: str, hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    _once(tmp_path, db_url, hospital, monkeypatch, kills=2, seed=3)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.requirement("H1", "H9", "H12", "H18", "M1.10", "M7.2", "M7.3", "N5")
def test_each_thing_arrives_once_through_thirty_kills(tmp_path: Path, db_url: str, hospital: Hospital,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    _once(tmp_path, db_url, hospital, monkeypatch, kills=int(os.environ.get("HIS_LONG_KILLS", "30")), seed=4)
