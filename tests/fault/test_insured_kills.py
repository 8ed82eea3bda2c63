"""The process dies inside an insured settlement or its refund, at each step: recovery ends fully settled or fully undone.

Real processes end by ``os._exit`` before and after each call to the insurer, and between the insurer and the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from his_server.actor import Actor
from his_server.clock import ManualClock
from his_server.db import Database
from interfaces.nhsa.simulator import transaction
from interfaces.scan_payment.simulator import ScanChannel
from modules.kernel.charging.models import InsuranceClaim, Payment, RefundCase, Settlement
from modules.kernel.charging.ports import Bill, Credential, Outcome
from modules.kernel.charging.ports import Settlement as Answer
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.service import insured, insured_refunds, intents, payments
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.factories.insurer import Simulated
from tests.processes import Place, place_of, start

DEAD = 9


class DyingInsurer(Simulated):
    """The insurer's adapter, called by a process that ends at the given moment without another word.

    A moment is before or after a call of the port, or before or after one transaction of its chain (``before 2204``).
    """

    def __init__(self, database: Database, folder: Path, moment: str) -> None:
        super().__init__(database, folder)
        self.moment = moment
        genuine = self.insurer.line.exchange

        def exchange(method: str, path: str, body: bytes, headers: Any) -> Any:
            infno = transaction(path, body)
            self._at(f"before {infno}")
            answer = genuine(method, path, body, headers)
            self._at(f"after {infno}")
            return answer

        self.insurer.line.exchange = exchange  # type: ignore[assignment, method-assign]

    def _at(self, moment: str) -> None:
        if moment == self.moment:
            os._exit(DEAD)

    def preview(self, bill: Bill, credential: Credential) -> Answer:
        self._at("before preview")
        answer = super().preview(bill, credential)
        self._at("after preview")
        return answer

    def settle(self, bill: Bill, credential: Credential) -> Answer:
        self._at("before settle")
        answer = super().settle(bill, credential)
        self._at("after settle")
        return answer

    def reverse(self, number: str, original: str) -> Outcome:
        self._at("before reverse")
        answer = super().reverse(number, original)
        self._at("after reverse")
        return answer


def _bind(place: Place, books: Path, scan: Path, moment: str) -> Any:
    database = place.open()
    database.ports["insurance"] = DyingInsurer(database, books, moment)
    database.ports["payment:scan"] = ScanChannel(scan)
    import modules.kernel.orders.service
    import modules.kernel.scheduling.service

    assert modules.kernel.orders.service and modules.kernel.scheduling.service
    return database


def _settle(place: Place, books: Path, scan: Path, moment: str, actor: Actor, claim: int, number: str, pays: list[Pay]
            ) -> None:
    """In a child: settle a previewed claim."""
    database = _bind(place, books, scan, moment)
    if moment == "before booking":
        insured.go_on = lambda *_: os._exit(DEAD)  # the insurer has confirmed, the outcome is recorded
    insured.settle(database, actor, claim, credential=Credential("ecode", number), payments=pays, to_jiao=True)


def _advance(place: Place, books: Path, scan: Path, moment: str, actor: Actor, case: int) -> None:
    """In a child: go on with a refund."""
    database = _bind(place, books, scan, moment)
    if moment == "before booking":
        insured_refunds._finish = lambda *_: os._exit(DEAD)
    insured_refunds.advance(database, actor, case)


def _dies(function: Callable[..., None], *arguments: object) -> None:
    process = start(function, *arguments)
    process.join(300)
    assert process.exitcode == DEAD
    process.close()


def _actor(world: World) -> Actor:
    return Actor(user_id=world.ids["user_cashier"], login="c", name="李收费")


def _paths(world: World) -> tuple[Path, Path]:
    return world.db.ports["insurance"].folder, world.db.ports["payment:scan"].path


def _recover(world: World, clock: ManualClock, minutes: int = 1) -> None:
    clock.move(minutes=minutes)
    for _ in range(4):
        insured.recover(world.db)
        insured_refunds.recover(world.db)
        payments.recover(world.db)


def _agree(world: World) -> None:
    with world.db.begin(write=False) as session:
        def ours(pattern: str) -> Decimal:
            return session.scalar(select(func.sum(Payment.amount)).where(Payment.method.like(pattern))) or Decimal(0)

        assert world.db.ports["insurance"].net() == ours("insurance%")
        assert world.db.ports["payment:scan"].net() == ours("scan")
        assert not session.scalars(select(intents.Intent.id).where(intents.needs_somebody(world.db.clock.now()))).all()
    assert world.findings() == []


@pytest.mark.requirement("YB-02", "DB-30")
@pytest.mark.parametrize(("moment", "settled"), [
    ("before settle", False), ("before 2207", False), ("after 2207", True), ("after settle", True), ("before booking", True)])
def test_dies_while_settling(world: World, clock: ManualClock, keys_dir: Path, moment: str, settled: bool) -> None:
    number = make.id_no(3)  # a resident has no account: the rest is paid by scan
    person = make.insured_person(world, number)
    world.request(world.encounter(world.register(person)), "10")
    claim = world.ok(make.preview(world, person, make.show(number)))
    scan = world.scan(person, claim["cash"])
    pays = [Pay("scan", Decimal(claim["cash"]), scan["id"])]
    _dies(_settle, place_of(world.db, keys_dir), *_paths(world), moment, _actor(world), claim["id"], number + "0000", pays)
    assert world.findings() == []
    _recover(world, clock)
    found = world.ok(world.get("cashier", f"{make.API}/claims/{claim['id']}"))
    assert found["state"] == ("used" if settled else "refused")
    _recover(world, clock, 16)  # what nobody used goes back to the payer
    assert bool(world.unpaid(person)["lines"]) != settled
    with world.db.begin(write=False) as session:
        assert session.scalar(select(func.count()).select_from(Settlement).where(Settlement.person_id == person)) == (
            2 if settled else 1)
    _agree(world)


@pytest.mark.requirement("YB-02", "DB-30", "M1.14")
@pytest.mark.parametrize("moment", [
    "before reverse", "before 2208", "after 2208", "before preview", "after 2201", "before 2204", "after 2204", "after 2206",
    "after 2207", "after settle", "before booking"])
def test_dies_while_refunding(world: World, clock: ManualClock, keys_dir: Path, moment: str) -> None:
    """A partial refund: reversal, the rest settled anew, the booking; killed at each of them it is finished once."""
    number = make.id_no(2)
    person = make.insured_person(world, number)
    world.request(world.encounter(world.register(person)), "10")
    claim = world.ok(make.preview(world, person, make.show(number)))
    done = world.ok(make.settle(world, claim, make.show(number)))
    line = world.settlement(done["settlement_id"])["lines"][0]["id"]
    actor = _actor(world)
    with world.db.begin() as session:
        session.info["actor"] = actor
        case = insured_refunds.open_case(session, actor, done["settlement_id"], {line: Decimal(4)}, reason="检查取消").id
    _dies(_advance, place_of(world.db, keys_dir), *_paths(world), moment, actor, case)
    assert world.findings() == []
    _recover(world, clock)
    _recover(world, clock)
    with world.db.begin(write=False) as session:
        found = session.get_one(RefundCase, case)
        assert found.state == "done"
        assert session.get_one(Settlement, found.refund_id).total == Decimal("-242.20")
        assert session.scalar(select(func.count()).select_from(Settlement).where(Settlement.kind == "refund")) == 1
        assert session.scalar(select(func.count()).select_from(InsuranceClaim)) in (2, 3)
    _agree(world)
