"""The generic row protection that ledgers and orders use (MP-08, MP-14), and the one-time codes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, String, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Base, Database, Instant, Keyed, Money
from his_server.db import database as db_module
from his_server.security import integrity, rules, seals


class LabelledRow(integrity.Guarded, Keyed):
    """A row with a sensitivity label and an amount, as charging and orders have them."""

    __tablename__ = "test_guarded"
    __guarded__ = ("id", "person_id", "label", "amount", "made_at")
    person_id: Mapped[int] = mapped_column(BigInteger)
    label: Mapped[str] = mapped_column(String(20), default="普通")
    amount: Mapped[Decimal] = mapped_column(Money)
    note: Mapped[str | None] = mapped_column(String(20))
    made_at: Mapped[datetime] = mapped_column(Instant)


Base.metadata.remove(LabelledRow.__table__)  # no table of the product


@pytest.fixture
def rows(db: Database) -> Any:
    """Ids of three rows in a table that only these tests have."""
    LabelledRow.__table__.create(db.engine, checkfirst=True)
    with db.begin() as session:
        made = [LabelledRow(person_id=n, amount=Decimal("1.5") * n, made_at=db_module.now(session)) for n in (1, 2, 3)]
        session.add_all(made)
    seals.declare("test_guarded", "测试", LabelledRow, at="made_at")
    yield [row.id for row in made]
    del seals.CHAINS["test_guarded"]
    LabelledRow.__table__.drop(db.engine)


def broken(db: Database) -> list[int]:
    with db.begin(write=False) as session:
        return [row.id for row in integrity.broken_rows(session, LabelledRow)]


@pytest.mark.requirement("MP-08", "MP-14")
def test_guarded_rows(rows: list[int], db: Database) -> None:
    assert broken(db) == []
    with db.begin() as session:
        row = session.get(LabelledRow, rows[1])
        assert row is not None and row.label == "普通"
        row.label = "传染病"
    assert broken(db) == []
    with db.engine.begin() as connection:
        connection.execute(update(LabelledRow.__table__).where(LabelledRow.id == rows[1]).values(label="普通"))
        connection.execute(update(LabelledRow.__table__).where(LabelledRow.id == rows[2]).values(amount=Decimal("4.51")))
        connection.execute(update(LabelledRow.__table__).where(LabelledRow.id == rows[0]).values(note="不受保护"))
    assert broken(db) == rows[1:]


@pytest.mark.requirement("MP-14")
def test_bulk_inserts_set_their_mac(rows: list[int], db: Database) -> None:
    with db.begin() as session:
        values = {"id": db.keys.next(), "person_id": 9, "label": "普通", "amount": Decimal(3), "made_at": db.clock.now()}
        session.execute(insert(LabelledRow).values(**values, row_mac=integrity.mac_of(db.sealer, LabelledRow, values)))
    assert broken(db) == []


@pytest.mark.requirement("MP-14")
def test_a_ledger_that_declares_itself_is_chained(rows: list[int], db: Database) -> None:
    chained = seals.CHAINS["test_guarded"]
    assert seals.seal_new(db, chained) == 3
    with db.begin(write=False) as session:
        assert seals.verify(session, chained) == []
    with db.engine.begin() as connection:
        connection.execute(LabelledRow.__table__.delete().where(LabelledRow.id == rows[1]))
    with db.begin(write=False) as session:
        found = seals.verify(session, chained)
    assert [f.where for f in found] == [f"id {rows[1]}"]


@pytest.mark.requirement("MP-07")
def test_sets_and_head(db: Database) -> None:
    with db.begin() as session:
        change = integrity.begin_change(session, "doc")
        change.put("1", b"lines of 1")
        change.put("2", b"lines of 2")
        change.close()
    with db.begin(write=False) as session:
        head = integrity.read_head(session, "doc")
    head.check(db.sealer, "doc", "1", b"lines of 1")
    for owner, content in (("1", b"lines of 2"), ("2", b"lines of 1"), ("3", b"lines of 1")):
        with pytest.raises(integrity.Altered):
            head.check(db.sealer, "doc", owner, content)
    with db.engine.begin() as connection:
        connection.execute(update(integrity.IntegritySet.__table__).values(version=5))
    with pytest.raises(integrity.Altered), db.begin(write=False) as session:
        integrity.read_head(session, "doc")
    with db.begin(write=False) as session:
        assert integrity.read_head(session, "never used") == integrity.Head(0, "", {})
        assert len(session.scalars(select(integrity.IntegritySet)).all()) == 2


values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.dates(),
                   st.decimals(allow_nan=False, allow_infinity=False),
                   st.datetimes(timezones=st.just(UTC)))


@given(st.lists(values, max_size=4), st.lists(values, max_size=4))
def test_encoding_is_unambiguous(first: list[Any], second: list[Any]) -> None:
    typed = [[(type(v), v) for v in values] for values in (first, second)]
    assert (integrity.encode(first) == integrity.encode(second)) == (typed[0] == typed[1])


def test_equal_values_encode_equally() -> None:
    instant = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
    assert integrity.encode([Decimal("1.50"), instant]) == integrity.encode(
        [Decimal("1.5"), instant.astimezone(timezone(timedelta(hours=8)))])
    assert integrity.encode([Decimal("100"), Decimal("-0.00")]) == integrity.encode([Decimal("1E2"), Decimal(0)])
    assert integrity.encode([date(2026, 3, 2)]) != integrity.encode(["2026-03-02"])
    with pytest.raises(TypeError):
        integrity.encode([1.5])


def test_one_time_codes_follow_rfc_6238(sealer: Any) -> None:
    """Truncation against RFC 4226's published values (with its HMAC), and SM3 against hashlib's own HMAC."""
    import hmac

    def sha1(key: bytes, data: bytes) -> bytes:
        return hmac.digest(key, data, "sha1")

    published = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
    assert [rules.one_time_code(sha1, b"12345678901234567890", n) for n in range(10)] == published
    mac = hmac.digest(b"k" * 32, (59).to_bytes(8, "big"), "sm3")
    offset = mac[-1] & 15
    expected = str((int.from_bytes(mac[offset:offset + 4], "big") & 0x7FFFFFFF) % 10**6).zfill(6)
    assert rules.one_time_code(sealer.provider.hmac_sm3, b"k" * 32, 59) == expected


def test_rows_as_parameters_need_no_mac_of_their_own(rows: list[int], db: Database) -> None:
    with db.begin() as session:
        session.execute(insert(LabelledRow), [
            {"id": db.keys.next(), "person_id": 9, "label": "普通", "amount": 3, "made_at": db.clock.now()}
            for _ in range(2)])
    assert broken(db) == []


def test_a_change_does_not_make_an_altered_row_right(rows: list[int], db: Database) -> None:
    with db.engine.begin() as connection:
        connection.execute(update(LabelledRow.__table__).where(LabelledRow.__table__.c.id == rows[0])
                           .values(amount=Decimal("9.99")))
    with db.begin() as session:
        found = session.get(LabelledRow, rows[0])
        assert found is not None
        found.made_at = db.clock.now() + timedelta(hours=1)
        other = session.get(LabelledRow, rows[1])
        assert other is not None
        other.made_at = found.made_at
    assert broken(db) == [rows[0]]
