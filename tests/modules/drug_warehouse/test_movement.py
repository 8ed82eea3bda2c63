"""The purchase–sales–stock report closes: quantity and amount, per drug and batch, any period, with sales meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.clock import ManualClock
from his_server.db import today
from his_server.errors import Conflict
from modules.kernel.stock import rules
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Batch, StockBalance, StockSnapshot
from modules.kernel.stock.queries.movement import movement
from modules.kernel.stock.rules import Demand
from modules.kernel.stock.service import Document, documents, snapshots, transfers
from tests.modules.kernel.stock.conftest import House
from tests.processes import Place, place_of, run_all

costs = st.decimals(Decimal("0.0001"), Decimal(9999), places=4)
changes = st.lists(st.integers(-10**5, 10**5).map(Decimal), max_size=9)


@given(st.integers(0, 10**6).map(Decimal), changes, costs, st.integers(1, 1000))
@pytest.mark.requirement("FN-17")
def test_amounts_add_up_to_the_fen(opening: Decimal, moved: list[Decimal], cost: Decimal, size: int) -> None:
    first, shares, last = rules.amounts(opening, moved, cost, size)
    assert first + sum(shares, Decimal(0)) == last
    assert first == rules.value(opening, cost, size) and last == rules.value(opening + sum(moved, Decimal(0)), cost, size)
    for share, quantity in zip(shares, moved, strict=True):
        assert abs(share - quantity * cost / size) <= Decimal("0.01")


def _month(session: Session, actor: Actor, house: House, clock: ManualClock, seed: int, days: int) -> None:
    """So many days of everything that moves stock."""
    rng = random.Random(seed)
    warehouse, pharmacy = house.ids["warehouse"], house.ids["pharmacy"]
    for day in range(days):
        clock.move(days=1)
        for n in range(4):
            act = rng.randrange(5)
            store = rng.choice((warehouse, pharmacy))
            try:
                with session.begin_nested():
                    _act(session, actor, house, act, store, rng, day * 10 + n)
            except Conflict as refused:
                assert refused.code in {"stock.short", "stock.nothing"}, refused


def _act(session: Session, actor: Actor, house: House, act: int, store: int, rng: random.Random, number: int) -> None:
    drug = house.ids["drug"]
    batch = session.scalars(select(StockBalance.batch_id).where(
        StockBalance.store_id == store, StockBalance.drug_id == drug, StockBalance.on_hand > 0)
        .order_by(StockBalance.id)).first()
    if act == 0:
        paper = documents.draft(session, actor, kind="stock_in", store_id=store, purpose="赠送入库", lines=[{
            "drug_id": drug, "lot_no": f"M{number}", "expiry": today(session) + timedelta(days=300),
            "pack_cost": Decimal(rng.randrange(1, 99999)) / 10000, "quantity": Decimal(rng.randrange(1, 100))}])
        documents.confirm(session, actor, paper.id)
    elif act == 1:
        sale = Document("prescription", 10**6 + number)
        stock.reserve(session, store, [Demand(1, drug, Decimal(rng.randrange(1, 40)))], sale)
        items = stock.issue(session, actor, sale)
        stock.put_back(session, actor, store, items[:1], sale)
    elif batch is not None and act == 2:
        paper = documents.draft(session, actor, kind="adjust", store_id=store, purpose="账实不符", reason="核对", lines=[
            {"batch_id": batch, "quantity": Decimal(rng.choice((-3, -1, 2, 5)))}])
        documents.confirm(session, actor, paper.id)
    elif batch is not None and act == 3:
        paper = documents.draft(session, actor, kind="loss", store_id=store, purpose="破损", reason="破损", lines=[
            {"batch_id": batch, "quantity": Decimal(rng.randrange(1, 5))}])
        documents.confirm(session, actor, paper.id)
    elif batch is not None:
        other = house.ids["pharmacy"] if store == house.ids["warehouse"] else house.ids["warehouse"]
        paper = documents.draft(session, actor, kind="transfer", store_id=store, other_store_id=other, purpose="调拨", lines=[
            {"batch_id": batch, "quantity": Decimal(rng.randrange(1, 30))}])
        transfers.ship(session, actor, paper.id)
        if rng.random() < 0.7:
            transfers.receive(session, actor, paper.id)


def _closes(session: Session, start: date, end: date, stores: list[int] | None) -> dict[int, Decimal]:
    """Every row adds up; returns the closing by batch."""
    closing = {}
    for row in movement(session, start, end, store_ids=stores):
        assert row["opening"] + sum((row[c] for c in rules.MOVEMENT), Decimal(0)) == row["closing"], row
        assert row["opening_amount"] + sum((row[f"{c}_amount"] for c in rules.MOVEMENT), Decimal(0)) == row["closing_amount"]
        closing[row["batch_id"]] = row["closing"]
    return closing


@pytest.mark.requirement("M6.1", "FN-17")
def test_a_generated_quarter_closes_for_any_period(house: House, actor: Actor, clock: ManualClock) -> None:
    begun = clock.today()
    _worked(house, actor, clock, 7, 90)
    end = clock.today()
    with house.db.begin(write=False) as session:
        without = _before_snapshots(session, house, begun, end)
    assert snapshots.take_due(house.db) == 2  # 1 April and 1 May: it is the last of May
    assert snapshots.take_due(house.db) == 0
    with house.db.begin(write=False) as session:
        assert _three_periods(session, house, begun) == without  # month beginnings change nothing but the time it takes
        _follow_on(session, house, begun)
    assert house.findings() == []


def _worked(house: House, actor: Actor, clock: ManualClock, seed: int, days: int) -> None:
    with house.db.begin() as session:
        session.info["actor"] = actor
        _month(session, actor, house, clock, seed, days)


def _three_periods(session: Session, house: House, begun: date) -> list[Any]:
    return [movement(session, start, start + timedelta(days=9), store_ids=stores)
            for start in (begun, begun + timedelta(days=17), begun + timedelta(days=61))
            for stores in (None, [house.ids["warehouse"]])]


def _before_snapshots(session: Session, house: House, begun: date, end: date) -> list[Any]:
    """The whole quarter closes at what the balances say, which the report never reads."""
    held: dict[int, Decimal] = dict(session.execute(
        select(StockBalance.batch_id, func.sum(StockBalance.on_hand)).group_by(StockBalance.batch_id)).all())
    shown = _closes(session, begun, end, None)
    assert {k: v for k, v in shown.items() if v} == {k: v for k, v in held.items() if v}
    return _three_periods(session, house, begun)


def _follow_on(session: Session, house: House, begun: date) -> None:
    """Any period closes, and the next one opens with what it closed with."""
    for start in range(0, 88, 11):
        first, last = begun + timedelta(days=start), begun + timedelta(days=start + 10)
        for stores in (None, [house.ids["pharmacy"]]):
            before = {r["batch_id"]: (r["closing"], r["closing_amount"])
                      for r in movement(session, begun, first, store_ids=stores)}
            _closes(session, first, last, stores)
            for row in movement(session, first + timedelta(days=1), last, store_ids=stores):
                assert before.get(row["batch_id"], (Decimal(0), Decimal(0))) == (row["opening"], row["opening_amount"])


def test_report_reads_the_period_not_the_ledger(house: House, actor: Actor, clock: ManualClock,
                                                query_counter: Callable[[], Any]) -> None:
    _worked(house, actor, clock, 3, 40)
    assert snapshots.take_due(house.db) == 1
    day = clock.today()
    with house.db.begin(write=False) as session, query_counter() as count:
        movement(session, day, day)
    assert count.total <= 7, count.statements
    reads = [s for s in count.statements if "FROM stock_move" in s]
    assert len(reads) == 4 and all("business_date >=" in s for s in reads), reads


def _sell(place: Place, actor: Actor, ids: dict[str, int], number: int) -> int:
    database = place.open()
    sold = 0
    for n in range(10):
        try:
            with database.begin() as session:
                session.info["actor"] = actor
                sale = Document("prescription", number * 1000 + n)
                stock.reserve(session, ids["warehouse"], [Demand(1, ids["drug"], Decimal(7))], sale)
                stock.issue(session, actor, sale)
            sold += 7
        except Conflict as refused:
            assert refused.code == "stock.short"
    database.dispose()
    return sold


@pytest.mark.requirement("M6.1", "FN-17")
def test_report_over_http_closes_after_concurrent_dispensing(house: House, keys_dir: Path, actor: Actor) -> None:
    sold = sum(run_all(_sell, [(place_of(house.db, keys_dir), actor, house.ids, n) for n in range(1, 5)]))
    path = f"/api/reports/drug-movement?start=2026-03-01&end=2026-03-31&store_id={house.ids['warehouse']}"
    found = house.ok(house.clients["finance"].get(path))
    mine = [row for row in found["rows"] if row["lot_no"] in ("A1", "B2")]
    assert sum(Decimal(row["dispensed"]) for row in mine) == -sold
    for row in found["rows"]:
        parts = [Decimal(row[c["key"]] or 0) for c in found["columns"] if c["kind"] == "money" and "closing" not in c["key"]]
        assert sum(parts, Decimal(0)) == Decimal(row["closing_amount"])
    assert house.clients["doctor"].get(path).status_code == 403
    assert house.clients["finance"].get(path + "&format=xlsx").status_code == 200
    assert house.findings() == []


def test_balance_finds_a_snapshot_that_was_changed(house: House, clock: ManualClock) -> None:
    clock.move(days=40)
    assert snapshots.take_due(house.db) == 1
    with house.db.begin() as session:
        row = session.scalars(select(StockSnapshot).order_by(StockSnapshot.batch_id)).first()
        assert row is not None
        row.quantity += 1
    assert any(f.startswith("stock.snapshot") for f in house.findings())


@pytest.mark.requirement("FN-17")
def test_expired_lot_is_not_dispensed(house: House, clock: ManualClock) -> None:
    clock.move(days=200)  # A1 expires today
    with house.db.begin() as session:
        shares = stock.reserve(session, house.ids["warehouse"], [Demand(1, house.ids["drug"], Decimal(24))], Document("x", 1))
        lots = {session.get_one(Batch, s.batch_id).lot_no for s in shares}
    assert lots == {"B2"}
