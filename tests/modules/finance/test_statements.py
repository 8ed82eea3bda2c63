"""The channel's statement against our books, to the row: each kind of difference is found, and what a person does about it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from his_server.clock import ManualClock, local
from interfaces.scan_payment.simulator import ScanChannel
from modules.finance import rules, service
from modules.finance.models import StatementDifference
from modules.finance.rules import Ours, Theirs
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Statement, StatementRow
from modules.kernel.charging.service import payments
from tests.factories.hospital import World

MONDAY = date(2026, 3, 2)
BASE = "/api/finance"


class Channel(ScanChannel):
    """The channel on the test's clock, whose statement can be falsified."""

    def __init__(self, path: Any, clock: ManualClock) -> None:
        super().__init__(path)
        self.clock = clock
        self.extra: list[StatementRow] = []
        self.missing: set[str] = set()
        self.other: dict[str, Decimal] = {}
        self.down = False

    def at(self) -> Any:
        return self.clock.now()

    def download_bill(self, day: date) -> Statement:
        if self.down:
            raise TimeoutError
        rows = [row for row in super().download_bill(day).rows if row.number not in self.missing]
        rows = [StatementRow(r.kind, r.number, r.peer_number, self.other.get(r.number, r.amount), r.at) for r in rows]
        return Statement(CONFIRMED, rows=tuple(rows + [row for row in self.extra if local(row.at).date() == day]))


@pytest.fixture
def channel(world: World, clock: ManualClock, tmp_path: Any) -> Channel:
    """The scan channel."""
    made = Channel(tmp_path / "statement.db", clock)
    world.db.ports["payment:scan"] = made
    world.db.ports.pop("payment:ecny")
    return made


def _pay(world: World, amount: str = "20.00", code: str = "134567890123456789") -> dict[str, Any]:
    return world.scan(world.person(), amount, code)


def _tomorrow(world: World, clock: ManualClock, days: int = 1) -> None:
    clock.set(clock.now() + timedelta(days=days))
    world.sign_in_again()


def _fetch(world: World, day: date) -> Any:
    return world.post("finance", f"{BASE}/statements/fetch", {"channel": "scan", "day": day.isoformat()})


def _differences(world: World, state: str = "open") -> list[tuple[str, str]]:
    return sorted((row["kind"], row["number"]) for row in world.ok(
        world.get("finance", f"{BASE}/differences?state={state}&limit=100"))["items"])


@pytest.mark.requirement("N5")
def test_books_that_agree_have_no_difference(world: World, channel: Channel, clock: ManualClock, query_counter: Any) -> None:
    for n in range(5):
        _pay(world, f"{n + 1}.00")
    _pay(world, code="134567890123450001")  # refused: on neither side
    clock.move(minutes=16)
    payments.recover(world.db)  # nobody used them: all go back
    payments.recover(world.db)
    _tomorrow(world, clock)
    with query_counter() as count:
        world.ok(_fetch(world, MONDAY))
    assert count.total <= 24, count.statements
    [row] = [r for r in world.ok(world.get("finance", f"{BASE}/statements?start=2026-03-02&end=2026-03-02"))["items"]]
    assert (row["row_count"], row["matched"], row["open"], row["paid"], row["returned"]) == (10, 10, 0, "15.00", "15.00")


@pytest.mark.requirement("N5", "FN-15")
def test_every_kind_of_difference_is_found(world: World, channel: Channel, clock: ManualClock) -> None:
    good, wrong_amount, missing, twice = (_pay(world)["number"] for _ in range(4))
    lost = _pay(world, code="134567890123450003")["number"]  # the channel says later that it was paid after all
    at = clock.now()
    channel.other[wrong_amount] = Decimal("25.00")
    channel.missing.add(missing)
    channel.extra = [StatementRow("pay", number, f"T{number}", Decimal("20.00"), at) for number in (twice, lost, "P999")]
    _tomorrow(world, clock)
    world.ok(_fetch(world, MONDAY))
    assert _differences(world) == sorted([
        (rules.AMOUNT_DIFF, wrong_amount), (rules.DUPLICATE, twice), (rules.STATE_DIFF, lost), (rules.CHANNEL_ONLY, "P999")])
    assert _differences(world, "pending") == [(rules.HIS_ONLY, missing)]
    assert good not in str(_differences(world)) + str(_differences(world, "pending"))
    for _ in range(3):
        _tomorrow(world, clock)
        world.ok(_fetch(world, MONDAY + timedelta(days=(clock.now().date() - MONDAY).days - 1)))
    assert (rules.HIS_ONLY, missing) in _differences(world), "three days later it is an alarm"


@pytest.mark.requirement("N5")
def test_one_minute_to_midnight_is_pending_and_vanishes(world: World, channel: Channel, clock: ManualClock) -> None:
    clock.set(local(clock.now()).replace(hour=23, minute=59))
    world.sign_in_again()
    made = _pay(world)
    channel.missing.add(made["number"])  # it stands on the next day's statement
    clock.move(hours=9)
    world.sign_in_again()
    world.ok(_fetch(world, MONDAY))
    assert _differences(world, "pending") == [(rules.HIS_ONLY, made["number"])]
    channel.extra = [StatementRow("pay", made["number"], "T1", Decimal("20.00"), clock.now())]
    _tomorrow(world, clock)
    world.ok(_fetch(world, MONDAY + timedelta(days=1)))
    assert _differences(world, "pending") == [] and _differences(world) == []
    assert _differences(world, "cleared") == [(rules.HIS_ONLY, made["number"])]


@pytest.mark.requirement("N5", "M1.10")
def test_what_the_statement_knows_better_is_adopted_and_goes_back_to_the_payer(world: World, channel: Channel,
                                                                               clock: ManualClock) -> None:
    lost = _pay(world, code="134567890123450003")
    channel.pay(lost["number"], Decimal("20.00"), "1234567890")  # it arrived after all
    channel.close = lambda number: Statement(REFUSED)  # type: ignore[method-assign]
    _tomorrow(world, clock)
    world.ok(_fetch(world, MONDAY))
    [row] = world.ok(world.get("finance", f"{BASE}/differences?state=open"))["items"]
    path = f"{BASE}/differences/{row['id']}/settle"
    assert world.post("cashier", path, {"decision": "adopt", "reason": "账单有"}).status_code == 403
    done = world.ok(world.post("finance", path, {"decision": "adopt", "reason": "渠道账单显示成功"}))
    assert (done["state"], done["settled_by_name"], done["rows"][0]["amount"]) == ("settled", "冯财务", "20.00")
    again = world.post("finance", path, {"decision": "explain", "reason": "再处理"})
    assert again.status_code == 409 and "冯财务" in again.json["message"]
    for _ in range(2):
        clock.move(minutes=16)
        payments.recover(world.db)
    assert channel.net() == 0, "nobody used it, so it went back to its payer"
    world.sign_in_again()
    assert world.findings() == []


@pytest.mark.requirement("N5")
def test_only_what_can_be_adopted_is(world: World, channel: Channel, clock: ManualClock) -> None:
    channel.extra = [StatementRow("pay", "P999", "T7", Decimal("5.00"), clock.now())]
    _tomorrow(world, clock)
    world.ok(_fetch(world, MONDAY))
    [row] = world.ok(world.get("finance", f"{BASE}/differences?state=open"))["items"]
    path = f"{BASE}/differences/{row['id']}/settle"
    assert world.post("finance", path, {"decision": "adopt", "reason": "账单有"}).status_code == 422
    assert world.ok(world.post("finance", path, {"decision": "explain", "reason": "商户号下另一台终端"}))["state"] == "settled"
    world.ok(_fetch(world, MONDAY))
    assert _differences(world) == [], "what a person settled stays settled"


@pytest.mark.requirement("N5")
def test_missing_statements_are_fetched_by_themselves(world: World, channel: Channel, clock: ManualClock) -> None:
    _pay(world)
    assert _fetch(world, MONDAY).status_code == 422, "the day isn't over"
    _tomorrow(world, clock)
    channel.down = True
    assert _fetch(world, MONDAY).status_code == 503 and service.fetch_due(world.db) == 0
    listed = world.ok(world.get("finance", f"{BASE}/statements?start=2026-03-02&end=2026-03-02"))["items"]
    assert [row["fetched"] for row in listed] == [False]
    channel.down = False
    assert service.fetch_due(world.db) == service.LOOK_BACK and service.fetch_due(world.db) == 0
    clock.set(local(clock.now()).replace(hour=7) + timedelta(days=1))
    assert service.fetch_due(world.db) == 0, "too early: the channel has none yet"


_DAYS = st.dates(date(2026, 3, 1), date(2026, 3, 9))
_AMOUNTS = st.sampled_from([Decimal("1.00"), Decimal("2.00")])
_THEIRS = st.builds(Theirs, st.sampled_from(["pay", "refund"]), _AMOUNTS, _DAYS)


@given(st.none() | st.builds(Ours, st.just(1), st.sampled_from(["pay", "refund"]), _AMOUNTS,
                             st.sampled_from(["confirmed", "used", "reversed", "refused", "unknown"]), _DAYS),
       st.lists(_THEIRS, max_size=3), _DAYS)
def test_a_number_is_in_order_only_when_both_sides_say_the_same(ours: Ours | None, theirs: list[Theirs], through: date) -> None:
    found = rules.judge(ours, theirs, through)
    moved = ours is not None and ours.moved
    same = (not moved and not theirs) or (
        moved and len(theirs) == 1 and (theirs[0].act, theirs[0].amount) == (ours.act, ours.amount))  # type: ignore[union-attr]
    assert (found == []) == same
    assert len({v.kind for v in found}) == len(found)
    for verdict in found:
        assert verdict.state == rules.OPEN or verdict.kind == rules.HIS_ONLY


def test_the_states_have_names() -> None:
    assert set(service.STATE_NAMES) == {"pending", "open", "settled", "cleared"}
    assert StatementDifference.__tablename__ == "statement_difference"
