"""What orders do when money moves, and when they are performed. One place for every channel (H1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, Update, bindparam, select, update
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, today
from his_server.errors import Conflict
from his_server.messaging import outbox
from his_server.security import audit
from modules.kernel.charging.models import ChargeLine, ChargeLineState
from modules.kernel.charging.service import Settled, perform
from modules.kernel.dispensing import service as dispensing
from modules.kernel.dispensing.service import Arrival
from modules.kernel.orders.models import Prescription, PrescriptionLine, Request
from modules.kernel.orders.service import skin_tests
from modules.kernel.orders.service.prescribing import not_in_state
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Store
from modules.kernel.stock.rules import Demand
from modules.kernel.stock.service import BatchQuantity, Document


def document(prescription_id: int) -> Document:
    """A prescription as the stock ledger knows it."""
    return Document("prescription", prescription_id)


def _charge(model: Any, **more: Any) -> Update:
    """The guarded ``issued`` → ``charged`` of all keys in ``b_ids``."""
    row = model.__table__.c
    return (update(model.__table__).where(row.id.in_(bindparam("b_ids", expanding=True)), row.state == "issued")
            .values(state="charged", settlement_id=bindparam("b_settlement"), changed_at=bindparam("b_at"),
                    changed_by_name=bindparam("b_name"), **more))


# Statements of the hot path stand here: building one costs ten times as much as running it again.
_CHARGE_PRESCRIPTIONS = _charge(Prescription, charged_at=bindparam("b_at")).where(
    Prescription.__table__.c.valid_until >= bindparam("b_today"))
_CHARGE_REQUESTS = _charge(Request)
_DRUG = PrescriptionLine.__table__.c
_DRUGS = (select(_DRUG.id, _DRUG.prescription_id, _DRUG.drug_id, _DRUG.quantity, _DRUG.charge_line_id,
                 Prescription.__table__.c.store_id, Prescription.__table__.c.number, Prescription.__table__.c.person_id)
          .join(Prescription.__table__, Prescription.__table__.c.id == _DRUG.prescription_id)
          .where(_DRUG.prescription_id.in_(bindparam("b_ids", expanding=True))).order_by(_DRUG.id))


def follow_settlement(session: Session, actor: Actor, settled: Settled) -> list[int]:
    """Bring the settled lines' orders to ``charged``; prescriptions reserve their stock. Returns prescription ids.

    :raises Conflict: a prescription was settled in part, is no longer open, or stock ran short.
    """
    sources: dict[tuple[str, int], list[object]] = defaultdict(list)
    for line in settled.lines:
        sources[line.source, line.source_id].append(line)
    prescriptions = sorted(key for source, key in sources if source == "prescription")
    requests = sorted(key for source, key in sources if source == "request")
    followers = [(statement, keys, more) for statement, keys, more in (
        (_CHARGE_PRESCRIPTIONS, prescriptions, {"b_today": today(session)}), (_CHARGE_REQUESTS, requests, {})) if keys]
    changed = portable.change_together(session, [(statement, {
        "b_ids": keys, "b_settlement": settled.id, "b_at": now(session), "b_name": actor.name, **more})
        for statement, keys, more in followers])
    if changed != [len(keys) for _, keys, _ in followers]:
        _refuse_expired(session, prescriptions, "issued")
        raise Conflict("orders.state", "部分处方或申请刚被他人收费或作废，请刷新费用清单后重试")
    if prescriptions:
        rows, places = _reserve(session, prescriptions, {line.id for line in settled.lines})
        dispensing.arrive(session, actor, settled.id, [_arrival(key, rows, places[key]) for key in prescriptions])
    return prescriptions


def _arrival(key: int, rows: Sequence[Row[Any]], store_id: int) -> Arrival:
    mine = [row for row in rows if row.prescription_id == key]
    return Arrival(key, mine[0].number, mine[0].person_id, store_id,
                   {row.id: (row.drug_id, row.quantity) for row in mine})


def _refuse_expired(session: Session, prescription_ids: Iterable[int], state: str) -> None:
    """:raises Conflict: one of the prescriptions is past its day (RX-01)."""
    row = session.execute(
        select(Prescription.number, Prescription.valid_until, Prescription.doctor_name)
        .where(Prescription.id.in_(list(prescription_ids)), Prescription.state == state,
               Prescription.valid_until < today(session)).limit(1)).first()
    if row is not None:
        raise Conflict("orders.expired", f"处方 {row.number} 有效期至 {row.valid_until}，已失效；请由开方医生 "
                       f"{row.doctor_name} 延长有效期（最长 3 天）或重新开具")


def _fix_stores(session: Session, rows: Sequence[Row[Any]]) -> dict[int, int]:
    """The store of each prescription, fixed here for good (M7.1). What was written for a store that is closed by now goes
    to the emergency store, if that has everything (M7.8). One query while all are open.
    """
    places = {row.prescription_id: row.store_id for row in rows}
    shut = set(places.values()) & dispensing.closed_now(session)
    if not shut:
        return places
    found = session.execute(select(Store.id, Store.department_id).where(Store.kind == "emergency", Store.active)
                            .order_by(Store.code).limit(1)).first()
    if found is None or found.id in shut:
        return places
    night, department = found.id, found.department_id
    for key in sorted(key for key, store in places.items() if store in shut):
        need: dict[int, Decimal] = defaultdict(Decimal)
        for row in rows:
            if row.prescription_id == key:
                need[row.drug_id] += row.quantity
        free = stock.available(session, night, need)
        if all(free[drug] >= quantity for drug, quantity in need.items()):
            places[key] = night
            portable.guarded_update(session, Prescription, Prescription.id == key, {"store_id": night})
            # the income is that store's: whoever hands out is the performing department
            portable.guarded_update(session, ChargeLine, (ChargeLine.source == "prescription") & (ChargeLine.source_id == key),
                                    {"performing_department_id": department})
    return places


def _reserve(session: Session, prescription_ids: list[int], settled_lines: set[int]
             ) -> tuple[Sequence[Row[Any]], dict[int, int]]:
    rows = portable.fetch(session.connection(), _DRUGS, {"b_ids": prescription_ids})
    if {row.charge_line_id for row in rows} - settled_lines:
        raise Conflict("orders.whole_prescription", "同一张处方的药品须一起收费，请勾选整张处方")
    places = _fix_stores(session, rows)
    for key in prescription_ids:
        mine = [row for row in rows if row.prescription_id == key]
        stock.reserve(session, places[key], [Demand(r.id, r.drug_id, r.quantity) for r in mine], document(key))
    return rows, places


def hold(session: Session, actor: Actor, line_ids: Iterable[int]) -> None:
    """Take the undispensed, unperformed orders of the lines before a refund.

    Dispensing takes the order before the lines; so does a refund, so that the two queue up instead of crossing.
    """
    sources = session.execute(select(ChargeLine.source, ChargeLine.source_id).where(ChargeLine.id.in_(set(line_ids)))
                              .distinct()).all()
    for source, model in (("prescription", Prescription), ("request", Request)):
        for key in sorted(row.source_id for row in sources if row.source == source):
            portable.guarded_update(session, model, (model.id == key) & (model.state == "charged"),
                                    {"changed_at": now(session), "changed_by_name": actor.name})


def follow_refund(session: Session, actor: Actor, lines: Iterable[tuple[int, Decimal]]) -> None:
    """Release what refunded, undispensed drugs had reserved; bring wholly refunded orders to ``refunded``."""
    refunded = dict(lines)
    charge = {line.id: line for line in session.scalars(select(ChargeLine).where(ChargeLine.id.in_(refunded)))}
    for key in sorted({c.source_id for c in charge.values() if c.source == "prescription"}):
        _refund_prescription(session, actor, key)
    if any(c.source == "prescription" for c in charge.values()):
        dispensing.follow_refund(session, actor, refunded)
    for key in sorted({c.source_id for c in charge.values() if c.source == "request"}):
        if _nothing_left(session, "request", key):
            portable.guarded_update(session, Request, (Request.id == key) & (Request.state == "charged"),
                                    {"state": "refunded", "changed_at": now(session), "changed_by_name": actor.name})


def _refund_prescription(session: Session, actor: Actor, key: int) -> None:
    at = now(session)
    waiting = portable.guarded_update(
        session, Prescription, (Prescription.id == key) & (Prescription.state == "charged"),
        {"revision": Prescription.revision + 1, "changed_at": at, "changed_by_name": actor.name})
    if not waiting:
        return
    rest, given = _undispensed(session, key)
    stock.release(session, document(key))
    found = session.execute(select(Prescription.number, Prescription.person_id, Prescription.store_id)
                            .where(Prescription.id == key)).one()
    if rest:
        stock.reserve(session, found.store_id, rest, document(key))
    elif given:
        portable.guarded_update(session, Prescription, Prescription.id == key, {"state": "dispensed", "dispensed_at": at})
    else:
        portable.guarded_update(session, Prescription, Prescription.id == key, {"state": "refunded"})
    dispensing.rest_changed(session, actor, Arrival(key, found.number, found.person_id, found.store_id,
                                                    {d.line_id: (d.drug_id, d.quantity) for d in rest}),
                            something_given=given)


def _undispensed(session: Session, prescription_id: int) -> tuple[list[Demand], bool]:
    """What a paid prescription still has to hand out, in smallest units, and whether a part was handed out."""
    rows = session.execute(
        select(PrescriptionLine.id, PrescriptionLine.drug_id, ChargeLine.factor, ChargeLineState.quantity,
               ChargeLineState.refunded, ChargeLineState.performed)
        .join(ChargeLine, ChargeLine.id == PrescriptionLine.charge_line_id)
        .join(ChargeLineState, ChargeLineState.line_id == ChargeLine.id)
        .where(PrescriptionLine.prescription_id == prescription_id).order_by(PrescriptionLine.id)).all()
    demands = [Demand(r.id, r.drug_id, (r.quantity - r.refunded - r.performed) * r.factor) for r in rows]
    return [d for d in demands if d.quantity > 0], any(r.performed for r in rows)


def _nothing_left(session: Session, source: str, key: int) -> bool:
    open_ = session.execute(
        select(ChargeLine.id).join(ChargeLineState, ChargeLineState.line_id == ChargeLine.id)
        .where(ChargeLine.source == source, ChargeLine.source_id == key, ChargeLine.reverses_line_id.is_(None),
               ChargeLineState.refunded < ChargeLineState.quantity).limit(1)).first()
    return open_ is None


def dispense(session: Session, actor: Actor, prescription_id: int, *, line_ids: Collection[int] | None = None
             ) -> list[BatchQuantity]:
    """Hand out a paid prescription: ``charged`` → ``dispensed``; stock moves and charge lines are performed with it.

    ``line_ids``: these whole lines only; the prescription stays ``charged`` while others are left to hand out.
    :raises Conflict: somebody dispensed or refunded it, or one of the lines, first (named); it is past its day (RX-01);
        or a drug has no negative skin test in force.
    """
    at = now(session)
    whole = {"state": "dispensed", "dispensed_at": at}
    if not portable.guarded_update(
            session, Prescription, (Prescription.id == prescription_id) & (Prescription.state == "charged")
            & (Prescription.valid_until >= today(session)),
            {"changed_at": at, "changed_by_name": actor.name, **({} if line_ids is not None else whole)}):
        _refuse_expired(session, [prescription_id], "charged")
        raise not_in_state(session, Prescription, prescription_id, "处方")
    skin_tests.refuse_untested(session, prescription_id, line_ids)
    rows = session.execute(
        select(ChargeLine.id, ChargeLine.source_line_id, ChargeLineState.quantity, ChargeLineState.refunded,
               ChargeLineState.performed)
        .join(ChargeLineState, ChargeLineState.line_id == ChargeLine.id)
        .where(ChargeLine.source == "prescription", ChargeLine.source_id == prescription_id,
               ChargeLine.reverses_line_id.is_(None)))
    left = {r.source_line_id: (r.id, r.quantity - r.refunded - r.performed) for r in rows
            if r.quantity > r.refunded + r.performed}
    chosen = set(left) if line_ids is None else set(line_ids)
    if not chosen or chosen - set(left):
        raise Conflict("orders.line_gone", "所选药品已发出、已退费或不属于该处方，请刷新后核对")
    perform(session, dict(left[key] for key in chosen))
    items = stock.issue(session, actor, document(prescription_id), line_ids=None if line_ids is None else chosen)
    if line_ids is not None and chosen == set(left):
        portable.guarded_update(session, Prescription, Prescription.id == prescription_id, whole)
    found = session.get(Prescription, prescription_id)
    assert found is not None
    outbox.record(session, "PrescriptionDispensed", found.number,
                  {"prescription_id": found.id, "store_id": found.store_id, "line_ids": sorted(chosen),
                   "whole": chosen == set(left)})
    audit.record(session, actor, "prescription.dispense", "prescription", found.id,
                 {"number": found.number, **({} if line_ids is None else {"lines": sorted(chosen)})})
    return items


def perform_request(session: Session, actor: Actor, request_id: int) -> Request:
    """The performing department confirms a paid request: ``charged`` → ``performed`` (M1.8)."""
    if not portable.guarded_update(
            session, Request, (Request.id == request_id) & (Request.state == "charged"),
            {"state": "performed", "changed_at": now(session), "changed_by_name": actor.name}):
        raise not_in_state(session, Request, request_id, "申请")
    rows = session.execute(
        select(ChargeLine.id, ChargeLineState.quantity, ChargeLineState.refunded)
        .join(ChargeLineState, ChargeLineState.line_id == ChargeLine.id)
        .where(ChargeLine.source == "request", ChargeLine.source_id == request_id,
               ChargeLine.reverses_line_id.is_(None)))
    perform(session, {r.id: r.quantity - r.refunded for r in rows if r.quantity > r.refunded})
    found = session.get(Request, request_id, populate_existing=True)
    assert found is not None
    audit.record(session, actor, "request.perform", "request", found.id, {"number": found.number})
    return found


def unperform_request(session: Session, actor: Actor, request_id: int) -> Request:
    """The performing department takes its confirmation back: ``performed`` → ``charged``, refundable again."""
    if not portable.guarded_update(
            session, Request, (Request.id == request_id) & (Request.state == "performed"),
            {"state": "charged", "changed_at": now(session), "changed_by_name": actor.name}):
        raise not_in_state(session, Request, request_id, "申请")
    rows = session.execute(
        select(ChargeLine.id, ChargeLineState.performed)
        .join(ChargeLineState, ChargeLineState.line_id == ChargeLine.id)
        .where(ChargeLine.source == "request", ChargeLine.source_id == request_id, ChargeLineState.performed > 0))
    perform(session, {r.id: -r.performed for r in rows})
    found = session.get(Request, request_id, populate_existing=True)
    assert found is not None
    audit.record(session, actor, "request.unperform", "request", found.id, {"number": found.number})
    return found
