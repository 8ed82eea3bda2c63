"""Schedules, clinic sessions, registrations: one file per kind of work."""

from modules.kernel.scheduling.service.changing import Moved, may_take, move, release_no_shows, repaid
from modules.kernel.scheduling.service.registering import (
    EMERGENCY_LEVEL,
    REGISTRATION_SERIES,
    cancel,
    mark_paid,
    register,
    registration_of,
    session_of,
)
from modules.kernel.scheduling.service.sessions import open_coming_days, open_sessions
from modules.kernel.scheduling.service.slots import grant_extra, withdraw_extra

__all__ = ["EMERGENCY_LEVEL", "REGISTRATION_SERIES", "Moved", "cancel", "grant_extra", "mark_paid", "may_take", "move",
           "open_coming_days", "open_sessions", "register", "registration_of", "release_no_shows", "repaid", "session_of",
           "withdraw_extra"]
