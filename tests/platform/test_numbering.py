"""Business numbers: gap-free where finance demands, unique everywhere, ranges per holder (FN-07)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from his_server.clock import ManualClock
from his_server.db import Database, numbering
from his_server.db.numbering import NumberRange, NumberVoid, Series
from his_server.errors import Conflict
from tests import processes

RECEIPT = Series("receipt", "收据号", "R{n:08d}", gap_free=True)
VISIT = Series("visit", "门诊号", "{date:%y%m%d}{n:05d}", per_day=True)


class ChangedMind(Exception):
    pass


def _take_many(place: processes.Place, series: Series, threads: int, each: int) -> list[str]:
    """Take numbers in many threads; every third unit of work is rolled back."""
    database = place.open()

    def work(_thread: int) -> list[str]:
        taken = []
        for turn in range(each):
            try:
                with database.begin() as session:
                    number = numbering.take(session, series)
                    if turn % 3 == 2:
                        raise ChangedMind
                taken.append(number)
            except ChangedMind:
                continue
        return taken

    with ThreadPoolExecutor(threads) as pool:
        return [number for numbers in pool.map(work, range(threads)) for number in numbers]


@pytest.mark.requirement("FN-07")
def test_no_gap_and_no_twin_under_50_clients(db: Database, keys_dir: Path) -> None:
    place = processes.place_of(db, keys_dir)
    found = processes.run_all(_take_many, [(place, RECEIPT, 10, 6)] * 5)
    numbers = sorted(number for each in found for number in each)
    assert numbers == [f"R{n:08d}" for n in range(1, 5 * 10 * 4 + 1)]


def test_fast_series_are_unique_though_gapped(db: Database, keys_dir: Path) -> None:
    place = processes.place_of(db, keys_dir)
    found = processes.run_all(_take_many, [(place, VISIT, 8, 6)] * 3)
    numbers = [number for each in found for number in each]
    assert len(numbers) == len(set(numbers)) == 3 * 8 * 4
    assert all(number.startswith("260302") for number in numbers)


def test_a_daily_series_starts_again_at_local_midnight(db: Database, clock: ManualClock) -> None:
    with db.begin() as session:
        assert numbering.take(session, VISIT) == "26030200001"
        assert numbering.take(session, VISIT) == "26030200002"
    clock.move(hours=15, minutes=29)  # 23:59 in Nantong
    with db.begin() as session:
        assert numbering.take(session, VISIT) == "26030200003"
    clock.move(minutes=1)
    with db.begin() as session:
        assert numbering.take(session, VISIT) == "26030300001"


def grant(db: Database, holder: int, first: int, last: int) -> None:
    with db.begin() as session:
        numbering.grant_range(session, "receipt", holder, first, last, prefix="A", width=6)


@pytest.mark.requirement("FN-07")
def test_ranges_are_used_in_order_then_exhausted(db: Database) -> None:
    grant(db, 1, 1, 3)
    grant(db, 1, 11, 12)
    grant(db, 2, 4, 5)
    with db.begin() as session:
        assert numbering.take_from_range(session, "receipt", 1, 2) == ["A000001", "A000002"]
    with db.begin() as session:
        assert numbering.take_from_range(session, "receipt", 1, 3) == ["A000003", "A000011", "A000012"]
    with db.begin() as session, pytest.raises(Conflict) as told:
        numbering.take_from_range(session, "receipt", 1)
    assert told.value.code == "numbering.exhausted"
    with db.begin() as session:
        assert numbering.take_from_range(session, "receipt", 2) == ["A000004"]


@pytest.mark.requirement("FN-07")
def test_a_rolled_back_number_is_given_again(db: Database) -> None:
    grant(db, 1, 1, 9)
    with pytest.raises(ChangedMind), db.begin() as session:
        numbering.take_from_range(session, "receipt", 1)
        raise ChangedMind
    with db.begin() as session:
        assert numbering.take_from_range(session, "receipt", 1) == ["A000001"]


@pytest.mark.requirement("FN-07")
def test_every_number_is_used_void_or_unused(db: Database) -> None:
    grant(db, 1, 1, 3)
    grant(db, 1, 21, 30)
    with db.begin() as session:
        used = numbering.take_from_range(session, "receipt", 1, 2)
        [void] = numbering.void_next(session, "receipt", 1, "卡纸", 7)
        used += numbering.take_from_range(session, "receipt", 1)
    with db.begin(write=False) as session:
        ranges = {row.id: row for row in session.scalars(select(NumberRange))}
        voided = session.scalars(select(NumberVoid)).one()
    unused = [f"A{n:06d}" for row in ranges.values() for n in range(row.next, row.last + 1)]
    every = [f"A{n:06d}" for n in (*range(1, 4), *range(21, 31))]
    assert sorted([*used, void, *unused]) == every
    assert (voided.number, voided.reason, voided.voided_by) == ("A000003", "卡纸", 7)
    assert ranges[voided.range_id].first <= 3 <= ranges[voided.range_id].last


@pytest.mark.parametrize(("first", "last"), [(5, 8), (8, 20), (1, 30), (10, 10), (9, 4)])
def test_overlapping_or_reversed_ranges_are_refused(db: Database, first: int, last: int) -> None:
    grant(db, 1, 5, 10)
    with db.begin() as session, pytest.raises(Conflict):
        numbering.grant_range(session, "receipt", 2, first, last, prefix="A", width=6)


def _take_from_range(place: processes.Place, count: int) -> list[str]:
    database = place.open()
    taken = []
    for _ in range(count):
        with database.begin() as session:
            taken += numbering.take_from_range(session, "receipt", 1)
    return taken


@pytest.mark.requirement("FN-07")
def test_one_holder_at_two_windows(db: Database, keys_dir: Path) -> None:
    grant(db, 1, 1, 40)
    grant(db, 1, 101, 140)
    place = processes.place_of(db, keys_dir)
    found = processes.run_all(_take_from_range, [(place, 20)] * 4)
    numbers = sorted(number for each in found for number in each)
    assert numbers == [f"A{n:06d}" for n in (*range(1, 41), *range(101, 141))]
