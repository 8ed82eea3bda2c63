"""Windows, rules and shelves of a store; what the waiting room's screen shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, today
from his_server.search import match
from modules.kernel.dispensing import rules
from modules.kernel.dispensing.models import DispensingTask, PickupWindow
from modules.kernel.masterdata.models import Drug, drug_search
from modules.kernel.orders.models import Prescription
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name
from modules.kernel.stock.models import StockBalance, Store
from modules.outpatient_pharmacy.models import DrugLocation
from modules.outpatient_pharmacy.queries.counter import reachable_store

SHOWN_FOR = timedelta(minutes=15)
"""How long a call stays on the screen when nobody comes."""


def windows(session: Session, store_id: int) -> list[dict[str, Any]]:
    """A store's windows with how many of today's tasks wait at each; two queries."""
    load: dict[int | None, int] = dict(session.execute(
        select(DispensingTask.window_id, func.count()).where(
            DispensingTask.store_id == store_id, DispensingTask.state.in_(rules.OPEN_STATES),
            DispensingTask.business_date == today(session)).group_by(DispensingTask.window_id)).all())
    found = session.scalars(select(PickupWindow).where(PickupWindow.store_id == store_id).order_by(PickupWindow.number))
    return [{"id": w.id, "number": w.number, "name": w.name, "state": w.state, "changed_at": w.changed_at,
             "changed_by_name": w.changed_by_name, "waiting": load.get(w.id, 0)} for w in found]


def locations(session: Session, store_id: int, q: str, *, missing: bool, limit: int = 300) -> dict[str, Any]:
    """Drugs that a store has or has a shelf for, with their shelves; searched as everywhere (M7.4). One query.

    ``missing``: only those without a shelf. ``more``: there are further ones than ``limit``.
    """
    here = select(StockBalance.drug_id).where(StockBalance.store_id == store_id, StockBalance.on_hand > 0)
    statement = (
        select(Drug.id.label("drug_id"), Drug.code, Drug.name, Drug.spec, Drug.manufacturer, DrugLocation.shelf)
        .outerjoin(DrugLocation, (DrugLocation.drug_id == Drug.id) & (DrugLocation.store_id == store_id))
        .where(Drug.id.in_(here) | DrugLocation.id.is_not(None))
        .order_by(case((DrugLocation.shelf.is_(None), 1), else_=0), DrugLocation.shelf, Drug.name, Drug.id).limit(limit + 1))
    if q:
        statement = statement.where(Drug.id.in_(list(session.scalars(match(session, drug_search, q, limit=100)))))
    if missing:
        statement = statement.where(DrugLocation.id.is_(None))
    rows = [{**row._mapping, "shelf": row.shelf or ""} for row in session.execute(statement)]
    return {"items": rows[:limit], "more": len(rows) > limit}


def screen(session: Session, actor: Actor, args: Mapping[str, str]) -> dict[str, Any]:
    """Live topic of the waiting room: who is called where, and who waits at which window. Masked names and the last
    four of the prescription number, nothing else of a person. Three queries.
    """
    store = reachable_store(session, actor, args)
    name = session.scalar(select(Store.name).where(Store.id == store))
    if name is None:
        return {"store": "", "called": [], "windows": []}
    edge = now(session) - SHOWN_FOR
    rows = session.execute(
        select(DispensingTask.window_id, DispensingTask.call_state, DispensingTask.called_at, DispensingTask.calls,
               DispensingTask.state, Prescription.number, Person.name)
        .join(Prescription, Prescription.id == DispensingTask.prescription_id)
        .join(Person, Person.id == DispensingTask.person_id)
        .where(DispensingTask.store_id == store, DispensingTask.state.in_(("waiting", "reviewed", "picked")),
               DispensingTask.window_id.is_not(None),
               (DispensingTask.business_date == today(session)) | (DispensingTask.called_at > edge))
        .order_by(DispensingTask.arrived_at, DispensingTask.id)).all()
    found = {w.id: w for w in session.scalars(select(PickupWindow).where(PickupWindow.store_id == store))}
    called = sorted((r for r in rows if r.call_state == "called" and r.called_at > edge), key=lambda r: r.called_at,
                    reverse=True)
    return {
        "store": name,
        "called": [{"name": mask_name(r.name), "number": r.number[-4:], "window": found[r.window_id].name,
                    "at": f"{local(r.called_at):%H:%M}", "calls": r.calls} for r in called[:6]],
        "windows": [{"name": w.name, "state": w.state, "waiting": [
            {"name": mask_name(r.name), "number": r.number[-4:], "ready": r.state == "picked",
             "passed": r.call_state == "passed"} for r in rows if r.window_id == w.id and r.call_state != "called"][:8]}
            for w in sorted(found.values(), key=lambda w: w.number) if w.state == "open"]}
