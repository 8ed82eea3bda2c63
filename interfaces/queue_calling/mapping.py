"""Ours ↔ the calling system's. Pure."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from interfaces.queue_calling.contract import WAITING
from modules.kernel.patients.rules import age


def registered(told: dict[str, Any], version: int, patient: tuple[str, str, str, date | None], today: date,
               department: str, doctor: str) -> dict[str, Any]:
    """A registration as its event says it; ``patient``: number, name to show, sex, birth date."""
    number, name, sex, birth = patient
    return {"registrationNo": told["number"], "version": version, "queueNum": told["queue_no"], "patientId": number,
            "patientName": name, "patientSex": sex,
            "patientAge": age(birth, today) if birth else "", "visitId": str(told["session_id"]),
            "deptCode": department, "doctorCode": doctor, "clinicDate": told["day"], "level": told["level"],
            "callingFlag": WAITING}


def version_of(at: datetime) -> int:
    """What orders the messages about one registration: microseconds of its event."""
    return int(at.timestamp()) * 1_000_000 + at.microsecond
