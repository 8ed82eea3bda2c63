"""Migrations by Alembic, run through its API: one place for the command line, tests and the demo.

Rules: expand – migrate – contract; each revision works with the previous release still running.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import click
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from his_server.db.base import Base
from his_server.db.database import Database
from his_server.db.types import _Exact

FOLDER = Path(__file__).parent / "migrations"
DIALECT_URLS = {"postgresql": "postgresql+psycopg://", "dm": "dm+dmpython://"}


def configuration(database: Database | None = None) -> Config:
    """Alembic's configuration; ``database`` is what env.py works on."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    config.attributes["database"] = database
    return config


def compare_type(context: Any, _inspected: Any, _column: Any, inspected_type: Any, metadata_type: Any) -> bool | None:
    """For autogenerate: our exact numbers are integers on SQLite, which is no difference."""
    if not isinstance(metadata_type, _Exact):
        return None
    wanted = metadata_type.load_dialect_impl(context.dialect)
    if wanted._type_affinity is not inspected_type._type_affinity:
        return True
    return bool(getattr(wanted, "scale", None) != getattr(inspected_type, "scale", None))


def head() -> str | None:
    """The newest revision; None while there is none."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def current(database: Database) -> str | None:
    """The revision that the database is at."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


class ForeignDatabase(click.ClickException):
    """The database was made by a program whose revisions we don't know; the text is Chinese and says what to do."""


def prepare(database: Database) -> None:
    """Bring the database to the newest revision. :raises ForeignDatabase: it is at a revision that isn't ours."""
    found = current(database)
    known = {script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()}
    if found is not None and found not in known:
        raise ForeignDatabase(f"数据库由另一版本的程序建立（版本 {found}），本程序不能升级它，没有做任何改动。"
                              "演示数据请删除后重建（make clean 或删除 var/demo）；正式数据请用对应版本的安装包")
    if head() is None:
        with database.writer():
            Base.metadata.create_all(database.engine)
    elif found != head():
        command.upgrade(configuration(database), "head")


def print_sql(dialect: str) -> None:
    """Print the statements of all revisions for a server. Not for SQLite, where changing a table copies it and needs it.

    :raises KeyError: another dialect than the two.
    """
    config = configuration()
    config.attributes["url"] = DIALECT_URLS[dialect]
    command.upgrade(config, "head", sql=True)


def make(name: str) -> str:
    """Write the revision that leads from the newest one to the models; returns its path.

    Models are compared with an empty SQLite database brought to the newest revision.
    """
    from his_server import registry

    registry.load()
    slug = re.sub(r"\W+", "_", name.lower()).strip("_")
    number = f"{len(list((FOLDER / 'versions').glob('[0-9]*.py'))) + 1:04d}"
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/empty.db")
        if head():
            command.upgrade(configuration(database), "head")
        script = command.revision(configuration(database), message=slug, autogenerate=True, rev_id=number)
        database.dispose()
    return str(script.path)  # type: ignore[union-attr]
