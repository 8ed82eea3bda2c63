"""Lines to peers: what is known when no answer came, shown with real sockets (DESIGN sections 5, 7)."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from his_server.messaging.outbox import LostAnswer, NotSent
from his_server.settings import Settings, SettingsError
from interfaces.hub import transport
from interfaces.hub.limits import FAILURES
from interfaces.hub.transport import Line, line
from tests.factories.certificates import authority, server_certificate

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Peer:
    """A raw peer: ``behave(connection, number)`` handles each accepted connection; ``heard`` is what arrived."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    connections: int = 0


@contextmanager
def peer(behave: Callable[[Peer, socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[Peer]:
    listener = socket.create_server(("127.0.0.1", 0))
    found = Peer(listener.getsockname()[1])
    done = threading.Event()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if done.is_set():
                connection.close()
                return
            found.connections += 1
            threading.Thread(target=run, args=(connection,), daemon=True).start()

    def run(connection: socket.socket) -> None:
        connection.settimeout(10)
        try:
            wire = context.wrap_socket(connection, server_side=True) if context else connection
        except OSError:
            connection.close()
            return
        with wire:
            behave(found, wire)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        with socket.create_connection(("127.0.0.1", found.port)):
            pass
        thread.join()
        listener.close()


def hear(found: Peer, wire: socket.socket) -> bytes:
    """One whole request, or nothing when the caller hung up."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = wire.recv(65536)
        if not piece:
            return b""
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    length = next((int(one.split(b":")[1]) for one in head.split(b"\r\n") if one.lower().startswith(b"content-length")), 0)
    while len(body) < length:
        body += wire.recv(65536)
    found.heard.append(head + b"\r\n\r\n" + body)
    return found.heard[-1]


def answering(*answers: bytes) -> Callable[[Peer, socket.socket], None]:
    """A peer that says these answers in turn on each connection, then hangs up."""

    def behave(found: Peer, wire: socket.socket) -> None:
        for answer in answers:
            if not hear(found, wire):
                return
            wire.sendall(answer)

    return behave


def to(port: int, scheme: str = "http", host: str = "127.0.0.1", **more: Any) -> Line:
    settings = Settings(extra={"scan_payment": {"url": f"{scheme}://{host}:{port}/base", **more}})
    found = line(settings, "scan_payment")
    assert found is not None
    return found


def test_an_exchange_sends_what_it_is_given_and_hears_the_answer() -> None:
    with peer(answering(b'HTTP/1.1 201 Created\r\nX-Peer: yes\r\nContent-Length: 12\r\n\r\n{"a": "\xe5\xbc\xa0"}')) as there:
        answer = to(there.port).exchange("POST", "/pay?x=1", "张三".encode(), {"X-Our": "1"})
    assert (answer.status, answer.headers["x-peer"], answer.json()) == (201, "yes", {"a": "张"})
    assert there.heard[0].startswith(b"POST /base/pay?x=1 HTTP/1.1\r\n") and there.heard[0].endswith("张三".encode())
    assert b"X-Our: 1\r\n" in there.heard[0]


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NotSent, match="没有连接上"):
        to(port).exchange("POST", "/pay", b"1")


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_given: Any, **_more: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NotSent, match="not known"):
        to(443, "https", "peer.invalid").exchange("POST", "/pay", b"1")


def test_a_peer_that_never_accepts_is_not_sent_to() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:  # fill the queue of connections, so that the next one is never answered
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        with pytest.raises(NotSent, match="timed out"):
            to(port).exchange("POST", "/pay", b"1", timeout=1)
        for one in waiting:
            one.close()


@pytest.mark.parametrize("silence", ["quiet", "half a head", "trickle"])
def test_an_answer_that_doesnt_come_in_time_is_lost(silence: str) -> None:
    over = threading.Event()

    def behave(found: Peer, wire: socket.socket) -> None:
        hear(found, wire)
        if silence == "half a head":
            wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
        if silence == "trickle":
            wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not over.wait(0.05):
                try:
                    wire.sendall(b"x")
                except OSError:
                    return
        over.wait(10)

    with peer(behave) as there:
        with pytest.raises(LostAnswer, match="timed out"):
            to(there.port).exchange("POST", "/pay", b"1", timeout=1)
        over.set()
    assert len(there.heard) == 1


@pytest.mark.parametrize(("answer", "said"), [
    (b"", "RemoteDisconnected"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "还缺 6 字节"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "IncompleteRead"),
    (b"\x16\x03\x01 what?\r\n\r\n", "BadStatusLine"),
])
def test_a_cut_or_senseless_answer_is_lost(answer: bytes, said: str) -> None:
    with peer(answering(answer)) as there, pytest.raises(LostAnswer, match=said):
        to(there.port).exchange("POST", "/pay", b"1")
    assert len(there.heard) == 1


def test_a_reset_after_sending_is_lost() -> None:
    def behave(found: Peer, wire: socket.socket) -> None:
        hear(found, wire)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with peer(behave) as there, pytest.raises(LostAnswer, match="ConnectionResetError"):
        to(there.port).exchange("POST", "/pay", b"1")


def test_an_answer_that_is_no_json_says_nothing() -> None:
    with peer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")) as there:
        answer = to(there.port).exchange("GET", "/")
    with pytest.raises(LostAnswer, match="JSON"):
        answer.json()


@pytest.mark.parametrize(("answer", "body"), [
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", b""),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
    (b"HTTP/1.0 200 OK\r\n\r\nok", b"ok"),
])
def test_each_form_of_a_whole_answer_is_understood(answer: bytes, body: bytes) -> None:
    with peer(answering(answer)) as there:
        assert to(there.port).exchange("POST", "/pay", b"1").body == body


def test_a_connection_is_used_again() -> None:
    with peer(answering(*[OK] * 3)) as there:
        there_line = to(there.port)
        for _ in range(3):
            assert there_line.exchange("POST", "/pay", b"1").body == b"ok"
    assert (len(there.heard), there.connections) == (3, 1)


def test_an_idle_connection_that_the_peer_closed_costs_nothing() -> None:
    """Closed while idle: found out before sending, a new one is opened, and no request is sent twice."""
    with peer(answering(OK)) as there:
        there_line = to(there.port)
        for count in range(3):
            assert there_line.exchange("POST", "/pay", str(count).encode()).body == b"ok"
            [(idle, _)] = there_line._carry._idle  # type: ignore[attr-defined]
            wait_for_end(idle.sock)
    assert [one[-1:] for one in there.heard] == [b"0", b"1", b"2"]


def wait_for_end(wire: socket.socket) -> None:
    wire.settimeout(5)
    assert wire.recv(1, socket.MSG_PEEK) == b""


def test_a_connection_that_dies_with_the_request_in_its_hands_is_a_lost_answer_and_no_second_request() -> None:
    """The same connection, answered once; then it hears the next request and hangs up."""

    def behave(found: Peer, wire: socket.socket) -> None:
        hear(found, wire)
        wire.sendall(OK)
        hear(found, wire)

    with peer(behave) as there:
        there_line = to(there.port)
        there_line.exchange("POST", "/pay", b"1")
        with pytest.raises(LostAnswer):
            there_line.exchange("POST", "/pay", b"2")
    assert len(there.heard) == 2


def test_a_connection_idle_for_too_long_isnt_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "KEEP_SECONDS", 0)
    with peer(answering(OK, OK)) as there:
        there_line = to(there.port)
        for _ in range(2):
            there_line.exchange("POST", "/pay", b"1")
    assert there.connections == 2


# TLS

@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    ours = authority(folder / "ca.pem")
    server_certificate(ours, "127.0.0.1", folder / "peer.pem")
    server_certificate(ours, "10.9.9.9", folder / "other.pem")
    return folder


def speaking(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_tls_is_verified_against_the_authority_of_the_settings(certificates: Path) -> None:
    with peer(answering(OK, OK), speaking(certificates / "peer.pem")) as there:
        secure = to(there.port, "https", ca_file=str(certificates / "ca.pem"))
        assert secure.exchange("POST", "/pay", b"1").body == b"ok"
        assert secure.exchange("POST", "/pay", b"2").body == b"ok", "session tickets don't make it look dead"
        assert there.connections == 1
        with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
            to(there.port, "https").exchange("POST", "/pay", b"3")
    assert [one[-1:] for one in there.heard] == [b"1", b"2"]


def test_tls_of_somebody_else_is_not_sent_to(certificates: Path) -> None:
    with peer(answering(OK), speaking(certificates / "other.pem")) as there:
        secure = to(there.port, "https", ca_file=str(certificates / "ca.pem"))
        with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
            secure.exchange("POST", "/pay", b"1")
    assert there.heard == []


def test_a_peer_that_speaks_no_tls_is_not_sent_to() -> None:
    with peer(answering(OK)) as there, pytest.raises(NotSent, match="没有连接上"):
        to(there.port, "https").exchange("POST", "/pay", b"1", timeout=2)


# Settings

@pytest.mark.parametrize("given", [
    {"url": "http://10.1.2.3:80/"}, {"url": "ftp://10.1.2.3/"}, {"url": "peer"},
    {"url": "https://peer/", "ca_file": "/nowhere/ca.pem"},
])
def test_an_address_that_is_no_good_is_refused_at_the_start(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        line(Settings(extra={"scan_payment": given}), "scan_payment")


def test_without_an_address_there_is_no_line_and_plain_http_is_a_decision() -> None:
    assert line(Settings(), "scan_payment") is None
    assert line(Settings(extra={"scan_payment": {"url": "http://10.1.2.3/", "plain_http": True}}), "scan_payment")


def test_where_simulators_are_served_the_line_leads_to_the_interfaces_own() -> None:
    with peer(answering(OK)) as there:
        found = line(Settings(simulate_payments=True, simulators=f"http://127.0.0.1:{there.port}/"), "scan_payment")
        assert found is not None and found.exchange("POST", "/pay", b"1").body == b"ok"
    assert there.heard[0].startswith(b"POST /scan_payment/pay HTTP/1.1\r\n")
    assert line(Settings(simulators=f"http://127.0.0.1:{there.port}/"), "scan_payment") is None, "only where it is asked for"


def test_a_silent_peer_rests_the_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    there = to(port)
    for _ in range(FAILURES):
        with pytest.raises(NotSent, match="没有连接上"):
            there.exchange("POST", "/pay", b"1")
    with pytest.raises(NotSent, match="暂停调用"):
        there.exchange("POST", "/pay", b"1")


def test_json_survives_a_byte_order_mark() -> None:
    body = b"\xef\xbb\xbf" + json.dumps({"a": 1}).encode()
    with peer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)) as there:
        assert to(there.port).exchange("GET", "/").json() == {"a": 1}
