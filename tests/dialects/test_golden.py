"""The SQL that we write, so that a change is seen in review: every form of statement on Dameng, and all tables of the
product and the migrations on each database.

A new or changed model changes these files. To accept: ``make golden`` (HIS_TEST_UPDATE_GOLDEN=1 with this file).
"""

from __future__ import annotations

import difflib
import os
import re
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Dialect, Table, __version__, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable, SetColumnComment, SetTableComment

from dialects.dameng.base import DamengDialect
from his_server.db import Base, Database, migrate
from his_server.registry import Hospital
from tests.dameng_standin.translate import translate

from .statements import STATEMENTS

_GOLDEN = Path(__file__).parent / "golden"
_UPDATE = os.environ.get("HIS_TEST_UPDATE_GOLDEN") == "1"
_SHOWN = 60
DIALECTS: dict[str, type[Dialect]] = {
    "dameng": DamengDialect, "postgresql": postgresql.dialect, "sqlite": sqlite.dialect}
NAMES = {"dameng": "dm"}


def compare(name: str, now: str) -> None:
    """Fail with a difference if the golden file isn't ``now``; write it where that is asked for."""
    path = _GOLDEN / name
    if _UPDATE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(now, encoding="utf-8")
        return
    was = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = list(difflib.unified_diff(was.splitlines(), now.splitlines(), f"golden/{name}", "now", lineterm="", n=2))
    if lines:
        more = f"\n… {len(lines) - _SHOWN} more lines" if len(lines) > _SHOWN else ""
        pytest.fail("the SQL has changed; if that is meant: make golden, and look at the difference in review\n"
                    + "\n".join(lines[:_SHOWN]) + more, pytrace=False)


def tidy(sql: object) -> str:
    """A statement without blank lines, tabs and blanks at the ends of lines."""
    lines = (line.replace("\t", "    ").rstrip() for line in str(sql).strip().splitlines())
    return "\n".join(line for line in lines if line)


def _statements() -> str:
    dialect = DamengDialect()
    blocks = []
    for name, statement in STATEMENTS.items():
        lines = str(statement.compile(dialect=dialect)).strip().splitlines()
        blocks.append(f"-- {name}\n" + "\n".join(line.strip() for line in lines if line.strip()) + "\n")
    return "\n".join(blocks)


def test_every_statement_is_as_it_was() -> None:
    assert len(STATEMENTS) >= 60
    if __version__.startswith("2.1"):  # names of anonymous labels differ between SQLAlchemy's versions
        compare("dameng.sql", _statements())


def test_every_statement_is_one_that_the_stand_in_reads() -> None:
    dialect = DamengDialect()
    for name, statement in STATEMENTS.items():
        sql = str(statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))
        assert translate(sql).sql, name


def table_statements(table: Table, dialect: Dialect) -> list[str]:
    """What makes a table on a database: itself, its indexes by name, its comments."""
    made: list[object] = [CreateTable(table).compile(dialect=dialect)]
    made += [CreateIndex(index).compile(dialect=dialect) for index in sorted(table.indexes, key=lambda i: str(i.name))]
    if dialect.supports_comments and not dialect.inline_comments:
        if table.comment:
            made.append(SetTableComment(table).compile(dialect=dialect))
        made += [SetColumnComment(column).compile(dialect=dialect) for column in table.columns if column.comment]
    return [tidy(each) for each in made]


@pytest.mark.requirement("XC-05")
@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_table_is_as_it_was(name: str, hospital: Hospital) -> None:
    dialect = DIALECTS[name]()
    tables = sorted(Base.metadata.tables.values(), key=lambda table: table.name)
    assert len(tables) > 60
    compare(f"tables.{name}.sql",
            "\n\n".join(";\n".join(table_statements(table, dialect)) + ";" for table in tables) + "\n")


@pytest.mark.requirement("XC-05")
@pytest.mark.parametrize("name", ["dameng", "postgresql"])
def test_every_migration_is_as_it_was(name: str, hospital: Hospital, capsys: pytest.CaptureFixture[str]) -> None:
    migrate.print_sql(NAMES.get(name, name))
    compare(f"migrations.{name}.sql", tidy(capsys.readouterr().out) + "\n")


def _in_order(sql: str) -> str:
    """A CREATE TABLE with its constraints sorted."""
    head, *parts = re.split(r",?\n    (?=CONSTRAINT )", sql.removesuffix("\n)"))
    return sql if not parts else ",\n    ".join([head, *sorted(parts)]) + "\n)"


def test_every_migration_is_as_it_was_on_sqlite(hospital: Hospital, tmp_path: Path) -> None:
    """There ALTER means a new table filled from the old one, which needs the database: what is sent is recorded."""
    database = Database(f"sqlite:///{tmp_path}/golden.db")
    sent: list[str] = []

    def seen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().upper().startswith(("PRAGMA", "SELECT", "BEGIN", "SAVEPOINT", "RELEASE")):
            sent.append(_in_order(tidy(statement)) + ";")

    event.listen(database.engine, "before_cursor_execute", seen)
    migrate.prepare(database)
    database.dispose()
    # Alembic makes a copied table's constraints and indexes again in any order
    runs = (sorted(run) if is_index else list(run) for is_index, run in groupby(sent, lambda sql: "INDEX ix_" in sql))
    compare("migrations.sqlite.sql", "\n\n".join(chain.from_iterable(runs)) + "\n")


@pytest.mark.requirement("X1", "XC-07")
def test_every_table_keeps_dm8s_rules(hospital: Hospital) -> None:
    """Names are short enough and no index is there twice (the compiler refuses), and a strict parser reads it all."""
    dialect = DamengDialect()
    for table in Base.metadata.tables.values():
        for sql in table_statements(table, dialect):
            assert translate(sql).ddl, sql
        names = [table.name, *(str(index.name) for index in table.indexes),
                 *(str(constraint.name) for constraint in table.constraints if constraint.name)]
        assert all(len(name.encode()) <= 128 for name in names), table.name
        for text in re.findall(r"VARCHAR\((\d+) CHAR\)", table_statements(table, dialect)[0]):
            assert int(text) * 4 <= 8188, f"{table.name}: {text} characters of four bytes are over a row's limit"
