"""Keeping the dictionaries: entries begin and end on a day; what documents hold stays readable for ever (HS-04)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.errors import FieldError, Invalid, NotFound
from his_server.security import audit
from modules.kernel.masterdata.models import DictionaryEntry
from modules.kernel.masterdata.service.keeping import take_turn

TITLES: Mapping[str, str] = {
    "antimicrobial_level": "抗菌药物分级", "building": "楼宇", "chrgitm_lv": "医保等级", "department_kind": "科室类别",
    "dosage_form": "剂型", "drug_category": "药品类别", "drug_control": "药品管制", "ethnic": "民族",
    "fp_admission_condition": "入院病情（病案首页）", "fp_admission_route": "入院途径（病案首页）",
    "fp_blood_type": "血型（病案首页）", "fp_discharge_way": "离院方式（病案首页）", "fp_marriage": "婚姻（病案首页）",
    "fp_occupation": "职业（病案首页）", "fp_payment": "付费方式（病案首页）", "fp_rh": "Rh 血型（病案首页）",
    "frequency": "频次", "insutype": "险种", "marriage": "婚姻状况", "mdtrt_cert_type": "就诊凭证",
    "med_chrgitm_type": "医疗收费项目类别", "med_type": "医疗类别", "nationality": "国籍", "performing_kind": "执行类别",
    "prescribing_right": "处方权", "psn_cert_type": "证件类型", "region_level": "区划级别", "register_level": "号别",
    "relation": "与患者关系", "session": "出诊时段", "sex": "性别", "staff_role": "岗位", "staff_title": "职称",
    "usage": "用法",
}
"""What the dictionaries are called on the screen."""


def dictionaries(session: Session) -> list[dict[str, Any]]:
    """All dictionaries with the number of their entries; one query."""
    rows = session.execute(select(DictionaryEntry.dictionary, func.count()).group_by(DictionaryEntry.dictionary))
    found = [{"code": name, "name": TITLES.get(name, name), "entries": count} for name, count in rows]
    return sorted(found, key=lambda one: str(one["code"]))


def entries(session: Session, name: str) -> list[DictionaryEntry]:
    """All entries of a dictionary, ended ones too. :raises NotFound: there is no such dictionary."""
    found = list(session.scalars(select(DictionaryEntry).where(DictionaryEntry.dictionary == name)
                                 .order_by(DictionaryEntry.position, DictionaryEntry.code)))
    if not found:
        raise NotFound("masterdata.no_dictionary", "没有这个字典，请从列表中选择")
    return found


def add_entry(session: Session, actor: Actor, dictionary: str, *, code: str, name: str, position: int,
              valid_from: date | None, valid_to: date | None) -> DictionaryEntry:
    """A new entry of a dictionary that is there. :raises Invalid: the code is taken, or it ends before it begins."""
    known = {entry.code: entry for entry in entries(session, dictionary)}
    errors = _period(valid_from, valid_to)
    if code in known:
        errors.insert(0, FieldError("code", f"代码已被“{known[code].name}”使用，停用的也不能重复使用"))
    _refuse(errors)
    made = DictionaryEntry(dictionary=dictionary, code=code, name=name, position=position, valid_from=valid_from,
                           valid_to=valid_to)
    session.add(made)
    session.flush()
    audit.record(session, actor, "dictionary.create", "dictionary_entry", made.id, {"dictionary": dictionary, "code": code})
    return made


def change_entry(session: Session, actor: Actor, entry_id: int, *, revision: int, name: str, position: int,
                 valid_from: date | None, valid_to: date | None) -> DictionaryEntry:
    """Change name, place or validity of an entry; its code stays. :raises Conflict: somebody was faster."""
    found = session.get(DictionaryEntry, entry_id)
    if found is None:
        raise NotFound("masterdata.no_entry", "没有这个字典条目，请刷新后重试")
    _refuse(_period(valid_from, valid_to))
    take_turn(session, "字典条目", found, revision)
    found.name, found.position, found.valid_from, found.valid_to = name, position, valid_from, valid_to
    session.flush()
    audit.record(session, actor, "dictionary.change", "dictionary_entry", entry_id,
                 {"dictionary": found.dictionary, "code": found.code})
    return found


def _period(valid_from: date | None, valid_to: date | None) -> list[FieldError]:
    wrong = valid_from is not None and valid_to is not None and valid_to <= valid_from
    return [FieldError("valid_to", "停用日期须晚于启用日期")] if wrong else []


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise Invalid("dictionary.fields", "字典条目有误，请按提示修改后重新保存", errors)
