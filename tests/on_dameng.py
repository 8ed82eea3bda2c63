"""Service tests on Dameng: which of them run in ``make test``, and the database that they run on.

The real driver speaks to the stand-in (tests/dameng_standin), one per test process, or to a true DM8 that
HIS_TEST_DAMENG_URL names; there all tests of a run share the one schema and so one process (``--dist loadgroup``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from sqlalchemy import case, create_engine, delete, exists, inspect, make_url, select
from sqlalchemy.pool import NullPool

from his_server.db import Base, Database
from tests import databases

AMOUNTS = ("off", "chosen", "all")
CHOSEN = (
    "tests/platform/test_types.py", "tests/platform/test_keys.py", "tests/platform/test_numbering.py",
    "tests/platform/test_idempotency.py", "tests/platform/test_unit_of_work.py", "tests/platform/test_migrations.py",
    "tests/platform/test_lost_connection.py",
    "tests/messaging/test_worker.py",
    "tests/modules/kernel/masterdata/test_catalogues.py",
    "tests/modules/kernel/orders/test_orders.py",
    "tests/modules/kernel/patients/test_files.py", "tests/modules/kernel/patients/test_search.py",
    "tests/modules/outpatient_billing/test_charging.py",
    "tests/modules/outpatient_pharmacy/test_dispensing.py",
)
"""Files whose tests run on Dameng in ``make test``: types, keys, numbers, idempotency, units of work, the outbox, the
ledgers through billing and pharmacy, orders, people. The rest of what uses ``db`` runs there in ``make test-long``."""
NOT_CHOSEN = ("need_few_statements", "every_transition", "several_processes", "_clients", "kill_9", "found_with_price")
"""Tests of those files that are many, slow, or say nothing new of a database."""
SCHEMA = "HIS"
_numbers = count(1)


def left_out(config: pytest.Config, items: list[pytest.Item]) -> set[pytest.Item]:
    """The tests on Dameng that this run doesn't want. A test named on the command line, or ``-k dameng``, is wanted."""
    true = bool(os.environ.get("HIS_TEST_DAMENG_URL"))
    asked = "dameng" in config.option.keyword or any("[dameng" in argument for argument in config.args)
    amount = config.getoption("--dameng") or ("all" if true or asked else "chosen")
    out = set()
    for item in items:
        if not on_dameng(item):
            continue
        if true:
            item.add_marker(pytest.mark.xdist_group("true_dameng"))
        chosen = (item.nodeid.startswith(CHOSEN) and not item.get_closest_marker("long")
                  and not any(word in item.nodeid for word in NOT_CHOSEN))
        if amount == "off" or (amount == "chosen" and not chosen):
            out.add(item)
    return out


def on_dameng(item: pytest.Item) -> bool:
    """True if the test's ``db`` is on Dameng."""
    call = getattr(item, "callspec", None)
    return call is not None and "dameng" in (call.params.get("db_url"), call.params.get("empty"))


@dataclass(frozen=True)
class House:
    """A database with all tables: its URL, and how it is emptied and closed."""

    url: str
    empty: Callable[[], None]
    close: Callable[[], Any]
    fresh: Callable[[], str]
    """The URL of an account without tables."""
    order: Callable[..., Any] | None = None
    """Orders to the stand-in (tests/dameng_standin/README.md); a true DM8 takes none."""


def standin_house(postgres_server: str) -> House:
    """All tables on a stand-in of this process's own, which executes on PostgreSQL."""
    from tests.dameng_standin import start_standin

    name = f"his_dameng_{os.getpid()}"
    below = databases.create_postgres(postgres_server, name)
    standin = start_standin(postgres_server, database=name, schema=SCHEMA, lock_seconds=20)
    database = Database(standin.url)
    Base.metadata.create_all(database.engine, checkfirst=False)
    database.dispose()

    def empty() -> None:
        standin.order(reset=True, drop_all=True)
        databases.empty_postgres(below, upper_in=SCHEMA)

    def close() -> None:
        standin.stop()
        databases.drop_postgres(postgres_server, below)

    def fresh() -> str:
        user = f"{SCHEMA}_{next(_numbers)}"
        return make_url(standin.url).set(username=user).render_as_string(hide_password=False)

    return House(standin.url, empty, close, fresh, standin.order)


def true_house(url: str) -> House:
    """All tables on a true DM8, in the schema of the URL's account, which must be empty or a former run's.

    Everything of ours in it is dropped first: tables are made anew, so that they are this version's.
    """
    engine = create_engine(url, poolclass=NullPool)
    Base.metadata.drop_all(engine)
    strange = inspect(engine).get_table_names()
    if strange:
        pytest.exit(f"HIS_TEST_DAMENG_URL must name a schema for tests only; it has {', '.join(strange[:5])}", 2)
    Base.metadata.create_all(engine, checkfirst=False)
    tables = list(reversed(Base.metadata.sorted_tables))

    def empty() -> None:
        with engine.begin() as connection:
            filled = connection.execute(select(*(
                case((exists().select_from(table), 1), else_=0).label(f"t{number}")
                for number, table in enumerate(tables)))).one()
            for table, has_rows in zip(tables, filled, strict=True):
                if has_rows:
                    connection.execute(delete(table))

    def fresh() -> str:
        pytest.skip("a true DM8 has one account for the tests, whose tables are there: migrate an empty one by hand")

    return House(url, empty, lambda: Base.metadata.drop_all(engine), fresh)
