"""Large trace codes: the platform or a packing list says what lies in a carton; every small code is booked once, no carton is
ever a box (R1)."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from sqlalchemy import select

from his_server.clock import ManualClock
from his_server.db import Database
from his_server.messaging.outbox import LostAnswer
from his_server.security.audit import AuditRow
from interfaces.hub.calls import observed
from interfaces.hub.models import InterfaceCall
from interfaces.hub.simulating import Faults, Rule
from interfaces.hub.transport import in_process
from interfaces.trace_platform import contract, mapping
from interfaces.trace_platform.client import Platform
from interfaces.trace_platform.settings import Settings
from modules.kernel.stock.models import TracePack
from modules.kernel.stock.ports import PACKING, Packed
from tests.interfaces.documented import examples
from tests.modules.drug_warehouse.conftest import supplier as supplier
from tests.modules.kernel.stock.conftest import House
from tests.modules.kernel.stock.conftest import house as house

CARTON = "89100000000000250000"
"""Two middle packs of five boxes."""
MIDDLE = "89200000000000250100"
BOXES = [f"8930000000000025{middle:02d}{box:02d}" for middle in range(2) for box in range(5)]


@pytest.fixture
def folder(house: House, tmp_path: Path) -> Path:
    """The platform's folder; its adapter is bound."""
    bind(house.db, tmp_path)
    return tmp_path / "trace_platform"


def bind(database: Database, folder: Path, **settings: Any) -> None:
    """Bind the adapter to a simulator in ``folder``."""
    line = in_process("trace_platform", folder, database.clock)
    database.ports[PACKING] = observed(database, "trace_platform", Platform(line, Settings(**settings), database.clock))


def look(house: House, code: str = CARTON, who: str = "keeper") -> dict[str, Any]:
    found: dict[str, Any] = house.ok(house.post(who, "stock/packs", {"code": code}))
    return found


def arrive(house: House, supplier: int, codes: list[str], packs: int, lot: str = "K1") -> Any:
    return house.post("keeper", "drug-warehouse/receipts", {
        "supplier_id": supplier, "store_id": house.ids["warehouse"], "lines": [{
            "drug_id": house.ids["drug"], "quantity": str(packs), "pack_cost": "9", "lot_no": lot, "expiry": "2027-12-31",
            "codes": codes}]})


def receive(house: House, supplier: int, codes: list[str], packs: int, lot: str = "K1", looked: bool = False) -> Any:
    """``looked``: a person said of codes that nobody knows that each is one box."""
    made = house.ok(arrive(house, supplier, codes, packs, lot))
    if looked:
        house.ok(house.post("keeper", f"drug-warehouse/receipts/{made['id']}/codes", {"codes": codes, "boxes": True}))
    return house.post("keeper", f"drug-warehouse/receipts/{made['id']}/accept")


def asked(house: House) -> list[str]:
    """How the calls to the platform ended."""
    with house.db.begin(write=False) as session:
        return list(session.scalars(select(InterfaceCall.outcome).where(InterfaceCall.interface == "trace_platform")
                                    .order_by(InterfaceCall.id)))


@pytest.mark.requirement("R1", "TC-01")
def test_a_carton_is_opened_once_and_each_of_its_boxes_is_received_once(house: House, folder: Path, supplier: int) -> None:
    found = look(house)
    assert (found["kind"], found["text"]) == ("carton", "内有 10 盒")
    assert [(one["code"], one["state"]) for one in found["boxes"]] == [(code, "") for code in BOXES]
    assert house.ok(receive(house, supplier, BOXES, 10))["state_name"] == "已验收"
    for code in BOXES:
        life = house.ok(house.get("keeper", "stock/trace-codes", code=code))
        assert (life["state_name"], life["lot_no"], len(life["moves"])) == ("在库", "K1", 1)
    again = look(house, who="pharmacist")["boxes"]  # where the boxes are is said; what is known isn't asked for again
    assert {(one["text"], one["store_id"], one["drug_id"]) for one in again} == {
        ("在库", house.ids["warehouse"], house.ids["drug"])}
    assert look(house, BOXES[3])["kind"] == "box" and look(house, MIDDLE)["text"] == "内有 5 盒"
    assert asked(house) == ["ok"]
    twice = receive(house, supplier, BOXES, 10, "K2")
    assert twice.status_code == 409 and twice.json["code"] == "trace.state" and "在库" in twice.json["message"]
    assert house.findings() == []


@pytest.mark.requirement("R1", "TC-01")
def test_half_a_carton_leaves_the_other_half_to_come(house: House, folder: Path, supplier: int) -> None:
    inside = [one["code"] for one in look(house)["boxes"]]
    too_many = arrive(house, supplier, inside, 6)
    assert too_many.json["errors"] == [{"field": "lines.0.codes", "message": "追溯码多于到货数量"}]
    house.ok(receive(house, supplier, inside[:6], 6))
    assert [one["state"] for one in look(house)["boxes"]] == ["in_stock"] * 6 + [""] * 4
    house.ok(receive(house, supplier, inside[6:], 4))
    assert {one["state"] for one in look(house)["boxes"]} == {"in_stock"}
    assert house.findings() == []


@pytest.mark.requirement("R1", "TC-01")
def test_a_carton_is_never_received_as_a_box(house: House, folder: Path, supplier: int) -> None:
    made = house.ok(arrive(house, supplier, [CARTON], 10))  # written down before anybody knew what it is
    look(house)
    path = f"drug-warehouse/receipts/{made['id']}"
    late = house.refused(house.post("keeper", f"{path}/accept"), 409, "warehouse.unsure")
    assert CARTON in late["message"] and "待核" in late["message"]
    assert house.ok(house.get("keeper", path))["lines"][0]["unsure"] == [{"code": CARTON, "large": True}]
    said = house.refused(house.post("keeper", f"{path}/codes", {"codes": [CARTON], "boxes": True}), 422, "trace.large")
    assert CARTON in said["message"] and "大码" in said["message"]
    left = house.ok(house.post("keeper", f"{path}/codes", {"codes": [CARTON], "boxes": False}))
    assert (left["lines"][0]["codes"], left["lines"][0]["unsure"]) == ([], [])
    assert house.ok(house.post("keeper", f"{path}/accept"))["state_name"] == "已验收"
    for code in (CARTON, MIDDLE):
        refused = house.refused(arrive(house, supplier, [code], 10), 422, "warehouse.arrival")
        assert refused["errors"][0]["field"] == "lines.0.codes" and "大码" in refused["errors"][0]["message"]
        refused = house.refused(house.post("keeper", "stock/papers", {
            "kind": "stock_in", "store_id": house.ids["warehouse"], "purpose": "赠送入库", "lines": [{
                "drug_id": house.ids["drug"], "lot_no": "K1", "expiry": "2027-12-31", "pack_cost": "9", "quantity": "240",
                "codes": [code]}]}), 422, "stock.lines")
        assert "大码" in refused["errors"][0]["message"]
        assert house.get("keeper", "stock/trace-codes", code=code).status_code == 404
    assert house.findings() == []


@pytest.mark.requirement("R1")
@pytest.mark.parametrize(("code", "word"), [("89109000000000250000", "已注销"), ("12345678901234567890", "码不存在"),
                                            ("(01)06901234567892(21)A0001", "码不存在")])
def test_what_the_platform_does_not_know_is_unknown_and_says_why(house: House, folder: Path, code: str, word: str) -> None:
    found = look(house, code)
    assert (found["kind"], found["boxes"]) == ("unknown", []) and word in found["message"]


@pytest.mark.requirement("R1")
@pytest.mark.parametrize(("code", "word"), [
    ("123", "6 至 100 位"), ("", "必填"), ("8" * 101, "100"), ("１２３４５６７", "不允许")])
def test_what_is_no_code_is_refused(house: House, folder: Path, code: str, word: str) -> None:
    answer = house.post("keeper", "stock/packs", {"code": code})
    assert answer.status_code == 422 and word in json.dumps(answer.json, ensure_ascii=False)
    assert asked(house) == [] and house.post("doctor", "stock/packs", {"code": CARTON}).status_code == 403


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "garbage"])
def test_a_platform_that_is_down_leaves_the_boxes_to_be_scanned_by_hand(
        house: House, folder: Path, supplier: int, fault: str) -> None:
    Faults(folder).write([Rule(fault)])
    found = look(house)
    assert found["kind"] == "unknown" and "没有应答" in found["message"]
    house.refused(receive(house, supplier, BOXES, 10), 409, "warehouse.unsure")
    house.ok(receive(house, supplier, BOXES, 10, looked=True))
    Faults(folder).write([])
    assert look(house)["text"] == "内有 10 盒" and len(asked(house)) == 2
    house.db.ports.pop(PACKING)
    assert "没有接追溯平台" in look(house, "89100000000000260000")["message"]


@pytest.mark.requirement("R1")
def test_a_platform_that_answers_one_level_at_a_time_is_asked_on(house: House, folder: Path) -> None:
    deep = "89108000000000250000"
    assert [one["code"] for one in look(house, deep)["boxes"]] == [code.replace("8930000", "8930800") for code in BOXES]
    assert asked(house) == ["ok"]


@pytest.mark.requirement("R1")
def test_a_suppliers_packing_list_says_the_same(house: House) -> None:
    house.db.ports.pop(PACKING, None)
    post = lambda text, who="keeper": house.post(who, "stock/packing-lists", {"text": text})  # noqa: E731
    wrong = (("箱码,盒码\nA,B", "第一行"), ("大码,小码", "没有数据"), ("大码,小码\n123456", "第 2 行：应有"),
             ("大码,小码\n123456,12", "第 2 行：追溯码应为"), ("大码,小码\n\n123456,123456", "第 3 行：大码与小码相同"),
             ("大码,小码\n123456,654321\n123457,654321", "第 3 行：小码 654321 重复"),
             ("大码,小码\n123456,654321\n654321,123456", "装在自己里面"), ("大码,小码\n\"" + "1" * 140_000, "不是 CSV"),
             ("大码,小码\n" + "\n".join(f"{n + 1:06d},{n:06d}" for n in range(6)), "超过 5 层"),
             ("大码,小码\n" + "\n".join(f"123456,{n:08d}" for n in range(5001)), "超过 5000"))
    for text, word in wrong:
        answer = house.refused(post(text), 422, "trace.list")
        assert word in json.dumps(answer, ensure_ascii=False), text[:60]
    with house.db.begin(write=False) as session:
        assert list(session.scalars(select(TracePack))) == []
    rows = [f"{CARTON},{MIDDLE}", *(f"{MIDDLE},{code}" for code in BOXES[5:]), *(f"{CARTON},{code}" for code in BOXES[:2])]
    good = "大码,小码\n" + "\n".join(rows) + "\n"
    for _ in range(2):  # a second time changes nothing
        assert house.ok(post(good)) == {"cartons": 2, "boxes": 7, "received_as_box": []}
        assert [one["code"] for one in look(house)["boxes"]] == sorted([*BOXES[5:], *BOXES[:2]])
    assert look(house, MIDDLE)["text"] == "内有 5 盒" and look(house, BOXES[0])["kind"] == "box"
    # the middle pack again, by itself: it stays in its carton; and the carton by itself: the middle pack stays one
    house.ok(post("大码,小码\n" + "\n".join(f"{MIDDLE},{code}" for code in BOXES[5:])))
    house.ok(post(f"大码,小码\n{CARTON},{MIDDLE}"))
    assert len(look(house)["boxes"]) == 7 and look(house, MIDDLE)["kind"] == "carton"
    assert post(good, "doctor").status_code == 403
    with house.db.begin(write=False) as session:
        assert len(list(session.scalars(select(AuditRow).where(AuditRow.event == "trace.list")))) == 4


@pytest.mark.requirement("R1")
def test_a_list_names_cartons_that_somebody_received_as_boxes(house: House, supplier: int) -> None:
    house.ok(receive(house, supplier, [CARTON], 10, looked=True))
    told = house.ok(house.post("keeper", "stock/packing-lists", {"text": f"大码,小码\n{CARTON},{BOXES[0]}"}))
    assert told["received_as_box"] == [CARTON]
    assert look(house)["kind"] == "carton"


def test_the_signature_is_tops(house: House, tmp_path: Path) -> None:
    """Sorted, joined, framed or keyed by the secret; without itself and without what is empty."""
    given = {"foo": "1", "bar": "2", "foo_bar": "3", "foobar": "4", "sign": "x", "empty": ""}
    text = "bar2foo1foo_bar3foobar4"
    assert contract.sign(given, "s", "md5") == hashlib.md5(f"s{text}s".encode()).hexdigest().upper()
    assert contract.sign(given, "s", "hmac-sha256") == hmac.new(b"s", text.encode(), "sha256").hexdigest().upper()
    assert contract.sign(given, "s", "hmac") == hmac.new(b"s", text.encode(), "md5").hexdigest().upper()
    bind(house.db, tmp_path, app_secret="another")
    assert "签名有误" in look(house)["message"]
    for method in contract.SIGNS:
        bind(house.db, tmp_path, sign_method=method)
        assert look(house)["kind"] == "carton"
        with house.db.begin() as session:
            session.query(TracePack).delete()
    with pytest.raises(ValueError, match="hmac-sha256"):
        Settings(sign_method="sha1")


def test_the_page_shows_what_we_ask_and_what_is_answered(tmp_path: Path) -> None:
    [shown] = examples("trace_platform")
    clock = ManualClock(datetime(2026, 3, 2, 0, 30, tzinfo=UTC))
    line = in_process("trace_platform", tmp_path, clock)
    sent: list[str] = []

    class Heard:
        def exchange(self, method: str, path: str, body: bytes, headers: Any) -> Any:
            sent.append(f"{method} {path} {body.decode()}")
            return line.exchange(method, path, body, headers)

    opened = Platform(Heard(), Settings(), clock).open("89100000000000120000")  # type: ignore[arg-type]
    [(method, path, body)] = [one.split(" ", 2) for one in sent]
    assert (method, path, sorted(parse_qsl(body))) == (shown.method, shown.path, parse_qsl(shown.body))
    given = line.exchange("POST", path, body.encode(), {"Content-Type": "application/x-www-form-urlencoded"}).json()
    assert given == shown.promised()
    assert [one.code for one in opened.packed if one.smallest] == ["89300000000000120000", "89300000000000120001"]


def answer(*rows: dict[str, str], bare: bool = False) -> dict[str, Any]:
    listed: Any = list(rows)
    return {contract.ANSWER: {"result": {"response_success": True, "model_list": [{"code_relation_list": listed}] if bare
                                         else {"code_relation_dto": [{"code_relation_list": {"code_info": listed}}]}}}}


def row(code: str, parent: str = "", level: str = "1", status: str = "I") -> dict[str, str]:
    return {"code": code, "parent_code": parent, "code_pack_level": level, "code_level": "1", "status": status}


@pytest.mark.parametrize("bare", [False, True])
def test_only_the_pack_level_says_what_is_smallest(bare: bool) -> None:
    """``code_level`` counts from the largest pack: reading it would make every carton a box."""
    said = mapping.opened(answer(row("900000", "", "2"), row("100001", "900000"), row("100002", "900000", "1", "C"), bare=bare),
                          "900000")
    assert said.packed == (Packed("900000", None, False), Packed("100001", "900000", True))
    inferred = mapping.opened(answer(row("100001", "900000"), bare=bare), "900000")
    assert Packed("900000", None, False) in inferred.packed
    assert mapping.opened(answer(row("100001", "900000"), bare=bare), "555555").packed == ()


@pytest.mark.parametrize("said", [[], {}, {contract.ANSWER: {}}, answer({"code": "100001", "code_level": "1"}),
                                  answer({"code": "1", "code_pack_level": "1"}), {contract.ANSWER: {"result": {
                                      "response_success": True, "model_list": {"code_relation_dto": "no"}}}}])
def test_a_garbled_answer_says_nothing(said: Any) -> None:
    with pytest.raises(mapping.Garbled):
        mapping.opened(said, "900000")


def test_a_platform_that_never_comes_to_boxes_is_left(house: House, tmp_path: Path) -> None:
    class Turning:
        def exchange(self, *_given: Any) -> Any:
            class Said:
                def good(self, _what: str) -> Any:
                    return self

                def json(self) -> Any:
                    return answer(row("900000", "", "2"))
            return Said()

    platform = Platform(Turning(), Settings(), house.db.clock)  # type: ignore[arg-type]
    with pytest.raises(LostAnswer, match="没有说明"):
        platform.open("900000")
