"""What stands around a hospital under test: simulators in a process of their own, lines that can be spoilt, their books."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from his_server.db import now
from his_server.messaging.outbox import Delivery, OutboxEvent
from his_server.registry import Hospital
from interfaces.dispensing_machine.contract import CANCELLED, HANDED
from interfaces.dispensing_machine.models import MachineOrder
from interfaces.dispensing_machine.simulator import Books
from interfaces.hub import transport
from interfaces.hub.simulating import Faults, Rule
from modules.kernel.dispensing.models import PickupWindow
from modules.kernel.scheduling.models import Registration
from tests.serving import House, free_port, make_house

TWICE_HARMS = ("dispensing_machine",)
"""A peer that doesn't de-duplicate: what the line itself sends twice is not ours to prevent."""


@dataclass(frozen=True)
class Surroundings:
    """A house whose lines lead to the simulators of ``folder``, which are served on ``port``."""

    house: House
    folder: Path
    port: int

    def spoil(self, packages: Iterable[str], *bad: Rule) -> None:
        """The rules of these lines; none make them good."""
        for package in packages:
            Faults(self.folder / package).write([
                rule for rule in bad if not (rule.fault == "duplicate" and package in TWICE_HARMS)])


@contextmanager
def simulators(folder: Path, port: int) -> Iterator[None]:
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


@contextmanager
def surrounded(tmp_path: Path, db_url: str, hospital: Hospital, monkeypatch: pytest.MonkeyPatch, config: str
               ) -> Iterator[Surroundings]:
    """The house with its simulators, two pickup windows open; ``config`` is the settings file of its processes."""
    settings, port, folder = tmp_path / "his.toml", free_port(), tmp_path / "data" / "simulators"
    settings.write_text(config, encoding="utf-8")
    monkeypatch.setenv("HIS_CONFIG", str(settings))
    monkeypatch.setenv("HIS_SESSION_IDLE", "28800")  # whoever is only needed in the evening stays signed in
    with make_house(tmp_path / "data", db_url, hospital, stock_packs=10**6, capacity=10**6) as house, \
            simulators(folder, port):
        monkeypatch.setenv("HIS_SIMULATORS", f"http://127.0.0.1:{port}")  # for the processes that are started now
        with house.world.db.begin() as session:
            for number in (1, 2):
                session.add(PickupWindow(store_id=house.world.ids["store"], number=number, name=f"{number}号窗口", state="open",
                                         changed_at=now(session), changed_by_name=""))
        yield Surroundings(house, folder, port)


def all_delivered(house: House) -> None:
    """Nothing waits, is asked about or is dead."""
    with house.world.db.begin(write=False) as session:
        stuck = session.execute(select(Delivery.destination, Delivery.state, Delivery.last_error)
                                .where(Delivery.state != "done").limit(5)).all()
    assert stuck == []


def machine_got_each_once(house: House, folder: Path) -> int:
    """The journal against what was settled (M7.2, M7.3); at the end of the day nothing is left to be picked or lies about."""
    books = Books(folder / "dispensing_machine")
    journal = books.journal()
    assert {books.step(number)[0] for number, *_ in journal} <= {HANDED, CANCELLED}
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


def platform_knows_all(house: House, folder: Path) -> int:
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
