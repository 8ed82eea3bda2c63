"""The mini application's table and client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from his_server.db import Database
from tests.platform import mini


@pytest.fixture
def payments(db: Database) -> Iterator[Database]:
    """``db`` with the mini application's table."""
    mini.MiniPayment.__table__.create(db.engine)
    yield db
    mini.MiniPayment.__table__.drop(db.engine)


@pytest.fixture
def mini_app(payments: Database) -> Flask:
    """The mini application."""
    return mini.make_app(payments)


@pytest.fixture
def till(mini_app: Flask) -> FlaskClient:
    """A client of the mini application."""
    return mini_app.test_client()
