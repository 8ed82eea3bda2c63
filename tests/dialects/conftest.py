"""Engines of the dialect tests: every test that takes `engine` runs on each database that is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection

from tests.dameng_standin import Standin, start_standin
from tests.pg import start_postgres

from .tables import metadata


@pytest.fixture(scope="session")
def dialects_postgres_url() -> str:
    return os.environ.get("HIS_TEST_POSTGRES_URL") or start_postgres()


def sqlite_engine(path: Path) -> Engine:
    """SQLite as the platform sets it up: WAL, foreign keys, transactions begun by us and not by the
    driver."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 20})

    @event.listens_for(engine, "connect")
    def _connected(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=OFF"):
            connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


@pytest.fixture(scope="session")
def standin(dialects_postgres_url: str) -> Iterator[Standin]:
    """The stand-in for DM8, behind the real driver; tests that give it orders take them back by `reset`."""
    running = start_standin(dialects_postgres_url)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def dameng_url(request: pytest.FixtureRequest) -> str:
    """A true DM8 where HIS_TEST_DAMENG_URL names one, else the stand-in."""
    given = os.environ.get("HIS_TEST_DAMENG_URL")
    if given:
        return given
    running: Standin = request.getfixturevalue("standin")
    return running.url


@pytest.fixture(params=["sqlite", "postgresql", "dm"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = sqlite_engine(tmp_path / "test.db")
    elif request.param == "postgresql":
        engine = create_engine(request.getfixturevalue("dialects_postgres_url"))
    else:
        engine = create_engine(request.getfixturevalue("dameng_url"))
    metadata.drop_all(engine)
    metadata.create_all(engine)
    yield engine
    metadata.drop_all(engine)
    engine.dispose()
