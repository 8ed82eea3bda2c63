"""For any charges, payments and refunds in any order: lines = receipts = payments, and the whole comes back exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from his_server.actor import Actor
from his_server.db import numbering
from modules.kernel.charging import queries
from modules.kernel.charging import service as ledger
from modules.kernel.charging.models import ChargeLine, Payment, Receipt, Settlement
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.service import NewLine
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from tests.factories.hospital import World

prices = st.decimals(min_value="0", max_value="500", places=4)
line = st.tuples(prices, st.integers(1, 12), st.sampled_from(["registration", "prescription", "request"]))
bill = st.lists(line, min_size=1, max_size=6)


def _cashier(world: World, number: int) -> Actor:
    actor = Actor(user_id=50_000 + number, login=f"c{number}", name="收费员", permissions=frozenset())
    with world.db.begin() as session:
        first = session.scalar(select(func.max(numbering.NumberRange.last))) or 0
        numbering.grant_range(session, RECEIPT_SERIES, actor.user_id, first + 1, first + 2_000)
    return actor


@pytest.mark.requirement("M1.18", "FN-03", "FN-04", "FN-09", "FN-13")
@given(bill=bill, data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_refunds_returns_the_original(world: World, bill: list[tuple[Decimal, int, str]],
                                                   data: st.DataObject) -> None:
    actor = _cashier(world, data.draw(st.integers(0, 10**9)))
    person = 77
    with world.db.begin() as session:
        session.info["actor"] = actor
        ids = ledger.add_lines(session, actor, person, 5, [
            NewLine(source=source, source_id=1000 + n, source_line_id=n, kind="item", item_id=1, code="X", name=f"项目{n}",
                    spec=None, unit="次", price=price, quantity=Decimal(quantity), fiscal_category="03")
            for n, (price, quantity, source) in enumerate(bill)])
        total = session.scalar(select(func.sum(ChargeLine.amount)).where(ChargeLine.id.in_(ids)))
        settled = ledger.settle(session, actor, person_id=person, line_ids=ids,
                                payments=[Pay("cash", total)] if total else [])
    units = [key for key, (_, quantity, _) in zip(ids, bill, strict=True) for _ in range(quantity)]
    order = data.draw(st.permutations(units))
    while order:
        size = data.draw(st.integers(1, len(order)))
        part, order = order[:size], order[size:]
        quantities = {key: Decimal(part.count(key)) for key in set(part)}
        with world.db.begin() as session:
            session.info["actor"] = actor
            ledger.refund(session, actor, settled.id, quantities, reason="退费")
    with world.db.begin(write=False) as session:
        mine = select(Settlement.id).where((Settlement.id == settled.id) | (Settlement.reverses_id == settled.id))
        for model in (ChargeLine, Receipt, Payment):
            assert session.scalar(select(func.coalesce(func.sum(model.amount), 0)).where(
                model.settlement_id.in_(mine))) == 0
        cash = session.scalar(select(func.sum(Payment.amount)).where(Payment.settlement_id.in_(mine),
                                                                     Payment.method == "cash"))
        assert not cash
        for check in (queries.settlements_balance, queries.line_states_agree, queries.payment_states_agree,
                      queries.receipt_chains):
            assert list(check(session)) == []
