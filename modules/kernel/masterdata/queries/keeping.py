"""What the keepers of the catalogues look at: a row for its form, what changed, versions of a set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.db import history
from his_server.errors import NotFound
from modules.kernel.masterdata.models import ChargeItem, ItemSet, ItemSetLine
from modules.kernel.masterdata.service.keeping import KEPT, SEVERAL, kept_row
from modules.kernel.masterdata.service.lookups import department_labels
from modules.kernel.masterdata.service.regions import code_names

TITLES: Mapping[str, str] = {
    "name": "名称", "form": "剂型", "spec": "规格", "dose_amount": "单位含量", "dose_unit": "剂量单位",
    "base_unit": "最小单位", "pack_unit": "包装单位", "pack_size": "包装数量", "manufacturer": "生产厂家",
    "fiscal_category": "费用类别", "control": "管制", "antimicrobial": "抗菌级别", "tb": "结核免费", "skin_test": "皮试",
    "splittable": "可拆零", "insurance_level": "医保等级", "default_usage": "默认用法", "default_frequency": "默认频次",
    "otc": "非处方药", "aliases": "别名", "active": "状态", "unit": "单位", "performing_kind": "执行类别",
    "category": "分类", "kind": "类别", "parent_id": "上级科室", "outpatient": "门诊", "emergency": "急诊",
    "building": "楼宇", "department_id": "科室", "beds": "床位数", "sex": "性别", "title": "职称", "role": "岗位",
    "rights": "处方权", "position": "顺序", "valid_from": "启用日期", "valid_to": "停用日期", "capacity": "号数",
}
_FLAGS = {"True": "是", "False": "否"}
_STATES = {"True": "在用", "False": "停用"}
_PLACES = ("department_id", "parent_id")


def kept(session: Session, kind: str, row_id: int) -> dict[str, Any]:
    """A row with all that its form shows; ``labels`` name what its keys and codes stand for. At most three queries."""
    row = kept_row(session, kind, row_id)
    values = {column.key: getattr(row, column.key) for column in type(row).__table__.columns}
    ids = [values[name] for name in _PLACES if values.get(name)]
    places = department_labels(session, ids) if ids else {}
    dictionaries = KEPT[kind].dictionaries
    names = code_names(session, {(dictionaries[name], values[name]) for name in dictionaries.keys() - SEVERAL
                                 if values[name]})
    labels = {name: places[values[name]][1] for name in _PLACES if values.get(name) in places}
    labels |= {name: names[(dictionary, values[name])] for name, dictionary in dictionaries.items()
               if (dictionary, values.get(name)) in names}
    if "rights" in values:
        values["rights"] = [part for part in values["rights"].split(",") if part]
    return {**values, "labels": labels}


def changes(session: Session, entity: str, row_id: int) -> list[dict[str, Any]]:
    """Every change of a row, newest first, as people read it: titles, names for codes and keys. Three queries."""
    rows = history.timeline(session, entity, row_id)
    dictionaries = KEPT[entity].dictionaries if entity in KEPT else {}
    values = {(row.field, value) for row in rows for value in (row.before, row.after) if value}
    names = code_names(session, {(dictionaries[name], part) for name, value in values if name in dictionaries
                                 for part in value.split(",")})
    places = department_labels(session, {int(value) for name, value in values if name in _PLACES})

    def shown(name: str, value: str | None) -> str | None:
        if not value:
            return value
        if name in _PLACES:
            return places[int(value)][1] if int(value) in places else value
        if name in dictionaries:
            return "、".join(names.get((dictionaries[name], part), part) for part in value.split(","))
        return (_STATES if name == "active" else _FLAGS).get(value, value)

    return [{"field": row.field, "title": TITLES.get(row.field, row.field), "before": shown(row.field, row.before),
             "after": shown(row.field, row.after), "changed_at": row.changed_at,
             "changed_by_name": row.changed_by_name, "terminal": row.terminal} for row in rows]


def set_versions(session: Session, set_id: int) -> list[dict[str, Any]]:
    """All versions of the set that this version belongs to, newest first, with their content; three queries."""
    found = session.get(ItemSet, set_id)
    if found is None:
        raise NotFound("masterdata.no_set", "没有这个组套，请刷新后重试")
    versions = list(session.scalars(select(ItemSet).where(ItemSet.code == found.code)
                                    .order_by(ItemSet.version.desc()).limit(100)))
    content: dict[int, list[str]] = {version.id: [] for version in versions}
    for line in session.execute(
            select(ItemSetLine.set_id, ItemSetLine.quantity, ItemSetLine.optional, ChargeItem.name)
            .join(ChargeItem, ChargeItem.id == ItemSetLine.item_id).where(ItemSetLine.set_id.in_(content))
            .order_by(ItemSetLine.set_id, ItemSetLine.position)):
        mark = "（可选）" if line.optional else ""
        content[line.set_id].append(f"{line.name}×{line.quantity.normalize():f}{mark}")
    return [{"id": v.id, "version": v.version, "name": v.name, "valid_from": v.valid_from, "valid_to": v.valid_to,
             "changed_by_name": v.changed_by_name, "content": "，".join(content[v.id])} for v in versions]
