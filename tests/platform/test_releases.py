"""Expand – migrate – contract: two releases on one database, forward, back, and the point of no return (A2)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import inspect

from his_server.cli import update
from his_server.db import Database, migrate
from his_server.registry import Hospital

pytestmark = pytest.mark.requirement("A2")

REVISION = '''
import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = {before}
{phase}

def upgrade() -> None:
    {action}
'''
FIRST = ('op.create_table("key_block", sa.Column("name", sa.String(30), primary_key=True), '
         'sa.Column("next", sa.BigInteger, nullable=False))')


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hospital: Hospital) -> Callable[[int], None]:
    """``program(n)``: from now on the release that knows the first n revisions runs."""
    steps = [(FIRST, ""), ('op.create_table("wider", sa.Column("id", sa.Integer, primary_key=True))', ""),
             ('op.drop_table("wider")', 'phase = "contract"'),
             ('op.create_table("next_one", sa.Column("id", sa.Integer, primary_key=True))', "")]

    def become(count: int) -> None:
        folder = tmp_path / f"release{count}"
        (folder / "versions").mkdir(parents=True, exist_ok=True)
        for name in ("env.py", "script.py.mako"):
            shutil.copy(Path(migrate.__file__).parent / "migrations" / name, folder)
        for n, (action, phase) in enumerate(steps[:count], 1):
            before = f'"{n - 1:04d}"' if n > 1 else None
            (folder / "versions" / f"{n:04d}_step.py").write_text(
                REVISION.format(number=f"{n:04d}", before=before, phase=phase, action=action))
        monkeypatch.setattr(migrate, "FOLDER", folder)

    return become


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/his.db")
    yield made
    made.dispose()


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_expand_go_back_go_on_contract(program: Callable[[int], None], database: Database) -> None:
    program(1)
    migrate.prepare(database)
    assert migrate.current(database) == "0001"
    program(3)
    migrate.prepare(database)
    assert migrate.current(database) == "0002" and "wider" in tables(database), "the contraction waits"
    assert migrate.pending(database) == [("0003", "contract")]
    program(1)
    migrate.prepare(database)  # the previous release goes on with what the newer one has added
    assert migrate.current(database) == "0002"
    program(3)
    migrate.prepare(database, contract=True)
    assert migrate.current(database) == "0003" and "wider" not in tables(database)
    program(1)
    with pytest.raises(migrate.ForeignDatabase, match="没有做任何改动"):
        migrate.prepare(database)


def test_a_running_hospital_doesnt_jump_over_a_contraction(program: Callable[[int], None], database: Database) -> None:
    program(2)
    migrate.prepare(database)
    program(4)
    house: Any = SimpleNamespace(database=database)
    with pytest.raises(update.Failed, match="逐版本更新"):
        update._only_expand(house)
    assert migrate.current(database) == "0002"
    migrate.prepare(database)  # with the services stopped
    assert migrate.current(database) == "0004"


def test_a_new_installation_goes_to_the_end(program: Callable[[int], None], database: Database) -> None:
    program(3)
    migrate.prepare(database)
    assert migrate.current(database) == "0003"
