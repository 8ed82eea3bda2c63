"""人次 by the time of occurrence (M9.5): the append-only counts of registrations.

Implements: M9.5
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from his_server.actor import SYSTEM
from his_server.db import now, today
from modules.kernel.scheduling.models import Registration, RegistrationCount

NUMBERS = {"made": 1, "cancelled": -1, "moved_out": -1, "moved_in": 1}


def count(session: Session, made: Registration, kind: str) -> None:
    """Count a registration as it stands now, today. ``kind``: made, cancelled, moved_out or moved_in."""
    actor = session.info.get("actor", SYSTEM)
    session.add(RegistrationCount(
        registration_id=made.id, kind=kind, number=NUMBERS[kind], business_date=today(session), counted_at=now(session),
        department_id=made.department_id, doctor_id=made.doctor_id, level=made.level, channel=made.channel,
        counted_by=actor.user_id, counted_by_name=actor.name))
