"""The search table and its one query, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    create_engine,
    event,
    exists,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from his_server.search import key_rows, make_search_table, match, search_keys, store_keys
from tests import databases

metadata = MetaData()
thing = Table("thing", metadata, Column("id", Integer, primary_key=True), Column("name", String(100)),
              Column("active", Integer, nullable=False, default=1))
thing_search = make_search_table("thing_search", thing)

NAMES = ["王小明", "王明", "明小王", "李明王", "单雄信", "阿依古丽·买买提", "李䶮", "赵𠮷", "张三丰", "万俟明"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "sqlite":
        made = create_engine("sqlite://")
        yield made
        made.dispose()
        return
    server: str = request.getfixturevalue("postgres_server")
    url = databases.create_postgres(server, f"search_test_{os.getpid()}")
    made = create_engine(url, poolclass=NullPool)
    yield made
    databases.drop_postgres(server, url)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    metadata.create_all(engine)
    with Session(engine) as session:
        for number, name in enumerate(NAMES, 1):
            session.execute(insert(thing).values(id=number, name=name, active=1))
            store_keys(session, thing_search, number, search_keys(name, person=True, code=f"P{number:03d}"))
        session.commit()
        yield session
    metadata.drop_all(engine)


def found(session: Session, query: str, **options: object) -> list[str]:
    ids = session.scalars(match(session, thing_search, query, **options)).all()  # type: ignore[arg-type]
    return [NAMES[i - 1] for i in ids]


@pytest.mark.requirement("M7.4")
def test_exact_then_prefix_then_inside(session: Session) -> None:
    assert found(session, "王明")[0] == "王明"
    inside = found(session, "明")
    assert inside[0] == "明小王" and set(inside[1:4]) == {"王明", "王小明", "万俟明"} and inside[4] == "李明王"
    assert found(session, "小明") == ["王小明"]
    assert found(session, "王")[:2] == ["王小明", "王明"]
    assert set(found(session, "王")[2:]) == {"明小王", "李明王"}


@pytest.mark.requirement("M7.4", "XC-10")
@pytest.mark.parametrize(("query", "name"), [
    ("wxm", "王小明"), ("wangxiao", "王小明"), ("gij", "王小明"), ("p001", "王小明"), ("Ｐ００１", "王小明"),
    ("sxx", "单雄信"), ("dxx", "单雄信"), ("买买提", "阿依古丽·买买提"), ("阿依古丽 买买提", "阿依古丽·买买提"),
    ("䶮", "李䶮"), ("𠮷", "赵𠮷"), ("ly", "李䶮"), ("zj", "赵𠮷"), ("moqi", "万俟明")])
def test_every_way_to_type_a_name(session: Session, query: str, name: str) -> None:
    assert name in found(session, query)


def test_kinds_limit_and_extra(session: Session) -> None:
    assert found(session, "wxm", kinds={"wubi"}) == []
    assert found(session, "gij", kinds={"wubi"}) == ["王小明"]
    assert len(found(session, "王", limit=2)) == 2
    session.execute(thing.update().where(thing.c.name == "王小明").values(active=0))
    active = exists().where(thing.c.id == thing_search.c.owner_id, thing.c.active == 1)
    assert "王小明" not in found(session, "王", extra=[active])
    assert "王明" in found(session, "王", extra=[active])
    with pytest.raises(ValueError, match="unknown kinds"):
        match(session, thing_search, "x", kinds={"soundex"})
    with pytest.raises(ValueError, match="limit"):
        match(session, thing_search, "x", limit=0)


@pytest.mark.parametrize("query", ["", "   ", "%", "_", "王%", "'; DROP TABLE thing", "\U0010ffff", "没有这个人"])
def test_nothing_and_wildcards_find_nothing(session: Session, query: str) -> None:
    assert found(session, query) == []


def test_storing_again_replaces_and_deleting_the_owner_leaves_no_key(session: Session) -> None:
    store_keys(session, thing_search, 1, search_keys("赵四", person=True))
    assert found(session, "wxm") == []
    assert "王小明" in found(session, "zs")  # owner 1 under its new name
    store_keys(session, thing_search, 1, [])
    assert found(session, "zs") == ["张三丰"]


def test_one_statement(session: Session, engine: Engine) -> None:
    statements: list[str] = []

    def note(_c: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        found(session, "wang")
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(statements) == 1


def explain(session: Session, statement: Select[int]) -> str:
    dialect = session.get_bind().dialect
    sql = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    prefix = "EXPLAIN QUERY PLAN " if dialect.name == "sqlite" else "EXPLAIN "
    return "\n".join(str(row) for row in session.connection().exec_driver_sql(prefix + sql).all())


@pytest.mark.requirement("M7.4")
def test_prefix_search_opens_the_index(session: Session) -> None:
    rng = random.Random(7)
    family, given = "赵钱孙李周吴郑王冯陈", "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平"
    owners = {n: rng.choice(family) + rng.choice(given) + rng.choice(given) for n in range(1000, 4000)}
    session.execute(insert(thing), [{"id": n, "name": name, "active": 1} for n, name in owners.items()])
    session.execute(insert(thing_search), [row for n, name in owners.items()
                                           for row in key_rows(n, search_keys(name, person=True))])
    session.execute(text("ANALYZE"))
    total = session.scalar(select(func.count()).select_from(thing_search))
    assert total is not None and total > 20000
    for query in ("zhaowei", "小明", "赵伟", "z"):
        plan = explain(session, match(session, thing_search, query))
        if session.get_bind().dialect.name == "sqlite":
            assert "USING COVERING INDEX ix_thing_search_key (part=? AND search_key>? AND search_key<?)" in plan
            assert "SCAN thing_search" not in plan
        else:
            assert "ix_thing_search_key" in plan
            assert "Seq Scan" not in plan
    assert len(session.scalars(match(session, thing_search, "z", limit=20)).all()) == 20


def test_on_dameng_the_prefix_is_a_like_because_its_order_depends_on_the_instance(engine: Engine) -> None:
    class FakeSession:
        def get_bind(self) -> object:
            return type("Bind", (), {"dialect": type("Dialect", (), {"name": "dm"})})

    statement = match(FakeSession(), thing_search, "王%")  # type: ignore[arg-type]
    assert "LIKE" in str(statement) and "ESCAPE" in str(statement)
    assert "王/%" in statement.compile().params.values()
