"""The reader agent's contract (docs/interfaces/reader-agent.md), as its simulator keeps it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from his_server.web.reader_simulator import FAULTS, SAMPLE, Reader, serve

Ask = Callable[..., tuple[int, dict[str, str], Any]]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Asks a running simulator: (method, path, body, headers) → status, headers, JSON."""
    server = serve(Reader(None, ("https://his.example",)), 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def call(
        method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=5)
        try:
            connection.request(method, path, None if method == "GET" else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
            return (
                answer.status,
                dict(answer.getheaders()),
                json.loads(content) if content else None,
            )
        finally:
            connection.close()

    yield call
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.requirement("M1.3")
def test_reads_the_card_that_lies_on_it(ask: Ask) -> None:
    assert ask("GET", "/v1/card/read")[0] == 404
    assert ask("POST", "/v1/simulator/card", SAMPLE)[0] == 204
    status, headers, card = ask("GET", "/v1/card/read")
    assert (status, card) == (200, SAMPLE)
    assert headers["Cache-Control"] == "no-store"
    assert card["name"] == "曾𠮷祥"
    ask("POST", "/v1/simulator/card", None)
    assert ask("GET", "/v1/card/read")[2]["code"] == "no_card"


@pytest.mark.parametrize("code", sorted(FAULTS))
def test_faults_say_what_to_do(ask: Ask, code: str) -> None:
    ask("POST", "/v1/simulator/card", SAMPLE)
    ask("POST", "/v1/simulator/fault", {"code": code})
    status, _, body = ask("GET", "/v1/card/read")
    assert (status, body["code"]) == (FAULTS[code][0], code)
    assert len(body["message"]) > 6
    ask("POST", "/v1/simulator/fault", {"code": ""})
    assert ask("GET", "/v1/card/read")[0] == 200


def test_only_the_hospital_s_pages_may_read(ask: Ask) -> None:
    ask("POST", "/v1/simulator/card", SAMPLE)
    ours = ask("GET", "/v1/card/read", Origin="https://his.example")[1]
    theirs = ask("GET", "/v1/card/read", Origin="https://elsewhere.example")[1]
    assert ours["Access-Control-Allow-Origin"] == "https://his.example"
    assert "Access-Control-Allow-Origin" not in theirs
    status, asked, _ = ask("OPTIONS", "/v1/card/read", Origin="https://his.example")
    assert (status, asked["Access-Control-Allow-Private-Network"]) == (204, "true")


def test_unknown_addresses_and_bad_json_are_refused(ask: Ask) -> None:
    assert ask("GET", "/v1/other")[0] == 404
    assert ask("POST", "/v1/simulator/fault", {"code": "invented"})[0] == 404
