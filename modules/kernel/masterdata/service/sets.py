"""Item sets: never edited. A set that differs becomes a new version; old charges keep theirs (M2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.search import search_keys, store_keys
from his_server.security import audit
from modules.kernel.masterdata.models import ChargeItem, Department, ItemSet, ItemSetLine, item_set_search

Lines = Sequence[tuple[int, Decimal, bool]]
"""Item id, quantity, optional."""


def create_set(session: Session, actor: Actor, *, code: str, name: str, department_id: int | None,
               lines: Sequence[Mapping[str, Any]]) -> ItemSet:
    """The first version of a set. :raises Invalid: names each bad field, lines by their number."""
    errors = _refused(session, department_id, lines)
    taken = session.execute(select(ItemSet.name).where(ItemSet.code == code).limit(1)).first()
    if taken is not None:
        errors.insert(0, FieldError("code", f"编码已被组套“{taken.name}”使用，请换一个"))
    _refuse(errors)
    made = store_version(session, actor, code=code, name=name, department_id=department_id, lines=_plain(lines), version=1)
    audit.record(session, actor, "item_set.create", "item_set", made.id, {"code": code, "name": name})
    return made


def change_set(session: Session, actor: Actor, set_id: int, *, name: str, department_id: int | None,
               lines: Sequence[Mapping[str, Any]]) -> ItemSet:
    """A new version in place of the present one.

    :raises Invalid: names each bad field, or says that nothing differs.
    :raises Conflict: the version was replaced or stopped meanwhile, by whom and when.
    """
    old = _set(session, set_id)
    _refuse(_refused(session, department_id, lines))
    plain = _plain(lines)
    before = [(line.item_id, line.quantity, line.optional) for line in session.scalars(
        select(ItemSetLine).where(ItemSetLine.set_id == set_id).order_by(ItemSetLine.position))]
    if (old.name, old.department_id, before) == (name, department_id, plain):
        raise Invalid("item_set.same", "组套内容没有变化，无需保存新版本")
    end_version(session, old)
    made = store_version(session, actor, code=old.code, name=name, department_id=department_id, lines=plain,
                         version=old.version + 1)
    audit.record(session, actor, "item_set.change", "item_set", made.id, {"code": old.code, "version": made.version})
    return made


def stop_set(session: Session, actor: Actor, set_id: int, reason: str) -> ItemSet:
    """Nobody can charge by this set any more. :raises Conflict: replaced or stopped meanwhile."""
    found = _set(session, set_id)
    end_version(session, found)
    audit.record(session, actor, "item_set.stop", "item_set", set_id, {"code": found.code, "reason": reason})
    session.refresh(found)
    return found


def end_version(session: Session, present: ItemSet) -> None:
    """The present version ends now and is found no more. :raises Conflict: it has ended already."""
    if not portable.guarded_update(session, ItemSet, (ItemSet.id == present.id) & ItemSet.valid_to.is_(None),
                                   {"valid_to": now(session)}):
        newer = session.scalars(select(ItemSet).where(ItemSet.code == present.code)
                                .order_by(ItemSet.version.desc()).limit(1)).one()
        at = newer.valid_from if newer.id != present.id else present.valid_to
        assert at is not None
        who = f"{newer.changed_by_name} 已于 {local(at):%m-%d %H:%M} 修改" if newer.id != present.id else (
            f"已于 {local(at):%m-%d %H:%M} 停用")
        raise Conflict("item_set.ended", f"该组套{who}，请刷新后核对，再重新修改")
    session.execute(item_set_search.delete().where(item_set_search.c.owner_id == present.id))


def store_version(session: Session, actor: Actor, *, code: str, name: str, department_id: int | None, lines: Lines,
                  version: int) -> ItemSet:
    """A version with its lines and search keys; checks nothing."""
    made = ItemSet(code=code, name=name, department_id=department_id, version=version, valid_from=now(session),
                   valid_to=None, changed_by=actor.user_id, changed_by_name=actor.name)
    session.add(made)
    session.flush()
    session.add_all([ItemSetLine(set_id=made.id, position=n, item_id=item, quantity=quantity, optional=optional)
                     for n, (item, quantity, optional) in enumerate(lines)])
    session.flush()
    store_keys(session, item_set_search, made.id, search_keys(name, person=False, code=code))
    return made


def _set(session: Session, set_id: int) -> ItemSet:
    found = session.get(ItemSet, set_id)
    if found is None:
        raise NotFound("masterdata.no_set", "没有这个组套，请刷新后重试")
    return found


def _plain(lines: Sequence[Mapping[str, Any]]) -> list[tuple[int, Decimal, bool]]:
    return [(line["item_id"], line["quantity"], line["optional"]) for line in lines]


def _refused(session: Session, department_id: int | None, lines: Sequence[Mapping[str, Any]]) -> list[FieldError]:
    errors = []
    if department_id is not None and not session.scalar(
            select(Department.active).where(Department.id == department_id)):
        errors.append(FieldError("department_id", "没有这个科室或已停用，请重新选择"))
    usable = set(session.scalars(select(ChargeItem.id).where(
        ChargeItem.id.in_({line["item_id"] for line in lines}), ChargeItem.active.is_(True))))
    seen: dict[int, int] = {}
    for n, line in enumerate(lines):
        key = line["item_id"]
        if key not in usable:
            errors.append(FieldError(f"lines.{n}.item_id", "没有这个收费项目或已停用"))
        elif key in seen:
            errors.append(FieldError(f"lines.{n}.item_id", f"与第 {seen[key] + 1} 行重复"))
        seen.setdefault(key, n)
    return errors


def _refuse(errors: Sequence[FieldError]) -> None:
    if errors:
        raise Invalid("item_set.fields", "组套内容有误，请按提示修改后重新保存", errors)
