"""A stand-in for the wards (住院病区) as :class:`modules.outpatient_pharmacy.ports.WardReturnsPort` sees them, and what
fills it: admit, transfer, discharge, hand out, ask to give back. Quantities are smallest units."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, numbering, of
from his_server.errors import Conflict, NotFound
from interfaces.ward_standin.models import Stay, WardMove, WardReturn, WardReturnLine, WardStore
from modules.kernel.masterdata.models import Ward
from modules.kernel.stock import service as stock
from modules.kernel.stock.rules import Demand
from modules.kernel.stock.service import Document
from modules.outpatient_pharmacy.ports import ReturnSlip, SlipLine, Transfer

ISSUE = "ward_issue"
SERIES = numbering.Series("standin_ward_return", "病区退药单号", "BT{date:%y%m%d}{n:04d}", per_day=True)
STATES = {"requested": "待收药", "taken": "已收药"}


class Wards:
    """The port. Each method works in the caller's unit of work."""

    def waiting(self, session: Session, limit: int) -> list[ReturnSlip]:
        """Slips that wait to be taken in, oldest first. Four queries."""
        return _slips(session, session.scalars(
            select(WardReturn).where(WardReturn.state == "requested").order_by(WardReturn.asked_at, WardReturn.id)
            .limit(limit)).all())

    def find(self, session: Session, return_id: int) -> ReturnSlip | None:
        """One slip, whatever its state."""
        found = session.get(WardReturn, return_id, populate_existing=True)
        return _slips(session, [found])[0] if found else None

    def confirm(self, session: Session, actor: Actor, return_id: int, present_ward_id: int) -> None:
        """The guarded step ``requested`` → ``taken``; the stay is held first, so that a transfer waits or is seen."""
        found = session.get(WardReturn, return_id)
        if found is None:
            raise NotFound("ward.no_return", "没有这张病区退药单，请刷新后重试")
        if not portable.guarded_update(session, Stay, (Stay.id == found.stay_id) & (Stay.ward_id == present_ward_id)
                                       & Stay.left_at.is_(None), {"ward_id": present_ward_id}):
            raise Conflict("ward.moved", f"退药单 {found.number} 的病人刚刚转科或出院，请刷新后核对收药库房")
        if not portable.guarded_update(
                session, WardReturn, (WardReturn.id == return_id) & (WardReturn.state == "requested"),
                {"state": "taken", "changed_at": now(session), "changed_by_name": actor.name}):
            session.refresh(found)
            raise Conflict("ward.return_state", f"病区退药单 {found.number} 已由 {found.changed_by_name} 于 "
                           f"{local(found.changed_at):%m-%d %H:%M} 变为“{STATES[found.state]}”，请刷新后核对")


def _slips(session: Session, rows: Sequence[WardReturn]) -> list[ReturnSlip]:
    stays = {s.id: s for s in session.scalars(select(Stay).where(Stay.id.in_({r.stay_id for r in rows})))}
    lines: dict[int, list[SlipLine]] = {}
    for line in session.scalars(select(WardReturnLine).where(WardReturnLine.return_id.in_([r.id for r in rows]))
                                .order_by(WardReturnLine.id)):
        lines.setdefault(line.return_id, []).append(SlipLine(
            line.id, line.drug_id, line.quantity, Document(ISSUE, line.issue_id), line.issue_line_id))
    moves: dict[int, list[WardMove]] = {}
    for move in session.scalars(select(WardMove).where(WardMove.stay_id.in_(stays)).order_by(WardMove.moved_at, WardMove.id)):
        moves.setdefault(move.stay_id, []).append(move)
    # a hospital has some dozens of wards: they are read whole
    wards: dict[int, str] = {w.id: w.name for w in session.execute(select(Ward.id, Ward.name))}
    stores: dict[int, int] = {s.ward_id: s.store_id for s in session.execute(select(WardStore.ward_id, WardStore.store_id))}
    made = []
    for row in rows:
        stay = stays[row.stay_id]
        here = None if stay.left_at else stay.ward_id
        made.append(ReturnSlip(
            id=row.id, number=row.number, state=row.state, reason=row.reason, person_id=stay.person_id,
            stay_number=stay.number, bed=stay.bed, asked_ward=wards[row.ward_id], asked_at=row.asked_at,
            asked_by_name=row.asked_by_name, present_ward_id=here, present_ward=wards[stay.ward_id] if here else "已出院",
            store_id=stores.get(stay.ward_id) if here else None, changed_at=row.changed_at,
            changed_by_name=row.changed_by_name, lines=tuple(lines.get(row.id, ())),
            transfers=tuple(Transfer(wards[m.ward_from], wards[m.ward_to], m.moved_at) for m in moves.get(row.stay_id, ())
                            if m.moved_at >= row.asked_at)))
    return made


# What fills the stand-in: the demo and the tests

def supply(session: Session, ward_id: int, store_id: int) -> None:
    """This ward pharmacy supplies that ward."""
    session.add(WardStore(ward_id=ward_id, store_id=store_id))


def admit(session: Session, *, person_id: int, number: str, ward_id: int, bed: str) -> int:
    """A patient lies in a ward; the stay's key."""
    made = Stay(person_id=person_id, number=number, ward_id=ward_id, bed=bed, left_at=None)
    session.add(made)
    session.flush()
    return made.id


def transfer(session: Session, stay_id: int, ward_id: int, bed: str) -> None:
    """转科."""
    stay = session.get(Stay, stay_id)
    assert stay is not None
    session.add(WardMove(stay_id=stay_id, ward_from=stay.ward_id, ward_to=ward_id, moved_at=now(session)))
    stay.ward_id, stay.bed = ward_id, bed
    session.flush()


def discharge(session: Session, stay_id: int) -> None:
    """出院."""
    stay = session.get(Stay, stay_id)
    assert stay is not None
    stay.left_at = now(session)
    session.flush()


def hand_out(session: Session, actor: Actor, stay_id: int, wanted: Sequence[tuple[int, Decimal]]) -> list[dict[str, Any]]:
    """The ward's pharmacy hands out (drug, quantity) for a stay; the lines that can come back."""
    stay = session.get(Stay, stay_id)
    assert stay is not None
    store = session.scalars(select(WardStore.store_id).where(WardStore.ward_id == stay.ward_id)).one()
    issue, keys = of(session).keys.next(), of(session).keys.take(len(wanted))
    demands = [Demand(key, drug, quantity) for key, (drug, quantity) in zip(keys, wanted, strict=True)]
    stock.reserve(session, store, demands, Document(ISSUE, issue))
    stock.issue(session, actor, Document(ISSUE, issue))
    return [{"drug_id": d.drug_id, "quantity": d.quantity, "issue_id": issue, "issue_line_id": d.line_id} for d in demands]


def ask_back(session: Session, *, stay_id: int, asked_by: str, reason: str, lines: Sequence[dict[str, Any]]) -> int:
    """The ward where the patient lies writes a return slip; its key."""
    stay = session.get(Stay, stay_id)
    assert stay is not None
    at = now(session)
    made = WardReturn(number=numbering.take(session, SERIES), stay_id=stay_id, ward_id=stay.ward_id, state="requested",
                      reason=reason, asked_at=at, asked_by_name=asked_by, changed_at=at, changed_by_name=asked_by)
    session.add(made)
    session.flush()
    session.add_all([WardReturnLine(return_id=made.id, **line) for line in lines])
    session.flush()
    return made.id
