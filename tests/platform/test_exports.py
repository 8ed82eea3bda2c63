"""Large exports: refused until another person approved just this, for a day, for nobody else, on paper as on screen (PR-07)."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from his_server.clock import ManualClock
from his_server.exports.routes import module
from his_server.exports.settings import LIMIT
from his_server.exports.settings import Settings as ExportSettings
from his_server.registry import module_settings
from his_server.security.audit import AuditRow
from his_server.settings import Settings, SettingsError
from tests.counting import count_queries
from tests.factories.hospital import World
from tests.factories.security import make_user, signed_in_client

MOVED = {"start": "2026-03-01", "end": "2026-03-02"}
REPORT = "drug-movement"


@pytest.fixture
def house(world: World) -> World:
    """More rows than two need approval; a warehouse keeper, and two who may approve."""
    world.db.ports[LIMIT] = 2
    for who, role in (("keeper", "warehouse"), ("keeper2", "warehouse"), ("boss", "medical_affairs"), ("boss2", "finance")):
        with world.db.begin() as session:
            user = make_user(session, role, name={"boss": "医务处", "boss2": "财务处"}.get(who, "药库员"))
            world.ids[f"user_{who}"] = user.id
        world.clients[who] = signed_in_client(world.app, world.db, user=user)
    return world


def _file(world: World, who: str, form: str = "xlsx", **filters: str) -> Any:
    query = "&".join(f"{k}={v}" for k, v in {**MOVED, **filters}.items())
    return world.get(who, f"/api/reports/{REPORT}?{query}&format={form}")


def _ask(world: World, who: str, reason: str = "年度上报", **filters: str) -> Any:
    return world.post(who, "/api/exports", {"report": REPORT, "filters": {**MOVED, **filters}, "reason": reason})


@pytest.mark.requirement("PR-07")
def test_a_large_export_needs_another_persons_approval(house: World, clock: ManualClock) -> None:
    assert house.ok(house.get("keeper", "/api/reports"))["approve_rows"] == 2
    rows = house.ok(house.get("keeper", f"/api/reports/{REPORT}?start=2026-03-01&end=2026-03-02"))["rows"]
    assert len(rows) > 2  # the screen shows it; what is asked for is the file
    for form in ("xlsx", "pdf"):
        refused = _file(house, "keeper", form)
        assert (refused.status_code, refused.json["code"]) == (403, "exports.needs_approval")
        assert f"本次 {len(rows)} 行，超过 2 行" in refused.json["message"]
    made = house.ok(_ask(house, "keeper"))
    assert "申请，批准后再导出" in _file(house, "keeper").json["message"]
    decide = f"/api/exports/{made['id']}/decide"
    assert house.post("keeper", decide, {"approve": True}).json["code"] == "permission.denied"
    shown, = house.ok(house.get("boss", "/api/exports?state=requested"))["items"]
    assert (shown["title"], shown["row_count"], shown["reason"]) == ("药品进销存报表", len(rows), "年度上报")
    assert json.loads(shown["filters"]) == MOVED
    assert house.ok(house.post("boss", decide, {"approve": True}))["state"] == "approved"
    late = house.post("boss2", decide, {"approve": False})
    assert late.status_code == 409 and "已由 医务处 于 03-02" in late.json["message"]
    for form in ("xlsx", "pdf"):
        assert _file(house, "keeper", form).status_code == 200
    assert _file(house, "keeper2").json["code"] == "exports.needs_approval"  # nobody else's
    assert _file(house, "keeper", start="2026-02-01").json["code"] == "exports.needs_approval"  # nor another period
    with house.db.begin(write=False) as session:
        trail = {row.event: row for row in session.query(AuditRow).filter(AuditRow.event.in_(
            ("export.ask", "export.approve", "report.xlsx")))}
        assert json.loads(trail["report.xlsx"].detail)["approval"] == made["id"]
        assert trail["export.approve"].name == "医务处" and "年度上报" in trail["export.ask"].detail
    clock.move(days=1, minutes=1)
    house.sign_in_again()
    assert _file(house, "keeper").json["code"] == "exports.needs_approval"  # a day later it is over


@pytest.mark.requirement("PR-07")
def test_nobody_approves_their_own_and_what_is_declined_says_so(house: World) -> None:
    with house.db.begin() as session:
        both = make_user(session, "warehouse", "medical_affairs")
    house.clients["both"] = signed_in_client(house.app, house.db, user=both)
    mine = house.ok(_ask(house, "both"))["id"]
    assert house.post("both", f"/api/exports/{mine}/decide", {"approve": True}).json["code"] == "exports.own"
    assert _file(house, "both").status_code == 403
    theirs = house.ok(_ask(house, "keeper"))["id"]
    assert _ask(house, "keeper").json["code"] == "exports.waiting"
    house.ok(house.post("boss", f"/api/exports/{theirs}/decide", {"approve": False}))
    refused = _file(house, "keeper")
    assert refused.json["code"] == "exports.declined" and "医务处" in refused.json["message"]
    assert house.post("boss", "/api/exports/999/decide", {"approve": True}).status_code == 404
    assert house.ok(_ask(house, "keeper", "缩小范围后另行申请"))["id"] != theirs


def test_who_may_not_see_a_report_may_not_ask_for_it_and_a_small_one_needs_nothing(house: World) -> None:
    assert _ask(house, "doctor").status_code == 403
    assert house.post("keeper", "/api/exports", {"report": "none", "filters": {}, "reason": "上报"}).status_code == 404
    wrong = {"report": REPORT, "filters": {"start": "x"}, "reason": "上报"}
    assert house.post("keeper", "/api/exports", wrong).status_code == 422
    assert _ask(house, "keeper", "").status_code == 422
    house.db.ports[LIMIT] = 5000
    assert _ask(house, "keeper").json["code"] == "exports.not_needed"
    assert _file(house, "keeper").status_code == 200


def test_a_repeated_request_is_one_and_the_list_costs_one_query(house: World) -> None:
    key = uuid4().hex
    body = {"report": REPORT, "filters": MOVED, "reason": "年度上报"}
    first, second = (house.ok(house.post("keeper", "/api/exports", body, key=key)) for _ in range(2))
    assert first == second
    house.ok(_ask(house, "keeper2"))
    house.get("boss", "/api/exports")
    with count_queries(house.db) as count:
        page = house.ok(house.get("boss", "/api/exports?limit=1"))
    assert len(page["items"]) == 1 and page["next"] and sum("export_request" in one for one in count.statements) == 1
    rest = house.ok(house.get("boss", f"/api/exports?limit=1&after={page['next']}"))
    assert [one["requested_by_name"] for one in (*page["items"], *rest["items"])] == ["药库员", "药库员"]
    assert rest["items"][0]["id"] == first["id"] and rest["next"] is None


def test_the_limit_is_a_number_of_rows() -> None:
    assert module_settings(module, Settings()).approve_rows == 5000
    assert module_settings(module, Settings(extra={"exports": {"approve_rows": 10}})) == ExportSettings(10)
    for wrong in ({"approve_rows": 0}, {"approve_rows": True}, {"rows": 1}):
        with pytest.raises(SettingsError):
            module_settings(module, Settings(extra={"exports": wrong}))
