"""Rotation of every key while the hospital works; moving old data to the new ones (COMPLIANCE MP-16)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select, update

from crypto import Sealer
from his_server.actor import SYSTEM
from his_server.cli import main
from his_server.db import Database
from his_server.keys import PURPOSES, SM2_PURPOSES, open_sealer
from his_server.security import accounts, grants, reseal, seals
from his_server.security.models import User
from his_server.settings import Settings
from modules.kernel.patients.models import Person, PersonIdentifier
from tests.factories.hospital import World
from tests.security.conftest import GOOD

pytestmark = pytest.mark.requirement("MP-16")


@pytest.fixture
def keys_dir(tmp_path: Path) -> Path:
    """A ring of the test's own: it will be rotated."""
    open_sealer(Settings(data_dir=tmp_path))
    return tmp_path


@pytest.fixture
def sealer(keys_dir: Path) -> Sealer:
    return open_sealer(Settings(data_dir=keys_dir))


def blobs(db: Database) -> list[Any]:
    """Every sealed blob with its index, of persons and their numbers."""
    with db.engine.connect() as connection:
        return [*connection.execute(select(PersonIdentifier.number_sealed, PersonIdentifier.number_index,
                                           PersonIdentifier.claim).order_by(PersonIdentifier.id)),
                *connection.execute(select(Person.phone_sealed).where(Person.phone_sealed.is_not(None)))]


def kids(db: Database) -> set[str]:
    """The key ids of all blobs."""
    return {db.sealer.kid_of(bytes(row[0])) for row in blobs(db)}


def found(world: World, q: str) -> list[int]:
    return [item["id"] for item in world.ok(world.get("cashier", f"/api/patients?q={q}"))["items"]]


def person(world: World, name: str) -> int:
    """A person with a phone of his own."""
    from modules.kernel.patients import service

    with world.db.begin() as session:
        phone = f"138{session.scalar(select(func.count()).select_from(Person)):08d}"
        return service.create_person(session, SYSTEM, name=name, sex="1", birth_date=date(1980, 1, 1), phone=phone,
                                     confirmed=True).id


def number_of(db: Database, person_id: int, kind: str = "phone") -> str:
    with db.begin(write=False) as session:
        row = session.scalars(select(PersonIdentifier).where(
            PersonIdentifier.person_id == person_id, PersonIdentifier.kind == kind)).first()
        assert row is not None
        return str(row.number)


def test_old_data_is_read_and_found_before_while_and_after(world: World, db: Database) -> None:
    ring = db.sealer.ring
    first = person(world, "甲")
    phone = number_of(db, first)
    before = kids(db)
    for purpose in ("column", "index"):
        ring.rotate(purpose)
    second = person(world, "乙")
    assert len(kids(db)) == 2 and found(world, phone) == [first] and number_of(db, first) == phone
    assert all(reseal.stale(db, a) == 0 for a in reseal.attributes() if a.table == "field_change")
    total = 0
    for attribute in reseal.attributes():
        done = reseal.run(db, attribute, batch=1)
        assert done.failed == 0
        total += done.changed
        assert found(world, phone) == [first]
    assert total > 0 and kids(db) == {ring.active("column").kid} and not kids(db) & before
    index = ring.active("index").kid
    assert all(row.number_index.startswith(index) and (row.claim is None or row.number_index in row.claim)
               for row in blobs(db) if len(row) == 3)
    assert [reseal.run(db, a).changed for a in reseal.attributes()] == [0] * len(reseal.attributes())
    # now the retired keys can go
    for key in ring.living():
        if key.purpose in ("column", "index") and key.not_after is not None:
            ring.destroy(key.kid)
    assert found(world, phone) == [first] and number_of(db, second) == number_of(db, second)


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_an_interrupted_run_is_started_again(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [person(world, name) for name in ("甲", "乙", "丙")]
    db.sealer.ring.rotate("column")
    attribute = next(a for a in reseal.attributes() if a.table == "person_identifier")
    stale = reseal.stale(db, attribute)
    seal, count = db.sealer.seal, [0]

    def dies(*args: Any) -> bytes:
        count[0] += 1
        if count[0] > 2:
            raise KeyboardInterrupt
        return bytes(seal(*args))

    monkeypatch.setattr(db.sealer, "seal", dies)
    with pytest.raises(KeyboardInterrupt):
        reseal.run(db, attribute, batch=1)
    monkeypatch.undo()
    assert reseal.stale(db, attribute) == stale - 2
    assert reseal.run(db, attribute).changed == stale - 2 and all(number_of(db, key) for key in people)


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_an_altered_blob_is_counted_not_lost(world: World, db: Database) -> None:
    person(world, "甲")
    attribute = next(a for a in reseal.attributes() if a.table == "person_identifier")
    with db.engine.begin() as connection:
        row = connection.execute(select(PersonIdentifier.id, PersonIdentifier.number_sealed).limit(1)).one()
        broken = bytes(row.number_sealed[:-1]) + bytes((row.number_sealed[-1] ^ 1,))
        connection.execute(update(PersonIdentifier.__table__).where(PersonIdentifier.__table__.c.id == row.id)
                           .values(number_sealed=broken))
    db.sealer.ring.rotate("column")
    assert reseal.run(db, attribute).failed == 1
    with db.engine.connect() as connection:
        assert connection.scalar(select(PersonIdentifier.__table__.c.number_sealed)
                                 .where(PersonIdentifier.__table__.c.id == row.id)) == broken


def test_sessions_passwords_codes_and_proofs_survive_every_rotation(
        world: World, db: Database, make: Callable[..., User], enter: Callable[..., Any], client: Any) -> None:
    user = make("li", roles=["cashier"])
    with db.begin() as session:
        secret = accounts.enrol_totp(session, SYSTEM, user.id)
        accounts.remove_factors(session, SYSTEM, user.id)
    assert enter("li", GOOD).status_code == 200
    csrf = client.get("/api/session").get_json()["csrf"]
    with db.begin() as session:
        accounts.enrol_totp(session, SYSTEM, make_id(session, "li"))
    assert enter("li", GOOD).get_json()["second_factor"] is True
    world.register(person(world, "戊"))
    seals.seal_all(db)
    for purpose in (*PURPOSES, *SM2_PURPOSES):
        db.sealer.ring.rotate(purpose)
    # whoever is signed in stays so, an open page goes on, and the CSRF token of before still counts
    assert world.get("cashier", "/api/session").status_code == 200
    assert person(world, "丁") > 0
    assert len(csrf) == 64 and len(secret) == 32
    assert enter("li", GOOD).get_json()["second_factor"] is True
    for attribute in reseal.attributes():
        assert reseal.run(db, attribute).failed == 0
    seals.seal_all(db)
    seals.checkpoint_now(db)
    with db.begin(write=False) as session:
        assert grants.verify(session) == []  # the moved code secret is protected anew
        assert [f for chained in seals.CHAINS.values() for f in seals.verify(session, chained)] == []
        kept = session.scalars(select(User).where(User.login == "li")).one()
        assert db.sealer.is_current("column", bytes(kept.totp_sealed))


def make_id(session: Any, login: str) -> int:
    return int(session.scalar(select(User.id).where(User.login == login)))


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_from_the_command_line(world: World, db: Database, db_url: str, keys_dir: Path,
                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIS_DATA_DIR", str(keys_dir))
    monkeypatch.setenv("HIS_DATABASE_URL", db_url)
    first = person(world, "甲")
    phone = number_of(db, first)
    run = CliRunner().invoke
    assert run(main, ["keys", "rotate", "nonsense"]).exit_code == 2
    old = db.sealer.ring.active("column").kid
    rotated = run(main, ["keys", "rotate", "column"])
    assert rotated.exit_code == 0 and "keys reseal" in rotated.output
    check = run(main, ["keys", "reseal", "--check"])
    assert check.exit_code == 1 and "仍用旧密钥" in check.output
    assert run(main, ["keys", "reseal", "--table", "nothing"]).exit_code == 1
    kept = run(main, ["keys", "destroy", "--kid", old, "--yes"])
    assert kept.exit_code == 1 and "keys reseal" in kept.output
    assert run(main, ["keys", "reseal", "--batch", "2"]).exit_code == 0
    assert run(main, ["keys", "reseal", "--check"]).exit_code == 0
    gone = run(main, ["keys", "destroy", "--kid", old, "--yes"])
    assert gone.exit_code == 0 and "已销毁" in gone.output, gone.output
    assert '"column"' in run(main, ["keys", "status"]).output
    assert number_of(db, first) == phone and found(world, phone) == [first]
