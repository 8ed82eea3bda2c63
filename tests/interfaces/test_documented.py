"""Every example of docs/interfaces is true: the simulators and the gateway take it and answer so, and we send exactly that."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from flask import Flask
from sqlalchemy import select

from crypto import get_provider, sm2
from his_server.clock import ManualClock
from his_server.db import Database
from interfaces.dispensing_machine import mapping as machine
from interfaces.dispensing_machine.contract import PRESCRIPTION_FIELDS
from interfaces.einvoice import envelope as fiscal
from interfaces.hub import gateway, transport
from interfaces.hub.models import InterfaceCall
from interfaces.insurance_statement.settings import SIMULATED
from interfaces.integration_platform import contract as hip
from interfaces.integration_platform import mapping as platform
from interfaces.kiosk.contract import ConversionOut
from interfaces.med_mobile_pay import envelope as mobile_envelope
from interfaces.med_mobile_pay.settings import SIMULATED as published
from interfaces.nhsa.client import wire
from interfaces.pacs import mapping as pacs
from interfaces.queue_calling import mapping as queue
from interfaces.scan_payment import mapping as acquirer
from interfaces.scan_payment.client import Acquirer
from interfaces.scan_payment.simulator import test_keys as acquirer_keys
from modules.kernel.scheduling.models import Registration
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.factories.mobile import Mobile
from tests.interfaces.dispensing_machine.helping import Room
from tests.interfaces.documented import PAGES, examples, fences, like
from tests.interfaces.hub.opening import make_partner
from tests.interfaces.kiosk.helping import book_under, paid_by_scan

EIGHT = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
"""2026-03-02 08:30 in the hospital."""


@pytest.fixture
def clock_of_the_pages() -> ManualClock:
    return ManualClock(EIGHT)


# What we send: to the simulators, and as our own mappings make it


@pytest.mark.requirement("H10", "H18", "N3")
@pytest.mark.parametrize(("page", "package", "here"), [
    ("queue_calling", "queue_calling", "/sync /resign"), ("pacs", "pacs", "/v1/exams"), ("ecard", "ecard", "/ecard")])
def test_a_peer_takes_what_its_page_shows(page: str, package: str, here: str, tmp_path: Path,
                                          clock_of_the_pages: ManualClock) -> None:
    line = transport.in_process(package, tmp_path, clock_of_the_pages)
    shown = [one for one in examples(page) if one.path.startswith(tuple(here.split()))]
    assert shown
    for one in shown:
        told = line.exchange(one.method, one.path, one.body.encode(), {"Content-Type": "application/json"})
        answer = told.json()
        assert told.status == 200 and (not one.answer or like(one.promised(), answer)), (one.path, answer)
        assert answer.get("code", "0") == "0", (one.path, answer)
        if one.answer and "message" in one.promised():
            assert answer == one.promised()


@pytest.mark.requirement("H18")
def test_the_queue_is_told_exactly_what_its_page_shows() -> None:
    [shown] = [one.json() for one in examples("queue_calling") if one.path == "/syncRegistered"]
    told = {"number": shown["registrationNo"], "queue_no": 1, "session_id": 1031, "day": "2026-03-02", "level": "普通"}
    assert queue.registered(told, queue.version_of(EIGHT), ("26000001", "张*明", "1", date(1980, 1, 1)), date(2026, 3, 2),
                            "0301", "0101") == shown


@pytest.mark.requirement("H10")
def test_the_pacs_is_told_exactly_what_its_page_shows() -> None:
    [shown] = [one.json() for one in examples("pacs")]
    assert pacs.message(10460, pacs.Paid(
        shown["requestNo"], shown["settlementNo"], ("26000001", "张小明", "1"), shown["diagnosis"], "0301", "王医生", "0601",
        [pacs.Exam(1, "JC001", "胸部正位片", Decimal(1))])) == shown


@pytest.mark.requirement("H9")
def test_the_machine_is_given_exactly_what_its_page_shows(tmp_path: Path, clock_of_the_pages: ManualClock) -> None:
    [shown] = [one for one in examples("dispensing_machine") if one.path == "/GetPresNoByXML"]
    text = shown.body.replace("\n", "")
    line = machine.Line(1120, "Y001", "阿莫西林胶囊", "0.25g×24粒", Decimal(24), "粒", "盒", 24, "华北制药", "胶囊",
                        Decimal("18.5"), Decimal("18.50"), "0.5g", "口服", "tid", "", "A-03")
    head = machine.Head("CF260302000001", 3, "JS2603020000003", EIGHT, "普通", "急性支气管炎", ("0301", "呼吸内科门诊"),
                        "王医生", "MZ")
    ours = machine.prescription(head, machine.Patient("26000001", "张小明", "1", date(1980, 1, 1)), [line], date(2026, 3, 2))
    [row] = machine.read_rows("XMLPresInfo", text)
    assert tuple(row) == PRESCRIPTION_FIELDS and machine.read_rows("XMLPresInfo", ours) == [row]
    peer = transport.in_process("dispensing_machine", tmp_path, clock_of_the_pages)
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    answer = peer.exchange("POST", shown.path, urlencode({"XMLPresInfo": text}).encode(), form)
    assert machine.answer(answer.body) == machine.answer(shown.answer.encode()) == "3"


@pytest.mark.requirement("H12")
def test_the_platform_is_told_exactly_what_its_page_shows(tmp_path: Path, clock_of_the_pages: ManualClock) -> None:
    shown, acknowledged = fences("integration_platform", "xml")
    [exchange] = [text for text in fences("integration_platform") if "soap:Envelope" in text]
    _, call, answer = exchange.split("\n\n")
    person = hip.Patient("26000001", "张小明", "1", date(1980, 1, 1), "01", "320602198001011234", "13900001234")
    slot = hip.Slot(1031, 1, date(2026, 3, 2), "上午", "普通", ("0301", "呼吸内科"), ("0101", "王医生"))
    ours = platform.message(hip.Message("HIS10442", hip.ADD, EIGHT, "GH260302000001", "2026030200001", "outpatient", "window",
                                        hip.ACTIVE, "", person, slot), "H32060200006", "ESB")
    assert _canonical(ours) == _canonical(shown)
    assert _canonical(platform.envelope(hip.ADD, "MESSAGE")) == _canonical(call)
    assert _canonical(platform.answer_envelope("ACKNOWLEDGEMENT")) == _canonical(answer)
    line = transport.in_process("integration_platform", tmp_path, clock_of_the_pages)
    escaped = shown.replace("&", "&amp;").replace("<", "&lt;")
    told = line.exchange("POST", "/", call.replace("MESSAGE", escaped).encode(), {"Content-Type": "text/xml; charset=utf-8"})
    said = platform.inner(told.body, "HIPMessageServerResult")
    assert _canonical(said) == _canonical(acknowledged)
    assert platform.read_acknowledgement(acknowledged) == ("AA", "HIS10442", "成功")


def _canonical(text: str | bytes) -> str:
    whole = text.decode() if isinstance(text, bytes) else text
    return ElementTree.canonicalize(whole, strip_text=True, rewrite_prefixes=True)


@pytest.mark.requirement("N5")
def test_the_acquirer_answers_as_its_page_shows(tmp_path: Path, clock_of_the_pages: ManualClock) -> None:
    peer = Acquirer(transport.in_process("scan_payment", tmp_path, clock_of_the_pages), "scan", acquirer_keys(), get_provider(),
                    clock_of_the_pages.now)
    shown = examples("scan_payment")
    assert [one.path.split("/")[2] for one in shown] == ["payments", "refunds", "payments"]
    for one in shown:
        _, body = peer._exchange(one.method, one.path, "", one.body.encode(), None)  # signed, the answer's signature checked
        assert json.loads(body) == one.promised()
    [statement] = [text for text in fences("scan_payment") if text.startswith("交易时间")]
    rows = acquirer.statement(statement, "M1")
    assert [(row.kind, row.amount) for row in rows] == [("pay", Decimal("10.00")), ("refund", Decimal("2.50"))]


@pytest.mark.requirement("N4")
def test_a_statement_signed_as_its_page_says_is_taken(tmp_path: Path, clock_of_the_pages: ManualClock) -> None:
    app_id, secret = SIMULATED
    [body] = [text.strip().encode() for text in fences("insurance_statement", "json")]
    number = json.loads(body)["statement_no"]
    path, at, nonce = f"/insurance/v1/statements/{number}", str(int(EIGHT.timestamp())), "0123456789abcdef"
    text = "\n".join(("PUT", path, at, nonce, hashlib.new("sm3", body).hexdigest()))
    signature = hmac.new(secret.encode(), text.encode(), lambda: hashlib.new("sm3")).hexdigest()
    line = transport.in_process("insurance_statement", tmp_path, clock_of_the_pages)
    answer = line.exchange("PUT", path, body, {
        "X-App-Id": app_id, "X-Timestamp": at, "X-Nonce": nonce, "X-Signature": signature, "Content-Type": "application/json"})
    assert answer.status == 200 and (answer.json()["statement_no"], answer.json()["state"]) == (number, "UPLOADED")
    assert answer.json()["handover_no"].startswith("JJ")


@pytest.mark.requirement("H8", "H5", "H2")
def test_the_test_values_of_the_pages_come_out() -> None:
    def has(page: str, *texts: str) -> None:
        whole = (PAGES / f"{page}.md").read_text(encoding="utf-8")
        assert not [text for text in texts if text not in whole], page

    sign = fiscal.sign("HAOHE", "eyJhIjoxfQ==", "0123456789abcdef0123456789abcdef", "secret")
    has("einvoice", "HAOHE", "eyJhIjoxfQ==", "0123456789abcdef0123456789abcdef", "`secret`", sign)
    app, secret = published["app_id"], published["app_secret"]
    has("med_mobile_pay", app, secret, mobile_envelope.cipher_key(get_provider(), app, secret).decode())
    assert sm2.DEFAULT_UID.decode() == "1234567812345678"
    [message] = [text for text in fences("nhsa") if text.startswith("POST")]
    headers = dict(line.split(": ", 1) for line in message.split("\n\n")[0].splitlines()[1:])
    ours = wire.gateway_headers(name="fsi", version="1.0.0", access_key="AK", secret="SK", at=EIGHT)
    assert set(headers) == set(ours) and all(headers[name] == ours[name] for name in wire.SIGNED)
    assert headers["_api_signature"].endswith('"' + "&".join(f"{name}={ours[name]}" for name in wire.SIGNED) + '"))')


# What they send us: through the gateway


@pytest.fixture
def around(world: World, app: Flask, db: Database) -> Iterator[Any]:
    """A partner by use cases."""
    gateway._pace.__init__()  # type: ignore[misc]
    yield lambda code, *cases: make_partner(db, app.test_client(), code, cases=cases)


@pytest.mark.requirement("H9")
def test_the_machines_feedback_goes_as_its_page_shows(world: World, clock: ManualClock, tmp_path: Path, around: Any) -> None:
    room = Room(world, clock, tmp_path / "simulators")
    room.open_window(3)
    _, made, _ = room.paid()
    room.work()
    [shown] = [one for one in examples("dispensing_machine") if one.path.endswith("/feedback")]
    answer = around("machine", "machine.feedback").send("POST", shown.path.replace("CF260302000001", made["number"]),
                                                        shown.json(), key="feedback-0001")
    assert (answer.status_code, answer.json) == (200, {**shown.promised(), "pres_no": made["number"]})


@pytest.mark.requirement("H18")
def test_a_call_goes_as_its_page_shows(world: World, around: Any) -> None:
    made = world.register(world.person())
    with world.db.begin(write=False) as session:
        number = session.scalars(select(Registration.number).where(Registration.id == made["registration_id"])).one()
    [shown] = [one for one in examples("queue_calling") if one.path.endswith("/calls")]
    answer = around("queue", "queue.call").send("POST", shown.path.replace("GH260302000001", number), shown.json(),
                                                key="call-number-1")
    assert (answer.status_code, answer.json) == (200, {**shown.promised(), "registrationNo": number})


@pytest.mark.requirement("N2", "H2")
def test_a_kiosk_goes_as_its_page_shows(world: World, app: Flask, around: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    book_under(world, app, monkeypatch)
    done = paid_by_scan(world, 3)
    quote, convert = examples("kiosk")
    partner = around("kiosk", "conversions.quote", "conversions.convert", "conversions.state")
    card = {"cert_no": done["card"]["cert_no"], "name": ""}
    body = quote.json() | {"settlement_no": done["number"]}
    quoted = partner.send(quote.method, quote.path, body | {"credential": body["credential"] | card}, key="quote-number-1").json
    promised = quote.promised()
    assert like(promised, quoted) and set(promised) == set(ConversionOut().fields), quoted
    same = ("state", "medfee_sumamt", "fund_pay_sumamt", "acct_pay", "psn_cash_pay", "hosp_part_amt", "return_amount", "returns")
    assert {name: promised[name] for name in same} == {name: quoted[name] for name in same}
    body = convert.json() | {"conversion_id": quoted["conversion_id"]}
    made = partner.send(convert.method, convert.path, body | {"credential": body["credential"] | card}, key="convert-number-1")
    assert made.status_code == 200 and made.json["state"] == "done" and made.json["receipt_numbers"], made.json
    with world.db.begin(write=False) as session:
        sent = session.scalars(select(InterfaceCall.request_masked).where(InterfaceCall.operation == "2207")).one()
    [message] = [text.partition("\n\n")[2] for text in fences("nhsa") if text.startswith("POST")]
    assert set(json.loads(message.replace("{…}", "{}"))) == set(json.loads(sent)), "the insurer is told what its page shows"


@pytest.mark.requirement("H5")
def test_a_patients_app_goes_as_its_page_shows(world: World, tmp_path: Path, around: Any) -> None:
    make.no_codes_needed(world)
    phone = Mobile(world, tmp_path)
    _, number = phone.bill()
    partner = around("app", "mobile.bills", "mobile.order")
    bills, order = examples("med_mobile_pay")
    card = {"credential": bills.json()["credential"] | {"cert_no": number + "0000"}}
    told = partner.send(bills.method, bills.path, bills.json() | card, key="bills-number-1")
    assert told.status_code == 200 and like(bills.promised(), told.json), told.json
    [bill] = told.json["items"]
    assert bill["medfee_sumamt"] == order.json()["medfee_sumamt"]
    made = partner.send(order.method, order.path, order.json() | card | {"visit_no": bill["visit_no"]}, key="order-number-1")
    assert made.status_code == 200 and like(order.promised(), made.json), made.json
    assert {name: made.json[name] for name in ("state", "message", "medfee_sumamt", "fund_pay_sumamt")} == {
        name: order.promised()[name] for name in ("state", "message", "medfee_sumamt", "fund_pay_sumamt")}
