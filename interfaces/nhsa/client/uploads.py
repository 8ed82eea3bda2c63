"""Fee lines of a stay go up in batches, several at a time, and go on where they stopped (M5.2).

Implements: M5.2

Every line is written down before it is sent (waiting → done | refused), each batch under a message number of its own. A
batch whose answer was lost is asked about by 5204: what the insurer has is done, the rest is sent again; so a line is
never there twice and none is left out, however often the process dies. Refund lines wait for what they take back.
"""

from __future__ import annotations

import contextvars
import json
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, func, or_, select

from dialects import portable
from his_server.db import now
from his_server.messaging.outbox import LostAnswer, NotSent
from interfaces.nhsa.client.messages import Insurer, Reply
from interfaces.nhsa.contract import ContractError
from interfaces.nhsa.mapping import inpatient
from interfaces.nhsa.mapping.inpatient import Stay, StayLine
from interfaces.nhsa.models import NhsaFeeLine, NhsaMessage

CHUNK = 500
BAD_LINE = 3
"""So many batches without an answer end a run; the next one goes on."""


@dataclass(frozen=True)
class Progress:
    """How far an upload is; ``lost`` batches wait for the next run."""

    done: int
    refused: int
    waiting: int
    lost: int = 0


def write_down(insurer: Insurer, stay: Stay, psn_no: str, mdtrt_id: str, lines: Iterable[StayLine]) -> int:
    """Queue lines that aren't yet; returns how many are new. May be repeated."""
    database = insurer.database
    added = 0
    rows = list(lines)
    for start in range(0, len(rows), CHUNK):
        part = {str(line.line_id): line for line in rows[start:start + CHUNK]}
        with database.begin() as session:
            known = set(session.scalars(select(NhsaFeeLine.feedetl_sn).where(
                NhsaFeeLine.mdtrt_id == mdtrt_id, NhsaFeeLine.feedetl_sn.in_(part))))
            fresh = [line for sn, line in part.items() if sn not in known]
            at, place = now(session), NhsaFeeLine.body._place
            keys = database.keys.take(len(fresh)) if fresh else ()
            portable.insert_many(session, NhsaFeeLine, [{
                "id": key, "mdtrt_id": mdtrt_id, "feedetl_sn": str(line.line_id), "line_id": line.line_id,
                "state": "waiting", "msgid": "", "quantity_text": f"{line.quantity:f}", "amount": line.amount,
                "message": "", "changed_at": at, "back": line.reverses is not None,
                "body_sealed": database.sealer.seal("column", json.dumps(inpatient.fee(
                    line, stay, psn_no, mdtrt_id), ensure_ascii=False).encode(), place(key))}
                for key, line in zip(keys, fresh, strict=True)])
            added += len(fresh)
    return added


def upload(insurer: Insurer, psn_no: str, mdtrt_id: str, number: str, area: str,
           told: Callable[[Progress], None] | None = None) -> Progress:
    """Send what waits: first what earlier runs left in doubt is asked about, then charges, then refunds.

    ``told`` hears of the progress after every batch.
    """
    lost = 0
    _settle_doubts(insurer, psn_no, mdtrt_id, number, area)
    for back in (False, True):
        with insurer.database.begin(write=False) as session:
            ids = list(session.scalars(select(NhsaFeeLine.id).where(
                NhsaFeeLine.mdtrt_id == mdtrt_id, NhsaFeeLine.state == "waiting", NhsaFeeLine.back.is_(back))
                .order_by(NhsaFeeLine.id)))
        parts = inpatient.batches(ids, insurer.settings.upload_batch)
        lane = threading.BoundedSemaphore(insurer.settings.upload_lanes)
        # twice as many hands as lanes: while some batches are on the line, others are made ready and written down
        with ThreadPoolExecutor(2 * insurer.settings.upload_lanes, thread_name_prefix="nhsa-upload") as lanes:
            running = [lanes.submit(contextvars.copy_context().run, _batch, insurer, part, number, area, lane)
                       for part in parts]
            for one in as_completed(running):
                lost += one.result()
                if told is not None:
                    told(progress(insurer, mdtrt_id, lost))
                if lost >= BAD_LINE:
                    for waiting in running:
                        waiting.cancel()
                    break
        if lost:
            break
    return progress(insurer, mdtrt_id, lost)


def progress(insurer: Insurer, mdtrt_id: str, lost: int = 0) -> Progress:
    """How many lines of a visit are where."""
    with insurer.database.begin(write=False) as session:
        counts = dict(session.execute(select(NhsaFeeLine.state, func.count()).where(
            NhsaFeeLine.mdtrt_id == mdtrt_id).group_by(NhsaFeeLine.state)).all())
    return Progress(counts.get("done", 0), counts.get("refused", 0), counts.get("waiting", 0) + counts.get("sent", 0), lost)


def _bodies(insurer: Insurer, ids: Sequence[int]) -> list[dict[str, Any]]:
    with insurer.database.begin(write=False) as session:
        rows = session.execute(select(NhsaFeeLine.id, NhsaFeeLine.body_sealed).where(NhsaFeeLine.id.in_(ids))
                               .order_by(NhsaFeeLine.id)).all()
        texts = NhsaFeeLine.body.reveal_many([(row.id, row.body_sealed) for row in rows])
    return [json.loads(text or "{}") for text in texts]


def _batch(insurer: Insurer, ids: list[int], number: str, area: str, lane: threading.BoundedSemaphore) -> int:
    """Send one batch; 1 when its answer was lost. A refused one is halved until the bad line stands alone."""
    def before(session: Any, msgid: str) -> None:
        portable.guarded_update(session, NhsaFeeLine, NhsaFeeLine.id.in_(ids), {
            "state": "sent", "msgid": msgid, "changed_at": now(session)})

    def after(session: Any, reply: Reply) -> None:
        if reply.cause == "nhsa.duplicate":  # one of them came through before after all: the next run asks which
            return
        state = "done" if reply.ok else "waiting" if len(ids) > 1 else "refused"
        portable.guarded_update(session, NhsaFeeLine, NhsaFeeLine.id.in_(ids), {
            "state": state, "message": "" if reply.ok else reply.message[:200], "changed_at": now(session)})

    try:
        lines = _bodies(insurer, ids)
        brief = f"feedetail {len(lines)} 条，流水号 {lines[0]['feedetl_sn']} 至 {lines[-1]['feedetl_sn']}，明细见上传清单"
        reply = insurer.call("2301", {"feedetail": lines}, number=number, area=area, before=before, after=after,
                             brief=brief, slot=lane)
    except LostAnswer:
        return 1
    except (NotSent, ContractError) as error:
        alone = isinstance(error, ContractError) and len(ids) == 1
        with insurer.database.begin() as session:
            portable.guarded_update(session, NhsaFeeLine, NhsaFeeLine.id.in_(ids), {
                "state": "refused" if alone else "waiting", "message": str(error)[:200], "changed_at": now(session)})
        if isinstance(error, NotSent):
            return 1
        return 0 if alone else _halves(insurer, ids, number, area, lane)
    if reply.cause == "nhsa.duplicate":
        return 1
    return 0 if reply.ok or len(ids) == 1 else _halves(insurer, ids, number, area, lane)


def _halves(insurer: Insurer, ids: list[int], number: str, area: str, lane: threading.BoundedSemaphore) -> int:
    middle = len(ids) // 2
    return _batch(insurer, ids[:middle], number, area, lane) + _batch(insurer, ids[middle:], number, area, lane)


def _settle_doubts(insurer: Insurer, psn_no: str, mdtrt_id: str, number: str, area: str) -> None:
    """Lines whose batch had no answer: done where the insurer has them (5204), to be sent again where it hasn't.

    What another process has just sent is left to it.

    :raises LostAnswer, NotSent: it can't be asked now.
    """
    with insurer.database.begin(write=False) as session:
        patience = now(session) - timedelta(seconds=insurer.settings.late_seconds)
        doubtful = dict(session.execute(
            select(NhsaFeeLine.feedetl_sn, NhsaFeeLine.amount)
            .join(NhsaMessage, NhsaMessage.msgid == NhsaFeeLine.msgid)
            .where(NhsaFeeLine.mdtrt_id == mdtrt_id, NhsaFeeLine.state == "sent",
                   or_(NhsaMessage.state != "sent", NhsaMessage.sent_at < patience))).all())
    if not doubtful:
        return
    reply = insurer.call("5204", {"data": {"psn_no": psn_no, "setl_id": "", "mdtrt_id": mdtrt_id}}, number=number, area=area)
    if not reply.ok:
        raise LostAnswer(f"费用明细查询未成功：{reply.message}")
    there = {row["feedetl_sn"]: row["det_item_fee_sumamt"] for row in reply.output["data"]}
    for sns, state in (([sn for sn in doubtful if sn in there and there[sn] == doubtful[sn]], "done"),
                       ([sn for sn in doubtful if sn not in there], "waiting")):
        for start in range(0, len(sns), CHUNK):
            with insurer.database.begin() as session:
                portable.guarded_update(session, NhsaFeeLine, (NhsaFeeLine.mdtrt_id == mdtrt_id)
                                        & NhsaFeeLine.feedetl_sn.in_(sns[start:start + CHUNK])
                                        & (NhsaFeeLine.state == "sent"), {"state": state, "changed_at": now(session)})


def forget(insurer: Insurer, mdtrt_id: str) -> None:
    """After 2302 of everything: the lines wait to be sent again."""
    with insurer.database.begin() as session:
        portable.guarded_update(session, NhsaFeeLine, (NhsaFeeLine.mdtrt_id == mdtrt_id) & NhsaFeeLine.state.in_(
            ("done", "sent")), {"state": "waiting", "changed_at": now(session)})


def uploaded_total(insurer: Insurer, mdtrt_id: str) -> Decimal:
    """What of a stay the insurer has, in yuan."""
    with insurer.database.begin(write=False) as session:
        return session.scalar(select(func.sum(NhsaFeeLine.amount)).where(
            NhsaFeeLine.mdtrt_id == mdtrt_id, NhsaFeeLine.state == "done")) or Decimal(0)


def failed(insurer: Insurer, limit: int = 200) -> list[Any]:
    """Refused lines, newest first, with the reason (M5.3)."""
    with insurer.database.begin(write=False) as session:
        return list(session.execute(
            select(NhsaFeeLine.mdtrt_id, NhsaFeeLine.feedetl_sn, NhsaFeeLine.message, NhsaFeeLine.changed_at)
            .where(or_(NhsaFeeLine.state == "refused", and_(NhsaFeeLine.state == "waiting", NhsaFeeLine.message != "")))
            .order_by(NhsaFeeLine.changed_at.desc(), NhsaFeeLine.id.desc()).limit(limit)))
