"""Reads of count sheets. Ten thousand lines are plain rows, in pieces: the screen shows the first while more come."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.db.types import quantity_text
from his_server.errors import NotFound
from modules.kernel.masterdata.models import Drug
from modules.kernel.stock import rules
from modules.kernel.stock.models import Batch, Stocktake, StocktakeLine, Store
from modules.kernel.stock.service import sheet_codes, stocktake

STATES = {"counting": "清点中", "posted": "已过账", "cancelled": "已作废"}
_L, _D, _B = StocktakeLine.__table__.c, Drug.__table__.c, Batch.__table__.c


_DEPARTMENT = (select(Store.department_id).join(Stocktake, Stocktake.store_id == Store.id)
               .where(Stocktake.id == bindparam("b_sheet")))
_LINES = (
    select(_L.position, _L.drug_id, _L.batch_id, *map(quantity_text, (_L.book, _L.expected, _L.first_expected, _L.counted)),
           _L.counted_by_name, _L.merged_into, _B.lot_no, _B.expiry)
    .select_from(StocktakeLine.__table__).join(Batch.__table__, _B.id == _L.batch_id)
    .where(_L.stocktake_id == bindparam("b_sheet"), _L.position > bindparam("b_after"))
    .order_by(_L.position).limit(bindparam("b_limit")))
LINE_COLUMNS = ("position", "drug_id", "batch_id", "book", "expected", "first_expected", "counted", "counted_by_name",
                "merged_into", "lot_no", "expiry")
_DRUGS = select(_D.id, _D.code, _D.name, _D.spec, _D.manufacturer, _D.pack_unit, _D.base_unit, _D.pack_size, _D.control
                ).where(_D.id.in_(select(_L.drug_id).where(
                    _L.stocktake_id == bindparam("b_sheet"), _L.position > bindparam("b_after"),
                    _L.position <= bindparam("b_last"))))
DRUG_COLUMNS = ("drug_id", "code", "name", "spec", "manufacturer", "pack_unit", "base_unit", "pack_size", "control")


def sheets(session: Session, *, store_id: int, after: str | None, limit: int) -> dict[str, Any]:
    """Sheets of a store, newest first. One query."""
    statement: Any = select(
        Stocktake.id, Stocktake.number, Stocktake.state, Stocktake.scope, Stocktake.line_count, Stocktake.made_at,
        Stocktake.made_by_name, Stocktake.changed_at, Stocktake.changed_by_name).where(Stocktake.store_id == store_id)
    rows = session.execute(portable.keyset(statement, [(Stocktake.made_at, "desc"), (Stocktake.id, "desc")],
                                           portable.decode_cursor(after) if after else None, limit + 1)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return {"items": [{**r._mapping, "state_name": STATES[r.state]} for r in rows[:limit]],
            "next": portable.encode_cursor((last.made_at, last.id)) if last else None}


def department_of(session: Session, sheet_id: int) -> int | None:
    """The department of the store that is counted. One query. :raises NotFound: there is no such sheet."""
    found = portable.fetch(session.connection(), _DEPARTMENT, {"b_sheet": sheet_id})
    if not found:
        raise NotFound("stocktake.none", "没有这张盘点单，请刷新后重试")
    department: int | None = found[0].department_id
    return department


def sheet(session: Session, sheet_id: int) -> dict[str, Any]:
    """A sheet's head: how far it is. Three queries."""
    found = stocktake.get(session, sheet_id)
    counted, merged = session.execute(select(func.count(StocktakeLine.counted), func.count(StocktakeLine.merged_into))
                                      .where(StocktakeLine.stocktake_id == sheet_id)).one()
    store = session.get(Store, found.store_id)
    return {**{c: getattr(found, c) for c in ("id", "number", "store_id", "state", "scope", "end_reason", "line_count",
                                              "made_at", "made_by", "made_by_name", "changed_at", "changed_by_name")},
            "state_name": STATES[found.state], "store_name": store.name if store else "", "counted": counted,
            "merged": merged, "strict": sorted(rules.UNMERGEABLE)}


def lines(session: Session, sheet_id: int, *, after: int, limit: int) -> dict[str, Any]:
    """Lines of a sheet after a position, and once each drug that they are of; two queries, rows in the order of
    ``columns``, ``drugs`` in that of ``drug_columns``. ``next``: the last position, while there are more."""
    connection, asked = session.connection(), {"b_sheet": sheet_id, "b_after": after}
    rows = connection.execute(_LINES, {**asked, "b_limit": limit + 1}).all()
    shown, more = rows[:limit], len(rows) > limit
    drugs = connection.execute(_DRUGS, {**asked, "b_last": shown[-1].position}).all() if shown else []
    return {"columns": LINE_COLUMNS, "rows": [(*row[:-1], row[-1].isoformat()) for row in shown],
            "drug_columns": DRUG_COLUMNS, "drugs": [tuple(drug) for drug in drugs],
            "next": shown[-1].position if more else None}


def line_states(session: Session, sheet_id: int, positions: list[int]) -> list[dict[str, Any]]:
    """What counting changed of some lines. One query."""
    return [dict(r._mapping) for r in session.execute(
        select(StocktakeLine.position, StocktakeLine.counted, StocktakeLine.expected, StocktakeLine.first_expected,
               StocktakeLine.counted_by_name, StocktakeLine.merged_into)
        .where(StocktakeLine.stocktake_id == sheet_id, StocktakeLine.position.in_(positions)))]


def preview(session: Session, sheet_id: int, *, missing_is_zero: bool) -> dict[str, Any]:
    """What posting would do: gains, losses, trace codes that move, what must be counted again. Five queries."""
    head = stocktake.get(session, sheet_id)
    rows = stocktake.differences(session, sheet_id, missing_is_zero=missing_is_zero)
    items, gain, loss = [], Decimal("0.00"), Decimal("0.00")
    for row in rows:
        change = stocktake.delta(row)
        worth = rules.value(abs(change), row.pack_cost, row.pack_size)
        gain, loss = (gain + worth, loss) if change > 0 else (gain, loss + worth)
        items.append({"position": row.position, "name": row.name, "lot_no": row.lot_no, "counted": row.counted,
                      "expected": row.on_hand if row.counted is None else row.expected, "difference": change,
                      "amount": worth if change >= 0 else -worth,
                      "disturbed": row.first_expected is not None and row.first_expected != row.expected,
                      "strict": row.control in rules.STRICT})
    uncounted = session.scalar(select(func.count()).select_from(StocktakeLine).where(
        StocktakeLine.stocktake_id == sheet_id, StocktakeLine.counted.is_(None), StocktakeLine.merged_into.is_(None)))
    return {"items": items, "gain_amount": gain, "loss_amount": loss, "uncounted": uncounted or 0,
            "codes_found": len(sheet_codes.found(session, head)),
            "codes_lost": len(sheet_codes.missing(session, head, missing_is_zero=missing_is_zero))}
