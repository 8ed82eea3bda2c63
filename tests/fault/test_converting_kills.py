"""The process dies inside a conversion from self-paid to insured, at each step: recovery ends converted or unchanged (N1).

At every moment, before and after the recovery, what is held of the patient is at most what they owe, or its return is
written down; nothing is dispensed or performed again.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from his_server.actor import Actor
from his_server.clock import ManualClock
from his_server.db import Database
from interfaces.scan_payment.simulator import ScanChannel
from modules.kernel.charging.models import ChargeLineState, Conversion, Intent, Payment, Settlement
from modules.kernel.charging.ports import Credential, Outcome
from modules.kernel.charging.service import converting, insured, payments
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.fault.test_insured_kills import DEAD, _actor, _bind, _dies, _paths
from tests.processes import Place, place_of

API = "/api/outpatient-billing/conversions"
TOTAL = Decimal("605.50")


class DyingChannel(ScanChannel):
    """The simulated scan channel, called by a process that ends at the given moment."""

    def __init__(self, path: Path, moment: str) -> None:
        super().__init__(path)
        self.moment = moment

    def refund(self, number: str, original: str, amount: Decimal) -> Outcome:
        if self.moment == "before return":
            os._exit(DEAD)
        answer = super().refund(number, original, amount)
        if self.moment == "after return":
            os._exit(DEAD)
        return answer


def _convert(place: Place, books: Path, scan: Path, moment: str, actor: Actor, key: int, number: str) -> None:
    """In a child: convert what was quoted."""
    database = _bind(place, books, scan, moment)
    database.ports["payment:scan"] = DyingChannel(scan, moment)
    if moment == "before booking":
        insured.go_on = lambda *_: os._exit(DEAD)  # the insurer has confirmed, the outcome is recorded
    if moment == "while booking":
        converting._exchange = lambda *_: os._exit(DEAD)  # in the booking's unit of work
        insured._rehearse = lambda *_: None  # which the rehearsal would end already
    if moment == "after booking":
        converting.follow = lambda *_: os._exit(DEAD)
    converting.convert(database, actor, key, credential=Credential("ecode", number), to_jiao=True)


def held(database: Database, settlement_id: int) -> Decimal:
    """What we hold of the patient for a bill."""
    with database.begin(write=False) as session:
        mine = select(Settlement.id).where((Settlement.id == settlement_id) | (Settlement.reverses_id == settlement_id))
        return session.scalar(select(func.sum(Payment.amount)).where(
            Payment.settlement_id.in_(mine), Payment.method.in_(("scan", "cash", "rounding")))) or Decimal(0)


@pytest.mark.requirement("N1", "YB-02", "DB-30")
@pytest.mark.parametrize("db_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True)
@pytest.mark.parametrize(("moment", "converted"), [
    ("before settle", False), ("before 2207", False), ("after 2207", True), ("after settle", True),
    ("before booking", True), ("while booking", True), ("after booking", True), ("before return", True),
    ("after return", True)])
def test_dies_while_converting(world: World, clock: ManualClock, keys_dir: Path, moment: str, converted: bool) -> None:
    number = make.id_no(3)
    person = make.insured_person(world, number)
    world.request(world.encounter(world.register(person)), "10")
    done = world.ok(world.pay_all(person, [
        {"method": "scan", "covers": str(TOTAL), "intent_id": world.scan(person, str(TOTAL))["id"]}]))
    quoted = world.ok(world.post("cashier", f"{API}/quote", {"settlement_id": done["id"], "credential": make.show(number)}))
    owed = Decimal(quoted["cash"])
    with world.db.begin(write=False) as session:
        lines = session.execute(select(ChargeLineState.line_id, ChargeLineState.performed, ChargeLineState.refunded)
                                .order_by(ChargeLineState.line_id)).all()
    _dies(_convert, place_of(world.db, keys_dir), *_paths(world), moment, _actor(world), quoted["id"], number + "0000")
    assert world.findings() == [], "whatever it left is in balance"
    assert held(world.db, done["id"]) == (owed if moment in ("after booking", "before return", "after return") else TOTAL)
    clock.move(minutes=1)
    for _ in range(4):
        insured.recover(world.db)
        converting.recover(world.db)
        payments.recover(world.db)
        clock.move(seconds=40)
    found = world.ok(world.get("cashier", f"{API}/{quoted['id']}"))
    assert found["state"] == ("done" if converted else "ended")
    assert held(world.db, done["id"]) == (owed if converted else TOTAL)
    assert world.db.ports["payment:scan"].net() == (owed if converted else TOTAL), "the channel returned exactly once"
    with world.db.begin(write=False) as session:
        booked = session.scalar(select(func.sum(Payment.amount)).where(Payment.method.like("insurance%"))) or Decimal(0)
        assert world.db.ports["insurance"].net() == booked == (TOTAL - owed if converted else 0)
        assert session.scalar(select(func.count()).select_from(Settlement).where(Settlement.kind == "convert")) == converted
        assert lines == session.execute(
            select(ChargeLineState.line_id, ChargeLineState.performed, ChargeLineState.refunded)
            .order_by(ChargeLineState.line_id)).all(), "lines are as they were"
        assert session.scalar(select(Conversion.live).where(Conversion.id == quoted["id"])) == (1 if converted else None)
        assert not session.scalars(select(Intent.id).where(
            converting.intents.needs_somebody(world.db.clock.now()))).all()
    assert world.findings() == []
