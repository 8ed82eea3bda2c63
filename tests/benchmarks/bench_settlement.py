"""Settlements per second through HTTP, as a ratio to the same rows written by bare psycopg in the same run."""

from __future__ import annotations

import cProfile
import json
import pstats
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from his_server.registry import Hospital
from tests import databases
from tests.benchmarks.bills import Bill, floor_jobs, make_bills
from tests.benchmarks.floor import (
    Timing,
    cpu_seconds,
    http_load,
    http_request,
    postmaster,
    side_by_side,
    sql_load,
    together,
)
from tests.counting import count_queries
from tests.pg import start_postgres
from tests.processes import run_all
from tests.serving import House, headers_of, make_house

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
CLIENTS, ROUNDS, EACH, WARM = 10, 5, 30, 10
PATH = "/api/outpatient-billing/settlements"
LEAST_RATIO, MOST_CPU_MS = 0.3, 12.0


@pytest.fixture(scope="module")
def house(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Two gunicorn processes on a PostgreSQL that syncs its commits to the disk, as servers do by default."""
    from his_server.db import Base, Database

    server = start_postgres(durable=True)
    url = databases.create_postgres(server, "his_bench")
    database = Database(url)
    Base.metadata.create_all(database.engine)
    database.dispose()
    with make_house(tmp_path_factory.mktemp("bench"), url, hospital) as found:
        found.start_web(processes=2, threads=8)
        yield found
    databases.drop_postgres(server, url)


def _requests(house: House, cashiers: Sequence[str], bills: Sequence[Bill]) -> list[list[bytes]]:
    jobs: list[list[bytes]] = [[] for _ in cashiers]
    for n, bill in enumerate(bills):
        jobs[n % len(cashiers)].append(_request(house, cashiers[n % len(cashiers)], bill))
    return jobs


def _body(bill: Bill) -> bytes:
    return json.dumps({"person_id": bill.person, "line_ids": bill.lines, "expected_total": str(bill.total),
                       "payments": [{"method": "cash", "covers": str(bill.total)}]}).encode()


def _request(house: House, cashier: str, bill: Bill) -> bytes:
    headers = {**headers_of(house.world, house.world.clients[cashier]), "Idempotency-Key": uuid4().hex}
    return http_request("POST", PATH, headers, _body(bill))


def test_settlements_per_second(house: House) -> None:
    bills = iter(make_bills(house.world, CLIENTS * (2 * ROUNDS * EACH + 2 * WARM)))
    cashiers = house.hire_cashiers(CLIENTS)
    web, server = house.web, postmaster(house.world.db)
    assert web is not None
    floor_cashiers = iter(range(10**4, 10**5))

    def take(count: int) -> list[Bill]:
        return [next(bills) for _ in range(count)]

    def ours(each: int) -> Timing:
        return run_all(http_load, [(house.port, _requests(house, cashiers, take(CLIENTS * each)))])[0]

    def floor(each: int) -> Timing:
        jobs = [floor_jobs(house.world, take(each), next(floor_cashiers)) for _ in range(CLIENTS)]
        url = house.world.db.url.render_as_string(hide_password=False)
        return side_by_side(run_all(sql_load, [(url, jobs[:CLIENTS // 2]), (url, jobs[CLIENTS // 2:])]))

    ours(WARM), floor(WARM)
    measured: list[Timing] = []
    bare: list[Timing] = []
    cpu_ours = cpu_bare = 0.0
    for _ in range(ROUNDS):
        before = cpu_seconds([web.pid, server])
        measured.append(ours(EACH))
        cpu_ours += cpu_seconds([web.pid, server]) - before
        before = cpu_seconds([server])
        bare.append(floor(EACH))
        cpu_bare += cpu_seconds([server]) - before
    ratios = [a.rate / b.rate for a, b in zip(measured, bare, strict=True)]
    jobs = CLIENTS * EACH * ROUNDS
    print(f"\n  ours  {together(measured)}   {cpu_ours / jobs * 1000:.1f} CPU ms (server and database)")
    print(f"  floor {together(bare)}   {cpu_bare / jobs * 1000:.1f} CPU ms (database only)")
    print(f"  ratio {statistics.median(ratios):.2f} (rounds: {', '.join(f'{r:.2f}' for r in ratios)})")
    assert statistics.median(ratios) >= LEAST_RATIO
    assert cpu_ours / jobs * 1000 <= MOST_CPU_MS


def test_where_the_time_goes(house: House) -> None:
    """Profile of the same request inside this process: which parts of the house it is spent in."""
    world = house.world
    bills = make_bills(world, 120)
    client = world.clients["cashier"]

    def settle(bill: Bill) -> None:
        answer = client.post(PATH, data=_body(bill), content_type="application/json",
                             headers={"Idempotency-Key": uuid4().hex})
        assert answer.status_code == 201, answer.get_data(as_text=True)

    for bill in bills[:20]:
        settle(bill)
    with count_queries(world.db) as count:
        settle(bills[20])
    print(f"\n  {count.total} statements:")
    for statement in count.statements:
        print("   ", " ".join(statement.split())[:110])
    profile = cProfile.Profile()
    profile.enable()
    for bill in bills[21:]:
        settle(bill)
    profile.disable()
    _print(pstats.Stats(profile), len(bills) - 21)


PARTS = ("do_execute", "do_commit", "do_rollback", "_compile_w_cache", "authenticate", "load", "dump",
         "_respond", "settle", "follow_settlement", "reserve", "record", "find", "store", "enter_shift", "guarded_update",
         "insert_many", "flush", "take_from_range", "_unit_of_work", "wsgi_app", "execute")


def _print(stats: pstats.Stats, jobs: int) -> None:
    rows = []
    for (file, _, name), (_, calls, own, total, _) in stats.stats.items():  # type: ignore[attr-defined]
        rows.append((total / jobs * 1000, own / jobs * 1000, calls / jobs, name, "/".join(Path(file).parts[-2:])))
    print("  profiled (slower than life): cumulative ms, own ms, calls per settlement")
    for total, own, calls, name, file in sorted(rows, reverse=True)[:400]:
        if name in PARTS:
            print(f"   {total:7.2f} {own:6.2f} {calls:6.1f}  {name} ({file})")
    print("  most own time:")
    for total, own, calls, name, file in sorted(rows, key=lambda row: -row[1])[:22]:
        print(f"   {total:7.2f} {own:6.2f} {calls:6.1f}  {name} ({file})")
