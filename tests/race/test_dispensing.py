"""RX-12: handing out and refunding one prescription at once, 200 random interleavings by real processes."""

from __future__ import annotations

import random
import threading
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import numbering
from his_server.errors import AppError
from modules.kernel.charging.models import ChargeLineState
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from modules.kernel.dispensing.models import DispensingTask
from modules.kernel.orders import service as orders
from modules.kernel.orders.models import Prescription
from modules.kernel.stock.models import StockBalance
from modules.outpatient_billing import service as billing
from modules.outpatient_pharmacy import service as pharmacy
from modules.outpatient_pharmacy.service import reviewing
from tests.factories.hospital import World
from tests.processes import Place, place_of, run_all

TIMES = 200
BATCH = 20
EACH = 10
"""Capsules, charged singly at 1 yuan."""


def contend(place: Place, actor: Actor, acts: list[str], cases: list[tuple[int, int, int]], seed: int) -> list[str]:
    """Hand out, refund, give back or leave each case after a random pause; ``won`` or the refusal's code, in order."""
    database = place.open()
    rng = random.Random(seed)
    pause = threading.Event()
    ends = []
    for what, (prescription, settlement, line) in zip(acts, cases, strict=True):
        if not what:
            ends.append("")
            continue
        pause.wait(rng.uniform(0, 0.004))
        for _ in range(5):
            try:
                with database.begin() as session:
                    session.info["actor"] = actor
                    if what == "dispense":
                        pharmacy.dispense(session, actor, prescription)
                    elif what == "refund":
                        billing.refund(session, actor, settlement, lines={line: Decimal(EACH)}, reason="病人要求",
                                       approval_from=Decimal(10**6), to_jiao=True)
                    else:
                        reviewing.bounce(session, actor, prescription, reason="请确认剂量")
                ends.append("won")
                break
            except AppError as refusal:
                assert refusal.status == 409, refusal.message
                ends.append(refusal.code)
                break
            except Exception as error:
                if not portable.is_deadlock(error):
                    raise
        else:
            ends.append("deadlock")
    database.dispose()
    return ends


def _paid_ones(world: World, actor: Actor, count: int) -> list[tuple[int, int, int]]:
    """So many paid prescriptions of a few capsules: prescription, settlement and charge line."""
    person = world.person()
    visit = world.encounter(world.register(person))
    cases = []
    line = {"drug_id": world.ids["drug"], "dose": Decimal("0.5"), "usage": "口服", "frequency": "tid", "days": 4,
            "quantity": Decimal(EACH)}
    for _ in range(count):
        with world.db.begin() as session:
            session.info["actor"] = actor
            made = orders.prescribe(session, actor, encounter_id=visit, diagnosis="咳嗽", lines=[line])
            key, charge_line = made.id, made.lines[0].charge_line_id
            settled = billing.settle(session, actor, person_id=person, line_ids=[charge_line],
                                     payments=[Pay("cash", Decimal("10.00"))], to_jiao=True)
            reviewing.review(session, actor, key, note="多张处方，已核实")
            cases.append((key, settled.id, charge_line))
    return cases


@pytest.mark.parametrize("db_url", [pytest.param("sqlite", marks=pytest.mark.long), "postgresql"], indirect=True)
@pytest.mark.timeout(900)
@pytest.mark.requirement("RX-12", "M8.4")
def test_dispensing_against_refund_two_hundred_times(world: World, keys_dir: Path) -> None:
    actors = {}
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        for n, what in enumerate(("one", "two", "bounce", "maker")):
            actors[what] = Actor(user_id=20_000 + n, login=what, name=f"选手{what}", staff_id=world.ids["doctor"],
                                 department_id=world.ids["clinic"], permissions=frozenset())
            numbering.grant_range(session, RECEIPT_SERIES, actors[what].user_id, (n + 300) * 10**6,
                                  (n + 301) * 10**6 - 1)
    cases: list[tuple[int, int, int]] = []
    for _ in range(TIMES // BATCH):
        cases += _paid_ones(world, actors["maker"], BATCH)
    with world.db.begin() as session:
        before = session.scalar(select(func.sum(StockBalance.on_hand)).where(
            StockBalance.store_id == world.ids["store"], StockBalance.drug_id == world.ids["drug"]))
    place = place_of(world.db, keys_dir)
    # two processes take turns at handing out and refunding, so that neither act is the faster one; a third gives some back
    turns = [["dispense" if (n + first) % 2 else "refund" for n in range(TIMES)] for first in (0, 1)]
    turns.append(["bounce" if n % 5 == 0 else "" for n in range(TIMES)])
    ends = run_all(contend, [(place, actors[who], turns[n], cases, n) for n, who in enumerate(("one", "two", "bounce"))],
                   timeout=600)
    tally: Counter[str] = Counter()
    given = 0
    with world.db.begin(write=False) as session:
        states = dict(session.execute(select(Prescription.id, Prescription.state)).all())
        tasks = dict(session.execute(select(DispensingTask.prescription_id, DispensingTask.state)).all())
        lines: dict[int, Any] = {r.line_id: r for r in session.scalars(select(ChargeLineState))}
        for n, (prescription, _, line) in enumerate(cases):
            won = {turns[p][n]: ends[p][n] == "won" for p in (0, 1)}
            handed, refunded = won["dispense"], won["refund"]
            assert handed + refunded == 1, [end[n] for end in ends]
            assert states[prescription] == ("dispensed" if handed else "refunded")
            assert tasks[prescription] == ("done" if handed else "withdrawn")
            assert (lines[line].performed, lines[line].refunded) == ((EACH, 0) if handed else (0, EACH))
            given += handed
            tally["dispensed" if handed else "refunded"] += 1
            tally[f"bounce {ends[2][n]}"] += bool(ends[2][n])
        after = session.scalar(select(func.sum(StockBalance.on_hand)).where(
            StockBalance.store_id == world.ids["store"], StockBalance.drug_id == world.ids["drug"]))
        assert session.scalar(select(func.sum(StockBalance.reserved))) == 0
    print(dict(tally))
    assert before - after == given * EACH
    assert min(tally["dispensed"], tally["refunded"]) >= TIMES // 10, tally
    assert world.findings() == []
