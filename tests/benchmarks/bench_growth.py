"""What becomes of the screens when there are ten times as many visits: HIS_GROWTH="20000,200000" for a quick run.

The two sizes are two databases side by side, and every page is asked in turns through its whole HTTP path at both and its
statements again by bare psycopg, so that a busy machine slows both. Point and list queries, and reports of one day, may take at
most 1.3 times as long at ten times the size, longer reports at most in proportion to the rows they sum; no plan reads a ledger
from end to end or touches more than three times the blocks, but for a look-up of each row that it sums. A further page is one
line of :func:`pages`.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from pypinyin import Style, lazy_pinyin

from his_server.app import create_app, open_database
from his_server.db import Base, Database
from his_server.registry import Hospital
from his_server.settings import Settings
from modules.kernel.stock.service import snapshots
from tests import databases
from tests.benchmarks.bench_search import Statement, _caught
from tests.benchmarks.floor import bare_url
from tests.benchmarks.growth import PER_DAY, Grown, grow, ledgers, templates
from tests.factories.hospital import World, make_world

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]
SMALL, LARGE = (int(n) for n in os.environ.get("HIS_GROWTH", "100000,1000000").split(","))
ROUNDS = 30
MOST_GROWTH, MOST_BLOCKS = 1.3, 3
NOISE_MS = 1.0
"""Less than that between two sizes says nothing."""
SMALL_TABLES = {"clinic_session", "shift"}
"""A day's worth of rows in each: the planner may read them whole."""


@dataclass(frozen=True)
class Page:
    """Something a person opens. ``kind``: ``list`` (points and pages of lists) or ``report``; ``rows``: what a report sums."""

    name: str
    who: str
    path: Callable[[], str]
    kind: str = "list"
    rows: int = 0


def pages(world: World, grown: Grown, real: list[dict[str, Any]]) -> list[Page]:
    """The pages of issue 5, those whose route or report is there."""
    rng = random.Random(grown.visits)
    day = world.db.clock.today() - timedelta(days=1)
    typed = ["".join(lazy_pinyin(name, style=Style.FIRST_LETTER)) for name, _ in grown.persons]

    def visit() -> dict[str, Any]:
        return rng.choice(real)

    def report(name: str, first: Any = day, last: Any = day, **more: str) -> str:
        return f"/api/reports/{name}?from={first}&to={last}" + "".join(f"&{k}={v}" for k, v in more.items())

    found = [
        Page("patient search", "cashier", lambda: f"/api/patients?q={quote(rng.choice(typed))}"),
        Page("unpaid list", "cashier", lambda: f"/api/outpatient-billing/unpaid?person_id={visit()['person']}"),
        Page("refund page: list", "cashier", lambda: f"/api/outpatient-billing/settlements?day={day}"),
        Page("refund page: person", "cashier", lambda: f"/api/outpatient-billing/settlements?person_id={visit()['person']}"),
        Page("refund page: detail", "cashier", lambda: f"/api/outpatient-billing/settlements/{visit()['settlement']}"),
        Page("cancel page: today", "cashier",
             lambda: f"/api/outpatient-billing/registrations?day_from={day}&day_to={day}&limit=100"),
        Page("cancel page: number", "cashier", lambda: f"/api/outpatient-billing/registrations?q={visit()['number']}"),
        Page("shift statement", "finance", lambda: f"/api/outpatient-billing/shifts/{visit()['shift']}"),
        Page("cashier report: a day", "finance", lambda: report("cashier-summary"), "report", 2 * PER_DAY),
        Page("income by department: a day", "finance", lambda: report("income-by-department"), "report", 3 * PER_DAY),
        Page("registration counts: a day", "finance", lambda: report("registration-counts"), "report", PER_DAY),
        Page("refunds: a day", "finance", lambda: report("refunds"), "report", 2 * PER_DAY),
        Page("e-invoice query: today", "cashier", lambda: f"/api/charging/invoices?start={day}&end={day}"),
        Page("e-invoice query: person", "cashier", lambda: f"/api/charging/invoices?person_id={visit()['person']}"),
        Page("purchase-sales-stock: a day", "finance", lambda: f"/api/reports/drug-movement?start={day}&end={day}",
             "report", PER_DAY),
    ]
    return found


@dataclass(frozen=True)
class Size:
    """A hospital of so many visits: its world, the pages to open in it."""

    world: World
    pages: dict[str, Page]


@pytest.fixture(scope="module")
def sizes(hospital: Hospital, postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Size, Size]]:
    """The small hospital, and a copy of its database that went on growing, both on the wall clock."""
    folder = tmp_path_factory.mktemp("growth")
    small_url = databases.create_postgres(postgres_server, "his_bench_growth")

    def opened(url: str) -> tuple[Settings, Database]:
        settings = Settings(data_dir=folder, database_url=url, secure_cookies=False, password_rounds=10_000,
                            simulate_payments=True, log_level="ERROR")
        return settings, open_database(settings)

    settings, database = opened(small_url)
    Base.metadata.create_all(database.engine)
    small = make_world(create_app(settings, database=database, hospital=hospital), database, capacity=100_000)
    ids = templates(small)
    assert set(ids) == set(_NAMES)
    real = _real_visits(small, 20)
    found = [_grown(small, ids, real, 0, SMALL)]
    database.engine.dispose()
    large_url = databases.copy_postgres(postgres_server, "his_bench_growth", "his_bench_growth_large")
    settings, copied = opened(large_url)
    large = World(create_app(settings, database=copied, hospital=hospital), copied, small.ids, dict(small.clients))
    large.sign_in_again()
    found.append(_grown(large, ids, real, SMALL, LARGE))
    yield found[0], found[1]
    for size, url in zip(found, (small_url, large_url), strict=True):
        size.world.db.dispose()
        databases.drop_postgres(postgres_server, url)


def _grown(world: World, ids: dict[str, int], real: list[dict[str, Any]], before: int, visits: int) -> Size:
    began = time.perf_counter()
    print(f"\n  growing to {visits:,} visits")
    grown = grow(world.db, world, ids, before, visits)
    snapshots.take_due(world.db)  # what the worker has done every month
    with psycopg.connect(bare_url(world.db.url.render_as_string(hide_password=False)), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    print(f"    in {time.perf_counter() - began:.0f} s")
    return Size(world, {page.name: page for page in pages(world, grown, real)})


def _real_visits(world: World, count: int) -> list[dict[str, Any]]:
    """Visits made through the API, so that what a page verifies holds: each with a paid and an unpaid bill."""
    made = []
    for n in range(count):
        person = world.person(f"实测{n}")
        registered = world.register(person)
        visit = world.encounter(registered)
        world.request(visit)
        settled = world.ok(world.pay_all(person))
        world.request(visit)
        made.append({"person": person, "settlement": settled["id"], "number": registered["registration_number"],
                     "shift": world.settlement(settled["id"])["shift_id"]})
    return made


@dataclass
class Measured:
    """A page at one size: seconds through HTTP and bare, ledgers that a plan reads whole, the blocks its plans touch."""

    route: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    scans: set[str] = field(default_factory=set)
    blocks: int = 0


def measure(world: World, page: Page, connection: psycopg.Connection[Any], into: Measured, big: set[str]) -> None:
    """Ask the page once, then its statements bare; the first time their plans as well. ``big``: tables that no plan reads
    from end to end."""
    client, path = world.clients[page.who], page.path()

    def ask() -> None:
        answer = client.get(path)
        assert answer.status_code == 200, answer.get_data(as_text=True)[:400]

    statements: list[Statement] = _caught(world.db, ask)
    began = time.perf_counter()
    ask()
    into.route.append(time.perf_counter() - began)
    reads = [(sql, values) for sql, values in statements if sql.lstrip().upper().startswith(("SELECT", "WITH"))]
    with connection.transaction(), connection.cursor() as cursor:
        began = time.perf_counter()
        for sql, values in reads:
            cursor.execute(sql, values).fetchall()
        into.bare.append(time.perf_counter() - began)
        if len(into.route) > 1:
            return
        for sql, values in reads:
            plan = "\n".join(row[0] for row in cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + sql, values).fetchall())  # type: ignore[arg-type]
            touched = re.search(r"Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?", plan)
            into.blocks += sum(int(n or 0) for n in touched.groups()) if touched else 0
            into.scans |= set(re.findall(r"Seq Scan on (\w+)", plan)) & big


_NAMES = ("encounter", "session", "registration", "count", "shift", "fee", "bill", "fee_line", "drug_line", "exam_line",
          "fee_receipt", "drug_receipt", "exam_receipt", "fee_payment", "bill_payment", "prescription", "request", "move",
          "open_line", "invoice")
_BIG = {ledger.table for ledger in ledgers(dict.fromkeys(_NAMES, 0), "")} - SMALL_TABLES


def _typical(seconds: list[float]) -> float:
    """Milliseconds of the faster half's middle: what the page takes when nothing else has the processor."""
    return sorted(seconds)[len(seconds) // 4] * 1000


def test_ten_times_the_visits(sizes: tuple[Size, Size]) -> None:
    wrong = []
    print(f"\n  {'page':<30}{'small':>11}{'large':>11}{'p95':>11}{'growth':>8}{'bare growth':>13}{'to bare':>9}{'blocks':>18}")
    with ExitStack() as stack:
        connections = [stack.enter_context(psycopg.connect(bare_url(size.world.db.url.render_as_string(hide_password=False))))
                       for size in sizes]
        for name in sizes[0].pages:
            found = Measured(), Measured()
            for _ in range(ROUNDS):
                for size, connection, into in zip(sizes, connections, found, strict=True):
                    measure(size.world, size.pages[name], connection, into, _BIG)
            wrong += judged(sizes[0].pages[name], *found)
    assert wrong == []


def judged(page: Page, before: Measured, after: Measured) -> Iterator[str]:
    """Prints a page's line; what is wrong with its growth."""
    name = page.name
    took = [_typical(seconds) for seconds in (before.route, after.route, before.bare, after.bare)]
    growth, p95 = took[1] / took[0], sorted(after.route)[int(len(after.route) * 0.95)] * 1000
    print(f"  {name:<30}{took[0]:>8.1f} ms{took[1]:>8.1f} ms{p95:>8.1f} ms{growth:>8.2f}{took[3] / took[2]:>13.2f}"
          f"{took[1] / took[3]:>9.2f}{before.blocks:>9}{after.blocks:>9}")
    if growth > MOST_GROWTH and took[1] - took[0] > NOISE_MS:
        yield f"{name}: {growth:.2f} times as long"
    if after.blocks > max(before.blocks * MOST_BLOCKS, page.rows * 4) + 50:  # a look-up for each row that is summed is fair
        yield f"{name}: touches {after.blocks} blocks, {before.blocks} before"
    if after.scans:
        yield f"{name}: reads {', '.join(sorted(after.scans))} from end to end"


def test_a_year_is_summed_in_proportion_to_its_rows(sizes: tuple[Size, Size]) -> None:
    """The report over everything, against half of it: at most linear."""
    world = sizes[1].world
    day = world.db.clock.today() - timedelta(days=1)
    days = LARGE // PER_DAY
    times = {}
    for span in (max(days // 4, 1), max(days // 2, 2)):
        path = f"/api/reports/income-by-category?from={day - timedelta(days=span - 1)}&to={day}"
        taken = []
        for _ in range(3):
            began = time.perf_counter()
            assert world.get("finance", path).status_code == 200
            taken.append(time.perf_counter() - began)
        times[span] = min(taken)
    (few, short), (many, long) = sorted(times.items())
    print(f"\n  income by category: {few} days {short * 1000:.0f} ms, {many} days {long * 1000:.0f} ms")
    assert long / short <= many / few * MOST_GROWTH
