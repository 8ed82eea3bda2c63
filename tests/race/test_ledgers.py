"""Eight processes on one database; afterwards nothing is missing, doubled or out of balance."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import numbering, today
from modules.kernel.charging import models as charging
from modules.kernel.charging.models import Settlement
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from modules.kernel.masterdata.models import Drug
from modules.kernel.scheduling.models import ClinicSession
from modules.kernel.stock import service as stock
from modules.kernel.stock.service import Document, Receipt
from tests.factories.hospital import World
from tests.processes import place_of, run_all
from tests.pushes import check_pushes
from tests.race.acting import race

PROCESSES = 8


def _plenty(world: World) -> None:
    """Stock, slots and persons for a long race: else most of it would be refusals."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        drugs = session.execute(select(Drug.id, Drug.pack_size)).all()
        for store in ("store", "emergency_store"):
            stock.receive(session, SYSTEM, world.ids[store], [
                Receipt(drug.id, "LONG", today(session) + timedelta(days=300), Decimal("0.5"),
                        Decimal(drug.pack_size * 10_000)) for drug in drugs], Document("stock_in", 2))
        portable.guarded_update(session, ClinicSession, ClinicSession.capacity > 0, {"capacity": 10**6})


def _race(world: World, keys_dir: Path, seconds: float, persons: int = 40) -> Counter[str]:
    actors = []
    with world.db.begin() as session:
        for n in range(PROCESSES):
            actor = Actor(user_id=10_000 + n, login=f"racer{n}", name=f"选手{n}", staff_id=world.ids["doctor"],
                          department_id=world.ids["clinic"], permissions=frozenset({"charging.refund_as_cash"}))
            numbering.grant_range(session, RECEIPT_SERIES, actor.user_id, (n + 100) * 10**6, (n + 101) * 10**6 - 1)
            actors.append(actor)
    people = [world.person(f"病人{n}") for n in range(persons)]
    place = place_of(world.db, keys_dir)
    counts = run_all(race, [(place, world.ids, actor, people, n, seconds) for n, actor in enumerate(actors)],
                     timeout=seconds + 90)
    return sum((Counter(c) for c in counts), Counter())


def _check(world: World, done: Counter[str]) -> None:
    assert world.findings() == [], done
    for act in ("register", "prescribe", "settle", "dispense", "refund"):
        assert done[act] > 0, done
    with world.db.begin(write=False) as session:
        assert check_pushes(session) > 0
        settled = session.scalar(select(func.count()).select_from(Settlement))
        assert settled == session.scalar(select(func.count(Settlement.number.distinct())))
        receipts = session.scalar(select(func.count()).select_from(charging.Receipt))
        assert receipts == session.scalar(select(func.count(charging.Receipt.number.distinct())))
        _no_number_is_missing(session, receipts)
    assert settled == sum(done[a] for a in ("register", "settle", "refund")) + done["cancel"] + 2 * done["change"]


def _no_number_is_missing(session: Session, receipts: int | None) -> None:
    """Every receipt number that a range has given out is on a receipt: the ranges' fronts add up to the receipts."""
    taken = session.scalars(select(numbering.NumberRange.next - numbering.NumberRange.first)
                            .where(numbering.NumberRange.series == RECEIPT_SERIES)).all()
    assert receipts == sum(taken)


@pytest.mark.timeout(240)
@pytest.mark.requirement("RX-12", "M7.2", "M7.3", "FN-07", "FN-12", "DB-30")
def test_eight_processes_for_some_seconds(world: World, keys_dir: Path) -> None:
    done = _race(world, keys_dir, 8)
    print(dict(done))
    _check(world, done)


@pytest.mark.long
@pytest.mark.timeout(420)
def test_eight_processes_for_a_minute(world: World, keys_dir: Path) -> None:
    _plenty(world)
    done = _race(world, keys_dir, float(os.environ.get("HIS_LONG_RACE_SECONDS", "60")), persons=2000)
    print(dict(done))
    _check(world, done)
