"""The process dies inside a mobile settlement, its notice or its refund: recovery ends fully settled or fully undone (H5).

Real processes end by ``os._exit`` before and after each call to the platform, and between the platform and the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from his_server.actor import Actor
from his_server.clock import ManualClock
from interfaces.med_mobile_pay import mapping, simulator
from interfaces.med_mobile_pay.client import Caller
from modules.kernel.charging.service import insured, insured_refunds, mobile, payments
from tests.factories.hospital import World
from tests.factories.insurer import bind as bind_insurer
from tests.factories.mobile import Mobile, bind, cashier_of
from tests.interfaces.med_mobile_pay.test_mobile import _agree, _settlements
from tests.processes import Place, place_of, start

DEAD = 9


def _bind(place: Place, folder: Path, cashier: str, moment: str) -> Any:
    import modules.kernel.orders.service
    import modules.kernel.scheduling.service

    assert modules.kernel.orders.service and modules.kernel.scheduling.service
    database = place.open()
    bind_insurer(database, folder)
    bind(database, folder, cashier)
    true = Caller.call

    def dying(self: Caller, transaction: str, *given: Any) -> dict[str, Any]:
        if moment == f"before {transaction}":
            os._exit(DEAD)
        answer = true(self, transaction, *given)
        if moment == f"after {transaction}":
            os._exit(DEAD)
        return answer

    Caller.call = dying  # type: ignore[method-assign]
    if moment == "before booking":
        insured.go_on = lambda *_: os._exit(DEAD)  # the outcome is recorded, the ledger has not begun
    return database


def _pay(place: Place, folder: Path, cashier: str, moment: str, actor: Actor, claim: int) -> None:
    """In a child: settle an order by its payer's authorisation."""
    mobile.pay(_bind(place, folder, cashier, moment), actor, claim, "AUTH9999")


def _hear(place: Place, folder: Path, cashier: str, moment: str, number: str, told: dict[str, Any]) -> None:
    """In a child: the platform's notice arrives."""
    mobile.heard(_bind(place, folder, cashier, moment), number, mapping.noticed(told), "notify")


def _advance(place: Place, folder: Path, cashier: str, moment: str, actor: Actor, case: int) -> None:
    """In a child: go on with a refund, and send what goes back."""
    database = _bind(place, folder, cashier, moment)
    insured_refunds.advance(database, actor, case)
    payments.recover(database)


def _dies(function: Callable[..., None], *arguments: object) -> None:
    process = start(function, *arguments)
    process.join(300)
    assert process.exitcode == DEAD
    process.close()


def _recover(world: World, clock: ManualClock, seconds: int = 61) -> None:
    clock.move(seconds=seconds)
    for _ in range(4):
        for step in (mobile.recover, insured.recover, insured_refunds.recover, payments.recover):
            step(world.db)


@pytest.fixture
def phone(world: World, tmp_path: Path) -> Mobile:
    return Mobile(world, tmp_path)


def _where(world: World, phone: Mobile) -> tuple[Path, str]:
    return phone.books.parent, cashier_of(world)


def _actor(world: World) -> Actor:
    return Actor(user_id=world.ids["user_cashier"], login="c", name="李收费")


@pytest.mark.requirement("H5", "YB-02", "DB-30")
@pytest.mark.parametrize("db_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True)
@pytest.mark.parametrize("moment", ["before 6202", "after 6202", "before booking", "notice"])
def test_dies_while_settling(world: World, phone: Mobile, clock: ManualClock, keys_dir: Path, moment: str) -> None:
    person, number = phone.bill(quantity="8")
    order = world.ok(phone.offer(person, number))
    place = place_of(world.db, keys_dir)
    if moment == "notice":
        message = phone.phone(order)
        told = {"payOrdId": "", "callType": "2", "setlType": "ALL"} | {
            name: Decimal(value) for name, value in (
                ("feeSumamt", "484.40"), ("ownpayAmt", "93.76"), ("psnAcctPay", "100.00"), ("fundPay", "290.64"))}
        _dies(_hear, place, *_where(world, phone), "before booking", order["number"], told)
        assert phone.notify(message).status_code == 200  # and the platform repeats its notice
    else:
        _dies(_pay, place, *_where(world, phone), moment, _actor(world), order["claim_id"])
    assert world.findings() == []
    _recover(world, clock)
    claim = phone.act(order, "query")
    if moment == "before 6202":
        assert claim["state"] == "created" and simulator.net(phone.books) == (0, 0)
        phone.notify(phone.phone(order))
    assert phone.act(order, "query")["state"] == "used" and _settlements(world) == 1
    _recover(world, clock)
    _agree(world, phone)


@pytest.mark.requirement("H5", "M1.14", "DB-30")
@pytest.mark.parametrize("db_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True)
@pytest.mark.parametrize("moment", ["before 6203", "after 6203"])
def test_dies_while_refunding(world: World, phone: Mobile, clock: ManualClock, keys_dir: Path, moment: str) -> None:
    person, number = phone.bill(quantity="8")
    order = world.ok(phone.offer(person, number))
    phone.notify(phone.phone(order))
    done = phone.act(order, "query")
    line = world.settlement(done["settlement_id"])["lines"][0]["id"]
    actor = _actor(world)
    with world.db.begin() as session:
        session.info["actor"] = actor
        case = insured_refunds.open_case(session, actor, done["settlement_id"], {line: Decimal(8)}, reason="检查取消").id
    _dies(_advance, place_of(world.db, keys_dir), *_where(world, phone), moment, actor, case)
    assert world.findings() == []
    for _ in range(3):
        _recover(world, clock)
    assert simulator.net(phone.books) == (0, 0)
    _agree(world, phone)
