"""Stock papers of every store: in, out, loss, adjustment, requisition, transfer. Quantities are smallest units.

Implements: M7.7, TC-07. A paper is drafted, then confirmed in one guarded step with its ledger rows. Drugs that are
stopped or prohibited are named before that (M7.7); a controlled drug needs a second person.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, numbering, of, today
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.security import audit
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import Drug
from modules.kernel.stock import rules
from modules.kernel.stock.models import Batch, StockDocument, StockDocumentCode, StockDocumentLine, Store
from modules.kernel.stock.service import ledger, notices, packing, tracing
from modules.kernel.stock.service.ledger import BatchQuantity, Document, Receipt

SERIES = {kind: numbering.Series(f"stock_{kind}"[:40], f"{what.title}号", what.prefix + "{date:%y%m%d}{n:05d}", per_day=True)
          for kind, what in rules.DOCUMENTS.items()}


CONFIRMED: dict[str, list[Callable[[Session, Actor, StockDocument, Sequence[StockDocumentLine]], None]]] = {}
"""Kind → what follows its confirmation in the same unit of work; put here by the workstations that keep more of it."""


def ledger_document(paper: StockDocument) -> Document:
    """A paper as the ledgers know it."""
    return Document(paper.kind, paper.id)


def get(session: Session, document_id: int) -> StockDocument:
    """A paper. :raises NotFound: there is none."""
    found = session.get(StockDocument, document_id, populate_existing=True)
    if found is None:
        raise NotFound("stock.no_document", "没有这张单据，请刷新后重试")
    return found


def lines_of(session: Session, document_id: int) -> list[StockDocumentLine]:
    """The lines of a paper in their order. One query."""
    return list(session.scalars(select(StockDocumentLine).where(StockDocumentLine.document_id == document_id)
                                .order_by(StockDocumentLine.position)))


def codes_of(session: Session, document_id: int) -> dict[str, int]:
    """The codes scanned for a paper: code → line id. One query."""
    return {row.code: row.line_id for row in session.execute(
        select(StockDocumentCode.code, StockDocumentCode.line_id).where(StockDocumentCode.document_id == document_id)
        .order_by(StockDocumentCode.id))}


def store(session: Session, store_id: int) -> Store:
    """A store that is in use. :raises NotFound: there is none."""
    found = session.get(Store, store_id)
    if found is None or not found.active or found.kind == "transit":
        raise NotFound("stock.no_store", "没有这个库房，请重新选择")
    return found


def draft(session: Session, actor: Actor, *, kind: str, store_id: int, purpose: str,
          lines: Sequence[Mapping[str, Any]], other_store_id: int | None = None, reason: str = "",
          origin_id: int | None = None) -> StockDocument:
    """Write a paper; nothing moves yet. A line of ``stock_in`` names drug, lot, expiry, pack cost; one of
    ``requisition`` a drug; every other a batch of the store. Each may have ``codes``.

    :raises Invalid: with the wrong lines named.
    """
    store(session, store_id)
    if kind in ("transfer", "requisition"):
        if other_store_id is None or other_store_id == store_id:
            raise Invalid("stock.other_store", "请选择另一个库房", [FieldError("other_store_id", "请选择另一个库房")])
        store(session, other_store_id)
    if purpose not in rules.DOCUMENTS[kind].purposes:
        raise Invalid("stock.purpose", "请选择业务类型", [FieldError("purpose", "请选择业务类型")])
    if kind in ("loss", "adjust") and len(reason) < 2:
        raise Invalid("stock.reason", "请填写原因", [FieldError("reason", "请填写原因")])
    at = now(session)
    paper = StockDocument(
        number=numbering.take(session, SERIES[kind]), kind=kind, purpose=purpose, state="draft", store_id=store_id,
        other_store_id=other_store_id, origin_id=origin_id, reason=reason, strict=False, line_count=0, revision=1,
        made_at=at, made_by=actor.user_id, made_by_name=actor.name, changed_at=at, changed_by=actor.user_id,
        changed_by_name=actor.name)
    _fill(session, paper, lines)
    session.add(paper)
    session.flush()
    audit.record(session, actor, f"stock.{kind}.draft", "stock_document", paper.id, {"number": paper.number})
    return paper


def rewrite(session: Session, actor: Actor, document_id: int, *, revision: int, reason: str,
            lines: Sequence[Mapping[str, Any]]) -> StockDocument:
    """Replace the lines of a draft. :raises Conflict: it isn't a draft any more, or somebody changed it meanwhile."""
    paper = get(session, document_id)
    if not portable.guarded_update(
            session, StockDocument, (StockDocument.id == document_id) & (StockDocument.state == "draft")
            & (StockDocument.revision == revision),
            {"revision": revision + 1, "reason": reason, "changed_at": now(session), "changed_by": actor.user_id,
             "changed_by_name": actor.name}):
        raise changed(session, document_id)
    for model in (StockDocumentCode, StockDocumentLine):
        session.execute(delete(model).where(model.document_id == document_id))
    _fill(session, paper, lines)
    session.flush()
    return paper


def _fill(session: Session, paper: StockDocument, lines: Sequence[Mapping[str, Any]]) -> None:
    """Check the lines and write them with their codes; three reads however many there are."""
    batches = {b.id: b for b in session.scalars(select(Batch).where(
        Batch.id.in_({line["batch_id"] for line in lines if line.get("batch_id")})))}
    given: list[int] = [line.get("drug_id") or (batches[line["batch_id"]].drug_id if line.get("batch_id") in batches else 0)
                        for line in lines]
    drugs = masterdata.drugs(session, given)
    errors: list[FieldError] = []
    rows: list[dict[str, Any]] = []
    codes: list[tuple[int, str]] = []
    keys = of(session).keys.take(max(1, len(lines)))
    for index, (key, line, drug_id) in enumerate(zip(keys, lines, given, strict=False)):
        drug, batch = drugs.get(drug_id), batches.get(line.get("batch_id") or 0)
        if drug is None:
            errors.append(FieldError(f"lines.{index}.drug_id", "没有这个药品"))
            continue
        errors += [FieldError(f"lines.{index}.{field}", message)
                   for field, message in _line_errors(session, paper.kind, line, drug, batch)]
        rows.append({
            "id": key, "document_id": paper.id, "position": index, "drug_id": drug.id,
            "batch_id": batch.id if batch else None, "lot_no": batch.lot_no if batch else line.get("lot_no") or "",
            "expiry": batch.expiry if batch else line.get("expiry"),
            "pack_cost": batch.pack_cost if batch else line.get("pack_cost"),
            "pack_size": batch.pack_size if batch else drug.pack_size, "quantity": line["quantity"],
            "done": rules.ZERO, "supplier": line.get("supplier") or "", "note": line.get("note") or ""})
        codes += [(key, code) for code in line.get("codes") or ()]
    if not lines:
        errors.append(FieldError("lines", "请至少录入一行"))
    seen: set[str] = set()
    packs = packing.known(session, [code for _, code in codes])
    for key, code in codes:
        if problem := rules.code_error(code) or ("重复扫描" if code in seen else "") or packing.large_error(packs, code):
            errors.append(FieldError(f"lines.{keys.index(key)}.codes", f"追溯码 {code}：{problem}"))
        seen.add(code)
    if errors:
        raise Invalid("stock.lines", "单据内容有误，请按提示修改", errors)
    paper.strict = any(drugs[row["drug_id"]].control in rules.STRICT for row in rows)
    paper.line_count = len(rows)
    portable.insert_many(session, StockDocumentLine, rows)
    portable.insert_many(session, StockDocumentCode, [
        {"id": key, "document_id": paper.id, "line_id": line_id, "code": code}
        for key, (line_id, code) in zip(of(session).keys.take(max(1, len(codes))), codes, strict=False)])


def _line_errors(session: Session, kind: str, line: Mapping[str, Any], drug: Drug, batch: Batch | None
                 ) -> list[tuple[str, str]]:
    errors = []
    if line["quantity"] == 0 or (line["quantity"] < 0 and kind != "adjust"):
        errors.append(("quantity", "必须大于 0"))
    if line["quantity"] % 1 and drug.fiscal_category != "10":
        errors.append(("quantity", "须为整数（按最小单位）"))
    if kind == "stock_in":
        errors += [(field, "必填") for field in ("lot_no", "expiry", "pack_cost") if line.get(field) in (None, "")]
        if line.get("expiry") and line["expiry"] <= today(session):
            errors.append(("expiry", "已过有效期，不能入库"))
    elif kind != "requisition" and batch is None:
        errors.append(("batch_id", "请选择批号"))
    return errors


def warnings(session: Session, lines: Sequence[StockDocumentLine]) -> dict[int, list[str]]:
    """What must be said of lines before they are confirmed (M7.7), by line id: stopped, prohibited, expired."""
    drugs = masterdata.drugs(session, [line.drug_id for line in lines])
    told = notices.notices_for(session, drugs, today(session))
    found: dict[int, list[str]] = {}
    for line in lines:
        texts = []
        if not drugs[line.drug_id].active:
            texts.append("药品已停用")
        texts += [f"{notices.KINDS[n.kind]}通知：{n.reason}" for n in told.get(line.drug_id, ())]
        if line.expiry is not None and line.expiry <= today(session):
            texts.append("已过有效期")
        if texts:
            found[line.id] = texts
    return found


def confirm(session: Session, actor: Actor, document_id: int, *, acknowledged: bool = False,
            boxes: Collection[str] = ()) -> StockDocument:
    """Confirm a stock-in, stock-out, loss or adjustment: the ledger moves with it. ``boxes``: codes of a stock-in that nobody
    knows and that a person looked at: each is one box.

    :raises Conflict: ``stock.flagged`` unless ``acknowledged`` where lines need a warning (each named);
        ``stock.second_person`` where the drafter may not confirm; not a draft any more; not enough in stock;
        ``trace.uncollected``: nobody knows whether a code is a box's.
    """
    paper = get(session, document_id)
    lines = lines_of(session, document_id)
    step(session, actor, paper, "confirmed", lines, acknowledged=acknowledged, two_persons=paper.strict)
    document, codes = ledger_document(paper), codes_of(session, document_id)
    if paper.kind == "stock_in":
        unknown = [code for code, large in packing.doubtful(session, codes).items() if not large]
        tracing.sure(session, actor, document, unknown, boxes)
        arrived = ledger.receive(session, actor, paper.store_id, [
            Receipt(line.drug_id, line.lot_no, line.expiry, line.pack_cost, line.quantity, line.supplier or None,  # type: ignore[arg-type]
                    line.pack_size, line.id) for line in lines], document, "receipt")
        for line, item in zip(lines, arrived, strict=True):
            line.batch_id = item.batch_id
        of_line = {line.id: line for line in lines}
        if codes:
            tracing.collect(session, actor, paper.store_id, document, [
                tracing.Scan(code, of_line[key].drug_id, of_line[key].batch_id, Decimal(of_line[key].pack_size), key)
                for code, key in codes.items()])
    else:
        out = [line for line in lines if paper.kind != "adjust" or line.quantity < 0]
        ledger.withdraw(session, actor, paper.store_id, _items(out), document, paper.kind)
        if more := [line for line in lines if line not in out]:
            ledger.put_back(session, actor, paper.store_id, _items(more), document, paper.kind)
        gone = {code: key for code, key in codes.items() if key in {line.id for line in out}}
        if gone:
            act = {"stock_out": "take_out", "supplier_return": "send_back"}.get(paper.kind, "lose")
            tracing.move(session, actor, act, document, list(gone),
                         store_from=paper.store_id, store_to=None, line_ids=gone)
        if found := {code: key for code, key in codes.items() if code not in gone}:
            tracing.move(session, actor, "find", document, list(found), store_from=None, store_to=paper.store_id,
                         line_ids=found)
    for line in lines:
        line.done = line.quantity
    session.flush()
    for follow in CONFIRMED.get(paper.kind, ()):
        follow(session, actor, paper, lines)
    return paper


def _items(lines: Sequence[StockDocumentLine]) -> list[BatchQuantity]:
    return [BatchQuantity(line.id, line.batch_id, line.drug_id, abs(line.quantity)) for line in lines if line.batch_id]


def cancel(session: Session, actor: Actor, document_id: int, *, reason: str) -> StockDocument:
    """Cancel a draft; the reason stays on it."""
    paper = get(session, document_id)
    step(session, actor, paper, "cancelled", [], acknowledged=True, more={"end_reason": reason})
    return paper


def step(session: Session, actor: Actor, paper: StockDocument, target: str, lines: Sequence[StockDocumentLine], *,
         acknowledged: bool, two_persons: bool = False, more: Mapping[str, Any] | None = None) -> None:
    """The guarded transition of a paper, after what must be said or refused first."""
    before = rules.from_states(paper.kind, target)
    if paper.state not in before:
        raise changed(session, paper.id)
    if two_persons and paper.changed_by == actor.user_id:
        raise Conflict("stock.second_person", f"单据含麻醉、精神等特殊管理药品，须由 {paper.changed_by_name} "
                       "以外的第二人复核确认")
    if not acknowledged and (told := warnings(session, lines)):
        positions = {line.id: line.position for line in lines}
        raise Conflict("stock.flagged", f"单据内有 {len(told)} 行药品已停用、禁用或过期，请核对后再确认", [
            FieldError(f"lines.{positions[key]}.drug_id", "；".join(texts)) for key, texts in told.items()])
    if not portable.guarded_update(
            session, StockDocument, (StockDocument.id == paper.id) & (StockDocument.state == paper.state)
            & (StockDocument.revision == paper.revision),
            {"state": target, "revision": paper.revision + 1, "changed_at": now(session), "changed_by": actor.user_id,
             "changed_by_name": actor.name, **(more or {})}):
        raise changed(session, paper.id)
    audit.record(session, actor, f"stock.{paper.kind}.{target}", "stock_document", paper.id,
                 {"number": paper.number, "acknowledged": acknowledged, **(more or {})})


def changed(session: Session, document_id: int) -> Conflict:
    """The 409 that says who brought a paper where it is."""
    found = get(session, document_id)
    return Conflict("stock.document_state", f"{rules.DOCUMENTS[found.kind].title} {found.number} 已由 {found.changed_by_name} 于 "
                    f"{local(found.changed_at):%m-%d %H:%M} 改为“{rules.DOCUMENT_STATES[found.state]}”，请刷新后核对")
