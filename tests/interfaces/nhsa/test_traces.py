"""Trace codes reach the centre once each, under the serial that they have, whatever the line does (R1, TC-04, TC-06)."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from his_server.actor import Actor
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.messaging.worker import Worker
from his_server.module import Module
from his_server.registry import Hospital
from interfaces import nhsa
from interfaces.hub.simulating import Faults, Rule
from interfaces.nhsa import subscriptions
from modules.kernel.stock.models import TraceUpload
from modules.kernel.stock.service import Document, stocktake, tracing
from modules.kernel.stock.service.tracing import Scan
from tests.factories import masterdata as make
from tests.factories.insurer import Simulated, bind
from tests.factories.stock import fill, make_store

CODES = ["08123456789012345678", "08123456789012345679"]


@pytest.fixture
def house(db: Database, actor: Actor, tmp_path: Path) -> dict[str, Any]:
    """Two packs bought, one of them sold whole, then taken back, the other sold in part; the insurer's line is open."""
    port = bind(db, tmp_path)
    with db.begin() as session:
        session.info["actor"] = actor
        drug, store = make.make_drug(session), make_store(session)
        batch = fill(session, store, drug)
        tracing.collect(session, actor, store.id, Document("stock_in", 1),
                        [Scan(code, drug.id, batch.batch_id, Decimal(24)) for code in CODES])
        sale = Document("prescription", 77)
        tracing.use(session, actor, sale, 1, drug.id, CODES[:1], store_id=store.id, quantity=Decimal(24), pack_size=24)
        tracing.take_back(session, actor, sale, 1, CODES[:1], store_id=store.id)
        tracing.use(session, actor, sale, 2, drug.id, CODES[1:], store_id=store.id, quantity=Decimal(4), pack_size=24)
        tracing.move(session, actor, "lose", Document("loss", 5), CODES[:1], store_from=store.id, store_to=None)
        ids = {"drug": drug.id, "store": store.id}
    return {"port": port, **ids}


def _work(db: Database, clock: ManualClock, rounds: int = 25) -> None:
    part = Hospital((Module(name="nhsa", title="", handlers=nhsa.module.handlers),))
    worker = Worker(db, part, chance=random.Random(7))
    for _ in range(rounds):
        worker.step()
        clock.move(minutes=10)


def _sent(port: Simulated) -> list[tuple[str, list[str]]]:
    return sorted((row["kind"], [one["drug_trac_codg"] for one in json.loads(row["body"])["drugtracinfo"]])
                  for row in port.books.rows("SELECT * FROM stock"))


ALL = [("3502", CODES[:1]), ("3503", CODES), ("3505", CODES[:1]), ("3505", CODES[1:]), ("3506", CODES[:1])]


@pytest.mark.requirement("R1", "TC-04", "TC-06")
@pytest.mark.parametrize("fault", ["", "drop_before", "drop_after", "duplicate", "garbage", "refuse"])
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_each_movement_is_uploaded_once(db: Database, clock: ManualClock, house: dict[str, Any], fault: str) -> None:
    port: Simulated = house["port"]
    if fault:
        Faults(port.folder / "nhsa").write([Rule(fault, infno, count=1) for infno in ("3502", "3503", "3505", "3506")])
    _work(db, clock)
    assert _sent(port) == ALL
    with db.begin(write=False) as session:
        rows = session.scalars(select(TraceUpload)).all()
        assert {row.state for row in rows} == {"sent"} and all(len(row.peer_number) == 30 for row in rows)
        split = [json.loads(row["body"])["selinfo"]["trdn_flag"] for row in port.books.rows(
            "SELECT body FROM stock WHERE kind = '3505'")]
    assert sorted(split) == ["0", "1"]


@pytest.mark.requirement("R1", "TC-06")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_what_is_refused_says_why_and_is_sent_again_by_hand(db: Database, clock: ManualClock, house: dict[str, Any],
                                                           actor: Actor) -> None:
    port: Simulated = house["port"]
    port.insurer.simulated = False  # a real line: nobody has mapped the drug
    _work(db, clock)
    assert _sent(port) == []
    with db.begin() as session:
        session.info["actor"] = actor
        rows = session.scalars(select(TraceUpload).order_by(TraceUpload.id)).all()
        assert {row.state for row in rows} == {"refused"} and "没有对照医保目录" in rows[0].message
        assert tracing.resend(session, actor, [row.id for row in rows]) == len(ALL)
    port.insurer.simulated = True
    _work(db, clock)
    assert _sent(port) == ALL


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_a_wrong_upload_is_taken_back_and_sent_again(db: Database, clock: ManualClock, house: dict[str, Any], actor: Actor
                                                     ) -> None:
    """3507; what is sent again waits until the deletion went up."""
    port: Simulated = house["port"]
    _work(db, clock)
    with db.begin() as session:
        session.info["actor"] = actor
        lost = session.scalars(select(TraceUpload).where(TraceUpload.act == "lose")).one()
        tracing.withdraw_upload(session, actor, lost.id, reason="登记错误")
    Faults(port.folder / "nhsa").write([Rule("drop_after", "3507", count=1)])
    _work(db, clock)
    assert _sent(port) == [one for one in ALL if one[0] != "3502"]
    with db.begin() as session:
        session.info["actor"] = actor
        assert tracing.resend(session, actor, [lost.id]) == 1
    _work(db, clock)
    assert _sent(port) == ALL


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_a_posted_count_goes_up_batch_by_batch(db: Database, clock: ManualClock, house: dict[str, Any], actor: Actor) -> None:
    """3501, each batch once, with the codes that lie there; a broken line in between goes on where it stopped."""
    port: Simulated = house["port"]
    with db.begin() as session:
        session.info["actor"] = actor
        sheet = stocktake.make(session, actor, house["store"]).id
        stocktake.count(session, actor, sheet, [stocktake.Count(1, Decimal(20))])
        stocktake.post(session, actor, sheet)
    Faults(port.folder / "nhsa").write([Rule("drop_after", "3501", count=1)])
    _work(db, clock)
    counted = [json.loads(row["body"]) for row in port.books.rows("SELECT body FROM stock WHERE kind = '3501'")]
    assert [(one["invinfo"]["inv_cnt"], [c["drug_trac_codg"] for c in one["drugtracinfo"]]) for one in counted] == [
        ("20.00", CODES[1:])]
    assert subscriptions.send_count(port.insurer, sheet, nhsa.code_of) == 0
