"""The dialect through the real dmPython: values, errors, lost connections, failover, migrations.

The server is the stand-in (tests/dameng_standin/README.md says what that proves).
"""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Engine,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Time,
    UniqueConstraint,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import ArgumentError, CompileError, DBAPIError, StatementError
from sqlalchemy.orm import Session

from dialects.dameng.dml import merge
from dialects.portable import (
    insert_many,
    is_deadlock,
    is_disconnect,
    is_lock_timeout,
    is_session_limit,
    is_transient,
    is_unique_violation,
)
from tests.dameng_standin import Standin

metadata = MetaData()
everything = Table(
    "dd_everything",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("flag", Boolean),
    Column("day", Date),
    Column("hour", Time),
    Column("moment", DateTime(timezone=True)),
    Column("wall", DateTime),
    Column("amount", Numeric(18, 4)),
    Column("ratio", Float),
    Column("name", String(60), comment="姓名"),
    Column("note", Text),
    Column("data", LargeBinary),
    Column("body", JSON),
    Column("kind", Enum("in", "out", name="dd_kind")),
    comment="一切类型",
)


@pytest.fixture
def dm(standin: Standin) -> Iterator[Engine]:
    engine = create_engine(standin.url)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    standin.order(reset=True)
    yield engine
    standin.order(reset=True)
    engine.dispose()


def rows(connection: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(select(everything).order_by(everything.c.id))]


def test_every_type_comes_back_as_it_went(dm: Engine) -> None:
    moment = datetime(2026, 11, 1, 7, 30, 15, 123456, tzinfo=timezone(timedelta(hours=8)))
    row = {
        "flag": True, "day": date(1899, 12, 31), "hour": time(23, 59, 59), "moment": moment,
        "wall": datetime(2026, 2, 28, 23, 59, 59, 999999), "amount": Decimal("-12345678901234.5678"), "ratio": 0.1,
        "name": "𠮷野家〇㐂", "note": "字" * 50_000, "data": bytes(range(256)) * 300, "body": {"药": [1, None, "x"]},
        "kind": "out",
    }  # fmt: skip
    with dm.begin() as connection:
        connection.execute(
            insert(everything), [row, dict.fromkeys(row), {**row, "flag": False, "name": "", "note": ""}]
        )
        found = [
            dict(each._mapping) for each in connection.execute(select(everything).order_by(everything.c.id))
        ]
    row["moment"] = moment.astimezone(UTC)
    assert found[0] == {"id": 1, **row} and found[0]["moment"].tzinfo is UTC
    assert found[1] == {"id": 2, **dict.fromkeys(row), "body": None}
    assert found[2]["flag"] is False and found[2]["name"] == "" and found[2]["note"] == ""


@pytest.mark.parametrize(
    "value", ["0", "0.0001", "-0.0001", "1E+3", "99999999999999.9999", "-1.10", "100", "1234.5600"]
)
def test_decimals_are_exact(dm: Engine, value: str) -> None:
    with dm.begin() as connection:
        connection.execute(insert(everything).values(amount=Decimal(value)))
        assert connection.scalar(select(everything.c.amount)) == Decimal(value)
        assert connection.scalar(select(func.count()).where(everything.c.amount == Decimal(value))) == 1


def test_what_would_be_stored_wrongly_is_refused(dm: Engine) -> None:
    wrong: list[dict[str, Any]] = [
        {"moment": datetime(2026, 1, 1)},  # whose wall clock?
        {"wall": datetime(2026, 1, 1, tzinfo=UTC)},
        {"name": Decimal("1.50")},  # the driver would send 150E-2
        {"amount": Decimal("NaN")},
    ]
    with dm.begin() as connection:
        for values in wrong:
            with pytest.raises(StatementError):
                connection.execute(insert(everything).values(**values))
        assert rows(connection) == []


def test_returning_for_one_many_and_no_rows(dm: Engine) -> None:
    with dm.begin() as connection:
        table = everything.c
        added = connection.execute(
            insert(everything).returning(table.id, table.name), [{"name": "a"}, {"name": "b"}]
        )
        assert [tuple(row) for row in added] == [(1, "a"), (2, "b")]
        changed = connection.execute(update(everything).values(ratio=2.5).returning(table.id, table.ratio))
        assert sorted(tuple(row) for row in changed) == [(1, 2.5), (2, 2.5)]
        none = connection.execute(
            update(everything).where(table.id == 99).values(ratio=1).returning(table.id)
        )
        assert none.all() == []
        assert connection.execute(
            delete(everything).where(table.id == 2).returning(table.name)
        ).scalars().all() == ["b"]
        assert connection.execute(insert(everything).values(name="c")).inserted_primary_key == (3,)


def test_an_identity_column_takes_a_given_key(dm: Engine) -> None:
    with dm.begin() as connection:
        connection.execute(insert(everything).values(id=41, name="given"))
        with pytest.raises(DBAPIError, match="-2723"):
            connection.execute(text("INSERT INTO dd_everything (id) VALUES (42)"))
        assert [row[0] for row in rows(connection)] == [41]


def test_an_error_undoes_its_statement_only(dm: Engine) -> None:
    with dm.begin() as connection:
        connection.execute(insert(everything).values(id=1, name="first"))
        with pytest.raises(DBAPIError) as caught:
            connection.execute(insert(everything).values(id=1, name="again"))
        assert is_unique_violation(caught.value)
        connection.execute(insert(everything).values(id=2, name="second"))
        with connection.begin_nested() as inner:
            connection.execute(delete(everything))
            inner.rollback()
        with connection.begin_nested():
            connection.execute(insert(everything).values(id=3))
    with dm.connect() as connection:
        assert [row[0] for row in rows(connection)] == [1, 2, 3]


def test_merge_inserts_or_updates_with_defaults_and_batches(dm: Engine) -> None:
    statement = merge(everything).on("id").update("name")
    with dm.begin() as connection:
        connection.execute(insert(everything).values(id=1, name="old", ratio=1.0))
        connection.execute(statement, [{"id": n, "name": f"n{n}", "ratio": 9.0} for n in range(1, 6)])
        assert [(row[0], row[7], row[8]) for row in rows(connection)][:2] == [(1, 1.0, "n1"), (2, 9.0, "n2")]
    with pytest.raises(CompileError, match="no value for"):
        merge(everything).on("id").values(name="x").compile(dialect=dm.dialect)


def test_booleans_are_conditions_and_values(dm: Engine) -> None:
    flag = everything.c.flag
    with dm.begin() as connection:
        connection.execute(insert(everything), [{"flag": value} for value in (True, False, None)])
        for condition, expected in [
            (flag, [1]), (~flag, [2]), (flag.is_(True), [1]), (flag.is_(False), [2]), (flag.is_not(True), [2, 3]),
            (flag.is_(None), [3]), (flag.is_distinct_from(True), [2, 3]), (flag.in_([True]), [1]), (flag.in_([]), []),
        ]:  # fmt: skip
            found = connection.execute(
                select(everything.c.id).where(condition).order_by(everything.c.id)
            ).scalars()
            assert list(found) == expected, str(condition)
        has = select(select(everything).where(flag).exists(), (everything.c.id > 2).label("big")).order_by(
            "big"
        )
        assert connection.execute(has).first() == (True, False)


@pytest.mark.parametrize(
    ("code", "test"),
    [(-6407, is_lock_timeout), (-6509, is_lock_timeout), (-6403, is_deadlock), (-6001, is_session_limit),
     (-70065, is_disconnect), (-70066, is_disconnect), (-6602, is_unique_violation), (-6612, is_unique_violation)],
)  # fmt: skip
def test_codes_of_the_server_are_classified(dm: Engine, standin: Standin, code: int, test: Any) -> None:
    standin.order(fail={"match": "DD_EVERYTHING", "code": code, "message": "指示"})
    with dm.connect() as connection, pytest.raises(DBAPIError) as caught:
        rows(connection)
    assert test(caught.value) and is_transient(caught.value) == (code not in (-6602, -6612))
    assert caught.value.connection_invalidated == (test is is_disconnect)


def test_wrong_password_and_closed_port_are_told(standin: Standin, dm: Engine) -> None:
    wrong = create_engine(standin.url.replace("Standin_2026", "wrong"))
    with pytest.raises(DBAPIError, match="-2501"):
        wrong.connect()
    closed = create_engine("dm+dmpython://HIS:x@127.0.0.1:1/?login_timeout=500")
    with pytest.raises(DBAPIError) as caught:
        closed.connect()
    assert is_disconnect(caught.value)


def test_urls_and_connect_arguments(dm: Engine) -> None:
    def arguments(url: str) -> dict[str, Any]:
        return create_engine(url).dialect.create_connect_args(create_engine(url).url)[1]  # type: ignore[return-value]

    plain = arguments("dm://u:p@h/HIS")
    assert plain == {"user": "u", "password": "p", "host": "h", "port": 5236, "schema": "HIS", "autoCommit": False,
                     "local_code": 1}  # fmt: skip
    service = arguments("dm+dmpython://u:p@/HIS?service=hosp&dmsvc_path=/etc/his&login_timeout=3000")
    assert (service["server"], service["dmsvc_path"], service["login_timeout"]) == ("hosp", "/etc/his", 3000)
    assert "host" not in service
    for bad in [
        "dm://u:p@/x",
        "dm://u:p@h/x?service=y",
        "dm://u:p@h/x?colour=red",
        "dm://u:p@h/x?app_name=a&app_name=b",
    ]:
        with pytest.raises(ArgumentError):
            arguments(bad)


def test_pool_survives_dropped_connections(dm: Engine, standin: Standin) -> None:
    """Pool of 10, the server drops all in mid-transaction: no wrong row, each worker is told, pre-ping finds
    new ones."""
    engine = create_engine(standin.url, pool_size=10, max_overflow=0, pool_pre_ping=True)
    ready, outcome = threading.Barrier(11), []

    def work(number: int) -> None:
        with Session(engine) as session:
            session.execute(insert(everything).values(id=100 + number, name="lost"))
            ready.wait(30)
            ready.wait(30)
            try:
                session.execute(insert(everything).values(id=200 + number, name="lost"))
                session.commit()
                outcome.append("committed")
            except DBAPIError as error:
                outcome.append("told" if is_disconnect(error) and is_transient(error) else repr(error))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for worker in workers:
        worker.start()
    ready.wait(30)
    standin.order(drop_all=True)
    dropped = clock.monotonic()
    ready.wait(30)
    for worker in workers:
        worker.join(30)
    assert outcome == ["told"] * 10
    with engine.begin() as connection:
        assert rows(connection) == []
        connection.execute(insert(everything).values(name="after"))
    assert clock.monotonic() - dropped < 10
    engine.dispose()


def test_a_commit_whose_answer_is_lost_is_a_disconnect(dm: Engine, standin: Standin) -> None:
    """The outcome is unknown to the caller: here it took effect, so repeating needs an idempotent
    transaction."""
    standin.order(drop={"match": "^COMMIT$", "after": True})
    with pytest.raises(DBAPIError) as caught, dm.begin() as connection:
        connection.execute(insert(everything).values(id=7))
    assert is_disconnect(caught.value)
    with dm.connect() as connection:
        assert [row[0] for row in rows(connection)] == [7]


def test_isolation_levels(dm: Engine) -> None:
    for level in ("READ UNCOMMITTED", "READ COMMITTED", "SERIALIZABLE"):
        with dm.connect().execution_options(isolation_level=level) as connection:
            assert connection.get_isolation_level() == level
    with dm.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(insert(everything).values(id=5))
        with dm.connect() as other:
            assert [row[0] for row in rows(other)] == [5]


def test_a_batch_is_one_round_trip(dm: Engine, standin: Standin) -> None:
    executions: list[str] = []
    event.listen(dm, "before_cursor_execute", lambda *arguments: executions.append(arguments[2]))
    with dm.begin() as connection:
        insert_many(connection, everything, [{"id": n, "name": str(n)} for n in range(1000)])
        assert connection.scalar(select(func.count()).select_from(everything)) == 1000
    assert len([each for each in executions if each.startswith("INSERT")]) == 1


def test_ddl_is_refused_before_the_server_would(dm: Engine) -> None:
    from sqlalchemy.schema import CreateIndex, CreateTable

    def create(*columns: Any) -> str:
        return str(
            CreateTable(Table("x", MetaData(), Column("id", Integer, primary_key=True), *columns)).compile(dm)
        )

    with pytest.raises(CompileError, match="needs a length"):
        create(Column("a", String))
    with pytest.raises(CompileError, match="page size"):
        create(Column("a", String(9000)))
    assert "STORAGE(USING LONG ROW)" in create(*(Column(f"c{n}", String(1000)) for n in range(5)))
    assert "STORAGE" not in create(Column("a", String(1000)))
    double = Table(
        "y", MetaData(), Column("id", Integer, primary_key=True), Column("a", Integer), UniqueConstraint("a")
    )
    index = Index("ix_y_a", double.c.a)
    for element in (CreateTable(double), CreateIndex(index)):
        with pytest.raises(CompileError, match="-3236"):
            element.compile(dm)


def migrated(dm: Engine, target: MetaData) -> list[Any]:
    with dm.connect() as connection:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "include_name": lambda name, kind, _: kind != "table" or name.startswith("dd_"),
        }
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, target)


def test_autogenerate_sees_nothing_after_create_and_each_change(dm: Engine) -> None:
    assert migrated(dm, metadata) == []
    other = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(other)
    child = Table("dd_child", other, Column("id", Integer, primary_key=True, autoincrement=False),
                  Column("parent_id", Integer, ForeignKey("dd_everything.id", name="fk_dd_child_parent"), nullable=False),
                  Column("code", String(8), server_default="x"), UniqueConstraint("code", name="uq_dd_child_code"))  # fmt: skip
    Index("ix_dd_child_parent", child.c.parent_id)
    other.tables["dd_everything"].append_column(Column("extra", String(20)))
    assert sorted(change[0] for change in migrated(dm, other)) == ["add_column", "add_index", "add_table"]
    with dm.connect() as connection:
        operations = Operations(MigrationContext.configure(connection))
        operations.add_column("dd_everything", Column("extra", String(10)))
        operations.alter_column("dd_everything", "extra", type_=String(20))
        operations.alter_column("dd_everything", "extra", nullable=False, existing_type=String(20))
        operations.alter_column("dd_everything", "extra", nullable=True, existing_type=String(20))
        operations.alter_column("dd_everything", "extra", server_default="y")
        operations.alter_column("dd_everything", "extra", server_default=None)
        operations.alter_column("dd_everything", "extra", new_column_name="extra2")
        operations.alter_column("dd_everything", "extra2", new_column_name="extra", comment="补充")
        operations.alter_column("dd_everything", "extra", comment=None, existing_comment="补充")
        operations.create_table("dd_child0", *[column._copy() for column in child.columns])
        operations.rename_table("dd_child0", "dd_child")
        operations.create_unique_constraint("uq_dd_child_code", "dd_child", ["code"])
        operations.create_foreign_key(
            "fk_dd_child_parent", "dd_child", "dd_everything", ["parent_id"], ["id"]
        )
        operations.create_index("ix_dd_child_parent", "dd_child", ["parent_id"])
    try:
        assert migrated(dm, other) == []
        found = inspect(dm)
        assert found.get_foreign_keys("dd_child")[0]["referred_table"] == "dd_everything"
        assert found.get_table_comment("dd_everything") == {"text": "一切类型"}
    finally:
        with dm.connect() as connection:
            operations = Operations(MigrationContext.configure(connection))
            operations.drop_index("ix_dd_child_parent", "dd_child")
            operations.drop_table("dd_child")
            operations.drop_column("dd_everything", "extra")
    assert migrated(dm, metadata) == []


def test_a_reserved_word_in_a_check_given_as_text_is_quoted(dameng_url: str) -> None:
    engine = create_engine(dameng_url)
    table = Table(
        "reserved_checks", MetaData(), Column("id", Integer, primary_key=True, autoincrement=False),
        Column("first", Integer), Column("next", Integer, CheckConstraint("next >= 0")),
        Column("note", String(9)), CheckConstraint("first <= next AND note <> 'first'", name="ck_reserved"),
    )  # fmt: skip
    table.drop(engine, checkfirst=True)
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(table).values(id=1, first=1, next=2, note="x"))
        with pytest.raises(DBAPIError):
            connection.execute(insert(table).values(id=2, first=3, next=2, note="x"))
        with pytest.raises(DBAPIError):
            connection.execute(insert(table).values(id=3, first=1, next=2, note="first"))
    table.drop(engine)
    engine.dispose()
