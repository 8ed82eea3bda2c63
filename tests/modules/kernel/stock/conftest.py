"""A warehouse and a pharmacy with people of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from his_server.actor import SYSTEM
from his_server.db import Database
from his_server.security import seals
from tests.factories import masterdata as make
from tests.factories.stock import fill, make_store


@dataclass
class House:
    """Ids and signed-in clients of a small drug house."""

    app: Flask
    db: Database
    ids: dict[str, int] = field(default_factory=dict)
    clients: dict[str, FlaskClient] = field(default_factory=dict)

    def post(self, who: str, path: str, body: dict[str, Any] | None = None, key: str | None = None) -> Any:
        """POST to /api/… as somebody."""
        return self.clients[who].post(f"/api/{path}", json=body or {}, headers={"Idempotency-Key": key or uuid4().hex})

    def get(self, who: str, path: str, **query: Any) -> Any:
        """GET from /api/… as somebody."""
        return self.clients[who].get(f"/api/{path}", query_string=query)

    def ok(self, answer: Any) -> Any:
        """The JSON of an answer that must have succeeded."""
        assert answer.status_code < 300, answer.get_data(as_text=True)
        return answer.json

    def refused(self, answer: Any, status: int, code: str) -> dict[str, Any]:
        """The JSON of an answer that must have been refused in this way."""
        assert (answer.status_code, answer.json["code"]) == (status, code), answer.get_data(as_text=True)
        found: dict[str, Any] = answer.json
        return found

    def stock(self, store: str, drug: str = "drug") -> list[tuple[str, str]]:
        """Lot and quantity of a drug's batches in a store."""
        items = self.ok(self.get("keeper", "stock/batches", store_id=self.ids[store]))["items"]
        return [(b["lot_no"], b["on_hand_text"]) for b in items if b["drug_id"] == self.ids[drug]]

    def findings(self) -> list[str]:
        """What the stock ledger's own checks find."""
        seals.seal_all(self.db)
        with self.db.begin(write=False) as session:
            return [f"{f.check} {f.where}: {f.message}" for check in self.app.extensions["his_hospital"].checks
                    for f in check.run(session)]


@pytest.fixture
def house(app: Flask, db: Database, sign_in: Callable[..., FlaskClient]) -> House:
    """Warehouse with two lots of a drug (24 in a pack), one of a narcotic; an empty pharmacy."""
    made = House(app, db)
    with db.begin() as session:
        session.info["actor"] = SYSTEM
        stores = {"warehouse": make_store(session, "warehouse", name="药库"),
                  "pharmacy": make_store(session, "outpatient", name="门诊药房")}
        drug, narcotic = make.make_drug(session), make.make_drug(session, name="吗啡注射液", control="麻醉", pack_size=10)
        first = fill(session, stores["warehouse"], drug, 10, days=200, pack_cost="10.01", lot="A1")
        second = fill(session, stores["warehouse"], drug, 10, days=500, pack_cost="7.00", lot="B2")
        third = fill(session, stores["warehouse"], narcotic, 5, lot="N1")
        fourth = fill(session, stores["warehouse"], narcotic, 5, lot="N2")
        made.ids = {**{name: store.id for name, store in stores.items()}, "drug": drug.id, "narcotic": narcotic.id,
                    "A1": first.batch_id, "B2": second.batch_id, "N1": third.batch_id, "N2": fourth.batch_id}
    made.clients = {"keeper": sign_in("warehouse", name="王库管"), "keeper2": sign_in("warehouse", name="李库管"),
                    "pharmacist": sign_in("pharmacist", name="周药师"), "finance": sign_in("finance", name="冯财务"),
                    "doctor": sign_in("doctor", name="单文渊"), "insurance": sign_in("insurance", name="医保员")}
    return made
