"""M10.2: the infusion room's lists when years have piled up: HIS_GROWTH_INFUSION="20000,200000" (past infusions).

By bench_growth's rules: the same room of today in two databases, one with ten times the past; every list through its whole
HTTP path at both in turns. At most 1.3 times as long, no plan reads a table of the room from end to end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from his_server.app import create_app, open_database
from his_server.db import Base, Database
from his_server.registry import Hospital
from his_server.settings import Settings
from modules.kernel.orders.models import SkinTest
from tests import databases
from tests.benchmarks.bench_growth import Measured, Page, judged, measure
from tests.benchmarks.floor import bare_url
from tests.factories.hospital import World, make_world
from tests.modules.infusion.room import Room

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]
SMALL, LARGE = (int(n) for n in os.environ.get("HIS_GROWTH_INFUSION", "20000,200000").split(","))
ROUNDS, PER_DAY, PATIENTS = 20, 250, 24
TABLES = {"infusion", "infusion_bottle", "infusion_bottle_drug", "infusion_round", "skin_test"}
PATHS = {"worklist": "/worklist", "finished": "/worklist?state=finished", "seats": "/seats", "screen": "/screen",
         "tests: waiting": "/skin-tests?state=waiting", "tests: open": "/skin-tests?state=open",
         "tests: confirmed": "/skin-tests?state=confirmed"}
COPIES = {
    "infusion": {"id": "b + n", "number": "'SYB' || n", "prescription_id": "b + n",
                 "business_date": "business_date - 1 - (n / {per_day})::int", "state": "'finished'", "seat_id": "NULL",
                 "running_bottle_id": "NULL", "changed_at": "changed_at - (1 + (n / {per_day})::int) * interval '1 day'",
                 "looked_at": "looked_at - (1 + (n / {per_day})::int) * interval '1 day'"},
    "infusion_bottle": {"id": "b + n", "infusion_id": "b + n", "prescription_id": "b + n", "label_no": "'PQB' || n",
                        "state": "'finished'"},
    "infusion_bottle_drug": {"id": "b + n", "bottle_id": "b + n"},
    "infusion_round": {"id": "b + n", "infusion_id": "b + n", "bottle_id": "b + n"},
    "skin_test": {"id": "b + n", "person_id": "b + n", "prescription_line_id": "b + n", "claim": "NULL", "state": "'confirmed'",
                  "business_date": "business_date - 1 - (n / {per_day})::int",
                  "due_at": "due_at - (1 + (n / {per_day})::int) * interval '1 day'"},
}
BASE = 10**12


def _today(world: World) -> Room:
    """A room at work: patients in every state, skin tests to begin and running."""
    room = Room(world)
    for n in range(PATIENTS):
        paid = room.paid(f"输液{n}", bottles=2)
        infusion = room.receive(paid)
        if n < 3:
            room.ok("nurse", "post", f"/infusions/{infusion['id']}/seat", {"seat_id": world.ids[f"A0{n + 1}"]})
        if n % 3:
            bottle = infusion["bottles"][0]
            room.ok("nurse", "post", f"/bottles/{bottle['id']}/prepare")
            room.ok("nurse", "post", f"/bottles/{bottle['id']}/start", {
                "patient_code": paid["code"], "label_code": bottle["label_no"], "speed": 40})
            room.ok("nurse", "post", f"/bottles/{bottle['id']}/rounds", {"condition": "正常", "speed": 40, "note": ""})
        tested = room.paid(f"皮试{n}", dispensed=False, penicillin=True)
        if n % 2:
            line = next(one for one in tested["lines"] if one["skin_test"])
            room.ok("nurse", "post", "/skin-tests", {"person_id": tested["person"], "prescription_line_id": line["id"]})
    return room


def _pile(connection: psycopg.Connection, first: int, last: int) -> None:
    """Past infusions ``first`` … ``last``, copied from one of today with keys, numbers and days of their own."""
    for table, changed in COPIES.items():
        columns = [row[0] for row in connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position", [table])]
        values = ", ".join(changed.get(name, name).format(per_day=PER_DAY) for name in columns)
        connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} "
            f"FROM (SELECT * FROM {table} WHERE id < {BASE} ORDER BY id LIMIT 1) AS t, "
            f"(SELECT n, {BASE}::bigint AS b FROM generate_series({first}::bigint, {last}) AS n) AS g")
    connection.execute("VACUUM ANALYZE")


@pytest.fixture(scope="module")
def sizes(hospital: Hospital, postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Room, Room]]:
    """The same room of today over a short and over a long past."""
    folder = tmp_path_factory.mktemp("infusion")

    def opened(url: str) -> tuple[Settings, Database]:
        settings = Settings(data_dir=folder, database_url=url, secure_cookies=False, password_rounds=10_000,
                            simulate_payments=True, log_level="ERROR")
        return settings, open_database(settings)

    def piled(database: Database, first: int, last: int) -> None:
        url = bare_url(database.url.render_as_string(hide_password=False))
        with psycopg.connect(url, autocommit=True) as connection:
            _pile(connection, first, last)

    small_url = databases.create_postgres(postgres_server, "his_bench_infusion")
    settings, database = opened(small_url)
    Base.metadata.create_all(database.engine)
    small = _today(make_world(create_app(settings, database=database, hospital=hospital), database))
    piled(database, 1, SMALL)
    database.engine.dispose()
    large_url = databases.copy_postgres(postgres_server, "his_bench_infusion", "his_bench_infusion_large")
    settings, copied = opened(large_url)
    world = World(create_app(settings, database=copied, hospital=hospital), copied, small.world.ids, dict(small.world.clients))
    large = Room.__new__(Room)
    large.world = world
    large.sign_in("nurse", "nurse2", "er")
    piled(copied, SMALL + 1, LARGE)
    yield small, large
    for room, url in ((small, small_url), (large, large_url)):
        room.world.db.dispose()
        databases.drop_postgres(postgres_server, url)


@pytest.mark.requirement("M10.2")
def test_the_rooms_lists_do_not_grow_with_the_years(sizes: tuple[Room, Room]) -> None:
    with sizes[1].world.db.begin(write=False) as session:
        assert session.query(SkinTest).count() > LARGE
    wrong = []
    print(f"\n  {'list':<30}{'small':>11}{'large':>11}{'p95':>11}{'growth':>8}{'bare growth':>13}{'to bare':>9}{'blocks':>18}")
    with ExitStack() as stack:
        connections = [stack.enter_context(psycopg.connect(bare_url(room.world.db.url.render_as_string(hide_password=False))))
                       for room in sizes]
        for name, path in PATHS.items():
            page = Page(name, "nurse", lambda path=path: f"/api/infusion{path}")  # type: ignore[misc]
            found = Measured(), Measured()
            for _ in range(ROUNDS):
                for room, connection, into in zip(sizes, connections, found, strict=True):
                    measure(room.world, page, connection, into, TABLES)
            wrong += judged(page, *found)
    assert wrong == []
