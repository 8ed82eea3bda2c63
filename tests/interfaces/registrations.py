"""Registrations on their way to a peer: made, moved, cancelled; and a worker with faults on the line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from his_server.clock import ManualClock
from his_server.db import Database
from his_server.messaging.worker import Worker
from his_server.module import Module
from his_server.registry import Hospital
from interfaces.hub import transport
from interfaces.hub.simulating import Faults, Rule
from modules.kernel.scheduling import service as scheduling
from modules.kernel.scheduling.models import ClinicSession, ScheduleTemplate
from tests.factories.hospital import World

BILLING = "/api/outpatient-billing"


@dataclass
class Peer:
    """A peer that hears of registrations: its simulator in a folder, and the worker that serves it."""

    world: World
    clock: ManualClock
    folder: Path
    module: Module

    def __post_init__(self) -> None:
        self.line = transport.in_process(self.module.name, self.folder / "simulators", self.clock)
        self.faults = Faults(self.folder / "simulators" / self.module.name)
        self.worker = Worker(self.world.db, Hospital((self.module,)))

    def look(self, path: str) -> Any:
        """What the simulator holds."""
        return self.line.exchange("GET", path).json()

    def spoil(self, *rules: Rule) -> None:
        """Faults on the line."""
        self.faults.write(rules)

    def work(self, seconds: float = 0, rounds: int = 1) -> None:
        """Let the worker do what is due, some time later, so many times."""
        for _ in range(rounds):
            self.clock.move(seconds=seconds)
            while self.worker.recover() + self.worker.fan_out() + self.worker.deliver_due():
                pass

    def move(self, registration: dict[str, Any], session_id: int) -> None:
        """换号, a moment later."""
        self.clock.move(seconds=1)
        self.world.ok(self.world.post("cashier", f"{BILLING}/registrations/{registration['registration_id']}/change", {
            "session_id": session_id, "reason": "换医生", "payments": [], "expected_total": "0.00"}))

    def cancel(self, registration: dict[str, Any]) -> None:
        """退号, a moment later."""
        self.clock.move(seconds=1)
        self.world.ok(self.world.post("cashier", f"{BILLING}/registrations/{registration['registration_id']}/cancel",
                                      {"reason": "病人要求"}))


def other_session(db: Database, ids: dict[str, int]) -> int:
    """A second session of the same clinic today, at the same fee."""
    with db.begin() as session:
        first = session.get_one(ClinicSession, ids["session"])
        session.add(ScheduleTemplate(department_id=first.department_id, doctor_id=first.doctor_id, level=first.level,
                                     weekday=first.day.isoweekday(), period="下午", capacity=50))
        session.flush()
        scheduling.open_sessions(session, first.day)
        return session.query(ClinicSession).filter_by(day=first.day, period="下午").one().id
