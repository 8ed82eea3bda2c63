"""Large trace codes (大码、中码): a carton's code stands for the small codes of the boxes in it, never for a box.

Implements: TC-01, TC-02. What lies in a carton comes from the trace platform or from a supplier's packing list, and is
kept. Only small codes are received and sold; scanning the large one is a way to scan them all at once. A code that nobody
knows waits (待核) until a person who looked says what it is. Nothing here moves stock.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import Database, now, of
from his_server.errors import Conflict, FieldError, Invalid
from his_server.messaging.outbox import LostAnswer, NotSent
from his_server.security import audit
from modules.kernel.stock import rules
from modules.kernel.stock.models import TraceCode, TracePack
from modules.kernel.stock.ports import PACKING, Packed, Packing, PackingPort

CHUNK = 500
PERSON = "person"
"""Source of what a person said who looked at the pack; what the platform or a packing list says stands above it."""
AUDITED = 30
"""Codes that one audit row has room for, however long they are."""
DEEPEST = 5
"""Levels of packing above a box."""
MOST_CODES = 5000
"""Small codes of one pack, and codes of one packing list."""


def known(session: Session, codes: Iterable[str]) -> dict[str, bool]:
    """Which of the codes are boxes (True) and which larger packs (False); the others nobody told us of. Two queries per 500."""
    wanted, found = sorted(set(codes)), {}
    for start in range(0, len(wanted), CHUNK):
        some = wanted[start:start + CHUNK]
        found.update({row.code: row.smallest for row in session.execute(
            select(TracePack.code, TracePack.smallest).where(TracePack.code.in_(some)))})
        found.update(dict.fromkeys(session.scalars(
            select(TracePack.parent).where(TracePack.parent.in_(some)).distinct()), False))
    return found


def large_error(packs: dict[str, bool], code: str) -> str:
    """Why a code that must be a box's isn't one, as far as is known; empty: nothing against it."""
    return "是大码（箱码），请扫大码开箱，或逐盒扫小码" if packs.get(code) is False else ""


def refuse_large(codes: Sequence[str], packs: dict[str, bool]) -> None:
    """A carton is never one box. :raises Invalid: one of the codes is a larger pack's."""
    large = [index for index, code in enumerate(codes) if packs.get(code) is False]
    if large:
        raise Invalid("trace.large", f"{codes[large[0]]} 是大码（箱码），不能当作一盒；请扫大码开箱，或逐盒扫小码",
                      [FieldError(f"codes.{index}", "是大码（箱码）") for index in large])


def doubtful(session: Session, codes: Iterable[str]) -> dict[str, bool]:
    """The codes that don't count as boxes (待核), each with whether it is known to be a larger pack's. The others are boxes by
    the word of the platform, a packing list or a person who looked, or since they have been ours. Three queries per 500."""
    wanted = list(dict.fromkeys(codes))
    packs = known(session, wanted)
    unknown = [code for code in wanted if code not in packs]
    ours: set[str] = set()
    for start in range(0, len(unknown), CHUNK):
        ours.update(session.scalars(select(TraceCode.code).where(TraceCode.code.in_(unknown[start:start + CHUNK]))))
    return {code: code in packs for code in wanted if not packs.get(code, code in ours)}


def tell(session: Session, actor: Actor, codes: Sequence[str], *, boxes: bool, kind: str, document_id: int) -> None:
    """A person who has the packs in hand says what their codes are; kept, and written down with the document.

    :raises Invalid: a carton's code is said to be a box's. :raises Conflict: what the platform or a packing list calls a box is
        said to be a carton's.
    """
    said: dict[str, bool] = {}
    for start in range(0, len(codes), CHUNK):
        some = codes[start:start + CHUNK]
        said.update(dict.fromkeys(session.scalars(select(TracePack.parent).where(TracePack.parent.in_(some)).distinct()), False))
        said.update({row.code: row.smallest for row in session.execute(
            select(TracePack.code, TracePack.smallest).where(TracePack.code.in_(some), TracePack.source != PERSON))})
    if boxes:
        refuse_large(codes, said)
    elif wrong := [code for code in codes if said.get(code)]:
        raise Conflict("trace.known_box", f"{wrong[0]} 按追溯平台或装箱文件是小码（一盒），不能改为箱码，请核对实物与装箱文件")
    keep(session, [Packed(code, None, boxes) for code in codes if code not in said], PERSON)
    for start in range(0, len(codes), AUDITED):
        audit.record(session, actor, "trace.box" if boxes else "trace.large", kind, document_id,
                     {"codes": list(codes[start:start + AUDITED])})


def small_codes(session: Session, code: str) -> list[str]:
    """The small codes in a pack as far as we know, sorted. A query per level of packing."""
    found: list[str] = []
    layer, seen = [code], {code}
    while layer:
        rows = [row for start in range(0, len(layer), CHUNK) for row in session.execute(
            select(TracePack.code, TracePack.smallest).where(TracePack.parent.in_(layer[start:start + CHUNK])))]
        found += [row.code for row in rows if row.smallest]
        layer = [row.code for row in rows if not row.smallest and row.code not in seen]
        seen.update(layer)
    return sorted(found)


def look(database: Database, actor: Actor, code: str) -> dict[str, Any]:
    """What a scanned code is: ``box``, ``carton`` with the boxes in it, or ``unknown`` with the reason.

    Where nobody knows yet, the trace platform is asked, between units of work; its answer is kept. A platform that doesn't
    answer makes the code unknown: a person looks at the pack. :raises Invalid: no trace code.
    """
    if problem := rules.code_error(code):
        raise Invalid("trace.codes", f"追溯码有误：{problem}", [FieldError("code", problem)])
    with database.begin(write=False) as session:
        if found := _seen(session, code):
            return found
    told = _ask(database, code)
    if told.packed:
        with database.begin() as session:
            session.info["actor"] = actor
            keep(session, told.packed, "platform")
            audit.record(session, actor, "trace.packing", "trace_pack", code, {"codes": len(told.packed)})
            session.flush()
            if found := _seen(session, code):
                return found
    why = told.message or "追溯平台没有给出其中的小码"
    return {"code": code, "kind": "unknown", "drug_id": None, "state": "", "text": "未采集过", "store_id": None, "boxes": [],
            "message": f"{why}；请看实物：一盒的确认为一盒，整箱的逐盒扫小码或导入装箱文件"}


def _ask(database: Database, code: str) -> Packing:
    port: PackingPort | None = database.ports.get(PACKING)
    if port is None:
        return Packing(message="没有接追溯平台，也没有导入装箱文件")
    try:
        return port.open(code)
    except (NotSent, LostAnswer):
        return Packing(message="追溯平台没有应答")


def _seen(session: Session, code: str) -> dict[str, Any] | None:
    """What we know of a code ourselves; None: nothing. At most a query per level of packing and two."""
    smallest = session.scalar(select(TracePack.smallest).where(TracePack.code == code))
    inside = small_codes(session, code) if smallest is False else []
    if smallest is False and not inside:
        return None
    if len(inside) > MOST_CODES:
        raise Conflict("trace.too_large", f"大码 {code} 内有 {len(inside)} 个小码，超过 {MOST_CODES} 个，请分箱扫码")
    placed = _placed(session, inside or [code])
    if smallest is None and not placed[0]["state"]:
        return None
    boxes = placed if inside else []
    own = {"drug_id": None, "state": "", "text": f"内有 {len(inside)} 盒", "store_id": None} if inside else placed[0]
    return {**own, "code": code, "kind": "carton" if inside else "box", "boxes": boxes, "message": ""}


def _placed(session: Session, codes: Sequence[str]) -> list[dict[str, Any]]:
    """Where each box is; ``state`` empty: nobody has received it."""
    rows: dict[str, Any] = {}
    for start in range(0, len(codes), CHUNK):
        rows.update({row.code: row for row in session.execute(
            select(TraceCode.code, TraceCode.drug_id, TraceCode.state, TraceCode.store_id)
            .where(TraceCode.code.in_(codes[start:start + CHUNK])))})
    return [{"code": code, "drug_id": rows[code].drug_id, "state": rows[code].state,
             "text": rules.TRACE_STATES[rows[code].state], "store_id": rows[code].store_id} if code in rows else
            {"code": code, "drug_id": None, "state": "", "text": "未采集过", "store_id": None} for code in codes]


def keep(session: Session, packed: Iterable[Packed], source: str) -> None:
    """Write down what lies in what; what is said later counts, but nobody is taken out of a pack by silence."""
    rows = {one.code: one for one in packed}
    bare = sorted(one.code for one in rows.values() if one.parent is None)
    held: dict[str, str | None] = {}
    for start in range(0, len(bare), CHUNK):
        held.update({row.code: row.parent for row in session.execute(
            select(TracePack.code, TracePack.parent).where(TracePack.code.in_(bare[start:start + CHUNK])))})
    at, keys = now(session), of(session).keys.take(max(1, len(rows)))
    portable.upsert(session, TracePack, [
        {"id": key, "code": code, "parent": rows[code].parent or held.get(code), "smallest": rows[code].smallest,
         "source": source, "seen_at": at} for key, code in zip(keys, sorted(rows), strict=False)],
        ["code"], ["parent", "smallest", "source", "seen_at"])


def import_list(session: Session, actor: Actor, text: str) -> dict[str, Any]:
    """Take in a supplier's packing list: CSV with a head 大码,小码 and a line for each box; a middle pack is 小码 of the
    carton and 大码 of its boxes. Returns how much came in, and the large codes that somebody had received as boxes before.

    :raises Invalid: lines are wrong, each named; nothing is taken in then.
    """
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text))]
    except csv.Error as error:
        raise Invalid("trace.list", "装箱文件不是 CSV，请核对", [FieldError("text", "不是 CSV")]) from error
    if not rows or rows[0][:2] != ["大码", "小码"]:
        raise Invalid("trace.list", "装箱文件的第一行应为：大码,小码", [FieldError("text", "第一行应为：大码,小码")])
    parents: dict[str, str] = {}
    errors = []
    for number, row in enumerate(rows[1:], 2):
        if not any(row):
            continue
        if problem := _wrong_row(row, parents):
            errors.append(FieldError(f"lines.{number}", f"第 {number} 行：{problem}"))
        else:
            parents[row[1]] = row[0]
    if not errors and (problem := _wrong_whole(parents)):
        errors.append(FieldError("text", problem))
    if errors:
        raise Invalid("trace.list", f"装箱文件有误：{errors[0].message}", errors[:50])
    large = set(parents.values())
    opened = {code for code, smallest in known(session, parents).items() if not smallest}  # an earlier list opened it
    keep(session, [*(Packed(code, parents.get(code), False) for code in large),
                   *(Packed(code, parent, code not in opened) for code, parent in parents.items() if code not in large)], "file")
    wrong = [one["code"] for one in _placed(session, sorted(large)) if one["state"]]
    counts = {"cartons": len(large), "boxes": len(parents.keys() - large)}
    audit.record(session, actor, "trace.list", "trace_pack", "", {**counts, "received_as_box": len(wrong)})
    return {**counts, "received_as_box": wrong}


def _wrong_row(row: Sequence[str], parents: dict[str, str]) -> str:
    if len(row) < 2:
        return "应有大码、小码两列"
    if problem := rules.code_error(row[0]) or rules.code_error(row[1]):
        return problem
    if row[0] == row[1]:
        return "大码与小码相同"
    if row[1] in parents:
        return f"小码 {row[1]} 重复"
    return ""


def _wrong_whole(parents: dict[str, str]) -> str:
    if not parents:
        return "没有数据"
    if len(parents) > MOST_CODES:
        return f"超过 {MOST_CODES} 个小码，请分成几个文件"
    for code in parents:
        above, levels = code, 0
        while above in parents and levels <= DEEPEST:
            above, levels = parents[above], levels + 1
        if levels > DEEPEST:
            return f"{code} 的包装超过 {DEEPEST} 层，或装在自己里面"
    return ""
