"""Outpatient deposits: none is taken; what the old system held goes back, once each, until nothing is left (R2)."""

from __future__ import annotations

import pytest

from his_server.actor import SYSTEM
from his_server.errors import Invalid
from modules.kernel.masterdata.importing import import_rows
from modules.kernel.masterdata.importing.table import TableRow
from modules.kernel.patients.models import Person
from tests.factories.hospital import World

HEADER = ["source", "number", "outpatient_no", "balance"]
PATH = "/api/charging/old-deposits"


def _import(world: World, *rows: tuple[str, str, str]) -> None:
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        import_rows(session, SYSTEM, "old_deposits", HEADER, [
            TableRow(n, dict(zip(HEADER, ("旧HIS", *row), strict=True))) for n, row in enumerate(rows, 2)])


@pytest.mark.requirement("R2", "YB-08")
def test_old_balances_go_back_until_nothing_is_left(world: World) -> None:
    with world.db.begin(write=False) as session:
        number = session.get_one(Person, world.person()).outpatient_no
    _import(world, ("Y1", number, "120.50"), ("Y2", number, "30"))
    _import(world, ("Y1", number, "120.50"), ("Y3", number, "9.99"))  # again: nothing doubles
    page = world.ok(world.get("finance", PATH))
    assert (page["left"], page["count"], [r["source_number"] for r in page["items"]]) == ("160.49", 3, ["Y1", "Y2", "Y3"])
    for row in page["items"]:
        world.ok(world.post("finance", f"{PATH}/{row['id']}/clear", {"method": "cash", "receiver": "本人领取"}))
    twice = world.post("finance", f"{PATH}/{page['items'][0]['id']}/clear", {"method": "cash", "receiver": "本人领取"})
    assert twice.status_code == 409 and "冯财务" in twice.json["message"]
    after = world.ok(world.get("finance", PATH))
    assert (after["left"], after["count"], after["items"]) == ("0.00", 0, [])
    _import(world, ("Y1", number, "120.50"))  # what was cleared doesn't come back
    assert world.ok(world.get("finance", PATH))["count"] == 0


@pytest.mark.requirement("R2")
def test_bad_rows_are_named_and_nothing_is_imported(world: World) -> None:
    with world.db.begin(write=False) as session:
        number = session.get_one(Person, world.person()).outpatient_no
    with pytest.raises(Invalid) as refused:
        _import(world, ("Y1", number, "120.50"), ("Y2", number, "-3"), ("Y3", "M0", "5.001"))
    assert {e.field for e in refused.value.errors} == {"rows.3.balance", "rows.4.balance", "rows.4.outpatient_no"}
    assert world.ok(world.get("finance", PATH))["count"] == 0


@pytest.mark.requirement("R2", "YB-08")
def test_no_route_and_no_payment_takes_a_deposit(world: World) -> None:
    """Every writing route that says deposit gives one back; no payment method is one."""
    hospital = world.app.extensions["his_hospital"]
    words = ("deposit", "prepaid", "prepay", "预交", "预存", "充值")
    found = {f"{r.method} {r.rule}" for r in hospital.routes if r.method != "GET"
             and any(word in (r.rule + r.summary + r.permission).lower() for word in words) and "inpatient" not in r.rule}
    assert found == {f"POST {PATH}/<int:deposit_id>/clear"}
    person = world.person()
    taken = world.post("cashier", "/api/outpatient-billing/payment-intents", {
        "person_id": person, "channel": "deposit", "amount": "100.00", "auth_code": "1" * 18})
    assert taken.status_code == 422
