"""Reads of the dispensing window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session, selectinload

from his_server.actor import Actor
from his_server.clock import day_bounds
from his_server.db import today
from his_server.errors import NotFound
from his_server.security import scopes
from modules.kernel.charging.models import ChargeLine, ChargeLineState
from modules.kernel.dispensing import rules
from modules.kernel.dispensing.models import DispensingTask, PickupWindow
from modules.kernel.dispensing.service import rule_of
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata.models import Drug
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.orders.service import claiming
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name
from modules.kernel.stock.models import Batch, Reservation, StockMove, Store
from modules.kernel.stock.rules import TRACE_STATES, show_quantity
from modules.kernel.stock.service import tracing
from modules.outpatient_pharmacy.models import DrugLocation
from modules.outpatient_pharmacy.service import checking
from modules.outpatient_pharmacy.service.dispensing import DISPENSE, kept_codes
from modules.outpatient_pharmacy.service.returning import TAKE_BACK
from modules.outpatient_pharmacy.service.scoping import store_for

KINDS = ("outpatient", "emergency")

TABS: Mapping[str, tuple[str, ...]] = {
    "charged": rules.OPEN_STATES, "review": ("waiting", "bounced"), "ready": ("reviewed", "picked"),
    "dispensed": ("done",)}
"""What a tab of the queue holds: all that wait, what a reviewer must see, what can be handed out, today's work."""


def stores(session: Session, actor: Actor, *, wards: bool = False) -> list[Store]:
    """The pharmacies that the actor may work in; with those of the wards, whose hours are set here too."""
    mine = scopes.departments(actor, "outpatient_pharmacy.stock")
    kinds = (*KINDS, "ward") if wards else KINDS
    found = session.scalars(select(Store).where(Store.kind.in_(kinds), Store.active).order_by(Store.code))
    return [store for store in found if mine is None or store.department_id in mine]


def _tab(tab: str, store_id: int, day: Any, window_id: int | None) -> list[ColumnElement[bool]]:
    chosen = [DispensingTask.store_id == store_id, DispensingTask.state.in_(TABS[tab])]
    if tab == "dispensed":
        chosen.append(DispensingTask.finished_at >= day_bounds(day)[0])
    if window_id is not None:
        chosen.append(DispensingTask.window_id == window_id)
    return chosen


def queue(session: Session, store_id: int, state: str, *, window_id: int | None = None, limit: int = 200
          ) -> list[dict[str, Any]]:
    """Tasks of a store (of one window of it): those that wait, longest first and whoever was passed over last; or
    today's, latest first. Two queries.
    """
    statement = (
        select(DispensingTask, Prescription.id, Prescription.number, Prescription.kind,
               Prescription.state.label("prescription_state"), Prescription.charged_at, Prescription.dispensed_at,
               Prescription.doctor_name, Person.name, Person.sex, Person.birth_date, Person.outpatient_no,
               Encounter.insurance, PickupWindow.name.label("window"))
        .join(Prescription, Prescription.id == DispensingTask.prescription_id)
        .join(Person, Person.id == DispensingTask.person_id)
        .outerjoin(Encounter, Encounter.id == Prescription.encounter_id)
        .outerjoin(PickupWindow, PickupWindow.id == DispensingTask.window_id)
        .where(*_tab(state, store_id, today(session), window_id)).limit(limit))
    if state == "dispensed":
        statement = statement.order_by(DispensingTask.finished_at.desc(), DispensingTask.id.desc())
    else:
        behind = case((DispensingTask.call_state == "passed", 1), else_=0)
        statement = statement.order_by(behind, DispensingTask.arrived_at, DispensingTask.id)
    rows = session.execute(statement).all()
    counts: dict[int, int] = dict(session.execute(
        select(PrescriptionLine.prescription_id, func.count())
        .where(PrescriptionLine.prescription_id.in_([r.id for r in rows]))
        .group_by(PrescriptionLine.prescription_id)).all()) if rows else {}
    return [{"id": r.id, "number": r.number, "kind": r.kind, "state": r.prescription_state, "charged_at": r.charged_at,
             "dispensed_at": r.dispensed_at, "name": mask_name(r.name), "sex": r.sex, "birth_date": r.birth_date,
             "outpatient_no": r.outpatient_no, "doctor_name": r.doctor_name, "lines": counts.get(r.id, 0),
             "task_state": r.DispensingTask.state, "call_state": r.DispensingTask.call_state,
             "calls": r.DispensingTask.calls, "window": r.window or "", "insured": insured(r.insurance)}
            for r in rows]


def insured(insurance: str | None) -> bool:
    """Whether a visit is settled with the insurance fund (then drugs need trace codes)."""
    return bool(insurance) and insurance != "自费"


def counts(session: Session, store_id: int, *, window_id: int | None = None) -> dict[str, int]:
    """How many tasks of a store stand in each tab; two queries."""
    day = today(session)
    open_: dict[str, int] = dict(session.execute(
        select(DispensingTask.state, func.count()).where(*_tab("charged", store_id, day, window_id))
        .group_by(DispensingTask.state)).all())
    done = session.scalar(select(func.count()).select_from(DispensingTask)
                          .where(*_tab("dispensed", store_id, day, window_id)))
    return {**{tab: sum(open_.get(state, 0) for state in states) for tab, states in TABS.items()},
            "dispensed": done or 0}


def dispensed(session: Session, actor: Actor, *, number: str | None, person_id: int | None, limit: int = 50
              ) -> list[dict[str, Any]]:
    """Dispensed prescriptions by number or by person, latest first, for returns; one query."""
    statement = (
        select(Prescription.id, Prescription.number, Prescription.kind, Prescription.state, Prescription.dispensed_at,
               Prescription.doctor_name, Prescription.changed_by_name, Person.name, Person.outpatient_no)
        .join(Person, Person.id == Prescription.person_id)
        .where(Prescription.state == "dispensed").order_by(Prescription.dispensed_at.desc()).limit(limit))
    mine = scopes.departments(actor, TAKE_BACK)
    if mine is not None:
        statement = statement.join(Store, Store.id == Prescription.store_id).where(Store.department_id.in_(mine))
    if number:
        statement = statement.where(Prescription.number == number)
    if person_id is not None:
        statement = statement.where(Prescription.person_id == person_id)
    return [dict(row._mapping) for row in session.execute(statement)]


def find(session: Session, actor: Actor, number: str) -> int:
    """The id of the prescription with this number (a scanned slip), in the actor's reach."""
    found = session.execute(select(Prescription.id, Store.department_id).join(Store, Store.id == Prescription.store_id)
                            .where(Prescription.number == number)).first()
    mine = scopes.departments(actor, DISPENSE)
    if found is None or (mine is not None and found.department_id not in mine):
        raise NotFound("pharmacy.prescription", "没有这张处方，请核对处方号")
    return found.id


def prescription(session: Session, actor: Actor, prescription_id: int) -> dict[str, Any]:
    """A prescription for review, dispensing or return: lines in the order of their shelves, batches to take, what was
    returned, checks, names of the four eyes. A fixed number of queries.
    """
    # whose it is, where and of which visit come along: what asks for them below finds them in the session
    whole = session.execute(
        select(Prescription, Person, Store, Encounter).options(selectinload(Prescription.lines))
        .join(Person, Person.id == Prescription.person_id).join(Store, Store.id == Prescription.store_id)
        .join(Encounter, Encounter.id == Prescription.encounter_id)
        .where(Prescription.id == prescription_id)).first()
    if whole is None:
        raise NotFound("pharmacy.prescription", "没有这张处方，请刷新后重试")
    found, person = whole.Prescription, whole.Person
    store_for(session, actor, DISPENSE if actor.can(DISPENSE) else TAKE_BACK, found.store_id)
    held = session.execute(
        select(Reservation.line_id, Reservation.quantity, Batch.lot_no, Batch.expiry)
        .join(Batch, Batch.id == Reservation.batch_id)
        .where(Reservation.document_kind == "prescription", Reservation.document_id == prescription_id,
               Reservation.state == "open").order_by(Batch.expiry)).all()
    charged = {r.id: r for r in session.execute(
        select(ChargeLine.id, ChargeLine.unit, ChargeLine.factor, ChargeLine.amount, ChargeLineState.performed,
               ChargeLineState.refunded, ChargeLineState.quantity.label("line_quantity"), Drug.control, DrugLocation.shelf)
        .join(PrescriptionLine, PrescriptionLine.charge_line_id == ChargeLine.id)
        .join(Drug, Drug.id == PrescriptionLine.drug_id)
        .outerjoin(DrugLocation, (DrugLocation.drug_id == Drug.id) & (DrugLocation.store_id == found.store_id))
        .outerjoin(ChargeLineState, ChargeLineState.line_id == ChargeLine.id)
        .where(PrescriptionLine.prescription_id == prescription_id))}
    # of what was never handed out nothing moved: no need to ask
    untouched = found.state == "charged" and not any(row.performed or row.refunded for row in charged.values())
    moved = [] if untouched else session.execute(
        select(StockMove.line_id, StockMove.quantity, StockMove.store_to, Batch.lot_no, Batch.expiry)
        .join(Batch, Batch.id == StockMove.batch_id)
        .where(StockMove.document_kind == "prescription", StockMove.document_id == prescription_id)
        .order_by(Batch.expiry, StockMove.id)).all()
    batches = [*moved, *held]
    taken = claiming.claimed(session, prescription_id)
    task, window = _task(session, found)
    codes = kept_codes(session, task.id) if task is not None and task.state in rules.OPEN_STATES else {}
    lines = []
    for line in found.lines:
        money = charged[line.charge_line_id]
        packs = (line.pack_size, line.pack_unit, line.base_unit)
        # whole charged units that nobody gives: a drop of a box in use keeps the box
        units = max((money.performed or 0) - -(-taken[line.id].quantity // money.factor), 0) if line.id in taken else (
            money.performed or 0)
        columns = ("id", "drug_id", "name", "spec", "dose", "dose_unit", "usage", "frequency", "days", "quantity",
                   "base_unit", "pack_unit", "pack_size", "note")
        lines.append({
            **{c: getattr(line, c) for c in columns}, "unit": money.unit, "factor": money.factor,
            "amount": money.amount, "quantity_text": show_quantity(line.quantity, *packs),
            "returnable": units * money.factor, "claimed": taken[line.id].why if line.id in taken else "",
            "refunded": (money.refunded or 0) * money.factor,
            "returnable_units": units, "returnable_text": show_quantity(units * money.factor, *packs),
            "control": money.control, "shelf": money.shelf or "",
            "left": ((money.line_quantity or 0) - (money.performed or 0) - (money.refunded or 0)) * money.factor,
            "codes": codes.get(line.id, []),
            "batches": [{"lot_no": b.lot_no, "expiry": b.expiry, "quantity_text": show_quantity(b.quantity, *packs),
                         "returned": bool(getattr(b, "store_to", None)),
                         "quantity": -b.quantity if getattr(b, "store_to", None) else b.quantity}
                        for b in batches if b.line_id == line.id]})
    return {
        **{c: getattr(found, c) for c in ("id", "number", "kind", "state", "diagnosis", "doctor_name", "store_id",
                                          "issued_at", "charged_at", "dispensed_at", "changed_by_name")},
        "person": {"id": person.id, "name": person.name, "sex": person.sex, "birth_date": person.birth_date,
                   "outpatient_no": person.outpatient_no, "allergies": person.allergies},
        "insured": insured(whole.Encounter.insurance),
        "task": _shown_task(session, found, task, window), "lines": lines}


def _task(session: Session, found: Prescription) -> tuple[DispensingTask | None, str]:
    row = session.execute(
        select(DispensingTask, PickupWindow.name).outerjoin(PickupWindow, PickupWindow.id == DispensingTask.window_id)
        .where(DispensingTask.prescription_id == found.id,
               DispensingTask.settlement_id == (found.settlement_id or 0))).first()
    return (row.DispensingTask, row.name or "") if row else (None, "")


_TASK_COLUMNS = ("id", "state", "call_state", "calls", "called_at", "reviewed_by_name", "reviewed_at", "review_note",
                 "answered_by_name", "answered_at", "answer", "picked_by_name", "picked_at", "checked_by_name",
                 "finished_at")


def _shown_task(session: Session, found: Prescription, task: DispensingTask | None, window: str
                ) -> dict[str, Any] | None:
    if task is None:
        return None
    shown = {**{c: getattr(task, c) for c in _TASK_COLUMNS}, "window": window, "check": None,
             "review_first": rule_of(session, task.store_id).review_first}
    if task.state in rules.OPEN_STATES:
        checked = checking.look(session, found, task)
        shown["check"] = {"outcome": checked.outcome, "needs_person": checked.needs_person, "why": checked.why,
                          "alerts": [{"kind": a.kind, "text": a.text} for a in checked.alerts]}
    return shown


def queue_state(session: Session, actor: Actor, args: Mapping[str, str]) -> dict[str, Any]:
    """Live topic: how many wait in a store, the last change among them, how often was called; one or two queries."""
    store = reachable_store(session, actor, args)
    count, newest, calls = session.execute(
        select(func.count(), func.max(DispensingTask.changed_at), func.sum(DispensingTask.calls))
        .where(DispensingTask.store_id == store, DispensingTask.state.in_(rules.OPEN_STATES))).one()
    return {"waiting": count, "newest": newest.isoformat() if newest else None, "calls": calls or 0}


def reachable_store(session: Session, actor: Actor, args: Mapping[str, str]) -> int:
    """The store that a live topic asks for; 0, which nobody has, where it is odd or out of the actor's reach."""
    given = args.get("store", "")
    store = int(given) if given.isdecimal() and len(given) < 16 else 0
    mine = scopes.departments(actor, DISPENSE)
    if mine is not None and session.scalar(select(Store.department_id).where(Store.id == store)) not in mine:
        return 0
    return store


def bounced(session: Session, actor: Actor) -> list[dict[str, Any]]:
    """A doctor's own prescriptions that the pharmacy gave back, oldest first; two queries."""
    if actor.staff_id is None:
        return []
    rows = session.execute(
        select(Prescription, Person.name, Person.outpatient_no,
               DispensingTask.review_note.label("reason"), DispensingTask.reviewed_by_name.label("reviewer"),
               DispensingTask.reviewed_at.label("at"))
        .join(DispensingTask, DispensingTask.prescription_id == Prescription.id)
        .join(Person, Person.id == Prescription.person_id)
        .where(DispensingTask.state == "bounced", Prescription.doctor_id == actor.staff_id)
        .order_by(DispensingTask.reviewed_at).limit(100)).all()
    drugs: dict[int, list[str]] = {}
    for line in session.execute(
            select(PrescriptionLine.prescription_id, PrescriptionLine.name)
            .where(PrescriptionLine.prescription_id.in_([r.Prescription.id for r in rows]))
            .order_by(PrescriptionLine.position)):
        drugs.setdefault(line.prescription_id, []).append(line.name)
    return [{"id": p.id, "number": p.number, "diagnosis": p.diagnosis, "name": row.name,
             "outpatient_no": row.outpatient_no, "reason": row.reason, "reviewer": row.reviewer, "at": row.at,
             "drugs": "、".join(drugs.get(p.id, []))} for row in rows for p in (row.Prescription,)]


def trace_code(session: Session, text: str) -> dict[str, Any]:
    """What is known of a scanned pack; a code that nobody collected yet says so; one query."""
    found = tracing.find(session, [text]).get(text)
    if found is None:
        return {"drug_id": None, "state": "unknown", "text": "未采集过", "remaining": None}
    return {"drug_id": found.drug_id, "state": found.state, "text": TRACE_STATES[found.state],
            "remaining": found.remaining}
