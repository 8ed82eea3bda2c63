"""Tests of the suite that no requirement covers and that don't fit DM8, each with its reason."""

from __future__ import annotations

import pytest

NAMED = {
    "test_string_length_reflection[CHAR": "CHAR is declared VARCHAR: the driver reads past its buffer for CHAR in RETURNING",
}


@pytest.hookimpl(trylast=True)  # SQLAlchemy's plugin makes new items
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the named tests, saying why."""
    for item in items:
        for part, reason in NAMED.items():
            if part in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=reason))
