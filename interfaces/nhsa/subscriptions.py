"""Which of our events lead to which transactions: trace codes of packs bought, sold, returned, lost (R1).

Implements: R1, TC-04, TC-06

The peer knows an upload by our serial (fixmedins_bchno) and takes it once, so that a lost answer may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects.portable import starts_with
from his_server.clock import local
from his_server.db import Database
from his_server.messaging.outbox import Event, NotSent, Refused
from his_server.module import Handler
from interfaces.nhsa.client.messages import Insurer
from interfaces.nhsa.contract import ContractError
from interfaces.nhsa.mapping import stock
from interfaces.nhsa.models import NhsaCase, NhsaMessage
from modules.kernel.charging.models import InsuranceClaim, Intent
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import Drug
from modules.kernel.orders.models import Prescription
from modules.kernel.stock.models import (
    Batch,
    StockMove,
    Stocktake,
    StocktakeLine,
    TraceCode,
    TraceMove,
    TraceUpload,
)
from modules.kernel.stock.service import tracing

EVENTS = ("DrugTraceReceived", "DrugTraceSentBack", "DrugTraceSold", "DrugTraceReturned", "DrugTraceChanged",
          "DrugTraceDeleted")
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

    def count(database: Database, event: Event) -> None:
        insurer = insurer_of(database)
        if insurer is None:
            raise NotSent("医保接口未开通，盘存暂存待传")
        send_count(insurer, event.payload["sheet_id"], national_of(database))

    return (*(Handler(name, "nhsa", deliver, lost_answer="retry", network=True) for name in EVENTS),
            Handler("StockCounted", "nhsa", count, lost_answer="retry", network=True))


def send(insurer: Insurer, serial: str, national_of: NationalOf) -> bool:
    """Send one waiting upload; True where the insurer has it (now or already). What it refuses waits for a correction.

    :raises LostAnswer, NotSent: to be repeated under the same serial.
    """
    database = insurer.database
    with database.begin(write=False) as session:
        row, codes = tracing.upload_body(session, serial)
        if row.state == "sent":
            return True
        if row.act == "delete":
            gone = session.get_one(TraceUpload, row.document_id)
            deleted = (gone.serial, gone.act)
        else:
            deleted = None
            _wait_for_deletion(session, row)
        pack = _pack(session, row, national_of)
        act, at, key, operator = row.act, row.created_at, row.serial, _who(session, row)
        sale = _sale(session, row) if act in ("use", "take_back") else None
    if deleted is not None:
        reply = insurer.call("3507", stock.deletion(*deleted), number=key)
        if not reply.ok and reply.cause != "nhsa.order":  # what isn't there is gone
            return _refused(database, key, reply.message)
        with database.begin() as session:
            tracing.mark_sent(session, key, peer_number=reply.msgid)
        return True
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


def _wait_for_deletion(session: Session, row: TraceUpload) -> None:
    """What is deleted and sent again goes up once the deletion has. :raises NotSent: it hasn't yet."""
    if session.scalar(select(TraceUpload.id).where(
            TraceUpload.document_kind == "trace_upload", TraceUpload.document_id == row.id, TraceUpload.act == "delete",
            TraceUpload.state == "waiting").limit(1)) is not None:
        raise NotSent("等待删除上传先送达")


def send_count(insurer: Insurer, sheet_id: int, national_of: NationalOf) -> int:
    """3501 of every batch of a posted count sheet, each once; returns how many went up now.

    :raises Refused: some were refused (how many and why the first); those that went up aren't sent again.
    """
    database = insurer.database
    with database.begin(write=False) as session:
        sheet = session.get_one(Stocktake, sheet_id)
        store_id, at = sheet.store_id, sheet.changed_at
        lines = session.execute(
            select(StocktakeLine.position, StocktakeLine.batch_id, StocktakeLine.drug_id, StocktakeLine.counted)
            .where(StocktakeLine.stocktake_id == sheet_id, StocktakeLine.counted.is_not(None),
                   StocktakeLine.merged_into.is_(None)).order_by(StocktakeLine.position)).all()
        done = set(session.scalars(select(NhsaMessage.number).where(
            NhsaMessage.infno == "3501", NhsaMessage.state == "done",
            starts_with(NhsaMessage.number, f"PD{sheet_id}-"))))
    sent, refused = 0, []
    for line in lines:
        serial = f"PD{sheet_id}-{line.position}"
        if serial in done:
            continue
        with database.begin(write=False) as session:
            drug, batch = session.get_one(Drug, line.drug_id), session.get_one(Batch, line.batch_id)
            pack = _told(session, drug, batch, line.counted, local(at).date(), national_of)
            codes = list(session.scalars(select(TraceCode.code).where(
                TraceCode.store_id == store_id, TraceCode.batch_id == line.batch_id,
                TraceCode.state.in_(("in_stock", "opened"))).order_by(TraceCode.id)))
        try:
            reply = insurer.call("3501", stock.counted(serial, pack, codes, at), number=serial)
        except ContractError as error:
            refused.append(f"{pack.name}：{error.message}")
            continue
        if reply.ok:
            sent += 1
        else:
            refused.append(f"{pack.name}：{reply.message}")
    if refused:
        raise Refused(f"{len(refused)} 个批次没有上传：{refused[0]}"[:300])
    return sent


def _refused(database: Database, serial: str, message: str) -> bool:
    with database.begin() as session:
        tracing.mark_refused(session, serial, message)
    return False


def _pack(session: Session, row: TraceUpload, national_of: NationalOf) -> stock.Pack:
    return _told(session, session.get_one(Drug, row.drug_id), _batch(session, row), row.quantity, row.business_date, national_of)


def _told(session: Session, drug: Drug, batch: Batch | None, quantity: Decimal, day: date, national_of: NationalOf
          ) -> stock.Pack:
    listed = masterdata.national_codes(session, [drug.code], day).get(("drug", drug.code))
    national = listed[1] if listed else national_of("101", drug.code, drug.insurance_level) or ""
    return stock.Pack(
        national=national, code=drug.code, name=drug.name, prescription_only=not drug.otc, pack_size=drug.pack_size,
        manufacturer=drug.manufacturer, supplier=(batch.supplier or "") if batch else "", lot_no=batch.lot_no if batch else "",
        expiry=batch.expiry if batch else None, cost=batch.pack_cost if batch else Decimal(0), quantity=quantity)


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
