"""What the screen shows of a report's values is what its paper and its sheet show."""

from __future__ import annotations

from decimal import Decimal

import pytest

from his_server.reporting.screen import wire
from his_server.reporting.table import Column, show
from tests.web.test_arithmetic import run


@pytest.mark.requirement("M1.15", "M9.1")
def test_a_share_is_the_same_on_the_screen_and_on_paper() -> None:
    column = Column("share", "占比", "percent")
    shares = [Decimal(text) for text in ("0.1347", "0.5299", "1", "0", "0.00005", "0.12345", "-0.025", "12.5")]
    shown = run("format.ts", [("valueText", ["percent", wire(column, share)]) for share in shares])
    assert shown == [show(column, share) for share in shares]
    assert shown[:3] == ["13.47%", "52.99%", "100.00%"]
