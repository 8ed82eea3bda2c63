"""Settings of scheduling, ``[module."kernel.scheduling"]`` of the settings file: the hospital's hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from his_server.clock import HOSPITAL_ZONE
from his_server.settings import SettingsError

DAY = timedelta(days=1)


def _since_midnight(name: str, text: str) -> timedelta:
    """``HH:MM`` as the time since midnight; ``24:00`` is the end of the day. :raises SettingsError: it is neither."""
    if text == "24:00":
        return DAY
    try:
        read = time.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"kernel.scheduling.{name}: HH:MM, not {text!r}") from error
    return timedelta(hours=read.hour, minutes=read.minute)


@dataclass(frozen=True)
class Settings:
    """``morning_ends``, ``afternoon_ends``, ``night_ends``: HH:MM at which 上午, 下午 and 夜间 are over (``24:00``: with the
    day); a whole-day session (全天) is over with the day. ``take_minutes``: how long before its period's end a booked number
    must be taken (取号), of a whole-day session before the afternoon's; afterwards its place is free for others."""

    morning_ends: str = "12:00"
    afternoon_ends: str = "17:30"
    night_ends: str = "24:00"
    take_minutes: int = 60

    def __post_init__(self) -> None:
        morning, afternoon, night = (_since_midnight(name, getattr(self, name))
                                     for name in ("morning_ends", "afternoon_ends", "night_ends"))
        if not morning < afternoon < night:
            raise SettingsError("kernel.scheduling: morning_ends < afternoon_ends < night_ends")
        if type(self.take_minutes) is not int or not 0 <= self.take_minutes <= 240:
            raise SettingsError("kernel.scheduling.take_minutes: 0 to 240")

    def _end(self, day: date, period: str) -> datetime:
        names = {"上午": "morning_ends", "下午": "afternoon_ends", "夜间": "night_ends"}
        since = _since_midnight(names[period], getattr(self, names[period])) if period in names else DAY
        return datetime.combine(day, time(0), HOSPITAL_ZONE) + since

    def over(self, day: date, period: str, at: datetime) -> bool:
        """Whether the period of the day has ended by the (aware) instant."""
        return at >= self._end(day, period)

    def take_until(self, day: date, period: str) -> datetime:
        """Until when a booked number of the period is kept for whoever booked it."""
        return self._end(day, "下午" if period == "全天" else period) - timedelta(minutes=self.take_minutes)
