"""A crowd of persons for the search benchmark, written by COPY: rows as the services write them, in a minute."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import psycopg
from sqlalchemy import select, text

from demo import names
from his_server.actor import SYSTEM
from his_server.db import Database
from his_server.search import SearchKey, key_rows, search_keys
from modules.kernel.patients.models import Person, PersonIdentifier, person_search
from tests.benchmarks.floor import bare_url


@lru_cache(maxsize=50_000)
def _keys(name: str) -> tuple[SearchKey, ...]:
    return tuple(search_keys(name, person=True))


def add_persons(database: Database, count: int, seed: int) -> list[tuple[str, str]]:
    """So many persons with ID number and phone; (name, phone) of some of them."""
    rng = random.Random(seed)
    with database.begin() as session:
        session.info["actor"] = SYSTEM
        model = Person(name="样板", outpatient_no=f"T{seed}", created_at=database.clock.now())
        session.add(model)
        session.flush()
        row = dict(session.execute(select(Person.__table__).where(Person.id == model.id)).one()._mapping)
    ids = database.keys.take(3 * count)
    persons, identifiers, keys, some = [], [], [], []
    now = datetime.now(UTC).replace(tzinfo=None)
    for n in range(count):
        key, sex = ids[3 * n], rng.choice("12")
        name = names.plain_name(rng, sex, rng.randrange(1935, 2026))
        phone, number = f"13{rng.randrange(10**9):09d}", f"3206{rng.randrange(10**14):014d}"
        persons.append({**row, "id": key, "name": name, "sex": sex, "outpatient_no": f"C{key:012d}", "created_at": now,
                        "id_type": "01", "id_no_sealed": _seal(database, "person.id_no", key, number),
                        "phone_sealed": _seal(database, "person.phone", key, phone)})
        for offset, (kind, value) in enumerate((("id_no", number), ("phone", phone)), 1):
            own = ids[3 * n + offset]
            identifiers.append({
                "id": own, "person_id": key, "kind": kind, "id_type": "01" if kind == "id_no" else "",
                "number_sealed": _seal(database, "person_identifier.number", own, value),
                "number_index": database.sealer.blind_index("index", f"person_identifier.number:{value}"),
                "claim": f"bench:{own}", "active": True, "added_at": now, "added_by": 0, "ended_at": None})
        keys += key_rows(key, _keys(name))
        if n % (count // 200) == 0:
            some.append((name, phone))
    with psycopg.connect(bare_url(database.url.render_as_string(hide_password=False))) as connection:
        _copy(connection, Person.__table__.name, persons)
        _copy(connection, PersonIdentifier.__table__.name, identifiers)
        _copy(connection, person_search.name, [{"owner_id": k["owner_id"], "kind": k["kind"], "search_key": k["key"],
                                                "part": k["part"]} for k in keys])
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as analysing:
        analysing.execute(text("VACUUM ANALYZE"))
    return some


def _seal(database: Database, column: str, key: int, value: str) -> bytes:
    sealed: bytes = database.sealer.seal("column", value.encode(), f"{column}:{key}")
    return sealed


def _copy(connection: psycopg.Connection[Any], table: str, rows: Sequence[dict[str, Any]] | Iterable[dict[str, Any]]
          ) -> None:
    rows = list(rows)
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(rows[0])}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(list(row.values()))
