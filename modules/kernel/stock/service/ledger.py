"""What is done to stock. Every function moves balances, moves and reservations together, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import Quantity, insert_later, now, of, today
from his_server.errors import Conflict, FieldError, Invalid
from modules.kernel.stock import models, rules
from modules.kernel.stock.models import Batch, Reservation, StockBalance, StockMove
from modules.kernel.stock.rules import Demand, Share

ATTEMPTS = 8
_RAISE = (update(StockBalance).where(StockBalance.id == bindparam("b_balance"))
          .values(on_hand=StockBalance.on_hand + bindparam("b_quantity", type_=Quantity)))
_BALANCE = StockBalance.__table__.c
_FREE = (select(_BALANCE.id, _BALANCE.batch_id, _BALANCE.drug_id, _BALANCE.expiry, _BALANCE.on_hand, _BALANCE.reserved)
         .where(_BALANCE.store_id == bindparam("b_store"), _BALANCE.drug_id.in_(bindparam("b_drugs", expanding=True)),
                _BALANCE.on_hand > _BALANCE.reserved).order_by(_BALANCE.drug_id, _BALANCE.expiry))
_RESERVE = (update(StockBalance.__table__)  # type: ignore[arg-type]
            .where(_BALANCE.id == bindparam("b_balance"),
                   _BALANCE.on_hand >= _BALANCE.reserved + bindparam("b_quantity", type_=Quantity))
            .values(reserved=_BALANCE.reserved + bindparam("b_quantity", type_=Quantity)))
_WITHDRAW = (update(StockBalance.__table__)  # type: ignore[arg-type]
             .where(_BALANCE.store_id == bindparam("b_store"), _BALANCE.batch_id == bindparam("b_batch"),
                    _BALANCE.on_hand >= _BALANCE.reserved + bindparam("b_quantity", type_=Quantity))
             .values(on_hand=_BALANCE.on_hand - bindparam("b_quantity", type_=Quantity)))


@dataclass(frozen=True)
class Document:
    """What causes a movement: a kind such as ``prescription`` and the document's key."""

    kind: str
    id: int


@dataclass(frozen=True)
class Receipt:
    """A batch that arrives. ``quantity`` in smallest units, ``pack_cost`` in yuan for ``pack_size`` of them."""

    drug_id: int
    lot_no: str
    expiry: date
    pack_cost: Decimal
    quantity: Decimal
    supplier: str | None = None
    pack_size: int = 1
    line_id: int | None = None


@dataclass(frozen=True)
class BatchQuantity:
    """A quantity of one batch, for one line of a document."""

    line_id: int | None
    batch_id: int
    drug_id: int
    quantity: Decimal


def receive(session: Session, actor: Actor, store_id: int, receipts: Sequence[Receipt], document: Document,
            kind: str = "receipt") -> list[BatchQuantity]:
    """Put arriving batches into a store. :raises Invalid: a quantity is not positive."""
    for index, receipt in enumerate(receipts):
        if receipt.quantity <= 0:
            raise Invalid("stock.quantity", "入库数量必须大于 0", [FieldError(f"lines.{index}.quantity", "必须大于 0")])
    batches = _batches(session, receipts)
    arrived = [BatchQuantity(r.line_id, batches[_identity(r)], r.drug_id, r.quantity) for r in receipts]
    _enter(session, actor, store_id, arrived, document, kind)
    return arrived


Identity = tuple[int, str, date, Decimal, int]


def _identity(receipt: Receipt) -> Identity:
    return receipt.drug_id, receipt.lot_no, receipt.expiry, receipt.pack_cost, receipt.pack_size


def _batches(session: Session, receipts: Sequence[Receipt]) -> dict[Identity, int]:
    """The batch of each receipt, made where it is new; two statements however many there are."""
    wanted = {_identity(r): r for r in receipts}
    at = now(session)
    portable.upsert(session, Batch, [
        {"id": key, "drug_id": r.drug_id, "lot_no": r.lot_no, "expiry": r.expiry,
         "pack_cost": r.pack_cost, "pack_size": r.pack_size, "supplier": r.supplier, "created_at": at}
        for key, r in zip(of(session).keys.take(len(wanted)), wanted.values(), strict=True)],
        ["drug_id", "lot_no", "expiry", "pack_cost", "pack_size"], [])
    rows = session.execute(
        select(Batch.id, Batch.drug_id, Batch.lot_no, Batch.expiry, Batch.pack_cost, Batch.pack_size)
        .where(Batch.drug_id.in_({r.drug_id for r in receipts}), Batch.lot_no.in_({r.lot_no for r in receipts})))
    known = {(r.drug_id, r.lot_no, r.expiry, r.pack_cost, r.pack_size): r.id for r in rows}
    return {identity: known[identity] for identity in wanted}


def _enter(session: Session, actor: Actor, store_id: int, arrived: Sequence[BatchQuantity], document: Document,
           kind: str, store_from: int | None = models.OUTSIDE) -> None:
    """Raise balances (made where missing) and write the moves; five statements however many there are."""
    raised: dict[int, Decimal] = {}
    for item in arrived:
        raised[item.batch_id] = raised.get(item.batch_id, rules.ZERO) + item.quantity
    here = select(StockBalance.batch_id, StockBalance.id).where(
        StockBalance.store_id == store_id, StockBalance.batch_id.in_(raised))
    balances: dict[int, int] = dict(session.execute(here).all())
    if missing := raised.keys() - balances.keys():
        batches = session.execute(select(Batch.id, Batch.drug_id, Batch.expiry).where(Batch.id.in_(missing))).all()
        portable.upsert(session, StockBalance, [
            {"id": key, "store_id": store_id, "batch_id": batch.id, "drug_id": batch.drug_id, "expiry": batch.expiry,
             "on_hand": rules.ZERO, "reserved": rules.ZERO}
            for key, batch in zip(of(session).keys.take(len(batches)), batches, strict=True)],
            ["store_id", "batch_id"], [])
        balances = dict(session.execute(here).all())
    change_balances(session, {balance: raised[batch] for batch, balance in balances.items()})
    write_moves(session, actor, kind, store_from, store_to=store_id, items=arrived, document=document)


def change_balances(session: Session, changes: Mapping[int, Decimal]) -> None:
    """Add to balances' stock on hand, in the order in which everybody takes them. The caller writes the moves.

    :raises IntegrityError: a check is violated: less would be there than is reserved.
    """
    session.connection().execute(_RAISE, [
        {"b_balance": balance, "b_quantity": change} for balance, change in sorted(changes.items())])


def write_moves(session: Session, actor: Actor, kind: str, store_from: int | None, store_to: int | None,
                 items: Sequence[BatchQuantity], document: Document) -> None:
    """Write ledger rows for balances that the caller has changed."""
    ids = of(session).keys.take(len(items))
    at, day = now(session), today(session)
    portable.insert_many(session, StockMove.__table__, [
        {"id": key, "kind": kind, "store_from": store_from, "store_to": store_to, "batch_id": item.batch_id,
         "drug_id": item.drug_id, "quantity": item.quantity, "document_kind": document.kind,
         "document_id": document.id, "line_id": item.line_id, "moved_at": at, "business_date": day,
         "actor_id": actor.user_id}
        for key, item in zip(ids, items, strict=True)])


def available(session: Session, store_id: int, drug_ids: Iterable[int]) -> dict[int, Decimal]:
    """Free quantity (on hand − reserved, not expired) per drug in a store; 0 for drugs it has none of."""
    wanted = set(drug_ids)
    found = dict.fromkeys(wanted, rules.ZERO)
    for candidate in candidates(session, store_id, wanted):
        if candidate.expiry > today(session):
            found[candidate.drug_id] += candidate.free
    return found


def candidates(session: Session, store_id: int, drug_ids: Iterable[int]) -> list[rules.Candidate]:
    """The balances of a store that could serve drugs, earliest expiry first; one query."""
    session.flush()
    rows = portable.fetch(session.connection(), _FREE, {"b_store": store_id, "b_drugs": sorted(set(drug_ids))})
    return [rules.Candidate(r.id, r.batch_id, r.drug_id, r.expiry, r.on_hand - r.reserved) for r in rows]


def reserve(session: Session, store_id: int, demands: Sequence[Demand], document: Document) -> list[Share]:
    """Reserve earliest expiry first for every demand, or refuse.

    :raises Conflict: ``stock.short``, with one field error per short line.
    """
    waiting = list(demands)
    done: list[Share] = []
    for _ in range(ATTEMPTS):
        shares, shortages = rules.allocate(waiting, candidates(session, store_id, {d.drug_id for d in waiting}),
                                           today(session))
        if shortages:
            raise Conflict("stock.short", "库存不足，请调整数量、更换药房或通知药房补货",
                           [FieldError(f"line:{s.line_id}", f"缺 {s.missing.normalize():f}") for s in shortages])
        missed: list[Share] = []
        shares = sorted(shares, key=lambda s: s.balance_id)
        taken = portable.change_together(session, [
            (_RESERVE, {"b_balance": share.balance_id, "b_quantity": share.quantity}) for share in shares])
        for share, took in zip(shares, taken, strict=True):
            (done if took else missed).append(share)
        if not missed:
            break
        # somebody took these meanwhile: look again for the rest
        waiting = [Demand(s.line_id, s.drug_id, s.quantity) for s in missed]
    else:
        raise Conflict("stock.busy", "同一药品正被多人同时占用，请稍后重试")
    ids = of(session).keys.take(len(done))
    at = now(session)
    for key, s in zip(ids, done, strict=True):
        insert_later(session, Reservation.__table__, {  # type: ignore[arg-type]
            "id": key, "document_kind": document.kind, "document_id": document.id, "line_id": s.line_id,
            "store_id": store_id, "balance_id": s.balance_id, "batch_id": s.batch_id, "drug_id": s.drug_id,
            "quantity": s.quantity, "state": "open", "reserved_at": at, "ended_at": None})
    return done


def _end(session: Session, document: Document, state: str, line_ids: Iterable[int] | None) -> list[Reservation]:
    """Guarded transition of a document's open reservations; returns them."""
    chosen = [Reservation.document_kind == document.kind, Reservation.document_id == document.id,
              Reservation.state == "open"]
    if line_ids is not None:
        chosen.append(Reservation.line_id.in_(set(line_ids)))
    rows = list(session.scalars(select(Reservation).where(*chosen).order_by(Reservation.balance_id)))
    if rows:
        ended = session.execute(
            update(Reservation).where(Reservation.id.in_([r.id for r in rows]), Reservation.state == "open")
            .values(state=state, ended_at=now(session)).execution_options(synchronize_session=False))
        if ended.rowcount != len(rows):  # type: ignore[attr-defined]
            raise Conflict("stock.reservation_ended", "该单据的药品占用刚被他人处理，请刷新后重试")
    return rows


def issue(session: Session, actor: Actor, document: Document, *, line_ids: Iterable[int] | None = None,
          kind: str = "dispense") -> list[BatchQuantity]:
    """Hand out what a document has reserved: reservations become moves out of the store."""
    rows = _end(session, document, "used", line_ids)
    for row in rows:
        portable.guarded_update(
            session, StockBalance.__table__, StockBalance.id == row.balance_id,
            {"on_hand": StockBalance.on_hand - row.quantity, "reserved": StockBalance.reserved - row.quantity})
    items = [BatchQuantity(r.line_id, r.batch_id, r.drug_id, r.quantity) for r in rows]
    if items:
        write_moves(session, actor, kind, rows[0].store_id, models.OUTSIDE, items, document)
    return items


def release(session: Session, document: Document, line_ids: Iterable[int] | None = None) -> int:
    """Give back what a document has reserved; returns how many reservations ended."""
    rows = _end(session, document, "released", line_ids)
    for row in rows:
        portable.guarded_update(session, StockBalance.__table__, StockBalance.id == row.balance_id,
                                {"reserved": StockBalance.reserved - row.quantity})
    return len(rows)


def put_back(session: Session, actor: Actor, store_id: int, items: Sequence[BatchQuantity], document: Document,
             kind: str = "return") -> None:
    """Put drugs into batches that are there already: returned by a patient, found by an adjustment."""
    _enter(session, actor, store_id, items, document, kind)


def withdraw(session: Session, actor: Actor, store_id: int, items: Sequence[BatchQuantity], document: Document,
             kind: str, store_to: int | None = models.OUTSIDE) -> None:
    """Take named batches out of a store: adjustment, loss, return to a supplier, or transfer to another store.

    :raises Conflict: a batch has not that much free.
    """
    session.flush()
    for index, item in sorted(enumerate(items), key=lambda pair: pair[1].batch_id):
        if session.connection().execute(_WITHDRAW, {"b_store": store_id, "b_batch": item.batch_id,
                                                    "b_quantity": item.quantity}).rowcount != 1:
            raise Conflict("stock.short", "该批号可用库存不足，请刷新库存后重试",
                           [FieldError(f"lines.{index}.quantity", "超过可用库存")])
    for balance in list(session.identity_map.values()):
        if isinstance(balance, StockBalance):
            session.expire(balance)
    if store_to is None:
        write_moves(session, actor, kind, store_id, models.OUTSIDE, items, document)
    else:
        _enter(session, actor, store_to, items, document, kind, store_from=store_id)


def issued_batches(session: Session, document: Document, line_id: int) -> list[BatchQuantity]:
    """Batches handed out for a line, less what came back: what can still be returned, latest expiry first."""
    net: dict[int, Decimal] = {}
    drugs: dict[int, int] = {}
    rows = session.execute(
        select(StockMove.batch_id, StockMove.drug_id, StockMove.quantity, StockMove.store_to, Batch.expiry)
        .join(Batch, Batch.id == StockMove.batch_id)
        .where(StockMove.document_kind == document.kind, StockMove.document_id == document.id,
               StockMove.line_id == line_id).order_by(Batch.expiry.desc(), StockMove.batch_id))
    for row in rows:
        drugs[row.batch_id] = row.drug_id
        sign = 1 if row.store_to is None else -1
        net[row.batch_id] = net.get(row.batch_id, rules.ZERO) + sign * row.quantity
    return [BatchQuantity(line_id, batch, drugs[batch], quantity) for batch, quantity in net.items() if quantity > 0]
