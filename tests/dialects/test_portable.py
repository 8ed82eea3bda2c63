"""The portability helpers behave the same on every database."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, bindparam, create_engine, event, func, insert, not_, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from dialects.portable import (
    Each,
    constraint_name,
    day_trunc,
    guarded_update,
    iequals,
    insert_many,
    is_check_violation,
    is_deadlock,
    is_disconnect,
    is_foreign_key_violation,
    is_lock_timeout,
    is_not_null_violation,
    is_transient,
    is_unique_violation,
    month_trunc,
    starts_with,
    upsert,
    violates,
)

from .tables import Drug, drug, task
from .workers import take, work

START = datetime(2026, 11, 1, tzinfo=UTC)


def tasks(count: int) -> list[dict[str, Any]]:
    return [{"id": n, "state": "open", "due": START + timedelta(minutes=-n)} for n in range(1, count + 1)]


def test_insert_many_applies_defaults_and_needs_few_round_trips(engine: Engine) -> None:
    executions: list[bool] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _count(_c: Any, _cur: Any, statement: str, _p: Any, _ctx: Any, executemany: bool) -> None:
        if "INSERT" in statement:
            executions.append(executemany)

    with engine.begin() as connection:
        insert_many(
            connection, drug, [{"id": n, "code": f"C{n}", "price": Decimal("1.2345")} for n in range(2500)]
        )
        insert_many(connection, drug, [])
        assert connection.scalar(select(func.count()).where(drug.c.name == "未命名")) == 2500
        assert connection.scalar(select(drug.c.price).where(drug.c.id == 7)) == Decimal("1.2345")
    assert executions == [True] * 3


def test_insert_many_refuses_rows_with_different_keys(engine: Engine) -> None:
    with engine.begin() as connection:
        with pytest.raises(ValueError, match="row 1 of dt_drug has other keys: \\['name'\\]"):
            insert_many(connection, drug, [{"id": 1, "code": "A"}, {"id": 2, "code": "B", "name": "x"}])
        with pytest.raises(ValueError, match="no column colour"):
            insert_many(connection, drug, [{"id": 1, "colour": "A"}])


def test_upsert_inserts_updates_and_counts(engine: Engine) -> None:
    with engine.begin() as connection:
        insert_many(connection, drug, [{"id": 1, "code": "A", "name": "old"}])
        rows = [{"id": 1, "code": "A", "name": "new"}, {"id": 2, "code": "B", "name": "second"}]
        assert upsert(connection, drug, rows, ["id"]) == 2
        assert upsert(connection, drug, [{"id": 9, "code": "B", "name": "by code"}], ["code"], ["name"]) == 1
        found = connection.execute(
            select(drug.c.id, drug.c.code, drug.c.name, drug.c.price).order_by(drug.c.id)
        )
        assert [tuple(row) for row in found] == [(1, "A", "new", 0), (2, "B", "by code", 0)]
        untouched = [{"id": 1, "code": "A", "name": "no"}, {"id": 3, "code": "C", "name": "third"}]
        assert upsert(connection, drug, untouched, ["id"], []) == 1
        assert connection.scalar(select(drug.c.name).where(drug.c.id == 1)) == "new"
        assert upsert(connection, drug, [], ["id"]) == 0


def test_upsert_refuses_doubtful_keys(engine: Engine) -> None:
    row = {"id": 1, "code": "A"}
    with engine.begin() as connection:
        with pytest.raises(ValueError, match="same key"):
            upsert(connection, drug, [row, row], ["id"])
        with pytest.raises(ValueError, match="value for each"):
            upsert(connection, drug, [row], ["name"])


def test_session_objects_see_what_helpers_wrote(engine: Engine) -> None:
    with Session(engine) as session:
        one = Drug()
        one.id, one.code, one.name = 1, "A", "old"
        session.add(one)
        assert guarded_update(session, Drug, drug.c.name == "old", {"name": "new"}) == 1
        assert one.name == "new"
        assert guarded_update(session, Drug, drug.c.name == "old", {"name": "newer"}) == 0
        upsert(session, Drug, [{"id": 1, "code": "A", "name": "newest"}], ["id"])
        assert one.name == "newest"
        with pytest.raises(ValueError, match="nothing to set"):
            guarded_update(session, Drug, drug.c.id == 1, {})


def test_claim_takes_in_order_and_once(engine: Engine) -> None:
    with Session(engine) as session:
        insert_many(session, task, tasks(5))
        session.commit()
        assert take(session, "a", 2) == [5, 4]
        assert take(session, "a", 9) == [3, 2, 1]
        assert take(session, "a", 9) == []
        session.rollback()
        assert take(session, "b", 1) == [5]
        with pytest.raises(ValueError, match="limit"):
            take(session, "b", 0)


def test_claim_skips_rows_that_another_transaction_holds(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time on SQLite: the second waits")
    with Session(engine) as first, Session(engine) as second:
        insert_many(first, task, tasks(5))
        first.commit()
        assert take(first, "a", 2) == [5, 4]
        assert take(second, "b", 2) == [3, 2]
        first.rollback()
        second.commit()
        assert take(first, "a", 9) == [5, 4, 1]


def test_claim_gives_each_row_to_one_of_several_processes(
    engine: Engine,
) -> None:
    with engine.begin() as connection:
        insert_many(connection, task, tasks(100))
    path = engine.url.database if engine.dialect.name == "sqlite" else None
    url = engine.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=work, args=(url, path, f"w{n}", results)) for n in range(2)]
    for worker in workers:
        worker.start()
    taken = [identity for _ in workers for identity in results.get(timeout=60)]
    for worker in workers:
        worker.join()
    assert sorted(taken) == list(range(1, 101))


def test_day_and_month_are_the_local_ones(engine: Engine) -> None:
    instants = [
        (datetime(2026, 10, 31, 15, 59, 59, 999999, UTC), date(2026, 10, 31), date(2026, 10, 1)),
        (datetime(2026, 10, 31, 16, 0, tzinfo=UTC), date(2026, 11, 1), date(2026, 11, 1)),
        (datetime(2026, 12, 31, 23, 0, tzinfo=UTC), date(2027, 1, 1), date(2027, 1, 1)),
    ]
    rows = [
        {"id": n, "state": "x", "due": instant, "due_naive": instant.replace(tzinfo=None)}
        for n, (instant, _, _) in enumerate(instants)
    ]
    with engine.begin() as connection:
        insert_many(connection, task, rows)
        for column in (task.c.due, task.c.due_naive):
            query = select(day_trunc(column), month_trunc(column)).order_by(task.c.id)
            assert [tuple(row) for row in connection.execute(query)] == [(d, m) for _, d, m in instants]
            grouped = (
                select(day_trunc(column), func.count())
                .group_by(day_trunc(column))
                .order_by(day_trunc(column))
            )
            assert [row[1] for row in connection.execute(grouped)] == [1, 1, 1]
        at_utc = select(day_trunc(task.c.due, 0)).where(task.c.id == 1)
        assert connection.scalar(at_utc) == date(2026, 10, 31)
        west = select(day_trunc(task.c.due, -5)).where(day_trunc(task.c.due, -5) == date(2026, 12, 31))
        assert connection.scalar(west) == date(2026, 12, 31)
    with pytest.raises(ValueError, match="offset"):
        day_trunc(task.c.due, 15)


def names(connection: Any, condition: Any) -> set[str]:
    return set(connection.execute(select(drug.c.name).where(condition)).scalars())


def test_iequals_ignores_the_case_of_ascii_letters_only(engine: Engine) -> None:
    with engine.begin() as connection:
        words = ["AMoxicillin", "amoxicillin", "ÉTUI", "étui", "阿莫西林A", "阿莫西林a"]
        insert_many(
            connection, drug, [{"id": n, "code": str(n), "name": word} for n, word in enumerate(words)]
        )
        assert names(connection, iequals(drug.c.name, "AMOXICILLIN")) == {"AMoxicillin", "amoxicillin"}
        assert names(connection, iequals(drug.c.name, "Étui")) == {"ÉTUI"}
        assert names(connection, iequals(drug.c.name, "阿莫西林A")) == {"阿莫西林A", "阿莫西林a"}
        assert names(connection, not_(iequals(drug.c.name, "AMOXICILLIN"))) == set(words[2:])


def test_starts_with_takes_every_character_literally(engine: Engine) -> None:
    words = [
        "a%b",
        "a_b",
        "axb",
        "A%b",
        "阿莫",
        "阿莫西林",
        "阿司匹林",
        "𠮷野",
        "𠮷\U0010ffff",
        "\U0010ffff",
        "a\\b",
        "ab",
    ]
    with engine.begin() as connection:
        insert_many(
            connection, drug, [{"id": n, "code": str(n), "name": word} for n, word in enumerate(words)]
        )
        for prefix in [
            "a%",
            "a_",
            "a\\",
            "a",
            "A",
            "阿",
            "阿莫",
            "𠮷",
            "\U0010ffff",
            "𠮷\U0010ffff",
            "zz",
            "",
        ]:
            expected = {word for word in words if word.startswith(prefix)}
            assert names(connection, starts_with(drug.c.name, prefix)) == expected, prefix
            assert names(connection, not_(starts_with(drug.c.name, prefix))) == set(words) - expected, prefix


def test_starts_with_opens_an_index(engine: Engine) -> None:
    with engine.begin() as connection:
        insert_many(
            connection, drug, [{"id": n, "code": str(n), "name": f"drug {n:05d}"} for n in range(3000)]
        )
        query = select(drug.c.id).where(starts_with(drug.c.name, "drug 012"))
        if engine.dialect.name == "dm":
            assert str(query.compile(connection)).endswith("dt_drug.name >= ? AND dt_drug.name < ?")
            return  # a plain range on a plain index; its plan is the server's affair
        compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
        if engine.dialect.name == "postgresql":
            connection.execute(text("ANALYZE dt_drug"))
            plan = "\n".join(connection.execute(text(f"EXPLAIN {compiled}")).scalars())
        else:
            plan = str(connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}")).all())
        assert "ix_dt_drug_name" in plan
        assert len(connection.execute(query).all()) == 100


def failed(engine: Engine, statement: Any, *args: Any) -> DBAPIError:
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(statement, *args)
    return caught.value


def test_integrity_errors_are_told_apart(engine: Engine) -> None:
    with engine.begin() as connection:
        insert_many(connection, drug, [{"id": 1, "code": "A"}])
    unique = failed(engine, insert(drug), {"id": 2, "code": "A"})
    assert (
        isinstance(unique, IntegrityError)
        and is_unique_violation(unique)
        and is_unique_violation(unique.orig)
    )
    code_constraint = next(c for c in drug.constraints if c.name == "uq_dt_drug_code")
    assert violates(unique, code_constraint)  # type: ignore[arg-type]
    assert not violates(unique, drug.primary_key)
    assert violates(failed(engine, insert(drug), {"id": 1, "code": "B"}), drug.primary_key) or (
        engine.dialect.name != "sqlite"  # where the key's constraint has a name that the model doesn't know
    )
    check = failed(engine, insert(drug), {"id": 2, "code": "B", "price": -1})
    assert is_check_violation(check) and constraint_name(check) == "ck_dt_drug_price"
    missing = failed(engine, insert(task), {"id": 1, "state": "x", "due": START, "drug_id": 99})
    assert is_foreign_key_violation(missing)
    empty = failed(engine, insert(drug), {"id": 3, "code": None})
    assert is_not_null_violation(empty)
    everything = [unique, check, missing, empty]
    tests = [is_unique_violation, is_check_violation, is_foreign_key_violation, is_not_null_violation]
    assert [[test(error) for test in tests] for error in everything] == [
        [i == j for j in range(4)] for i in range(4)
    ]
    assert not any(is_transient(error) for error in everything)
    assert not is_unique_violation(ValueError("23505"))


def test_lock_timeout_is_recognised(engine: Engine) -> None:
    with engine.begin() as connection:
        insert_many(connection, drug, [{"id": 1, "code": "A"}])
    with engine.begin() as holder, engine.connect() as other:
        holder.execute(update(drug).values(name="held"))
        impatient = {"postgresql": "SET LOCAL lock_timeout = '50ms'", "sqlite": "PRAGMA busy_timeout=50"}
        if engine.dialect.name in impatient:
            other.exec_driver_sql(impatient[engine.dialect.name])
        with pytest.raises(DBAPIError) as caught:
            other.execute(update(drug).values(name="wanted"))
        other.rollback()
        assert is_lock_timeout(caught.value) and is_transient(caught.value)
        assert not is_disconnect(caught.value) and not is_deadlock(caught.value)


def test_a_terminated_backend_is_a_disconnect(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no connection to lose; Dameng's are lost in test_dameng_driver.py")
    with engine.connect() as victim, engine.connect() as killer:
        pid = victim.scalar(text("select pg_backend_pid()"))
        killer.scalar(text("select pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(DBAPIError) as caught:
            victim.execute(text("select 1"))
        assert (
            is_disconnect(caught.value)
            and is_disconnect(caught.value.orig)
            and not is_lock_timeout(caught.value)
        )
    refused = create_engine("postgresql+psycopg://postgres@127.0.0.1:1/x")
    with pytest.raises(DBAPIError) as caught:
        refused.connect()
    assert is_disconnect(caught.value)


def test_a_deadlock_is_recognised(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time on SQLite: no deadlocks")
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    with engine.begin() as connection:
        insert_many(connection, drug, [{"id": 1, "code": "A"}, {"id": 2, "code": "B"}])
    both = Barrier(2)

    def cross(first: int, second: int) -> DBAPIError | None:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL deadlock_timeout = '20ms'")
            connection.execute(update(drug).where(drug.c.id == first).values(name="x"))
            both.wait(10)
            try:
                connection.execute(update(drug).where(drug.c.id == second).values(name="y"))
            except DBAPIError as error:
                return error
            return None

    with ThreadPoolExecutor(2) as pool:
        errors = [each for each in pool.map(cross, (1, 2), (2, 1)) if each is not None]
    assert len(errors) == 1 and is_deadlock(errors[0]) and is_transient(errors[0])


def test_an_update_for_each_of_many_rows(engine: Engine) -> None:
    """One statement where the database takes arrays, one per row elsewhere: the same rows change by the same amounts."""
    raise_price = Each({"key": drug.c.id.type, "more": drug.c.price.type}, lambda given: update(drug).where(
        drug.c.id == given("key"), drug.c.price < bindparam("b_most")).values(
        price=drug.c.price + given("more"), name=bindparam("b_name")), [drug.c.id, drug.c.price])
    with engine.begin() as connection:
        insert_many(connection, drug, [{"id": n, "code": f"C{n}", "price": Decimal(n)} for n in range(1, 6)])
        common = {"b_most": Decimal(4), "b_name": "涨价"}
        assert raise_price.run(connection, [], common) == []
        told = raise_price.run(connection, [{"key": n, "more": Decimal(n) / 4} for n in (5, 2, 3, 99)], common)
        assert told is None or sorted(told) == [(2, Decimal("2.5000")), (3, Decimal("3.7500"))]
        assert (told is not None) == (connection.dialect.name == "postgresql")
        assert connection.execute(select(drug.c.id, drug.c.price, drug.c.name).order_by(drug.c.id)).all() == [
            (1, Decimal("1.0000"), "未命名"), (2, Decimal("2.5000"), "涨价"), (3, Decimal("3.7500"), "涨价"),
            (4, Decimal("4.0000"), "未命名"), (5, Decimal("5.0000"), "未命名")]
