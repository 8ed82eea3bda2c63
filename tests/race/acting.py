"""What one process of the race does: everything a hospital does, at random, on the same few patients as all others."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import Database
from his_server.errors import AppError
from interfaces.scan_payment.simulator import ScanChannel
from modules.kernel.charging import service as ledger
from modules.kernel.charging.models import ChargeLine, Settlement
from modules.kernel.charging.rules import Pay
from modules.kernel.encounters.models import Encounter
from modules.kernel.orders import service as orders
from modules.kernel.orders.models import Prescription, Request
from modules.kernel.scheduling.models import Registration
from modules.outpatient_billing import queries as billing_queries
from modules.outpatient_billing import service as billing
from modules.outpatient_pharmacy import queries as pharmacy_queries
from modules.outpatient_pharmacy import service as pharmacy
from modules.outpatient_pharmacy.service import reviewing
from tests.processes import Place

DEADLOCKS = 5


class Racer:
    """One process: an actor who is cashier, doctor and pharmacist at once."""

    def __init__(self, place: Place, ids: dict[str, int], actor: Actor, persons: list[int], seed: int) -> None:
        self.database: Database = place.open()
        self.database.ports["payment:scan"] = ScanChannel(place.keys_dir / f"race-{os.path.basename(place.url)}.scan")
        self.ids, self.actor, self.persons = ids, actor, persons
        self.rng = random.Random(seed)
        self.done: Counter[str] = Counter()

    def unit(self, name: str, act: Callable[[Session], Any]) -> Any:
        """One unit of work as the server runs it: again after a deadlock; refusals are counted by their code."""
        for _ in range(DEADLOCKS):
            try:
                with self.database.begin() as session:
                    session.info["actor"] = self.actor
                    result = act(session)
            except AppError as refusal:
                self.done[f"refused {refusal.code}"] += 1
                return None
            except Exception as error:
                if portable.is_deadlock(error):
                    self.done["deadlock"] += 1
                    continue
                raise
            self.done[name] += 1
            return result
        raise AssertionError(f"{name}: {DEADLOCKS} deadlocks in a row")

    def read(self, act: Callable[[Session], Any]) -> Any:
        """A reading unit of work."""
        with self.database.begin(write=False) as session:
            return act(session)

    def run(self, seconds: float) -> dict[str, int]:
        """Act for so long; what was done and refused, counted."""
        acts = [self.register, self.order, self.order, self.settle, self.settle, self.dispense, self.dispense,
                self.take_back, self.refund, self.perform, self.cancel, self.change, self.close]
        weights = [6, 5, 5, 8, 8, 8, 8, 4, 8, 3, 1, 2, 0.3]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.rng.choices(acts, weights)[0]()
        self.database.dispose()
        return dict(self.done)

    def pays(self, person: int, total: Decimal) -> list[Pay]:
        """Cash, or half of it by scan."""
        if total == 0:
            return []
        if self.rng.random() < 0.3 and total > 1:
            intent = ledger.take_payment(self.database, self.actor, person_id=person, channel="scan",
                                         amount=Decimal("1.00"), auth_code="1345678901234567")
            return [Pay("scan", Decimal("1.00"), intent.id), Pay("cash", total - 1)]
        return [Pay("cash", total)]

    def register(self) -> None:
        """挂号."""
        person = self.rng.choice(self.persons)
        pays = self.pays(person, Decimal("20.00"))
        self.unit("register", lambda s: billing.register(
            s, self.actor, person_id=person, session_id=self.ids["session"], payments=pays, to_jiao=True))

    def order(self) -> None:
        """A prescription or a request for somebody who is registered."""
        visit = self.read(lambda s: s.scalars(
            select(Encounter.id).where(Encounter.state.in_(("waiting", "seen"))).order_by(func.random()).limit(1)).first())
        if visit is None:
            return
        if self.rng.random() < 0.4:
            self.unit("request", lambda s: orders.request_items(
                s, self.actor, encounter_id=visit, diagnosis="咳嗽", performing_department_id=self.ids["radiology"],
                lines=[{"item_id": self.ids["exam"], "quantity": Decimal(self.rng.randrange(1, 4))}]).id)
            return
        drugs = self.rng.sample(["drug", "pill", "free_drug"], self.rng.randrange(1, 3))
        sizes = {"drug": 24, "pill": 1, "free_drug": 100}
        self.unit("prescribe", lambda s: orders.prescribe(s, self.actor, encounter_id=visit, diagnosis="咳嗽", lines=[
            {"drug_id": self.ids[d], "dose": Decimal(1), "usage": "口服", "frequency": "tid", "days": 3,
             "quantity": Decimal(sizes[d] * self.rng.randrange(1, 4))} for d in drugs]).id)

    def settle(self) -> None:
        """Everything somebody owes, as the screen showed it a moment ago."""
        person = self.read(lambda s: s.scalars(
            select(ChargeLine.person_id).where(ChargeLine.state == "open").order_by(func.random()).limit(1)).first())
        if person is None:
            return
        owed = self.read(lambda s: billing_queries.unpaid(s, person))
        pays = self.pays(person, owed["total"])
        self.unit("settle", lambda s: billing.settle(
            s, self.actor, person_id=person, line_ids=[line["id"] for line in owed["lines"]], payments=pays,
            to_jiao=True, expected_total=owed["total"]).id)

    def dispense(self) -> None:
        """The head of the queue, where everybody's hand is."""
        queue = self.read(lambda s: pharmacy_queries.queue(s, self.ids["store"], "charged", limit=3))
        if queue:
            key = self.rng.choice(queue)["id"]
            if self.rng.random() < 0.9:
                self.unit("review", lambda s: reviewing.review(s, self.actor, key, note="同意发药").id)
            self.unit("dispense", lambda s: pharmacy.dispense(s, self.actor, key).id)

    def take_back(self) -> None:
        """A part of a dispensed prescription."""
        key = self.read(lambda s: s.scalars(
            select(Prescription.id).where(Prescription.state == "dispensed").order_by(func.random()).limit(1)).first())
        if key is None:
            return
        lines = self.read(lambda s: pharmacy_queries.prescription(s, self.actor, key))["lines"]
        line = self.rng.choice(lines)
        if line["returnable"]:
            self.unit("take back", lambda s: pharmacy.take_back(
                s, self.actor, key, lines={line["id"]: line["factor"]}, reason="退药").id)

    def refund(self) -> None:
        """A unit of some line of some settlement."""
        key = self.read(lambda s: s.scalars(
            select(Settlement.id).where(Settlement.kind == "charge").order_by(func.random()).limit(1)).first())
        if key is None:
            return
        whole = self.read(lambda s: billing_queries.settlement(s, key))
        lines = [e for e in whole["lines"] if e["refundable"] and e["source"] != "registration"]
        if not lines:
            return
        line = self.rng.choice(lines)
        done = self.unit("refund", lambda s: billing.refund(
            s, self.actor, key, lines={line["id"]: Decimal(1)}, reason="退费", approval_from=Decimal(10**6), to_jiao=True))
        for intent in done.intent_ids if done else ():
            ledger.send_refund(self.database, intent)

    def perform(self) -> None:
        """Confirm a request, or take the confirmation back."""
        row = self.read(lambda s: s.execute(
            select(Request.id, Request.state).where(Request.state.in_(("charged", "performed")))
            .order_by(func.random()).limit(1)).first())
        if row is not None:
            act = orders.perform_request if row.state == "charged" else orders.unperform_request
            self.unit(f"from {row.state}", lambda s: act(s, self.actor, row.id).id)

    def cancel(self) -> None:
        """退号."""
        key = self.read(lambda s: s.scalars(
            select(Registration.id).where(Registration.state == "registered").order_by(func.random()).limit(1)).first())
        if key is not None:
            self.unit("cancel", lambda s: billing.cancel_registration(s, self.actor, key, reason="退号", to_jiao=True))

    def change(self) -> None:
        """换号 between clinic and emergency: the fee of one department goes back, the other's is charged."""
        row = self.read(lambda s: s.execute(
            select(Registration.id, Registration.session_id).where(Registration.state == "registered")
            .order_by(func.random()).limit(1)).first())
        if row is not None:
            other = next(self.ids[n] for n in ("session", "emergency_session") if self.ids[n] != row.session_id)
            self.unit("change", lambda s: billing.change_registration(
                s, self.actor, row.id, other, reason="换号", payments=[Pay("cash", Decimal("20.00"))], to_jiao=True,
                expected_total=Decimal("20.00")))

    def close(self) -> None:
        """日结 in the middle of everything."""
        self.unit("close", lambda s: ledger.close_shift(s, self.actor, counted_cash=None).id)


def race(place: Place, ids: dict[str, int], actor: Actor, persons: list[int], seed: int, seconds: float
         ) -> dict[str, int]:
    """Run one racer; for :func:`tests.processes.run_all`."""
    return Racer(place, ids, actor, persons, seed).run(seconds)
