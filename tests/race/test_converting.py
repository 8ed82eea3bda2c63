"""Windows convert and refund the same bill at once: one of them gets it, the books agree (N1)."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from his_server.actor import Actor
from his_server.db import numbering
from his_server.errors import Conflict
from interfaces.scan_payment.simulator import ScanChannel
from modules.kernel.charging.models import Payment, Settlement
from modules.kernel.charging.ports import Credential
from modules.kernel.charging.service import converting, insured, payments, refund
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.factories.insurer import Simulated
from tests.processes import Place, place_of, run_all

API = "/api/outpatient-billing/conversions"
BILLS = 4


def _work(place: Place, books: Path, scan: Path, actor: Actor, number: str, quotes: list[int],
          lines: list[tuple[int, int]]) -> list[str]:
    """In a child: convert each bill by a quote of one's own, or refund a line of the last two, the last one first."""
    database = place.open()
    database.ports.update({"insurance": Simulated(database, books), "payment:scan": ScanChannel(scan)})
    ends = ["none"] * BILLS
    for n in range(BILLS) if quotes else (BILLS - 1, BILLS - 2):
        try:
            if quotes:
                found = converting.convert(database, actor, quotes[n], credential=Credential("ecode", number), to_jiao=True)
                ends[n] = found.state
            else:
                with database.begin() as session:
                    session.info["actor"] = actor
                    settlement_id, line = lines[n]
                    refund(session, actor, settlement_id, {line: Decimal(1)}, reason="病人要求")
                ends[n] = "refunded"
        except Conflict as conflict:
            ends[n] = conflict.code
    return ends


@pytest.mark.timeout(180)
@pytest.mark.requirement("N1", "DB-30")
def test_two_windows_convert_and_a_third_refunds(world: World, keys_dir: Path) -> None:
    number = make.id_no(3)
    person = make.insured_person(world, number)
    visit = world.encounter(world.register(person))
    world.request(visit, "5")  # settled at once: it uses up the deductible, so that the quotes below stay true
    make.settle(world, world.ok(make.preview(world, person, make.show(number))), make.show(number))
    bills, lines = [], []
    for _ in range(BILLS):
        world.request(visit, "5")
        paid = world.scan(person, "302.75")
        bills.append(world.ok(world.pay_all(person, [{"method": "scan", "covers": "302.75", "intent_id": paid["id"]}]))["id"])
        lines.append((bills[-1], world.settlement(bills[-1])["lines"][0]["id"]))
    quotes = [[world.ok(world.post(who, f"{API}/quote", {"settlement_id": bill, "credential": make.show(number)}))["id"]
               for bill in bills] for who in ("cashier", "cashier2")]
    actors = []
    with world.db.begin() as session:
        for n in range(3):
            actors.append(Actor(user_id=20_000 + n, login=f"racer{n}", name=f"选手{n}", permissions=frozenset()))
            numbering.grant_range(session, RECEIPT_SERIES, actors[n].user_id, (n + 300) * 10**6, (n + 301) * 10**6 - 1)
    place = place_of(world.db, keys_dir)
    common = world.db.ports["insurance"].folder, world.db.ports["payment:scan"].path
    ends = run_all(_work, [(place, *common, actors[0], number + "0000", quotes[0], lines),
                           (place, *common, actors[1], number + "0000", quotes[1], lines),
                           (place, *common, actors[2], number + "0000", [], lines)])
    world.db.clock.move(minutes=1)  # type: ignore[attr-defined]
    for _ in range(4):
        insured.recover(world.db)
        converting.recover(world.db)
        payments.recover(world.db)
    print(ends)
    for one, other, third in zip(*ends, strict=True):
        assert (one, other, third).count("done") + (third == "refunded") == 1, ends
    assert sum(each.count("done") for each in ends) >= 2, ends
    with world.db.begin(write=False) as session:
        converted = session.scalar(select(func.count()).select_from(Settlement).where(Settlement.kind == "convert"))
        assert converted == sum(each.count("done") for each in ends)
        booked = session.scalar(select(func.sum(Payment.amount)).where(Payment.method.like("insurance%"))) or Decimal(0)
        scanned = session.scalar(select(func.sum(Payment.amount)).where(Payment.method == "scan"))
    assert world.db.ports["insurance"].net() == booked
    assert world.db.ports["payment:scan"].net() == scanned
    assert world.findings() == []
