"""退药: request, review, taking back, refund; the night window and the morning's list (M1.17)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from modules.kernel.stock.service import Document, tracing
from tests.factories.hospital import World
from tests.modules.outpatient_pharmacy.helping import (
    PHARMACY,
    act,
    give_back,
    look,
    paid,
    set_rule,
    stock_drug,
)
from tests.threads import at_once

NIGHT = {"return_review": True, "night_start": "21:00", "night_end": "07:00", "night_amount": Decimal("50.00")}


def given(world: World, quantity: str = "24", **more: Any) -> dict[str, Any]:
    made = paid(world, quantity, **more)
    world.ok(act(world, made, "review", {"note": "可以"}))
    world.ok(act(world, made, "pick", {}, "pharmacist2"))
    world.ok(act(world, made, "dispense"))
    return made


def state(world: World, asked: dict[str, Any]) -> str:
    return str(world.ok(world.get("pharmacist", f"{PHARMACY}/returns/{asked['id']}"))["state"])


def tab(world: World, name: str) -> dict[str, Any]:
    return world.ok(world.get("pharmacist", f"{PHARMACY}/returns?store_id={world.ids['store']}&state={name}"))


def decide(world: World, asked: dict[str, Any], who: str = "pharmacist2", **body: Any) -> Any:
    return world.post(who, f"{PHARMACY}/returns/{asked['id']}/decide", {"approve": True, **body})


def accept(world: World, asked: dict[str, Any], who: str = "pharmacist", **body: Any) -> Any:
    return world.post(who, f"{PHARMACY}/returns/{asked['id']}/accept", body)


def refund(world: World, made: dict[str, Any], packs: str) -> Any:
    line = world.settlement(made["settled"]["id"])["lines"][0]["id"]
    return world.post("cashier", f"/api/outpatient-billing/settlements/{made['settled']['id']}/refunds", {
        "lines": [{"line_id": line, "quantity": packs}], "reason": "退药退费"})


def at_night(world: World, clock: ManualClock, hours: float = 14) -> None:
    clock.move(hours=hours)
    world.sign_in_again()


@pytest.mark.requirement("M1.17")
def test_one_document_from_the_request_to_the_refund(world: World) -> None:
    set_rule(world, return_review=True)
    made = given(world, "48")
    asked = world.ok(give_back(world, made, "48"))
    assert (asked["state"], asked["automatic"], asked["amount"]) == ("requested", False, "48.00")
    assert refund(world, made, "1").status_code == 409  # nothing is back yet
    assert accept(world, asked).status_code == 409
    own = decide(world, asked, "pharmacist")
    assert (own.status_code, own.json["code"]) == (403, "pharmacy.own_return")
    world.ok(decide(world, asked))
    again = decide(world, asked)
    assert again.status_code == 409 and "吴药师" in again.json["message"]
    world.ok(accept(world, asked))
    billing = world.settlement(made["settled"]["id"])
    assert [(r["number"], r["state"]) for r in billing["drug_returns"]] == [(asked["number"], "taken")]
    world.ok(refund(world, made, "1"))
    assert state(world, asked) == "taken"  # half of the money is still to go back
    world.ok(refund(world, made, "1"))
    assert state(world, asked) == "refunded"
    assert [r["state"] for r in world.settlement(made["settled"]["id"])["drug_returns"]] == ["refunded"]
    assert world.findings() == []


@pytest.mark.requirement("M1.17")
def test_declined_and_withdrawn_returns_free_the_drugs_for_another_request(world: World) -> None:
    set_rule(world, return_review=True)
    made = given(world)
    asked = world.ok(give_back(world, made))
    more = give_back(world, made)
    assert more.status_code == 409 and more.json["code"] == "pharmacy.return_excess"
    for note in ("", "拆"):
        assert decide(world, asked, approve=False, note=note).json["errors"] == [{"field": "note", "message": "至少 2 个字"}]
    world.ok(decide(world, asked, approve=False, note="包装已拆"))
    asked = world.ok(give_back(world, made))
    assert world.post("pharmacist", f"{PHARMACY}/returns/{asked['id']}/cancel").json["errors"][0]["field"] == "reason"
    gone = world.ok(world.post("pharmacist", f"{PHARMACY}/returns/{asked['id']}/cancel", {"reason": "病人不退了"}))
    assert (gone["state"], gone["cancel_reason"]) == ("cancelled", "病人不退了")
    assert accept(world, asked).status_code == 409
    assert world.ok(give_back(world, made))["state"] == "requested"
    assert world.findings() == []


@pytest.mark.requirement("M1.17", "M8.4")
def test_of_two_who_take_a_return_back_one_does(world: World) -> None:
    set_rule(world, return_review=True)
    made = given(world)
    asked = world.ok(give_back(world, made))
    world.ok(decide(world, asked))
    answers = at_once(lambda: accept(world, asked), lambda: accept(world, asked, "pharmacist2"))
    assert sorted(a.status_code for a in answers) == [200, 409]
    assert "待退费" in next(a for a in answers if a.status_code == 409).json["message"]
    assert world.findings() == []


@pytest.mark.requirement("M1.17")
@pytest.mark.parametrize(("hours", "quantity", "passes"), [
    (12.4, "24", False), (12.6, "24", True), (22.4, "24", True), (22.6, "24", False),  # 20:54 21:06 06:54 07:06
    (14, "48", True), (14, "72", False)])  # 48.00 and 72.00 yuan, at most 50
def test_the_night_window_passes_small_returns_and_marks_them(world: World, clock: ManualClock, hours: float,
                                                              quantity: str, passes: bool) -> None:
    set_rule(world, **NIGHT)
    made = given(world, quantity)
    at_night(world, clock, hours)
    asked = world.ok(give_back(world, made, quantity))
    assert (asked["automatic"], asked["state"]) == (passes, "taken" if passes else "requested")
    if passes:
        assert (asked["reviewed_by_name"], asked["review_note"]) == ("系统", "夜间自动通过")
        assert [r["id"] for r in tab(world, "morning")["items"]] == [asked["id"]]
    else:
        assert tab(world, "morning")["items"] == []
    assert world.findings() == []


@pytest.mark.requirement("M1.17")
def test_the_night_never_passes_a_controlled_drug(world: World, clock: ManualClock) -> None:
    stock_drug(world, "地西泮片", "calm", control="精二")
    set_rule(world, **NIGHT)
    made = given(world, "24", drug="calm")
    at_night(world, clock)
    asked = world.ok(give_back(world, made))
    assert (asked["state"], asked["automatic"], asked["controlled"]) == ("requested", False, True)


@pytest.mark.requirement("M1.17")
def test_the_mornings_list_must_be_worked_off(world: World, clock: ManualClock) -> None:
    set_rule(world, **NIGHT)
    first, second, third, fourth = (given(world, name=name) for name in ("张小明", "李桂英", "王建国", "赵敏"))
    at_night(world, clock)
    asked = [world.ok(give_back(world, m)) for m in (first, second)]
    at_night(world, clock, 10)  # 08:30
    assert tab(world, "morning")["counts"]["morning"] == 2
    rereview = f"{PHARMACY}/returns/{asked[0]['id']}/rereview"
    assert world.post("pharmacist", rereview, {"agree": True}).status_code == 403  # asked for it himself
    assert world.post("pharmacist2", rereview, {"agree": False}).status_code == 422
    done = world.ok(world.post("pharmacist2", rereview, {"agree": False, "note": "批号不符，已上报"}))
    assert (done["rereview"], done["rereviewed_by_name"]) == ("objected", "吴药师")
    late = world.post("pharmacist2", rereview, {"agree": True})
    assert late.status_code == 409 and "吴药师" in late.json["message"]
    at_night(world, clock, 14)  # the next night: one of the list is left, so nothing passes by itself
    waiting = world.ok(give_back(world, third))
    assert (waiting["state"], waiting["automatic"]) == ("requested", False)
    world.ok(world.post("pharmacist2", f"{PHARMACY}/returns/{asked[1]['id']}/rereview", {"agree": True}))
    assert tab(world, "morning")["items"] == []
    assert world.ok(give_back(world, fourth))["automatic"] is True
    plain = world.post("pharmacist2", f"{PHARMACY}/returns/{waiting['id']}/rereview", {"agree": True})
    assert plain.json["code"] == "pharmacy.not_automatic"


@pytest.mark.requirement("M1.17")
def test_each_store_has_its_own_night(world: World) -> None:
    body = {"review_first": True, "return_review": True, "night_start": "20:00", "night_end": "08:00",
            "night_amount": "100.00", "opens": "", "closes": ""}
    path = f"{PHARMACY}/rules/{world.ids['store']}"
    set_ = world.clients["pharmacist"].put(path, json=body)
    assert set_.status_code == 200
    kept = world.ok(world.get("pharmacist", path))
    assert {k: kept[k] for k in body} == body and kept["changed_by_name"] == "周药师"
    assert world.ok(world.get("pharmacist", f"{PHARMACY}/rules/{world.ids['emergency_store']}"))["night_start"] == ""
    for wrong in ({"night_end": ""}, {"night_start": "25:00"}, {"night_amount": "-1"}, {"opens": "08:00"}):
        assert world.clients["pharmacist"].put(path, json={**body, **wrong}).status_code == 422, wrong
    assert world.clients["cashier"].put(path, json=body).status_code == 403


# ---- trace codes (R1)

A, B, C = (f"8123456000000000000{n}" for n in (1, 2, 3))


def coded(world: World, made: dict[str, Any], *codes: str) -> dict[str, Any]:
    return {"codes": [{"line_id": made["lines"][0]["id"], "codes": list(codes)}]}


def in_store(world: World, *codes: str) -> None:
    """Packs that were scanned when they arrived."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        tracing.collect(session, SYSTEM, world.ids["store"], Document("stock_in", 1), [
            tracing.Scan(code, world.ids["drug"], None, Decimal(24)) for code in codes])


@pytest.mark.requirement("R1", "TC-02")
def test_a_whole_pack_is_sold_once_only(world: World) -> None:
    in_store(world, A, B, C)
    first, second = paid(world, "48"), paid(world, name="李桂英")
    assert act(world, first, "dispense", coded(world, first, A, A)).status_code == 422
    short = act(world, first, "dispense", coded(world, first, A))
    assert short.status_code == 422 and "继续扫码" in short.json["message"]
    world.ok(act(world, first, "dispense", coded(world, first, A, B)))
    again = act(world, second, "dispense", coded(world, second, A))
    assert again.status_code == 409 and again.json["code"] == "trace.state" and "周药师" in again.json["message"]
    assert look(world, second)["state"] == "charged"
    world.ok(act(world, second, "dispense", coded(world, second, C)))
    assert world.findings() == []


@pytest.mark.requirement("R1", "TC-05")
def test_a_split_pack_serves_many_until_it_is_used_up(world: World) -> None:
    in_store(world, A, B)
    for name in ("张小明", "李桂英"):
        world.ok(act(world, made := paid(world, "10", name=name), "dispense", coded(world, made, A)))
    third = paid(world, "10", name="王建国")
    short = act(world, third, "dispense", coded(world, third, A))
    assert short.status_code == 422  # 4 of 24 are left
    world.ok(act(world, third, "dispense", coded(world, third, A, B)))
    assert world.findings() == []


@pytest.mark.requirement("R1", "TC-03")
def test_no_code_stops_the_insured_and_warns_the_others(world: World) -> None:
    from modules.kernel.encounters.models import Encounter

    made, self_paid = paid(world), paid(world, name="李桂英")
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        visit = session.get(Encounter, made["visit"])
        assert visit is not None
        visit.insurance = "310"
    assert look(world, made)["insured"] is True
    stopped = act(world, made, "dispense")
    assert stopped.json["code"] == "pharmacy.code_missing"
    assert stopped.json["errors"][0]["field"] == f"codes.{made['lines'][0]['id']}"
    assert look(world, made)["state"] == "charged"
    world.ok(act(world, self_paid, "dispense"))
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        tracing.enter_no_code(session, SYSTEM, drug_id=world.ids["drug"], batch_id=None, reason="厂家未赋码")
    world.ok(act(world, made, "dispense"))
    assert world.findings() == []


@pytest.mark.requirement("R1", "TC-04")
def test_a_returned_code_may_be_sold_once_more(world: World) -> None:
    in_store(world, A, B)
    made, other = paid(world), paid(world, name="李桂英")
    world.ok(act(world, made, "dispense", coded(world, made, A)))
    bare = give_back(world, made)
    assert bare.status_code == 422 and bare.json["code"] == "pharmacy.return_codes"
    strange = give_back(world, made, **coded(world, made, B))
    assert strange.json["code"] == "trace.not_used"
    assert world.ok(give_back(world, made, **coded(world, made, A)))["state"] == "taken"
    world.ok(act(world, other, "dispense", coded(world, other, A)))
    third = paid(world, name="王建国")
    assert act(world, third, "dispense", coded(world, third, A)).status_code == 409
    assert world.findings() == []


@pytest.mark.requirement("R1", "RX-09")
def test_what_the_picker_scanned_the_checker_hands_out(world: World) -> None:
    in_store(world, A)
    made = paid(world)
    world.ok(act(world, made, "pick", coded(world, made, A)))
    assert look(world, made)["lines"][0]["codes"] == [A]
    world.ok(act(world, made, "dispense", who="pharmacist2"))
    other = paid(world, name="李桂英")
    assert act(world, other, "dispense", coded(world, other, A)).status_code == 409
