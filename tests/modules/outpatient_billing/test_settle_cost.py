"""What a settlement costs: its statements are pinned, and a repeated one gives the first answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.counting import QueryCount
from tests.factories.hospital import World

STATEMENTS = 28
"""Two receipts, two drugs reserved, a request; session lookup, audit, event, stored answer and the settlement's number
(of which PostgreSQL takes fifty at once), the pharmacy's hours, windows, their load, the task and its event included."""


def _two_orders(world: World) -> tuple[int, dict[str, Any]]:
    person = world.person()
    visit = world.encounter(world.register(person))
    line = {"dose": "1", "usage": "口服", "frequency": "tid", "days": 3}
    world.ok(world.post("doctor", "/api/orders/prescriptions", {
        "encounter_id": visit, "diagnosis": "急性支气管炎",
        "lines": [{**line, "drug_id": world.ids["drug"], "quantity": "24"},
                  {**line, "drug_id": world.ids["pill"], "quantity": "3"}]}))
    world.request(visit)
    owed = world.unpaid(person)
    return person, {"person_id": person, "line_ids": [e["id"] for e in owed["lines"]], "expected_total": owed["total"],
                    "payments": [{"method": "cash", "covers": owed["total"]}]}


@pytest.mark.requirement("M1.18")
def test_statements_of_a_settlement(world: World, query_counter: Callable[[], AbstractContextManager[QueryCount]]
                                    ) -> None:
    _, first = _two_orders(world)
    world.ok(world.post("cashier", "/api/outpatient-billing/settlements", first))  # shift open, caches warm
    _, body = _two_orders(world)
    with query_counter() as count:
        world.ok(world.post("cashier", "/api/outpatient-billing/settlements", body))
    sent = [statement for statement in count.statements if not statement.startswith("PRAGMA")]
    assert len(sent) <= STATEMENTS, "\n".join(sent)


@pytest.mark.requirement("M1.18")
def test_a_repeat_is_answered_as_the_first_time(world: World) -> None:
    """Nobody looks for a stored answer beforehand; the repeat is undone and the first answer found."""
    _, body = _two_orders(world)
    path, key = "/api/outpatient-billing/settlements", "repeat-after-me"
    first = world.ok(world.post("cashier", path, body, key=key))
    again = world.post("cashier", path, body, key=key)
    assert again.json == first and again.headers["Idempotent-Replay"] == "true"
    other = world.post("cashier", path, {**body, "line_ids": body["line_ids"][:1]}, key=key)
    assert other.status_code == 409 and other.json["code"] == "idempotency.reused"
    assert world.findings() == []
