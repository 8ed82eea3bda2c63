"""Checking and storing: nothing is written before every cell of every row was found good; a repeat changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, of, today
from his_server.errors import FieldError, Invalid
from his_server.search import key_rows, search_keys
from his_server.security import audit
from modules.kernel.masterdata import models
from modules.kernel.masterdata.importing import regions, sets
from modules.kernel.masterdata.importing.kinds import KINDS, Column, Kind, Price, Wrong
from modules.kernel.masterdata.importing.table import CellError, TableError, TableRow, read_table
from modules.kernel.masterdata.service.lookups import valid_on

SHOWN = 200

Store = Callable[[Session, Actor, Sequence[str], Sequence[TableRow]], tuple[int, int, int]]
OTHERS: dict[str, Store] = {"item_sets": sets.store}
"""Kinds that are more than one table: header and rows in, how many are new, changed, the same out. Packages above add
their own here when they are loaded (persons)."""


@dataclass(frozen=True)
class ImportReport:
    """What an import did."""

    kind: str
    rows: int
    added: int
    changed: int
    same: int


def import_file(session: Session, actor: Actor, kind: str, path: Path | Traversable) -> ImportReport:
    """Import a file in the running unit of work.

    :raises Invalid: ``import.cells`` with an error per bad cell (the first 200), or a file that can't be read.
    """
    try:
        header, rows = read_table(path)
    except TableError as error:
        raise Invalid("import.file", str(error)) from error
    return import_rows(session, actor, kind, header, rows)


def import_rows(session: Session, actor: Actor, kind: str, header: Sequence[str], rows: Sequence[TableRow]
                ) -> ImportReport:
    """Import rows that were read already; see :func:`import_file`."""
    if kind in OTHERS:
        added, changed, same = OTHERS[kind](session, actor, header, rows)
    elif kind in KINDS:
        added, changed, same = _store(session, actor, KINDS[kind], header, rows)
    else:
        raise Invalid("import.kind", f"不支持导入 {kind}，可以导入：{'、'.join([*KINDS, *OTHERS])}")
    audit.record(session, actor, "masterdata.import", kind, kind, {"rows": len(rows), "added": added, "changed": changed})
    return ImportReport(kind, len(rows), added, changed, same)


def _store(session: Session, actor: Actor, kind: Kind, header: Sequence[str], rows: Sequence[TableRow]
           ) -> tuple[int, int, int]:
    names = columns_of(kind.columns, header)
    allowed = _allowed(session, kind.columns)
    codes = _codes(session, kind)
    own_codes = {row.cells[names[kind.key[0]]] for row in rows if kind.key[0] in names} if len(kind.key) == 1 else set()
    errors: list[CellError] = []
    seen: dict[tuple[Any, ...], int] = {}
    values: list[dict[str, Any]] = []
    for row in rows:
        converted = convert(kind.columns, names, row, allowed, codes, own_codes if _self_pointing(kind) else set(), errors)
        for column in kind.columns:
            if column.target in kind.key and column.name not in names:
                converted[column.target] = column.default
        key = tuple(converted.get(name) for name in kind.key)
        if None not in key:
            if key in seen:
                errors.append(CellError(row.number, names.get(kind.key[0], kind.key[0]), f"与第 {seen[key]} 行重复"))
            seen.setdefault(key, row.number)
        values.append(converted)
    if kind.price:
        _refuse_planned(session, kind, kind.price, names, rows, values, errors)
    if kind.model is models.Region:
        regions.check(session, names, rows, values, errors)
    refuse(errors)
    return _write(session, actor, kind, values)


def _self_pointing(kind: Kind) -> bool:
    return any(c.points_to == kind.name for c in kind.columns)


def columns_of(columns: Iterable[Column], header: Sequence[str]) -> dict[str, str]:
    """Which header each column has in this file. :raises Invalid: a needed column is missing or one is unknown."""
    found: dict[str, str] = {}
    for column in columns:
        for title in (column.name, *column.titles):
            if title in header:
                found[column.name] = title
                break
    errors = [FieldError(c.name, f"缺少列“{(c.titles or (c.name,))[0]}”（{c.name}）") for c in columns
              if c.needed and c.name not in found]
    errors += [FieldError(title, f"不认识的列“{title}”") for title in header if title and title not in found.values()]
    if errors:
        raise Invalid("import.columns", "表头有误，请按模板修改", errors)
    return found


def convert(columns: Iterable[Column], names: Mapping[str, str], row: TableRow, allowed: Mapping[str, set[str]],
            codes: Mapping[str, Mapping[str, int]], new_codes: set[str], errors: list[CellError]) -> dict[str, Any]:
    """One row's values by attribute; bad cells go to ``errors``. A column that the file lacks says nothing."""
    values: dict[str, Any] = {}
    for column in columns:
        title = names.get(column.name)
        if title is None:
            continue
        cell = row.cells.get(title, "")
        if not cell:
            if column.needed:
                errors.append(CellError(row.number, title, "不能为空"))
            values[column.target] = column.default
            continue
        try:
            value = column.convert(cell)
        except Wrong as error:
            errors.append(CellError(row.number, title, str(error)))
            continue
        if column.dictionary and value not in allowed[column.dictionary]:
            errors.append(CellError(row.number, title, f"字典中没有代码 {value}"))
        if column.points_to:
            if value not in codes[column.points_to] and value not in new_codes:
                errors.append(CellError(row.number, title, f"没有编码 {value}"))
            value = codes[column.points_to].get(value, value)
        values[column.target] = value
    return values


def refuse(errors: Sequence[CellError]) -> None:
    """:raises Invalid: when there is any bad cell; names the first 200."""
    if errors:
        raise Invalid("import.cells", f"有 {len(errors)} 处错误，没有导入任何一行，请修改后重新导入",
                      [FieldError(f"row:{e.row}.{e.column}", str(e)) for e in errors[:SHOWN]])


def _allowed(session: Session, columns: Iterable[Column]) -> dict[str, set[str]]:
    wanted = {c.dictionary for c in columns if c.dictionary}
    found: dict[str, set[str]] = {name: set() for name in wanted}
    if wanted:
        for name, code in session.execute(select(models.DictionaryEntry.dictionary, models.DictionaryEntry.code)
                                          .where(models.DictionaryEntry.dictionary.in_(wanted))):
            found[name].add(code)
    return found


def _codes(session: Session, kind: Kind) -> dict[str, dict[str, int]]:
    return {name: {code: key for code, key in session.execute(select(KINDS[name].model.code, KINDS[name].model.id))}
            for name in {c.points_to for c in kind.columns if c.points_to}}


def _write(session: Session, actor: Actor, kind: Kind, values: list[dict[str, Any]]) -> tuple[int, int, int]:
    model = kind.model
    existing = {tuple(getattr(row, a) for a in kind.key): row for row in session.scalars(select(model))}
    prices = [v.pop(kind.price.column) for v in values] if kind.price else []
    old = [existing.get(tuple(v[a] for a in kind.key)) for v in values]
    made = iter(of(session).keys.take(old.count(None)) if None in old else ())
    ids = [next(made) if row is None else row.id for row in old]
    fresh = {key for key, row in zip(ids, old, strict=True) if row is None}
    changed: set[int] = set()
    if _self_pointing(kind):
        own = {v["code"]: key for v, key in zip(values, ids, strict=True)}
        for v in values:
            for column in kind.columns:
                if column.points_to == kind.name and isinstance(v.get(column.target), str):
                    v[column.target] = own[v[column.target]]
        _refuse_circles(existing.values(), dict(zip(ids, values, strict=True)))
    if model is models.Region:
        changed |= regions.complete(session, values, existing)
    defaults = _defaults(model) | {c.target: c.default for c in kind.columns
                                   if not (kind.price and c.name == kind.price.column)}
    portable.insert_many(session, model, _parents_first(
        [{**defaults, **v, "id": key} for v, key in zip(values, ids, strict=True) if key in fresh]))
    renamed = []
    for v, row in zip(values, old, strict=True):
        different = {a: value for a, value in v.items() if getattr(row, a) != value} if row is not None else {}
        if row is None or not different:
            continue
        changed.add(row.id)
        if {"name", "aliases", "former_names"} & different.keys():
            renamed.append(row.id)
        for attribute, value in different.items():
            setattr(row, attribute, value)
        if hasattr(row, "revision"):  # whoever is editing it by hand is told
            row.revision += 1
    session.flush()
    if kind.search is not None:
        _index(session, kind, fresh, renamed)
    if kind.price:
        changed |= _price(session, actor, kind.price, dict(zip(ids, prices, strict=True)), fresh)
    return len(fresh), len(changed), len(set(ids) - fresh - changed)


def _defaults(model: type[Any]) -> dict[str, Any]:
    return {column.key: column.default.arg for column in model.__table__.columns
            if column.default is not None and column.default.is_scalar}


def _refuse_circles(existing: Iterable[Any], after: Mapping[Any, Mapping[str, Any]]) -> None:
    """No department may be above itself once the import is done."""
    codes = {row.id: row.code for row in existing} | {key: v["code"] for key, v in after.items()}
    above = {row.id: row.parent_id for row in existing} | {
        key: v["parent_id"] for key, v in after.items() if "parent_id" in v}
    for start in above:
        seen: list[Any] = []
        at = start
        while at is not None and at not in seen:
            seen.append(at)
            at = above.get(at)
        if at is not None:
            circle = " → ".join(codes[key] for key in [*seen[seen.index(at):], at])
            raise Invalid("import.circle", f"上级编码互相指向，成了一个圈（{circle}），请修改")


def _parents_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose parent is among them come after it; there is no circle (:func:`_refuse_circles`)."""
    if not rows or "parent_id" not in rows[0]:
        return rows
    waiting = {row["id"]: row for row in rows}
    ordered: list[dict[str, Any]] = []
    while waiting:
        for row in [row for row in waiting.values() if row["parent_id"] not in waiting]:
            ordered.append(waiting.pop(row["id"]))
    return ordered


def _index(session: Session, kind: Kind, fresh: set[int], renamed: list[int]) -> None:
    assert kind.search is not None
    if renamed:
        session.execute(kind.search.delete().where(kind.search.c.owner_id.in_(renamed)))
    wanted = fresh | set(renamed)
    rows: list[dict[str, Any]] = []
    for row in session.scalars(select(kind.model)):
        if row.id in wanted:
            aliases = [a for a in (getattr(row, "aliases", "") or getattr(row, "former_names", "")).split(",") if a]
            rows += key_rows(row.id, search_keys(row.name, person=kind.person, code=row.code, aliases=aliases))
    portable.insert_many(session, kind.search, rows)


def _refuse_planned(session: Session, kind: Kind, price: Price, names: Mapping[str, str], rows: Sequence[TableRow],
                    values: Sequence[Mapping[str, Any]], errors: list[CellError]) -> None:
    """A price that differs from today's can't be set while a later change is planned: it would fall between two."""
    model, day = price.model, today(session)
    owner, amount = getattr(model, price.owner), getattr(model, price.amount)
    prices = select(kind.model.code, amount, model.valid_from).join(kind.model, kind.model.id == owner)
    planned = {code: start for code, _, start in session.execute(prices.where(model.valid_from > day))}
    present = {code: value for code, value, _ in session.execute(prices.where(valid_on(model, day)))} if planned else {}
    for row, value in zip(rows, values, strict=True):
        code = value.get("code")
        if code in planned and price.column in value and value[price.column] != present.get(code):
            errors.append(CellError(row.number, names[price.column],
                                    f"已有 {planned[code]} 起的调价，请在“目录与价格”中处理后再导入"))


def _price(session: Session, actor: Actor, price: Price, wanted: Mapping[int, Any], fresh: set[int]) -> set[int]:
    """Open a new period from today where the price differs; returns the owners that changed (new ones left out)."""
    model, day = price.model, today(session)
    owner, amount = getattr(model, price.owner), getattr(model, price.amount)
    present = {row[0]: row for row in session.execute(
        select(owner, model.id, amount, model.valid_from).where(valid_on(model, day)))}
    rows, changed = [], set()
    for key, value in wanted.items():
        old = present.get(key)
        if old is not None and old[2] == value:
            continue
        if key not in fresh:
            changed.add(key)
            audit.record(session, actor, "price.change", "charge_item" if price.owner == "item_id" else "drug", key,
                         {"before": str(old[2]) if old else None, "after": str(value), "from": day.isoformat(),
                          "reason": "导入"})
        if old is not None and old[3] == day:
            session.execute(update(model).where(model.id == old[1]).values({price.amount: value}))
            continue
        if old is not None:
            session.execute(update(model).where(model.id == old[1]).values(valid_to=day))
        rows.append({"id": 0, price.owner: key, price.amount: value, "valid_from": day,
                     "valid_to": None, "changed_by": actor.user_id, "changed_at": now(session), "reason": "导入"})
    for row, key in zip(rows, of(session).keys.take(len(rows)) if rows else (), strict=True):
        row["id"] = key
    portable.insert_many(session, model, rows)
    return changed
