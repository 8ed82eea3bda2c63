"""What every code box searches (M7.4), prices that begin on a day (FN-16), postcodes both ways (M3.3), the demo's catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crypto import Sealer
from demo.build import CATALOGUES
from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.db import Database, today
from his_server.errors import Conflict
from his_server.search.wubi import first_letters
from his_server.security.models import User
from modules.kernel.masterdata import queries
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.importing import import_file
from modules.kernel.masterdata.service import prices
from tests.conftest import MONDAY
from tests.factories import masterdata as make
from tests.factories.hospital import World
from tests.factories.people import Window, load
from tests.factories.security import signed_in_client

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="session")
def demo(_sqlite_template: Path, sealer: Sealer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The demo hospital's whole catalogue, imported once."""
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    path.write_bytes(_sqlite_template.read_bytes())
    database = Database(f"sqlite:///{path}", clock=ManualClock(MONDAY), sealer=sealer)
    with database.begin() as session:
        session.info["actor"] = SYSTEM
        load(session, "dictionaries", lambda row: True)
        for kind in CATALOGUES:
            import_file(session, SYSTEM, kind, ROOT / "demo" / "data" / f"{kind}.csv")
    yield database
    database.dispose()


@pytest.mark.requirement("M7.4", "M2.2")
def test_the_demo_catalogue_is_whole_and_a_second_import_changes_nothing(demo: Database) -> None:
    with demo.begin() as session:
        session.info["actor"] = SYSTEM
        reports = {kind: import_file(session, SYSTEM, kind, ROOT / "demo" / "data" / f"{kind}.csv") for kind in CATALOGUES}
        assert {kind: (r.added, r.changed) for kind, r in reports.items()} == dict.fromkeys(CATALOGUES, (0, 0))
        assert reports["drugs"].rows >= 600
        assert reports["charge_items"].rows >= 800
        assert reports["diagnoses"].rows >= 1000
        drugs = queries.drugs(session, "", 5000)
        assert all(drug["price"] is not None for drug in drugs)


@pytest.mark.requirement("M7.4")
@pytest.mark.parametrize(("search", "q", "code"), [
    ("drugs", "异烟肼片", "X000001"), ("drugs", "yyjp", "X000001"), ("drugs", "yiyanjing", "X000001"),
    ("drugs", "x000001", "X000001"),
    ("drugs", first_letters("异烟肼片"), "X000001"), ("diagnoses", "霍乱", "A00.900"), ("diagnoses", "huoluan", "A00.900"),
    ("diagnoses", "a00.9", "A00.900"), ("departments", "呼吸", "1001"), ("departments", "hxywz", "1001"),
    ("staff", "单文渊", "G1003"), ("staff", "swy", "G1003"), ("staff", "g1003", "G1003"), ("item_sets", "rycgjy", "TC001"),
    ("item_sets", "tc001", "TC001"), ("charge_items", "GH0001", "GH0001"), ("charge_items", "mzghf", "GH0001")])
def test_everything_is_found_by_name_pinyin_wubi_and_code(demo: Database, search: str, q: str, code: str) -> None:
    find: Callable[..., Any] = getattr(queries, search)
    with demo.begin(write=False) as session:
        found = find(session, q, 20, *([None] if search == "item_sets" else []))
        assert code in [row["code"] for row in found], [row["code"] for row in found]
        assert find(session, "没有这样的东西", 20, *([None] if search == "item_sets" else [])) == []


@pytest.mark.requirement("FN-16")
def test_a_new_price_starts_on_its_day_and_old_bills_keep_theirs(world: World, clock: ManualClock) -> None:
    person = world.person()
    encounter = world.encounter(world.register(person))
    world.request(encounter)
    first = world.ok(world.pay_all(person))
    before = world.settlement(first["id"])["lines"]
    path = f"/api/masterdata/charge-items/{world.ids['exam']}/prices"
    day = clock.now().date()
    refused = world.post("finance", path, {"price": "66.00", "valid_from": str(day - timedelta(1)), "reason": "物价文件"})
    assert refused.json["errors"][0]["field"] == "valid_from"
    assert world.post("cashier", path, {"price": "66.00", "valid_from": str(day), "reason": "物价文件"}).status_code == 403
    for wrong in ({"price": "-1"}, {"price": "1.23456"}, {"reason": ""}):
        body = {"price": "66.00", "valid_from": str(day), "reason": "物价文件", **wrong}
        assert world.post("finance", path, body).status_code == 422
    world.ok(world.post("finance", path, {"price": "66.00", "valid_from": str(day + timedelta(1)), "reason": "物价文件"}))
    world.request(encounter)
    second = world.ok(world.pay_all(person))
    assert second["total"] == "60.55"  # still today
    clock.move(hours=24)
    fresh = world.person("李四")
    with world.db.begin() as session:
        from modules.kernel.encounters import service as encounters

        session.info["actor"] = SYSTEM
        later = encounters.open_encounter(session, SYSTEM, person_id=fresh, kind="outpatient", department_id=world.ids["clinic"],
                                          doctor_id=world.ids["doctor"]).id
    for who in ("doctor", "cashier"):  # yesterday's sessions have ended
        with world.db.begin(write=False) as session:
            user = session.get_one(User, world.ids[f"user_{who}"])
        world.clients[who] = signed_in_client(world.app, world.db, user=user)
    world.request(later)
    assert world.unpaid(fresh)["total"] == "66.00"
    assert world.settlement(first["id"])["lines"] == before
    periods = world.ok(world.get("cashier", path))["items"]
    assert [(p["price"], p["valid_to"]) for p in periods] == [("66.0000", None), ("60.5500", str(day + timedelta(1)))]
    assert world.findings() == []


@pytest.mark.requirement("FN-16")
def test_planned_changes_do_not_overlap(window: Window) -> None:
    with window.db.begin() as session:
        session.info["actor"] = SYSTEM
        day, drug = today(session), make.make_drug(session, "24.00").id

        def change(price: str, days: int) -> Any:
            return prices.change_price(session, SYSTEM, "drug", drug, price=Decimal(price),
                                       valid_from=day + timedelta(days), reason="调价")

        change("25", 5)
        change("26", 5)  # corrected before it began
        with pytest.raises(Conflict, match="已有"):
            change("27", 3)
        change("28", 9)
        on = [masterdata.drug_prices(session, [drug], day + timedelta(n))[drug] for n in (0, 4, 5, 8, 9, 400)]
    assert on == [Decimal(x) for x in ("24", "24", "26", "26", "28", "28")]


def test_what_is_stopped_leaves_the_code_boxes_and_comes_back(window: Window) -> None:
    with window.db.begin() as session:
        item = make.make_item(session, name="血气分析")
        key, code = item.id, item.code
    path = f"masterdata/charge-items/{key}/active"
    assert window.post(path, {"active": False, "reason": "设备故障"}, "cashier").status_code == 403
    window.ok(window.post(path, {"active": False, "reason": "设备故障"}, "finance"))

    def found(state: str | None = None) -> list[str]:
        query = {"state": state} if state else {}
        return [row["code"] for row in window.ok(window.get("masterdata/charge-items", q="xqfx", **query))["items"]]

    assert (found(), found("stopped"), found("all")) == ([], [code], [code])
    assert window.get("masterdata/charge-items", q="x", state="gone").status_code == 422
    window.ok(window.post(path, {"active": True, "reason": "修好了"}, "finance"))
    assert (found(), found("stopped")) == ([code], [])
    assert window.post("masterdata/drugs/9/active", {"active": True, "reason": "没有"}, "finance").status_code == 404


@pytest.mark.requirement("M3.3")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_postcodes_and_area_codes_are_found_both_ways(window: Window) -> None:
    with window.db.begin() as session:
        session.info["actor"] = SYSTEM
        load(session, "postcodes", lambda row: row["region_code"].startswith("3206"))
    rows = window.ok(window.get("masterdata/postcodes", q="如皋"))["items"]
    assert rows and rows[0]["postcode"].startswith("2265")
    for q in ("0513", rows[0]["postcode"], rows[0]["postcode"][:4], rows[0]["region_code"], "rg", "rugao"):
        assert rows[0] in window.ok(window.get("masterdata/postcodes", q=q, limit=200))["items"], q
    assert "崇川区" in {row["full_name"][-3:] for row in window.ok(window.get("masterdata/postcodes", q="崇川"))["items"]}
    assert window.ok(window.get("masterdata/postcodes", q="999999"))["items"] == []


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_lists_with_filters_and_who_may_see_them(window: Window) -> None:
    with window.db.begin() as session:
        pharmacy = make.make_department(session, name="门诊药房", kind="药房")
        make.make_staff(session, pharmacy, name="周药师", role="pharmacist")
        make.make_item(session, name="胸片", performing_kind="检查")
        make.make_item(session, name="血常规", performing_kind="检验")
    names = {path: [row["name"] for row in window.ok(window.get(f"masterdata/{path}"))["items"]] for path in (
        "departments?kind=药房", "staff?kind=pharmacist", "charge-items?kind=检验")}
    assert list(names.values()) == [["门诊药房"], ["周药师"], ["血常规"]]
    assert [row["name"] for row in window.ok(window.get("masterdata/charge-items?kind=检验&q=xcg"))["items"]] == ["血常规"]
    assert window.ok(window.get("masterdata/charge-items?kind=检验&q=xp"))["items"] == []
    assert [row["code"] for row in window.ok(window.get("masterdata/dictionaries/sex"))["items"]] == ["0", "1", "2", "9"]
    assert window.get("masterdata/dictionaries/nothing").status_code == 404
    assert window.get("masterdata/drugs", "secadmin").status_code == 403
    assert window.get("masterdata/drugs", limit=201).status_code == 422
