"""A carton's code at the window: refused, or opened into its boxes; nothing goes out as a box that nobody knows as one (R1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from his_server.actor import SYSTEM
from his_server.security.audit import AuditRow
from interfaces.hub.simulating import Faults, Rule
from modules.kernel.stock.service import packing, tracing
from tests.factories.hospital import World
from tests.interfaces.trace_platform.test_packing import BOXES, CARTON, MIDDLE, bind
from tests.modules.outpatient_pharmacy.helping import PHARMACY, act, look, paid
from tests.modules.outpatient_pharmacy.test_returns import coded, in_store

LIST = "大码,小码\n" + "\n".join(f"{CARTON},{code}" for code in BOXES[:2])


def listed(world: World, text: str = LIST) -> None:
    """The supplier's packing list came in."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        packing.import_list(session, SYSTEM, text)


def scan(world: World, code: str, who: str = "pharmacist") -> dict[str, Any]:
    return world.ok(world.post(who, f"{PHARMACY}/packs", {"code": code}))


@pytest.mark.requirement("R1", "TC-02")
def test_a_carton_is_never_dispensed_as_a_box(world: World) -> None:
    listed(world)
    made = paid(world, "24")
    for body in (coded(world, made, CARTON), {**coded(world, made, CARTON), "boxes": [CARTON]}):
        refused = act(world, made, "dispense", body)
        assert (refused.status_code, refused.json["code"]) == (422, "trace.large") and "大码" in refused.json["message"]
    assert look(world, made)["state"] == "charged"
    with world.db.begin(write=False) as session:
        assert tracing.find(session, [CARTON, *BOXES]) == {}
    world.ok(act(world, made, "dispense", coded(world, made, BOXES[0])))  # the list says that this is a box
    assert world.findings() == []


@pytest.mark.requirement("R1", "TC-02")
def test_a_carton_that_was_received_as_a_box_is_found_out(world: World) -> None:
    in_store(world, CARTON)
    listed(world)
    made = paid(world, "24")
    refused = act(world, made, "dispense", coded(world, made, CARTON))
    assert (refused.status_code, refused.json["code"]) == (422, "trace.large")
    assert world.findings() == []


@pytest.mark.requirement("R1", "TC-02")
def test_a_carton_opens_into_its_boxes_and_each_goes_out_once(world: World, tmp_path: Path) -> None:
    bind(world.db, tmp_path)
    found = scan(world, MIDDLE)
    inside = [one["code"] for one in found["boxes"]]
    assert (found["kind"], inside) == ("carton", BOXES[5:])
    made, second = paid(world, "120"), paid(world, "24", name="李桂英")
    world.ok(act(world, made, "dispense", coded(world, made, *inside)))
    assert {one["text"] for one in scan(world, MIDDLE)["boxes"]} == {"已发出"}
    again = act(world, second, "dispense", coded(world, second, inside[2]))
    assert again.status_code == 409 and again.json["code"] == "trace.state"
    # the carton that the middle pack lies in: nobody opened it yet, but a box it is not
    carton = act(world, second, "dispense", {**coded(world, second, CARTON), "boxes": [CARTON]})
    assert (carton.status_code, carton.json["code"]) == (422, "trace.large")
    assert scan(world, BOXES[0])["kind"] == "box" and len(scan(world, CARTON)["boxes"]) == 10
    world.ok(act(world, second, "dispense", coded(world, second, BOXES[0])))
    assert world.findings() == []


@pytest.mark.requirement("R1", "TC-02")
@pytest.mark.parametrize("why", ["no platform", "down"])
def test_what_nobody_knows_goes_out_only_when_a_person_looked(world: World, tmp_path: Path, why: str) -> None:
    """No platform, or one that doesn't answer: a clear word, and the pharmacist says that it is one box."""
    world.db.ports.pop(packing.PACKING, None)
    if why == "down":
        bind(world.db, tmp_path)
        Faults(tmp_path / "trace_platform").write([Rule("drop_before", count=9)])
    assert scan(world, CARTON)["kind"] == "unknown"
    made = paid(world, "24")
    body = coded(world, made, CARTON)
    for boxes in ([], [BOXES[0]]):
        refused = act(world, made, "dispense", {**body, "boxes": boxes})
        assert (refused.status_code, refused.json["code"]) == (409, "trace.uncollected")
        assert [one["message"] for one in refused.json["errors"]] == [CARTON] and "箱" in refused.json["message"]
    assert look(world, made)["state"] == "charged"
    world.ok(act(world, made, "dispense", {**body, "boxes": [CARTON]}))
    with world.db.begin(write=False) as session:
        [told] = session.scalars(select(AuditRow).where(AuditRow.event == "trace.box"))
        assert CARTON in str(told.detail)
    assert world.findings() == []


@pytest.mark.requirement("R1")
def test_what_the_picker_scanned_is_checked_as_well(world: World) -> None:
    listed(world)
    made = paid(world, "24")
    world.ok(act(world, made, "pick", coded(world, made, CARTON)))
    refused = act(world, made, "dispense", who="pharmacist2")
    assert (refused.status_code, refused.json["code"]) == (422, "trace.large")
    world.ok(act(world, made, "dispense", coded(world, made, BOXES[1]), who="pharmacist2"))
    assert world.clients["doctor"].post(f"{PHARMACY}/packs", json={"code": CARTON}).status_code == 403
