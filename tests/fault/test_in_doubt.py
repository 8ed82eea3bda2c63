"""The process dies inside the in-doubt protocol: before the call, after it, before the outcome is written.

Whatever the instant, the payment ends in exactly one of used, returned, refused, and both books agree.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from his_server.actor import Actor
from his_server.clock import ManualClock
from interfaces.scan_payment.simulator import ScanChannel
from modules.kernel.charging import service as ledger
from modules.kernel.charging.models import Intent, Payment
from modules.kernel.charging.ports import CONFIRMED, Outcome
from modules.outpatient_billing import service as billing
from tests.factories.hospital import World
from tests.processes import Place, place_of, start

DEAD = 9
CODE = "1345678901234567"


class DyingChannel(ScanChannel):
    """The simulated channel, called by a process that ends at the given moment without another word."""

    def __init__(self, path: Path, moment: str) -> None:
        super().__init__(path)
        self.moment = moment

    def _at(self, moment: str) -> None:
        if moment == self.moment:
            os._exit(DEAD)

    def pay(self, number: str, amount: Decimal, auth_code: str) -> Outcome:
        self._at("before pay")
        outcome = super().pay(number, amount, auth_code)
        self._at("after pay")
        return outcome

    def refund(self, number: str, original: str, amount: Decimal) -> Outcome:
        self._at("before refund")
        outcome = super().refund(number, original, amount)
        self._at("after refund")
        return outcome


def _pay(place: Place, books: Path, moment: str, actor: Actor, person: int, amount: Decimal) -> None:
    """In a child: take a scan payment."""
    database = place.open()
    database.ports["payment:scan"] = DyingChannel(books, moment)
    ledger.take_payment(database, actor, person_id=person, channel="scan", amount=amount, auth_code=CODE)


def _send(place: Place, books: Path, moment: str, intent_id: int) -> None:
    """In a child: send a return to the channel."""
    database = place.open()
    database.ports["payment:scan"] = DyingChannel(books, moment)
    ledger.send_refund(database, intent_id)


def _dies(function: Callable[..., None], *arguments: object) -> None:
    process = start(function, *arguments)
    process.join(60)
    assert process.exitcode == DEAD
    process.close()


def _recover(world: World, clock: ManualClock, minutes: int) -> None:
    clock.move(minutes=minutes)
    for _ in range(5):
        if not ledger.recover(world.db):
            return
    raise AssertionError("the recovery never comes to an end")


def _states(world: World) -> dict[str, list[str]]:
    with world.db.begin(write=False) as session:
        rows = session.execute(select(Intent.purpose, Intent.state).order_by(Intent.id)).all()
    return {purpose: [row.state for row in rows if row.purpose == purpose] for purpose in ("pay", "refund")}


def _books_agree(world: World) -> None:
    channel: ScanChannel = world.db.ports["payment:scan"]
    with world.db.begin(write=False) as session:
        ours = session.scalar(select(func.sum(Payment.amount)).where(Payment.method == "scan")) or Decimal(0)
    assert channel.net() == ours
    assert world.findings() == []


def _books(world: World) -> Path:
    channel: ScanChannel = world.db.ports["payment:scan"]
    return channel.path


@pytest.mark.requirement("M1.10", "DB-30")
@pytest.mark.parametrize(("moment", "answer", "end"), [("before pay", "refused", ["refused"]),
                                                       ("after pay", "confirmed", ["reversed"])])
def test_dies_while_paying(world: World, clock: ManualClock, keys_dir: Path, moment: str, answer: str, end: list[str]
                           ) -> None:
    person = world.person()
    actor = Actor(user_id=world.ids["user_cashier"], login="c", name="李收费")
    _dies(_pay, place_of(world.db, keys_dir), _books(world), moment, actor, person, Decimal("20.00"))
    assert _states(world)["pay"] == ["calling"]
    _recover(world, clock, 0)
    assert _states(world)["pay"] == ["calling"]  # it may still be under way: not stale yet
    _recover(world, clock, 1)
    assert _states(world)["pay"] == [answer]
    _recover(world, clock, 16)  # nobody used it: the payer gets it back
    assert _states(world) == {"pay": end, "refund": ["confirmed"] if end == ["reversed"] else []}
    assert world.db.ports["payment:scan"].net() == 0
    _books_agree(world)


@pytest.mark.requirement("M1.10", "DB-30")
def test_payment_of_a_dead_process_is_used(world: World, clock: ManualClock, keys_dir: Path) -> None:
    """The window asks, finds the money, and settles with it: it is used, and not returned as well."""
    person = world.person()
    actor = Actor(user_id=world.ids["user_cashier"], login="c", name="李收费")
    _dies(_pay, place_of(world.db, keys_dir), _books(world), "after pay", actor, person, Decimal("20.00"))
    [found] = world.ok(world.get("cashier", f"/api/outpatient-billing/payment-intents?person_id={person}"))["items"]
    asked = world.ok(world.post("cashier", f"/api/outpatient-billing/payment-intents/{found['id']}/query"))
    assert asked["state"] == "confirmed"
    world.register(person, method="scan", intent_id=found["id"])
    _recover(world, clock, 30)
    assert _states(world) == {"pay": ["used"], "refund": []}
    assert world.db.ports["payment:scan"].net() == Decimal("20.00")
    _books_agree(world)


@pytest.mark.requirement("M1.10", "DB-30")
@pytest.mark.parametrize("moment", ["before refund", "after refund"])
def test_dies_while_returning(world: World, clock: ManualClock, keys_dir: Path, moment: str) -> None:
    """A refund's electronic part arrives once, whether the process died before or after the channel did it."""
    person = world.person()
    paid = world.scan(person, "20.00")
    registration = world.register(person, method="scan", intent_id=paid["id"])
    actor = Actor(user_id=world.ids["user_cashier"], login="c", name="李收费")
    with world.db.begin() as session:
        _, refunded = billing.cancel_registration(session, actor, registration["registration_id"], reason="退号",
                                                  to_jiao=True)
    assert refunded is not None
    [intent] = refunded.intent_ids
    _dies(_send, place_of(world.db, keys_dir), _books(world), moment, intent)
    assert _states(world) == {"pay": ["used"], "refund": ["calling"]}
    _recover(world, clock, 1)
    assert _states(world) == {"pay": ["used"], "refund": ["confirmed"]}
    assert world.db.ports["payment:scan"].net() == 0
    _books_agree(world)


@pytest.mark.requirement("M1.10", "DB-30")
def test_dies_while_returning_the_unused(world: World, clock: ManualClock, keys_dir: Path) -> None:
    """The recovery job itself dies between its two steps: the next one finishes, once."""
    person = world.person()
    paid = world.scan(person, "20.00")
    clock.move(minutes=16)
    with world.db.begin() as session:
        back = ledger.return_unused(session, Actor(user_id=0, login="system", name="系统"), paid["id"]).id
    _dies(_send, place_of(world.db, keys_dir), _books(world), "after refund", back)
    _recover(world, clock, 1)
    assert _states(world) == {"pay": ["reversed"], "refund": ["confirmed"]}
    _books_agree(world)


@pytest.mark.requirement("M1.10")
def test_asked_while_the_call_is_under_way(world: World, clock: ManualClock) -> None:
    """The channel doesn't know a payment that is just arriving: that is no refusal, and the money is not lost sight of."""
    person = world.person()

    class Asked(ScanChannel):
        """Somebody asks from another window while the payment is on its way."""

        def pay(self, number: str, amount: Decimal, auth_code: str) -> Outcome:
            [found] = world.ok(world.get("cashier2", f"/api/outpatient-billing/payment-intents?person_id={person}"))[
                "items"]
            seen.append(world.ok(world.post("cashier2", f"/api/outpatient-billing/payment-intents/{found['id']}/query"))[
                "state"])
            return super().pay(number, amount, auth_code)

    seen: list[str] = []
    world.db.ports["payment:scan"] = Asked(_books(world))
    assert world.scan(person, "20.00")["state"] == "confirmed"
    assert seen == ["calling"]
    _recover(world, clock, 16)
    assert _states(world) == {"pay": ["reversed"], "refund": ["confirmed"]}
    _books_agree(world)


@pytest.mark.requirement("M1.10")
def test_a_payment_that_arrives_after_its_refusal_is_returned(world: World, clock: ManualClock) -> None:
    """The recovery took the caller for dead, the channel knew nothing; then the slow call went through after all."""
    person = world.person()

    class Slow(ScanChannel):
        """Takes the payment only after the recovery has asked."""

        def pay(self, number: str, amount: Decimal, auth_code: str) -> Outcome:
            _recover(world, clock, 1)
            assert _states(world)["pay"] == ["refused"]
            return super().pay(number, amount, auth_code)

        def close(self, number: str) -> Outcome:
            """A channel that says yes and does nothing."""
            return Outcome(CONFIRMED)

    world.db.ports["payment:scan"] = Slow(_books(world))
    assert world.scan(person, "20.00")["state"] == "confirmed"
    _recover(world, clock, 16)
    assert _states(world) == {"pay": ["reversed"], "refund": ["confirmed"]}
    _books_agree(world)


@pytest.mark.requirement("M1.10", "N5")
def test_a_payment_that_arrives_after_it_was_given_up_is_not_taken(world: World, clock: ManualClock) -> None:
    """The recovery closes the order before it says "refused": the slow call can't take money any more."""
    person = world.person()

    class Slow(ScanChannel):
        """The payment arrives only after the recovery has asked."""

        def pay(self, number: str, amount: Decimal, auth_code: str) -> Outcome:
            _recover(world, clock, 1)
            return super().pay(number, amount, auth_code)

    channel = world.db.ports["payment:scan"] = Slow(_books(world))
    assert world.scan(person, "20.00")["state"] == "refused"
    assert channel.net() == 0 and _states(world)["pay"] == ["refused"]


@pytest.mark.requirement("N5")
def test_an_order_that_nobody_pays_is_closed(world: World, clock: ManualClock) -> None:
    """The payer is asked for a password and walks away: after ten minutes nobody can be charged for it any more."""
    person = world.person()
    assert world.scan(person, "20.00", "134567890123450005")["state"] == "unknown"
    clock.move(minutes=1)
    ledger.recover(world.db)
    assert _states(world)["pay"] == ["unknown"]
    clock.move(minutes=11)
    _recover(world, clock, 1)
    assert _states(world)["pay"] == ["refused"]
