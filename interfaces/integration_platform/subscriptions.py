"""Registrations reach the platform in the order in which they happened, each message once.

Implements: H12, M1.10

Every registration is a key of its own in the outbox: a change never overtakes the registration, a cancellation never the
change. What was never paid was never told, so neither is its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from his_server.about import about
from his_server.db import Database
from his_server.messaging.outbox import Event, Refused
from interfaces.integration_platform.contract import ACTIVE, ADD, CANCELLED, UPDATE, Message, Patient, Slot
from modules.kernel.charging.ports import CONFIRMED
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata import service as masterdata
from modules.kernel.patients.models import Person
from modules.kernel.scheduling.models import ClinicSession, Registration

PORT = "integration-platform"
ACTIONS = {"RegistrationMade": ADD, "RegistrationChanged": UPDATE, "RegistrationCancelled": UPDATE,
           "RegistrationRestored": UPDATE}


def tell(database: Database, event: Event) -> None:
    """One registration event to the platform. :raises NotSent, LostAnswer: again later. :raises Refused: it won't have it."""
    port = database.ports.get(PORT)
    if port is None or not event.payload.get("paid", True):
        return
    with database.begin(write=False) as session:
        message = _message(session, event, identity=port.settings.identity)
    with about(person_id=event.payload["person_id"], business_key=message.number):
        answer = getattr(port, message.action)(message.number, message)
    if answer.state != CONFIRMED:
        raise Refused(answer.message or "平台拒绝接收")


def _message(session: Session, event: Event, *, identity: bool) -> Message:
    told = event.payload
    found = session.get_one(Registration, told["registration_id"])
    person = session.get_one(Person, told["person_id"])
    visit = session.get_one(Encounter, told["encounter_id"])
    prior = None
    if "old_session_id" in told:
        old = session.get_one(ClinicSession, told["old_session_id"])
        prior = slot(session, {"session_id": old.id, "queue_no": told["old_queue_no"], "day": old.day.isoformat(),
                               "department_id": old.department_id, "doctor_id": old.doctor_id, "level": old.level})
    cancelled = event.type == "RegistrationCancelled"
    return Message(
        id=f"HIS{event.id}", action=ACTIONS[event.type], at=event.occurred_at, number=told["number"],
        visit_no=visit.visit_no, kind=visit.kind, channel=told["channel"], status=CANCELLED if cancelled else ACTIVE,
        reason=(found.cancel_reason or "") if cancelled else "",
        patient=Patient(person.outpatient_no, person.name, person.sex, person.birth_date,
                        (person.id_type or "") if identity else "", (person.id_no or "") if identity else "",
                        (person.phone or "") if identity else ""),
        slot=slot(session, told), prior=prior)


def slot(session: Session, told: Mapping[str, Any]) -> Slot:
    """A place as the event says it: what changed later has an event of its own."""
    clinic = session.get_one(ClinicSession, told["session_id"])
    department = masterdata.department(session, told["department_id"])
    doctor = masterdata.staff(session, told["doctor_id"]) if told["doctor_id"] else None
    assert department is not None
    return Slot(clinic.id, told["queue_no"], date.fromisoformat(told["day"]), clinic.period, told["level"],
                (department.code, department.name), (doctor.code, doctor.name) if doctor else ("", ""))
