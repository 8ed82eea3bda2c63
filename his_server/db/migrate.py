"""Migrations by Alembic, run through its API: one place for the command line, tests and the demo.

Rules: expand – migrate – contract; each revision works with the previous release still running. A revision that takes something
away says ``phase = "contract"`` in its file and is applied only by ``his-server migrate --contract``, when no process of the
previous release runs any more (:mod:`his_server.db.releases`).
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
from sqlalchemy import inspect, select

from dialects import portable
from his_server import __version__
from his_server.db.base import Base
from his_server.db.database import Database
from his_server.db.releases import CONTRACT, EXPAND, SchemaRevision
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


def phases() -> dict[str, str]:
    """Revision → ``expand`` or ``contract``, oldest first."""
    scripts = reversed(list(ScriptDirectory.from_config(configuration()).walk_revisions()))
    return {script.revision: str(getattr(script.module, "phase", EXPAND)) for script in scripts}


def target(known: dict[str, str]) -> str | None:
    """The revision that a running hospital is brought to: the newest but for contractions at the end, which wait."""
    names = list(known)
    while names and known[names[-1]] == CONTRACT:
        names.pop()
    return names[-1] if names else None


def pending(database: Database) -> list[tuple[str, str]]:
    """Revisions, with their phase, that this program knows and the database hasn't, oldest first."""
    known = phases()
    names = list(known)
    found = current(database)
    after = names.index(found) + 1 if found in known else 0 if found is None else len(names)
    return [(name, known[name]) for name in names[after:]]


def works_ahead(database: Database, known: dict[str, str]) -> bool:
    """Whether a newer release has only expanded this database, so that this (older) program may go on with it."""
    if not inspect(database.engine).has_table(SchemaRevision.__tablename__):
        return False
    with database.begin(write=False) as session:
        rows = {row.revision: row.phase for row in session.scalars(select(SchemaRevision))}
    return current(database) in rows and all(phase == EXPAND for name, phase in rows.items() if name not in known)


def prepare(database: Database, *, contract: bool = False) -> None:
    """Bring the database to what this program needs; a new one, or with ``contract``, to the newest revision.

    :raises ForeignDatabase: it is at a revision that isn't ours and that isn't a mere expansion by a newer release.
    """
    found, known = current(database), phases()
    if found is not None and found not in known:
        if works_ahead(database, known):
            return
        raise ForeignDatabase(f"数据库由另一版本的程序建立（版本 {found}），本程序不能升级它，没有做任何改动。"
                              "演示数据请删除后重建（make clean 或删除 var/demo）；正式数据请用对应版本的安装包")
    if not known:
        with database.writer():
            Base.metadata.create_all(database.engine)
        return
    goal = list(known)[-1] if contract or found is None else target(known)
    wanted = [(name, phase) for name, phase in pending(database) if goal and list(known).index(name) <= list(known).index(goal)]
    for name, phase in wanted:
        command.upgrade(configuration(database), name)
        _note(database, name, phase)


def _note(database: Database, name: str, phase: str) -> None:
    """Write down what was applied, for programs that don't know the revision."""
    with database.writer():
        SchemaRevision.__table__.create(database.engine, checkfirst=True)  # type: ignore[attr-defined]
    at = database.clock.now()
    with database.begin() as session:
        portable.upsert(session, SchemaRevision, [
            {"revision": name, "phase": phase, "release": __version__, "applied_at": at}],
            ["revision"], ["phase", "release", "applied_at"])


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
    number = f"{max((int(file.name[:4]) for file in (FOLDER / 'versions').glob('[0-9]*.py')), default=0) + 1:04d}"
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/empty.db")
        if head():
            command.upgrade(configuration(database), "head")
        script = command.revision(configuration(database), message=slug, autogenerate=True, rev_id=number)
        database.dispose()
    return str(script.path)  # type: ignore[union-attr]
