"""Counting a store: moves meanwhile, scans, merging lots, posting once."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from dialects import portable
from his_server.actor import Actor
from his_server.errors import AppError
from his_server.messaging.outbox import OutboxEvent
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import TraceMove, TraceUpload
from modules.kernel.stock.rules import Demand
from modules.kernel.stock.service import Document, stocktake, tracing
from modules.kernel.stock.service.stocktake import Count
from tests.modules.kernel.stock.conftest import House
from tests.processes import Place, place_of, run_all

CODE = "81234567890123456789"


def sheet(house: House) -> int:
    """A sheet of the warehouse: lines A1, B2 (240 each), N1, N2 (50 each)."""
    made = house.ok(house.post("keeper", "stock/sheets", {"store_id": house.ids["warehouse"]}))
    assert (made["line_count"], made["state_name"]) == (4, "清点中")
    return int(made["id"])


def rows(house: House, key: int) -> dict[str, dict[str, object]]:
    """The lines of a sheet by lot, each with what its drug is."""
    page = house.ok(house.get("keeper", f"stock/sheets/{key}/lines"))
    drugs = {drug[0]: dict(zip(page["drug_columns"], drug, strict=True)) for drug in page["drugs"]}
    lines = [dict(zip(page["columns"], row, strict=True)) for row in page["rows"]]
    return {line["lot_no"]: {**drugs[line["drug_id"]], **line} for line in lines}


def dispense(house: House, quantity: int, document: int) -> None:
    """Somebody takes the drug off the shelf meanwhile."""
    with house.db.begin() as session:
        actor = Actor(user_id=9, login="x", name="别人")
        session.info["actor"] = actor
        paper = Document("prescription", document)
        stock.reserve(session, house.ids["warehouse"], [Demand(1, house.ids["drug"], quantity)], paper)  # type: ignore[arg-type]
        stock.issue(session, actor, paper)


@pytest.mark.requirement("M7.5")
def test_counts_hold_while_the_pharmacy_works(house: House) -> None:
    key = sheet(house)
    house.refused(house.post("keeper2", "stock/sheets", {"store_id": house.ids["warehouse"]}), 409, "stocktake.open")
    dispense(house, 24, 1)  # before the count: 216 of A1 are there
    done = house.ok(house.post("keeper", f"stock/sheets/{key}/counts", {"counts": [
        {"position": 1, "quantity": "214"}, {"position": 2, "quantity": "250"}]}))
    assert [(r["counted"], r["expected"]) for r in done["items"]] == [("214.0000", "216.0000"), ("250.0000", "240.0000")]
    dispense(house, 24, 2)  # after it: 190 are left if 214 were there
    preview = house.ok(house.get("keeper", f"stock/sheets/{key}/differences"))
    assert [(d["lot_no"], d["difference"]) for d in preview["items"]] == [("A1", "-2.0000"), ("B2", "10.0000")]
    assert (preview["loss_amount"], preview["gain_amount"], preview["uncounted"]) == ("0.83", "2.92", 2)
    posted = house.ok(house.post("keeper", f"stock/sheets/{key}/post"))
    assert (posted["gain"], posted["loss"]) == (1, 1)
    with house.db.begin(write=False) as session:  # the insurer's platform hears of the count (3501), once
        assert [event.business_key for event in session.query(OutboxEvent).filter_by(type="StockCounted")] == [str(key)]
    assert house.stock("warehouse") == [("A1", "7盒22粒"), ("B2", "10盒10粒")]
    assert house.stock("warehouse", "narcotic") == [("N1", "5盒"), ("N2", "5盒")]  # nobody counted: nothing changes
    house.refused(house.post("keeper", f"stock/sheets/{key}/post"), 409, "stocktake.ended")
    late = house.post("keeper", f"stock/sheets/{key}/counts", {"counts": [{"position": 1, "quantity": "1"}]})
    assert "王库管" in house.refused(late, 409, "stocktake.ended")["message"]
    assert house.findings() == []


@pytest.mark.requirement("M7.5")
def test_scanner_counts_packs_and_a_batch_that_moved_meanwhile_is_counted_again(house: House) -> None:
    made = house.ok(house.post("keeper", "stock/papers", {
        "kind": "stock_in", "store_id": house.ids["warehouse"], "purpose": "赠送入库", "lines": [
            {"drug_id": house.ids["drug"], "lot_no": "A0", "expiry": "2026-08-01", "pack_cost": "10", "quantity": "48",
             "codes": [CODE]}]}))
    house.ok(house.post("keeper", f"stock/papers/{made['id']}/confirm", {"boxes": [CODE]}))
    created = house.ok(house.post("keeper", "stock/sheets", {"store_id": house.ids["warehouse"]}))
    key = created["id"]
    scans = f"stock/sheets/{key}/scans"
    first = house.ok(house.post("keeper", scans, {"codes": [CODE]}))["items"][0]
    assert first["counted"] == "24.0000"
    # the lot number of one line, and one that nobody knows, which keeps the others from nothing
    both = house.ok(house.post("keeper", scans, {"codes": ["A0", "nowhere"]}))
    assert both["not_found"] == ["nowhere"]
    assert (both["items"][0]["counted"], both["items"][0]["position"]) == ("48.0000", first["position"])
    assert house.ok(house.post("keeper", scans, {"codes": ["nowhere"]})) == {
        "items": [], "not_found": ["nowhere"], "again": [], "elsewhere": []}
    assert house.post("keeper", scans, {"codes": []}).status_code == 422
    dispense(house, 24, 1)
    twice = house.ok(house.post("keeper", scans, {"codes": ["A0", "A0"]}))["items"][0]  # two packs of a lot, together
    assert twice["counted"] == "96.0000"
    refused = house.refused(house.post("keeper", f"stock/sheets/{key}/post"), 409, "stocktake.disturbed")
    assert "A0" in refused["errors"][0]["message"]
    house.ok(house.post("keeper", f"stock/sheets/{key}/counts", {"again": True, "counts": [
        {"position": first["position"], "quantity": "24"}]}))
    house.ok(house.post("keeper", f"stock/sheets/{key}/post"))
    assert house.stock("warehouse")[0] == ("A0", "1盒") and house.findings() == []


@pytest.mark.requirement("M8.10", "RX-09")
def test_lots_are_merged_but_never_of_narcotics(house: House) -> None:
    key = sheet(house)
    lots = rows(house, key)
    assert (lots["N1"]["control"], lots["A1"]["control"]) == ("麻醉", "普通") and lots["A1"]["name"] != lots["N1"]["name"]
    position = {lot: line["position"] for lot, line in lots.items()}
    path = f"stock/sheets/{key}/merge"
    refused = house.post("keeper", path, {"positions": [position["N1"]], "into": position["N2"]})
    assert "麻醉" in house.refused(refused, 409, "stocktake.merge_controlled")["message"]
    mixed = house.post("keeper", path, {"positions": [position["A1"]], "into": position["N2"]})
    house.refused(mixed, 422, "stocktake.merge")
    house.ok(house.post("keeper", path, {"positions": [position["A1"]], "into": position["B2"]}))
    assert house.stock("warehouse") == [("B2", "20盒")]
    gone = house.post("keeper", f"stock/sheets/{key}/counts", {"counts": [{"position": position["A1"], "quantity": "1"}]})
    house.refused(gone, 422, "stocktake.position")
    house.ok(house.post("keeper", f"stock/sheets/{key}/counts", {"counts": [{"position": position["B2"], "quantity": "480"}]}))
    house.ok(house.post("keeper", f"stock/sheets/{key}/post"))
    assert house.stock("warehouse") == [("B2", "20盒")] and house.findings() == []


def test_controlled_difference_is_posted_by_another(house: House) -> None:
    key = sheet(house)
    position = rows(house, key)["N1"]["position"]
    house.ok(house.post("keeper", f"stock/sheets/{key}/counts", {"counts": [{"position": position, "quantity": "49"}]}))
    house.refused(house.post("keeper", f"stock/sheets/{key}/post"), 409, "stocktake.second_person")
    house.ok(house.post("keeper2", f"stock/sheets/{key}/post", {"missing_is_zero": True}))
    assert house.stock("warehouse", "narcotic") == [("N1", "4盒9粒")] and house.stock("warehouse") == []
    assert house.findings() == []


def _work(place: Place, actor: Actor, ids: dict[str, int], key: int, number: int) -> dict[str, int]:
    """One process dispenses, counts or posts while the others do; whoever posts counts anew until nothing moved."""
    database = place.open()
    done = {"dispensed": 0, "posted": 0}
    for n in range(200 if number == 0 else 8):
        if done["posted"]:
            break
        try:
            with database.begin() as session:
                session.info["actor"] = actor
                if number == 0 and n >= 6:
                    stocktake.count(session, actor, key, [Count(1, 230), Count(2, 235)], again=True)  # type: ignore[arg-type]
                    stocktake.post(session, actor, key)
                    done["posted"] += 1
                elif number == 1:
                    stocktake.count(session, actor, key, [Count(1, 230), Count(2, 235)], again=True)  # type: ignore[arg-type]
                else:
                    paper = Document("prescription", number * 100 + n)
                    stock.reserve(session, ids["warehouse"], [Demand(1, ids["drug"], 12)], paper)  # type: ignore[arg-type]
                    stock.issue(session, actor, paper)
                    done["dispensed"] += 12
        except AppError as refused:
            assert refused.code in {"stocktake.ended", "stocktake.disturbed", "stocktake.reserved", "stock.short"}, refused
        except DBAPIError as error:
            if not portable.is_deadlock(error):  # the platform repeats these for every route
                raise
    database.dispose()
    return done


@pytest.mark.requirement("M7.5", "FN-17")
def test_posting_while_others_dispense_and_count(house: House, keys_dir: Path, actor: Actor) -> None:
    key = sheet(house)
    with house.db.begin() as session:
        session.info["actor"] = actor
        stocktake.count(session, actor, key, [Count(1, 238)])  # type: ignore[arg-type]
    results = run_all(_work, [(place_of(house.db, keys_dir), actor, house.ids, key, n) for n in range(4)])
    assert sum(r["posted"] for r in results) == 1, results
    assert house.findings() == []


def test_a_sheet_is_cancelled_with_a_reason_that_stays(house: House) -> None:
    key = sheet(house)
    path = f"stock/sheets/{key}/cancel"
    for wrong in ({}, {"reason": " "}, {"reason": "错"}):
        answer = house.post("keeper", path, wrong)
        assert answer.status_code == 422 and answer.json["errors"][0]["field"] == "reason", wrong
    gone = house.ok(house.post("keeper2", path, {"reason": "制单范围有误"}))
    assert (gone["state_name"], gone["end_reason"], gone["changed_by_name"]) == ("已作废", "制单范围有误", "李库管")
    late = house.refused(house.post("keeper", path, {"reason": "制单范围有误"}), 409, "stocktake.ended")
    assert "李库管" in late["message"]


def coded(house: House, lot: str, codes: list[str], packs: int) -> None:
    """A lot of the warehouse, some of its packs with codes."""
    made = house.ok(house.post("keeper", "stock/papers", {
        "kind": "stock_in", "store_id": house.ids["warehouse"], "purpose": "赠送入库", "lines": [
            {"drug_id": house.ids["drug"], "lot_no": lot, "expiry": "2027-08-01", "pack_cost": "10", "quantity": str(24 * packs),
             "codes": codes}]}))
    house.ok(house.post("keeper", f"stock/papers/{made['id']}/confirm", {"boxes": codes}))


def state(house: House, code: str) -> str:
    return str(house.ok(house.get("keeper", "stock/trace-codes", code=code))["state_name"])


@pytest.mark.requirement("TC-07")
def test_codes_go_with_a_count(house: House) -> None:
    """A pack that wasn't scanned is lost with its code; found again at the next count it is back; nothing is guessed."""
    here, gone, sold, other, typed = (f"8{n:019d}" for n in range(5))
    coded(house, "K1", [here, gone, sold], 3)
    coded(house, "K2", [other], 2)
    coded(house, "K3", [typed], 2)
    key = int(house.ok(house.post("keeper", "stock/sheets", {
        "store_id": house.ids["warehouse"], "drug_ids": [house.ids["drug"]]}))["id"])
    position = {lot: line["position"] for lot, line in rows(house, key).items()}
    assert set(position) == {"A1", "B2", "K1", "K2", "K3"}  # a spot count: no narcotic
    scans = f"stock/sheets/{key}/scans"
    first = house.ok(house.post("keeper", scans, {"codes": [here, here, sold]}))
    assert (first["items"][0]["counted"], first["again"], first["elsewhere"]) == ("48.0000", [here], [])
    again = house.ok(house.post("keeper2", scans, {"codes": [sold]}))  # another scanner, another desk: not once more
    assert (again["items"], again["again"]) == ([], [sold])
    house.ok(house.post("keeper", f"stock/sheets/{key}/counts", {"counts": [
        {"position": position["K2"], "quantity": "24"}, {"position": position["K3"], "quantity": "0"}]}))
    with house.db.begin() as session:  # handed out after it was counted
        actor = Actor(user_id=9, login="x", name="别人")
        session.info["actor"] = actor
        tracing.use(session, actor, Document("prescription", 7), 1, house.ids["drug"], [sold], store_id=house.ids["warehouse"],
                    quantity=Decimal(24), pack_size=24)
    preview = house.ok(house.get("keeper", f"stock/sheets/{key}/differences"))
    assert (preview["codes_lost"], preview["codes_found"]) == (2, 0)
    posted = house.ok(house.post("keeper", f"stock/sheets/{key}/post"))
    # K2 was typed as one pack of two: whether it is the coded one nobody said, and one code fits one pack
    assert (posted["loss"], posted["codes_lost"], posted["codes_found"], posted["codes_unclear"]) == (3, 2, 0, 0)
    assert [state(house, code) for code in (here, gone, sold, other, typed)] == ["在库", "已报损", "已发出", "在库", "已报损"]
    with house.db.begin(write=False) as session:
        lost = session.query(TraceMove).filter_by(act="lose").order_by(TraceMove.code_id).all()
        assert [(one.document_kind, one.document_id, one.line_id) for one in lost] == [
            ("stocktake", key, position["K1"]), ("stocktake", key, position["K3"])]
        assert session.query(TraceUpload).filter_by(act="lose", document_kind="stocktake").count() == 2
    key = int(house.ok(house.post("keeper", "stock/sheets", {"store_id": house.ids["warehouse"]}))["id"])
    back = house.ok(house.post("keeper", f"stock/sheets/{key}/scans", {"codes": [gone, here, sold]}))
    assert [one["counted"] for one in back["items"]] == ["48.0000"] and back["elsewhere"] == [{"code": sold, "text": "已发出"}]
    posted = house.ok(house.post("keeper", f"stock/sheets/{key}/post"))
    assert (posted["codes_found"], posted["codes_lost"], state(house, gone)) == (1, 0, "在库")
    assert house.findings() == []


@pytest.mark.requirement("TC-07")
def test_a_count_that_does_not_say_which_packs_are_gone_leaves_their_codes(house: House) -> None:
    one, two = (f"8{n:019d}" for n in range(2))
    coded(house, "K1", [one, two], 2)
    key = int(house.ok(house.post("keeper", "stock/sheets", {
        "store_id": house.ids["warehouse"], "drug_ids": [house.ids["drug"]]}))["id"])
    position = rows(house, key)["K1"]["position"]
    recount = lambda quantity: house.ok(house.post("keeper", f"stock/sheets/{key}/counts", {  # noqa: E731
        "again": True, "counts": [{"position": position, "quantity": quantity}]}))
    house.ok(house.post("keeper", f"stock/sheets/{key}/scans", {"codes": [one]}))
    recount("0")
    rescanned = house.ok(house.post("keeper", f"stock/sheets/{key}/scans", {"codes": [one]}))  # counted anew from nothing
    assert (rescanned["items"][0]["counted"], rescanned["again"]) == ("24.0000", [])
    recount("24")
    posted = house.ok(house.post("keeper", f"stock/sheets/{key}/post"))
    assert (posted["codes_lost"], posted["codes_unclear"]) == (0, 1)  # a pack too few, and nobody said which
    assert [state(house, code) for code in (one, two)] == ["在库"] * 2
    key = int(house.ok(house.post("keeper", "stock/sheets", {
        "store_id": house.ids["warehouse"], "drug_ids": [house.ids["drug"]]}))["id"])
    posted = house.ok(house.post("keeper", f"stock/sheets/{key}/post", {"missing_is_zero": True}))  # nothing is there at all
    assert (posted["codes_lost"], posted["codes_unclear"]) == (2, 0) and house.findings() == []


@pytest.mark.requirement("RX-09")
def test_what_is_under_special_control_is_counted_by_itself(house: House) -> None:
    made = house.ok(house.post("keeper", "stock/sheets", {"store_id": house.ids["warehouse"], "controlled": True}))
    assert made["scope"] == "特殊管理药品" and set(rows(house, made["id"])) == {"N1", "N2"}
