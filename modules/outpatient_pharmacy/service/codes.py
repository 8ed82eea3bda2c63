"""Trace codes at the window: what the pharmacist scanned goes to the stock's tracing (R1, TC-02 to TC-05).

A drug without a scanned code needs an entry on the no-code list. Where there is none, an insured visit's drug stays
here (TC-03); a self-paid one goes out and the answer says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.errors import Conflict, FieldError, Invalid
from his_server.security import audit
from modules.kernel.encounters.models import Encounter
from modules.kernel.orders import service as orders
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import NoCodeEntry
from modules.kernel.stock.service import BatchQuantity, tracing

SELF_PAID = "自费"


def clean(session: Session, found: Prescription, codes: Mapping[int, Sequence[str]]) -> dict[int, list[str]]:
    """The codes, each once and each for a line of this prescription. :raises Invalid: they are not."""
    mine = set(session.scalars(select(PrescriptionLine.id).where(PrescriptionLine.prescription_id == found.id)))
    errors = [FieldError(f"codes.{line}", "该药品不属于这张处方") for line in codes if line not in mine]
    seen: set[str] = set()
    for line, scanned in codes.items():
        for code in scanned:
            if code in seen:
                errors.append(FieldError(f"codes.{line}", f"追溯码 {code} 扫了两次"))
            seen.add(code)
    if errors:
        raise Invalid("pharmacy.codes", "追溯码有误，请按提示重新扫描", errors)
    return {line: list(scanned) for line, scanned in codes.items() if scanned}


def use(session: Session, actor: Actor, found: Prescription, lines: Sequence[Any], codes: Mapping[int, Sequence[str]],
        handed_out: Sequence[BatchQuantity], boxes: Collection[str] = ()) -> list[str]:
    """Take the codes of the handed-out lines; returns the names of drugs that went out without one and without a
    no-code entry.

    :raises Conflict: a pack was sold already or lies elsewhere (TC-02), or an insured visit's drug has neither code
        nor entry (TC-03). :raises Invalid: too few or too many packs (TC-05).
    """
    scanned = clean(session, found, codes)
    wanted = {line.id: line for line in lines}
    if set(scanned) - set(wanted):
        raise Invalid("pharmacy.codes", "扫码的药品不在本次发出的药品中，请核对")
    given: dict[int, Decimal] = {}
    for item in handed_out:
        given[item.line_id or 0] = given.get(item.line_id or 0, Decimal(0)) + item.quantity
    document = orders.document(found.id)
    for key in sorted(scanned):
        line = wanted[key]
        tracing.use(session, actor, document, key, line.drug_id, scanned[key], store_id=found.store_id,
                    quantity=given[key], pack_size=line.pack_size, boxes=boxes)
    bare = [line for line in lines if line.id in given and line.id not in scanned]
    excused = _excused(session, [i for i in handed_out if i.line_id in {line.id for line in bare}])
    missing = [line for line in bare if line.id not in excused]
    if missing and insured(session, found):
        raise Conflict("pharmacy.code_missing", f"医保结算的 {missing[0].name} 没有扫追溯码，也不在无码库，不能发药；请扫码，"
                       "确无追溯码的请先登记无码库", [FieldError(f"codes.{line.id}", "须扫追溯码") for line in missing])
    if missing:
        audit.record(session, actor, "trace.none", "prescription", found.id,
                     {"drugs": [line.name for line in missing]})
    return [line.name for line in missing]


def insured(session: Session, found: Prescription) -> bool:
    """Whether the visit is settled with the insurance fund."""
    visit = session.get(Encounter, found.encounter_id)
    return visit is not None and bool(visit.insurance) and visit.insurance != SELF_PAID


def _excused(session: Session, items: Sequence[BatchQuantity]) -> set[int]:
    """Lines whose every batch is on the no-code list (the drug, or that batch of it); one query."""
    if not items:
        return set()
    entries = {(row.drug_id, row.batch_id) for row in session.execute(
        select(NoCodeEntry.drug_id, NoCodeEntry.batch_id).where(
            NoCodeEntry.drug_id.in_({i.drug_id for i in items}), NoCodeEntry.ended_at.is_(None)))}
    fine: dict[int, bool] = {}
    for item in items:
        on_list = (item.drug_id, None) in entries or (item.drug_id, item.batch_id) in entries
        fine[item.line_id or 0] = fine.get(item.line_id or 0, True) and on_list
    return {line for line, ok in fine.items() if ok}


def take_back(session: Session, actor: Actor, found: Prescription, lines: Sequence[Any],
              codes: Mapping[int, Sequence[str]]) -> None:
    """Set the codes of the returned lines back, so that they may be sold once more (TC-04).

    What went out by its code comes back by its code. :raises Invalid: a line's code is missing, or doesn't fit.
    """
    scanned = clean(session, found, codes)
    document = orders.document(found.id)
    errors = []
    for line in lines:
        key = line.prescription_line_id
        if scanned.get(key):
            tracing.take_back(session, actor, document, key, scanned[key], store_id=found.store_id,
                              quantity=line.quantity)
        elif _left_coded(session, found, key) > _left(session, found, key):
            errors.append(FieldError(f"codes.{key}", "该药品按追溯码发出，退药须扫回追溯码"))
    if errors:
        raise Invalid("pharmacy.return_codes", "按追溯码发出的药品，退药时须逐盒扫回追溯码", errors)


def _left_coded(session: Session, found: Prescription, line_id: int) -> Decimal:
    return sum(tracing.used(session, orders.document(found.id), line_id).values(), Decimal(0))


def _left(session: Session, found: Prescription, line_id: int) -> Decimal:
    """What the patient still has of a line after the present return went back into stock."""
    return sum((b.quantity for b in stock.issued_batches(session, orders.document(found.id), line_id)), Decimal(0))
