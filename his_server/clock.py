"""The injected clock: aware UTC instants and the hospital's business date."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

HOSPITAL_ZONE = ZoneInfo("Asia/Shanghai")


class Clock:
    """The system's clock."""

    def now(self) -> datetime:
        """The present instant, aware, UTC."""
        return datetime.now(UTC)

    def today(self) -> date:
        """The business date: the calendar day in Asia/Shanghai."""
        return self.now().astimezone(HOSPITAL_ZONE).date()


class ManualClock(Clock):
    """A clock that stands still until it is moved; for tests and for making the demo's past."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("the clock needs an aware datetime")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def move(self, **delta: float) -> None:
        """Move by a timedelta given in keywords (``minutes=5``)."""
        self._now += timedelta(**delta)

    def set(self, instant: datetime) -> None:
        """Set to an aware instant."""
        self._now = instant.astimezone(UTC)


def local(instant: datetime) -> datetime:
    """The instant in the hospital's zone."""
    return instant.astimezone(HOSPITAL_ZONE)


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """First instant of the business day and of the next one, aware UTC."""
    start = datetime(day.year, day.month, day.day, tzinfo=HOSPITAL_ZONE)
    return start.astimezone(UTC), (start + timedelta(days=1)).astimezone(UTC)
