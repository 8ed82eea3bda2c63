"""Drug trace codes (追溯码): collected at receipt, used at dispensing, taken back, moved with stock (R1).

Implements: TC-01, TC-02, TC-03, TC-04, TC-05, TC-06, TC-07. Quantities are smallest units. Every change is a guarded
UPDATE on the code's row; the loser of a race is told who had it and when.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import Quantity, now, of, today
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.messaging import outbox
from his_server.security import audit
from modules.kernel.stock import rules
from modules.kernel.stock.models import Batch, NoCodeEntry, StockBalance, TraceCode, TraceMove, TraceUpload
from modules.kernel.stock.rules import Demand
from modules.kernel.stock.service import packing
from modules.kernel.stock.service.ledger import Document

CHUNK = 500
UNCOLLECTED = "没有采集过这个追溯码：请核对是否扫全；新到货在“到货验收”扫码采集，箱码请在“装箱”中查看"
_CODE = TraceCode.__table__.c
_SET = {"state": bindparam("b_state"), "remaining": bindparam("b_remaining", type_=Quantity),
        "store_id": bindparam("b_store"), "changed_at": bindparam("b_at"), "changed_by_name": bindparam("b_name")}
_CHANGE = (update(TraceCode.__table__)  # type: ignore[arg-type]
           .where(_CODE.id == bindparam("b_id"), _CODE.state == bindparam("b_was"),
                  _CODE.remaining == bindparam("b_left", type_=Quantity)).values(**_SET))


@dataclass(frozen=True)
class Scan:
    """A code scanned for a pack of a drug and batch; ``quantity`` smallest units are in the pack."""

    code: str
    drug_id: int
    batch_id: int | None
    quantity: Decimal
    line_id: int | None = None


@dataclass(frozen=True)
class Used:
    """What was taken of one pack."""

    code: str
    batch_id: int | None
    quantity: Decimal


def find(session: Session, codes: Iterable[str]) -> dict[str, TraceCode]:
    """Codes that we know, by their text; a query per 500."""
    found: dict[str, TraceCode] = {}
    for chunk in _chunks(sorted(set(codes))):
        found |= {row.code: row for row in session.scalars(
            select(TraceCode).where(TraceCode.code.in_(chunk)).execution_options(populate_existing=True))}
    return found


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), CHUNK):
        yield values[start:start + CHUNK]


def collect(session: Session, actor: Actor, store_id: int, document: Document, scans: Sequence[Scan]) -> int:
    """Take the codes of arriving packs into a store; returns how many. A pack that went back to its supplier may
    come again. :raises Invalid: no code, scanned twice, or a carton's. :raises Conflict: a code is in the house
    already (named).
    """
    _check([scan.code for scan in scans])
    packing.refuse_large([scan.code for scan in scans], packing.known(session, [scan.code for scan in scans]))
    known = find(session, [scan.code for scan in scans])
    again = [(known[scan.code], scan) for scan in scans if scan.code in known]
    for code, scan in again:
        if code.state not in rules.TRACE_MOVES["collect"][0] or code.drug_id != scan.drug_id:
            raise _taken(session, code, "collect")
    fresh = [scan for scan in scans if scan.code not in known]
    at = now(session)
    keys = of(session).keys.take(len(fresh))
    if fresh:
        made = portable.upsert(session, TraceCode, [
            {"id": key, "code": scan.code, "drug_id": scan.drug_id, "batch_id": scan.batch_id, "store_id": store_id,
             "state": "in_stock", "quantity": scan.quantity, "remaining": scan.quantity, "changed_at": at,
             "changed_by_name": actor.name} for key, scan in zip(keys, fresh, strict=True)], ["code"], [])
        if made != len(fresh):
            raise Conflict("trace.taken", "部分追溯码刚被他人采集，请刷新后核对")
    changed = [(code, code.quantity) for code, _ in again]
    _move_all(session, actor, "collect", changed, store_id)
    lines = {scan.code: scan.line_id for scan in scans}
    _write(session, actor, "collect", document, None, store_id, [
        *((key, scan.drug_id, scan.quantity, scan.line_id) for key, scan in zip(keys, fresh, strict=True)),
        *((code.id, code.drug_id, code.quantity, lines[code.code]) for code, _ in again)])
    return len(scans)


def use(session: Session, actor: Actor, document: Document, line_id: int, drug_id: int, codes: Sequence[str], *,
        store_id: int, quantity: Decimal, pack_size: Decimal | int, boxes: Collection[str] = ()) -> list[Used]:
    """Hand out packs of one document line by their codes; the last one may be split (TC-05).

    ``quantity`` is what the line hands out. A code that nobody collected at receipt is collected here, as a pack of
    ``pack_size``, if it is known to be a box's: by the platform, a packing list, or a person who looked (``boxes``).
    :raises Invalid: wrong drug, code scanned twice, a carton's code, too few or too many packs.
    :raises Conflict: a pack was sold already, or is in another store (who, when); nobody knows whether a code is a box's.
    """
    _check(codes)
    known, packs_known = find(session, codes), packing.known(session, codes)
    packing.refuse_large(codes, packs_known)
    for index, text in enumerate(codes):
        if text in known and known[text].drug_id != drug_id:
            raise Invalid("trace.drug", "追溯码不是该药品的，请核对药品", [FieldError(f"codes.{index}", "不是该药品的追溯码")])
    if missing := [text for text in codes if text not in known]:
        # never scanned at receipt: the pack is in our hands, so it is in the store
        sure(session, actor, document, [text for text in missing if text not in packs_known], boxes)
        at = now(session)
        portable.upsert(session, TraceCode, [
            {"id": key, "code": text, "drug_id": drug_id, "batch_id": None, "store_id": store_id, "state": "in_stock",
             "quantity": Decimal(pack_size), "remaining": Decimal(pack_size), "changed_at": at,
             "changed_by_name": actor.name}
            for key, text in zip(of(session).keys.take(len(missing)), missing, strict=True)], ["code"], [])
        known = find(session, codes)
    packs = [known[text] for text in codes]
    for code in packs:
        if code.state not in rules.TRACE_MOVES["use"][0] or code.store_id != store_id:
            raise _taken(session, code, "use")
    shares = rules.share_codes(quantity, [code.remaining for code in packs])
    if sum(shares, rules.ZERO) != quantity:
        raise Invalid("trace.too_few", f"所扫追溯码共 {sum(shares, rules.ZERO).normalize():f}，少于应发数量 "
                      f"{quantity.normalize():f}，请继续扫码")
    if any(share == 0 for share in shares):
        raise Invalid("trace.too_many", "扫码多于应发数量，请去掉多余的追溯码")
    _move_all(session, actor, "use", list(zip(packs, shares, strict=True)), store_id)
    _write(session, actor, "use", document, store_id, None, [
        (code.id, drug_id, share, line_id) for code, share in zip(packs, shares, strict=True)])
    return [Used(code.code, code.batch_id, share) for code, share in zip(packs, shares, strict=True)]


def sure(session: Session, actor: Actor, document: Document, codes: Sequence[str], boxes: Collection[str]) -> None:
    """Whether codes are boxes' that nobody knows anything of: a person who has the pack in hand says so, which is kept.

    :raises Conflict: nobody said so.
    """
    if unsure := [code for code in codes if code not in boxes]:
        raise Conflict("trace.uncollected", f"追溯码 {'、'.join(unsure[:3])} 不在追溯平台、装箱文件和入库采集中，"
                       "不能确定是一盒还是一箱，请核对实物：确为一盒的请确认，是箱码的请逐盒扫小码",
                       [FieldError("boxes", code) for code in unsure])
    if codes:
        packing.tell(session, actor, codes, boxes=True, kind=document.kind, document_id=document.id)


def used(session: Session, document: Document, line_id: int) -> dict[int, Decimal]:
    """What a line has of each pack (code id → smallest units): used less taken back. One query."""
    net: dict[int, Decimal] = {}
    for row in session.execute(select(TraceMove.code_id, TraceMove.act, TraceMove.quantity).where(
            TraceMove.document_kind == document.kind, TraceMove.document_id == document.id,
            TraceMove.line_id == line_id, TraceMove.act.in_(("use", "take_back")))):
        net[row.code_id] = net.get(row.code_id, rules.ZERO) + (row.quantity if row.act == "use" else -row.quantity)
    return {code: quantity for code, quantity in net.items() if quantity > 0}


def take_back(session: Session, actor: Actor, document: Document, line_id: int, codes: Sequence[str], *,
              store_id: int, quantity: Decimal | None = None) -> list[Used]:
    """Set codes back that a line had used (退药、红冲): they can be sold once more (TC-04).

    ``quantity`` limits what comes back of split packs; without it all that the line took of them does.
    :raises Conflict: the line did not use that code, or it came back already.
    """
    _check(codes)
    known, held = find(session, codes), used(session, document, line_id)
    for index, text in enumerate(codes):
        if text not in known or known[text].id not in held:
            raise Conflict("trace.not_used", "追溯码不是这张单据发出的，或已经退回，请核对",
                           [FieldError(f"codes.{index}", "不是该行发出的追溯码")])
    packs = [known[text] for text in codes]
    full = [held[code.id] for code in packs]
    shares = full if quantity is None else rules.share_codes(quantity, full)
    if quantity is not None and (sum(shares, rules.ZERO) != quantity or any(share == 0 for share in shares)):
        raise Invalid("trace.quantity", "所扫追溯码与退药数量不符，请核对后重新扫描")
    for code in packs:
        if code.state not in rules.TRACE_MOVES["take_back"][0]:
            raise _taken(session, code, "take_back")
    _move_all(session, actor, "take_back", list(zip(packs, shares, strict=True)), store_id)
    _write(session, actor, "take_back", document, None, store_id, [
        (code.id, code.drug_id, share, line_id) for code, share in zip(packs, shares, strict=True)])
    return [Used(code.code, code.batch_id, share) for code, share in zip(packs, shares, strict=True)]


def move(session: Session, actor: Actor, act: str, document: Document, codes: Sequence[str], *,
         store_from: int | None, store_to: int | None, line_ids: dict[str, int] | None = None) -> int:
    """Move whole packs as stock moves: ``ship``, ``arrive``, ``lose``, ``take_out``, ``send_back``, ``find`` (TC-07).

    :raises Conflict: a move that the code's state does not allow, or a code of another store (named).
    """
    _check(codes)
    known = find(session, codes)
    if missing := [index for index, text in enumerate(codes) if text not in known]:
        raise Invalid("trace.unknown", f"追溯码 {codes[missing[0]]} 没有采集过，请核对是否扫错；确无误的请去掉该码，只按数量登记",
                      [FieldError(f"codes.{index}", "没有采集过") for index in missing])
    packs = [known[text] for text in codes]
    for code in packs:
        if code.state not in rules.TRACE_MOVES[act][0] or (store_from is not None and code.store_id != store_from):
            raise _taken(session, code, act)
    _move_all(session, actor, act, [(code, code.remaining) for code in packs], store_to)
    _write(session, actor, act, document, store_from, store_to, [
        (code.id, code.drug_id, code.remaining, (line_ids or {}).get(code.code)) for code in packs])
    return len(packs)


def uncollect(session: Session, actor: Actor, code: str, *, reason: str) -> dict[str, Any]:
    """A larger pack's code that was collected as a box is taken off the shelf's codes (更正为箱码); the stock's quantity stays.
    The boxes in it that nobody has collected, where they are known, take its place: same drug, batch and store.

    Returns ``boxes`` collected and ``left``: boxes known but not collected, since the batch has no room for them.
    :raises NotFound: nobody collected it. :raises Conflict: opened, sold or moved already; it is known to be a box.
    """
    found = find(session, [code]).get(code)
    if found is None:
        raise NotFound("trace.unknown", UNCOLLECTED)
    if found.state not in rules.TRACE_MOVES["uncollect"][0] or found.remaining != found.quantity:
        raise _taken(session, found, "uncollect")
    packing.tell(session, actor, [code], boxes=False, kind="trace_code", document_id=found.id)
    store_id, document = found.store_id, Document("trace_code", found.id)
    assert store_id is not None
    _move_all(session, actor, "uncollect", [(found, found.quantity)], None)
    _write(session, actor, "uncollect", document, store_id, None, [(found.id, found.drug_id, found.quantity, None)])
    inside = packing.small_codes(session, code)
    collected = find(session, inside)
    boxes = [one for one in inside if one not in collected]
    fits = len(boxes) * found.quantity <= _uncoded(session, store_id, found.batch_id)
    if boxes and fits:
        collect(session, actor, store_id, document, [Scan(one, found.drug_id, found.batch_id, found.quantity) for one in boxes])
    audit.record(session, actor, "trace.uncollect", "trace_code", found.id, {"code": code, "reason": reason})
    return {"code": code, "boxes": len(boxes) if fits else 0, "left": 0 if fits else len(boxes)}


def _uncoded(session: Session, store_id: int, batch_id: int | None) -> Decimal:
    """What a store has of a batch without a code, smallest units. Two queries."""
    held = session.scalar(select(StockBalance.on_hand).where(
        StockBalance.store_id == store_id, StockBalance.batch_id == batch_id)) or rules.ZERO
    coded = session.scalars(select(TraceCode.remaining).where(
        TraceCode.store_id == store_id, TraceCode.batch_id == batch_id, TraceCode.state.in_(("in_stock", "opened"))))
    return held - sum(coded, rules.ZERO)


def _check(codes: Sequence[str]) -> None:
    errors = [FieldError(f"codes.{i}", problem) for i, code in enumerate(codes) if (problem := rules.code_error(code))]
    seen: set[str] = set()
    for index, code in enumerate(codes):
        if code in seen:
            errors.append(FieldError(f"codes.{index}", "重复扫描"))
        seen.add(code)
    if errors:
        raise Invalid("trace.codes", f"追溯码有误：{errors[0].message}", errors)


def _move_all(session: Session, actor: Actor, act: str, packs: Sequence[tuple[TraceCode, Decimal]],
              store_to: int | None) -> None:
    """The guarded change of every code, in one order for all: state, rest and place."""
    at = now(session)
    for code, share in sorted(packs, key=lambda pair: pair[0].id):
        target, remaining, store = rules.TRACE_MOVES[act][1], code.remaining, store_to
        if act == "use":
            remaining -= share
            target = "dispensed" if remaining == 0 else "opened"
        elif act == "take_back":
            remaining += share
            target = "in_stock" if remaining == code.quantity else "opened"
        elif act == "collect":
            remaining = code.quantity
        if target == "in_stock" and remaining < code.quantity:
            target = "opened"
        if session.connection().execute(_CHANGE, {
                "b_id": code.id, "b_was": code.state, "b_left": code.remaining, "b_state": target,
                "b_remaining": remaining, "b_store": store, "b_at": at, "b_name": actor.name}).rowcount != 1:
            session.refresh(code)
            raise _taken(session, code, act)
        for name, new in (("state", target), ("remaining", remaining), ("store_id", store)):
            set_committed_value(code, name, new)


def _taken(session: Session, code: TraceCode, act: str) -> Conflict:
    """The 409 that says where a pack is, who brought it there and when."""
    where = rules.TRACE_STATES[code.state]
    hint = "本药房没有这一盒" if code.state in rules.TRACE_MOVES[act][0] else f"不能{rules.TRACE_ACTS[act]}"
    return Conflict("trace.state", f"追溯码 {code.code} {where}（{code.changed_by_name}，"
                    f"{local(code.changed_at):%m-%d %H:%M}），{hint}，请核对药品后重新扫描")


def _write(session: Session, actor: Actor, act: str, document: Document, store_from: int | None, store_to: int | None,
           moved: Sequence[tuple[int, int, Decimal, int | None]]) -> None:
    """The history rows (code id, drug, quantity, line), and one upload per line and drug."""
    if not moved:
        return
    at, day = now(session), today(session)
    uploads: dict[tuple[int | None, int], list[tuple[int, Decimal]]] = {}
    for code_id, drug_id, quantity, line_id in moved:
        uploads.setdefault((line_id, drug_id), []).append((code_id, quantity))
    carried: dict[tuple[int | None, int], int | None] = dict.fromkeys(uploads)
    if act in rules.UPLOADS:
        keys = of(session).keys.take(len(uploads))
        carried = dict(zip(uploads, keys, strict=True))
        rows: list[dict[str, Any]] = [
                {"id": key, "serial": f"{rules.UPLOADS[act][1]}{key}", "act": act, "document_kind": document.kind,
                 "document_id": document.id, "line_id": line_id,
                 "store_id": store_to if store_from is None else store_from,
                 "drug_id": drug_id, "quantity": sum((q for _, q in codes), rules.ZERO), "codes": len(codes),
                 "state": "waiting", "attempts": 0, "message": "", "peer_number": "", "business_date": day,
                 "created_at": at, "sent_at": None}
                for key, ((line_id, drug_id), codes) in zip(keys, uploads.items(), strict=True)]
        portable.insert_many(session, TraceUpload, rows)
        for row in rows:
            announce(session, act, row["serial"], row["id"])
    portable.insert_many(session, TraceMove, [
        {"id": key, "code_id": code_id, "act": act, "quantity": quantity, "store_from": store_from,
         "store_to": store_to, "document_kind": document.kind, "document_id": document.id, "line_id": line_id,
         "upload_id": carried[line_id, drug_id], "moved_at": at, "actor_id": actor.user_id, "actor_name": actor.name}
        for key, (code_id, drug_id, quantity, line_id) in zip(of(session).keys.take(len(moved)), moved, strict=True)])


def announce(session: Session, act: str, serial: str, upload_id: int) -> None:
    """Tell whoever uploads (the hub) of a waiting row; the serial is the peer's key, the same every time."""
    event, transaction = rules.UPLOADS[act]
    outbox.record(session, event, serial, {"upload_id": upload_id, "serial": serial, "transaction": transaction})


def unsettlable(session: Session, store_id: int, demands: Sequence[Demand]) -> list[int]:
    """Line ids that may not be settled with the insurer: their drug has neither a trace code in stock there nor an
    entry of the no-code list (TC-03). Two queries.
    """
    drugs = {demand.drug_id for demand in demands}
    if not drugs:
        return []
    fine = set(session.scalars(select(TraceCode.drug_id).where(
        TraceCode.store_id == store_id, TraceCode.drug_id.in_(drugs), TraceCode.state.in_(("in_stock", "opened")))
        .distinct()))
    fine |= set(session.scalars(
        select(NoCodeEntry.drug_id)
        .outerjoin(StockBalance, (StockBalance.batch_id == NoCodeEntry.batch_id) & (StockBalance.store_id == store_id))
        .where(NoCodeEntry.drug_id.in_(drugs), NoCodeEntry.ended_at.is_(None),
               NoCodeEntry.batch_id.is_(None) | (StockBalance.on_hand > 0)).distinct()))
    return [demand.line_id for demand in demands if demand.drug_id not in fine]


def enter_no_code(session: Session, actor: Actor, *, drug_id: int, batch_id: int | None, reason: str) -> NoCodeEntry:
    """Put a drug, or one batch of it, on the no-code list. :raises Conflict: it is on it already."""
    if batch_id is not None:
        batch = session.get(Batch, batch_id)
        if batch is None or batch.drug_id != drug_id:
            raise Invalid("trace.batch", "批号不属于该药品，请重新选择", [FieldError("batch_id", "不属于该药品")])
    same = NoCodeEntry.batch_id.is_(None) if batch_id is None else NoCodeEntry.batch_id == batch_id
    if session.scalar(select(NoCodeEntry.id).where(NoCodeEntry.drug_id == drug_id, NoCodeEntry.ended_at.is_(None), same)):
        raise Conflict("trace.no_code_twice", "该药品已在无码库中")
    made = NoCodeEntry(drug_id=drug_id, batch_id=batch_id, reason=reason, made_at=now(session),
                       made_by_name=actor.name, ended_at=None, ended_by_name=None)
    session.add(made)
    session.flush()
    return made


def end_no_code(session: Session, actor: Actor, entry_id: int) -> None:
    """Take an entry off the no-code list. :raises Conflict: it is off already."""
    if not portable.guarded_update(session, NoCodeEntry, (NoCodeEntry.id == entry_id) & NoCodeEntry.ended_at.is_(None),
                                   {"ended_at": now(session), "ended_by_name": actor.name}):
        raise Conflict("trace.no_code_ended", "该条目已不在无码库中，请刷新")


def mark_sent(session: Session, serial: str, *, peer_number: str = "") -> bool:
    """The platform accepted an upload; False where it was known already. For whoever uploads (the hub)."""
    return bool(portable.guarded_update(
        session, TraceUpload, (TraceUpload.serial == serial) & (TraceUpload.state != "sent"),
        {"state": "sent", "sent_at": now(session), "peer_number": peer_number, "message": "",
         "attempts": TraceUpload.attempts + 1}))


def mark_refused(session: Session, serial: str, message: str) -> None:
    """The platform refused an upload: it waits for a correction and is sent again by hand."""
    portable.guarded_update(session, TraceUpload, (TraceUpload.serial == serial) & (TraceUpload.state != "sent"), {
        "state": "refused", "message": message[:300], "attempts": TraceUpload.attempts + 1})


def withdraw_upload(session: Session, actor: Actor, upload_id: int, *, reason: str) -> TraceUpload:
    """删除上传 (3507): the platform forgets what it was told by mistake; the upload waits again and may be resent.

    The deletion is an upload of its own; ``document_kind`` ``trace_upload`` names the one that it deletes.
    :raises Conflict: the platform doesn't have it (not sent yet, refused, or deleted already), or it is a deletion itself.
    """
    found = session.get(TraceUpload, upload_id)
    if found is None:
        raise NotFound("trace.upload", "没有这条上传记录，请刷新")
    if found.act == "delete" or not portable.guarded_update(
            session, TraceUpload, (TraceUpload.id == upload_id) & (TraceUpload.state == "sent"),
            {"state": "deleted", "message": f"{actor.name} 删除：{reason}"[:300]}):
        raise Conflict("trace.not_sent", "平台没有这条记录（未上传、被拒或已删除），不能删除，请刷新后核对")
    key = of(session).keys.next()
    made = TraceUpload(
        id=key, serial=f"{rules.UPLOADS['delete'][1]}{key}", act="delete", document_kind="trace_upload",
        document_id=upload_id, line_id=None, store_id=found.store_id, drug_id=found.drug_id, quantity=found.quantity,
        codes=0, state="waiting", attempts=0, message="", peer_number="", business_date=today(session),
        created_at=now(session), sent_at=None)
    session.add(made)
    session.flush()
    announce(session, "delete", made.serial, made.id)
    audit.record(session, actor, "trace.delete_upload", "trace_upload", upload_id, {"serial": found.serial, "reason": reason})
    session.refresh(found)
    return made


def upload_body(session: Session, serial: str) -> tuple[TraceUpload, list[str]]:
    """An upload and its codes as text, in the order of scanning: what the platform is sent, the same every time."""
    found = session.scalars(select(TraceUpload).where(TraceUpload.serial == serial)).one()
    codes = session.scalars(select(TraceCode.code).join(TraceMove, TraceMove.code_id == TraceCode.id)
                            .where(TraceMove.upload_id == found.id).order_by(TraceMove.id))
    return found, list(codes)


def resend(session: Session, actor: Actor, upload_ids: Sequence[int]) -> int:
    """Send unaccepted uploads again, under the serial that they have (TC-06); returns how many."""
    rows = session.scalars(select(TraceUpload).where(TraceUpload.id.in_(upload_ids), TraceUpload.state != "sent")
                           .order_by(TraceUpload.id)).all()
    for row in rows:
        row.state, row.message = "waiting", f"{actor.name} 重新发送"
        announce(session, row.act, row.serial, row.id)
    session.flush()
    return len(rows)
