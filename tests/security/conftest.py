"""A browser's side of signing in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from crypto import Sealer
from his_server.actor import SYSTEM
from his_server.db import Database
from his_server.registry import Hospital
from his_server.security import bootstrap, create_user
from his_server.security.models import User

GOOD = "Qd7#vale-Korb"


def sealed(client: FlaskClient, sealer: Sealer, **content: str) -> dict[str, str]:
    """What the browser does: fetch a challenge, seal the content to the server's key."""
    challenge = client.get("/api/session/challenge").get_json()
    text = json.dumps({"nonce": challenge["nonce"], **content}).encode()
    blob = sealer.provider.sm2_encrypt(bytes.fromhex(challenge["public_key"]), text)
    return {"kid": challenge["kid"], "sealed": blob.hex()}


@pytest.fixture
def enter(client: FlaskClient, sealer: Sealer) -> Callable[..., Any]:
    """``enter(login, password)`` → the response of POST /api/session."""

    def call(login: str, password: str, by: FlaskClient | None = None) -> Any:
        who = by or client
        return who.post("/api/session", json={"login": login, **sealed(who, sealer, password=password)})

    return call


@pytest.fixture
def make(db: Database, hospital: Hospital) -> Callable[..., User]:
    """``make("li", roles=["cashier"])`` → a committed account with the password GOOD."""

    def call(login: str, **options: Any) -> User:
        options = {"must_change": False, "rounds": 10_000, "password": GOOD, "name": "李明", **options}
        with db.begin() as session:
            bootstrap(session, hospital)
            return create_user(session, SYSTEM, login=login, **options)

    return call


@pytest.fixture
def roles_made(db: Database, hospital: Hospital) -> None:
    """The standard roles exist."""
    with db.begin() as session:
        bootstrap(session, hospital)


def one(session: Session, statement: Any) -> Any:
    """The single row of a statement."""
    return session.execute(statement).scalar_one()
