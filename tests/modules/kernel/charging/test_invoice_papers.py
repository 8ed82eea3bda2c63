"""Paper for electronic invoices, and each day against the platform's books, to the row (H8, FN-08, FN-09)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from his_server.clock import ManualClock
from his_server.messaging.worker import Worker
from interfaces.einvoice import simulator
from modules.kernel.charging.service import invoices, papers
from tests.factories.hospital import World
from tests.modules.kernel.charging.test_invoices import PATH, _exam, _list, _refund, _work

CHECKS, DIFFERENCES = "/api/charging/invoice-checks", "/api/charging/invoice-differences"


def _invoice(world: World) -> tuple[dict[str, Any], dict[str, Any]]:
    """An issued invoice of an exam, and its settlement."""
    person, settled = _exam(world)
    _work(world)
    return _list(world, person_id=person)[0], settled


@pytest.mark.requirement("H8", "FN-08")
def test_a_paper_is_exchanged_once_and_comes_back_before_the_red_invoice(world: World, clock: ManualClock) -> None:
    invoice, settled = _invoice(world)
    paper = world.ok(world.post("cashier", f"{PATH}/{invoice['id']}/papers"))
    assert (paper["state"], paper["paper_number"]) == ("printed", "00000001")
    again = world.post("cashier", f"{PATH}/{invoice['id']}/papers")
    assert again.status_code == 409 and "李收费" in again.json["message"] and "00000001" in again.json["message"]
    _refund(world, settled["id"], "2")
    _work(world)
    [red] = _list(world, state="waiting")
    assert (red["colour"], red["state"]) == ("red", "waiting") and "先收回纸质票据" in red["message"]
    void = world.ok(world.post("cashier", f"/api/charging/papers/{paper['id']}/void", {"reason": "退费收回"}))
    assert (void["state"], void["voided_by_name"]) == ("void", "李收费")
    assert world.post("cashier", f"/api/charging/papers/{paper['id']}/void", {"reason": "再来"}).status_code == 409
    _work(world, clock)
    assert [colour for _, colour, _ in world.db.ports["invoice"].all()] == ["blue", "blue", "red"]
    assert world.post("cashier", f"{PATH}/{invoice['id']}/papers").status_code == 409  # red-reversed
    assert [p["state"] for p in world.ok(world.get("cashier", f"{PATH}/{invoice['id']}/papers"))["items"]] == ["void"]
    assert world.findings() == []


@pytest.mark.requirement("H8", "FN-08")
@pytest.mark.parametrize("fault", ["lost before", "lost after", "unreadable", "down", "twice"])
def test_papers_over_a_bad_line(world: World, clock: ManualClock, fault: str) -> None:
    """Whatever the line does: the platform and we know of the same paper, and never of two."""
    invoice, _ = _invoice(world)
    platform = world.db.ports["invoice"]
    platform.misbehave(fault, where="turnPaper")
    paper = world.ok(world.post("cashier", f"{PATH}/{invoice['id']}/papers"))
    clock.move(seconds=31)
    papers.recover(world.db)
    [paper] = world.ok(world.get("cashier", f"{PATH}/{invoice['id']}/papers"))["items"]
    known = platform.query_paper("X", invoice["code"], invoice["invoice_number"])
    assert (paper["state"] == "printed") == (known.state == "confirmed")
    if paper["state"] == "failed":
        paper = world.ok(world.post("cashier", f"{PATH}/{invoice['id']}/papers"))
    assert paper["state"] == "printed"
    platform.misbehave(fault, where="invalidPaper")
    world.ok(world.post("cashier", f"/api/charging/papers/{paper['id']}/void", {"reason": "收回"}))
    clock.move(seconds=31)
    papers.recover(world.db)
    paper = world.ok(world.get("cashier", f"{PATH}/{invoice['id']}/papers"))["items"][0]
    if paper["state"] == "printed":
        paper = world.ok(world.post("cashier", f"/api/charging/papers/{paper['id']}/void", {"reason": "收回"}))
    assert paper["state"] == "void"
    assert platform.query_paper("X", invoice["code"], invoice["invoice_number"]).state == "refused"


@pytest.mark.requirement("H8")
def test_a_day_that_agrees_needs_no_rows(world: World) -> None:
    invoice, _ = _invoice(world)
    day = invoice["business_date"]
    assert world.post("cashier", CHECKS, {"day": day}).status_code == 403
    assert world.post("finance", CHECKS, {"day": day}).status_code == 204
    [found] = world.ok(world.get("finance", CHECKS))["items"]
    assert (found["state"], found["ours_issued"], found["ours_amount"], found["theirs_amount"], found["open"]) == (
        "even", 2, "141.10", "141.10", 0)


@pytest.mark.requirement("H8")
def test_every_difference_is_named_to_the_invoice_and_settled_once(world: World, clock: ManualClock) -> None:
    """The platform has one that isn't ours, one of ours isn't there, an amount differs, and one we never heard of."""
    invoice, _ = _invoice(world)
    platform = world.db.ports["invoice"]
    lost_person, _ = _exam(world, "1")
    platform.misbehave("lost after")  # issued there; the question isn't asked yet
    worker = Worker(world.db, world.app.extensions["his_hospital"])
    worker.fan_out()
    worker.deliver_due()
    invoices.send_due(world.db)
    books = simulator._open(platform.books)
    books.execute("UPDATE bill SET amount = '121.11' WHERE number = ?", (invoice["invoice_number"],))
    books.execute("DELETE FROM bill WHERE kind = 'invEBillRegistration' AND serial = 1")
    stray = simulator._make(books, "STRAY1", "blue", Decimal("9.99"), "20260302083000000", "001", "x",
                            world.db.clock.now())
    books.close()
    assert world.post("finance", CHECKS, {"day": invoice["business_date"]}).status_code == 204
    rows = world.ok(world.get("finance", f"{DIFFERENCES}?day={invoice['business_date']}&state=open"))["items"]
    assert {(r["kind"], r["ours"], r["theirs"]) for r in rows} == {
        ("amount", "121.10", "121.11"), ("ours_only", "20.00", None), ("theirs_only", None, "9.99"),
        ("state", "60.55", "60.55")}
    by_kind = {r["kind"]: r for r in rows}
    assert by_kind["theirs_only"]["invoice_number"] == stray["number"]
    asked = world.ok(world.post("finance", f"{DIFFERENCES}/{by_kind['state']['id']}/settle", {"ask": True}))
    assert asked["state"] == "settled" and [i["state"] for i in _list(world, person_id=lost_person)] == ["issued", "issued"]
    for kind in ("amount", "ours_only", "theirs_only"):
        path = f"{DIFFERENCES}/{by_kind[kind]['id']}/settle"
        assert world.post("finance", path, {"reason": ""}).status_code in (400, 422)
        assert world.post("finance", path, {"ask": True}).status_code in (400, 422)
        assert world.ok(world.post("finance", path, {"reason": "平台运维已更正"}))["state"] == "settled"
        second = world.post("finance", path, {"reason": "再次"})
        assert second.status_code == 409 and "处理" in second.json["message"]
    [found] = world.ok(world.get("finance", CHECKS))["items"]
    assert (found["state"], found["open"]) == ("settled", 0)
    assert world.post("finance", CHECKS, {"day": invoice["business_date"]}).status_code == 204  # settled ones stay
    assert world.ok(world.get("finance", f"{DIFFERENCES}?state=open"))["items"] == []


@pytest.mark.requirement("H8")
def test_a_platform_that_can_not_tell_is_no_agreement(world: World) -> None:
    invoice, _ = _invoice(world)
    world.db.ports["invoice"].misbehave("down", where="checkTotalData")
    assert world.post("finance", CHECKS, {"day": invoice["business_date"]}).status_code == 503
    [found] = world.ok(world.get("finance", CHECKS))["items"]
    assert found["state"] == "failed" and found["message"]
