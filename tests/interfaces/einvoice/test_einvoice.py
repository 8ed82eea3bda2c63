"""The adapter of the electronic invoice platform against its strict simulator (H8)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crypto import Sealer
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.settings import Settings as House
from his_server.settings import SettingsError
from interfaces.einvoice import envelope, mapping, platform, simulator
from interfaces.einvoice.client import Platform
from interfaces.einvoice.settings import SIMULATED, Settings
from interfaces.hub.transport import Answer, Line
from modules.kernel.charging.ports import InvoiceLine, InvoiceRequest, Stay
from tests.factories.einvoice import Bench

AT = datetime(2026, 3, 2, 1, 15, 3, 250000, UTC)
DAY = date(2026, 3, 2)


def _line(amount: str, category: str = "09", code: str = "X1") -> InvoiceLine:
    return InvoiceLine(code, "阿莫西林胶囊", "盒", Decimal(amount), Decimal(1), Decimal(amount), category)


REQUEST = InvoiceRequest(
    number="P20260302000000001", kind="outpatient", issued_at=AT, payer="𠮷田䶮", payer_id="320602198001020011",
    outpatient_no="M000001", sex="2", age="46岁", department="内科", payee="李收费", total=Decimal("121.10"),
    fund=Decimal("60.00"), account=Decimal("20.00"), cash=Decimal("41.10"), channels=(("scan", Decimal("41.10")),),
    lines=(_line("100.10"), _line("21.00", "03")), visit_no="V1", own_expense=Decimal("10.00"), insurance="310",
    insurer_number="S123")


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock) -> Bench:
    return Bench(tmp_path, clock)


@pytest.mark.requirement("H8")
def test_the_signature_is_the_published_one() -> None:
    given = ("HAOHE", "eyJhIjoxfQ==", "0123456789abcdef0123456789abcdef", "secret")
    assert envelope.sign(*given) == "674AB712D6115C28C4A8799FEFBBD76D"
    assert envelope.sign(*given, algorithm="SM3") == "583DA848EB7D19DBADF4B3DA756112688460F7FD314DBFFF320465C8A6DDCE40"


@pytest.mark.requirement("H8", "FN-01")
def test_amounts_are_plain_numbers_with_two_places() -> None:
    text = envelope.dumps(mapping.issue(REQUEST, Settings()))
    assert '"totalAmt":121.10' in text and '"fundPay":60.00' in text and "𠮷田䶮" in text
    told = json.loads(text, parse_float=Decimal)
    assert told["ownPay"] + told["selfPayAmt"] == told["accountPay"] + told["selfCashPay"] == Decimal("61.10")
    assert (told["busDateTime"], told["medCareTypeCode"], told["balancedNumber"]) == ("20260302091503250", "01", "S123")


@pytest.mark.requirement("H8")
@pytest.mark.parametrize("change", [
    {}, {"kind": "registration"}, {"insurance": "", "fund": Decimal(0), "account": Decimal(0), "cash": Decimal("121.10"),
                                   "channels": (("cash", Decimal("121.12")),)},
    {"kind": "inpatient", "stay": Stay(AT, AT, "ZY0001", "12")}])
def test_every_kind_is_issued_once_and_known_afterwards(bench: Bench, change: dict[str, Any]) -> None:
    asked = replace(REQUEST, **change)
    made = bench.issue(asked)
    assert (made.state, made.code, made.invoice_number) == ("confirmed", "32060126", "0000000001")
    again, found = bench.issue(asked), bench.query(asked.number, AT)
    assert {(one.code, one.invoice_number, one.check_code) for one in (made, again, found)} == {
        (made.code, made.invoice_number, made.check_code)}
    assert bench.all() == [(asked.number, "blue", Decimal("121.10"))]
    assert bench.query("P0", AT).state == "refused"


@pytest.mark.requirement("H8")
@pytest.mark.parametrize("change", [
    {"fund": Decimal("60.01")}, {"lines": (_line("100.10"),)}, {"payer": ""}, {"channels": (), "cash": Decimal(0)},
    {"kind": "inpatient", "stay": Stay(AT, AT, "")}, {"number": "P" * 51}])
def test_what_does_not_add_up_is_refused_with_words(bench: Bench, change: dict[str, Any]) -> None:
    answer = bench.issue(replace(REQUEST, **change))
    assert answer.state == "refused" and "报文校验未通过" in answer.message and bench.all() == []


@pytest.mark.requirement("H8")
def test_an_invoice_in_the_making_is_waited_for_and_not_made_twice(bench: Bench) -> None:
    simulator.manner(bench.books, "processing", 3)
    assert [bench.issue(REQUEST).state for _ in range(3)] == ["unknown", "unknown", "confirmed"]
    assert len(bench.all()) == 1


@pytest.mark.requirement("H8", "FN-09")
def test_red_once_and_never_with_a_paper_outside(bench: Bench) -> None:
    made = bench.issue(REQUEST)
    named = made.code, made.invoice_number
    paper = bench.next_paper()
    held = paper.code, paper.paper_number
    assert bench.exchange("P2", *named, held, "李收费", AT).state == "confirmed"
    assert bench.exchange("P2", *named, held, "李收费", AT).state == "refused"  # never two papers of one invoice
    assert bench.query_paper("P2", *named).paper_number == held[1]
    refused = bench.red("P3", *named, "退费", "李收费", AT)
    assert refused.state == "refused" and "先作废纸质票据" in refused.message
    fresh = bench.next_paper()
    assert bench.exchange("P4", *named, (fresh.code, fresh.paper_number), "李收费", AT, again=True).state == "confirmed"
    assert bench.void_paper("P5", (fresh.code, fresh.paper_number), "李收费", "打印错误", AT).state == "confirmed"
    assert bench.query_paper("P5", *named).state == bench.query_red("P3", *named).state == "refused"
    red = bench.red("P3", *named, "退费", "李收费", AT)
    repeated, asked = bench.red("P3", *named, "退费", "李收费", AT), bench.query_red("P3", *named)
    assert {(r.state, r.code, r.invoice_number, r.check_code) for r in (red, repeated, asked)} == {
        ("confirmed", red.code, red.invoice_number, red.check_code)}
    assert [colour for _, colour, _ in bench.all()] == ["blue", "red"]
    spoilt = bench.next_paper()
    assert bench.void_blank("P6", (spoilt.code, spoilt.paper_number), "李收费", "卡纸", AT).state == "confirmed"
    assert bench.next_paper().paper_number == f"{int(spoilt.paper_number) + 1:08d}"
    assert bench.paper_stock()[0].left == simulator.PAPERS - 3


@pytest.mark.requirement("H8")
def test_a_day_is_read_whole_over_several_pages(tmp_path: Path, clock: ManualClock) -> None:
    bench = Bench(tmp_path, clock, page_size=2)
    made = [bench.issue(replace(REQUEST, number=f"P{n}")) for n in range(5)]
    bench.red("R1", made[0].code, made[0].invoice_number, "退费", "李收费", AT)
    rows = bench.day_rows(DAY)
    assert [(row.number, row.colour, row.amount) for row in rows] == [
        *((f"P{n}", "blue", Decimal("121.10")) for n in range(5)), ("", "red", Decimal("-121.10"))]
    totals = bench.day_totals(DAY)
    assert (totals.issued, totals.issued_amount, totals.red, totals.red_amount) == (
        5, Decimal("605.50"), 1, Decimal("-121.10"))
    assert bench.day_rows(date(2026, 3, 3)) == []


@pytest.mark.requirement("H8")
@pytest.mark.parametrize("spoil", ["sign", "data", "key"])
def test_an_answer_with_a_wrong_signature_is_not_believed(bench: Bench, spoil: str) -> None:
    inner = bench.adapter._line

    def carry(method: str, path: str, body: bytes, headers: Any, timeout: int) -> Answer:
        found = inner.exchange(method, path, body, headers, timeout)
        told = json.loads(found.body)
        if spoil == "sign":
            told["sign"] = told["sign"][:-1] + ("0" if told["sign"][-1] != "0" else "1")
        elif spoil == "data":
            told["data"] = envelope.encode('{"result":"S0000","message":""}')
        else:
            del told["sign"]
        return Answer(200, found.headers, json.dumps(told).encode())

    with pytest.raises(envelope.ContractError, match=r"签名|缺少"):
        Platform(Line("einvoice", carry, timeout=5), bench.settings, *SIMULATED).issue(REQUEST)
    assert bench.query(REQUEST.number, AT).state == "confirmed"  # so it was asked for, not issued again


@pytest.mark.requirement("H8")
def test_a_request_that_others_signed_is_refused(bench: Bench) -> None:
    other = Platform(bench.adapter._line, bench.settings, SIMULATED[0], "f" * 32)
    with pytest.raises(envelope.ContractError):
        other.issue(REQUEST)
    assert bench.all() == []


def test_no_platform_without_an_address_and_no_key_in_clear(db: Database, sealer: Sealer, tmp_path: Path) -> None:
    assert platform(House(data_dir=tmp_path), db) is None
    told = {"einvoice": {"url": "https://fiscal.invalid/medical-web", "appid": "A1", "key": "clear"}}
    with pytest.raises(SettingsError, match="不能用明文"):
        platform(House(data_dir=tmp_path, extra=told), db)
