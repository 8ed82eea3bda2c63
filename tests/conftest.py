"""Fixtures for everybody: databases, clock, units of work, the application, signed-in clients, query counts.

``db`` is a fresh database on SQLite, on PostgreSQL and on Dameng in turn; ``parametrize("db_url", ["sqlite"],
indirect=True)`` chooses one. On Dameng the tests named in :mod:`tests.on_dameng` run, all of them with
``--dameng all``. Sockets reach the loopback only.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from crypto import Sealer
from his_server import registry
from his_server.actor import Actor
from his_server.app import bind_ports
from his_server.clock import HOSPITAL_ZONE, ManualClock
from his_server.db import Base, Database
from his_server.keys import open_sealer
from his_server.registry import Hospital
from his_server.settings import Settings
from tests import databases, on_dameng, quick
from tests.counting import QueryCount, count_queries

BACKENDS = ("sqlite", "postgresql", "dameng")
MONDAY = datetime(2026, 3, 2, 8, 30, tzinfo=HOSPITAL_ZONE)
ACTOR = Actor(user_id=1, login="tester", name="测试员", staff_id=1, department_id=1, terminal="T1",
              trace_id="trace0001")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--dameng``: how much of the service tests runs on Dameng."""
    parser.addoption("--dameng", choices=on_dameng.AMOUNTS, default=None,
                     help="which tests with `db` run on Dameng: off, chosen (tests/on_dameng.py; the default) or all "
                          "(the default where HIS_TEST_DAMENG_URL names a true DM8)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without ``-m``, long tests and benchmarks stay out: ``make test-long``, ``make bench``. Dameng by ``--dameng``."""
    out = on_dameng.left_out(config, items)
    if not config.option.markexpr:
        out |= {item for item in items if item.get_closest_marker("long") or item.get_closest_marker("bench")}
    if out:
        config.hook.pytest_deselected(items=[item for item in items if item in out])
        items[:] = [item for item in items if item not in out]
    items.sort(key=lambda item: "test_openapi_fuzz" not in item.nodeid)  # the longest first, else one core ends the run alone


def unavailable(what: str, variable: str) -> None:
    """Skip the test, or fail it where the environment promises that ``what`` is there."""
    if os.environ.get(variable) == "1":
        pytest.fail(f"{what} is missing and {variable}=1 demands it", pytrace=False)
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """No test talks to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
                raise PermissionError(f"tests may not connect to {host}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick() -> Iterator[None]:
    """See :mod:`tests.quick`."""
    with pytest.MonkeyPatch.context() as patch:
        quick.remember_routes(patch)
        quick.no_waiting_for_disks(patch)
        yield


@pytest.fixture(scope="session")
def hospital() -> Hospital:
    """All modules and interfaces, loaded."""
    return registry.load()


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a master key and a key ring, as in ``data_dir``."""
    folder = tmp_path_factory.mktemp("keys")
    open_sealer(Settings(data_dir=folder))
    return folder


@pytest.fixture(scope="session")
def sealer(keys_dir: Path) -> Sealer:
    """A real sealer over a throw-away key ring."""
    return open_sealer(Settings(data_dir=keys_dir))


@pytest.fixture(scope="session")
def _sqlite_template(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}")
    Base.metadata.create_all(database.engine)
    database.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """URL of a PostgreSQL server with an empty database, one per test process."""
    from tests.pg import start_postgres

    given = os.environ.get("HIS_TEST_POSTGRES_URL")
    if given:
        return given
    try:
        return start_postgres()
    except FileNotFoundError:
        unavailable("PostgreSQL", "HIS_REQUIRE_POSTGRES")
        raise


@pytest.fixture(scope="session")
def _postgres_house(hospital: Hospital, postgres_server: str) -> Iterator[str]:
    """One database with all tables, emptied after each test."""
    url = databases.create_postgres(postgres_server, f"his_test_{os.getpid()}")
    database = Database(url)
    Base.metadata.create_all(database.engine)
    database.dispose()
    yield url
    databases.drop_postgres(postgres_server, url)


@pytest.fixture(scope="session")
def _dameng_house(hospital: Hospital, request: pytest.FixtureRequest) -> Iterator[on_dameng.House]:
    """A true DM8 (HIS_TEST_DAMENG_URL) or the stand-in, with all tables, emptied after each test."""
    given = os.environ.get("HIS_TEST_DAMENG_URL")
    house = on_dameng.true_house(given) if given else on_dameng.standin_house(
        request.getfixturevalue("postgres_server"))
    yield house
    house.close()


@pytest.fixture(params=BACKENDS)
def db_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database with all tables and no row."""
    if request.param == "sqlite":
        path = tmp_path / "his.db"
        shutil.copyfile(request.getfixturevalue("_sqlite_template"), path)
        yield f"sqlite:///{path}"
    elif request.param == "dameng":
        house = request.getfixturevalue("_dameng_house")
        yield house.url
        house.empty()
    else:
        url: str = request.getfixturevalue("_postgres_house")
        yield url
        databases.empty_postgres(url)


@pytest.fixture
def clock() -> ManualClock:
    """Stands at Monday 2026-03-02 08:30 in Nantong until a test moves it."""
    return ManualClock(MONDAY)


@pytest.fixture
def db(db_url: str, clock: ManualClock, sealer: Sealer) -> Iterator[Database]:
    """A fresh database, on SQLite, on PostgreSQL and on Dameng in turn."""
    database = Database(db_url, clock=clock, sealer=sealer)
    yield database
    database.dispose()


@pytest.fixture
def actor() -> Actor:
    """Whoever acts in the ``session``."""
    return ACTOR


@pytest.fixture
def session(db: Database, actor: Actor) -> Iterator[Session]:
    """An open unit of work; it is committed when the test ends."""
    with db.begin() as session:
        session.info["actor"] = actor
        yield session


@pytest.fixture
def settings(db_url: str, keys_dir: Path) -> Settings:
    """Settings of the application under test: quick passwords, cookies over plain HTTP."""
    return Settings(data_dir=keys_dir, database_url=db_url, secure_cookies=False, password_rounds=10_000,
                    simulate_payments=True, log_level="ERROR")


@pytest.fixture
def app(settings: Settings, db: Database, clock: ManualClock, hospital: Hospital) -> Flask:
    """The whole application over ``db``."""
    from his_server.app import create_app

    app = create_app(settings, database=db, clock=clock, hospital=hospital)
    app.testing = False  # errors become answers, as in production
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client that nobody has signed in with."""
    return app.test_client()


@pytest.fixture
def sign_in(app: Flask, db: Database) -> Callable[..., FlaskClient]:
    """``sign_in("cashier") -> client`` signed in as a new account that holds these standard roles."""
    from tests.factories.security import signed_in_client

    return lambda *roles, **options: signed_in_client(app, db, *roles, **options)


@pytest.fixture
def query_counter(db: Database) -> Callable[[], AbstractContextManager[QueryCount]]:
    """``with query_counter() as count: …`` then ``count.total`` and ``count.statements``."""
    return lambda: count_queries(db)


@pytest.fixture
def world(app: Flask, db: Database, tmp_path: Path, settings: Settings, hospital: Hospital) -> Any:
    """A small working hospital (:mod:`tests.factories.hospital`) with a payment channel and an insurer of its own."""
    from interfaces.scan_payment.simulator import ScanChannel
    from tests.factories.einvoice import Bench
    from tests.factories.hospital import make_world
    from tests.factories.insurer import bind as bind_insurer

    bind_ports(db, hospital, replace(settings, data_dir=tmp_path))  # simulators of this test's own
    db.ports["payment:scan"] = ScanChannel(tmp_path / "scan.db")
    db.ports["invoice"] = Bench(tmp_path, db.clock)
    bind_insurer(db, tmp_path)
    return make_world(app, db)
