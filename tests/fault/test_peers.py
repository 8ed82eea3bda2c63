"""Machines, platform and acquirer behind bad lines, with web and worker processes killed: each thing arrives once.

The simulators are a process of their own, on HTTP, with every fault of the hub at random. What the line itself sends twice
only goes to peers that promise to de-duplicate; a dispensing machine doesn't.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from his_server.actor import SYSTEM
from his_server.clock import HOSPITAL_ZONE, ManualClock
from his_server.db import Database
from his_server.registry import Hospital
from interfaces.hub.simulating import Rule
from modules.finance import service as finance
from modules.finance.models import ChannelStatement, StatementDifference
from tests.fault import test_kills as kills_of
from tests.fault.peers import all_delivered, machine_got_each_once, platform_knows_all, surrounded
from tests.serving import House

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
       Rule("refuse", chance=4), Rule("slow", chance=6, milliseconds=1500), Rule("reorder", chance=4, milliseconds=300),
       Rule("duplicate", chance=4))
PEERS = ("dispensing_machine", "integration_platform", "queue_calling", "scan_payment")


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
    with surrounded(tmp_path, db_url, hospital, monkeypatch, SHORT) as around:
        house = around.house
        around.spoil(PEERS, *BAD)
        walkers = kills_of._day(house, kills, seed)
        around.spoil(PEERS)
        house.kill_worker()
        kills_of._told_is_booked(house.world, walkers)
        kills_of._walk_on(house, walkers)
        kills_of._settle_outside(house, hospital)
        all_delivered(house)
        kills_of._nothing_stuck(house)
        pushed, told = machine_got_each_once(house, around.folder), platform_knows_all(house, around.folder)
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
