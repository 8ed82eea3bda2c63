"""10,000 rows in and out over the stand-in: the dialect against bare dmPython, measured in the same run.

The stand-in's own time is in every figure, so a ratio says how much the dialect adds, not how fast a DM8 is.
`python -m tests.benchmarks.bench_dameng URL` measures one URL with whatever dialect is installed (the vendor's, say).
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    create_engine,
    delete,
    insert,
    select,
)
from sqlalchemy.orm import Session, registry

ROWS = 10_000
RUNS = 3
metadata = MetaData()
table = Table(
    "bench_rows", metadata,
    Column("id", Integer, primary_key=True, autoincrement=False), Column("name", String(40)), Column("amount", Numeric(12, 2)),
)  # fmt: skip


class Row:
    """The mapped class of the ORM's paths."""

    def __init__(self, id: int, name: str, amount: int) -> None:
        self.id, self.name, self.amount = id, name, amount


registry(metadata=metadata).map_imperatively(Row, table)
VALUES = [(number, f"名称 {number}", number % 100) for number in range(ROWS)]
DICTS = [dict(zip(("id", "name", "amount"), row, strict=True)) for row in VALUES]


def _seconds(work: Callable[[], Any], before: Callable[[], Any]) -> float:
    taken = []
    for _ in range(RUNS):
        before()
        gc.collect()
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def measure(engine: Engine) -> dict[str, float]:
    """Seconds of each path, by name; `bare` ones use the driver's cursor directly."""
    metadata.drop_all(engine)
    metadata.create_all(engine)

    def empty() -> None:
        with engine.begin() as connection:
            connection.execute(delete(table))

    def nothing() -> None:
        return None

    def bare_insert() -> None:
        raw = engine.raw_connection()
        cursor = raw.cursor()
        for start in range(0, ROWS, 1000):
            batch = [list(row) for row in VALUES[start : start + 1000]]
            cursor.executemany("INSERT INTO bench_rows (id, name, amount) VALUES (?, ?, ?)", batch)
        raw.commit()
        raw.close()

    def core_insert() -> None:
        with engine.begin() as connection:
            for start in range(0, ROWS, 1000):
                connection.execute(insert(table), DICTS[start : start + 1000])

    def orm_insert() -> None:
        with Session(engine) as session:
            session.add_all([Row(*row) for row in VALUES])
            session.commit()

    def bare_select() -> None:
        raw = engine.raw_connection()
        cursor = raw.cursor()
        cursor.execute("SELECT id, name, amount FROM bench_rows")
        assert len(cursor.fetchall()) == ROWS
        raw.close()

    def core_select() -> None:
        with engine.connect() as connection:
            assert len(connection.execute(select(table)).all()) == ROWS

    def orm_select() -> None:
        with Session(engine) as session:
            assert len(session.scalars(select(Row)).all()) == ROWS

    figures = {
        name: _seconds(work, empty)
        for name, work in (("bare insert", bare_insert), ("core insert", core_insert), ("ORM insert", orm_insert))
    }
    for name, work in (("bare select", bare_select), ("core select", core_select), ("ORM select", orm_select)):
        figures[name] = _seconds(work, nothing)
    metadata.drop_all(engine)
    return figures


def report(figures: dict[str, float]) -> str:
    """A line for each path: milliseconds and the ratio to the bare driver's."""
    return "\n".join(
        f"{name:12} {seconds * 1000:8.0f} ms   {seconds / figures['bare ' + name.split()[1]]:5.2f} × bare"
        for name, seconds in figures.items()
    )


@pytest.mark.bench
def test_bulk_paths_cost_at_most_twice_the_bare_driver() -> None:
    from tests.dameng_standin import start_standin
    from tests.pg import start_postgres

    standin = start_standin(start_postgres(), database="bench")
    figures = measure(create_engine(standin.url))
    standin.stop()
    print("\n" + report(figures))
    assert figures["core insert"] <= 2 * figures["bare insert"]
    assert figures["core select"] <= 2 * figures["bare select"]


if __name__ == "__main__":
    print(report(measure(create_engine(sys.argv[1]))))
