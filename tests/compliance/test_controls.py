"""Each check of the compliance suite holds on the sound product and fails on a broken one: its negative control.

One line a control: what is broken, and how. The product's own code is broken from within (a guard that always says yes,
an audit row that isn't written), its database tampered with, or what the suite is given replaced.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from crypto import get_provider
from his_server import startup
from his_server.compliance.checks import crypto_algorithms, program
from his_server.compliance.client import Answer
from his_server.compliance.frame import BAD, GOOD, PARTLY, Result
from his_server.compliance.target import Done
from his_server.security import (
    accounts,
    archive,
    audit,
    certificates,
    integrity,
    passwords,
    proof,
    rules,
    seals,
    signin,
    syslog,
)
from his_server.security import settings as security_settings
from modules.discipline import service as statistics
from modules.kernel.patients import rules as patient_rules
from modules.kernel.patients.service import access
from tests.compliance.conftest import House

Patch = pytest.MonkeyPatch
Break = Callable[[House, Patch], dict[str, Any] | None]
"""Breaks the house; returns what of the target is to be replaced."""
SOUND = {GOOD, PARTLY}


def always(value: Any) -> Callable[..., Any]:
    """A function that always says the same."""
    return lambda *given, **more: value


def put(place: Any, name: str, value: Any) -> Break:
    """Replace a part of the product."""
    return lambda house, patch: patch.setattr(place, name, value)


def unaudited(*events: str) -> Break:
    """These events leave no row."""

    def act(house: House, patch: Patch) -> None:
        real = audit.record
        for name in ("record", "record_apart"):
            real = getattr(audit, name)
            patch.setattr(
                audit,
                name,
                lambda who, actor, event, *given, real=real, **more: (
                    0 if event in events else real(who, actor, event, *given, **more)
                ),
            )

    return act


def answers(change: Callable[[str, str, Answer], Answer]) -> Break:
    """A gateway in front of the product that changes its answers."""

    def act(house: House, patch: Patch) -> dict[str, Any]:
        send = house.target.send
        return {"send": lambda method, path, headers, body: change(method, path, send(method, path, headers, body))}

    return act


def without(header: str) -> Break:
    """A gateway that takes a header away."""
    return answers(lambda method, path, answer: replace(answer, headers=tuple(h for h in answer.headers if h[0] != header)))


def commanded(code: int, out: str = "") -> Break:
    """A command that always ends like this."""
    return lambda house, patch: {"command": always(Done(code, out))}


def lying(**methods: Callable[..., Any]) -> Break:
    """A cryptographic provider that gives wrong answers."""

    class Liar:
        def __getattr__(self, name: str) -> Any:
            return methods.get(name) or getattr(get_provider("openssl"), name)

    return put(crypto_algorithms, "product", Liar)


def settings(**values: Any) -> Break:
    """The running product with other settings."""

    def act(house: House, patch: Patch) -> None:
        security = house.app.extensions["his_security"]
        patch.setattr(security, "settings", replace(security.settings, **values))

    return act


def planted(table: str, column: str, value: str, **where: Any) -> Break:
    """Another value by SQL in the newest row; ``{id_no}`` and the like stand for the target's markers."""

    def act(house: House, patch: Patch) -> None:
        assert house.target.patient
        row = house.target.db.rows(table, 1, newest=True, **where)[0]
        house.undo.enter_context(
            house.target.db.altered(table, {"id": row["id"]}, **{column: value.format(**house.target.markers)})
        )

    return act


def file_in(place: str, content: str | bytes | Callable[[House], bytes]) -> Break:
    """A file where it mustn't be, or another content of one; taken away again."""

    def act(house: House, patch: Patch) -> None:
        path = house.folder / place
        before = path.read_bytes() if path.exists() else None
        house.undo.callback(path.unlink if before is None else lambda: path.write_bytes(before) and None)
        data = content(house) if callable(content) else content
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    return act


def few_roles(house: House, patch: Patch) -> None:
    """Two roles are enough for a control: the whole matrix takes long."""
    house.target.__dict__["roles"] = {k: v for k, v in house.target.roles.items() if k in ("cashier", "nurse")}


def both(*acts: Break) -> Break:
    """One after the other."""

    def act(house: House, patch: Patch) -> dict[str, Any]:
        return {k: v for one in acts for k, v in (one(house, patch) or {}).items()}

    return act


def plain_index(house: House, patch: Patch) -> None:
    """The index in the table is the plain SM3 of the number."""
    person, digest = house.target.patient, crypto_algorithms.sm3(house.target.markers["id_no"].encode()).hex()
    house.undo.enter_context(
        house.target.db.altered(
            "person_identifier", {"person_id": person, "kind": "id_no"}, number_index="a1b2c3d4" + digest[:56]
        )
    )


def own_consent(decide: Callable[..., Any]) -> Callable[..., Any]:
    """Whoever asks may consent."""
    return lambda session, actor, grant_id, approve: decide(session, replace(actor, user_id=-1), grant_id, approve=approve)


def known(house: House, patch: Patch) -> None:
    """The marked patient is there before anything is planted."""
    assert house.target.patient


def default_account(house: House, patch: Patch) -> None:
    patch.setattr(rules, "password_problems", always([]))
    boss = house.target.admin("sysadmin")
    body = {"login": "guest", "name": "合规测试", **boss.sealed(password="guest")}
    made = boss.post("/api/security/users", body)
    assert made.status == 201
    house.undo.callback(
        boss.put,
        f"/api/security/users/{made.json['id']}",
        {"name": "合规测试", "department_id": None, "valid_until": None, "active": False},
    )


CONTROLS: list[tuple[str, str, Break]] = [
    ("MP-01", "a digest of zeros", lying(sm3=always(bytes(32)))),
    ("MP-01", "a self-test that fails", commanded(1, "wrong")),
    (
        "MP-02",
        "s before r",
        lying(
            sm2_sign=lambda private, data, *uid: (
                (signature := get_provider("openssl").sm2_sign(private, data, *uid))[32:] + signature[:32]
            )
        ),
    ),
    ("MP-02", "an empty id passes for the default one", lying(sm2_verify=always(True))),
    ("MP-05", "any signature proves", put(certificates, "proves", always(True))),
    (
        "MP-07",
        "protected facts aren't compared",
        both(put(integrity.Head, "check", always(None)), put(integrity, "row_holds", always(True))),
    ),
    ("MP-08", "altered decisions count", put(integrity, "holds", always(True))),
    ("MP-11", "a nonce works twice", put(signin, "spend", always(True))),
    ("MP-12", "a phone number in a name", planted("department", "name", "{phone}")),
    ("MP-13", "a plain digest for an index", plain_index),
    ("MP-14", "verification finds nothing", put(seals, "verify_all", always([]))),
    ("MP-15", "any signature verifies", put(proof, "verify", always(proof.Verdict()))),
    ("MP-17", "software stands in for a lost device", commanded(0, "ok")),
    ("MP-18", "bytes of an even number of ones", lying(random=lambda size: bytes((0x0F, 0x33, 0x55, 0x00)) * (size // 4))),
    ("DB-01", "names aren't folded", put(rules, "fold_login", lambda login: login)),
    ("DB-02", "every password will do", put(rules, "password_problems", always([]))),
    (
        "DB-03",
        "passwords don't expire",
        lambda house, patch: patch.setattr(house.app.extensions["his_security"], "password_expired", always(False)),
    ),
    ("DB-04", "guesses aren't counted", put(accounts, "take_attempt", always(True))),
    ("DB-05", "nobody is idle", settings(session_idle=10**9)),
    ("DB-06", "sessions survive", put(accounts, "end_sessions", always(0))),
    ("DB-08", "every code is right", put(accounts, "take_code", always(True))),
    (
        "DB-09",
        "permissions aren't asked for",
        both(few_roles, lambda house, patch: patch.setattr("his_server.actor.Actor.can", always(True))),
    ),
    ("DB-10", "denials aren't audited", unaudited("permission.denied")),
    ("DB-11", "a default account", default_account),
    ("DB-12", "accounts don't end", put(signin, "_usable", always(True))),
    ("DB-13", "one person may be two administrators", put(rules, "role_problem", always(None))),
    ("DB-15", "sign-out isn't audited", unaudited("session.sign_out")),
    ("DB-15", "refusals aren't audited", unaudited("request.refused")),
    ("DB-16", "a whole number in the trail", planted("security_audit", "detail", '{{"number": "{id_no}"}}')),
    ("DB-17", "verification finds nothing", put(seals, "verify", always([]))),
    (
        "DB-18",
        "thirty days are enough",
        both(put(archive, "check_days", always(None)), put(security_settings, "check_days", always(None))),
    ),
    ("DB-19", "business goes on without audit", unaudited("patient.view", "patient.edit", "patient.refused")),
    ("DB-27", "answers may be cached", without("cache-control")),
    ("DB-31", "lines of no form", lambda house, patch: patch.setattr(syslog, "lines", lambda session, after: [(1, "<13>hello")])),
    ("PR-01", "numbers aren't masked", put(patient_rules, "mask_number", lambda number: number)),
    ("PR-02", "nobody is refused", put(access, "_refusal", always(None))),
    ("PR-03", "looking isn't audited", unaudited("patient.view")),
    ("PR-04", "nobody is refused", put(access, "_refusal", always(None))),
    ("PR-05", "trainees stay for ever", put(rules, "end_date_problem", always(None))),
    ("PR-06", "nobody is refused", put(access, "_refusal", always(None))),
    (
        "PR-09",
        "one's own consent is enough",
        lambda house, patch: patch.setattr(statistics, "decide", own_consent(statistics.decide)),
    ),
    (
        "PR-10",
        "former values aren't shown",
        answers(
            lambda method, path, answer: (
                replace(answer, body=answer.body.replace("旧单位".encode(), b"")) if path.endswith("/timeline") else answer
            )
        ),
    ),
    (
        "MR-03",
        "old screens overwrite",
        answers(lambda method, path, answer: replace(answer, status=200) if method == "PUT" and answer.status == 409 else answer),
    ),
    (
        "HS-08",
        "one number, two files",
        answers(
            lambda method, path, answer: (
                replace(answer, status=201, body=b'{"id": 1}')
                if (method, path) == ("POST", "/api/patients") and answer.status >= 400
                else answer
            )
        ),
    ),
    ("RU-09", "no trace id comes back", without("x-request-id")),
    (
        "MP-03",
        "one nonce for all",
        lambda house, patch: patch.setattr(
            house.db.sealer.provider, "random", lambda size: bytes(size) if size == 12 else os.urandom(size)
        ),
    ),
    ("MP-04", "a foreign digest in a source", file_in("app/his_server/bad.py", "import hashlib\nx = hashlib.md5(b'')\n")),
    ("MP-04", "a foreign digest in a column", planted("department", "name", "d41d8cd98f00b204e9800998ecf8427e")),
    ("MP-06", "a quick verifier", planted("security_user", "password", "pbkdf2-sm3$100$" + "ab" * 16 + "$" + "cd" * 32)),
    (
        "MP-06",
        "a password in clear",
        lambda house, patch: patch.setattr(
            passwords, "make", lambda sealer, user, password, rounds: f"plain${rounds}${password}$x"
        ),
    ),
    (
        "MP-12",
        "an address in a log",
        both(known, file_in("data/his.log", lambda house: house.target.markers["home_detail"].encode())),
    ),
    (
        "MP-16",
        "the master key in a second file",
        file_in("data/copy.txt", lambda house: (house.folder / "data" / "keys" / "master.key").read_bytes()),
    ),
    ("MP-16", "a private key in clear", file_in("data/key.pem", "-----BEGIN PRIVATE KEY-----\nx\n")),
    ("MP-19", "altered files aren't told", put(startup, "compare", always([]))),
    ("MP-19", "a file too many", file_in("app/crypto/extra.py", "x = 1\n")),
    ("PR-07", "anybody exports", lambda house, patch: patch.setattr("his_server.actor.Actor.can", always(True))),
    (
        "RU-01",
        "another version in the document",
        lambda house, patch: house.target.__dict__.update(openapi={**house.target.openapi, "info": {"version": "9.9"}}),
    ),
    ("XC-13", "a part that isn't listed", file_in("app/sbom.json", '{"components": [{"name": "Flask", "version": "1"}]}')),
    ("XC-14", "a component under another licence", put(program, "_licence", always("GPL-3.0-only"))),
]


@contextlib.contextmanager
def unharmed(house: House) -> Iterator[None]:
    """Afterwards what was planted is gone and the target knows what it knew. (The database itself isn't put back: the
    product would notice.)"""
    known = dict(house.target.__dict__)
    known.update({name: value.copy() for name, value in known.items() if isinstance(value, dict | list | set)})
    with house.undo:
        yield
    known |= {name: house.target.__dict__[name] for name in ("_given", "made", "secrets")}
    house.target.__dict__.clear()
    house.target.__dict__.update(known)


def bad(result: Result) -> list[str]:
    """What a check saw that isn't as it must be."""
    return [f"{seen.asked}：{seen.saw}" for seen in result.evidence.seen if seen.ok is False and seen.vital]


@dataclass
class Sound:
    """Verdicts on the unbroken house, each asked for once."""

    known: dict[str, Result]

    def of(self, house: House, id: str) -> Result:
        if id not in self.known:
            patch = Patch()
            try:
                if id == "DB-09":
                    few_roles(house, patch)
                self.known[id] = house.run(id)
            finally:
                patch.undo()
                house.target.__dict__.pop("roles", None)
        return self.known[id]


@pytest.mark.parametrize(("id", "what", "act"), CONTROLS, ids=[f"{id}-{what}".replace(" ", "-") for id, what, _ in CONTROLS])
def test_a_check_holds_on_the_sound_product_and_fails_on_a_broken_one(
    house: House, baseline: dict[str, Result], monkeypatch: Patch, id: str, what: str, act: Break
) -> None:
    sound = Sound(baseline).of(house, id)
    assert sound.verdict in SOUND and bad(sound) == [], (sound.verdict, sound.reason, bad(sound))
    with unharmed(house):
        changes = act(house, monkeypatch) or {}
        broken = house.run(id, **changes)
        monkeypatch.undo()
    assert broken.verdict == BAD and bad(broken), f"{what}: {broken.verdict} {broken.reason}"
