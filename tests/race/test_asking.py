"""Two desks ask for the same thing in the same moment, by real processes: a refund's approval, a copy of a report."""

from __future__ import annotations

import json
import random
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from his_server.actor import Actor
from his_server.errors import Conflict
from his_server.reporting_routes import count_print
from his_server.security.audit import AuditRow
from modules.kernel.charging.models import RefundApproval
from modules.outpatient_billing import service as billing
from tests.factories.hospital import World
from tests.processes import Place, place_of, run_all

BILLS = 16
COPIES = 15


def _people(count: int) -> list[Actor]:
    return [Actor(user_id=40_000 + n, login=f"w{n}", name=f"窗口{n}", staff_id=None, department_id=None)
            for n in range(count)]


def _ask(place: Place, actor: Actor, bills: list[int]) -> list[str]:
    """In a child: ask for the approval of each bill's refund; ``won`` or the refusal's code, in order."""
    database = place.open()
    rng, pause, ends = random.Random(actor.user_id), threading.Event(), []
    for bill in bills:
        pause.wait(rng.uniform(0, 0.004))
        try:
            with database.begin() as session:
                session.info["actor"] = actor
                billing.request_approval(session, actor, bill, amount=Decimal("20.00"), reason="病人要求")
            ends.append("won")
        except Conflict as refusal:
            ends.append(refusal.code)
    database.dispose()
    return ends


def _print(place: Place, actor: Actor) -> list[int]:
    """In a child: print the same report again and again; the numbers of the copies."""
    database = place.open()
    copies = []
    for _ in range(COPIES):
        with database.begin(write=False) as session:
            copies.append(count_print(session, actor, "cashier-summary", {"from": "2026-03-02"}, {"rows": [["20.00"]]}))
    database.dispose()
    return copies


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.requirement("FN-10")
def test_one_approval_of_a_refund_is_asked_for_at_a_time(world: World, keys_dir: Path) -> None:
    bills = [world.register(world.person(f"病人{n}"))["id"] for n in range(BILLS)]
    place = place_of(world.db, keys_dir)
    ends = run_all(_ask, [(place, actor, bills) for actor in _people(3)])
    for n in range(BILLS):
        assert sorted(end[n] for end in ends) == ["billing.approval_asked", "billing.approval_asked", "won"], (n, ends)
    with world.db.begin(write=False) as session:
        open_ = session.execute(select(RefundApproval.settlement_id, func.count())
                                .group_by(RefundApproval.settlement_id)).all()
        assert sorted(map(tuple, open_)) == [(bill, 1) for bill in sorted(bills)]
    assert world.findings() == []


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.requirement("M1.6")
def test_every_copy_of_a_report_has_a_number_of_its_own(world: World, keys_dir: Path) -> None:
    place = place_of(world.db, keys_dir)
    copies = run_all(_print, [(place, actor) for actor in _people(3)])
    assert sorted(copy for mine in copies for copy in mine) == list(range(1, 3 * COPIES + 1))
    with world.db.begin(write=False) as session:
        told = session.scalars(select(AuditRow.detail).where(AuditRow.event == "report.pdf"))
        assert sorted(json.loads(one)["copy"] for one in told) == list(range(1, 3 * COPIES + 1))
