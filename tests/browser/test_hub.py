"""Whoever keeps the interfaces, by keyboard alone: a stuck message is sent again, a partner is registered."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from his_server.messaging.outbox import Delivery, OutboxEvent
from interfaces.hub.models import OpenPartner
from tests.browser.driving import Desk, House


@pytest.mark.requirement("A3")
def test_a_stuck_message_is_sent_again_and_a_partner_registered(house: House, desk: Callable[[str], Desk]) -> None:
    db = house.world.db
    with db.begin() as session:
        at = db.clock.now()
        event = OutboxEvent(type="PrescriptionReady", business_key="RX-STUCK", payload="{}", occurred_at=at, actor_id=0,
                            trace_id="", fanned_out=True)
        session.add(event)
        session.flush()
        session.add(Delivery(event_id=event.id, destination="nobody", business_key="RX-STUCK", occurred_at=at, state="dead",
                             attempts=60, next_at=at, last_error="LostAnswer: 没有应答"))
    keeper = desk(house.hire("integration"))
    keeper.menu("未明与滞留")
    keeper.see("RX-STUCK", "[aria-label=已做过的尝试]")
    keeper.see("排除原因后重新发送", "[aria-label=已做过的尝试]")
    keeper.keys("F4")
    keeper.on_screen(".modal-box input:focus")
    keeper.type("对方已恢复", "Enter")
    keeper.see("待发送")
    with db.begin(write=False) as session:
        row = session.scalars(select(Delivery).where(Delivery.business_key == "RX-STUCK")).one()
        assert (row.state, row.attempts, row.decision) == ("waiting", 0, "对方已恢复")
    keeper.menu("外部系统")
    keeper.keys("F4")
    keeper.focused("代码")
    for text in ("blood", "输血系统", "输血科", "", "10.1.2.0/24"):
        keeper.type(text, "Enter")
    keeper.focused("每分钟上限")
    keeper.keys("Enter")
    keeper.see("输血系统", "[aria-label=授权]")
    keeper.see("还没有密钥", "[aria-label=授权]")
    with db.begin(write=False) as session:
        partner = session.scalars(select(OpenPartner).where(OpenPartner.code == "blood")).one()
        assert (partner.name, partner.addresses, partner.per_minute) == ("输血系统", "10.1.2.0/24", 120)
