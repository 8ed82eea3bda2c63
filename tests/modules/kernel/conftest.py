"""Fixtures of the kernel's tests."""

from __future__ import annotations

import pytest
from flask import Flask

from his_server.db import Database
from tests.factories.people import Window, make_window


@pytest.fixture
def window(app: Flask, db: Database) -> Window:
    """A window where patients are filed (:mod:`tests.factories.people`)."""
    return make_window(app, db)
