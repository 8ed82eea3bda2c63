"""SQLAlchemy's pytest plugin, as its guide for third-party dialects has it."""

from __future__ import annotations

import os

import pytest
from sqlalchemy.dialects import registry

import dialects  # noqa: F401  registers the dialect

if os.environ.get("HIS_SUITE_DIALECT") == "vendor":  # for the comparison, on SQLAlchemy 2.0
    registry.impls.pop("dm", None)
    registry.impls.pop("dm.dmpython", None)
    registry.register("dm.dmpython", "dmSQLAlchemy.dmpython", "DMDialect_dmPython")
    registry.register("dm", "dmSQLAlchemy.dmpython", "DMDialect_dmPython")

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F403
