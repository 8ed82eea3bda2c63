"""Schedules, clinic sessions, registrations: one file per kind of work."""

from modules.kernel.scheduling.service.changing import Moved, may_take, move, release_no_shows, repaid
from modules.kernel.scheduling.service.planning import (
    MANAGE,
    add_level,
    add_session,
    add_template,
    change_capacity,
    change_level,
    change_template,
    generate,
    resume_session,
    stop_session,
)
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

__all__ = [
    "EMERGENCY_LEVEL", "MANAGE", "REGISTRATION_SERIES", "Moved", "add_level", "add_session", "add_template", "cancel",
    "change_capacity", "change_level", "change_template", "generate", "grant_extra", "mark_paid", "may_take", "move",
    "open_coming_days", "open_sessions", "register", "registration_of", "release_no_shows", "repaid", "resume_session",
    "session_of", "stop_session", "withdraw_extra"]
