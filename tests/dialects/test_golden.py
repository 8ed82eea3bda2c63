"""The SQL that the dialect writes, statement by statement, so that a change is seen in review.

To accept a change: HIS_GOLDEN=write pytest tests/dialects/test_golden.py
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import __version__

from dialects.dameng.base import DamengDialect
from tests.dameng_standin.translate import translate

from .statements import STATEMENTS

_GOLDEN = Path(__file__).parent / "golden" / "dameng.sql"


def _all() -> str:
    dialect = DamengDialect()
    blocks = []
    for name, statement in STATEMENTS.items():
        lines = str(statement.compile(dialect=dialect)).strip().splitlines()
        blocks.append(f"-- {name}\n" + "\n".join(line.strip() for line in lines if line.strip()) + "\n")
    return "\n".join(blocks)


def test_every_statement_is_as_it_was() -> None:
    now = _all()
    if os.environ.get("HIS_GOLDEN") == "write":
        _GOLDEN.parent.mkdir(exist_ok=True)
        _GOLDEN.write_text(now, encoding="utf-8")
    assert len(STATEMENTS) >= 60
    if __version__.startswith("2.1"):  # names of anonymous labels differ between SQLAlchemy's versions
        assert now == _GOLDEN.read_text(encoding="utf-8")


def test_every_statement_is_one_that_the_stand_in_reads() -> None:
    dialect = DamengDialect()
    for name, statement in STATEMENTS.items():
        sql = str(statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))
        assert translate(sql).sql, name
