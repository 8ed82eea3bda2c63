"""Keeping the catalogues: a row is made once, changed with history, stopped and resumed, never deleted.

Codes are never changed: documents and other systems know them. A change names the revision that was looked at; whoever
comes second gets a 409 that says who was first. Bad values are named by field.

Implements: M2.2, FN-16
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import history, now, today
from his_server.errors import AppError, Conflict, FieldError, Invalid, NotFound
from his_server.search import search_keys, store_keys
from his_server.security import audit
from modules.kernel.masterdata import models
from modules.kernel.masterdata.service.regions import refused_codes

SEVERAL = frozenset({"rights"})
"""Fields that hold several codes, joined by commas."""


@dataclass(frozen=True)
class Kept:
    """A catalogue that is kept by hand: where its rows are, what finds them, what its fields may hold.

    ``dictionaries``: the dictionary of a field's codes. ``points``: the model that a field's key belongs to.
    ``price``: model, owner and amount of its price periods.
    """

    kind: str
    title: str
    model: type[Any]
    search: Table | None = None
    person: bool = False
    dictionaries: Mapping[str, str] = field(default_factory=dict)
    points: Mapping[str, type[Any]] = field(default_factory=dict)
    price: tuple[type[Any], str, str] | None = None


_SOLD = {"fiscal_category": "med_chrgitm_type", "insurance_level": "chrgitm_lv"}
KEPT: Mapping[str, Kept] = {kept.kind: kept for kept in (
    Kept("drug", "药品", models.Drug, models.drug_search, dictionaries={**_SOLD, "default_usage": "usage"},
         price=(models.DrugPrice, "drug_id", "pack_price")),
    Kept("charge_item", "收费项目", models.ChargeItem, models.charge_item_search,
         dictionaries={**_SOLD, "performing_kind": "performing_kind"},
         price=(models.ChargeItemPrice, "item_id", "price")),
    Kept("diagnosis", "诊断", models.Diagnosis, models.diagnosis_search),
    Kept("department", "科室", models.Department, models.department_search,
         points={"parent_id": models.Department}),
    Kept("ward", "病区", models.Ward, points={"department_id": models.Department}),
    Kept("staff", "职工", models.Staff, models.staff_search, person=True,
         dictionaries={"sex": "sex", "rights": "prescribing_right"}, points={"department_id": models.Department}),
)}


def kept_row(session: Session, kind: str, row_id: int) -> Any:
    """A row of a catalogue. :raises NotFound: there is none."""
    kept = KEPT[kind]
    found = session.get(kept.model, row_id)
    if found is None:
        raise NotFound("masterdata.none", f"没有这个{kept.title}，请刷新后重试")
    return found


def create(session: Session, actor: Actor, kind: str, values: Mapping[str, Any]) -> Any:
    """A new row; ``price`` (yuan per unit, per pack) starts today. :raises Invalid: names each bad field."""
    kept = KEPT[kind]
    given = dict(values)
    price = given.pop("price", None)
    errors = _refused(session, kept, given, row_id=None)
    taken = session.execute(select(kept.model.name).where(kept.model.code == given["code"])).first()
    if taken is not None:
        errors.insert(0, FieldError("code", f"编码已被“{taken.name}”使用，请换一个"))
    _refuse(kept, errors)
    made = kept.model(**given)
    session.add(made)
    session.flush()
    _find_by(session, kept, made)
    if price is not None and kept.price is not None:
        model, owner, amount = kept.price
        session.add(model(**{owner: made.id, amount: price}, valid_from=today(session), valid_to=None, reason="新增",
                          changed_by=actor.user_id, changed_at=now(session)))
        session.flush()
    audit.record(session, actor, "masterdata.create", kind, made.id, {"code": made.code, "name": made.name})
    return made


def change(session: Session, actor: Actor, kind: str, row_id: int, *, revision: int, values: Mapping[str, Any]) -> Any:
    """Change fields of a row; each change is history. Documents that were made before keep what they say.

    :raises Invalid: names each bad field. :raises Conflict: somebody changed the row since ``revision``.
    """
    kept, row = KEPT[kind], kept_row(session, kind, row_id)
    _refuse(kept, _refused(session, kept, values, row_id=row_id))
    take_turn(session, kept.title, row, revision)
    different = {name: value for name, value in values.items() if getattr(row, name) != value}
    for name, value in different.items():
        setattr(row, name, value)
    session.flush()
    if {"name", "aliases"} & different.keys():
        _find_by(session, kept, row)
    audit.record(session, actor, "masterdata.change", kind, row_id, {"fields": sorted(different)})
    return row


def set_active(session: Session, actor: Actor, kind: str, row_id: int, *, active: bool, reason: str) -> Any:
    """Stop or resume the use of a row; the change is history. Old documents keep it.

    :raises Conflict: it is so already, or what is in use still belongs to it (departments).
    """
    row = kept_row(session, kind, row_id)
    if not portable.guarded_update(session, type(row), (type(row).id == row_id) & (type(row).active.is_(not active)),
                                   {"revision": type(row).revision + 1}):
        raise _conflict(session, KEPT[kind].title, row, "已是" + ("在用" if active else "停用"))
    if kind == "department" and not active:
        _refuse_occupied(session, row_id)
    row.active = active
    session.flush()
    audit.record(session, actor, "masterdata.activate" if active else "masterdata.stop", kind, row_id,
                 {"reason": reason})
    return row


def take_turn(session: Session, title: str, row: Any, revision: int) -> None:
    """Let only one edit of a revision through. :raises Conflict: says who changed the row meanwhile, and when."""
    model = type(row)
    if not portable.guarded_update(session, model, (model.id == row.id) & (model.revision == revision),
                                   {"revision": revision + 1}):
        raise _conflict(session, title, row, "已修改")


def _conflict(session: Session, title: str, row: Any, what: str) -> AppError:
    last = next(iter(history.timeline(session, row.__tablename__, row.id, limit=1)), None)
    who = f"{last.changed_by_name} 已于 {local(last.changed_at):%m-%d %H:%M} 修改" if last else what
    return Conflict("masterdata.changed", f"这个{title}{who}，请刷新后核对，再重新修改")


def _refuse(kept: Kept, errors: list[FieldError]) -> None:
    if errors:
        raise Invalid("masterdata.fields", f"{kept.title}内容有误，请按提示修改后重新保存", errors)


def _refused(session: Session, kept: Kept, values: Mapping[str, Any], *, row_id: int | None) -> list[FieldError]:
    """Field errors: unknown codes, keys that lead nowhere, names that are nothing, a department above itself."""
    codes = {name: (dictionary, values.get(name)) for name, dictionary in kept.dictionaries.items()
             if name not in SEVERAL}
    errors = refused_codes(session, codes)
    for name in SEVERAL & kept.dictionaries.keys() & values.keys():
        parts = [part for part in values[name].split(",") if part]
        wrong = refused_codes(session, {part: (kept.dictionaries[name], part) for part in parts})
        errors += [FieldError(name, error.message) for error in wrong]
    for name, model in kept.points.items():
        key = values.get(name)
        if key is not None and not session.scalar(select(model.active).where(model.id == key)):
            errors.append(FieldError(name, "没有这个科室或已停用，请重新选择"))
    rhythm = values.get("default_frequency")
    if rhythm and session.scalar(select(models.Frequency.id).where(models.Frequency.code == rhythm)) is None:
        errors.append(FieldError("default_frequency", f"没有这个频次（{rhythm}），请从列表中选择"))
    if values.get("dose_amount") is not None and not values.get("dose_unit"):
        errors.append(FieldError("dose_unit", "填了单位含量，请填剂量单位"))
    if kept.kind == "department" and row_id is not None and _above(session, values.get("parent_id"), row_id):
        errors.append(FieldError("parent_id", "上级科室不能是本科室或其下级"))
    return errors


def _above(session: Session, parent_id: int | None, row_id: int) -> bool:
    """Whether ``row_id`` is ``parent_id`` or above it. The whole tree is one small query."""
    parents = {row.id: row.parent_id for row in session.execute(
        select(models.Department.id, models.Department.parent_id))}
    at, seen = parent_id, set[int]()
    while at is not None and at not in seen:
        if at == row_id:
            return True
        seen.add(at)
        at = parents.get(at)
    return False


def _refuse_occupied(session: Session, department_id: int) -> None:
    """A department is stopped when nobody and nothing in use belongs to it any more."""
    for model, column, what in ((models.Staff, models.Staff.department_id, "在岗职工"),
                                (models.Ward, models.Ward.department_id, "在用病区"),
                                (models.Department, models.Department.parent_id, "在用下级科室")):
        name = session.scalar(select(model.name).where(column == department_id, model.active.is_(True)).limit(1))
        if name is not None:
            raise Conflict("masterdata.occupied", f"该科室还有{what}（{name} 等），请先调出或停用，再停用科室")


def _find_by(session: Session, kept: Kept, row: Any) -> None:
    """The search keys of a row follow its name and aliases."""
    if kept.search is not None:
        store_keys(session, kept.search, row.id, search_keys(
            row.name, person=kept.person, code=row.code, aliases=_split(getattr(row, "aliases", ""))))


def _split(aliases: str) -> Iterable[str]:
    return [part for part in aliases.split(",") if part]
