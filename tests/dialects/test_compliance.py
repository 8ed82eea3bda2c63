"""SQLAlchemy's dialect compliance suite over the stand-in, in a process of its own: a garbled reply could
crash the driver."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.dameng_standin import start_standin

_SUITE = Path(__file__).parent / "suite"
_ROOT = Path(__file__).parents[2]
_LEAST_PASSED = 1250  # of 1511 with SQLAlchemy 2.1.9; fewer means that tests have silently been excluded


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_compliance_suite_passes(dialects_postgres_url: str) -> None:
    standin = start_standin(dialects_postgres_url, database="suite", schema="SUITE")
    suite = make_url(dialects_postgres_url).set(database="suite")
    engine = create_engine(suite)
    with engine.begin() as connection:
        connection.execute(text('CREATE SCHEMA "TEST_SCHEMA"'))  # on a DM8: CREATE SCHEMA test_schema
    engine.dispose()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "pytest.ini", "--rootdir", ".", "compliance.py", "--tb=short",
         "-W", "ignore", "--maxfail=50", "--dburi", standin.url],
        cwd=_SUITE, env={**os.environ, "PYTHONPATH": str(_ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    standin.stop()
    summary = done.stdout[-4000:]
    assert done.returncode == 0, summary
    passed = re.search(r"(\d+) passed", summary)
    assert passed and int(passed[1]) >= _LEAST_PASSED, summary
