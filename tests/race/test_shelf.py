"""At the shelf by real processes: two pharmacists with one prescription, a count that posts while packs go out by their codes, a
price that changes while doctors prescribe."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import Database, numbering, today
from his_server.errors import AppError
from modules.drug_warehouse.models import PriceChange, Revaluation
from modules.drug_warehouse.service import money
from modules.kernel.charging.models import ChargeLine
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from modules.kernel.masterdata.models import Drug, DrugPrice
from modules.kernel.orders import service as orders
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import StockBalance, StockMove, StocktakeLine, TraceCode, TraceMove
from modules.kernel.stock.rules import Demand
from modules.kernel.stock.service import Document, Receipt, stocktake, tracing
from modules.kernel.stock.service.stocktake import Count
from tests.factories.hospital import World
from tests.modules.kernel.stock.conftest import House
from tests.modules.kernel.stock.conftest import house as house
from tests.processes import Place, place_of, run_all
from tests.race.test_dispensing import EACH, _paid_ones, contend

PACKS, PACK, MISSING = 60, 24, 5
TIMES = 40


def _again(database: Database, act: Callable[[Session], None]) -> str:
    """A unit of work as the server runs it, again after a deadlock; ``done`` or the refusal's code."""
    for _ in range(8):
        try:
            with database.begin() as session:
                act(session)
            return "done"
        except AppError as refusal:
            assert refusal.status in (409, 422), refusal.message
            return refusal.code
        except Exception as error:
            if not portable.is_deadlock(error):
                raise
    return "deadlock"


def _together(place: Place, actor: Actor, begin: float, cases: list[tuple[int, int, int]], seed: int) -> list[str]:
    """All begin at one moment, however long it took to start them."""
    threading.Event().wait(max(0, begin - time.time()))
    return contend(place, actor, ["dispense"] * len(cases), cases, seed)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.requirement("RX-12", "M7.1")
def test_two_pharmacists_hand_out_one_prescription_once(world: World, keys_dir: Path) -> None:
    maker, *pharmacists = (Actor(user_id=30_000 + n, login=f"who{n}", name=f"药师{n}", staff_id=world.ids["doctor"],
                                 department_id=world.ids["clinic"], permissions=frozenset()) for n in range(4))
    with world.db.begin() as session:
        numbering.grant_range(session, RECEIPT_SERIES, maker.user_id, 400 * 10**6, 401 * 10**6 - 1)
    cases = [case for _ in range(TIMES // 20) for case in _paid_ones(world, maker, 20)]
    with world.db.begin() as session:
        before = session.scalar(select(func.sum(StockBalance.on_hand)).where(StockBalance.drug_id == world.ids["drug"]))
    begin = time.time() + 10
    ends = run_all(_together, [(place_of(world.db, keys_dir), one, begin, cases, n) for n, one in enumerate(pharmacists)],
                   timeout=300)
    print([Counter(end) for end in ends])
    for n in range(TIMES):
        assert sorted(end[n] == "won" for end in ends) == [False, False, True], [end[n] for end in ends]
    assert sum(end.count("won") > 0 for end in ends) > 1, "one of them did it all: no race"
    with world.db.begin(write=False) as session:
        after = session.scalar(select(func.sum(StockBalance.on_hand)).where(StockBalance.drug_id == world.ids["drug"]))
        moved = session.scalar(select(func.count()).select_from(StockMove).where(
            StockMove.kind == "dispense", StockMove.document_id.in_([case[0] for case in cases])))
    assert before - after == TIMES * EACH and moved == TIMES
    assert world.findings() == []


def _on_shelf(ids: dict[str, int]) -> Select[tuple[str]]:
    return select(TraceCode.code).where(TraceCode.batch_id == ids["batch"], TraceCode.state == "in_stock").order_by(TraceCode.id)


def _sell(place: Place, actor: Actor, ids: dict[str, int], number: int) -> Counter[str]:
    """A window that hands out packs by their codes, whatever the count does."""
    database, rng, ends = place.open(), random.Random(number), Counter[str]()
    for n in range(12):
        with database.begin(write=False) as session:
            codes = session.scalars(_on_shelf(ids)).all()
        mine = [code for code in codes if code[-4:] >= f"{MISSING:04d}"]  # the first few aren't on the shelf
        if not mine:
            break

        def hand_out(session: Session, code: str = rng.choice(mine), n: int = n) -> None:
            session.info["actor"] = actor
            sale = Document("prescription", number * 1000 + n)
            stock.reserve(session, ids["store"], [Demand(1, ids["drug"], Decimal(PACK))], sale)
            stock.issue(session, actor, sale)
            tracing.use(session, actor, sale, 1, ids["drug"], [code], store_id=ids["store"],
                        quantity=Decimal(PACK), pack_size=PACK)

        ends[_again(database, hand_out)] += 1
    database.dispose()
    return ends


def _count(place: Place, actor: Actor, ids: dict[str, int], number: int) -> Counter[str]:
    """Scans what is on the shelf and posts; what moved meanwhile is counted again until it is still."""
    database, ends = place.open(), Counter[str]()
    for _ in range(200):

        def post(session: Session) -> None:
            session.info["actor"] = actor
            stocktake.count(session, actor, ids["sheet"], [Count(1, Decimal(0))], again=True)
            codes = session.scalars(_on_shelf(ids)).all()
            stocktake.scan(session, actor, ids["sheet"], [code for code in codes if code[-4:] >= f"{MISSING:04d}"])
            stocktake.post(session, actor, ids["sheet"])

        ends[end := _again(database, post)] += 1
        if end in ("done", "stocktake.ended"):
            break
    database.dispose()
    return ends


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.requirement("TC-07", "M7.5")
def test_a_count_by_codes_posts_once_while_the_window_hands_out(house: House, keys_dir: Path, actor: Actor) -> None:
    with house.db.begin() as session:
        session.info["actor"] = actor
        drug = Drug(**{c.key: getattr(session.get_one(Drug, house.ids["drug"]), c.key) for c in Drug.__table__.columns
                       if c.key not in ("id", "code")}, code="RACE")
        session.add(drug)
        session.flush()
        [held] = stock.receive(session, SYSTEM, house.ids["pharmacy"], [Receipt(
            drug.id, "RACE", today(session) + timedelta(days=300), Decimal(10), Decimal(PACK * PACKS), None, PACK)],
            Document("stock_in", 77))
        tracing.collect(session, actor, house.ids["pharmacy"], Document("stock_in", 77), [
            tracing.Scan(f"8{n:019d}", drug.id, held.batch_id, Decimal(PACK)) for n in range(PACKS)])
        sheet = stocktake.make(session, actor, house.ids["pharmacy"], drug_ids=[drug.id])
        ids = {"store": house.ids["pharmacy"], "drug": drug.id, "batch": held.batch_id, "sheet": sheet.id}
    place = place_of(house.db, keys_dir)
    ends = run_all(_work, [(place, actor, ids, n) for n in range(4)], timeout=300)
    print(ends)
    assert ends[0]["done"] + ends[1]["done"] == 1, ends
    with house.db.begin(write=False) as session:
        states = Counter(session.scalars(select(TraceCode.state).where(TraceCode.batch_id == ids["batch"])))
        on_hand = session.scalar(select(StockBalance.on_hand).where(StockBalance.batch_id == ids["batch"]))
        lost = session.scalars(select(TraceCode.code).where(TraceCode.state == "lost").order_by(TraceCode.id)).all()
        sold = session.scalar(select(func.count()).select_from(TraceMove).where(TraceMove.act == "use"))
        [line] = session.scalars(select(StocktakeLine).where(StocktakeLine.stocktake_id == ids["sheet"]))
    # what wasn't on the shelf is lost, what was sold is sold, what is left has its codes
    assert list(lost) == [f"8{n:019d}" for n in range(MISSING)]
    assert states["dispensed"] == sold == ends[2]["done"] + ends[3]["done"] > 0
    assert on_hand == PACK * states["in_stock"] and states["in_stock"] == PACKS - MISSING - sold
    assert line.counted is not None and house.findings() == []


def _work(place: Place, actor: Actor, ids: dict[str, int], number: int) -> Counter[str]:
    return (_count if number < 2 else _sell)(place, actor, ids, number)


def _prescribe(place: Place, actor: Actor, ids: dict[str, int], visit: int, number: int) -> Counter[str]:
    """Doctors prescribe (0 to 2) while the price clerk changes the price (3)."""
    database, ends = place.open(), Counter[str]()
    for n in range(12):

        def act(session: Session, n: int = n) -> None:
            session.info["actor"] = actor
            if number == 3:
                money.change_price(session, actor, drug_id=ids["drug"], price=Decimal(30 + n),
                                   valid_from=today(session), reason="调价")
            else:
                orders.prescribe(session, actor, encounter_id=visit, diagnosis="咳嗽", lines=[{
                    "drug_id": ids["drug"], "dose": Decimal("0.5"), "usage": "口服", "frequency": "tid", "days": 4,
                    "quantity": Decimal(24)}])

        ends[_again(database, act)] += 1
    database.dispose()
    return ends


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.requirement("FN-16")
def test_a_price_changes_while_doctors_prescribe(world: World, keys_dir: Path) -> None:
    """Every line has one of the prices that were in force, the bill's line the same one; each change values the stock that was
    there, and of a day's prices one is in force."""
    person = world.person()
    visit = world.encounter(world.register(person))
    doctor = Actor(user_id=31_000, login="doc", name="医师", staff_id=world.ids["doctor"], department_id=world.ids["clinic"],
                   permissions=frozenset())
    with world.db.begin(write=False) as session:
        first = session.scalar(select(DrugPrice.pack_price).where(DrugPrice.drug_id == world.ids["drug"],
                                                                  DrugPrice.valid_to.is_(None)))
        held = session.scalar(select(func.sum(StockBalance.on_hand)).where(StockBalance.drug_id == world.ids["drug"]))
    ends = run_all(_prescribe, [(place_of(world.db, keys_dir), doctor, world.ids, visit, n) for n in range(4)], timeout=300)
    print(ends)
    with world.db.begin(write=False) as session:
        changes = session.scalars(select(PriceChange).where(PriceChange.drug_id == world.ids["drug"])
                                  .order_by(PriceChange.id)).all()
        allowed = {Decimal(first), *(change.new_price for change in changes)}
        rows = session.execute(
            select(PrescriptionLine.price, ChargeLine.price.label("billed"), ChargeLine.amount, ChargeLine.quantity)
            .join(Prescription, Prescription.id == PrescriptionLine.prescription_id)
            .join(ChargeLine, ChargeLine.id == PrescriptionLine.charge_line_id)
            .where(Prescription.encounter_id == visit)).all()
        now_valid = session.scalars(select(DrugPrice.pack_price).where(
            DrugPrice.drug_id == world.ids["drug"], DrugPrice.valid_to.is_(None))).all()
        valued = {row.change_id: row.quantity for row in session.execute(
            select(Revaluation.change_id, func.sum(Revaluation.quantity).label("quantity")).group_by(Revaluation.change_id))}
    assert len(rows) == sum(end["done"] for end in ends[:3]) > 0 and len(changes) == ends[3]["done"] > 0
    assert {row.price for row in rows} <= allowed and all(row.price == row.billed for row in rows)
    assert all(row.amount == row.price * row.quantity for row in rows)
    assert list(now_valid) == [changes[-1].new_price]
    assert [change.old_price for change in changes] == [Decimal(first), *(change.new_price for change in changes[:-1])]
    assert set(valued.values()) == {held} and len(valued) == len(changes)
    assert world.findings() == []
