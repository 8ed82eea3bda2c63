"""The connection to the database breaks between a peer's answer and our record of it.

A route of several units of work can't be repeated by the platform: it says so, and the in-doubt protocol finds the money.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from his_server.clock import ManualClock
from modules.kernel.charging import service as ledger
from tests.benchmarks.floor import bare_url
from tests.factories.hospital import World


class Answering:
    """A payment channel that tells when it has answered."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.answered = inner, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def pay(self, number: str, amount: Decimal, auth_code: str) -> Any:
        outcome = self.inner.pay(number, amount, auth_code)
        self.answered = True
        return outcome


@contextmanager
def _cut_after(world: World, channel: Answering) -> Iterator[None]:
    """The first statement after the channel's answer finds its connection killed by the server."""
    done = []

    def cut(connection: Any, *_: Any) -> None:
        if channel.answered and not done:
            done.append(connection.connection.driver_connection.info.backend_pid)
            with psycopg.connect(bare_url(world.db.url.render_as_string(hide_password=False)), autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", (done[0],))

    event.listen(world.db.engine, "before_cursor_execute", cut)
    try:
        yield
    finally:
        event.remove(world.db.engine, "before_cursor_execute", cut)
    assert done


@pytest.mark.requirement("DB-30", "A2")
@pytest.mark.parametrize("db_url", ["postgresql"], indirect=True)
def test_an_outcome_that_could_not_be_recorded(world: World, clock: ManualClock) -> None:
    person = world.person()
    channel = world.db.ports["payment:scan"] = Answering(world.db.ports["payment:scan"])
    body = {"person_id": person, "channel": "scan", "amount": "20.00", "auth_code": "1345678901234567"}
    with _cut_after(world, channel):
        answer = world.post("cashier", "/api/outpatient-billing/payment-intents", body)
    assert answer.status_code == 503, answer.get_data(as_text=True)
    assert answer.json["code"] == "database.interrupted"
    assert "核对" in answer.json["message"]
    [left] = world.ok(world.get("cashier", f"/api/outpatient-billing/payment-intents?person_id={person}"))["items"]
    assert left["state"] == "calling"
    clock.move(minutes=1)
    ledger.recover(world.db)
    [found] = world.ok(world.get("cashier", f"/api/outpatient-billing/payment-intents?person_id={person}"))["items"]
    assert found["state"] == "confirmed"
    world.register(person, method="scan", intent_id=found["id"])
    assert channel.inner.net() == Decimal("20.00")
    assert world.findings() == []
