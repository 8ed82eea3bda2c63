"""What orders say and do when a bill is settled with the insurer (R1, TC-03), for whatever channel it comes through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now
from his_server.errors import Conflict, FieldError
from modules.kernel.charging.models import ChargeLine
from modules.kernel.charging.service import followers
from modules.kernel.masterdata.models import Diagnosis
from modules.kernel.orders.models import Prescription, PrescriptionLine, Request
from modules.kernel.orders.service import following
from modules.kernel.stock.models import TraceMove
from modules.kernel.stock.rules import Demand
from modules.kernel.stock.service import tracing

CHUNK = 500


def _sources(session: Session, line_ids: Iterable[int]) -> dict[str, list[int]]:
    """The documents behind charge lines, by kind of source, sorted."""
    found: dict[str, set[int]] = defaultdict(set)
    wanted = sorted(set(line_ids))
    for start in range(0, len(wanted), CHUNK):
        for source, key in session.execute(
                select(ChargeLine.source, ChargeLine.source_id)
                .where(ChargeLine.id.in_(wanted[start:start + CHUNK])).distinct()):
            found[source].add(key)
    return {source: sorted(keys) for source, keys in found.items()}


def diagnoses(session: Session, line_ids: Sequence[int]) -> Iterator[tuple[str, str]]:
    """The diagnoses that the lines were ordered for, with their codes where the catalogue has the name."""
    sources = _sources(session, line_ids)
    names: list[str] = []
    for source, model in (("prescription", Prescription), ("request", Request)):
        if keys := sources.get(source):
            for document in session.scalars(select(model).where(model.id.in_(keys)).order_by(model.id)):
                names += [part for part in str(document.diagnosis or "").replace("；", ";").split(";") if part.strip()]
    names = list(dict.fromkeys(name.strip() for name in names))
    codes = dict(session.execute(
        select(Diagnosis.name, Diagnosis.code).where(Diagnosis.name.in_(names)).order_by(Diagnosis.code)).all()) if names else {}
    for name in names:
        yield codes.get(name, ""), name


def check_traced(session: Session, line_ids: Sequence[int]) -> None:
    """Drugs without a trace code in their store, and not on the no-code list, can't be settled with the insurer; those
    handed out already (自费转医保) need the code that was scanned when they were.

    :raises Conflict: names the drugs (TC-03).
    """
    prescriptions = _sources(session, line_ids).get("prescription")
    if not prescriptions:
        return
    rows = session.execute(
        select(PrescriptionLine.id, PrescriptionLine.drug_id, PrescriptionLine.quantity, PrescriptionLine.name,
               PrescriptionLine.charge_line_id, Prescription.store_id)
        .join(Prescription, Prescription.id == PrescriptionLine.prescription_id)
        .where(Prescription.id.in_(prescriptions), PrescriptionLine.charge_line_id.in_(sorted(set(line_ids))))).all()
    missing: set[int] = set()
    for store_id in sorted({row.store_id for row in rows}):
        missing |= set(tracing.unsettlable(
            session, store_id, [Demand(r.id, r.drug_id, r.quantity) for r in rows if r.store_id == store_id]))
    if missing:
        missing -= set(session.scalars(select(TraceMove.line_id).where(
            TraceMove.document_kind == "prescription", TraceMove.document_id.in_(prescriptions),
            TraceMove.line_id.in_(sorted(missing)), TraceMove.act == "use")))
    wrong = [row for row in rows if row.id in missing]
    if wrong:
        names = "、".join(dict.fromkeys(row.name for row in wrong))
        raise Conflict("insurance.no_trace_code", f"{names} 没有追溯码，也不在无码库，不能医保结算。请药房补扫追溯码，或改为自费",
                       [FieldError(f"lines.{row.charge_line_id}", f"{row.name} 没有追溯码") for row in wrong])


def unrefund(session: Session, actor: Actor, lines: Iterable[tuple[int, Decimal]]) -> None:
    """The refund did not take place after all: wholly refunded orders are charged again, drugs reserved again.

    :raises Conflict: the drugs were sold meanwhile.
    """
    sources = _sources(session, [key for key, _ in lines])
    values = {"state": "charged", "changed_at": now(session), "changed_by_name": actor.name}
    for source, model in (("prescription", Prescription), ("request", Request)):
        if keys := sources.get(source):
            portable.guarded_update(session, model, model.id.in_(keys) & (model.state == "refunded"), values)
    following.follow_refund(session, actor, lines)


followers.SETTLED.append(following.follow_settlement)
followers.HOLD.append(following.hold)
followers.REFUNDED.append(following.follow_refund)
followers.UNREFUNDED.append(unrefund)
followers.MAY_INSURE.append(check_traced)
followers.DIAGNOSES.append(diagnoses)
