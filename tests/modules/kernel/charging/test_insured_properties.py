"""For any insured bill and any order of refunds: identities hold, both books agree, the whole comes back exactly."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from his_server.actor import Actor
from his_server.db import numbering
from his_server.money import ZERO
from modules.kernel.charging import queries, rules
from modules.kernel.charging import service as ledger
from modules.kernel.charging.models import InsuranceClaim, Payment, RefundCase, Settlement
from modules.kernel.charging.ports import Credential, Split
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.service import NewLine, insured, insured_refunds, payments
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from modules.kernel.encounters import service as encounters
from tests.factories import insured as make
from tests.factories.fast_insurer import Insurer
from tests.factories.hospital import World

money = st.decimals(min_value="0", max_value="99999", places=2)


@pytest.mark.requirement("YB-01", "FN-03")
@given(fund=money, account=money, cash=money, hospital=money, first=money, fen=st.sampled_from(
    ["0.00", "0.01", "-0.01"]), at=st.sampled_from(["fund", "cash", "hospital", "in_scope", "own_expense", "total"]))
@settings(deadline=None)
def test_a_split_that_is_a_fen_off_is_refused(fund: Decimal, account: Decimal, cash: Decimal, hospital: Decimal,
                                              first: Decimal, fen: str, at: str) -> None:
    total = fund + account + cash + hospital
    own = min(first, total)
    good = Split(total=total, fund=fund, account=account, cash=cash, hospital=hospital, own_expense=own,
                 in_scope=total - own)
    rules.check_split(good, total)
    pays = [*rules.insured_pays(good, 7), *([Pay("cash", cash)] if cash else [])]
    if total:
        rows = rules.payment_rows(total, pays, to_jiao=True)
        assert sum((row.amount for row in rows), ZERO) == total
    if fen != "0.00":
        with pytest.raises(rules.RuleError):
            rules.check_split(Split(**{**good.__dict__, at: getattr(good, at) + Decimal(fen)}), total)


line = st.tuples(st.decimals(min_value="0.0001", max_value="400", places=4), st.integers(1, 5),
                 st.sampled_from(["01", "02", "03"]))


@pytest.mark.requirement("M1.14", "YB-01", "FN-04", "FN-09", "FN-13")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
@given(bill=st.lists(line, min_size=1, max_size=4), day=st.integers(1, 28), by_scan=st.booleans(), data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_insured_refunds_returns_the_original(
        world: World, tmp_path: Path, bill: list[tuple[Decimal, int, str]], day: int, by_scan: bool, data: st.DataObject
        ) -> None:
    order = data.draw(st.permutations([place for place, (_, quantity, _) in enumerate(bill) for _ in range(quantity)]))
    parts = []
    while order:
        size = data.draw(st.integers(1, len(order)))
        parts, order = [*parts, order[:size]], order[size:]
    _charged_and_refunded(world, tmp_path, bill, day, by_scan, parts, data.draw(st.integers(0, 10**8)))


@pytest.mark.requirement("M1.14", "FN-04")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_a_part_that_rounds_to_no_cash_at_all_goes_back(world: World, tmp_path: Path) -> None:
    """0.04 yuan: nothing was handed over, the refund must still find the payment that covers it."""
    _charged_and_refunded(world, tmp_path, [(Decimal("0.04"), 1, "03")], 1, False, [[0]], 1)


def _charged_and_refunded(world: World, tmp_path: Path, bill: list[tuple[Decimal, int, str]], day: int, by_scan: bool,
                          parts: list[list[int]], serial: int) -> None:
    """Settle a bill by insurance and refund all of it in ``parts`` (places in the bill, once for each unit)."""
    if not isinstance(world.db.ports["insurance"], Insurer):  # the kernel's mechanism is at stake: hundreds of refunds
        world.db.ports["insurance"] = Insurer(tmp_path / "insurer.db")
    actor = Actor(user_id=60_000 + serial, login=f"c{serial}", name="收费员", permissions=frozenset())
    number = make.id_no(day, serial % 100)
    with world.db.begin() as session:
        session.info["actor"] = actor
        first = session.scalar(select(func.max(numbering.NumberRange.last))) or 0
        numbering.grant_range(session, RECEIPT_SERIES, actor.user_id, first + 1, first + 500)
        person = 1_000_000 + serial
        visit = encounters.open_encounter(session, actor, person_id=person, kind="outpatient",
                                          department_id=world.ids["clinic"], doctor_id=world.ids["doctor"])
        ids = ledger.add_lines(session, actor, person, visit.id, [
            NewLine(source="supplement", source_id=n, source_line_id=n, kind="item", item_id=1, code="X",
                    name=f"项目{n}", spec=None, unit="次", price=price, quantity=Decimal(quantity), fiscal_category="03",
                    insurance_level=level) for n, (price, quantity, level) in enumerate(bill)])
        from modules.kernel.charging.models import ChargeLine

        total = session.scalar(select(func.sum(ChargeLine.amount)).where(ChargeLine.id.in_(ids)))
    if not total:
        return
    card = Credential("ecode", f"{number}0000")
    claim = insured.preview(world.db, actor, person_id=person, line_ids=ids, credential=card,
                            member=insured.identify(world.db, card))
    own = [Pay("cash", claim.cash)] if claim.cash else []
    if own and by_scan:
        paid = ledger.take_payment(world.db, actor, person_id=person, channel="scan", amount=claim.cash,
                                   auth_code="1345678901234567")
        own = [Pay("scan", claim.cash, paid.id)]
    intent, settled = insured.settle(world.db, actor, claim.id, credential=card, payments=own, to_jiao=True)
    assert intent.state == "used" and settled is not None
    for part in parts:
        with world.db.begin() as session:
            session.info["actor"] = actor
            case = insured_refunds.open_case(session, actor, settled.id, {
                ids[place]: Decimal(part.count(place)) for place in set(part)}, reason="退费").id
        done = insured_refunds.advance(world.db, actor, case, collected=True)
        assert done.state == "done"
        payments.recover(world.db)
        _agree(world)
    with world.db.begin(write=False) as session:
        mine = select(Settlement.id).where((Settlement.id == settled.id) | (Settlement.reverses_id == settled.id))
        left = dict(session.execute(select(Payment.method, func.sum(Payment.amount))
                                    .where(Payment.settlement_id.in_(mine)).group_by(Payment.method)).all())
        assert not any(left.values()), left
        assert session.scalar(select(func.count()).select_from(RefundCase).where(RefundCase.open_marker == 1)) == 0


def _agree(world: World) -> None:
    with world.db.begin(write=False) as session:
        for check in (queries.settlements_balance, queries.line_states_agree, queries.payment_states_agree,
                      queries.receipt_chains, queries.intents_used_once, queries.claims_agree):
            assert list(check(session)) == []
        held = session.scalar(select(func.sum(Payment.amount)).where(Payment.method.like("insurance%"))) or ZERO
        assert held == world.db.ports["insurance"].net()
        for claim in session.scalars(select(InsuranceClaim)):
            assert claim.total == claim.fund + claim.account + claim.cash + claim.hospital
