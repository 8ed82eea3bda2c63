"""Counting a store (盘点): a sheet of every batch, counted by scanner, posted as adjustments.

Implements: M7.5, M8.10, RX-09, TC-07. The pharmacy goes on working: what the books said is read again at the moment of each
count, so that what was dispensed before is not missing and what is dispensed after is not found. Every step is a
fixed number of statements, however long the sheet is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, bindparam, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, numbering
from his_server.db.types import quantity_text
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.messaging import outbox
from his_server.security import audit
from modules.kernel.masterdata.models import Drug
from modules.kernel.stock import rules
from modules.kernel.stock.models import Batch, StockBalance, Stocktake, StocktakeLine, TraceCode
from modules.kernel.stock.service import documents, ledger, sheet_codes
from modules.kernel.stock.service.ledger import BatchQuantity, Document

SERIES = numbering.Series("stocktake", "盘点单号", "PD{date:%y%m%d}{n:04d}", per_day=True)
_LINE = StocktakeLine.__table__.c
_HELD = StockBalance.__table__.c
_EXPECTED = (select(_HELD.on_hand).where(_HELD.id == _LINE.balance_id).scalar_subquery())
_STATE = (_LINE.position, *map(quantity_text, (_LINE.counted, _LINE.expected, _LINE.first_expected)),
          _LINE.counted_by_name, _LINE.merged_into)
_STATES = select(*_STATE).where(_LINE.stocktake_id == bindparam("b_sheet"))
_SOME = _STATES.where(_LINE.position.in_(bindparam("b_positions", expanding=True)))
_SPAN = _STATES.where(_LINE.position.between(bindparam("b_first"), bindparam("b_last")))
_HOLD = (update(Stocktake.__table__)  # type: ignore[arg-type]
         .where(Stocktake.__table__.c.id == bindparam("b_sheet"), Stocktake.__table__.c.state == "counting")
         .values(state="counting"))


def _entering(counted: Callable[[Any], Any], first: Any) -> portable.Each:
    """The UPDATE of lines by their counts; ``counted``: what a line then holds, by the quantity that came."""
    return portable.Each({"position": _LINE.position.type, "quantity": _LINE.counted.type}, lambda given: update(
        StocktakeLine.__table__).where(  # type: ignore[arg-type]
        _LINE.stocktake_id == bindparam("b_sheet"), _LINE.position == given("position"), _LINE.merged_into.is_(None),
        _LINE.position.between(bindparam("b_first"), bindparam("b_last"))  # what no statistics of a new sheet tell
    ).values(counted=counted(given("quantity")), expected=_EXPECTED, counted_at=bindparam("b_at"),
             counted_by_name=bindparam("b_name"), first_expected=first), _STATE)


_ADD = _entering(lambda more: func.coalesce(_LINE.counted, literal(Decimal(0), _LINE.counted.type)) + more,
                 func.coalesce(_LINE.first_expected, _EXPECTED))
_SET = _entering(lambda whole: whole, func.coalesce(_LINE.first_expected, _EXPECTED))
_SET_AGAIN = _entering(lambda whole: whole, _EXPECTED)
_RAISE = portable.Each({"balance": _HELD.id.type, "quantity": _HELD.on_hand.type}, lambda given: update(
    StockBalance.__table__).where(_HELD.id == given("balance"))  # type: ignore[arg-type]
    .values(on_hand=_HELD.on_hand + given("quantity")))


@dataclass(frozen=True)
class Count:
    """What was counted of a line, in smallest units. ``add``: one more scan of the same batch, else the whole count."""

    position: int
    quantity: Decimal
    add: bool = False


def get(session: Session, sheet_id: int) -> Stocktake:
    """A count sheet. :raises NotFound: there is none."""
    found = session.get(Stocktake, sheet_id, populate_existing=True)
    if found is None:
        raise NotFound("stocktake.none", "没有这张盘点单，请刷新后重试")
    return found


def make(session: Session, actor: Actor, store_id: int, *, categories: Collection[str] = (),
         drug_ids: Collection[int] = (), controlled: bool = False, with_empty: bool = False) -> Stocktake:
    """Make a sheet of a store's batches, by drug and expiry; four statements for any number of batches. ``drug_ids``: of
    these drugs only; ``controlled``: of those under special control only.

    :raises Conflict: a sheet of the store is being counted already; there is nothing to count.
    """
    store = documents.store(session, store_id)
    other = session.scalar(select(Stocktake).where(Stocktake.store_id == store_id, Stocktake.state == "counting"))
    if other is not None:
        raise Conflict("stocktake.open", f"{store.name}已有进行中的盘点单 {other.number}（{other.made_by_name}，"
                       f"{local(other.made_at):%m-%d %H:%M}），请先完成或作废")
    at = now(session)
    sheet = Stocktake(number=numbering.take(session, SERIES), store_id=store_id, state="counting",
                      scope="、".join(part for part in (
                          *sorted(categories), "特殊管理药品" if controlled else "",
                          f"{len(set(drug_ids))} 种药品" if drug_ids else "") if part),
                      line_count=0, made_at=at, made_by=actor.user_id,
                      made_by_name=actor.name, changed_at=at, changed_by_name=actor.name)
    session.add(sheet)
    session.flush()
    chosen = (select(literal(sheet.id, BigInteger), func.row_number().over(order_by=(Drug.code, _HELD.expiry, _HELD.id)),
                     _HELD.id, _HELD.batch_id, _HELD.drug_id, _HELD.on_hand)
              .join(Drug, Drug.id == _HELD.drug_id).where(_HELD.store_id == store_id))
    if not with_empty:
        chosen = chosen.where(_HELD.on_hand > 0)
    if categories:
        chosen = chosen.where(Drug.fiscal_category.in_(categories))
    if drug_ids:
        chosen = chosen.where(_HELD.drug_id.in_(drug_ids))
    if controlled:
        chosen = chosen.where(Drug.control.in_(rules.STRICT))
    session.execute(insert(StocktakeLine.__table__).from_select(  # type: ignore[arg-type]
        ["stocktake_id", "position", "balance_id", "batch_id", "drug_id", "book"], chosen, include_defaults=False))
    # the row count of INSERT … SELECT isn't told by every driver
    sheet.line_count = session.scalar(select(func.count()).select_from(StocktakeLine).where(
        StocktakeLine.stocktake_id == sheet.id)) or 0
    if not sheet.line_count:
        raise Conflict("stocktake.empty", "该范围内没有库存，不需要盘点")
    session.flush()
    audit.record(session, actor, "stocktake.make", "stocktake", sheet.id,
                 {"number": sheet.number, "lines": sheet.line_count})
    return sheet


def _counting(session: Session, sheet_id: int) -> Stocktake:
    sheet = get(session, sheet_id)
    if sheet.state != "counting":
        raise _ended(session, sheet_id)
    return sheet


def _ended(session: Session, sheet_id: int) -> Conflict:
    sheet = get(session, sheet_id)
    what = {"posted": "过账", "cancelled": "作废"}.get(sheet.state, "修改")
    return Conflict("stocktake.ended", f"盘点单 {sheet.number} 已由 {sheet.changed_by_name} 于 "
                    f"{local(sheet.changed_at):%m-%d %H:%M} {what}，不能再录入")


def count(session: Session, actor: Actor, sheet_id: int, counts: Sequence[Count], *, again: bool = False
          ) -> list[dict[str, Any]]:
    """Enter counts; the books' figure of this moment is kept beside each. ``again``: a recount from the beginning.

    Returns the lines as they are now, quantities as text. :raises Invalid: a position that isn't on the sheet, or was merged
    into another lot.
    """
    _hold(session, sheet_id)
    if whole := [one.position for one in counts if not one.add]:
        sheet_codes.forget(session, sheet_id, whole)
    return _enter(session, actor, sheet_id, counts, again=again)


def scan(session: Session, actor: Actor, sheet_id: int, texts: Sequence[str]) -> dict[str, Any]:
    """Count packs by scanned trace codes or lot numbers, a pack each; a trace code counts once on a sheet, whoever scans it.

    Returns the lines as they are now (``items``) and what counted for nothing: ``not_found``, ``again``, ``elsewhere``.
    """
    _hold(session, sheet_id)
    taken = sheet_codes.take(session, get(session, sheet_id), texts)
    counts = [Count(position, quantity, add=True) for position, quantity in taken.counts]
    return {"items": _enter(session, actor, sheet_id, counts, again=False) if counts else [], "not_found": taken.not_found,
            "again": taken.again, "elsewhere": taken.elsewhere}


def _enter(session: Session, actor: Actor, sheet_id: int, counts: Sequence[Count], *, again: bool) -> list[dict[str, Any]]:
    """Enter counts on a sheet that is held."""
    at = now(session)
    whole: dict[int, Decimal] = {}
    added: dict[int, Decimal] = {}
    for one in counts:
        if one.add:
            added[one.position] = added.get(one.position, rules.ZERO) + one.quantity
        else:
            whole[one.position] = one.quantity
    told = [entering.run(session.connection(), [{"position": position, "quantity": quantity}
                                                for position, quantity in sorted(given.items())],
                         {"b_sheet": sheet_id, "b_at": at, "b_name": actor.name,
                          "b_first": min(given, default=0), "b_last": max(given, default=0)})
            for entering, given in ((_SET_AGAIN if again else _SET, whole), (_ADD, added))]
    states = ({row.position: row for rows in told for row in rows or ()} if None not in told
              else _states(session, sheet_id, sorted({c.position for c in counts})))
    wrong = {c.position for c in counts if c.position not in states or states[c.position].merged_into is not None}
    if wrong:
        raise Invalid("stocktake.position", "有行不在盘点单上或已合并到其他批号，请刷新",
                      [FieldError(f"counts.{i}", "不在盘点单上") for i, c in enumerate(counts) if c.position in wrong])
    names = [column.name for column in _STATE]
    return [dict(zip(names, states[position], strict=True)) for position in sorted(states)]


def _states(session: Session, sheet_id: int, positions: list[int]) -> dict[int, Any]:
    """Lines by position. Counts mostly come shelf by shelf: a span is then cheaper to ask for than each line."""
    connection, first, last = session.connection(), positions[0], positions[-1]
    if last - first < 2 * len(positions):
        rows = portable.fetch(connection, _SPAN, {"b_sheet": sheet_id, "b_first": first, "b_last": last})
    else:
        rows = portable.fetch(connection, _SOME, {"b_sheet": sheet_id, "b_positions": positions})
    wanted = set(positions)
    return {row.position: row for row in rows if row.position in wanted}


def _hold(session: Session, sheet_id: int) -> None:
    """Keep the sheet open until this unit of work ends: posting waits for counts that are under way."""
    session.flush()
    if session.connection().execute(_HOLD, {"b_sheet": sheet_id}).rowcount != 1:
        raise _ended(session, sheet_id)


def _differs(sheet_id: int, missing_is_zero: bool) -> list[Any]:
    """Lines that posting has to look at."""
    differs = (_LINE.counted != _LINE.expected) | (_LINE.first_expected != _LINE.expected)
    return [_LINE.stocktake_id == sheet_id, _LINE.merged_into.is_(None),
            differs | _LINE.counted.is_(None) if missing_is_zero else differs]


def differences(session: Session, sheet_id: int, *, missing_is_zero: bool = False) -> list[Any]:
    """Lines whose count differs from the books, with drug and cost, by position; one query.

    ``disturbed``: stock moved between the first and the last scan, so the count can't be trusted.
    """
    rows = session.execute(
        select(StocktakeLine.position, StocktakeLine.balance_id, StocktakeLine.batch_id, StocktakeLine.drug_id,
               StocktakeLine.counted, StocktakeLine.expected, StocktakeLine.first_expected, StockBalance.on_hand,
               StockBalance.reserved, Batch.pack_cost, Batch.pack_size, Batch.lot_no, Drug.name, Drug.control)
        .join(StockBalance, StockBalance.id == StocktakeLine.balance_id)
        .join(Batch, Batch.id == StocktakeLine.batch_id).join(Drug, Drug.id == StocktakeLine.drug_id)
        .where(*_differs(sheet_id, missing_is_zero))
        .order_by(StocktakeLine.position)).all()
    return list(rows)


def delta(row: Any) -> Decimal:
    """What posting adds to a balance: counted less expected; an uncounted line loses all it has."""
    change: Decimal = row.counted - row.expected if row.counted is not None else -row.on_hand
    return change


def post(session: Session, actor: Actor, sheet_id: int, *, missing_is_zero: bool = False) -> dict[str, Any]:
    """Post a sheet: each difference becomes an adjustment move, and trace codes go with it (TC-07). Returns counts and values of
    gains and losses.

    ``missing_is_zero``: what nobody counted is not there; else it stays as it is.
    :raises Conflict: posted already; a pack was dispensed at this moment; stock moved while a batch was being counted
        (recount it); controlled drugs differ and the counter posts himself; what is short is reserved for patients who have paid.
    """
    sheet = _counting(session, sheet_id)
    if not portable.guarded_update(session, Stocktake, (Stocktake.id == sheet_id) & (Stocktake.state == "counting"),
                                   {"state": "posted", "changed_at": now(session), "changed_by_name": actor.name}):
        raise _ended(session, sheet_id)
    rows = differences(session, sheet_id, missing_is_zero=missing_is_zero)
    _may_post(actor, sheet, rows)
    changes = [(row, delta(row)) for row in rows if delta(row)]
    if changes:
        try:
            # in the order in which dispensing takes them, else the two could wait for one another
            session.connection().execute(select(_HELD.id).where(_HELD.id.in_(
                select(_LINE.balance_id).where(*_differs(sheet_id, missing_is_zero)))).order_by(_HELD.id)
                .with_for_update()).all()
            _RAISE.run(session.connection(), [{"balance": row.balance_id, "quantity": change}
                                              for row, change in changes], {})
        except IntegrityError as error:
            if not portable.is_check_violation(error):
                raise
            raise Conflict("stocktake.reserved", "过账时库存刚发生变化，部分药品已被占用，请刷新后重新过账") from error
    document = Document("stocktake", sheet_id)
    result: dict[str, Any] = {"number": sheet.number, **sheet_codes.settle(
        session, actor, sheet, [row.batch_id for row, change in changes if change < 0], missing_is_zero=missing_is_zero)}
    for name, sign in (("gain", 1), ("loss", -1)):
        part = [(row, sign * change) for row, change in changes if sign * change > 0]
        items = [BatchQuantity(row.position, row.batch_id, row.drug_id, change) for row, change in part]
        if items:
            ledger.write_moves(session, actor, "stocktake", None if sign > 0 else sheet.store_id,
                               sheet.store_id if sign > 0 else None, items, document)
        result[name] = len(part)
        result[f"{name}_amount"] = sum((rules.value(c, r.pack_cost, r.pack_size) for r, c in part), Decimal("0.00"))
    audit.record(session, actor, "stocktake.post", "stocktake", sheet_id, {k: str(v) for k, v in result.items()})
    event, transaction = rules.COUNTED
    outbox.record(session, event, str(sheet_id), {"sheet_id": sheet_id, "transaction": transaction})
    return result


def _may_post(actor: Actor, sheet: Stocktake, rows: Sequence[Any]) -> None:
    disturbed = [r for r in rows if r.first_expected is not None and r.first_expected != r.expected]
    if disturbed:
        raise Conflict("stocktake.disturbed", f"{len(disturbed)} 个批号在清点过程中有进出，请重新清点后再过账",
                       [FieldError(f"lines.{r.position - 1}", f"{r.name} {r.lot_no} 清点时有进出") for r in disturbed[:100]])
    strict = [r for r in rows if r.control in rules.STRICT and delta(r)]
    if strict and sheet.made_by == actor.user_id:
        raise Conflict("stocktake.second_person", f"{strict[0].name} 等特殊管理药品有盘盈盘亏，须由制单人以外的第二人过账",
                       [FieldError(f"lines.{r.position - 1}", f"{r.name} {r.lot_no}") for r in strict[:100]])
    short = [r for r in rows if r.on_hand + delta(r) < r.reserved]
    if short:
        raise Conflict("stocktake.reserved", "盘亏的药品已收费待发，请先处理待发处方", [
            FieldError(f"lines.{r.position - 1}", f"{r.name} {r.lot_no} 已占用 {r.reserved.normalize():f}") for r in short[:100]])


def cancel(session: Session, actor: Actor, sheet_id: int, *, reason: str) -> None:
    """Cancel a sheet that is being counted; nothing moves, and the reason stays on it."""
    get(session, sheet_id)
    if not portable.guarded_update(session, Stocktake, (Stocktake.id == sheet_id) & (Stocktake.state == "counting"),
                                   {"state": "cancelled", "end_reason": reason, "changed_at": now(session),
                                    "changed_by_name": actor.name}):
        raise _ended(session, sheet_id)
    audit.record(session, actor, "stocktake.cancel", "stocktake", sheet_id, {"reason": reason})


def merge(session: Session, actor: Actor, sheet_id: int, *, positions: Iterable[int], into: int) -> None:
    """Merge lots of one drug on a sheet into one of them: what is on hand moves to that lot.

    :raises Conflict: a narcotic or psychotropic drug, whose lots are registered one by one (M8.10); a lot that was
        counted already or is reserved. :raises Invalid: lots of different drugs.
    """
    _hold(session, sheet_id)
    wanted = set(positions) | {into}
    rows = {row.position: row for row in session.execute(
        select(StocktakeLine.position, StocktakeLine.drug_id, StocktakeLine.batch_id, StocktakeLine.counted,
               StocktakeLine.merged_into, StockBalance.on_hand, StockBalance.reserved, Drug.name, Drug.control)
        .join(StockBalance, StockBalance.id == StocktakeLine.balance_id).join(Drug, Drug.id == StocktakeLine.drug_id)
        .where(StocktakeLine.stocktake_id == sheet_id, StocktakeLine.position.in_(wanted)))}
    if wanted - set(rows) or len(wanted) < 2 or len({row.drug_id for row in rows.values()}) != 1:
        raise Invalid("stocktake.merge", "只能合并同一药品的批号，请重新选择")
    target = rows[into]
    if target.control in rules.UNMERGEABLE:
        raise Conflict("stocktake.merge_controlled", f"{target.name} 是{target.control}药品，批号须逐批登记，不能合并")
    if any(row.counted is not None or row.merged_into is not None or row.reserved for row in rows.values()):
        raise Conflict("stocktake.merge_counted", "已清点、已合并或已占用的批号不能合并，请先处理")
    sheet, document = get(session, sheet_id), Document("stocktake", sheet_id)
    moved = [row for row in rows.values() if row.position != into and row.on_hand > 0]
    if moved:
        ledger.withdraw(session, actor, sheet.store_id, [
            BatchQuantity(r.position, r.batch_id, r.drug_id, r.on_hand) for r in moved], document, "merge")
        ledger.put_back(session, actor, sheet.store_id, [
            BatchQuantity(r.position, target.batch_id, r.drug_id, r.on_hand) for r in moved], document, "merge")
    gone = [p for p in wanted if p != into]
    portable.guarded_update(session, StocktakeLine, (StocktakeLine.stocktake_id == sheet_id)
                            & StocktakeLine.position.in_(gone), {"merged_into": into})
    portable.guarded_update(session, TraceCode, (TraceCode.store_id == sheet.store_id) & TraceCode.batch_id.in_(
        [rows[p].batch_id for p in gone]), {"batch_id": target.batch_id})
    audit.record(session, actor, "stocktake.merge", "stocktake", sheet_id, {"positions": sorted(gone), "into": into})
