"""The worklist of what has no clear outcome: every undecided intent and stuck delivery, with what was tried and the way on
(A3, M1.10)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from his_server.cli.context import House
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.messaging.outbox import Delivery, NotSent, OutboxEvent
from his_server.security.audit import AuditRow
from interfaces.hub import cli
from interfaces.hub.calls import logged, observed
from interfaces.hub.limits import FAILURES
from interfaces.hub.manifests import all_manifests
from modules.kernel.charging.models import Intent
from modules.kernel.charging.ports import CONFIRMED, UNKNOWN, Outcome
from tests.factories.hospital import World
from tests.factories.security import SignedInClient

BASE = "/api/hub/unknowns"


class SilentChannel:
    """Takes payments and says nothing; when asked, what it is told to say."""

    def __init__(self) -> None:
        self.says = Outcome(UNKNOWN, message="处理中")

    def pay(self, number: str, amount: Decimal, auth_code: str) -> Outcome:
        raise ConnectionError("断线")

    def query(self, number: str) -> Outcome:
        return self.says


@pytest.fixture
def keeper(sign_in: Any) -> SignedInClient:
    found: SignedInClient = sign_in("integration")
    return found


@pytest.fixture
def channel(world: World) -> SilentChannel:
    found = SilentChannel()
    world.db.ports["payment:scan"] = observed(world.db, "scan_payment", found)
    return found


def stuck(db: Database, clock: ManualClock, state: str, attempts: int, key: str) -> int:
    """A delivery that didn't go well."""
    with db.begin() as session:
        event = OutboxEvent(type="PrescriptionReady", business_key=key, payload="{}", occurred_at=clock.now(), actor_id=0,
                            trace_id="", fanned_out=True)
        session.add(event)
        session.flush()
        row = Delivery(event_id=event.id, destination="dispenser", business_key=key, occurred_at=clock.now(), state=state,
                       attempts=attempts, next_at=clock.now(), last_error="LostAnswer: 没有应答")
        session.add(row)
        session.flush()
        clock.move(seconds=1)
        return row.id


@pytest.mark.requirement("A3")
def test_all_that_is_undecided_stands_in_one_list_and_leaves_it_when_decided(
        world: World, channel: SilentChannel, keeper: SignedInClient, db: Database, clock: ManualClock) -> None:
    intent = world.scan(world.person(), "12.00")
    clock.move(seconds=1)
    asked, dead = stuck(db, clock, "asked", 1, "RX1"), stuck(db, clock, "dead", 60, "RX2")
    stuck(db, clock, "waiting", 3, "RX3")
    stuck(db, clock, "waiting", 0, "RX4")
    stuck(db, clock, "done", 1, "RX5")

    def items(**query: Any) -> list[dict[str, Any]]:
        answer = keeper.get(BASE, query_string=query)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return list(answer.get_json()["items"])

    found = items()
    assert [(one["number"], one["state"], one["tries"]) for one in found] == [
        (intent["number"], "unknown", 1), ("RX1", "asked", 1), ("RX2", "dead", 60), ("RX3", "waiting", 3)]
    assert found[0]["interface"] == all_manifests()["scan_payment"].name and found[0]["amount"] == "12.00"
    assert all(one["owner"] and one["way_on"] for one in found) and found[3]["next_at"]
    assert [one["kind"] for one in items(kind="delivery")] == ["delivery"] * 3
    tried = keeper.get(f"{BASE}/intent/{intent['id']}").get_json()["tried"]
    assert [(one["what"], one["outcome"]) for one in tried] == [("pay", "unknown")]

    assert keeper.post(f"{BASE}/deliveries/{dead}/resend", json={"reason": "对方已恢复"}).get_json()["message"] == "待发送"
    assert keeper.post(f"{BASE}/deliveries/{asked}/confirm", json={"reason": "电话核实"}).get_json()["message"] == "已送达"
    late = keeper.post(f"{BASE}/deliveries/{asked}/drop", json={"reason": "不要了"})
    assert late.status_code == 409 and "已送达" in late.get_json()["message"]
    assert keeper.post(f"{BASE}/deliveries/{asked}/burn", json={"reason": "不要了"}).status_code == 404

    told = keeper.post(f"{BASE}/intents/{intent['id']}/ask", json={"reason": "病人等待"})
    assert told.get_json()["message"].startswith("结果未明"), "unknown is never guessed"
    channel.says = Outcome(CONFIRMED, "C1", "支付成功")
    assert "支付成功" in keeper.post(f"{BASE}/intents/{intent['id']}/ask", json={"reason": "再查"}).get_json()["message"]
    assert [one["number"] for one in items()] == ["RX3"]
    with db.begin(write=False) as session:
        events = list(session.scalars(select(AuditRow.event).where(AuditRow.event.in_(
            ("hub.ask", "messaging.resend", "messaging.confirm"))).order_by(AuditRow.at, AuditRow.id)))
    assert sorted(events) == ["hub.ask", "hub.ask", "messaging.confirm", "messaging.resend"]


def test_pages_join_both_kinds_in_the_order_of_time(world: World, channel: SilentChannel, keeper: SignedInClient, db: Database,
                                                    clock: ManualClock, query_counter: Any) -> None:
    numbers = []
    for n in range(3):
        numbers.append(world.scan(world.person(f"病人{n}"), "1.00")["number"])
        clock.move(seconds=1)
        stuck(db, clock, "dead", 60, f"RX{n}")
        numbers.append(f"RX{n}")
    seen, after = [], None
    while True:
        with query_counter() as count:
            page = keeper.get(BASE, query_string={"limit": 2, **({"after": after} if after else {})}).get_json()
        assert count.total <= 4, count.statements
        seen += [one["number"] for one in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == numbers
    assert keeper.get(BASE, query_string={"after": "x"}).status_code == 422


def test_who_may_not_is_refused(world: World, sign_in: Any) -> None:
    cashier = sign_in("cashier")
    assert cashier.get(BASE).status_code == 403
    assert cashier.post(f"{BASE}/deliveries/1/resend", json={"reason": "试试"}).status_code == 403


@pytest.mark.requirement("A2")
def test_the_registry_shows_each_line_and_what_waits_for_it(db: Database, keeper: SignedInClient, clock: ManualClock) -> None:
    def line() -> dict[str, Any]:
        [row] = [one for one in keeper.get("/api/hub/registry").get_json()["items"] if one["package"] == "scan_payment"]
        return dict(row)

    assert line()["line"] == "" and line()["last_at"] is None
    port = observed(db, "scan_payment", SilentChannel())
    port.query("P1")
    assert line()["line"] == "ok" and line()["last_at"]
    for _ in range(FAILURES):
        clock.move(seconds=1)
        with pytest.raises(ConnectionError):
            port.pay("P2", Decimal(1), "1")
    assert line()["line"] == "silent"
    clock.move(seconds=1)
    with pytest.raises(NotSent):
        port.pay("P3", Decimal(1), "1")
    assert line()["line"] == "resting", "the breaker is open"
    with db.begin() as session:
        for number, state in enumerate(("waiting", "dead", "asked")):
            session.add(Delivery(event_id=number + 1, destination="scan_payment", business_key="K", occurred_at=clock.now(),
                                 state=state, attempts=1, next_at=clock.now()))
    assert (line()["waiting"], line()["stuck"]) == (1, 2)


def test_the_command_line_lists_asks_and_sends_again(world: World, channel: SilentChannel, db: Database, clock: ManualClock,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    intent = world.scan(world.person(), "12.00")
    dead = stuck(db, clock, "dead", 60, "RX2")
    house = House(world.app.extensions["his_settings"])
    house.__dict__["database"] = db
    monkeypatch.setattr(cli, "house", lambda: house)
    monkeypatch.setattr("his_server.app.bind_ports", lambda *_: None)

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli.hub, arguments)
        return done.exit_code, done.output

    code, listed = run("list")
    assert code == 0 and all(package in listed for package in all_manifests())
    code, listed = run("unknowns")
    assert code == 1 and intent["number"] in listed and f"delivery {dead}" in listed
    channel.says = Outcome(CONFIRMED, "C1", "支付成功")
    assert run("ask", str(intent["id"]), "--reason", "对账") == (0, "待入账：支付成功\n")
    assert run("retry", str(dead), "--reason", "对方已恢复") == (0, "已重新排队发送\n")
    assert run("retry", "77", "--reason", "试试")[0] == 1
    with db.begin(write=False) as session:
        row = session.get(Intent, intent["id"])
        assert row is not None and row.state == "confirmed"


def test_a_call_log_row_says_failed_when_surely_nothing_was_sent(db: Database) -> None:
    with pytest.raises(NotSent), logged(db, all_manifests()["scan_payment"], "pay", {}) as entry:
        raise NotSent("没有连接上对方")
    assert (entry.outcome, entry.message) == ("failed", "没有连接上对方")
