"""Schedules, clinic sessions, registrations: one file per kind of work."""

from modules.kernel.scheduling.service.registering import (
    EMERGENCY_LEVEL,
    REGISTRATION_SERIES,
    cancel,
    mark_paid,
    register,
)
from modules.kernel.scheduling.service.sessions import open_coming_days, open_sessions

__all__ = ["EMERGENCY_LEVEL", "REGISTRATION_SERIES", "cancel", "mark_paid", "open_coming_days", "open_sessions", "register"]
