"""A route of several steps whose answer gets lost: the same request again gets the same answer, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from his_server.errors import Conflict
from modules.kernel.charging.service import insured_refunds, payments
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.modules.kernel.charging.test_insured_refunds import (
    REFUNDS,
    _agree,
    _approve,
    _registered,
    _settled,
)
from tests.modules.kernel.charging.test_invoice_papers import _invoice
from tests.modules.kernel.charging.test_invoices import PATH

BILLING = "/api/outpatient-billing"
KEY = "the-same-key-again"
Asked = tuple[str, str, dict[str, Any]]


def _change_back(world: World) -> Asked:
    key, _ = _registered(world, make.id_no(2))
    return "cashier", f"{BILLING}/registrations/{key}/cancel-insured", {"reason": "换号：病人要求"}


def _refund(world: World) -> Asked:
    done = _settled(world, make.id_no(2))
    _approve(world, done["settlement_id"], "605.50")
    return "cashier", REFUNDS, {"settlement_id": done["settlement_id"], "reason": "检查取消", "lines": [
        {"line_id": done["whole"]["lines"][0]["id"], "quantity": "10"}]}


def _payment(world: World) -> Asked:
    return "cashier", f"{BILLING}/payment-intents", {
        "person_id": world.person(), "channel": "scan", "amount": "20.00", "auth_code": "134567890123456789"}


def _back(world: World) -> Asked:
    paid = world.scan(world.person(), "20.00")
    return "cashier", f"{BILLING}/payment-intents/{paid['id']}/return", {}


def _paper(world: World) -> Asked:
    return "cashier", f"{PATH}/{_invoice(world)[0]['id']}/papers", {}


def _void(world: World) -> Asked:
    paper = world.ok(world.post("cashier", f"{PATH}/{_invoice(world)[0]['id']}/papers"))
    return "cashier", f"/api/charging/papers/{paper['id']}/void", {"reason": "退费收回"}


def _decision(world: World) -> Asked:
    assert _settled(world, make.id_no(2), "0002")["state"] == "unknown"
    [row] = world.ok(world.get("finance", "/api/charging/intents"))["items"]
    return "finance", f"/api/charging/intents/{row['id']}/decide", {"outcome": "confirmed", "reason": "医保中心电话核实已结算"}


@pytest.mark.requirement("M1.7", "M1.14", "YB-02")
@pytest.mark.parametrize("prepare", [_change_back, _refund, _payment, _back, _paper, _void, _decision])
def test_the_same_request_gets_the_same_answer(world: World, prepare: Callable[[World], Asked]) -> None:
    who, path, body = prepare(world)
    first = world.ok(world.post(who, path, body, key=KEY))
    calls = {name: getattr(world.db.ports[name], "calls", None) for name in world.db.ports}
    assert world.ok(world.post(who, path, body, key=KEY)) == first
    assert {name: getattr(world.db.ports[name], "calls", None) for name in world.db.ports} == calls
    other = world.post(who, path, {**body, "reason": "另一个原因"}, key=KEY)
    assert other.status_code in (409, 422), "the key is good for this request only"
    assert world.findings() == []


@pytest.mark.requirement("M1.7")
def test_a_repeat_needs_its_key_and_another_key_is_another_request(world: World) -> None:
    who, path, body = _change_back(world)
    assert world.clients[who].post(path, json=body).json["code"] == "idempotency.missing"
    world.ok(world.post(who, path, body))
    again = world.post(who, path, body)
    assert again.status_code == 409 and "李收费" in again.json["message"]


@pytest.mark.requirement("M1.7", "M1.14")
def test_what_stopped_half_way_is_gone_on_with(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is cancelled, then something fails: the refusal says that it has begun, and the same key finishes it."""
    who, path, body = _change_back(world)
    whole = insured_refunds.advance

    def stop(*_: Any, **__: Any) -> Any:
        raise Conflict("shift.closed", "班次已日结")

    monkeypatch.setattr(insured_refunds, "advance", stop)
    halted = world.post(who, path, body, key=KEY)
    assert (halted.status_code, halted.json["code"]) == (503, "steps.unfinished")
    assert "班次已日结" in halted.json["message"] and "再按一次" in halted.json["message"]
    monkeypatch.setattr(insured_refunds, "advance", whole)
    assert world.ok(world.post(who, path, body, key=KEY))["state"] == "done"
    _agree(world)


@pytest.mark.requirement("M1.7", "FN-15")
def test_a_payment_whose_process_died_is_asked_about_and_not_taken_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    who, path, body = _payment(world)
    channel = world.db.ports["payment:scan"]

    def die(*_: Any, **__: Any) -> Any:
        raise MemoryError("killed between the row and the call")

    monkeypatch.setattr(payments.intents, "attempt", die)
    assert world.post(who, path, body, key=KEY).status_code == 500
    monkeypatch.undo()
    taken: list[Any] = []
    monkeypatch.setattr(channel, "pay", lambda *args: taken.append(args), raising=False)
    again = world.ok(world.post(who, path, body, key=KEY))
    assert (again["state"], taken) == ("calling", []), "the channel is only asked; the recovery goes on"
