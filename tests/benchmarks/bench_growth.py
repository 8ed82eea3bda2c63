"""What becomes of the screens when there are ten times as many visits: HIS_GROWTH="20000,200000" for a quick run.

At each size every page is asked through its whole HTTP path and its statements again by bare psycopg. Point and list queries
may take at most 1.3 times as long at ten times the size, reports at most in proportion to the rows they sum; no plan reads a
ledger from end to end. A further page is one line of :func:`pages`.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from tests import databases
from tests.benchmarks.bench_search import Statement, _caught
from tests.benchmarks.floor import Timing, bare_url
from tests.benchmarks.growth import PER_DAY, Grown, grow, ledgers, templates
from tests.factories.hospital import World, make_world

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]
SMALL, LARGE = (int(n) for n in os.environ.get("HIS_GROWTH", "100000,1000000").split(","))
ROUNDS = 30
MOST_GROWTH, MOST_RATIO = 1.3, 3.0
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


def pages(world: World, hospital: Hospital, grown: Grown, real: list[dict[str, Any]]) -> list[Page]:
    """The pages of issue 5, those whose route or report is there."""
    rng = random.Random(grown.visits)
    day = world.db.clock.today() - timedelta(days=1)
    known = set(hospital.reports)
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
        # what is built elsewhere: one line each, taken when it is there
        Page("purchase-sales-stock", "finance", lambda: report("purchase-sales-stock"), "report", PER_DAY),
    ]
    there = []
    for page in found:
        address = page.path().split("?")[0]
        name = address.rpartition("/")[2]
        if address.startswith("/api/reports/") and name not in known:
            print(f"    (no report {name} here yet)")
        else:
            there.append(page)
    return there


@pytest.fixture(scope="module")
def world(hospital: Hospital, postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The small hospital in a database of its own, on the wall clock."""
    url = databases.create_postgres(postgres_server, "his_bench_growth")
    settings = Settings(data_dir=tmp_path_factory.mktemp("growth"), database_url=url, secure_cookies=False,
                        password_rounds=10_000, simulate_payments=True, log_level="ERROR")
    database = open_database(settings)
    Base.metadata.create_all(database.engine)
    yield make_world(create_app(settings, database=database, hospital=hospital), database, capacity=100_000)
    database.dispose()
    databases.drop_postgres(postgres_server, url)


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


@dataclass(frozen=True)
class Measured:
    """A page at one size: through HTTP and bare, the statements with their plans, the blocks they touch."""

    route: Timing
    bare: Timing
    scans: tuple[str, ...]
    blocks: int


def _measure(world: World, page: Page, connection: psycopg.Connection[Any]) -> Measured:
    client = world.clients[page.who]
    route, bare, scans, blocks = [], [], set[str](), 0
    big = {ledger.table for ledger in ledgers(dict.fromkeys(_NAMES, 0), "")} - SMALL_TABLES
    for turn in range(ROUNDS if page.kind == "list" else max(ROUNDS // 6, 3)):
        path = page.path()

        def ask(path: str = path) -> None:
            answer = client.get(path)
            assert answer.status_code == 200, answer.get_data(as_text=True)[:400]

        statements: list[Statement] = _caught(world.db, ask)
        began = time.perf_counter()
        ask()
        route.append(time.perf_counter() - began)
        reads = [(sql, values) for sql, values in statements if sql.lstrip().upper().startswith(("SELECT", "WITH"))]
        with connection.transaction(), connection.cursor() as cursor:
            began = time.perf_counter()
            for sql, values in reads:
                cursor.execute(sql, values).fetchall()
            bare.append(time.perf_counter() - began)
            if turn == 0:
                for sql, values in reads:
                    plan = "\n".join(row[0] for row in cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + sql, values).fetchall())  # type: ignore[arg-type]
                    touched = re.search(r"Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?", plan)
                    blocks += sum(int(n or 0) for n in touched.groups()) if touched else 0
                    scans |= set(re.findall(r"Seq Scan on (\w+)", plan)) & big
    return Measured(Timing(tuple(route), sum(route)), Timing(tuple(bare), sum(bare)), tuple(sorted(scans)), blocks)


_NAMES = ("encounter", "session", "registration", "count", "shift", "fee", "bill", "fee_line", "drug_line", "exam_line",
          "fee_receipt", "drug_receipt", "exam_receipt", "fee_payment", "bill_payment", "prescription", "request", "move",
          "open_line", "invoice")


def test_ten_times_the_visits(world: World, hospital: Hospital) -> None:
    database: Database = world.db
    ids = templates(world)
    assert set(ids) == set(_NAMES)
    real = _real_visits(world, 20)
    results: dict[int, dict[str, tuple[Page, Measured]]] = {}
    before = 0
    for size in (SMALL, LARGE):
        began = time.perf_counter()
        print(f"\n  growing to {size:,} visits")
        grown = grow(database, world, ids, before, size)
        before = size
        print(f"    in {time.perf_counter() - began:.0f} s")
        with psycopg.connect(bare_url(database.url.render_as_string(hide_password=False))) as connection:
            results[size] = {page.name: (page, _measure(world, page, connection))
                             for page in pages(world, hospital, grown, real)}
    wrong = []
    print(f"\n  {'page':<30}{'p50 small':>11}{'p50 large':>11}{'growth':>8}{'bare growth':>13}{'to bare':>9}{'blocks':>15}")
    for name, (_, large) in results[LARGE].items():
        small = results[SMALL][name][1]
        took = [timing.percentile(50) for timing in (small.route, large.route, small.bare, large.bare)]
        growth, bare_growth, ratio = took[1] / took[0], took[3] / took[2], took[1] / took[3]
        print(f"  {name:<30}{took[0]:>8.1f} ms{took[1]:>8.1f} ms{growth:>8.2f}{bare_growth:>13.2f}{ratio:>9.2f}"
              + f"{small.blocks:>8}{large.blocks:>7}"
              + (f"   SCANS {', '.join(large.scans)}" if large.scans else ""))
        # both sizes have the same day: a day's report may grow no more than a list. A busy machine is slow at one size by
        # chance; what is slow because there is more to read touches more blocks as well.
        more = large.blocks > small.blocks * MOST_GROWTH + 20
        if growth > MOST_GROWTH and took[1] - took[0] > NOISE_MS and bare_growth > MOST_GROWTH and more:
            wrong.append(f"{name}: {growth:.2f} times as long")
        if large.scans:
            wrong.append(f"{name}: reads {', '.join(large.scans)} from end to end")
    assert wrong == []


def test_a_year_is_summed_in_proportion_to_its_rows(world: World) -> None:
    """The report over everything, against half of it: at most linear."""
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
