"""Which of our events lead to which transactions: trace codes of packs bought, sold, returned, lost (R1).

Implements: R1, TC-04, TC-06

The peer knows an upload by our serial (fixmedins_bchno) and takes it once, so that a lost answer may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.db import Database
from his_server.messaging.outbox import Event, NotSent
from his_server.module import Handler
from interfaces.nhsa.client.messages import Insurer
from interfaces.nhsa.contract import ContractError
from interfaces.nhsa.mapping import stock
from interfaces.nhsa.models import NhsaCase
from modules.kernel.charging.models import InsuranceClaim, Intent
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import Drug
from modules.kernel.orders.models import Prescription
from modules.kernel.stock.models import Batch, StockMove, TraceCode, TraceMove, TraceUpload
from modules.kernel.stock.service import tracing

EVENTS = ("DrugTraceReceived", "DrugTraceSentBack", "DrugTraceSold", "DrugTraceReturned", "DrugTraceChanged")
NationalOf = Callable[[str, str, str], "str | None"]
"""list_type, our code, chrgitm_lv → the national code of a drug that nobody mapped, or None."""


def handlers(insurer_of: Callable[[Database], Insurer | None], national_of: Callable[[Database], NationalOf]
             ) -> tuple[Handler, ...]:
    """The subscriptions; ``insurer_of`` finds the open line."""
    def deliver(database: Database, event: Event) -> None:
        insurer = insurer_of(database)
        if insurer is None:
            raise NotSent("医保接口未开通，追溯码暂存待传")
        send(insurer, event.payload["serial"], national_of(database))

    return tuple(Handler(name, "nhsa", deliver, lost_answer="retry", network=True) for name in EVENTS)


def send(insurer: Insurer, serial: str, national_of: NationalOf) -> bool:
    """Send one waiting upload; True where the insurer has it (now or already). What it refuses waits for a correction.

    :raises LostAnswer, NotSent: to be repeated under the same serial.
    """
    database = insurer.database
    with database.begin(write=False) as session:
        row, codes = tracing.upload_body(session, serial)
        if row.state == "sent":
            return True
        pack = _pack(session, row, national_of)
        act, at, key, operator = row.act, row.created_at, row.serial, _who(session, row)
        sale = _sale(session, row) if act in ("use", "take_back") else None
    if not pack.national:
        return _refused(database, key, f"{pack.name} 没有对照医保目录，请医保办完成对照后重新发送")
    try:
        reply = insurer.call(stock.TRANSACTIONS[act], stock.body(act, key, pack, codes, at, operator, sale), number=key)
    except ContractError as error:
        return _refused(database, key, f"不符合医保规范：{error.message}")
    if not reply.ok:
        return _refused(database, key, reply.message)
    with database.begin() as session:
        tracing.mark_sent(session, key, peer_number=reply.msgid)
    return True


def _refused(database: Database, serial: str, message: str) -> bool:
    with database.begin() as session:
        tracing.mark_refused(session, serial, message)
    return False


def _pack(session: Session, row: TraceUpload, national_of: NationalOf) -> stock.Pack:
    drug = session.get_one(Drug, row.drug_id)
    batch = _batch(session, row)
    codes = masterdata.national_codes(session, [drug.code], row.business_date)
    listed = codes.get(("drug", drug.code))
    national = listed[1] if listed else national_of("101", drug.code, drug.insurance_level) or ""
    return stock.Pack(
        national=national, code=drug.code, name=drug.name, prescription_only=not drug.otc, pack_size=drug.pack_size,
        manufacturer=drug.manufacturer, supplier=(batch.supplier or "") if batch else "", lot_no=batch.lot_no if batch else "",
        expiry=batch.expiry if batch else None, cost=batch.pack_cost if batch else row.quantity * 0, quantity=row.quantity)


def _batch(session: Session, row: TraceUpload) -> Batch | None:
    """The batch of the codes, else that of the stock move of the same document and line."""
    key = session.scalar(
        select(TraceCode.batch_id).join(TraceMove, TraceMove.code_id == TraceCode.id)
        .where(TraceMove.upload_id == row.id, TraceCode.batch_id.is_not(None)).order_by(TraceMove.id).limit(1))
    if key is None:
        key = session.scalar(
            select(StockMove.batch_id).where(
                StockMove.document_kind == row.document_kind, StockMove.document_id == row.document_id,
                StockMove.drug_id == row.drug_id).order_by(StockMove.id).limit(1))
    return session.get(Batch, key) if key is not None else None


def _who(session: Session, row: TraceUpload) -> str:
    return session.scalar(select(TraceMove.actor_name).where(TraceMove.upload_id == row.id).limit(1)) or ""


def _sale(session: Session, row: TraceUpload) -> stock.Sale:
    found: Any = None
    if row.document_kind == "prescription":
        found = session.execute(
            select(Prescription.number, Prescription.doctor_name, Prescription.settlement_id, Encounter.visit_no)
            .join(Encounter, Encounter.id == Prescription.encounter_id)
            .where(Prescription.id == row.document_id)).first()
    if found is None:
        return stock.Sale(visit=f"{row.document_kind}-{row.document_id}", prescription="", doctor="")
    case = None
    if found.settlement_id is not None:
        case = session.scalars(
            select(NhsaCase).join(Intent, Intent.number == NhsaCase.number)
            .join(InsuranceClaim, InsuranceClaim.intent_id == Intent.id)
            .where(InsuranceClaim.settlement_id == found.settlement_id, Intent.state == "used")).first()
    return stock.Sale(visit=case.mdtrt_id if case is not None else found.visit_no, prescription=found.number,
                      doctor=found.doctor_name, setl_id=case.setl_id if case is not None else "",
                      psn_no=(case.psn_no or "") if case is not None else "")


def drop(insurer: Insurer, serial: str) -> str:
    """Take a wrong upload back (3507), so that its correction can be sent; empty, or why the insurer refuses."""
    with insurer.database.begin(write=False) as session:
        row = session.scalars(select(TraceUpload).where(TraceUpload.serial == serial)).one()
        kind = stock.DATA_TYPES[stock.TRANSACTIONS[row.act]]
    reply = insurer.call("3507", {"data": {"fixmedins_bchno": serial, "inv_data_type": kind}}, number=serial)
    return "" if reply.ok or reply.cause == "nhsa.order" else reply.message

