"""kill −9 of the server and the worker in the midst of the journey: nothing lost, nothing twice, nothing stuck."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from his_server.clock import ManualClock
from his_server.db import Database
from his_server.messaging.outbox import Delivery, OutboxEvent
from his_server.messaging.worker import Worker
from his_server.registry import Hospital
from interfaces.scan_payment.simulator import ScanChannel, books_path
from modules.kernel.charging import module as charging
from modules.kernel.charging.models import ChargeLine, Intent, Payment, Settlement, Shift
from modules.kernel.dispensing.models import DrugReturn
from modules.kernel.orders.models import Prescription, Request
from modules.kernel.stock.models import Reservation, StockBalance
from tests.fault.walking import BILLING, PHARMACY, Progress, Walker
from tests.pushes import check_pushes
from tests.serving import House, make_house

WALKERS = 4
VICTIMS = ("web", "child", "worker", "web", "worker", "web")
"""The whole server, one of its processes, the worker; in a random order."""


def _kill(house: House, what: str, rng: random.Random) -> None:
    """Kill something at a random instant, and start it again."""
    threading.Event().wait(rng.uniform(0, 0.02))  # somewhere inside the requests under way
    if what == "web":
        house.kill_web()
        house.start_web()
    elif what == "child":
        os.kill(rng.choice(house.children()), signal.SIGKILL)  # gunicorn starts another
    else:
        house.kill_worker()
        house.start_worker()


def _day(house: House, kills: int, seed: int) -> list[Walker]:
    """A day at four windows with so many kills in it."""
    rng = random.Random(seed)
    progress = Progress()
    walkers = [Walker(house, name, seed * 100 + n, progress)
               for n, name in enumerate(house.hire_cashiers(WALKERS))]
    house.start_web()
    house.start_worker()
    for walker in walkers:
        walker.start()
    victims = [VICTIMS[n % len(VICTIMS)] for n in range(kills)]
    rng.shuffle(victims)
    for victim in victims:
        progress.more(rng.randrange(10, 100))
        _kill(house, victim, rng)
    progress.more(20)
    for walker in walkers:
        walker.enough.set()
    for walker in walkers:
        walker.join(60)
        assert not walker.is_alive()
    progress.more(0)
    return walkers


def _told_is_booked(world: Any, walkers: list[Walker]) -> None:
    """What the windows were told is what is in the books: every key had its effect once."""
    told = sum((w.done for w in walkers), Counter[str]())
    with world.db.begin(write=False) as session:
        def count(model: Any, *where: Any) -> int:
            return session.scalar(select(func.count()).select_from(model).where(*where)) or 0

        assert count(Settlement, Settlement.kind == "charge") == told["register"] + told["settle"]
        assert count(Settlement, Settlement.kind == "refund") == told["refund"]
        assert session.scalar(select(func.sum(Settlement.total))) == sum(w.takings for w in walkers)
        assert count(DrugReturn) == told["return"]
        assert count(Prescription, Prescription.dispensed_at.is_not(None)) == told["dispense"]
        assert count(Shift, Shift.state == "closed") == told["close"]


def _walk_on(house: House, walkers: list[Walker]) -> None:
    """Bring every document that was left somewhere to its end, by the same screens."""
    world = house.world
    desk = walkers[0]
    with world.db.begin(write=False) as session:
        owing = session.execute(select(ChargeLine.person_id, func.sum(ChargeLine.amount))
                                .where(ChargeLine.state == "open").group_by(ChargeLine.person_id)).all()
    for person, total in owing:
        owed = desk.must(desk.cashier, "GET", f"{BILLING}/unpaid?person_id={person}")
        assert Decimal(owed["total"]) == total
        desk.must(desk.cashier, "POST", f"{BILLING}/settlements", {
            "person_id": person, "line_ids": [line["id"] for line in owed["lines"]],
            "payments": [{"method": "cash", "covers": owed["total"]}] if total else [], "expected_total": owed["total"]})
    with world.db.begin(write=False) as session:
        waiting = session.scalars(select(Prescription.id).where(Prescription.state == "charged")).all()
        films = session.scalars(select(Request.id).where(Request.state == "charged")).all()
    for key in waiting:
        desk.must("pharmacist", "POST", f"{PHARMACY}/prescriptions/{key}/dispense", {})
    for key in films:
        desk.must("technician", "POST", f"/api/orders/requests/{key}/perform", {})
    for walker in walkers:
        status, _ = walker.answered(walker.cashier, "POST", f"{BILLING}/shifts/close", {})
        assert status in (200, 409)  # 409: closed already, and nothing since
    finance = house.caller("finance")
    with world.db.begin(write=False) as session:
        closed = session.scalars(select(Shift.id).where(Shift.state == "closed")).all()
    for key in closed:
        status, answer = finance.send("POST", f"{BILLING}/shifts/{key}/hand-over", {})
        assert status == 200, answer


def _settle_outside(house: House, hospital: Hospital) -> None:
    """What the worker does in the next forty minutes: open payments decided, then unused ones returned, events delivered."""
    database = house.world.db
    for minutes in (20, 40):  # what is found paid after twenty is returned fifteen later
        later = Database(database.url, clock=ManualClock(database.clock.now() + timedelta(minutes=minutes)),
                         sealer=database.sealer)
        later.ports.update(database.ports)
        try:
            worker = Worker(later, hospital)
            for _ in range(10):
                while worker.recover() + worker.fan_out() + worker.deliver_due() + worker.ask_due():
                    pass
                if not sum(int(job.run(later)) for job in charging.jobs):  # type: ignore[call-overload]
                    break
        finally:
            later.dispose()


ENDS = {"pay used", "pay reversed", "pay refused", "refund confirmed", "issue confirmed", "red confirmed"}
"""Purpose and state in which a call outside may end."""


def _nothing_stuck(house: House, allowed: set[str] = ENDS) -> None:
    with house.world.db.begin(write=False) as session:
        def states(model: Any) -> set[str]:
            return set(session.scalars(select(model.state).distinct()))

        assert states(Prescription) <= {"dispensed", "refunded"}
        assert states(Request) <= {"performed", "refunded"}
        assert states(ChargeLine) <= {"settled"}
        assert states(Shift) == {"handed_over"}
        assert "open" not in states(Reservation)
        assert session.scalar(select(func.sum(StockBalance.reserved))) == 0
        ends = session.execute(select(Intent.purpose, Intent.state).distinct())
        assert {f"{end.purpose} {end.state}" for end in ends} <= allowed
        assert session.scalar(select(func.count()).select_from(OutboxEvent).where(~OutboxEvent.fanned_out)) == 0
        assert states(Delivery) <= {"done"}


def _books_agree(house: House) -> Decimal:
    """The channel has exactly what our ledger says came in by scan."""
    with house.world.db.begin(write=False) as session:
        ours = session.scalar(select(func.sum(Payment.amount)).where(Payment.method == "scan")) or Decimal(0)
    assert ScanChannel(books_path(house.data_dir / "simulators" / "scan_payment")).net() == ours
    return ours


def _survives(tmp_path: Path, db_url: str, hospital: Hospital, *, kills: int, seed: int) -> None:
    with make_house(tmp_path / "data", db_url, hospital, stock_packs=10**6, capacity=10**6) as house:
        walkers = _day(house, kills, seed)
        house.kill_worker()
        _told_is_booked(house.world, walkers)
        _walk_on(house, walkers)
        _settle_outside(house, hospital)
        _nothing_stuck(house)
        with house.world.db.begin(write=False) as session:
            assert check_pushes(session) > 0
        scanned = _books_agree(house)
        assert house.world.findings() == []
        assert "defect" not in house.complaints(), house.complaints()[-4000:]
        done = sum((w.done for w in walkers), Counter[str]())
        print(f"{kills} kills, done {dict(done)}, scanned {scanned}")
        assert done["settle"] > 0 and done["lost"] > 0, done


@pytest.mark.parametrize("db_url", [pytest.param("sqlite", marks=pytest.mark.long), "postgresql"], indirect=True)
@pytest.mark.timeout(150)
@pytest.mark.requirement("DB-30", "M1.7", "M1.10", "M7.2", "M7.3")
def test_three_kills(tmp_path: Path, db_url: str, hospital: Hospital) -> None:
    _survives(tmp_path, db_url, hospital, kills=3, seed=1)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.requirement("DB-30")
def test_thirty_kills(tmp_path: Path, db_url: str, hospital: Hospital) -> None:
    _survives(tmp_path, db_url, hospital, kills=int(os.environ.get("HIS_LONG_KILLS", "30")), seed=2)
