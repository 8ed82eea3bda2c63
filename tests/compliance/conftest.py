"""A small hospital in this process as the suite's target: the same checks, without sockets, with things to break."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import delete, select

from his_server import __version__, running, startup
from his_server.actor import SYSTEM
from his_server.cli import main
from his_server.compliance import peers
from his_server.compliance.checks import crypto_integrity, doors, recovery
from his_server.compliance.checks.program import tree_digest
from his_server.compliance.client import Account, Answer
from his_server.compliance.frame import Result, catalogue
from his_server.compliance.run import run_one
from his_server.compliance.tables import Tables
from his_server.compliance.target import ADMINISTRATORS, Done, Target
from his_server.db import Base, Database, migrate, now, today
from his_server.keys import open_sealer
from his_server.messaging.worker import Worker
from his_server.registry import Hospital
from his_server.security import accounts, bootstrap, create_user, passwords, seals
from his_server.security.models import User
from his_server.settings import Settings
from modules.kernel.charging.models import ElectronicInvoice, InsuranceClaim, Settlement
from modules.kernel.masterdata.importing import import_file
from modules.kernel.masterdata.models import DictionaryEntry
from modules.kernel.stock import service as stock
from tests.factories.hospital import World, make_world
from tests.factories.masterdata import make_drug
from tests.security.conftest import GOOD

ROUNDS = 10_000
ROOT = Path(__file__).parents[2]


@dataclass
class House:
    """The target and what stands behind it, to be broken."""

    target: Target
    app: Flask
    db: Database
    world: World
    folder: Path
    undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """What a control planted, to be taken away."""

    def run(self, id: str, **changes: Any) -> Result:
        """Run one check, the target changed in these fields."""
        target = replace(self.target, **changes) if changes else self.target
        if changes:
            target._given = self.target._given
            target._signed_in.update({who: replace(one, transport=target.send) for who, one in self.target._signed_in.items()})
        result = run_one(target, catalogue()[id])
        self.target._given = target._given
        return result


def in_process(app: Flask) -> Callable[[str, str, Mapping[str, str], bytes | None], Answer]:
    """Requests to the application without a socket; each with a client of its own, so that threads don't meet."""

    def send(method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        with app.test_client(use_cookies=False).open(path, method=method, headers=dict(headers), data=body) as answer:
            return Answer(answer.status_code, tuple((k.lower(), v) for k, v in answer.headers.items()), answer.get_data())

    return send


def command(database: Database, environment: Mapping[str, str]) -> Callable[[Sequence[str], Mapping[str, str]], Done]:
    """``his-server`` in this process; the worker's sealing is done first, as it would be every five seconds."""

    def run(arguments: Sequence[str], more: Mapping[str, str]) -> Done:
        seals.seal_all(database)
        done = CliRunner().invoke(main, list(arguments), env={**environment, **more})
        return Done(done.exit_code, done.output)

    return run


@pytest.fixture(scope="module")
def house(hospital: Hospital, _sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A hospital on the real clock with three administrators who have one-time codes, and a day's work in its books."""
    folder = tmp_path_factory.mktemp("house")
    data = folder / "data"
    data.mkdir()
    url = f"sqlite:///{folder / 'his.db'}"
    (folder / "his.db").write_bytes(_sqlite_template.read_bytes())
    settings = Settings(
        data_dir=data,
        database_url=url,
        secure_cookies=False,
        password_rounds=ROUNDS,
        simulate_payments=True,
        log_level="CRITICAL",
        extra={"exports": {"approve_rows": 5}},
    )
    database = Database(url, sealer=open_sealer(settings))
    from his_server.app import create_app

    app = create_app(settings, database=database, hospital=hospital)
    with database.begin() as session:
        session.info["actor"] = SYSTEM
        bootstrap(session, hospital)
        people = {}
        for login in ADMINISTRATORS:
            user = create_user(
                session, SYSTEM, login=login, name=login, password=GOOD, roles=(login,), must_change=False, rounds=ROUNDS
            )
            people[login] = Account(login, GOOD, accounts.enrol_totp(session, SYSTEM, user.id), user.id)
    world = make_world(app, database)
    work(world)
    furnish(database, world, folder)
    with database.begin() as session:  # the factories' accounts have no password; a product has no such accounts
        for user in session.scalars(select(User).where(User.password == "none")):
            user.password = passwords.make(database.sealer, user.id, GOOD, ROUNDS)
    seals.seal_all(database)
    seals.checkpoint_now(database)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("HIS_")},
        "HIS_DATA_DIR": str(data),
        "HIS_DATABASE_URL": url,
        "HIS_LOG_LEVEL": "CRITICAL",
    }
    with database.begin(write=False) as session:
        for who in ("doctor", "cashier"):
            user = session.get(User, world.ids[f"user_{who}"])
            assert user is not None
            people[who] = Account(user.login, GOOD, id=user.id)
    program = folder / "app"
    install(program)
    target = Target(
        in_process(app),
        "http://127.0.0.1",
        tables=Tables(url),
        app_dir=program,
        data_dir=data,
        log_dir=data,
        accounts=people,
        command=command(database, environment),
        disturb=True,
        trace=ROOT / "docs/trace.md",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(startup, "PROGRAM", program)
        patch.setattr(migrate, "current", lambda database: migrate.head())  # made from the models: no Alembic here
        patch.setattr(migrate, "prepare", lambda database: Base.metadata.create_all(database.engine))
        assert target.his("keys", "manifest", "create").code == 0
        yield House(target, app, database, world, folder)
    database.dispose()


def install(program: Path) -> None:
    """What a package would install, in small: part of the sources, a page, the interfaces' manifests, a bill of materials."""
    for part in ("his_server/clock.py", "his_server/money.py", "crypto", "dialects", "his_server/security", "modules/kernel"):
        for path in [ROOT / part] if part.endswith(".py") else (ROOT / part).rglob("*.py"):
            copy = program / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    page = program / "his_server" / "web" / "dist" / "app.js"
    page.parent.mkdir(parents=True)
    page.write_text("const a = b ?? 1;\n", "utf-8")
    manifest = program / "interfaces" / "lis" / "manifest.toml"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('id = "H7"\nowner = "检验科"\ndirection = "outbound"\nsensitive = ["patient"]\n', "utf-8")
    parts = [{"name": one.metadata["Name"], "version": one.version, "licenses": ["x"]} for one in distributions()]
    own = next(one for one in parts if one["name"] == "his-server")
    digest = {"hashes": [{"alg": "SM3", "content": tree_digest(program)}]}
    document = {"metadata": {"component": {**own, **digest}}, "components": [one for one in parts if one is not own]}
    (program / "sbom.json").write_text(json.dumps(document), "utf-8")


def furnish(database: Database, world: World, folder: Path) -> None:
    """Code tables, the regions of Nantong, six ordinary drugs in stock, an insured bill, an electronic invoice."""
    regions = folder / "regions.csv"
    lines = (ROOT / "modules/kernel/masterdata/data/regions.csv").read_text("utf-8").splitlines()
    regions.write_text("\n".join([lines[0], *(line for line in lines if line.startswith(("3206", "320000")))]), "utf-8")
    with database.begin() as session:
        session.info["actor"] = SYSTEM
        session.execute(delete(DictionaryEntry))
        import_file(session, SYSTEM, "dictionaries", ROOT / "modules/kernel/masterdata/data/dictionaries.csv")
        import_file(session, SYSTEM, "regions", regions)
        day = today(session)
        for n in range(6):
            drug = make_drug(
                session,
                "10.00",
                name=f"合规药{n}号片",
                form="片剂",
                antimicrobial="",
                pack_size=10,
                base_unit="片",
                default_usage="口服",
                default_frequency="qd",
            )
            stock.receive(
                session,
                SYSTEM,
                world.ids["store"],
                [stock.Receipt(drug.id, f"C{n}", day + timedelta(days=300), Decimal(1), Decimal(1000), None, 10)],
                stock.Document("stock_in", 2 + n),
            )
        settlement = session.scalars(select(Settlement)).first()
        assert settlement is not None
        amounts = dict.fromkeys(("account", "shared_account", "hospital", "own_expense", "over_limit", "self_first"), Decimal(0))
        session.add(
            InsuranceClaim(
                intent_id=1,
                kind="outpatient",
                person_id=settlement.person_id,
                encounter_id=1,
                settlement_id=settlement.id,
                insurance="310",
                area="320600",
                total=Decimal("20.00"),
                fund=Decimal("15.00"),
                cash=Decimal("5.00"),
                in_scope=Decimal("20.00"),
                plan="{}",
                made_at=now(session),
                **amounts,
            )
        )
        session.add(
            ElectronicInvoice(
                intent_id=2,
                settlement_id=settlement.id,
                root_id=settlement.id,
                person_id=settlement.person_id,
                colour="blue",
                kind="outpatient",
                state="issued",
                amount=settlement.total,
                code="32060126",
                invoice_number="9999999999",
                check_code="A1B2C3",
                cashier_id=1,
                cashier_name="李收费",
                business_date=day,
                made_at=now(session),
                issued_at=now(session),
            )
        )


def work(world: World) -> None:
    """Two patients registered, seen and charged; one gets part of it back."""
    for _ in range(2):
        person = world.person()
        encounter = world.encounter(world.register(person))
        world.prescribe(encounter, note="饭后")
        world.request(encounter)
        paid = world.ok(world.pay_all(person))
    lines = world.settlement(paid["id"])["lines"]
    exam = next(line for line in lines if line["code"] and "正位" in line["name"])
    world.ok(
        world.post(
            "cashier",
            f"/api/outpatient-billing/settlements/{paid['id']}/refunds",
            {"lines": [{"line_id": exam["id"], "quantity": "1"}], "reason": "合规测试"},
        )
    )


@pytest.fixture(autouse=True)
def _no_host(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """In this process there are no sockets to tap and no workers to kill: both are played, and the rest is real."""
    if "house" in request.fixturenames:
        from tests.compliance.breaking import tap

        monkeypatch.setattr(recovery, "capture", tap(request.getfixturevalue("house"), False))
        monkeypatch.setattr(recovery, "listeners", lambda port: [1, 2])
        monkeypatch.setattr(recovery, "_parent", lambda pid: 1)
        monkeypatch.setattr(running, "masters", lambda settings: [running.Master(1, "127.0.0.1:80", __version__, 0)])
        monkeypatch.setattr(doors, "sockets", lambda serving: {"tcp 127.0.0.1:80"})
        monkeypatch.setattr(recovery.os, "kill", lambda pid, number: None)
        house: House = request.getfixturevalue("house")
        worker = Worker(house.db, house.app.extensions["his_hospital"])
        monkeypatch.setattr(crypto_integrity, "SEALED", 1)
        monkeypatch.setattr(peers, "pause", lambda: (worker.step(), time.sleep(0.2)))


@pytest.fixture(scope="module")
def baseline(house: House) -> dict[str, Result]:
    """Results of checks on the unbroken house, as far as they were asked for."""
    return {}
