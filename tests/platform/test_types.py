"""Column types: exact on every database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, MetaData, Table, func, insert, select
from sqlalchemy.exc import StatementError

from his_server.db import Database, Instant, Money, Price, Quantity

metadata = MetaData()
sample = Table("type_sample", metadata, Column("id", BigInteger, primary_key=True, autoincrement=False),
               Column("money", Money), Column("price", Price), Column("quantity", Quantity),
               Column("at", Instant))


@pytest.fixture
def table(db: Database) -> Iterator[Table]:
    metadata.create_all(db.engine)
    yield sample
    metadata.drop_all(db.engine)


def store(db: Database, **values: Any) -> Any:
    with db.begin() as session:
        session.execute(insert(sample).values(id=db.keys.next(), **values))
        column = next(iter(values))
        return session.execute(select(sample.c[column]).order_by(sample.c.id.desc()).limit(1)).scalar_one()


EXTREMES = ("0", "0.01", "-0.01", "9999999999999999.99", "-9999999999999999.99", "90071992547409.93")


@pytest.mark.requirement("FN-01")
@pytest.mark.parametrize("text", EXTREMES)
def test_money_comes_back_exact(db: Database, table: Table, text: str) -> None:
    found = store(db, money=Decimal(text))
    assert found == Decimal(text) and found.as_tuple().exponent == -2


@pytest.mark.requirement("FN-01")
@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(amounts=st.lists(st.decimals("-9999999", "9999999", places=2), min_size=1, max_size=50))
def test_sums_in_the_database_are_exact(db: Database, table: Table, amounts: list[Decimal]) -> None:
    with db.begin() as session:
        session.execute(table.delete())
        session.execute(insert(sample), [{"id": n, "money": a} for n, a in enumerate(amounts, 1)])
        assert session.execute(select(func.sum(sample.c.money))).scalar_one() == sum(amounts)


@pytest.mark.requirement("FN-01")
def test_ten_thousand_times_a_tenth(db: Database, table: Table) -> None:
    with db.begin() as session:
        session.execute(insert(sample), [{"id": n, "money": Decimal("0.10")} for n in range(1, 10_001)])
        assert session.execute(select(func.sum(sample.c.money))).scalar_one() == Decimal("1000.00")


@pytest.mark.parametrize(("column", "text"), [("price", "12345.6789"), ("quantity", "-0.0001")])
def test_four_places(db: Database, table: Table, column: str, text: str) -> None:
    assert store(db, **{column: Decimal(text)}) == Decimal(text)


@pytest.mark.requirement("FN-01")
@pytest.mark.parametrize("wrong", [0.1, Decimal("0.001"), Decimal("NaN"), Decimal("Infinity"), Decimal(10) ** 17,
                                   "ten"])
def test_what_is_not_exact_is_refused(db: Database, table: Table, wrong: Any) -> None:
    with pytest.raises(StatementError), db.begin() as session:
        session.execute(insert(sample).values(id=1, money=wrong))
    with db.begin(write=False) as session:
        assert session.execute(select(func.count()).select_from(sample)).scalar_one() == 0


def test_instants_are_aware_and_keep_microseconds(db: Database, table: Table) -> None:
    there = datetime(2026, 3, 2, 23, 59, 59, 123456, tzinfo=timezone(timedelta(hours=8)))
    found = store(db, at=there)
    assert found == there and found.tzinfo is UTC
    with pytest.raises(StatementError, match="aware"):
        store(db, at=datetime(2026, 3, 2))  # naive on purpose


def test_instants_sort_by_time_not_by_text(db: Database, table: Table) -> None:
    instants = [datetime(2026, 3, 2, 8, tzinfo=UTC) + timedelta(microseconds=n * 500_000) for n in range(4)]
    with db.begin() as session:
        session.execute(insert(sample), [{"id": n, "at": at} for n, at in enumerate(reversed(instants), 1)])
        assert list(session.scalars(select(sample.c.at).order_by(sample.c.at))) == instants
