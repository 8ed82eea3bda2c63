"""PostgreSQL plans a hot statement once per connection, also where only reading goes on; everything else with its values."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, select

from dialects import portable
from dialects.together import PREPARE_AFTER
from his_server.db import Database
from his_server.db.keys import key_block

TIMES = PREPARE_AFTER + 7
HOT = select(key_block.c.next).where(key_block.c.name == bindparam("b_name"))


@pytest.mark.parametrize("db_url", ["postgresql"], indirect=True)
def test_what_is_read_often_is_planned_once(db: Database) -> None:
    for n in range(TIMES):
        with db.begin(write=False) as session:
            portable.fetch(session.connection(), HOT, {"b_name": f"block {n}"})
            session.execute(select(key_block.c.name).where(key_block.c.next > n)).all()
    with db.begin(write=False) as session:
        kept = session.connection().exec_driver_sql(
            "SELECT statement, generic_plans + custom_plans AS times FROM pg_prepared_statements").all()
    assert [(row.times, "key_block.name = $1" in row.statement) for row in kept] == [(TIMES - PREPARE_AFTER, True)]


@pytest.mark.parametrize("db_url", ["postgresql"], indirect=True)
def test_an_error_leaves_it_usable(db: Database) -> None:
    """A rollback makes the driver forget what it prepared; it is prepared again."""
    for n in range(TIMES):
        with pytest.raises(RuntimeError, match="no"), db.begin(write=False) as session:
            assert portable.fetch(session.connection(), HOT, {"b_name": f"block {n}"}) == []
            raise RuntimeError("no")
    with db.begin(write=False) as session:
        assert portable.fetch(session.connection(), HOT, {"b_name": "x"}) == []
