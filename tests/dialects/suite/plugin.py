"""SQLAlchemy's pytest plugin, as its guide for third-party dialects has it."""

from __future__ import annotations

import pytest

import dialects  # noqa: F401  registers the dialect

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F403
