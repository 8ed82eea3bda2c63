"""Migrations lead from nothing to the models, on every database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, inspect, select, text

from his_server.db import Base, Database, migrate
from his_server.db.keys import key_block
from his_server.registry import Hospital
from tests import databases


@pytest.fixture(params=["sqlite", "postgresql", pytest.param("dameng", marks=pytest.mark.requirement("XC-05"))])
def empty(request: pytest.FixtureRequest, tmp_path: Path, hospital: Hospital) -> Iterator[Database]:
    """A database without any table."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path}/empty.db")
        yield database
        database.dispose()
        return
    if request.param == "dameng":
        database = Database(request.getfixturevalue("_dameng_house").fresh())
        database.engine.dialect.max_identifier_length = 63  # the stand-in's names are PostgreSQL's; DM8's have 128 bytes
        yield database
        database.dispose()
        return
    server = request.getfixturevalue("postgres_server")
    url = databases.create_postgres(server, f"his_migration_{tmp_path.name[-20:]}")
    database = Database(url)
    yield database
    database.dispose()
    databases.drop_postgres(server, url)


def differences(database: Database) -> list[Any]:
    """What autogenerate would still write."""
    with database.engine.connect() as connection:
        batch = connection.dialect.name == "sqlite"
        context = MigrationContext.configure(connection, opts={
            "compare_type": migrate.compare_type, "render_as_batch": batch})
        return list(compare_metadata(context, Base.metadata))


def test_models_and_migrations_agree(empty: Database) -> None:
    migrate.prepare(empty)
    assert migrate.current(empty) == migrate.head()
    assert differences(empty) == []
    migrate.prepare(empty)  # and again: nothing to do


def test_a_difference_would_be_found(empty: Database) -> None:
    migrate.prepare(empty)
    with empty.writer(), empty.engine.begin() as connection:
        key_block.drop(connection)
    assert [difference[0] for difference in differences(empty)] == ["add_table"]


def test_down_to_nothing_and_up_again(empty: Database) -> None:
    migrate.prepare(empty)
    command.downgrade(migrate.configuration(empty), "base")
    assert set(inspect(empty.engine).get_table_names()) <= {"alembic_version"}
    migrate.prepare(empty)
    with empty.begin(write=False) as session:
        assert session.scalar(select(func.count()).select_from(key_block)) == 0


@pytest.mark.parametrize("dialect", sorted(migrate.DIALECT_URLS))
def test_statements_without_a_database(dialect: str, capsys: pytest.CaptureFixture[str]) -> None:
    migrate.print_sql(dialect)
    text = capsys.readouterr().out
    assert text.upper().count("CREATE TABLE") > 40


def test_a_database_of_another_program_is_left_alone_and_said_so(empty: Database) -> None:
    with empty.writer(), empty.engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('0001')"))
    with pytest.raises(migrate.ForeignDatabase, match="版本 0001"):
        migrate.prepare(empty)
