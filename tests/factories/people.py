"""Windows where patients are filed: dictionaries and the regions of Nantong as they ship, clients of those who work."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import uuid4

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from his_server.actor import SYSTEM
from his_server.db import Database
from modules.kernel.masterdata.importing import import_rows
from modules.kernel.masterdata.importing.table import TableRow
from modules.kernel.patients import rules
from tests.factories.security import signed_in_client

DICTIONARIES = {"sex", "psn_cert_type", "marriage", "ethnic", "relation", "fp_occupation", "chrgitm_lv",
                "med_chrgitm_type"}
NANTONG = ("320000", "3206", "370000", "370800")


@cache
def shipped(kind: str) -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a catalogue that ships with the product."""
    with (files("modules.kernel.masterdata") / "data" / f"{kind}.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    return list(rows[0]), rows


def load(session: Session, kind: str, wanted: Callable[[dict[str, str]], bool]) -> None:
    """Import those of the shipped rows that are wanted."""
    header, rows = shipped(kind)
    import_rows(session, SYSTEM, kind, header,
                [TableRow(n, row) for n, row in enumerate((r for r in rows if wanted(r)), 2)])


def load_basics(session: Session) -> None:
    """Dictionaries of persons and the regions of Nantong and Jining."""
    load(session, "dictionaries", lambda row: row["dictionary"] in DICTIONARIES)
    load(session, "regions", lambda row: row["code"].startswith(NANTONG))


def id_number(first17: str) -> str:
    """An invented number with its right check digit."""
    return first17 + rules.check_digit(first17)


@dataclass
class Window:
    """Clients by role, made when they are first asked for."""

    app: Flask
    db: Database
    clients: dict[str, FlaskClient] = field(default_factory=dict)

    def client(self, role: str) -> FlaskClient:
        """Somebody who holds this standard role."""
        if role not in self.clients:
            self.clients[role] = signed_in_client(self.app, self.db, role, name=f"{role}员")
        return self.clients[role]

    def get(self, path: str, role: str = "registrar", **query: Any) -> Any:
        """GET a path under /api."""
        return self.client(role).get(f"/api/{path}", query_string=query or None)

    def post(self, path: str, body: dict[str, Any], role: str = "registrar") -> Any:
        """POST with a fresh Idempotency-Key."""
        return self.client(role).post(f"/api/{path}", json=body, headers={"Idempotency-Key": uuid4().hex})

    def put(self, path: str, body: dict[str, Any], role: str = "registrar") -> Any:
        """PUT."""
        return self.client(role).put(f"/api/{path}", json=body)

    def ok(self, answer: Any) -> Any:
        """The JSON of an answer that must have succeeded."""
        assert answer.status_code < 300, answer.get_data(as_text=True)
        return answer.json

    def create(self, **fields: Any) -> dict[str, Any]:
        """A new file through the API."""
        found: dict[str, Any] = self.ok(self.post("patients", {"name": "张小明", **fields}))
        return found

    def find(self, q: str, role: str = "registrar") -> list[int]:
        """Ids that a search finds."""
        return [row["id"] for row in self.ok(self.get("patients", role, q=q))["items"]]

    def show(self, person_id: int) -> dict[str, Any]:
        """The whole file, masked."""
        found: dict[str, Any] = self.ok(self.get(f"patients/{person_id}"))
        return found


def make_window(app: Flask, db: Database) -> Window:
    """A window over a database with the basics."""
    with db.begin() as session:
        session.info["actor"] = SYSTEM
        load_basics(session)
    return Window(app, db)
