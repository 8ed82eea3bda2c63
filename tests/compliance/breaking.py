"""Ways to break the house: its code from within, its tables, its files, what a gateway in front of it answers."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import String

from crypto import get_provider
from his_server.compliance.checks import crypto_algorithms, recovery
from his_server.compliance.client import Answer
from his_server.compliance.tables import Tables
from his_server.compliance.target import Done
from his_server.security import audit, rules
from modules.kernel.patients import service
from tests.compliance.conftest import House

Patch = pytest.MonkeyPatch
Break = Callable[[House, Patch], dict[str, Any] | None]
"""Breaks the house; returns what of the target is to be replaced."""


def always(value: Any) -> Callable[..., Any]:
    """A function that always says the same."""
    return lambda *given, **more: value


def put(place: Any, name: str, value: Any) -> Break:
    """Replace a part of the product."""
    return lambda house, patch: patch.setattr(place, name, value)


def growing(step: int) -> Callable[..., Any]:
    """A measurement that grows by so much each time."""
    values = itertools.count(step, step)
    return lambda *given: next(values)


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


def retold(path: str, **values: Any) -> Break:
    """Answers to GETs below a path say something else in these fields, where they have them."""

    def change(method: str, asked: str, answer: Answer) -> Answer:
        found = answer.json
        if method != "GET" or path not in asked or not isinstance(found, dict) or not values.keys() <= found.keys():
            return answer
        return replace(answer, body=json.dumps({**found, **values}).encode())

    return answers(change)


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


def few_samples(house: House, patch: Patch) -> None:
    """Three samples are enough for a control: a bad source fails them all."""
    patch.setattr(crypto_algorithms, "SAMPLES", 3)


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


def accepted(ending: str) -> Break:
    """What was refused as a conflict is answered as if it were done."""
    return answers(
        lambda method, path, answer: (
            replace(answer, status=200) if method == "POST" and path.endswith(ending) and answer.status in (409, 422) else answer
        )
    )


def own_consent(decide: Callable[..., Any]) -> Callable[..., Any]:
    """Whoever asks may consent."""
    return lambda session, actor, grant_id, approve: decide(session, replace(actor, user_id=-1), grant_id, approve=approve)


def known(house: House, patch: Patch) -> None:
    """The marked patient is there before anything is planted."""
    assert house.target.patient


def raised(table: str, column: str, by: int = 1, **where: Any) -> Break:
    """A number of the newest row made greater by the smallest unit."""

    def act(house: House, patch: Patch) -> None:
        row = house.target.db.rows(table, 1, newest=True, **where)[0]
        house.undo.enter_context(house.target.db.altered(table, {"id": row["id"]}, **{column: row[column] + by}))

    return act


def few_paths(house: House, patch: Patch) -> None:
    """The patients' routes are enough for a control of the fuzz."""
    paths = {
        path: about for path, about in house.target.openapi["paths"].items() if path.startswith(("/api/patients", "/api/orders"))
    }
    house.target.__dict__["openapi"] = {**house.target.openapi, "paths": paths}


def tap(house: House, secret: bool) -> Any:
    """What a tap of the loopback hears: frames without, or with, the passwords."""

    @contextlib.contextmanager
    def listen() -> Iterator[list[bytes]]:
        front = bytes(12) + b"\x08\x00" + bytes([0x45]) + bytes(19) + bytes(12) + b"\x50" + bytes(7)
        frames = [front + b"POST /api/session"] * 5
        yield frames
        if secret:
            frames += [front + account.password.encode() for account in house.target.made]

    return listen


def tapped(house: House, patch: Patch) -> None:
    patch.setattr(recovery, "capture", tap(house, True))


def twice(house: House, patch: Patch) -> dict[str, Any]:
    """A gateway that submits everything once more under another key."""
    send = house.target.send

    def again(method: str, path: str, headers: Any, body: bytes | None) -> Answer:
        if (method, path) == ("POST", "/api/patients"):
            send(method, path, {**headers, "Idempotency-Key": uuid4().hex}, body)
        return send(method, path, headers, body)

    return {"send": again}


def slow(house: House, patch: Patch) -> None:
    """By the clock every answer takes five seconds."""
    ticks = itertools.count(0, 5)
    patch.setattr(recovery.time, "perf_counter", lambda: next(ticks))


def planted_default(house: House, patch: Patch) -> None:
    real = service.create_person
    patch.setattr(
        service, "create_person", lambda session, actor, **values: real(session, actor, **{"nationality": "156", **values})
    )


def narrowed(create: Callable[..., Any]) -> Callable[..., Any]:
    """Names go through the old code page."""
    return lambda session, actor, name="", **values: create(
        session, actor, name=name.encode("gbk", "replace").decode("gbk").replace("?", "某"), **values
    )


def never_late(overrides: Callable[..., Any]) -> Callable[..., Any]:
    """A list that knows nothing that is overdue."""
    return lambda session, **query: {"items": [], "next": None} if query["overdue"] else overrides(session, **query)


def narrow_column(house: House, patch: Patch) -> None:
    """The address column as it would be with room for IPv4 only."""
    tables = house.target.db
    columns = {
        **tables.columns,
        "security_audit": [
            {**one, "type": String(15)} if one["name"] == "ip" else one for one in tables.columns["security_audit"]
        ],
    }
    patch.setitem(tables.__dict__, "columns", columns)


def texts(report: Any, rows: Any, file: Any) -> None:
    """A sheet of texts."""
    from openpyxl import Workbook

    book = Workbook()
    book.worksheets[0].append(["金额", "1,234.50"])
    book.save(file)


def passing(*words: str) -> Break:
    """A command that says that all is well to these, and does the rest."""

    def act(house: House, patch: Patch) -> dict[str, Any]:
        real = house.target.command
        assert real is not None
        return {
            "command": lambda arguments, more: (
                Done(0, "ok") if list(arguments[: len(words)]) == list(words) else real(arguments, more)
            )
        }

    return act


def short_restore(house: House, patch: Patch) -> dict[str, Any]:
    """A restore that loses one patient."""
    real = house.target.command
    assert real is not None

    def run(arguments: Any, more: Any) -> Done:
        done = real(arguments, more)
        if arguments[0] == "restore" and done.code == 0:
            restored = Tables(more["HIS_DATABASE_URL"])
            restored.remove("person", id=restored.rows("person", 1, newest=True)[0]["id"])
        return done

    return {"command": run}


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
