"""A hospital with a dispensing machine: prescriptions that were paid, and a worker to carry them there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from his_server.clock import ManualClock
from his_server.db import Database, now
from his_server.messaging.outbox import Delivery
from his_server.messaging.worker import Worker
from his_server.registry import Hospital
from interfaces.dispensing_machine import module, subscriptions
from interfaces.dispensing_machine.client import Machine
from interfaces.dispensing_machine.models import MachineOrder
from interfaces.dispensing_machine.settings import Settings
from interfaces.dispensing_machine.simulator import Books
from interfaces.hub import transport
from interfaces.hub.calls import observed
from interfaces.hub.simulating import Faults, Rule
from modules.kernel.dispensing.models import PickupWindow
from tests.factories.hospital import World

FOLDER = "dispensing_machine"


@dataclass
class Room:
    """The pharmacy with its machine."""

    world: World
    clock: ManualClock
    folder: Path
    settings: Settings = field(default_factory=Settings)
    windows: dict[int, int] = field(default_factory=dict)
    visit: int = 0

    def __post_init__(self) -> None:
        self.bind(self.world.db)
        self.books = Books(self.folder / FOLDER)
        self.faults = Faults(self.folder / FOLDER)
        self.worker = Worker(self.world.db, Hospital((module,)))

    def bind(self, db: Database, **changes: Any) -> None:
        """Bind the machine, with other settings if wanted."""
        if changes:
            self.settings = Settings(**changes)
        line = transport.in_process(FOLDER, self.folder, db.clock)
        db.ports[subscriptions.PORT] = observed(db, FOLDER, Machine(line, self.settings))

    def open_window(self, number: int, store: str = "store") -> int:
        """A window of a pharmacy, open."""
        with self.world.db.begin() as session:
            made = PickupWindow(store_id=self.world.ids[store], number=number, name=f"{number}号窗口", state="open",
                                changed_at=now(session), changed_by_name="")
            session.add(made)
            session.flush()
            return made.id

    def paid(self, *drugs: str, person: int | None = None) -> tuple[int, dict[str, Any], dict[str, Any]]:
        """A patient with a paid prescription: person, prescription, settlement."""
        person = person or self.world.person()
        self.visit = self.world.encounter(self.world.register(person))
        made = self.world.prescribe(self.visit, drug=drugs[0] if drugs else "drug")
        return person, made, self.world.ok(self.world.pay_all(person))

    def work(self, seconds: float = 0, rounds: int = 1) -> None:
        """Let the worker do what is due, some time later, so many times."""
        for _ in range(rounds):
            if seconds:
                self.clock.move(seconds=seconds)
            while self.worker.recover() + self.worker.fan_out() + self.worker.deliver_due() + self.worker.ask_due():
                pass

    def spoil(self, *rules: Rule) -> None:
        """Faults on the line."""
        self.faults.write(rules)

    def order(self, prescription_id: int) -> MachineOrder:
        """What we think of a prescription at the machine."""
        with self.world.db.begin(write=False) as session:
            found = session.scalars(select(MachineOrder).where(MachineOrder.prescription_id == prescription_id)).one()
            session.expunge(found)
            return found

    def payload(self, prescription_id: int) -> str:
        """What is frozen for the machine."""
        with self.world.db.begin(write=False) as session:
            found = session.scalars(select(MachineOrder).where(MachineOrder.prescription_id == prescription_id)).one()
            return str(found.payload)

    def deliveries(self) -> list[tuple[str, str]]:
        """State and last error of everything that goes to the machine."""
        with self.world.db.begin(write=False) as session:
            return [(row.state, row.last_error or "") for row in session.scalars(
                select(Delivery).where(Delivery.destination == FOLDER).order_by(Delivery.occurred_at, Delivery.event_id))]

    def pushes(self) -> list[str]:
        """Numbers that the machine was given, in order, twice if twice."""
        return [entry[0] for entry in self.books.journal()]
