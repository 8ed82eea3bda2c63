"""The platform's service: ``HIPMessageServer(action, message)`` and its acknowledgement.

Action names are those of the national interoperability services (facts/clinical_devices.md, section 3); the body of a
message is our contract, docs/interfaces/integration_platform.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

ADD, UPDATE = "OutPatientInfoAdd", "OutPatientInfoUpdate"
ACCEPTED, FAILED, REJECTED = "AA", "AE", "AR"
"""acknowledgement typeCode: done (or done before), can't be done, not understood."""
ACTIVE, CANCELLED = "active", "cancelled"
"""statusCode of the registration after the message."""


@dataclass(frozen=True)
class Slot:
    """A place in a clinic session: ours to name."""

    session: int
    queue_no: int
    day: date
    period: str
    level: str
    department: tuple[str, str]
    doctor: tuple[str, str]


@dataclass(frozen=True)
class Patient:
    """Whose registration it is."""

    number: str
    name: str
    sex: str
    birth: date | None
    id_type: str
    id_no: str
    phone: str


@dataclass(frozen=True)
class Message:
    """What is said about a registration. ``id`` is what the platform de-duplicates by."""

    id: str
    action: str
    at: datetime
    number: str
    visit_no: str
    kind: str
    channel: str
    status: str
    reason: str
    patient: Patient
    slot: Slot
    prior: Slot | None = None
