"""The patient search at 20,000 and 200,000 persons, as a ratio to the same statements by bare psycopg."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from pypinyin import Style, lazy_pinyin
from sqlalchemy import event

from his_server.app import create_app, open_database
from his_server.db import Base, Database
from his_server.registry import Hospital
from his_server.settings import Settings
from tests import databases
from tests.benchmarks.crowd import add_persons
from tests.benchmarks.floor import Timing, bare_url
from tests.factories.security import signed_in_client

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
SMALL, LARGE, QUERIES = 20_000, 200_000, 200
MOST_RATIO = 3.0
Statement = tuple[str, Any]


@pytest.fixture(scope="module")
def house(hospital: Hospital, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
          ) -> Iterator[tuple[Flask, Database]]:
    """The application over a database of its own."""
    url = databases.create_postgres(postgres_server, "his_bench_search")
    settings = Settings(data_dir=tmp_path_factory.mktemp("search"), database_url=url, secure_cookies=False)
    database = open_database(settings)
    Base.metadata.create_all(database.engine)
    yield create_app(settings, database=database, hospital=hospital), database
    database.dispose()
    databases.drop_postgres(postgres_server, url)


def _typed(some: Sequence[tuple[str, str]]) -> list[str]:
    """What people type: initials, pinyin, names, parts of them, phone numbers; in turns."""
    rng = random.Random(3)
    made = []
    for n in range(QUERIES):
        name, phone = rng.choice(some)
        made.append(("".join(lazy_pinyin(name, style=Style.FIRST_LETTER)), "".join(lazy_pinyin(name)), name, name[1:],
                     phone, name[0])[n % 6])
    return made


def _caught(database: Database, act: Callable[[], None]) -> list[Statement]:
    """The statements that ``act`` sends, with their values."""
    caught: list[Statement] = []

    def seen(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if isinstance(values, list):  # numbered parameters (dialects/together.py)
            statement = re.sub(r"\$(\d+)", r"%(p\1)s", statement.replace("%", "%%"))
            values = {f"p{place}": value for place, value in enumerate(values, 1)}
        caught.append((statement, values))

    event.listen(database.engine, "before_cursor_execute", seen)
    try:
        act()
    finally:
        event.remove(database.engine, "before_cursor_execute", seen)
    return [one for one in caught if "security_" not in one[0]]


def _measure(client: FlaskClient, database: Database, typed: Sequence[str]) -> tuple[Timing, Timing, Timing, float]:
    """Through HTTP's whole path, the same in the service alone, the same statements bare; and how often found."""
    from his_server.actor import Actor
    from modules.kernel.patients import queries

    actor = Actor(user_id=1, login="bench", name="基准")
    hits = 0

    def route(text: str) -> None:
        nonlocal hits
        answer = client.get(f"/api/patients?q={quote(text)}")
        assert answer.status_code == 200, answer.get_data(as_text=True)
        hits += bool(answer.json["items"])  # type: ignore[index]

    def service(text: str) -> None:
        with database.begin(write=False) as session:
            queries.search(session, actor, text, 20)

    jobs = {text: _caught(database, lambda text=text: service(text)) for text in set(typed)}  # type: ignore[misc]
    times: dict[str, list[float]] = {"route": [], "service": [], "bare": []}
    with psycopg.connect(bare_url(database.url.render_as_string(hide_password=False))) as connection:

        def bare(text: str) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                for statement, values in jobs[text]:
                    cursor.execute(statement, values).fetchall()

        acts = {"route": route, "service": service, "bare": bare}
        for text in typed[:30]:
            for act in acts.values():
                act(text)
        hits = 0
        for text in typed:
            for name, act in acts.items():
                began = time.perf_counter()
                act(text)
                times[name].append(time.perf_counter() - began)
    timings = [Timing(tuple(each), sum(each)) for each in times.values()]
    return timings[0], timings[1], timings[2], hits / len(typed)


def test_search_of_two_hundred_thousand(house: tuple[Flask, Database]) -> None:
    app, database = house
    client = signed_in_client(app, database, "cashier", "registrar")
    some = add_persons(database, SMALL, 1)
    typed = _typed(some)
    results = {}
    for size in (SMALL, LARGE):
        if size == LARGE:
            add_persons(database, LARGE - SMALL, 2)
        route, service, bare, found = results[size] = _measure(client, database, typed)
        print(f"\n  {size:,} persons, {found:.0%} of the searches found somebody")
        for name, timing in (("route", route), ("service", service), ("bare SQL", bare)):
            print(f"   {name:<9}{timing}   p95 ratio {timing.percentile(95) / bare.percentile(95):.2f}")
        assert found > 0.95
    growth = results[LARGE][1].percentile(50) / results[SMALL][1].percentile(50)
    print(f"  ten times the persons: p50 × {growth:.2f}, p95 × "
          f"{results[LARGE][1].percentile(95) / results[SMALL][1].percentile(95):.2f}")
    assert results[LARGE][1].percentile(95) / results[LARGE][2].percentile(95) <= MOST_RATIO
