"""M10.1, RX-12: two nurses, or a nurse and a pharmacist, at the same patient in the same moment, by real processes."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.clock import ManualClock
from his_server.db import now
from his_server.errors import AppError
from modules.infusion import service as infusions
from modules.infusion.models import Bottle, Infusion, InfusionSeat
from modules.kernel.charging.models import ChargeLineState
from modules.kernel.charging.rules import Pay
from modules.kernel.encounters import service as encounters
from modules.kernel.orders import service as orders
from modules.kernel.orders.models import DrugClaim, SkinTest
from modules.kernel.orders.service import skin_tests
from modules.kernel.orders.settings import Settings
from modules.outpatient_billing import queries as billing_queries
from modules.outpatient_billing import service as billing
from modules.outpatient_pharmacy import service as pharmacy
from tests.factories.hospital import World
from tests.modules.infusion.room import Room
from tests.processes import Place, place_of, run_all

TIMES = 24
Case = dict[str, Any]


def _receive(session: Session, actor: Actor, case: Case, _who: int) -> None:
    infusions.receive(session, actor, case["prescription"], person_id=case["person"])


def _give_back(session: Session, actor: Actor, case: Case, _who: int) -> None:
    pharmacy.take_back(session, actor, case["prescription"], lines={case["line"]: Decimal(1)}, reason="停止输液")


def _test(session: Session, actor: Actor, case: Case, _who: int) -> None:
    skin_tests.start(session, actor, person_id=case["person"], prescription_line_id=case["line"], lot_no="P1",
                     policy=Settings())


def _sign(session: Session, actor: Actor, case: Case, _who: int) -> None:
    skin_tests.confirm(session, actor, case["test"], result=skin_tests.NEGATIVE, policy=Settings())


def _sit(session: Session, actor: Actor, case: Case, who: int) -> None:
    infusions.sit(session, actor, case["infusions"][who], case["seat"])


def _prepare(session: Session, actor: Actor, case: Case, _who: int) -> None:
    infusions.prepare(session, actor, case["bottle"])


ACTS: dict[str, Callable[[Session, Actor, Case, int], None]] = {
    "receive": _receive, "give back": _give_back, "test": _test, "sign": _sign, "sit": _sit, "prepare": _prepare}


def contend(place: Place, actor: Actor, acts: list[str], cases: list[Case], who: int) -> list[str]:
    """Do the act of each case after a random pause; ``won`` or the refusal's code, in order."""
    database = place.open()
    rng, pause = random.Random(who), threading.Event()
    ends = []
    for what, case in zip(acts, cases, strict=True):
        pause.wait(rng.uniform(0, 0.004))
        for _ in range(6):
            try:
                with database.begin() as session:
                    session.info["actor"] = actor
                    ACTS[what](session, actor, case, who)
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


@pytest.fixture
def room(world: World) -> Room:
    """The room."""
    return Room(world)


def actors(room: Room, count: int = 2) -> list[Actor]:
    """People who may do everything."""
    return [Actor(user_id=30_000 + n, login=f"n{n}", name=f"选手{n}", staff_id=room.world.ids["doctor"],
                  department_id=room.world.ids["clinic"], permissions=frozenset()) for n in range(count)]


def paid(room: Room, actor: Actor, drug: str = "saline", dispensed: bool = True) -> Case:
    """A person with a paid drip, straight by the services: one unit of work."""
    ids = room.world.ids
    person = room.world.person()
    with room.world.db.begin() as session:
        session.info["actor"] = SYSTEM
        visit = encounters.open_encounter(session, actor, person_id=person, kind="outpatient", department_id=ids["clinic"],
                                          doctor_id=ids["doctor"])
        drip = {"drug_id": ids[drug], "dose": Decimal(1 if drug == "penicillin" else 250), "usage": "静滴"}
        made = orders.prescribe(session, actor, encounter_id=visit.id, diagnosis="肺炎", check_reason="已询问",
                                lines=[{**drip, "frequency": "qd", "days": 1}])
        line, charge_line = made.lines[0].id, made.lines[0].charge_line_id
        owed = billing_queries.unpaid(session, person)
        billing.settle(session, room_cashier(room), person_id=person, line_ids=[line["id"] for line in owed["lines"]],
                       payments=[Pay("cash", owed["total"])], to_jiao=True)
        if dispensed:
            orders.dispense(session, actor, made.id)
        return {"person": person, "prescription": made.id, "line": line, "charge_line": charge_line}


def room_cashier(room: Room) -> Actor:
    """Somebody with a range of receipts."""
    return Actor(user_id=room.world.ids["user_cashier"], login="cashier", name="李收费", staff_id=None, department_id=None)


def run(room: Room, keys_dir: Path, turns: list[list[str]], cases: list[Case]) -> list[list[str]]:
    """All processes over all cases; which one ended how."""
    place = place_of(room.world.db, keys_dir)
    return run_all(contend, [(place, actor, acts, cases, n)
                             for n, (actor, acts) in enumerate(zip(actors(room, len(turns)), turns, strict=True))], timeout=300)


@pytest.mark.timeout(600)
@pytest.mark.requirement("M10.1", "RX-12")
def test_infused_or_given_back_never_both(room: Room, keys_dir: Path) -> None:
    people = actors(room)
    cases = [paid(room, people[0]) for _ in range(TIMES)]
    turns = [[("receive", "give back")[(n + first) % 2] for n in range(TIMES)] for first in (0, 1)]
    ends = run(room, keys_dir, turns, cases)
    tally: Counter[str] = Counter()
    with room.world.db.begin(write=False) as session:
        received = set(session.scalars(select(Infusion.prescription_id)))
        claimed = set(session.scalars(select(DrugClaim.prescription_id).where(DrugClaim.state == "held")))
        out = dict(session.execute(select(ChargeLineState.line_id, ChargeLineState.performed)).all())
    for n, case in enumerate(cases):
        here = [(turns[p][n], ends[p][n]) for p in (0, 1)]
        won = [act for act, end in here if end == "won"]
        assert len(won) == 1, here
        assert {end for _, end in here} - {"won"} <= {"orders.given_back", "pharmacy.return_given"}, here
        assert (case["prescription"] in received) == (case["prescription"] in claimed) == (won == ["receive"])
        assert out[case["charge_line"]] == (1 if won == ["receive"] else 0)
        tally[won[0]] += 1
    assert min(tally.values()) > 0 and len(tally) == 2, tally
    assert room.world.findings() == []


@pytest.mark.timeout(600)
@pytest.mark.requirement("M10.1")
def test_a_skin_test_is_begun_and_signed_once(room: Room, keys_dir: Path, clock: ManualClock) -> None:
    people = actors(room)
    cases = [paid(room, people[0], "penicillin", dispensed=False) for _ in range(TIMES)]
    ends = run(room, keys_dir, [["test"] * TIMES] * 2, cases)
    for n in range(TIMES):
        assert sorted(end[n] for end in ends)[-1] == "won" and [end[n] for end in ends].count("won") == 1, ends
        assert {end[n] for end in ends} - {"won"} <= {"skin_test.running"}
    with room.world.db.begin() as session:
        session.info["actor"] = SYSTEM
        clock.move(minutes=20)
        begun = {test.prescription_line_id: test.id for test in session.scalars(select(SkinTest))}
        assert len(begun) == TIMES
        for case in cases:
            case["test"] = begun[case["line"]]
            skin_tests.read(session, SYSTEM, case["test"], result=skin_tests.NEGATIVE)
    ends = run(room, keys_dir, [["sign"] * TIMES] * 2, cases)
    for n in range(TIMES):
        assert sorted(end[n] for end in ends) == ["skin_test.state", "won"], ends
    with room.world.db.begin(write=False) as session:
        assert session.query(SkinTest).filter_by(state="confirmed").count() == TIMES


@pytest.mark.parametrize("db_url", [pytest.param("sqlite", marks=pytest.mark.long), "postgresql"], indirect=True)
@pytest.mark.timeout(600)
@pytest.mark.requirement("M10.1")
def test_a_seat_is_taken_once_and_a_bottle_prepared_once(room: Room, keys_dir: Path) -> None:
    people = actors(room)
    times = TIMES // 2
    cases: list[Case] = []
    with room.world.db.begin() as session:
        session.info["actor"] = SYSTEM
        seats = [InfusionSeat(code=f"R{n:02d}", area="R区", kind="椅", position=n, active=True, infusion_id=None,
                              changed_at=now(session), changed_by_name="系统") for n in range(times)]
        session.add_all(seats)
        session.flush()
        keys = [seat.id for seat in seats]
    for seat in keys:
        pair = [paid(room, people[0]) for _ in range(2)]
        with room.world.db.begin() as session:
            session.info["actor"] = SYSTEM
            here = [infusions.receive(session, people[0], one["prescription"], person_id=one["person"]).id for one in pair]
            bottle = session.scalars(select(Bottle.id).where(Bottle.infusion_id == here[0])).one()
            cases.append({"infusions": here, "seat": seat, "bottle": bottle})
    ends = run(room, keys_dir, [["sit"] * times] * 2, cases)
    for n in range(times):
        assert sorted(end[n] for end in ends) == ["infusion.seat_taken", "won"], ends
    with room.world.db.begin(write=False) as session:
        for case in cases:
            seated = [key for key in case["infusions"] if session.get_one(Infusion, key).seat_id == case["seat"]]
            assert seated == [session.get_one(InfusionSeat, case["seat"]).infusion_id]
    ends = run(room, keys_dir, [["prepare"] * times] * 2, cases)
    for n in range(times):
        assert sorted(end[n] for end in ends) == ["infusion.bottle_state", "won"], ends
