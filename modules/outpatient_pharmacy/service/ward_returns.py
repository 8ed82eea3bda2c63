"""代收病区退药: at night an emergency pharmacist takes a ward's return slips in for the ward pharmacy, which is closed.

The slip follows the patient: after a transfer the drugs lie in the present ward, so they go into the stock of the ward
pharmacy that supplies it. Whoever acts is written down as acting for it, signed and audited.
Implements: M7.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, of, today
from his_server.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, Unavailable
from his_server.messaging import outbox
from his_server.security import audit, signatures
from modules.kernel.dispensing import rules
from modules.kernel.dispensing import service as kernel
from modules.kernel.masterdata import service as masterdata
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Store
from modules.kernel.stock.service import BatchQuantity, tracing
from modules.outpatient_pharmacy.models import WardReturnActing, WardReturnBatch
from modules.outpatient_pharmacy.ports import WARD_RETURNS, ReturnSlip, SlipLine, WardReturnsPort
from modules.outpatient_pharmacy.service.returning import choose_batches
from modules.outpatient_pharmacy.service.scoping import store_for

ACT_FOR_WARD = "outpatient_pharmacy.act_for_ward"
SIGNED = "ward_return_acting"
_SIGNED = ("return_id", "number", "person_id", "store_id", "acting_store_id", "asked_ward", "present_ward", "acted_at",
           "acted_by", "acted_by_name")


def wards(session: Session) -> WardReturnsPort:
    """Whoever keeps the wards. :raises Unavailable: nobody does yet."""
    port: WardReturnsPort | None = of(session).ports.get(WARD_RETURNS)
    if port is None:
        raise Unavailable("pharmacy.no_wards", "住院病区尚未接入，不能代收病区退药；请联系信息科")
    return port


def emergency_store(session: Session, actor: Actor, store_id: int) -> Store:
    """The emergency store that somebody acts from. :raises Forbidden: it is another kind of store."""
    found = store_for(session, actor, ACT_FOR_WARD, store_id)
    if found.kind != "emergency":
        raise Forbidden("pharmacy.not_emergency", "只有急诊药房可以代收病区退药，请切换到急诊药房")
    return found


def take_for_ward(session: Session, actor: Actor, return_id: int, *, acting_store_id: int, store_id: int,
                  codes: Mapping[int, Sequence[str]] | None = None) -> WardReturnActing:
    """Take a slip in: its drugs go into the ward pharmacy's stock, the slip is ``taken``, once.

    ``store_id`` is the ward pharmacy that the screen showed; ``codes``: slip line → trace codes.
    :raises Conflict: taken already (who, when), the patient was moved to another pharmacy's ward or has left, the ward
        pharmacy is open, a controlled drug (two of its own pharmacists), more than was handed out.
    """
    acting = emergency_store(session, actor, acting_store_id)
    port = wards(session)
    slip = port.find(session, return_id)
    if slip is None:
        raise NotFound("ward.no_return", "没有这张病区退药单，请刷新后重试")
    store = _place(session, slip, store_id)
    drugs = masterdata.drugs(session, [line.drug_id for line in slip.lines])
    if strict := [drug.name for drug in drugs.values() if rules.two_persons(drug.control)]:
        raise Conflict("ward.controlled", f"{strict[0]} 为管制药品，须由{store.name}的两名药师当面收回，不能代收")
    assert slip.present_ward_id is not None
    port.confirm(session, actor, return_id, slip.present_ward_id)  # from here on nobody else takes from this stay
    made = WardReturnActing(
        return_id=slip.id, number=slip.number, person_id=slip.person_id, store_id=store.id, acting_store_id=acting.id,
        asked_ward=slip.asked_ward, present_ward=slip.present_ward, acted_at=now(session), business_date=today(session),
        acted_by=actor.user_id, acted_by_name=actor.name)
    session.add(made)
    session.flush()
    back = _put_back(session, actor, store, slip, {key: drug.name for key, drug in drugs.items()}, codes or {})
    portable.insert_many(session, WardReturnBatch, [
        {"id": key, "acting_id": made.id, "line_id": line.id, "drug_id": line.drug_id, "batch_id": batch.batch_id,
         "quantity": batch.quantity}
        for key, (line, batch) in zip(of(session).keys.take(len(back)), back, strict=True)])
    signatures.sign(session, actor, SIGNED, made.id, _signed(session, [made.id])[made.id])
    outbox.record(session, "WardDrugsReturned", slip.number, {"return_id": slip.id, "store_id": store.id})
    audit.record(session, actor, "ward_return.act_for", "ward_return", slip.id, {
        "number": slip.number, "acting_for": store.name, "from": acting.name, "asked_ward": slip.asked_ward,
        "present_ward": slip.present_ward})
    return made


def _place(session: Session, slip: ReturnSlip, shown: int) -> Store:
    """The ward pharmacy of the patient's present ward, if it is the one that was shown and it is closed now."""
    if slip.present_ward_id is None:
        raise Conflict("ward.left", f"退药单 {slip.number} 的病人已出院，请通知病区药房与住院收费处处理")
    store = session.get(Store, slip.store_id) if slip.store_id is not None else None
    if store is None or not store.active:
        raise Conflict("ward.no_store", f"{slip.present_ward} 没有设置供药药房，请联系药学部")
    if store.id != shown:
        raise Conflict("ward.moved", f"病人已转入{slip.present_ward}，药品应收入{store.name}，请刷新后核对")
    rule = kernel.rule_of(session, store.id)
    if rule.opens and store.id not in kernel.closed_now(session):
        raise Conflict("ward.open", f"{store.name}开放时间为 {rule.opens}–{rule.closes}，现在有人值班，请到该药房退药")
    return store


def _put_back(session: Session, actor: Actor, store: Store, slip: ReturnSlip, names: Mapping[int, str],
              codes: Mapping[int, Sequence[str]]) -> list[tuple[SlipLine, BatchQuantity]]:
    """The lines' stock and codes, as far as they were handed out and have not come back."""
    if strange := sorted(set(codes) - {line.id for line in slip.lines}):
        raise Invalid("ward.codes", "追溯码所在的药品不属于这张退药单",
                      [FieldError(f"codes.{key}", "不属于这张退药单") for key in strange])
    back = []
    for line in slip.lines:
        chosen = choose_batches(stock.issued_batches(session, line.issued, line.issued_line_id), line.quantity,
                                names[line.drug_id], line.id)
        items = [BatchQuantity(line.issued_line_id, b.batch_id, b.drug_id, b.quantity) for b in chosen]
        stock.put_back(session, actor, store.id, items, line.issued)
        _codes_back(session, actor, store, line, codes.get(line.id, ()))
        back += [(line, item) for item in items]
    return back


def _codes_back(session: Session, actor: Actor, store: Store, line: SlipLine, scanned: Sequence[str]) -> None:
    """What went out by its code comes back by its code (TC-04)."""
    if scanned:
        tracing.take_back(session, actor, line.issued, line.issued_line_id, scanned, store_id=store.id,
                          quantity=line.quantity)
        return
    coded = sum(tracing.used(session, line.issued, line.issued_line_id).values(), Decimal(0))
    left = sum((b.quantity for b in stock.issued_batches(session, line.issued, line.issued_line_id)), Decimal(0))
    if coded > left:
        raise Invalid("ward.return_codes", "按追溯码发出的药品，退药时须逐盒扫回追溯码",
                      [FieldError(f"codes.{line.id}", "须扫回追溯码")])


def _signed(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What is signed (MP-15): who took which batches back, for which pharmacy, from whom; two queries."""
    found = {row.id: {**{name: getattr(row, name) for name in _SIGNED}, "lines": []}
             for row in session.scalars(select(WardReturnActing).where(WardReturnActing.id.in_(ids)))}
    for row in session.scalars(select(WardReturnBatch).where(WardReturnBatch.acting_id.in_(ids))
                               .order_by(WardReturnBatch.id)):
        found[row.acting_id]["lines"].append({"line_id": row.line_id, "drug_id": row.drug_id, "batch_id": row.batch_id,
                                              "quantity": row.quantity})
    return found


signatures.declare(SIGNED, "代收病区退药", _signed)
