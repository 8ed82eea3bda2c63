"""Insured settlements over a line that fails at every transaction: fully settled or fully undone, on both sides alike."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from his_server.clock import ManualClock
from his_server.messaging.outbox import LostAnswer
from interfaces.hub.models import InterfaceCall
from interfaces.hub.simulating import Faults, Rule
from interfaces.nhsa.client import asking
from interfaces.nhsa.models import NhsaCase, NhsaMessage
from interfaces.nhsa.simulator import transaction
from modules.kernel.charging.models import Payment
from modules.kernel.charging.service import insured, insured_refunds, intents, payments
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.factories.insurer import Simulated

CHAIN = ("9001", "1101", "2201", "2203", "2204", "2206", "2207")
FAULTS = ("drop_before", "drop_after", "duplicate", "garbage", "refuse", "short")
BOTH = ("sqlite", pytest.param("postgresql", marks=pytest.mark.long))


def _port(world: World) -> Simulated:
    found: Simulated = world.db.ports["insurance"]
    return found


def _fail(world: World, *rules: Rule) -> None:
    Faults(_port(world).folder / "nhsa").write(rules)


def _recover(world: World, clock: ManualClock, minutes: int = 1) -> None:
    clock.move(minutes=minutes)
    for _ in range(4):
        insured.recover(world.db)
        insured_refunds.recover(world.db)
        payments.recover(world.db)


def _agree(world: World) -> None:
    with world.db.begin(write=False) as session:
        booked = session.scalar(select(func.sum(Payment.amount)).where(Payment.method.like("insurance%"))) or Decimal(0)
        assert not session.scalars(select(intents.Intent.id).where(intents.needs_somebody(world.db.clock.now()))).all()
        assert not session.scalars(select(NhsaMessage.msgid).where(
            NhsaMessage.infno == "2207", NhsaMessage.state.in_(("sent", "lost")))).all()
        ids = session.scalars(select(NhsaMessage.msgid)).all()
    assert len(set(ids)) == len(ids) and all(len(one) == 30 for one in ids)
    assert _port(world).net() == booked
    assert world.findings() == []


def _ill(world: World, serial: int = 1, quantity: str = "10") -> tuple[int, str]:
    number = make.id_no(2, serial)
    person = make.insured_person(world, number)
    world.request(world.encounter(world.register(person)), quantity)
    return person, number


def _until_previewed(world: World, person: int, number: str) -> Any:
    """Preview as a cashier does: again after a failure."""
    for _ in range(3):
        answer = make.preview(world, person, make.show(number))
        if answer.status_code < 300:
            return answer.json
        assert answer.status_code in (409, 503), answer.get_data(as_text=True)
    raise AssertionError("not previewed in three tries")


@pytest.mark.requirement("H2", "YB-02")
@pytest.mark.parametrize("db_url", BOTH, indirect=True)
@pytest.mark.parametrize("fault", FAULTS)
def test_one_bad_exchange_at_each_transaction(world: World, clock: ManualClock, fault: str) -> None:
    """Each transaction of the chain fails once in turn; the cashier goes on, recovery ends what is open."""
    for serial, infno in enumerate(CHAIN, 1):
        person, number = _ill(world, serial)
        if infno == "9001":
            _port(world).insurer._signs.clear()
            with world.db.begin() as session:
                for row in session.query(asking.NhsaMessage).filter_by(infno="9001"):
                    session.delete(row)
        _fail(world, Rule(fault, infno, count=1))
        claim = _until_previewed(world, person, number)
        make.settle(world, claim, make.show(number))
        _fail(world)
        _recover(world, clock)
        state = world.ok(world.get("cashier", f"{make.API}/claims/{claim['id']}"))["state"]
        assert state in ("used", "refused"), (infno, state)
        assert bool(world.unpaid(person)["lines"]) == (state != "used")
        if infno == "2207":
            assert state == ("refused" if fault in ("drop_before", "refuse") else "used")
        _agree(world)


@pytest.mark.requirement("H2", "YB-02", "M1.14")
@pytest.mark.parametrize("db_url", BOTH, indirect=True)
@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "duplicate"])
def test_a_refund_over_a_bad_line(world: World, clock: ManualClock, fault: str) -> None:
    """2208, and each transaction by which the rest is settled anew, fails once; the refund is booked once."""
    for serial, infno in enumerate(("2208", "2201", "2204", "2207", "5203"), 1):
        person, number = _ill(world, serial)
        claim = _until_previewed(world, person, number)
        done = world.ok(make.settle(world, claim, make.show(number)))
        line = world.settlement(done["settlement_id"])["lines"][0]["id"]
        rules = [Rule(fault, infno, count=1)] + ([Rule("drop_after", "2208", count=1)] if infno == "5203" else [])
        _fail(world, *rules)
        world.post("cashier", f"{make.API}/refunds", {
            "settlement_id": done["settlement_id"], "lines": [{"line_id": line, "quantity": "4"}], "reason": "检查取消",
            "returns": []})
        _recover(world, clock)
        _recover(world, clock)
        _fail(world)
        _recover(world, clock)
        with world.db.begin(write=False) as session:
            states = session.scalars(select(insured_refunds.RefundCase.state).where(
                insured_refunds.RefundCase.settlement_id == done["settlement_id"])).all()
        assert states == ["done"], (infno, states)
        _agree(world)


@pytest.mark.requirement("H2")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_what_was_closed_or_reversed_is_tidied_at_the_centre(world: World, clock: ManualClock) -> None:
    """2205 and 2202 follow by themselves: no fee line and no visit of an undone bill stays there."""
    person, number = _ill(world, quantity="1")
    claim = _until_previewed(world, person, number)
    world.ok(world.post("cashier", f"{make.API}/claims/{claim['id']}/withdraw"))
    again = _until_previewed(world, person, number)
    done = world.ok(make.settle(world, again, make.show(number)))
    lines = [{"line_id": one["id"], "quantity": one["quantity"]} for one in world.settlement(done["settlement_id"])["lines"]]
    world.ok(world.post("cashier", f"{make.API}/refunds", {
        "settlement_id": done["settlement_id"], "lines": lines, "reason": "检查取消", "returns": []}))
    clock.move(minutes=6)
    assert asking.tidy_due(_port(world).insurer) == 1
    assert _port(world).books.rows("SELECT * FROM fee") == []
    assert {row["state"] for row in _port(world).books.rows("SELECT state FROM visit")} == {"withdrawn"}
    assert asking.tidy_due(_port(world).insurer) == 0
    _agree(world)


@pytest.mark.requirement("H2")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_a_sign_in_that_ran_out_is_renewed_by_itself(world: World, clock: ManualClock) -> None:
    person, number = _ill(world)
    claim = _until_previewed(world, person, number)
    with _port(world).books.work() as books:
        books.execute("DELETE FROM sign")
    assert world.ok(make.settle(world, claim, make.show(number)))["state"] == "used"
    with world.db.begin(write=False) as session:
        calls = session.execute(select(NhsaMessage.infno, NhsaMessage.state, NhsaMessage.cause)
                                .where(NhsaMessage.infno == "2207").order_by(NhsaMessage.id)).all()
    assert [(row.state, row.cause) for row in calls] == [("refused", "nhsa.sign_in"), ("done", "")]
    _agree(world)


@pytest.mark.requirement("A3", "H2")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_every_transaction_stands_in_the_call_log_without_the_credential(world: World) -> None:
    person, number = _ill(world)
    claim = _until_previewed(world, person, number)
    world.ok(make.settle(world, claim, make.show(number)))
    with world.db.begin(write=False) as session:
        rows = session.execute(select(InterfaceCall.operation, InterfaceCall.request_masked, InterfaceCall.business_key)
                               .where(InterfaceCall.interface == "nhsa").order_by(InterfaceCall.id)).all()
        numbers = session.scalars(select(NhsaCase.number)).all()
    assert [row.operation for row in rows] == list(CHAIN)
    assert all(number not in row.request_masked for row in rows)
    assert {row.business_key for row in rows[2:]} == set(numbers)


@pytest.mark.requirement("YB-01")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_a_line_that_nobody_mapped_is_not_settled_with_a_real_insurer(world: World) -> None:
    person, number = _ill(world)
    _port(world)._unmapped = lambda _line: None
    refused = make.preview(world, person, make.show(number))
    assert refused.status_code == 409 and "没有对照医保目录" in refused.json["message"]


@pytest.mark.requirement("YB-02")
@pytest.mark.parametrize("db_url", BOTH, indirect=True)
def test_a_settlement_that_arrives_after_it_was_given_up_settles_nothing(world: World, clock: ManualClock) -> None:
    """2601 makes sure of it: the 2207 that was stuck on the way is refused when it comes at last."""
    person, number = _ill(world)
    claim = _until_previewed(world, person, number)
    line = _port(world).insurer.line
    genuine, stuck = line.exchange, []

    def exchange(method: str, path: str, body: bytes, headers: Any) -> Any:
        if transaction(path, body) == "2207":
            stuck.append((method, path, body, headers))
            raise LostAnswer("on its way")
        return genuine(method, path, body, headers)

    line.exchange = exchange  # type: ignore[assignment, method-assign]
    assert world.ok(make.settle(world, claim, make.show(number)))["state"] == "unknown"
    _recover(world, clock)
    assert world.ok(world.get("cashier", f"{make.API}/claims/{claim['id']}"))["state"] == "refused"
    assert "冲正" in genuine(*stuck[0]).body.decode()
    assert _port(world).net() == 0
    _agree(world)


@pytest.mark.requirement("YB-02")
@pytest.mark.parametrize("db_url", BOTH, indirect=True)
def test_who_asks_while_a_settlement_is_under_way_and_who_made_it_agree(world: World) -> None:
    """Another process asks after the centre settled and before the answer is written down: both adopt the same."""
    person, number = _ill(world)
    claim = _until_previewed(world, person, number)
    port = _port(world)
    genuine, heard = port.insurer.line.exchange, []

    def exchange(method: str, path: str, body: bytes, headers: Any) -> Any:
        answer = genuine(method, path, body, headers)
        if transaction(path, body) == "2207":
            with world.db.begin(write=False) as session:
                ours = session.scalar(select(NhsaCase.number))
            heard.append(port.query(ours))
        return answer

    port.insurer.line.exchange = exchange  # type: ignore[assignment, method-assign]
    assert world.ok(make.settle(world, claim, make.show(number)))["state"] == "used"
    assert [one.state for one in heard] == ["confirmed"]
    assert len(port.books.rows("SELECT * FROM settlement")) == 1
    _agree(world)
