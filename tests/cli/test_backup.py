"""Backup and restore: what comes back is what was there, what is damaged is refused before anything is written (DB-25)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from crypto import Sealer
from his_server import backup
from his_server.backup import envelope
from his_server.db import Base, Database, migrate
from modules.kernel.charging.models import Payment
from modules.kernel.stock.models import StockBalance
from tests import databases
from tests.factories.hospital import World

pytestmark = pytest.mark.requirement("DB-25")


@pytest.fixture(autouse=True)
def tables_without_alembic(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' databases are made from the models; tests/platform/test_migrations.py says that it's the same."""
    monkeypatch.setattr(migrate, "current", lambda database: migrate.head())
    monkeypatch.setattr(migrate, "prepare", lambda database: Base.metadata.create_all(database.engine))


@pytest.fixture
def worked(world: World) -> World:
    """A hospital with a registration, a settled prescription and stock."""
    person = world.person("龘𠮷")
    encounter = world.encounter(world.register(person))
    world.prescribe(encounter)
    world.ok(world.pay_all(person))
    return world


@pytest.fixture
def empty(db: Database, tmp_path: Path, request: pytest.FixtureRequest, sealer: Sealer) -> Iterator[Database]:
    """Another database of the same kind, without any table."""
    if db.single_writer:
        made = Database(f"sqlite:///{tmp_path}/restored.db", clock=db.clock, sealer=sealer)
        yield made
        made.dispose()
        return
    server = request.getfixturevalue("postgres_server")
    url = databases.create_postgres(server, f"his_restored_{tmp_path.name[-20:]}")
    made = Database(url, clock=db.clock, sealer=sealer)
    yield made
    made.dispose()
    databases.drop_postgres(server, url)


def key_files(tmp_path: Path) -> dict[str, Path]:
    """Stand-ins for the ring and the master key."""
    for name in ("ring.json", "master.key"):
        (tmp_path / name).write_text(f"content of {name}")
    return {name: tmp_path / name for name in ("ring.json", "master.key")}


def contents_of(database: Database) -> dict[str, list[Any]]:
    """Every row of every table."""
    with database.engine.connect() as connection:
        return {table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
                for table in Base.metadata.sorted_tables}


def test_what_comes_back_is_what_was_there(worked: World, empty: Database, tmp_path: Path) -> None:
    db, target = worked.db, tmp_path / "a.hisbackup"
    private, public = db.sealer.provider.sm2_generate()
    done = backup.create(db, target, key_files(tmp_path), public)
    assert done.rows > 100 and target.stat().st_mode & 0o077 == 0
    assert "龘𠮷".encode() not in target.read_bytes() and b"content of" not in target.read_bytes()
    key = envelope.key_by_recovery(db.sealer.provider, private, target)
    assert key == envelope.key_by_ring(db.sealer, target)
    contents = backup.restore(empty, key, target)
    assert contents.keys == {"ring.json": b"content of ring.json", "master.key": b"content of master.key"}
    assert contents_of(db) == contents_of(empty)
    with db.begin(write=False) as session:
        paid = session.scalar(select(func.sum(Payment.amount)))
        stock = session.scalar(select(func.sum(StockBalance.on_hand)))
    assert Decimal(contents.tables["payment"]["totals"]["amount"]) == paid > 0
    assert Decimal(contents.tables["stock_balance"]["totals"]["on_hand"]) == stock > 0


@pytest.mark.parametrize("where", [0.0, 0.2, 0.5, 0.999])
def test_a_changed_byte_is_found_before_anything_is_written(worked: World, empty: Database, tmp_path: Path, where: float) -> None:
    target = tmp_path / "a.hisbackup"
    backup.create(worked.db, target, {}, None)
    key = envelope.key_by_ring(worked.db.sealer, target)
    whole = bytearray(target.read_bytes())
    start = whole.index(b"\n", 14) + 1  # the sealed stream begins after the two lines
    place = start + int((len(whole) - start - 1) * where)
    whole[place] ^= 1
    target.write_bytes(whole)
    with pytest.raises(backup.Refused, match="没有改动任何数据"):
        backup.restore(empty, key, target)
    target.write_bytes(target.read_bytes()[:-20])
    with pytest.raises(backup.Refused, match="没有改动任何数据"):
        backup.restore(empty, key, target)
    with empty.engine.connect() as connection:
        assert empty.engine.dialect.get_table_names(connection) == []


def test_a_wrong_key_and_a_full_database_are_refused(worked: World, tmp_path: Path) -> None:
    db, target = worked.db, tmp_path / "a.hisbackup"
    backup.create(db, target, {}, None)
    with pytest.raises(backup.Refused, match="密钥不对"):
        backup.restore(db, bytes(32), target)
    before = contents_of(db)
    with pytest.raises(backup.Refused, match="不是空的"):
        backup.restore(db, envelope.key_by_ring(db.sealer, target), target)
    assert contents_of(db) == before


def test_a_restored_database_that_differs_is_found(worked: World, empty: Database, tmp_path: Path) -> None:
    target = tmp_path / "a.hisbackup"
    backup.create(worked.db, target, {}, None)
    contents = backup.restore(empty, envelope.key_by_ring(worked.db.sealer, target), target)
    from his_server.backup import reading

    reading.compare(empty, contents)
    with empty.writer(), empty.engine.begin() as connection:
        connection.execute(update(StockBalance).values(on_hand=StockBalance.on_hand + 1))
    with pytest.raises(backup.Refused, match=r"stock_balance.*不要使用"):
        reading.compare(empty, contents)


def test_the_snapshot_is_one_state(worked: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Money that moves while the backup runs is in all tables or in none."""
    from his_server.backup import writing

    db, target = worked.db, tmp_path / "a.hisbackup"
    honest, moved = writing.read, []

    def read_slowly(connection: Any, table: Any, figures: Any) -> Any:
        yield from honest(connection, table, figures)
        if not moved:  # after the first table: another settlement
            moved.append(1)
            person = worked.person("后来")
            worked.encounter(worked.register(person))

    monkeypatch.setattr(writing, "read", read_slowly)
    before = {name: len(rows) for name, rows in contents_of(db).items()}
    done = backup.create(db, target, {}, None)
    assert moved and {name: table["rows"] for name, table in done.tables.items()} == before
    assert len(contents_of(db)["person"]) == before["person"] + 1
