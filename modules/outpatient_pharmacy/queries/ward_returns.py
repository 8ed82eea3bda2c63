"""Reads of the page where an emergency pharmacist acts for a ward pharmacy (M7.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import of, today
from his_server.errors import NotFound
from modules.kernel.dispensing import service as kernel
from modules.kernel.dispensing.models import StoreRule
from modules.kernel.masterdata.models import Drug
from modules.kernel.patients.models import Person
from modules.kernel.stock.models import Store
from modules.kernel.stock.rules import show_quantity
from modules.outpatient_pharmacy.models import WardReturnActing
from modules.outpatient_pharmacy.ports import WARD_RETURNS, ReturnSlip
from modules.outpatient_pharmacy.queries.counter import reachable_store
from modules.outpatient_pharmacy.service.ward_returns import emergency_store, wards

LIMIT = 200
_SLIP = ("id", "number", "state", "reason", "stay_number", "bed", "asked_ward", "asked_at", "asked_by_name", "present_ward",
         "store_id", "changed_at", "changed_by_name")


def _shown(session: Session, slips: Sequence[ReturnSlip]) -> list[dict[str, Any]]:
    """Slips with the names of persons and ward pharmacies, and whether those are open now; four queries."""
    persons = {p.id: p for p in session.execute(select(Person.id, Person.name, Person.sex, Person.birth_date).where(
        Person.id.in_({s.person_id for s in slips})))}
    stores = dict(session.execute(select(Store.id, Store.name).where(
        Store.id.in_({s.store_id for s in slips if s.store_id is not None}))).all())
    timed = set(session.scalars(select(StoreRule.store_id).where(StoreRule.store_id.in_(stores), StoreRule.opens != "")))
    open_ = timed - kernel.closed_now(session)
    return [{**{name: getattr(s, name) for name in _SLIP}, "name": persons[s.person_id].name,
             "store": stores.get(s.store_id or 0, ""), "moved": bool(s.transfers), "open": s.store_id in open_,
             "drugs": len(s.lines)} for s in slips]


def ward_returns(session: Session, actor: Actor, acting_store_id: int, state: str) -> dict[str, Any]:
    """Slips that wait, oldest first, or what this emergency store took in today. Bounded queries however many there are."""
    emergency_store(session, actor, acting_store_id)
    mine = [WardReturnActing.acting_store_id == acting_store_id, WardReturnActing.business_date == today(session)]
    waiting = wards(session).waiting(session, LIMIT + 1)
    done = session.scalar(select(func.count()).select_from(WardReturnActing).where(*mine)) or 0
    items: list[dict[str, Any]] = []
    if state == "waiting":
        items = _shown(session, waiting[:LIMIT])
    else:
        rows = session.execute(
            select(WardReturnActing, Person.name, Store.name.label("store"))
            .join(Person, Person.id == WardReturnActing.person_id).join(Store, Store.id == WardReturnActing.store_id)
            .where(*mine)
            .order_by(WardReturnActing.acted_at.desc(), WardReturnActing.id.desc()).limit(LIMIT))
        items = [{"id": r.WardReturnActing.return_id, "number": r.WardReturnActing.number, "state": "taken", "name": r.name,
                  "store": r.store, "store_id": r.WardReturnActing.store_id, "asked_ward": r.WardReturnActing.asked_ward,
                  "present_ward": r.WardReturnActing.present_ward, "changed_at": r.WardReturnActing.acted_at,
                  "asked_at": r.WardReturnActing.acted_at, "changed_by_name": r.WardReturnActing.acted_by_name,
                  "moved": r.WardReturnActing.asked_ward != r.WardReturnActing.present_ward} for r in rows]
    return {"items": items, "counts": {"waiting": len(waiting[:LIMIT]), "done": done}, "more": len(waiting) > LIMIT}


def ward_return(session: Session, actor: Actor, acting_store_id: int, return_id: int) -> dict[str, Any]:
    """A slip with its drugs, where its patient was moved to, and who took it in for whom."""
    emergency_store(session, actor, acting_store_id)
    slip = wards(session).find(session, return_id)
    if slip is None:
        raise NotFound("ward.no_return", "没有这张病区退药单，请刷新后重试")
    drugs = {d.id: d for d in session.scalars(select(Drug).where(Drug.id.in_({line.drug_id for line in slip.lines})))}
    acted = session.scalar(select(WardReturnActing).where(WardReturnActing.return_id == return_id))
    lines = []
    for line in slip.lines:
        drug = drugs[line.drug_id]
        lines.append({"id": line.id, "drug_id": drug.id, "name": drug.name, "spec": drug.spec, "control": drug.control,
                      "quantity": line.quantity,
                      "quantity_text": show_quantity(line.quantity, drug.pack_size, drug.pack_unit, drug.base_unit)})
    return {**_shown(session, [slip])[0], "lines": lines,
            "transfers": [{"ward_from": t.ward_from, "ward_to": t.ward_to, "moved_at": t.moved_at} for t in slip.transfers],
            "acted_by_name": acted.acted_by_name if acted else "", "acted_at": acted.acted_at if acted else None}


def ward_returns_state(session: Session, actor: Actor, args: Mapping[str, str]) -> dict[str, Any]:
    """Live topic: which slips wait, in which wards; nothing where no ward side is bound."""
    port = of(session).ports.get(WARD_RETURNS)
    if port is None or not reachable_store(session, actor, args):
        return {"waiting": []}
    return {"waiting": [[s.id, s.store_id] for s in port.waiting(session, LIMIT)]}
