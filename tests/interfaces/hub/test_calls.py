"""Every call outside leaves a row that can be found, read masked, unmasked with a reason, and followed (A3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from his_server.clock import ManualClock
from his_server.db import Database
from his_server.messaging.outbox import NotSent
from interfaces.hub import calls, service
from interfaces.hub.calls import observed
from interfaces.hub.limits import FAILURES, REST_SECONDS, Gate
from interfaces.hub.manifests import all_manifests
from interfaces.hub.models import CallTerm, InterfaceCall
from interfaces.hub.settings import Settings
from interfaces.scan_payment.simulator import ScanChannel
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Outcome
from tests.factories.hospital import World
from tests.factories.security import SignedInClient

BASE = "/api/hub"
PAY_TITLE = dict(all_manifests()["scan_payment"].operations)["pay"]
CODE, REFUSED_CODE, LOST_CODE = (f"13456789012345{ending}" for ending in ("6789", "0001", "0002"))


@dataclass(frozen=True)
class Paper:
    number: str
    payer: str = field(repr=False)
    phone: str


class Peer:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.answer: Any = Outcome(CONFIRMED, "PEER1", "受理成功")

    def settle(self, paper: Paper, auth_code: str) -> Outcome:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


PAPER = Paper("P1", "欧阳䶮𠮷", "13912345678")


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def port(db: Database, peer: Peer) -> Any:
    return observed(db, "scan_payment", peer)


@pytest.fixture
def keeper(sign_in: Any) -> SignedInClient:
    found: SignedInClient = sign_in("integration")
    return found


def rows(db: Database) -> list[InterfaceCall]:
    with db.begin(write=False) as session:
        return list(session.scalars(select(InterfaceCall).order_by(InterfaceCall.started_at, InterfaceCall.id)))


def test_a_call_leaves_a_row_masked_and_sealed_and_the_payers_code_nowhere(db: Database, port: Any) -> None:
    assert port.settle(PAPER, "134567890123456789").state == CONFIRMED
    [row] = rows(db)
    assert (row.interface, row.operation, row.outcome, row.business_key, row.peer_number) == (
        "scan_payment", "settle", "ok", "P1", "PEER1")
    assert "欧***𠮷" not in row.request_masked and "***" in row.request_masked and "139****5678" in row.request_masked
    assert "欧阳" not in row.request_masked and "13912345678" not in row.request_masked
    whole = db.sealer.open("column", row.request_sealed, calls.place(row.id, "request")).decode()
    assert "欧阳䶮𠮷" in whole and "13912345678" in whole
    for kept in (whole, row.request_masked):
        assert "134567890123456789" not in kept


@pytest.mark.parametrize(("answer", "outcome", "said"), [
    (Outcome(REFUSED, message="余额不足"), "refused", "余额不足"),
    (ConnectionError("连接被重置"), "unknown", "ConnectionError: 连接被重置"),
    (NotSent("没有连接上对方"), "failed", "没有连接上对方"),
])
def test_refusals_and_silence_are_told_apart(db: Database, port: Any, peer: Peer, answer: Any, outcome: str, said: str
                                             ) -> None:
    peer.answer = answer
    try:
        port.settle(PAPER, "1")
    except (ConnectionError, NotSent):
        assert outcome in ("unknown", "failed")
    [row] = rows(db)
    assert (row.outcome, row.message) == (outcome, said)


def test_nobody_calls_outside_while_a_unit_of_work_is_open(db: Database, port: Any) -> None:
    with db.begin(), pytest.raises(RuntimeError, match="unit of work"):
        port.settle(PAPER, "1")
    assert rows(db) == []


def test_a_silent_peer_is_left_alone_for_a_while_and_then_tried_once(peer: Peer) -> None:
    time = [Decimal(0)]
    gate = Gate(all_manifests()["scan_payment"], now=lambda: time[0])

    def call(fails: bool) -> None:
        with gate.passing():
            if fails:
                raise TimeoutError

    for _ in range(FAILURES):
        with pytest.raises(TimeoutError):
            call(True)
    with pytest.raises(NotSent, match="暂停调用"), gate.passing():
        pass
    assert gate.state == "open"
    time[0] += REST_SECONDS
    assert gate.state == "half open"
    with pytest.raises(TimeoutError):
        call(True)
    assert gate.state == "open", "the one that tried failed: shut again"
    time[0] += REST_SECONDS
    call(False)
    assert gate.state == "closed"


def test_the_rate_is_kept() -> None:
    gate = Gate(replace(all_manifests()["scan_payment"], rate_per_second=2), now=lambda: Decimal(7))
    for _ in range(2):
        with gate.passing():
            pass
    with pytest.raises(NotSent, match="过于频繁"), gate.passing():
        pass


def pay(world: World, code: str, amount: str = "12.00") -> dict[str, Any]:
    """A scan payment through the API over the observed channel."""
    world.db.ports["payment:scan"] = observed(world.db, "scan_payment", world.db.ports["payment:scan"])
    return world.scan(world.person("欧阳䶮"), amount, code)


@pytest.mark.requirement("A3")
def test_one_box_finds_a_call_by_number_patient_transaction_and_error_text(world: World, keeper: SignedInClient) -> None:
    intent = pay(world, REFUSED_CODE)
    with world.db.begin(write=False) as session:
        person = session.scalar(select(InterfaceCall.person_id))
        number = session.scalar(select(InterfaceCall.business_key))
    assert person and number

    def found(q: str, **more: Any) -> Any:
        answer = keeper.get(f"{BASE}/calls", query_string={"q": q, **more})
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_json()

    assert [row["outcome"] for row in found("")["items"]] == ["refused"]
    for q, what in ((number.lower(), "业务号"), ("欧阳䶮", "病人"), ("oyy", "病人"), ("pay", "交易"), (PAY_TITLE, "交易"),
                    ("余额不足", "报错文字"), ("scan_payment", "接口")):
        page = found(q)
        assert len(page["items"]) == 1 and page["understood"].startswith(what), (q, page["understood"])
    for q in ("余额充足", "张三丰", "refund"):
        assert found(q)["items"] == [], q
    assert found("", outcome="unknown")["items"] == [] and len(found("", outcome="refused")["items"]) == 1
    assert "欧阳" not in keeper.get(f"{BASE}/calls").get_data(as_text=True)
    assert intent["state"] == "refused"


@pytest.mark.requirement("A3")
def test_the_timeline_joins_call_settlement_and_event(world: World, keeper: SignedInClient, db: Database) -> None:
    world.db.ports["payment:scan"] = observed(db, "scan_payment", world.db.ports["payment:scan"])
    person = world.person()
    registration = world.register(person)
    world.request(world.encounter(registration))
    total = world.unpaid(person)["total"]
    intent = world.scan(person, total)
    settled = world.pay_all(person, [{"method": "scan", "covers": total, "intent_id": intent["id"]}])
    number = world.ok(settled)["number"]
    page = keeper.get(f"{BASE}/calls", query_string={"q": number}).get_json()
    assert page["understood"] == f"结算 {number}" and [row["operation"] for row in page["items"]] == ["pay"]
    peer = page["items"][0]["peer_number"]
    theirs = keeper.get(f"{BASE}/calls", query_string={"q": peer}).get_json()
    assert theirs["understood"] == f"对方流水号 {peer}" and theirs["items"] == page["items"]
    items = keeper.get(f"{BASE}/calls/{page['items'][0]['id']}/timeline").get_json()["items"]
    kinds = [item["kind"] for item in items]
    assert {"call", "event", "act"} <= set(kinds) and items == sorted(items, key=lambda item: item["at"])
    assert any(item["title"] == "收费" for item in items)


@pytest.mark.requirement("A3")
def test_whole_bodies_want_a_permission_and_a_reason_and_are_audited(world: World, keeper: SignedInClient, sign_in: Any
                                                                     ) -> None:
    pay(world, CODE)
    [row] = keeper.get(f"{BASE}/calls").get_json()["items"]
    masked = keeper.get(f"{BASE}/calls/{row['id']}")
    assert masked.status_code == 200 and masked.json["operation"] == "pay" and masked.json["attempts"]
    assert CODE not in masked.get_data(as_text=True)
    assert keeper.post(f"{BASE}/calls/{row['id']}/unmask", json={"reason": ""}).status_code == 422
    whole = keeper.post(f"{BASE}/calls/{row['id']}/unmask", json={"reason": "核对支付"})
    assert whole.status_code == 200 and row["business_key"] in whole.get_json()["request"]
    with world.db.begin(write=False) as session:
        from his_server.security.audit import AuditRow

        assert session.scalar(select(func.count()).select_from(AuditRow).where(AuditRow.event == "hub.unmask")) == 1
    cashier = sign_in("cashier")
    for path in ("calls", f"calls/{row['id']}", "statistics", "registry"):
        assert cashier.get(f"{BASE}/{path}").status_code == 403


@pytest.mark.requirement("A3")
def test_a_lost_answer_is_asked_about_from_the_log_and_only_while_it_is_open(world: World, keeper: SignedInClient) -> None:
    intent = pay(world, LOST_CODE)
    assert intent["state"] == "unknown"
    [row] = keeper.get(f"{BASE}/calls").get_json()["items"]
    done = keeper.post(f"{BASE}/calls/{row['id']}/replay", json={"reason": "病人在窗口等"})
    assert done.status_code == 200 and "支付成功" in done.get_json()["message"], done.get_data(as_text=True)
    again = keeper.post(f"{BASE}/calls/{row['id']}/replay", json={"reason": "再试"})
    assert again.status_code == 409 and "已有结果" in again.get_json()["message"]
    assert [r["operation"] for r in keeper.get(f"{BASE}/calls").get_json()["items"]] == ["query", "pay"]


def test_pages_go_on_where_they_ended_and_charts_count_hours(db: Database, port: Any, peer: Peer, clock: ManualClock,
                                                             sign_in: Any) -> None:
    for n in range(7):
        peer.answer = ConnectionError("断开") if n == 3 else Outcome(CONFIRMED, f"N{n}", "好")
        try:
            port.settle(replace(PAPER, number=f"K{n}"), "1")
        except ConnectionError:
            assert n == 3
        clock.move(minutes=20)
    keeper = sign_in("integration")
    seen: list[str] = []
    after = None
    while True:
        page = keeper.get(f"{BASE}/calls", query_string={"limit": 3, **({"after": after} if after else {})}).get_json()
        seen += [row["business_key"] for row in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [f"K{n}" for n in reversed(range(7))]
    [figures] = keeper.get(f"{BASE}/statistics", query_string={"hours": 4}).get_json()["interfaces"]
    assert (figures["total"], figures["errors"], sum(figures["calls"]), sum(figures["failures"])) == (7, 1, 7, 1)
    assert keeper.get(f"{BASE}/calls", query_string={"after": "x"}).status_code == 422


def test_old_calls_go_to_sealed_files_that_open_again(db: Database, port: Any, clock: ManualClock, tmp_path: Path) -> None:
    port.settle(PAPER, "1")
    clock.move(hours=24 * 200)
    port.settle(replace(PAPER, number="P2"), "1")
    with pytest.raises(ValueError, match="180"):
        Settings(keep_days=30)
    assert service.archive(db, tmp_path, 180) == 1
    assert [row.business_key for row in rows(db)] == ["P2"]
    [sealed] = tmp_path.glob("*.sealed")
    assert "欧阳" not in sealed.read_bytes().decode("latin-1")
    db.sealer.open_file("export", sealed, tmp_path / "open", sealed.name)
    assert '"business_key":"P1"' in (tmp_path / "open").read_text(encoding="utf-8")
    with db.begin(write=False) as session:
        assert session.scalar(select(func.count()).select_from(CallTerm)) == 1
    assert service.archive(db, tmp_path, 180) == 0


@pytest.mark.requirement("A2")
def test_the_registry_lists_every_interface(keeper: SignedInClient) -> None:
    items = keeper.get(f"{BASE}/registry").get_json()["items"]
    folders = {path.parent.name for path in Path("interfaces").glob("*/manifest.toml")}
    assert {item["package"] for item in items} == folders
    assert all(item["owner"] and item["version"] and item["quality"] and item["bound"] for item in items)


def test_searches_pin_their_queries(world: World, keeper: SignedInClient, query_counter: Any) -> None:
    pay(world, CODE)
    for q, most in (("", 4), ("pay", 6), ("余额不足", 10)):
        with query_counter() as count:
            assert keeper.get(f"{BASE}/calls", query_string={"q": q}).status_code == 200
        assert count.total <= most, (q, count.statements)


def test_the_simulator_still_stands_behind_the_observer(db: Database, tmp_path: Path) -> None:
    channel = observed(db, "scan_payment", ScanChannel(tmp_path / "scan.db"))
    assert channel.pay("P9", Decimal("3.00"), CODE).state == CONFIRMED
    assert channel.net() == Decimal("3.00")
    assert [(row.operation, row.business_key) for row in rows(db)] == [("pay", "P9"), ("net", "")]
