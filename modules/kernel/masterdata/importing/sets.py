"""Item sets: several rows make one set; a set that differs becomes a new version, old charges keep theirs (M2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from modules.kernel.masterdata.importing.kinds import Column, exact, flag, text
from modules.kernel.masterdata.importing.table import CellError, TableRow
from modules.kernel.masterdata.models import ChargeItem, Department, ItemSet, ItemSetLine
from modules.kernel.masterdata.service import sets

COLUMNS = (
    Column("code", ("编码",), text(40), needed=True), Column("name", ("名称",), text(80), needed=True),
    Column("department_code", ("科室编码",), attribute="department_id", points_to="departments"),
    Column("item_code", ("项目编码",), attribute="item_id", points_to="charge_items", needed=True),
    Column("quantity", ("数量",), exact(4, positive=True), needed=True),
    Column("optional", ("可选",), flag, default=False))


def store(session: Session, actor: Actor, header: Sequence[str], rows: Sequence[TableRow]) -> tuple[int, int, int]:
    """Check and store sets; returns how many sets are new, changed, the same."""
    from modules.kernel.masterdata.importing.run import columns_of, convert, refuse

    names = columns_of(COLUMNS, header)
    codes: dict[str, dict[str, int]] = {
        "departments": {code: key for code, key in session.execute(select(Department.code, Department.id))},
        "charge_items": {code: key for code, key in session.execute(select(ChargeItem.code, ChargeItem.id))}}
    errors: list[CellError] = []
    wanted: dict[str, dict[str, Any]] = {}
    for row in rows:
        value = convert(COLUMNS, names, row, {}, codes, set(), errors)
        if not value.get("code"):
            continue
        entry = wanted.setdefault(value["code"], {"name": value.get("name"), "department_id": value.get("department_id"),
                                                  "lines": []})
        if entry["name"] != value.get("name"):
            errors.append(CellError(row.number, names["name"], f"同一套餐的名称与前面的行不同（{entry['name']}）"))
        if entry["department_id"] != value.get("department_id"):
            errors.append(CellError(row.number, names["department_code"], "同一套餐的科室与前面的行不同"))
        entry["lines"].append((value.get("item_id"), value.get("quantity"), value.get("optional", False)))
    refuse(errors)
    present = {row.code: row for row in session.scalars(select(ItemSet).where(ItemSet.valid_to.is_(None)))}
    lines: dict[int, list[tuple[int, Decimal, bool]]] = {}
    for line in session.scalars(select(ItemSetLine).order_by(ItemSetLine.set_id, ItemSetLine.position)):
        lines.setdefault(line.set_id, []).append((line.item_id, line.quantity, line.optional))
    added = changed = 0
    for code, entry in wanted.items():
        old = present.get(code)
        same = old and (old.name, old.department_id, lines.get(old.id)) == (entry["name"], entry["department_id"],
                                                                            entry["lines"])
        if same:
            continue
        added, changed = added + (old is None), changed + (old is not None)
        _new_version(session, actor, code, entry, old)
    return added, changed, len(wanted) - added - changed


def _new_version(session: Session, actor: Actor, code: str, entry: dict[str, Any], old: ItemSet | None) -> None:
    if old is not None:
        sets.end_version(session, old)
    sets.store_version(session, actor, code=code, name=entry["name"], department_id=entry["department_id"],
                       lines=entry["lines"], version=old.version + 1 if old else 1)
