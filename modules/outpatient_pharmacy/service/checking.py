"""The checks of a prescription: the house's own rules at once, the outside checker over its port (RX-10).

The outside checker is never called inside a unit of work. What it said, or that it said nothing, is a row; a bound
checker that has not answered is as good as one that is down: nothing passes in silence.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import Database, now, of, today
from his_server.messaging.outbox import Event
from his_server.security import audit
from modules.kernel.dispensing.models import DispensingTask
from modules.kernel.masterdata.models import Drug
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.orders.ports import CHECK, CheckCase, CheckLine, DrugCheckPort
from modules.kernel.patients.models import Person
from modules.outpatient_pharmacy import rules
from modules.outpatient_pharmacy.models import MedicationAlert, MedicationCheck
from modules.outpatient_pharmacy.rules import Alert
from modules.outpatient_pharmacy.service.scoping import prescription_for, task_of

log = logging.getLogger("his.pharmacy")
DISPENSE = "outpatient_pharmacy.dispense"
LOOK_BACK = timedelta(days=7)
"""How long ago another prescription may be to count as taken at the same time (7 days is the usual longest)."""


_STORED = select(MedicationCheck.id, MedicationCheck.outcome).where(MedicationCheck.task_id == bindparam("b_task"))
_OTHERS = select(Prescription.id).where(
    Prescription.person_id == bindparam("b_person"), Prescription.id != bindparam("b_this"),
    Prescription.state.in_(("charged", "dispensed")), Prescription.issued_at >= bindparam("b_since")).limit(20)
_DRUGS = (
    select(Drug.code, PrescriptionLine.name, PrescriptionLine.dose, PrescriptionLine.dose_unit, PrescriptionLine.usage,
           PrescriptionLine.frequency, PrescriptionLine.days)
    .join(Drug, Drug.id == PrescriptionLine.drug_id)
    .where(PrescriptionLine.prescription_id.in_(bindparam("b_ids", expanding=True)))
    .order_by(PrescriptionLine.prescription_id, PrescriptionLine.position))


@dataclass(frozen=True)
class Checked:
    """All that is known against a prescription. ``outcome``: clear | alerts | down | pending (bound, not asked yet) |
    house (no checker is bound) | review (not looked at: the store's rule wants a review anyway)."""

    outcome: str
    alerts: tuple[Alert, ...]

    @property
    def needs_person(self) -> bool:
        """Whether a pharmacist must look before anything is handed out."""
        return bool(self.alerts) or self.outcome in ("down", "pending")

    @property
    def why(self) -> str:
        """What stands against it, in one sentence."""
        if self.outcome == "down":
            return "合理用药系统没有回答，未完成审查"
        if self.outcome == "pending":
            return "合理用药系统尚未审查"
        if self.outcome == "review":
            return "该处方尚未审核"
        return f"合理用药提示：{self.alerts[0].text}" if self.alerts else ""


def look(session: Session, found: Prescription, task: DispensingTask) -> Checked:
    """The house's own findings now, and what the outside checker said; at most five queries."""
    request = _request(session, found)
    house = rules.house_alerts(request.allergies, [d.name for d in request.lines],
                               [d.name for d in request.also_taken])
    stored = next(iter(portable.fetch(session.connection(), _STORED, {"b_task": task.id})), None)
    if stored is None:
        outcome = "pending" if CHECK in of(session).ports else "house"
        return Checked(outcome, tuple(house))
    outside = [Alert(a.kind, a.text) for a in session.scalars(
        select(MedicationAlert).where(MedicationAlert.check_id == stored.id).order_by(MedicationAlert.id))]
    return Checked(stored.outcome, tuple([*house, *outside]))


def ask(database: Database, actor: Actor, prescription_id: int) -> None:
    """Ask the bound checker and keep what it said. Opens its own units of work; the call lies between them."""
    port: DrugCheckPort | None = database.ports.get(CHECK)
    with database.begin() as session:
        session.info["actor"] = actor
        found = prescription_for(session, actor, DISPENSE, prescription_id)
        task_id = task_of(session, actor, found).id
        request = _request(session, found)
    if port is None:
        return
    alerts: Sequence[Alert] = ()
    try:
        alerts = [Alert(one.kind, one.message) for one in port.check(request)]
        outcome = "alerts" if alerts else "clear"
    except Exception as silence:  # whatever happened out there: nobody has checked, and everybody is told
        log.exception("the outside check of prescription %s failed", request.number)
        outcome, why = "down", str(silence)
    with database.begin() as session:
        session.info["actor"] = actor
        _keep(session, task_id, outcome, alerts)
        detail = {"outcome": outcome, **({"error": why[:200]} if outcome == "down" else {})}
        audit.record(session, actor, "prescription.check", "prescription", prescription_id, detail,
                     success=outcome != "down")


def ask_on_arrival(database: Database, event: Event) -> None:
    """Handler of ``PrescriptionReady``: the checker is asked before the patient stands at the window."""
    if CHECK in database.ports:
        from his_server.actor import SYSTEM

        ask(database, SYSTEM, int(event.payload["prescription_id"]))


def _keep(session: Session, task_id: int, outcome: str, alerts: Sequence[Alert]) -> None:
    before = select(MedicationCheck.id).where(MedicationCheck.task_id == task_id)
    session.execute(delete(MedicationAlert).where(MedicationAlert.check_id.in_(before)))
    session.execute(delete(MedicationCheck).where(MedicationCheck.task_id == task_id))
    made = MedicationCheck(task_id=task_id, outcome=outcome, checked_at=now(session))
    session.add(made)
    session.flush()
    session.add_all([MedicationAlert(check_id=made.id, kind=a.kind[:12], text=a.text[:300]) for a in alerts])


def _request(session: Session, found: Prescription) -> CheckCase:
    person = session.get(Person, found.person_id)
    assert person is not None
    drugs = _drugs(session, [found.id])
    session.flush()
    others = [row.id for row in portable.fetch(session.connection(), _OTHERS, {
        "b_person": found.person_id, "b_this": found.id, "b_since": found.issued_at - LOOK_BACK})]
    born = person.birth_date
    age = None if born is None else (
        today(session).year - born.year - ((today(session).month, today(session).day) < (born.month, born.day)))
    return CheckCase(person.sex, age, person.allergies or "", found.diagnosis_code, found.diagnosis, drugs, found.number,
                     _drugs(session, others) if others else ())


def _drugs(session: Session, prescription_ids: Sequence[int]) -> tuple[CheckLine, ...]:
    return tuple(CheckLine(*row) for row in portable.fetch(session.connection(), _DRUGS, {"b_ids": prescription_ids}))
