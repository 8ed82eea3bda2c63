"""Cards at the window: from the reader agent to the person, and never a second file (M1.3, M1.12)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from his_server.web.reader_simulator import SAMPLE, Reader, serve
from tests.factories.people import Window

INSURANCE = {"kind": "insurance", "card_no": "JS0012345678", "id_no": SAMPLE["id_no"], "name": SAMPLE["name"], "sex": "女"}


@pytest.fixture
def reader() -> Iterator[tuple[Reader, int]]:
    """A simulated reader agent and its port."""
    reader = Reader(dict(SAMPLE))
    server = serve(reader, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield reader, server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def _read(port: int) -> tuple[int, dict[str, Any]]:
    """What the page gets from the agent, without the photo."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/v1/card/read")
    answer = connection.getresponse()
    card = json.loads(answer.read())
    connection.close()
    return answer.status, {key: value for key, value in card.items() if key != "photo"}


@pytest.mark.requirement("M1.3")
def test_a_card_on_the_reader_leads_to_the_person(window: Window, reader: tuple[Reader, int]) -> None:
    status, card = _read(reader[1])
    assert status == 200
    first = window.ok(window.post("patients/recognise", card))
    assert first["items"] == []
    form = first["form"]
    assert form == {"name": "曾𠮷祥", "id_type": "01", "id_no": "11010519491231002X", "sex": "2", "birth_date": "1949-12-31",
                    "household_detail": SAMPLE["address"]}
    person = window.create(**form)
    again = window.ok(window.post("patients/recognise", _read(reader[1])[1]))
    assert ([row["id"] for row in again["items"]], again["linked"], again["form"]) == ([person["id"]], True, {})
    assert SAMPLE["id_no"] not in json.dumps(again)
    assert window.show(person["id"])["home_address"] is None
    reader[0].fault = "unreadable"
    assert _read(reader[1]) == (422, {"code": "unreadable", "message": "这张卡读不出来，请擦拭后重放，或直接输入证件号码"})


@pytest.mark.requirement("M1.12", "HS-08")
def test_an_insurance_card_finds_the_own_expense_file_and_is_linked(window: Window) -> None:
    person = window.create(name=SAMPLE["name"], id_type="01", id_no=SAMPLE["id_no"], hospital_card="C001")
    found = window.ok(window.post("patients/recognise", INSURANCE))
    assert ([row["id"] for row in found["items"]], found["linked"]) == ([person["id"]], False)
    window.ok(window.post(f"patients/{person['id']}/identifiers", {"kind": "insurance_no", "number": INSURANCE["card_no"]}))
    found = window.ok(window.post("patients/recognise", {"kind": "insurance", "card_no": "js0012345678"}))
    assert ([row["id"] for row in found["items"]], found["linked"]) == ([person["id"]], True)
    assert window.show(person["id"])["masked_insurance_no"] == "JS********78"
    assert window.find(INSURANCE["card_no"]) == [person["id"]]
    refused = window.post("patients", {"name": "又一份", "id_type": "01", "id_no": SAMPLE["id_no"],
                                       "insurance_no": INSURANCE["card_no"]})
    assert refused.status_code == 409


@pytest.mark.requirement("M1.12")
def test_a_new_person_is_filed_with_the_card_that_was_read(window: Window) -> None:
    form = window.ok(window.post("patients/recognise", INSURANCE))["form"]
    assert (form["insurance_no"], form["sex"], form["id_no"]) == ("JS0012345678", "2", SAMPLE["id_no"])
    person = window.create(**form)
    for kind, number in (("social_card", "SH0001"), ("hospital_card", "C777")):
        card = {"kind": kind, "card_no": number, "name": "周全", "sex": "男"}
        form = window.ok(window.post("patients/recognise", card))["form"]
        assert form == {kind: number, "name": "周全", "sex": "1"}
        made = window.create(**form, confirmed=True)
        assert window.find(number) == [made["id"]]
    assert window.find(INSURANCE["card_no"]) == [person["id"]]


@pytest.mark.requirement("M1.3", "HS-03")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("number", "id_type"), [("810000199001011230", "17"), ("919840199001011237", "07")])
def test_cards_of_other_residents_are_recognised(window: Window, number: str, id_type: str) -> None:
    card = {"kind": "id_card", "id_no": number, "name": "陈大文", "sex": "男"}
    form = window.ok(window.post("patients/recognise", card))["form"]
    assert (form["id_type"], form["id_no"]) == (id_type, number)
    person = window.create(**form)
    assert [row["id"] for row in window.ok(window.post("patients/recognise", card))["items"]] == [person["id"]]


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("card", [{"kind": "id_card"}, {"kind": "id_card", "id_no": "110105194912310021"},
                                  {"kind": "library", "card_no": "1"}, {"kind": "insurance", "card_no": "  "}])
def test_a_card_that_says_nothing_makes_nothing(window: Window, card: dict[str, str]) -> None:
    assert window.post("patients/recognise", card).status_code == 422


@pytest.mark.requirement("M1.12", "M3.2")
def test_a_card_of_a_merged_file_leads_to_the_survivor(window: Window) -> None:
    kept, other = window.create(name="甲"), window.create(name="甲甲", insurance_no="JS0012345678")
    window.ok(window.post("patients/merge", {"survivor_id": kept["id"], "merged_id": other["id"], "reason": "同一人"}))
    found = window.ok(window.post("patients/recognise", {"kind": "insurance", "card_no": "JS0012345678"}))
    assert ([row["id"] for row in found["items"]], found["linked"]) == ([kept["id"]], True)
