"""The days of a report: in order, and no more than anybody waits for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from his_server import registry
from his_server.module import ReportSource
from his_server.reporting_routes import DayRange

SOURCES = [source for source in registry.load().reports.values() if issubclass(source.args, DayRange)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_days_are_in_order_and_not_too_many(source: ReportSource) -> None:
    args = source.args()
    told = args.validate({"from": "2026-03-02", "to": "2026-03-01"})
    assert told == {"to": ["结束日期不能早于开始日期"]}
    long = str(args.fields["start"].deserialize("2024-01-01") + args.longest + timedelta(days=1))
    assert args.validate({"from": "2024-01-01", "to": long}) == {"to": [f"一次最多查询{args.longest_told}"]}
    assert args.validate({"from": "2026-03-01", "to": "2026-03-01"}) == {}
    assert args.validate({"from": "2026-02-30", "to": "2026-03-01"}).keys() == {"from"}
