"""The controlled-drug book's own acts: empties and residue that come back, destruction of paper prescriptions.

The book itself is the stock ledger, read for one drug (:mod:`modules.outpatient_pharmacy.queries.book`): it can't be
written apart from the stock. Implements: RX-07, RX-09
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, numbering, today
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.security import audit
from modules.kernel.masterdata.models import Drug
from modules.kernel.orders import service as orders
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.stock import service as stock
from modules.outpatient_pharmacy import rules
from modules.outpatient_pharmacy.models import EmptyReturn, PaperDestruction
from modules.outpatient_pharmacy.service.scoping import prescription_for

BOOK = "outpatient_pharmacy.book"
DESTROY = "outpatient_pharmacy.destroy_paper"
EMPTIES_SERIES = numbering.Series("controlled_return", "麻精回收单号", "HS{date:%y%m%d}{n:04d}", per_day=True)
DESTRUCTION_SERIES = numbering.Series("paper_destruction", "处方销毁登记号", "XH{date:%Y}{n:04d}")


def take_empties(session: Session, actor: Actor, *, line_id: int, kind: str, quantity: Decimal, brought_by: str,
                 witness: str) -> EmptyReturn:
    """Register empties or residue of a handed-out controlled line, against the batch it came from, with a witness.

    :raises Invalid: not a controlled drug, or the witness is the receiver. :raises Conflict: more comes back than
        went out (ampoules and patches; residue may be any part of it).
    """
    line = session.get(PrescriptionLine, line_id)
    if line is None:
        raise NotFound("pharmacy.line", "没有这条处方药品，请刷新后重试")
    found = prescription_for(session, actor, BOOK, line.prescription_id)
    drug = session.get(Drug, line.drug_id)
    assert drug is not None
    if drug.control in ("", "普通"):
        raise Invalid("pharmacy.not_controlled", f"{drug.name} 不是管制药品，不需要回收登记")
    if witness == actor.name:
        raise Invalid("pharmacy.witness", "监督人须为另一人", [FieldError("witness", "不能是回收人本人")])
    # of two who register at once one waits here, then sees what the other wrote
    portable.guarded_update(session, Prescription, Prescription.id == found.id, {"changed_at": Prescription.changed_at})
    out = stock.issued_batches(session, orders.document(found.id), line.id)
    before: dict[int, Decimal] = dict(session.execute(
        select(EmptyReturn.batch_id, func.sum(EmptyReturn.quantity))
        .where(EmptyReturn.prescription_line_id == line.id, EmptyReturn.kind == kind)
        .group_by(EmptyReturn.batch_id)).all())
    batch = next((b for b in out if b.quantity - before.get(b.batch_id, Decimal(0)) >= quantity), None)
    if batch is None:
        left = max((b.quantity - before.get(b.batch_id, Decimal(0)) for b in out), default=Decimal(0))
        raise Conflict("pharmacy.empties_excess", f"{drug.name} 回收数量超过发出数量（同一批号最多还可回收 "
                       f"{max(left, Decimal(0)).normalize():f}{drug.base_unit}）", [FieldError("quantity", "超过发出数量")])
    made = EmptyReturn(number=numbering.take(session, EMPTIES_SERIES), store_id=found.store_id,
                       prescription_line_id=line.id, drug_id=drug.id, batch_id=batch.batch_id, kind=kind,
                       quantity=quantity, brought_by=brought_by, received_at=now(session),
                       business_date=today(session), received_by=actor.user_id, received_by_name=actor.name,
                       witness_name=witness)
    session.add(made)
    session.flush()
    audit.record(session, actor, "controlled.empties", "prescription", found.id,
                 {"number": made.number, "kind": kind, "quantity": str(quantity)})
    return made


def destroy_paper(session: Session, actor: Actor, *, kind: str, until: date, approved_by: str, witness: str
                  ) -> PaperDestruction:
    """Register that the paper prescriptions of a kind, issued up to a day, are destroyed.

    The law keeps 普通/急诊/儿科 1, 毒性/精二 2, 麻精一 3 years (RX-07); what is in the database stays: it is the
    electronic record and is kept longer. :raises Conflict: the years are not over (with the first day allowed).
    """
    latest = rules.destroyable_until(kind, today(session))
    if until > latest:
        raise Conflict("pharmacy.keep_longer", f"{kind}处方须保存 {rules.KEEP_YEARS[kind]} 年，今天最多可销毁 {latest} 及以前"
                       f"开具的；{until} 的处方到 {rules.kept_until(kind, until)} 才可销毁",
                       [FieldError("until", f"不得晚于 {latest}")])
    if witness == actor.name:
        raise Invalid("pharmacy.witness", "监督人须为另一人", [FieldError("witness", "不能是登记人本人")])
    last = session.scalar(select(func.max(PaperDestruction.until_day)).where(PaperDestruction.kind == kind))
    wanted = [Prescription.kind == kind, Prescription.business_date <= until]
    if last is not None:
        if until <= last:
            raise Conflict("pharmacy.destroyed", f"{last} 及以前的{kind}处方已登记销毁，请核对")
        wanted.append(Prescription.business_date > last)
    count, first = session.execute(select(func.count(), func.min(Prescription.business_date)).where(*wanted)).one()
    made = PaperDestruction(
        number=numbering.take(session, DESTRUCTION_SERIES), kind=kind,
        from_day=first or (last + timedelta(days=1) if last else until), until_day=until, prescriptions=count,
        approved_by=approved_by, witness=witness, done_at=now(session), done_by=actor.user_id,
        done_by_name=actor.name)
    session.add(made)
    session.flush()
    audit.record(session, actor, "prescription.destroy_paper", "paper_destruction", made.id,
                 {"kind": kind, "until": str(until), "count": count})
    return made
