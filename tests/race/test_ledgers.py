"""Eight processes on one database; afterwards nothing is missing, doubled or out of balance."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from his_server.actor import Actor
from his_server.db import numbering
from modules.kernel.charging.models import Receipt, Settlement
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from tests.factories.hospital import World
from tests.processes import place_of, run_all
from tests.race.acting import race

PROCESSES = 8


def _race(world: World, keys_dir: Path, seconds: float) -> Counter[str]:
    actors = []
    with world.db.begin() as session:
        for n in range(PROCESSES):
            actor = Actor(user_id=10_000 + n, login=f"racer{n}", name=f"选手{n}", staff_id=world.ids["doctor"],
                          department_id=world.ids["clinic"], permissions=frozenset({"charging.refund_as_cash"}))
            numbering.grant_range(session, RECEIPT_SERIES, actor.user_id, (n + 100) * 10**6, (n + 101) * 10**6 - 1)
            actors.append(actor)
    persons = [world.person(f"病人{n}") for n in range(40)]
    place = place_of(world.db, keys_dir)
    counts = run_all(race, [(place, world.ids, actor, persons, n, seconds) for n, actor in enumerate(actors)],
                     timeout=seconds + 90)
    return sum((Counter(c) for c in counts), Counter())


def _check(world: World, done: Counter[str]) -> None:
    assert world.findings() == [], done
    for act in ("register", "prescribe", "settle", "dispense", "refund"):
        assert done[act] > 0, done
    with world.db.begin(write=False) as session:
        settled = session.scalar(select(func.count()).select_from(Settlement))
        assert settled == session.scalar(select(func.count(Settlement.number.distinct())))
        receipts = session.scalar(select(func.count()).select_from(Receipt))
        assert receipts == session.scalar(select(func.count(Receipt.number.distinct())))
    assert settled == sum(done[a] for a in ("register", "settle", "refund")) + done["cancel"]


@pytest.mark.timeout(240)
@pytest.mark.requirement("RX-12", "FN-07", "FN-12", "DB-30")
def test_eight_processes_for_some_seconds(world: World, keys_dir: Path) -> None:
    done = _race(world, keys_dir, 8)
    print(dict(done))
    _check(world, done)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_eight_processes_for_a_minute(world: World, keys_dir: Path) -> None:
    done = _race(world, keys_dir, 60)
    print(dict(done))
    _check(world, done)
