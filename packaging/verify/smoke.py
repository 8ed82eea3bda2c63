"""Runs inside a verification root, as the account `his`, with the packages' own Python: real work against the installed server.

`smoke.py journey` makes a small hospital in the installed database and works a journey through HTTP: registration, prescription,
settlement, dispensing, and reads it back. `smoke.py administrators` signs the three first administrators in with what setup gave them,
changes their passwords and writes the compliance suite's file of accounts, with a doctor and a cashier of that hospital. `smoke.py load STOP OUT` repeats journeys and reads on several threads, a new connection
per request as the gateway makes them, until the file STOP appears, and writes what it counted to OUT. `--base` names the gateway.
"""

from __future__ import annotations

import argparse
import http.client
import json
import secrets
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, "/srv/repo")

from his_server import settings as settings_module  # noqa: E402
from his_server.app import create_app, open_database  # noqa: E402
from his_server.security import passwords  # noqa: E402
from his_server.security.models import User  # noqa: E402
from tests.factories.hospital import World, make_world  # noqa: E402
from tests.serving import headers_of  # noqa: E402


KNOWN = Path("/srv/out/world.json")
WORKERS = Path("/srv/out/workers.json")


class Answer:
    """What World needs of an answer."""

    def __init__(self, status: int, text: bytes) -> None:
        self.status_code, self.text = status, text

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    def get_data(self, as_text: bool = False) -> Any:
        return self.text.decode() if as_text else self.text


class Caller:
    """A person's browser over real HTTP: a new connection for each request."""

    failures: list[str] = []
    asked = 0
    slowest = 0.0
    lock = threading.Lock()

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        self.base, self.headers = urlsplit(base), {**headers, "Connection": "close"}

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        begun = time.monotonic()
        try:
            if self.base.scheme == "https":
                context = ssl.create_default_context(cafile="/srv/tls/server.pem")
                context.check_hostname = False
                line: http.client.HTTPConnection = http.client.HTTPSConnection(self.base.hostname, self.base.port or 443, timeout=120, context=context)
            else:
                line = http.client.HTTPConnection(self.base.hostname, self.base.port, timeout=120)
            line.request(method, path, None if body is None else json.dumps(body), {**self.headers, **(headers or {})})
            answer = line.getresponse()
            found = Answer(answer.status, answer.read())
            line.close()
        except (OSError, http.client.HTTPException) as error:
            found = Answer(599, repr(error).encode())
        with Caller.lock:
            Caller.asked += 1
            Caller.slowest = max(Caller.slowest, time.monotonic() - begun)
            if found.status_code >= 500:
                Caller.failures.append(f"{method} {path}: {found.status_code} {found.text[:200]!r}")
        return found

    def post(self, path: str, json: Any = None, headers: dict[str, str] | None = None) -> Answer:
        return self.send("POST", path, json, headers)

    def get(self, path: str) -> Answer:
        return self.send("GET", path)


def hospital(base: str) -> World:
    """A small hospital in the installed database, made once; its people, signed in anew, work over HTTP."""
    settings = settings_module.load()
    database = open_database(settings)
    app = create_app(settings, database=database)
    if KNOWN.exists():
        world = World(app, database, json.loads(KNOWN.read_text()))
        world.clients = {name.removeprefix("user_"): app.test_client() for name in world.ids if name.startswith("user_")}
        world.sign_in_again()
    else:
        world = make_world(app, database, stock_packs=200_000, capacity=200_000)
        give_passwords(world)
        KNOWN.write_text(json.dumps(world.ids))
    for who, client in list(world.clients.items()):
        world.clients[who] = Caller(base, headers_of(world, client))  # type: ignore[assignment]
    return world


def give_passwords(world: World) -> None:
    """The factories' people have no password; an installed hospital has no such accounts. The suite's doctor and cashier are kept."""
    kept = {}
    with world.db.begin() as session:
        for name, user_id in world.ids.items():
            if name.startswith("user_"):
                user, word = session.get_one(User, user_id), "Gai#7" + secrets.token_hex(8) + "Qz"
                user.password = passwords.make(world.db.sealer, user.id, word, settings_module.load().password_rounds)
                kept[name.removeprefix("user_")] = (user.login, word)
    WORKERS.touch(mode=0o600)
    WORKERS.write_text(json.dumps({who: kept[who] for who in ("doctor", "cashier")}))


def journey(world: World, name: str) -> None:
    """Registration, prescription, settlement, dispensing. :raises AssertionError: a step was refused."""
    person = world.person(name)
    prescription = world.prescribe(world.encounter(world.register(person)))
    paid = world.ok(world.pay_all(person))
    shown = f"/api/outpatient-pharmacy/prescriptions/{prescription['id']}"
    before = world.ok(world.get("pharmacist", shown))
    world.ok(world.post("pharmacist", f"{shown}/dispense", {}))
    assert world.ok(world.get("pharmacist", shown)) != before, "dispensing changed nothing"
    assert world.settlement(paid["id"] if "id" in paid else paid["settlement_id"])


def load(world: World, stop: Path, threads: int) -> None:
    """Journeys and reads until the stop file appears."""
    refused: list[str] = []

    def work(n: int) -> None:
        count = 0
        while not stop.exists():
            count += 1
            try:
                journey(world, f"负载{n}号{count}")
            except AssertionError as error:
                refused.append(str(error)[:300])
            for path in ("/", "/api/session", "/readyz"):
                world.clients["cashier"].get(path)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    Caller.failures += refused


def administrators(base: str) -> None:
    """First sign-in of each administrator: one-time code and a new password."""
    import base64

    from his_server.compliance.client import Account, Http, Visitor

    lines = []
    given = Path("/var/lib/his-server/first-accounts").read_text(encoding="utf-8").splitlines()
    for role, (login, password, seed) in zip(("sysadmin", "secadmin", "auditadmin"), (line.split("\t") for line in given), strict=True):
        account = Account(login, password, base64.b32decode(seed + "=" * (-len(seed) % 8)))
        Visitor(Http(base)).sign_in(account, "Gai#7" + secrets.token_hex(8) + "Qz")
        assert account.password != password, f"{login} wasn't asked to change the first password"
        lines.append(f'[{role}]\nlogin = "{login}"\npassword = "{account.password}"\ntotp = "{seed}"\n')
    for who, (login, password) in (json.loads(WORKERS.read_text()) if WORKERS.exists() else {}).items():
        lines.append(f'[{who}]\nlogin = "{login}"\npassword = "{password}"\n')
    target = Path("/srv/out/administrators.toml")
    target.touch(mode=0o600)
    target.write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["journey", "load", "administrators"])
    parser.add_argument("stop", nargs="?", type=Path)
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("--base", default="http://127.0.0.1:8000")
    parser.add_argument("--threads", type=int, default=3)
    asked = parser.parse_args()
    if asked.what == "administrators":
        administrators(asked.base)
        return
    world = hospital(asked.base)
    journey(world, "龘𠮷")
    if asked.what == "load":
        asked.out.with_suffix(".ready").write_text("ready")
        load(world, asked.stop, asked.threads)
        asked.out.write_text(json.dumps({"asked": Caller.asked, "failed": len(Caller.failures), "slowest": round(Caller.slowest, 2),
                                         "failures": Caller.failures[:10]}, ensure_ascii=False))
    assert not Caller.failures, Caller.failures[:5]
    print(json.dumps({"asked": Caller.asked, "failed": len(Caller.failures)}))


main()
