"""One settlement for every channel: what a kiosk takes together, any window gives back (M1.9, H1)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from his_server.actor import Actor
from modules.kernel.charging import service as ledger
from modules.kernel.charging.models import Settlement
from modules.kernel.charging.ports import Credential
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.service import followers, insured
from modules.kernel.scheduling import service as scheduling
from tests.factories import insured as make
from tests.factories.hospital import World


def _kiosk(world: World) -> Actor:
    """A kiosk: its account holds the receipt range of the first window's test cashier."""
    return Actor(user_id=world.ids["user_cashier"], login="kiosk1", name="自助机1", channel="kiosk")


def _mixed(world: World, person: int) -> tuple[list[int], Decimal, int]:
    """An unpaid emergency fee and other charges of the same visit; lines, total and the registration."""
    kiosk = _kiosk(world)
    with world.db.begin() as session:
        session.info["actor"] = kiosk
        made, _ = scheduling.register(session, kiosk, person_id=person, session_id=world.ids["emergency_session"])
        registration, encounter = made.id, made.encounter_id
    world.ok(world.post("cashier", "/api/outpatient-billing/supplements", {
        "encounter_id": encounter, "performing_department_id": world.ids["radiology"],
        "lines": [{"item_id": world.ids["exam"], "quantity": "2"}]}))
    owed = world.unpaid(person)
    return [line["id"] for line in owed["lines"]], Decimal(owed["total"]), registration


def _line(whole: dict[str, Any], source: str) -> int:
    return next(line["id"] for line in whole["lines"] if line["source"] == source)


@pytest.mark.requirement("M1.9")
def test_a_mixed_kiosk_payment_is_refunded_by_line_and_whole_at_another_window(world: World) -> None:
    person = world.person()
    lines, total, registration = _mixed(world, person)
    kiosk = _kiosk(world)
    paid = ledger.take_payment(world.db, kiosk, person_id=person, channel="scan", amount=total,
                               auth_code="1345678901234567")
    with world.db.begin() as session:
        session.info["actor"] = kiosk
        settled = followers.settle_and_follow(session, kiosk, person_id=person, line_ids=lines,
                                              payments=[Pay("scan", total, paid.id)], to_jiao=True)
    whole = world.settlement(settled.id)
    assert whole["channel"] == "kiosk" and sorted(r["title"] for r in whole["receipts"]) == ["挂号费", "诊疗费"]
    for _ in range(2):
        world.ok(world.post("cashier2", f"/api/outpatient-billing/settlements/{settled.id}/refunds", {
            "lines": [{"line_id": _line(whole, "supplement"), "quantity": "1"}], "reason": "检查取消"}))
    world.ok(world.post("cashier2", f"/api/outpatient-billing/registrations/{registration}/cancel", {"reason": "不看了"}))
    with world.db.begin(write=False) as session:
        back = session.query(Settlement).filter_by(reverses_id=settled.id).all()
        assert sum(one.total for one in back) == -total
    ledger.recover(world.db)
    assert world.db.ports["payment:scan"].net() == 0
    assert world.findings() == []


@pytest.mark.requirement("M1.9", "M1.14")
def test_a_mixed_insured_kiosk_payment_is_refunded_at_a_window(world: World) -> None:
    number = make.id_no(2)
    person = make.insured_person(world, number)
    lines, total, registration = _mixed(world, person)
    kiosk, card = _kiosk(world), Credential("ecode", f"{number}0000")
    claim = insured.preview(world.db, kiosk, person_id=person, line_ids=lines, credential=card,
                            member=insured.identify(world.db, card))
    own = [Pay("cash", claim.cash)] if claim.cash else []
    intent, settled = insured.settle(world.db, kiosk, claim.id, credential=card, payments=own, to_jiao=True)
    assert intent.state == "used" and settled is not None and settled.total == total
    whole = world.settlement(settled.id)
    case = world.ok(world.post("cashier2", f"{make.API}/refunds", {
        "settlement_id": settled.id, "reason": "检查取消",
        "lines": [{"line_id": _line(whole, "supplement"), "quantity": "2"}]}))
    assert case["state"] == "done"
    fee = world.post("cashier2", f"{make.API}/refunds", {
        "settlement_id": settled.id, "reason": "不看了",
        "lines": [{"line_id": _line(whole, "registration"), "quantity": "1"}]})
    assert fee.status_code == 422  # a fee goes back by cancelling
    gone = world.ok(world.post("cashier2", f"/api/outpatient-billing/registrations/{registration}/cancel-insured",
                               {"reason": "不看了"}))
    assert gone["state"] == "done"
    assert world.db.ports["insurance"].net() == 0
    assert world.findings() == []
